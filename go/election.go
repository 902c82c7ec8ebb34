package primacy

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

const eventsKept = 64

// An Election is a role on a session.
type Election struct {
	session *Session
	role    string
	handle  uint64

	mu       sync.Mutex
	handlers *Handlers        // nil until Campaign
	calls    map[uint64]*call // by the library's ids
	win      *win             // from the start of OnPrimary to the end of OnLost
	missed   int
	closing  bool

	events  chan Event
	stopped chan struct{} // closed when nothing of it runs any more
	freed   chan struct{} // closed when Close is through with it
}

type win struct {
	token  Token
	ctx    context.Context
	cancel context.CancelCauseFunc
	over   chan struct{}
}

type callKind int32

const (
	callStandby callKind = 1
	callWarmup  callKind = 2
	callPrimary callKind = 3
	callLost    callKind = 4
)

// One call of a handler.
type call struct {
	election *Election
	id       uint64
	kind     callKind
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

// Role of the election.
func (e *Election) Role() string {
	if e == nil {
		return ""
	}
	return e.role
}

// Campaign takes part from now on: [Handlers.OnPrimary] follows if nobody holds the lock, else [Handlers.OnStandby].
// It returns at once, and may be called once.
func (e *Election) Campaign(handlers Handlers) error {
	const op = "campaign"
	switch {
	case e == nil:
		return failed(op, ErrClosed, "")
	case handlers.OnPrimary == nil:
		return failed(op, ErrNull, "Handlers.OnPrimary is nil")
	case handlers.OnLost == nil:
		return failed(op, ErrNull, "Handlers.OnLost is nil")
	}
	e.mu.Lock()
	if e.handlers != nil {
		e.mu.Unlock()
		return failed(op, ErrArgument, "this election has its handlers already")
	}
	e.handlers = &handlers
	e.mu.Unlock()
	return named(op, electionCampaign(e.handle))
}

// IsPrimary says whether this process is the primary, now, by the clock.
//
// It compares the time with the deadline of the lease at each call, so it answers false in time also when the process
// was paused or cut off from etcd. Between the answer and what is done with it time passes: what must never be written
// by a former primary is written by [Election.Commit].
func (e *Election) IsPrimary() bool { return e.Token() != 0 }

// Token returns the fencing token of the win by which this process is the primary, now, by the clock; 0: it is not.
// Remember it with the work that it covers; do not ask again before the write.
func (e *Election) Token() Token {
	if e == nil {
		return 0
	}
	return electionToken(e.handle)
}

// Remaining says for how long this process can still be sure to be the primary, should no renewal come; 0: it is not.
// Start nothing that takes longer.
func (e *Election) Remaining() time.Duration {
	if e == nil {
		return 0
	}
	return electionRemaining(e.handle)
}

// Commit is the guarded write: it commits txn in one etcd transaction that also compares that the lock is still held by
// the win of token. By anyone but the present holder it never commits, however late it arrives. It still does while a
// resignation or a stop drains, until [Handlers.OnLost] has returned.
//
// token is the one that [Handlers.OnPrimary] or [Election.Token] gave. A ctx without a deadline gets ten seconds. The
// Result comes with nil and with ErrConflict.
//
// ErrNotPrimary: for sure nothing was written, nor will be. ErrConflict: still primary, but a comparison of txn did not
// hold. ErrIndefinite: it may have been written, or will be a little later. With any other error nothing was
// written: ErrUnreachable, ErrDenied, ErrRefused (a batch too large is refused, never split), ErrTimeout (ctx was done
// before it began), ErrArgument, ErrClosed.
func (e *Election) Commit(ctx context.Context, token Token, txn *Txn) (*Result, error) {
	if e == nil {
		return nil, failed("commit", ErrClosed, "")
	}
	if txn == nil {
		return nil, failed("commit", ErrNull, "txn is nil")
	}
	return transact(ctx, "commit", ErrIndefinite, func(timeout uint64) (*Result, error) {
		return electionCommit(e.handle, token, txn, timeout)
	})
}

// A Compare is part of the guard of a win: the key was last written at ModRevision, and hangs on Lease.
type Compare struct {
	Key                string
	ModRevision, Lease int64
}

// Guard returns what [Election.Commit] compares besides a transaction's own, for writes to the same etcd by a client of
// the host's own, as package etcdfence does. Add all of it to each transaction, and it commits for nobody but the holder
// of this win. It stays the same for as long as the win lasts, and does not ask etcd.
//
// ErrNotPrimary: token is not that of a win that still counts. ErrClosed.
func (e *Election) Guard(token Token) ([]Compare, error) {
	if e == nil {
		return nil, failed("guard", ErrClosed, "")
	}
	result, err := electionGuard(e.handle, token)
	if err != nil {
		return nil, named("guard", err)
	}
	var guard []Compare
	for _, kv := range result.Gets[0] {
		guard = append(guard, Compare{Key: kv.Key, ModRevision: kv.ModRevision, Lease: kv.Lease})
	}
	return guard, nil
}

// Resign gives primacy up, if this process has it, and goes on as a standby that lets others go first.
//
// It waits until [Handlers.OnLost] has returned, or ctx is done, which does not take it back. Where this process is
// not primary there is nothing to wait for. With the context of a handler of this election it returns nil at once, and
// takes effect when that handler returns; with that of a win whose OnPrimary has returned, it returns nil as soon as
// primacy is over, so OnLost may wait for whoever asked.
func (e *Election) Resign(ctx context.Context) error {
	const op = "resign"
	if e == nil {
		return failed(op, ErrClosed, "")
	}
	if c := callOf(ctx); c != nil && c.election == e && c.then(func() { _ = electionResign(e.handle) }) {
		return nil
	}
	e.mu.Lock()
	win := e.win
	e.mu.Unlock()
	if err := electionResign(e.handle); err != nil {
		return named(op, err)
	}
	if win == nil {
		return nil
	}
	select {
	case <-win.over:
		return nil
	case <-e.stopped:
		return nil
	case <-ctx.Done():
	}
	var lost *LostError
	if errors.As(context.Cause(ctx), &lost) && lost.Lost.Token == win.token {
		return nil
	}
	return &Error{Op: op, Code: ErrTimeout, cause: ctx.Err()}
}

// Events tells what happens to the election. The channel keeps the last 64: if nobody takes them, older ones are
// dropped, and [Event.Missed] counts them. It is closed when the election has ended.
func (e *Election) Events() <-chan Event {
	if e == nil || e.events == nil {
		closed := make(chan Event)
		close(closed)
		return closed
	}
	return e.events
}

// Close ends this election; the session and its other elections go on. A primary gets [Handlers.OnLost], the lock is
// released, the candidate's record removed.
//
// It waits, and may be called again and inside a handler, as [Session.Close].
func (e *Election) Close(ctx context.Context) error {
	const op = "close"
	if e == nil || e.session == nil {
		return nil
	}
	if c := callOf(ctx); c != nil && c.election == e && c.then(func() { e.beginClose(stopTimeout) }) {
		return nil
	}
	e.beginClose(leftToStop(ctx))
	select {
	case <-e.freed: // not only stopped: then the role is free for another election, too
	case <-ctx.Done():
		return &Error{Op: op, Code: ErrTimeout, cause: ctx.Err()}
	}
	if !e.isStopped() {
		return failed(op, ErrTimeout, "a handler has not returned: "+e.role)
	}
	return nil
}

func (e *Election) beginClose(timeout time.Duration) {
	_ = electionStop(e.handle, milliseconds(timeout)) // a later one can only shorten the first
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closing {
		e.closing = true
		go func() {
			_ = electionFree(e.handle)
			e.session.forget(e)
			close(e.freed)
		}()
	}
}

func (e *Election) isStopped() bool {
	select {
	case <-e.stopped:
		return true
	default:
		return false
	}
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
	case callPrimary:
		// The context outlives the call.
		c.win = &win{token: c.token, ctx: c.ctx, cancel: c.cancel, over: make(chan struct{})}
		e.win = c.win
		e.publish(Event{Kind: EventPrimary, Token: c.token})
	case callLost:
		if e.win != nil && e.win.token == c.token {
			c.win = e.win
		}
		e.publish(Event{Kind: EventLost, Token: c.token, Reason: c.reason})
	case callStandby:
		e.publish(Event{Kind: EventStandby, HolderID: c.holderID, HolderAddress: c.holder})
	}
	e.mu.Unlock()
	if c.kind == callLost && c.win != nil {
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
	if c != nil && c.kind != callPrimary {
		c.cancel(context.Canceled)
	}
}

// The library tells of something. Runs on one of its threads.
func (e *Election) noticed(event Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.publish(event)
}

// Nothing of the election runs any more. Runs on one of the library's threads, as the last.
func (e *Election) ended() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.events)
	close(e.stopped)
}

// Called with the lock held. Never waits: the oldest event makes room.
func (e *Election) publish(event Event) {
	for {
		event.Missed = e.missed
		select {
		case e.events <- event:
			e.missed = 0
			return
		default:
		}
		select {
		case oldest := <-e.events:
			e.missed += 1 + oldest.Missed
		default:
		}
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
			case c.kind == callWarmup && bool(warm):
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
	if c.kind != callPrimary && electionIsCancelled(e.handle, c.id) {
		c.cancel(context.Canceled)
	}
	switch c.kind {
	case callStandby:
		if handlers.OnStandby != nil {
			err = handlers.OnStandby(c.ctx, Standby{HolderID: c.holderID, HolderAddress: c.holder})
		}
	case callWarmup:
		warm = true
		if handlers.OnWarmup != nil {
			warm, err = handlers.OnWarmup(c.ctx)
		}
	case callPrimary:
		err = handlers.OnPrimary(c.ctx, Win{Token: c.token, Lease: c.lease})
	case callLost:
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
	if c.kind != callPrimary {
		c.cancel(context.Canceled)
	}
	e.mu.Lock()
	delete(e.calls, c.id)
	if c.kind == callLost && c.win != nil && e.win == c.win {
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
	if c.kind == callLost && c.win != nil {
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
