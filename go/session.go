package primacy

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"
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
// It waits for as long as ctx and the setting etcd.requestTimeout allow; if it fails, nothing is left over. [MayPass]
// says whether trying again can help.
func Open(ctx context.Context, config Config) (*Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, &Error{Op: "open", Code: ErrTimeout, cause: err}
	}
	type opened struct {
		handle uint64
		log    *queue[line]
		err    error
	}
	got, ok := await(ctx, func() opened {
		handle, log, err := sessionOpen(&config)
		return opened{handle, log, err}
	}, func(late opened) {
		if late.err == nil {
			_ = sessionFree(late.handle)
		}
	})
	if !ok {
		return nil, &Error{Op: "open", Code: ErrTimeout, cause: ctx.Err()}
	}
	if got.err != nil {
		return nil, named("open", got.err)
	}
	return &Session{handle: got.handle, log: got.log, closed: make(chan struct{})}, nil
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
// without a deadline gets ten seconds. ErrUnreachable, ErrIndefinite, ErrTimeout: reading again does no harm.
// ErrDenied, ErrRefused, ErrArgument, ErrStopped, ErrClosed.
func (s *Session) Read(ctx context.Context, txn *Txn) (*Result, error) {
	if s == nil {
		return nil, failed("read", ErrClosed, "")
	}
	if txn == nil {
		return nil, failed("read", ErrNull, "txn is nil")
	}
	return transact(ctx, "read", ErrTimeout, func(timeout uint64) (*Result, error) {
		return sessionRead(s.handle, txn, timeout)
	})
}

// Runs a transaction for as long as ctx lasts. unknown: what it is if ctx ends first.
func transact(ctx context.Context, op string, unknown Code, run func(timeout uint64) (*Result, error)) (*Result, error) {
	type answer struct {
		result *Result
		err    error
	}
	if err := ctx.Err(); err != nil {
		return nil, &Error{Op: op, Code: ErrTimeout, Message: "not sent", cause: err}
	}
	timeout := milliseconds(left(ctx, requestTimeout))
	got, ok := await(ctx, func() answer {
		result, err := run(timeout)
		return answer{result, err}
	}, func(answer) {})
	if !ok {
		return nil, &Error{Op: op, Code: unknown, cause: ctx.Err()}
	}
	return got.result, named(op, got.err)
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
// is past already, the stop goes on for at most thirty seconds. ErrTimeout: a handler has not returned, or ctx was
// done. Closing again waits again, and says the same. With the context of a handler of this session it returns nil at
// once, and the stop begins when that handler returns.
func (s *Session) Close(ctx context.Context) error {
	if s == nil || s.closed == nil {
		return nil
	}
	if c := callOf(ctx); c != nil && c.election.session == s && c.then(func() { s.beginClose(stopTimeout) }) {
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

func (s *Session) beginClose(timeout time.Duration) {
	_ = sessionStop(s.handle, milliseconds(timeout)) // a later one can only shorten the first
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.closing = true
		go s.finishClose(timeout)
	}
}

func (s *Session) finishClose(timeout time.Duration) {
	joined := sessionJoin(s.handle, milliseconds(timeout+grace))
	s.mu.Lock()
	elections := s.elections
	s.elections = nil
	s.mu.Unlock()
	var hang []string
	for _, e := range elections {
		if joined != nil && !e.isStopped() {
			hang = append(hang, e.role)
		}
		// What hangs has had its time: without this, free would begin to wait for it anew.
		_ = electionStop(e.handle, 1)
		_ = electionFree(e.handle)
	}
	freed := sessionFree(s.handle)
	if joined == nil {
		joined = freed
	}
	if joined != nil {
		message := ""
		if len(hang) > 0 {
			message = "a handler has not returned: " + strings.Join(hang, ", ")
		}
		joined = failed("close", ErrTimeout, message)
	}
	s.closeErr = joined
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
