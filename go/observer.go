package primacy

import (
	"context"
	"sync"
)

// A Primary is who is primary of a role. Its zero value: nobody.
type Primary struct {
	// ServerID of the primary.
	ServerID int64
	// Address where it serves, host:port.
	Address string
	// Token of its win: that of a later one is higher.
	Token Token
	// Ready: its OnPrimary has succeeded under this token, so that it serves. Also of a coordinator that does not say,
	// as Milvus's own do not.
	Ready bool
}

// An Observer follows who is primary of a role, for its clients. It needs no session and no lease.
type Observer struct {
	handle uint64
	role   string

	mu      sync.Mutex
	current Primary
	told    bool
	changed chan struct{} // closed at the next change, or at the end
	closed  bool
	stopped chan struct{}
}

// Observe opens an observer of role; config needs no candidate. It waits for etcd's first answer, for as long as ctx and
// the setting etcd.requestTimeout allow. The errors are those of [Open], and ErrRole.
func Observe(ctx context.Context, config Config, role string) (*Observer, error) {
	const op = "observe"
	if err := ctx.Err(); err != nil {
		return nil, &Error{Op: op, Code: ErrTimeout, cause: err}
	}
	o := &Observer{role: role, changed: make(chan struct{}), stopped: make(chan struct{})}
	type opened struct {
		handle  uint64
		primary Primary
		err     error
	}
	got, ok := await(ctx, func() opened {
		handle, primary, err := observerOpen(&config, role, o)
		return opened{handle, primary, err}
	}, func(late opened) {
		if late.err == nil {
			_ = observerFree(late.handle)
		}
	})
	if !ok {
		return nil, &Error{Op: op, Code: ErrTimeout, cause: ctx.Err()}
	}
	if got.err != nil {
		return nil, named(op, got.err)
	}
	o.handle = got.handle
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.told { // what was told is newer than what was found at the start
		o.current = got.primary
	}
	return o, nil
}

// Current returns who is primary, as far as this observer has heard, and false if nobody is. An earlier answer is never
// taken back.
func (o *Observer) Current() (Primary, bool) {
	if o == nil {
		return Primary{}, false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.current, o.current.Token != 0
}

// Wait waits until the primary is another than the one whose token was seen, and returns it; a zero Primary: nobody is.
// With 0 it waits until somebody is.
//
// ErrTimeout: ctx was done. ErrClosed: closed, perhaps meanwhile.
func (o *Observer) Wait(ctx context.Context, seen Token) (Primary, error) {
	return o.wait(ctx, "nothing changed", func(primary Primary) bool { return primary.Token != seen })
}

// WaitForChange waits until anything is other than in seen: another primary, the same one has become ready, or there is
// none any more; and returns what is. Only the latest counts: changes that follow each other fast are one. The errors are
// those of Wait.
func (o *Observer) WaitForChange(ctx context.Context, seen Primary) (Primary, error) {
	return o.wait(ctx, "nothing changed", func(primary Primary) bool { return primary != seen })
}

// WaitForPrimary waits until somebody is primary, ready or not, and returns who. The errors are those of Wait.
func (o *Observer) WaitForPrimary(ctx context.Context) (Primary, error) { return o.Wait(ctx, 0) }

// WaitUntilReady waits until somebody is primary and ready, and returns who: what a client does before each call. When
// that call fails, it waits a little for another primary, with [Observer.Wait], and comes back here: the newest one may
// only be busy, and is the one to ask again. The errors are those of Wait.
func (o *Observer) WaitUntilReady(ctx context.Context) (Primary, error) {
	return o.wait(ctx, "nobody is ready", func(primary Primary) bool { return primary.Ready })
}

func (o *Observer) wait(ctx context.Context, otherwise string, reached func(Primary) bool) (Primary, error) {
	const op = "wait for primary"
	if o == nil || o.stopped == nil {
		return Primary{}, failed(op, ErrClosed, "")
	}
	for {
		o.mu.Lock()
		current, changed, closed := o.current, o.changed, o.closed
		o.mu.Unlock()
		switch {
		case closed:
			return Primary{}, failed(op, ErrClosed, "")
		case reached(current):
			return current, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Primary{}, &Error{Op: op, Code: ErrTimeout, Message: otherwise + ": " + o.role, cause: ctx.Err()}
		}
	}
}

// Close ends the observer; what waits for it ends with ErrClosed. Closing again does nothing.
func (o *Observer) Close() error {
	if o == nil || o.stopped == nil {
		return nil
	}
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		<-o.stopped
		return nil
	}
	o.closed = true
	close(o.changed)
	o.current = Primary{}
	o.mu.Unlock()
	err := observerFree(o.handle)
	<-o.stopped
	return named("close", err)
}

// There is another primary, it has become ready, or there is none. Runs on a thread of the library.
func (o *Observer) change(primary Primary) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.current, o.told = primary, true
	close(o.changed)
	o.changed = make(chan struct{})
}

// The last call of the library. Runs on a thread of it.
func (o *Observer) ended() { close(o.stopped) }
