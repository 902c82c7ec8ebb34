//go:build cgo && linux

package callback

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"
)

// The call alone.
func BenchmarkCall(b *testing.B) {
	took := Run(b.N, func(time.Duration) {})
	b.ReportMetric(float64(took.Nanoseconds()), "ns/call")
}

// The call, with the like of what package primacy does in it: a context, an entry in a map, a goroutine. How long the
// thread of C is held is ns/call; how long until the handler runs, ns-median/start and ns-p99/start. One at a time, as the
// handlers of an election.
func BenchmarkHandler(b *testing.B) {
	var mu sync.Mutex
	calls := map[uint64]context.Context{}
	starts := make([]time.Duration, 0, b.N+1)
	held := time.Duration(0)
	Run(b.N, func(called time.Duration) {
		ctx, cancel := context.WithCancelCause(context.Background())
		mu.Lock()
		calls[1] = ctx
		mu.Unlock()
		started := make(chan time.Duration)
		go func() {
			started <- Now()
			mu.Lock()
			delete(calls, 1)
			mu.Unlock()
			cancel(nil)
		}()
		held += Now() - called
		starts = append(starts, <-started-called)
	})
	slices.Sort(starts)
	b.ReportMetric(float64(held.Nanoseconds())/float64(len(starts)), "ns/call")
	b.ReportMetric(float64(starts[len(starts)/2].Nanoseconds()), "ns-median/start")
	b.ReportMetric(float64(starts[len(starts)*99/100].Nanoseconds()), "ns-p99/start")
}
