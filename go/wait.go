package primacy

import (
	"context"
	"sync"
	"time"
)

const (
	// How long a call may take whose context has no deadline: the default of etcd.requestTimeout.
	requestTimeout = 10 * time.Second
	// How long a stop may take whose context has no deadline: the default of primacy.drain_timeout_ms.
	stopTimeout = 30 * time.Second
	// What lies between the library's own deadline and a waiter that is told of it.
	grace = time.Second
)

// How long the context leaves; otherwise, if it says nothing or is over already.
func left(ctx context.Context, otherwise time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		if left := time.Until(deadline); left > 0 {
			return left
		}
	}
	return otherwise
}

// How long a stop may take: a little less than the context leaves, so that its end is seen before the context's.
func leftToStop(ctx context.Context) time.Duration {
	whole := left(ctx, stopTimeout)
	return whole - min(grace, whole/10)
}

// In whole milliseconds, at least 1.
func milliseconds(d time.Duration) uint64 {
	return uint64(max(1, (d+time.Millisecond-1)/time.Millisecond))
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
