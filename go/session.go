package primacy

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
)

// A Session is a connection to etcd, a lease, a server id, and the elections on them.
type Session struct {
	handle uint64
	log    *queue[line] // nil: no logger

	mu        sync.Mutex
	elections []*Election
	closing   bool
	closed    chan struct{}
	closeErr  error // valid once closed is
}

// Open opens a session: connects to etcd, asks for a lease, takes a server id.
//
// It waits for as long as ctx and the setting etcd.requestTimeout allow, and 100 ms more to clean up where ctx ends it;
// if it fails, nothing is left over. [MayPass] says whether trying again can help.
func Open(ctx context.Context, config Config) (*Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, &Error{Op: "open", Code: ErrTimeout, cause: err}
	}
	opened := make(chan error, 1)
	handle, log, err := sessionStartOpen(&config, func(err error) { opened <- err })
	if err != nil {
		return nil, named("open", err)
	}
	select {
	case err = <-opened:
	case <-ctx.Done():
		select {
		case err = <-opened:
		default:
			err = &Error{Code: ErrTimeout, cause: ctx.Err()}
		}
	}
	if err != nil {
		_ = sessionFree(handle)
		return nil, named("open", err)
	}
	return &Session{handle: handle, log: log, closed: make(chan struct{})}, nil
}

// ServerID is this process's id in etcd: positive, and the same for as long as the session lives, unless etcd is put
// back to an older state. 0: closed.
func (s *Session) ServerID() int64 {
	if s == nil {
		return 0
	}
	return sessionServerID(s.handle)
}

// Register adds an election: puts the candidate's record for role in etcd, soon, and nothing else until
// [Election.Campaign].
//
// ErrRole: the name is refused. ErrRoleTaken: this session runs it already, or mixcoord beside one of its three.
// ErrStopped, ErrClosed.
func (s *Session) Register(role string) (*Election, error) {
	if s == nil {
		return nil, failed("register", ErrClosed, "")
	}
	e := &Election{
		session: s,
		role:    role,
		calls:   make(map[uint64]*call),
		events:  make(chan Event, eventsKept),
		stopped: make(chan struct{}),
		freed:   make(chan struct{}),
	}
	handle, err := sessionRegister(s.handle, role, e)
	if err != nil {
		return nil, named("register", err)
	}
	e.handle = handle
	s.mu.Lock()
	closing := s.closing
	if !closing {
		s.elections = append(s.elections, e)
	}
	s.mu.Unlock()
	if closing { // who closes the session may have taken the list already, and would not free this one
		_ = electionStop(e.handle, 1)
		_ = electionFree(e.handle)
		return nil, failed("register", ErrStopped, "")
	}
	return e, nil
}

// Read reads, linearizably: never older than what any finished write left. txn has gets only.
//
// The read stands under no token: to write what depends on it, compare the key's ModRevision in the commit. A ctx
// without a deadline gets etcd.requestTimeout. ErrUnreachable, ErrIndefinite, ErrTimeout: reading again does no harm.
// ErrDenied, ErrRefused, ErrArgument, ErrStopped, ErrClosed.
func (s *Session) Read(ctx context.Context, txn *Txn) (*Result, error) {
	if s == nil {
		return nil, failed("read", ErrClosed, "")
	}
	if txn == nil {
		return nil, failed("read", ErrNull, "txn is nil")
	}
	return transact(ctx, "read", ErrTimeout, func(timeout uint64, told func(*Result, error)) error {
		return sessionStartRead(s.handle, txn, timeout, told)
	})
}

// Runs a transaction for as long as ctx lasts. unknown: what it is if ctx ends first.
func transact(ctx context.Context, op string, unknown Code,
	start func(timeout uint64, told func(*Result, error)) error) (*Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, &Error{Op: op, Code: ErrTimeout, Message: "not sent", cause: err}
	}
	type answer struct {
		result *Result
		err    error
	}
	got := make(chan answer, 1)
	if err := start(left(ctx), func(result *Result, err error) { got <- answer{result, err} }); err != nil {
		return nil, named(op, err)
	}
	select {
	case answer := <-got:
		return answer.result, named(op, answer.err)
	case <-ctx.Done():
	}
	select {
	case answer := <-got:
		return answer.result, named(op, answer.err)
	default:
		return nil, &Error{Op: op, Code: unknown, cause: ctx.Err()}
	}
}

// Status says what the session and its elections are doing now. It does not ask etcd.
func (s *Session) Status() (Status, error) {
	var status Status
	if s == nil {
		return status, failed("status", ErrClosed, "")
	}
	text, err := sessionSnapshot(s.handle)
	if err != nil {
		return status, named("status", err)
	}
	if err := json.Unmarshal(text, &status); err != nil {
		return status, failed("status", ErrInternal, err.Error())
	}
	status.Raw = text
	return status, nil
}

// MarkStopping says that this server is going to stop: the records of its candidates, never the locks, have Milvus's
// Stopping from now on, whatever they are rewritten for later. Milvus's readers take work away from such a server. Nothing
// else changes: elections go on until they are closed.
//
// It returns at once, and can not be taken back; [ElectionStatus.Stopping] says when the record does. ErrClosed.
func (s *Session) MarkStopping() error {
	const op = "mark stopping"
	if s == nil {
		return failed(op, ErrClosed, "")
	}
	return named(op, sessionMarkStopping(s.handle))
}

// Close ends the session and its elections: those that are primary get [Handlers.OnLost], the locks are released when
// their handlers have returned, records and lease are removed from etcd.
//
// It waits until all is over, or ctx is done. The deadline of ctx bounds the stop as well; without one, and with one that
// is past already, the stop goes on for at most primacy.drain_timeout_ms. ErrTimeout: a handler has not returned, or ctx was
// done. Closing again waits again, and says the same. With the context of a handler of this session it returns nil at
// once, and the stop begins when that handler returns.
func (s *Session) Close(ctx context.Context) error {
	if s == nil || s.closed == nil {
		return nil
	}
	if c := callOf(ctx); c != nil && c.election.session == s && c.then(func() { s.beginClose(asConfigured) }) {
		return nil
	}
	s.beginClose(leftToStop(ctx))
	select {
	case <-s.closed:
		return s.closeErr
	case <-ctx.Done():
	}
	select {
	case <-s.closed:
		return s.closeErr
	default:
		return &Error{Op: "close", Code: ErrTimeout, cause: ctx.Err()}
	}
}

func (s *Session) beginClose(timeout uint64) {
	s.mu.Lock()
	begun := s.closing
	s.closing = true
	s.mu.Unlock()
	if !begun {
		go s.finishClose(timeout)
	} else if timeout != asConfigured {
		_ = sessionStop(s.handle, timeout) // a later one can only shorten the first
	}
}

func (s *Session) finishClose(timeout uint64) {
	err := sessionClose(s.handle, timeout)
	s.mu.Lock()
	elections := s.elections
	s.elections = nil
	s.mu.Unlock()
	for _, e := range elections { // what hangs has had its time: nothing waits for it anew
		_ = electionFree(e.handle)
	}
	freed := sessionFree(s.handle)
	if err == nil {
		err = freed
	}
	s.closeErr = named("close", err)
	close(s.closed)
}

func (s *Session) forget(e *Election) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.elections = slices.DeleteFunc(s.elections, func(other *Election) bool { return other == e })
}

// Never waits, and runs no code of the host.
func (s *Session) warn(text string, args ...any) {
	if s.log != nil {
		s.log.put(line{warning, "primacy: " + text, args})
	}
}
