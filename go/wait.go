package primacy

import (
	"context"
	"math"
	"sync"
	"time"
)

const (
	// In place of milliseconds: as long as the configuration says, which the library knows.
	asConfigured uint64 = math.MaxUint64
	// What lies between the library's own deadline and a waiter that is told of it.
	grace = time.Second
)

// How many milliseconds the context leaves, at least 1; as configured if it says nothing or is over already.
func left(ctx context.Context) uint64 { return milliseconds(ctx, 0) }

// How long a stop may take: a little less than the context leaves, so that its end is seen before the context's.
func leftToStop(ctx context.Context) uint64 { return milliseconds(ctx, grace) }

func milliseconds(ctx context.Context, less time.Duration) uint64 {
	deadline, ok := ctx.Deadline()
	if !ok {
		return asConfigured
	}
	left := time.Until(deadline)
	if left <= 0 {
		return asConfigured
	}
	left -= min(less, left/10)
	return uint64(max(1, (left+time.Millisecond-1)/time.Millisecond))
}

// Waits for what blocks in the library, which no context can interrupt: on a goroutine of its own if the context can
// end before it. False: it did, and abandoned gets what comes of it later.
func await[T any](ctx context.Context, blocks func() T, abandoned func(T)) (T, bool) {
	if ctx.Done() == nil {
		return blocks(), true
	}
	var mu sync.Mutex
	var gone bool
	got := make(chan T, 1)
	go func() {
		value := blocks()
		mu.Lock()
		defer mu.Unlock()
		if gone {
			abandoned(value)
			return
		}
		got <- value
	}()
	select {
	case value := <-got:
		return value, true
	case <-ctx.Done():
	}
	mu.Lock()
	defer mu.Unlock()
	select {
	case value := <-got:
		return value, true
	default:
		var none T
		gone = true
		return none, false
	}
}
