package primacy

import (
	"context"
	"errors"
	"sync"
	"time"
)

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

// Transfer hands primacy over to a warm standby, if this process has it, and goes on as a standby.
//
// to is the server id of the standby; 0: the best one, which is the one of the highest "primacy.priority", and of those
// the one that has been there for longest. It is asked first, and has half a second to agree, more at a slow etcd; then
// the next one is asked, three at most. Until one has agreed this process is primary, and it stays so if none does: the
// log says why. Then [Handlers.OnLost] is called with [Transferred], and when it has returned one transaction makes the
// standby primary. When that took long, the standby is asked once more. Should it have gone by then and there is no
// other, this process is primary again, under a new token.
//
// It does not wait for any of this. With the context of a handler of this election it takes effect when that handler
// returns.
func (e *Election) Transfer(ctx context.Context, to int64) error {
	const op = "transfer"
	if e == nil {
		return failed(op, ErrClosed, "")
	}
	if c := callOf(ctx); c != nil && c.election == e && c.then(func() { _ = electionTransfer(e.handle, to) }) {
		return nil
	}
	if err := electionTransfer(e.handle, to); err != nil {
		return named(op, err)
	}
	return nil
}

// Healthy says that the host is well, which a primary has to within each "primacy.liveness_timeout_ms", where that is set.
//
// The lease is renewed by the library's own threads, whatever the goroutines of the host do, so that a host that hangs
// would stay primary for as long as its process lives. Call this from where the work is done, and not from a ticker of its
// own. The time counts from the last such call, or from the return of [Handlers.OnPrimary]. Where it runs out
// [Handlers.OnLost] follows, with [LivenessExpired]; the lock is released when that has returned, or
// "primacy.drain_timeout_ms" later, and this process lets others go first. While OnPrimary runs, and without primacy, it
// may be called and need not be; who has called it in OnPrimary has to go on. Any goroutine; it never blocks.
func (e *Election) Healthy() {
	if e != nil {
		_ = electionHealthy(e.handle) // over: there is nothing to be well for
	}
}

// Resign gives primacy up, if this process has it, and goes on as a standby that lets others go first. A warm standby
// takes over as by [Election.Transfer]; if there is none, or none that answers, the lock is released.
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

// Wait waits until reached says yes of where the election stands, and returns that; it is asked again with each change. It
// works before Campaign, too.
//
// ErrStopped, ErrClosed: the election has ended. ErrTimeout: ctx was done.
func (e *Election) Wait(ctx context.Context, reached func(ElectionStatus) bool) (ElectionStatus, error) {
	const op = "wait"
	if e == nil {
		return ElectionStatus{}, failed(op, ErrClosed, "")
	}
	for {
		told := make(chan struct{})
		status, yes, err := electionWatch(e.handle, func(status ElectionStatus) bool {
			status.Role = e.role
			return reached(status)
		}, func() { close(told) })
		status.Role = e.role
		if yes || err != nil {
			return status, named(op, err)
		}
		select {
		case <-told:
		case <-ctx.Done():
			return status, &Error{Op: op, Code: ErrTimeout, cause: ctx.Err()}
		}
	}
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
	if c := callOf(ctx); c != nil && c.election == e && c.then(func() { e.beginClose(asConfigured) }) {
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

func (e *Election) beginClose(timeout uint64) {
	if timeout != asConfigured {
		_ = electionStop(e.handle, timeout) // a later one can only shorten the first
	}
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
