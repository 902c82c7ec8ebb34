package primacy

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
)

type win struct {
	token  Token
	ctx    context.Context
	cancel context.CancelCauseFunc
	over   chan struct{}
}

// One call of a handler.
type call struct {
	election *Election
	id       uint64
	kind     Callback
	reason   Reason
	token    Token
	lease    int64
	holderID int64
	holder   string

	ctx    context.Context
	cancel context.CancelCauseFunc
	win    *win

	mu    sync.Mutex
	ended bool
	after []func()
}

// The library calls a handler. Runs on one of its threads, so it only starts a goroutine.
func (e *Election) called(c *call) {
	c.election = e
	ctx := context.WithValue(context.Background(), callKey{}, c)
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	e.mu.Lock()
	handlers := e.handlers
	e.calls[c.id] = c
	switch c.kind {
	case CallbackPrimary:
		// The context outlives the call.
		c.win = &win{token: c.token, ctx: c.ctx, cancel: c.cancel, over: make(chan struct{})}
		e.win = c.win
		e.publish(Event{Kind: EventPrimary, Token: c.token})
	case CallbackLost:
		if e.win != nil && e.win.token == c.token {
			c.win = e.win
		}
		e.publish(Event{Kind: EventLost, Token: c.token, Reason: c.reason})
	case CallbackStandby:
		e.publish(Event{Kind: EventStandby, HolderID: c.holderID, HolderAddress: c.holder})
	}
	e.mu.Unlock()
	if c.kind == CallbackLost && c.win != nil {
		c.win.cancel(&LostError{Lost{Token: c.token, Lease: c.lease, Reason: c.reason}})
	}
	go e.run(c, handlers)
}

// The library wants a call to end soon. Runs on one of its threads.
func (e *Election) cancelled(id uint64) {
	e.mu.Lock()
	c := e.calls[id]
	e.mu.Unlock()
	// The end of primacy comes with its reason, by the call of OnLost that is on its way.
	if c != nil && c.kind != CallbackPrimary {
		c.cancel(context.Canceled)
	}
}

// Runs the handler of a call, and tells the library how it ended.
func (e *Election) run(c *call, handlers *Handlers) {
	var warm Warm
	var err error
	returned := false
	outcome, message := outcomeFailed, ""
	// Runs last, whatever the host's code does below: a call that is never completed would hold up its role for ever.
	defer func() { e.complete(c, outcome, message) }()
	defer func() {
		if returned {
			switch {
			case err != nil:
				message = textOf(err.Error)
			case c.kind == CallbackWarmup && bool(warm):
				outcome = outcomeWarm
			default:
				outcome = outcomeDone
			}
			return
		}
		// A recovered panic ends here; Goexit has no value, and goes on when this has returned.
		if value := recover(); value != nil {
			text := textOf(func() string { return fmt.Sprint(value) })
			message = "the handler panicked: " + text
			e.session.warn("a handler panicked", "role", e.role, "panic", text, "stack", string(debug.Stack()))
		} else {
			message = "the handler ended its goroutine (runtime.Goexit)"
			e.session.warn("a handler ended its goroutine", "role", e.role)
		}
	}()
	// A cancel that came before the call was in the list was told to nobody.
	if c.kind != CallbackPrimary && electionIsCancelled(e.handle, c.id) {
		c.cancel(context.Canceled)
	}
	switch c.kind {
	case CallbackStandby:
		if handlers.OnStandby != nil {
			err = handlers.OnStandby(c.ctx, Standby{HolderID: c.holderID, HolderAddress: c.holder})
		}
	case CallbackWarmup:
		warm = true
		if handlers.OnWarmup != nil {
			warm, err = handlers.OnWarmup(c.ctx)
		}
	case CallbackPrimary:
		err = handlers.OnPrimary(c.ctx, Win{Token: c.token, Lease: c.lease})
	case CallbackLost:
		err = handlers.OnLost(c.ctx, Lost{Token: c.token, Lease: c.lease, Reason: c.reason})
	}
	returned = true
}

// The text of an error or of a panic's value, by the host's code, which may panic too: Error of a typed nil often does.
// It is one that the library takes: it would refuse what is not UTF-8, and with it the end of the call.
func textOf(get func() string) (text string) {
	defer func() {
		if recover() != nil {
			text = "(its text is not known: asking for it panicked)"
		}
	}()
	return strings.ReplaceAll(strings.ToValidUTF8(get(), "\uFFFD"), "\x00", "")
}

// Tells the library how a call ended.
func (e *Election) complete(c *call, outcome int32, message string) {
	if c.kind != CallbackPrimary {
		c.cancel(context.Canceled)
	}
	e.mu.Lock()
	delete(e.calls, c.id)
	if c.kind == CallbackLost && c.win != nil && e.win == c.win {
		e.win = nil
	}
	e.mu.Unlock()
	after := c.end()
	err := electionComplete(e.handle, c.id, outcome, message)
	if err != nil && message != "" && !errors.Is(err, ErrCall) {
		err = electionComplete(e.handle, c.id, outcome, "")
	}
	if err != nil && !errors.Is(err, ErrCall) { // ErrCall: the library has ended the call, and did not wait
		e.session.warn("the end of a handler could not be told", "role", e.role, "error", err)
	}
	for _, f := range after {
		f()
	}
	if c.kind == CallbackLost && c.win != nil {
		close(c.win.over)
	}
}

const (
	outcomeDone   int32 = 0
	outcomeWarm   int32 = 1
	outcomeFailed int32 = 3
)

type callKey struct{}

// The handler's call that a context comes from; nil: none.
func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// Puts off what is asked for inside a handler until it has returned. False: it has already.
func (c *call) then(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.after = append(c.after, f)
	return true
}

func (c *call) end() []func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	return c.after
}
