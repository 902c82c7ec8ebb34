//go:build cgo

package primacy

import (
	"context"
	"slices"
	"testing"
	"time"

	"primacy.example/go/internal/callback"
)

// The clock alone, to compare with.
func BenchmarkTimeNow(b *testing.B) {
	for b.Loop() {
		_ = time.Now()
	}
}

// The least that a call into C costs.
func BenchmarkCallOfC(b *testing.B) {
	for b.Loop() {
		callback.Nothing()
	}
}

// The same with a reading of CLOCK_BOOTTIME in it: the floor of IsPrimary, since Go's own clock stops while the machine is
// suspended.
func BenchmarkClockByC(b *testing.B) {
	for b.Loop() {
		callback.BootTime()
	}
}

// The reading alone.
func BenchmarkClockInC(b *testing.B) {
	b.ReportMetric(callback.Clock(b.N), "ns/op")
}

func BenchmarkIsPrimary(b *testing.B) {
	h := campaign(b, open(b, configOf(b, newRoot())), "rootcoord", nil)
	next(b, "primary", h.primary)
	for b.Loop() {
		if !h.election.IsPrimary() {
			b.Fatal("not primary")
		}
	}
}

func BenchmarkIsPrimaryParallel(b *testing.B) {
	h := campaign(b, open(b, configOf(b, newRoot())), "rootcoord", nil)
	next(b, "primary", h.primary)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			h.election.IsPrimary()
		}
	})
}

func BenchmarkIsPrimaryOfAStandby(b *testing.B) {
	root := newRoot()
	one := campaign(b, open(b, configOf(b, root)), "rootcoord", nil)
	next(b, "primary", one.primary)
	two := campaign(b, open(b, configOf(b, root)), "rootcoord", nil)
	next(b, "standby", two.standby)
	for b.Loop() {
		two.election.IsPrimary()
	}
}

func BenchmarkRemaining(b *testing.B) {
	h := campaign(b, open(b, configOf(b, newRoot())), "rootcoord", nil)
	next(b, "primary", h.primary)
	for b.Loop() {
		h.election.Remaining()
	}
}

// From the request that ends primacy to the first line of OnLost, through the library: its thread wakes, decides, and
// calls. etcd is not asked in between.
func BenchmarkCloseToOnLost(b *testing.B) {
	session := open(b, configOf(b, newRoot()))
	called := make(chan time.Duration, 1)
	starts := make([]time.Duration, 0, b.N)
	for range b.N {
		h := campaign(b, session, "rootcoord", func(handlers *Handlers) {
			handlers.OnLost = func(context.Context, Lost) error { called <- callback.Now(); return nil }
		})
		next(b, "primary", h.primary)
		for next(b, "an event", h.election.Events()).Kind != EventReady {
		}
		began := callback.Now()
		if err := h.election.Close(context.Background()); err != nil {
			b.Fatal(err)
		}
		starts = append(starts, next(b, "lost", called)-began)
	}
	slices.Sort(starts)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(starts[len(starts)/2].Nanoseconds()), "ns-median/start")
	b.ReportMetric(float64(starts[len(starts)*99/100].Nanoseconds()), "ns-p99/start")
}

// A guarded write, with a real etcd on the same machine.
func BenchmarkCommit(b *testing.B) {
	root := newRoot()
	h := campaign(b, open(b, configOf(b, root)), "rootcoord", nil)
	win := next(b, "primary", h.primary)
	txn := new(Txn).Put(root+"/data", []byte("x"))
	for b.Loop() {
		if _, err := h.election.Commit(context.Background(), win.Token, txn); err != nil {
			b.Fatal(err)
		}
	}
}
