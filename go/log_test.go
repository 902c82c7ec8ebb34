//go:build cgo

package primacy

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// Shows the library's lines with the test, as long as it runs.
func testLogger(t testing.TB) *slog.Logger {
	if _, benchmark := t.(*testing.B); benchmark {
		return nil
	}
	w := &testWriter{t: t}
	t.Cleanup(func() { w.mu.Lock(); defer w.mu.Unlock(); w.ended = true })
	return slog.New(slog.NewTextHandler(w, nil))
}

type testWriter struct {
	mu    sync.Mutex
	t     testing.TB
	ended bool
}

func (w *testWriter) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.t.Log(strings.TrimSpace(string(text)))
	}
	return len(text), nil
}

// A handler of log lines that waits until it is let go.
type stuckHandler struct {
	slog.Handler
	seen chan string
	let  chan struct{}
}

func (h *stuckHandler) Handle(_ context.Context, record slog.Record) error {
	h.seen <- record.Message
	<-h.let
	return nil
}

func TestALogHandlerThatBlocksHoldsUpNothing(t *testing.T) {
	noLeaks(t)
	stuck := &stuckHandler{slog.DiscardHandler, make(chan string, 10*queueLimit), make(chan struct{})}
	config := configOf(t, newRoot())
	config.Logger = slog.New(enabled{stuck})
	session := open(t, config)
	h := campaign(t, session, "rootcoord", nil)
	next(t, "primary", h.primary)
	if line := next(t, "a line", stuck.seen); line == "" {
		t.Error("the line is empty")
	}
	if err := session.Close(context.Background()); err != nil {
		t.Error(err)
	}
	close(stuck.let)
}

func TestALogHandlerThatBlocksHoldsUpNoHandlerThatPanicked(t *testing.T) {
	noLeaks(t)
	stuck := &stuckHandler{slog.DiscardHandler, make(chan string, 10*queueLimit), make(chan struct{})}
	config := configOf(t, newRoot())
	config.Logger = slog.New(enabled{stuck})
	session := open(t, config)
	h := campaign(t, session, "rootcoord", func(handlers *Handlers) {
		handlers.OnPrimary = func(context.Context, Win) error { panic("no disk") }
	})
	if lost := next(t, "lost", h.lost); lost.Reason != ActivationFailed {
		t.Errorf("%+v", lost)
	}
	close(stuck.let)
	eventually(t, "the line", func() bool { return next(t, "a line", stuck.seen) == "primacy: a handler panicked" })
}

// A handler of log lines that panics.
type panickingHandler struct{ slog.Handler }

func (panickingHandler) Handle(context.Context, slog.Record) error { panic("no log") }

func TestALogHandlerThatPanicsEndsNothing(t *testing.T) {
	noLeaks(t)
	config := configOf(t, newRoot())
	config.Logger = slog.New(enabled{panickingHandler{slog.DiscardHandler}})
	h := campaign(t, open(t, config), "rootcoord", func(handlers *Handlers) {
		handlers.OnPrimary = func(context.Context, Win) error { panic("no disk") }
	})
	if lost := next(t, "lost", h.lost); lost.Reason != ActivationFailed {
		t.Errorf("%+v", lost)
	}
}

type enabled struct{ slog.Handler }

func (enabled) Enabled(context.Context, slog.Level) bool { return true }

func TestLinesThatFindNoRoomAreLeftOutAndCounted(t *testing.T) {
	q := newQueue[int]()
	for i := range queueLimit + 3 {
		q.put(i)
	}
	q.close()
	items, left, ok := q.take()
	if len(items) != queueLimit || left != 3 || !ok {
		t.Errorf("%d items, %d left out, %v", len(items), left, ok)
	}
	if _, _, ok := q.take(); ok {
		t.Error("a closed queue that is empty still gives")
	}
}
