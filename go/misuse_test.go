//go:build cgo

package primacy

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

func expect(t *testing.T, what string, err error, code Code) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Errorf("%s: %v, not %v", what, err, code)
	}
}

var idle = Handlers{
	OnPrimary: func(context.Context, Win) error { return nil },
	OnLost:    func(context.Context, Lost) error { return nil },
}

func TestWhatWasNeverOpenedAnswersErrors(t *testing.T) {
	ctx := context.Background()
	for name, s := range map[string]*Session{"nil": nil, "zero": {}} {
		_, err := s.Register("rootcoord")
		expect(t, name+" Register", err, ErrClosed)
		_, err = s.Read(ctx, new(Txn).Get("x"))
		expect(t, name+" Read", err, ErrClosed)
		_, err = s.Status()
		expect(t, name+" Status", err, ErrClosed)
		expect(t, name+" MarkStopping", s.MarkStopping(), ErrClosed)
		if err := s.Close(ctx); err != nil {
			t.Error(name, err)
		}
		if s.ServerID() != 0 {
			t.Error(name, "ServerID")
		}
	}
	for name, e := range map[string]*Election{"nil": nil, "zero": {}} {
		if e.IsPrimary() || e.Token() != 0 || e.Remaining() != 0 || e.Role() != "" {
			t.Error(name, "is primary")
		}
		expect(t, name+" Campaign", e.Campaign(idle), ErrClosed)
		expect(t, name+" Resign", e.Resign(ctx), ErrClosed)
		_, err := e.Commit(ctx, 1, new(Txn).Put("x", nil))
		expect(t, name+" Commit", err, ErrClosed)
		_, err = e.Guard(1)
		expect(t, name+" Guard", err, ErrClosed)
		if _, open := <-e.Events(); open {
			t.Error(name, "events of no election")
		}
		if err := e.Close(ctx); err != nil {
			t.Error(name, err)
		}
	}
	for name, o := range map[string]*Observer{"nil": nil, "zero": {}} {
		if _, ok := o.Current(); ok || o.Close() != nil {
			t.Error(name, "observer")
		}
		_, err := o.WaitForPrimary(ctx)
		expect(t, name+" WaitForPrimary", err, ErrClosed)
	}
}

func TestAnOpenThatCanNotSucceedSaysWhyAndLeavesNothing(t *testing.T) {
	noLeaks(t)
	good := configOf(t, newRoot())
	for name, c := range map[string]struct {
		change func(*Config)
		code   Code
	}{
		"unknown setting":    {func(c *Config) { c.Settings = map[string]string{"primacy.nonsense": "1"} }, ErrConfigName},
		"value out of range": {func(c *Config) { c.Settings = map[string]string{"common.session.ttl": "-3"} }, ErrConfigValue},
		"relation":           {func(c *Config) { c.Settings = map[string]string{"primacy.margin_ms": "99000"} }, ErrConfigRelation},
		"part of a second":   {func(c *Config) { c.TTL = 1500 * time.Millisecond }, ErrConfigValue},
		"root":               {func(c *Config) { c.Root = "/" }, ErrConfigValue},
		"not UTF-8":          {func(c *Config) { c.Candidate.Address = "\xff" }, ErrUTF8},
		"NUL":                {func(c *Config) { c.Candidate.Address = "127.0.0.1:1\x00" }, ErrUTF8},
		"no address":         {func(c *Config) { c.Candidate.Address = "" }, ErrCandidate},
		"version":            {func(c *Config) { c.Candidate.Version = "three" }, ErrCandidate},
		"nobody there": {func(c *Config) {
			c.Endpoints = []string{"127.0.0.1:1"}
			c.Settings = map[string]string{"etcd.requestTimeout": "300"}
		}, ErrUnreachable},
	} {
		config := good
		c.change(&config)
		session, err := Open(context.Background(), config)
		expect(t, name, err, c.code)
		if session != nil {
			t.Errorf("%s: a session", name)
		}
		if MayPass(err) != (c.code == ErrUnreachable) {
			t.Errorf("%s: MayPass %v", name, MayPass(err))
		}
		if c.code != ErrCandidate && c.code != ErrUTF8 {
			_, err = Observe(context.Background(), config, "rootcoord")
			expect(t, name+" (observer)", err, c.code)
		}
	}
}

func TestRolesAndHandlersThatCanNotBe(t *testing.T) {
	noLeaks(t)
	session := open(t, configOf(t, newRoot()))
	for _, role := range []string{"", "id", "version", "a/b", "rootcoord-2"} {
		_, err := session.Register(role)
		expect(t, "role "+role, err, ErrRole)
		_, err = Observe(context.Background(), configOf(t, newRoot()), role)
		expect(t, "observer of "+role, err, ErrRole)
	}
	_, err := session.Register("rootcoord\x00x")
	expect(t, "a role with a NUL", err, ErrUTF8)
	election := register(t, session, "rootcoord")
	_, err = session.Register("rootcoord")
	expect(t, "again", err, ErrRoleTaken)
	_, err = session.Register("mixcoord")
	expect(t, "mixcoord beside it", err, ErrRoleTaken)
	lost := func(context.Context, Lost) error { return nil }
	primary := func(context.Context, Win) error { return nil }
	expect(t, "no OnPrimary", election.Campaign(Handlers{OnLost: lost}), ErrNull)
	expect(t, "no OnLost", election.Campaign(Handlers{OnPrimary: primary}), ErrNull)
	if err := election.Campaign(Handlers{OnLost: lost, OnPrimary: primary}); err != nil {
		t.Error(err)
	}
	expect(t, "twice", election.Campaign(Handlers{OnLost: lost, OnPrimary: primary}), ErrArgument)
}

func TestTransactionsThatCanNotBe(t *testing.T) {
	noLeaks(t)
	root := newRoot()
	session := open(t, configOf(t, root))
	h := campaign(t, session, "rootcoord", nil)
	win := next(t, "primary", h.primary)
	ctx := context.Background()
	_, err := h.election.Commit(ctx, win.Token, nil)
	expect(t, "nil", err, ErrNull)
	_, err = session.Read(ctx, nil)
	expect(t, "nil", err, ErrNull)
	_, err = session.Read(ctx, new(Txn))
	expect(t, "empty read", err, ErrArgument)
	_, err = session.Read(ctx, new(Txn).Put(root, nil))
	expect(t, "a read that writes", err, ErrArgument)
	_, err = h.election.Commit(ctx, win.Token, new(Txn).Put("", nil))
	expect(t, "no key", err, ErrArgument)
	_, err = h.election.Commit(ctx, win.Token, new(Txn).Put(root+"/a", nil).Put(root+"/a", nil))
	expect(t, "a key twice", err, ErrRefused)
	_, err = h.election.Commit(ctx, win.Token, new(Txn).Put(root+"/a", make([]byte, 4<<20)))
	expect(t, "too large", err, ErrRefused)
	_, err = h.election.Commit(ctx, win.Token, new(Txn).Put(root+"/a", nil).Delete(root+"/session/rootcoord"))
	expect(t, "the lock", err, ErrArgument)
	_, err = h.election.Commit(ctx, win.Token+1, new(Txn).Put(root+"/a", nil))
	expect(t, "another token", err, ErrNotPrimary)
	_, err = h.election.Commit(ctx, 0, new(Txn).Put(root+"/a", nil))
	expect(t, "no token", err, ErrNotPrimary)
	if _, err = h.election.Commit(ctx, win.Token, new(Txn)); err != nil {
		t.Error("an empty commit asks whether the guard holds:", err)
	}
	if _, err = h.election.Commit(ctx, win.Token, new(Txn).Put(root+"/e", nil).IfAbsent(root+"/e")); err != nil {
		t.Error("an empty value:", err)
	}
	if _, err = h.election.Commit(ctx, win.Token, new(Txn).IfValue(root+"/e", nil).IfVersion(root+"/e", 1).
		Delete(root+"/e")); err != nil {
		t.Error("compares an empty value:", err)
	}
}

func TestEveryCallTakesAContextThatIsOver(t *testing.T) {
	noLeaks(t)
	root := newRoot()
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Open(over, configOf(t, root))
	expect(t, "Open", err, ErrTimeout)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("does not say why: %v", err)
	}
	_, err = Observe(over, configOf(t, root), "rootcoord")
	expect(t, "Observe", err, ErrTimeout)
	session := open(t, configOf(t, root))
	release := make(chan struct{})
	h := campaign(t, session, "rootcoord", func(handlers *Handlers) {
		handlers.OnLost = func(context.Context, Lost) error { <-release; return nil }
	})
	win := next(t, "primary", h.primary)
	_, err = session.Read(over, new(Txn).Get(root))
	expect(t, "Read", err, ErrTimeout)
	_, err = h.election.Commit(over, win.Token, new(Txn).Put(root+"/a", nil))
	expect(t, "Commit", err, ErrTimeout)
	if found, _ := etcd.Get(root+"/a", false); len(found) > 0 {
		t.Error("it was sent")
	}
	observer, err := Observe(context.Background(), configOf(t, root), "datacoord")
	if err != nil {
		t.Fatal(err)
	}
	_, err = observer.WaitForPrimary(over)
	expect(t, "WaitForPrimary", err, ErrTimeout)
	if err := observer.Close(); err != nil {
		t.Error(err)
	}
	expect(t, "Resign", h.election.Resign(over), ErrTimeout)
	expect(t, "Close of an election", h.election.Close(over), ErrTimeout)
	expect(t, "Close", session.Close(over), ErrTimeout)
	// It has begun all the same, and is as clean as any.
	close(release)
	if err := session.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if found, err := etcd.Get(root+"/session/rootcoord", true); err != nil || len(found) > 0 {
		t.Errorf("left in etcd: %v, %v", found, err)
	}
}

func TestAContextThatEndsWhileItIsOpenedLeavesNothing(t *testing.T) {
	noLeaks(t)
	config := configOf(t, newRoot())
	config.Endpoints = []string{"127.0.0.1:1"}
	config.Settings = map[string]string{"etcd.requestTimeout": "1000"}
	start := time.Now()
	_, err := Open(within(t, 50*time.Millisecond), config)
	expect(t, "Open", err, ErrTimeout)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 900*time.Millisecond {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	for range 20 { // one that succeeds, perhaps just too late
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Millisecond)
		if session, err := Open(ctx, configOf(t, newRoot())); err == nil {
			_ = session.Close(context.Background())
		}
		cancel()
	}
}

func TestUseAfterClose(t *testing.T) {
	noLeaks(t)
	root := newRoot()
	session := open(t, configOf(t, root))
	h := campaign(t, session, "rootcoord", nil)
	win := next(t, "primary", h.primary)
	registered := register(t, session, "indexcoord")
	var all sync.WaitGroup
	for range 8 { // closing at once does no harm either
		all.Add(1)
		go func() {
			defer all.Done()
			if err := session.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}()
	}
	all.Wait()
	if h.election.IsPrimary() || h.election.Remaining() != 0 || session.ServerID() != 0 {
		t.Error("still primary")
	}
	expect(t, "Campaign", registered.Campaign(idle), ErrClosed)
	expect(t, "MarkStopping", session.MarkStopping(), ErrClosed)
	_, err := h.election.Guard(win.Token)
	expect(t, "Guard", err, ErrClosed)
	_, err = session.Register("datacoord")
	expect(t, "Register", err, ErrClosed)
	_, err = session.Status()
	expect(t, "Status", err, ErrClosed)
	_, err = session.Read(context.Background(), new(Txn).Get("x"))
	expect(t, "Read", err, ErrClosed)
	_, err = h.election.Commit(context.Background(), win.Token, new(Txn).Put(root, nil))
	expect(t, "Commit", err, ErrClosed)
	expect(t, "Resign", h.election.Resign(context.Background()), ErrClosed)
	if err := h.election.Close(context.Background()); err != nil {
		t.Error(err)
	}
	for range h.election.Events() {
	}
}

func TestOpenedAndClosedManyTimesWhileOthersAsk(t *testing.T) {
	noLeaks(t)
	for range 30 {
		session := open(t, configOf(t, newRoot()))
		h := campaign(t, session, "rootcoord", nil)
		var askers sync.WaitGroup
		stop := make(chan struct{})
		for range 4 {
			askers.Add(1)
			go func() {
				defer askers.Done()
				for {
					select {
					case <-stop:
						return
					default:
						h.election.IsPrimary()
						_, _ = session.Status()
					}
				}
			}()
		}
		next(t, "primary", h.primary)
		if err := session.Close(context.Background()); err != nil {
			t.Error(err)
		}
		close(stop)
		askers.Wait()
	}
}

func TestUseOfAnElectionAndAnObserverThatWereClosed(t *testing.T) {
	noLeaks(t)
	ctx := context.Background()
	session := open(t, configOf(t, newRoot()))
	h := campaign(t, session, "rootcoord", nil)
	win := next(t, "primary", h.primary)
	registered := register(t, session, "datacoord")
	for _, e := range []*Election{h.election, registered} {
		if err := e.Close(ctx); err != nil {
			t.Error(err)
		}
		if e.IsPrimary() || e.Token() != 0 || e.Remaining() != 0 {
			t.Errorf("%s is primary", e.Role())
		}
		expect(t, "Resign", e.Resign(ctx), ErrClosed)
		_, err := e.Guard(win.Token)
		expect(t, "Guard", err, ErrClosed)
		_, err = e.Commit(ctx, win.Token, new(Txn))
		expect(t, "Commit", err, ErrClosed)
	}
	expect(t, "Campaign", registered.Campaign(idle), ErrClosed)
	observer, err := Observe(ctx, configOf(t, newRoot()), "rootcoord")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := observer.Close(); err != nil {
			t.Error(err)
		}
	}
	_, err = observer.WaitForPrimary(ctx)
	expect(t, "WaitForPrimary", err, ErrClosed)
	if _, ok := observer.Current(); ok {
		t.Error("Current of a closed observer")
	}
}

// In which handler something happens; OnStandby and OnWarmup are called while somebody else is primary.
var inHandlers = []string{"OnStandby", "OnWarmup", "OnPrimary", "OnLost"}

// Campaigns with one handler that does what it is told to, and has it called.
func campaignWith(t *testing.T, root string, session *Session, which string,
	do func(context.Context) error) *Election {
	t.Helper()
	if which == "OnStandby" || which == "OnWarmup" {
		other := campaign(t, open(t, configOf(t, root)), "rootcoord", nil)
		next(t, "somebody else is primary", other.primary)
	}
	h := campaign(t, session, "rootcoord", func(handlers *Handlers) {
		if which == "OnStandby" {
			handlers.OnStandby = func(ctx context.Context, _ Standby) error { return do(ctx) }
		}
		if which == "OnWarmup" {
			handlers.OnWarmup = func(ctx context.Context) (Warm, error) { return true, do(ctx) }
		}
		if which == "OnPrimary" {
			handlers.OnPrimary = func(ctx context.Context, _ Win) error { return do(ctx) }
		}
		if which == "OnLost" {
			handlers.OnLost = func(ctx context.Context, _ Lost) error { return do(ctx) }
		}
	})
	if which == "OnLost" {
		win := next(t, "primary", h.primary)
		if err := etcd.Revoke(win.Lease); err != nil {
			t.Fatal(err)
		}
	}
	return h.election
}

func TestAHandlerThatNeverReturnsHoldsUpNeitherCloseNorIsPrimary(t *testing.T) {
	for _, which := range inHandlers {
		t.Run(which, func(t *testing.T) {
			noLeaks(t)
			called, release := make(chan bool, 1), make(chan struct{})
			root := newRoot()
			session := open(t, configOf(t, root))
			election := campaignWith(t, root, session, which, func(context.Context) error { called <- true; <-release; return nil })
			next(t, "the handler", called)
			start := time.Now()
			expect(t, "Close of the election", election.Close(within(t, 500*time.Millisecond)), ErrTimeout)
			if election.IsPrimary() {
				t.Error("primary after Close")
			}
			err := session.Close(within(t, 500*time.Millisecond))
			expect(t, "Close", err, ErrTimeout)
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			close(release)
			eventually(t, "the election ends with its handler", election.isStopped)
		})
	}
}

// An error whose text can not be had.
type noText struct{ way func() }

func (e *noText) Error() string { e.way(); return "" }

func TestAHandlerThatFailsWithoutATextEndsAllTheSame(t *testing.T) {
	var none *noText
	for name, fails := range map[string]func() error{
		"error that is not UTF-8":  func() error { return errors.New("\xff\x00 no disk") },
		"panic that is not UTF-8":  func() error { panic("\xff\x00") },
		"error that is nil inside": func() error { return none },
		"error that panics":        func() error { return &noText{func() { panic(&noText{func() { panic("again") }}) }} },
		"panic with such an error": func() error { panic(&noText{func() { panic(&noText{func() { panic("again") }}) }}) },
		"error that ends it all":   func() error { return &noText{runtime.Goexit} },
	} {
		for _, which := range inHandlers {
			t.Run(name+" in "+which, func(t *testing.T) {
				noLeaks(t)
				root := newRoot()
				session := open(t, configOf(t, root))
				called := make(chan struct{}, 100)
				election := campaignWith(t, root, session, which, func(context.Context) error {
					called <- struct{}{}
					return fails()
				})
				next(t, "the handler", called)
				if which == "OnPrimary" {
					eventually(t, "primacy is given back", func() bool {
						event := next(t, "an event", election.Events())
						return event.Kind == EventLost && event.Reason == ActivationFailed
					})
				}
				// It would say that the handler has not returned.
				if err := session.Close(within(t, 10*time.Second)); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestAnElectionThatIsRegisteredWhileItsSessionClosesIsFreed(t *testing.T) {
	noLeaks(t)
	session := open(t, configOf(t, newRoot()))
	registered := make(chan error, 1)
	session.mu.Lock()
	go func() {
		_, err := session.Register("rootcoord")
		registered <- err
	}()
	eventually(t, "the library has it", func() bool {
		status, err := session.Status()
		return err == nil && len(status.Elections) == 1
	})
	session.closing = true // who closes has begun, and taken the list of elections already
	session.mu.Unlock()
	expect(t, "Register", next(t, "Register", registered), ErrStopped)
	eventually(t, "it has ended", func() bool {
		status, err := session.Status()
		return err == nil && (len(status.Elections) == 0 || status.Elections[0].State == ElectionStopped)
	})
	session.mu.Lock()
	session.closing = false
	session.mu.Unlock()
}

func TestTheMemoryOfAValueStaysTheHosts(t *testing.T) {
	noLeaks(t)
	root := newRoot()
	h := campaign(t, open(t, configOf(t, root)), "rootcoord", nil)
	win := next(t, "primary", h.primary)
	// C must not get a pointer into it: Go ends a program for that.
	value := &struct {
		p     *int
		bytes [8]byte
	}{p: new(int), bytes: [8]byte([]byte("original"))}
	put := new(Txn).Put(root+"/a", value.bytes[:])
	compare := new(Txn).IfValue(root+"/a", value.bytes[:])
	copy(value.bytes[:], "changed!")
	for what, txn := range map[string]*Txn{"Put": put, "IfValue": compare} {
		if bytes.Equal(txn.steps[0].value, value.bytes[:]) {
			t.Errorf("%s keeps the host's memory", what)
		}
	}
	for _, txn := range []*Txn{put, compare} {
		if _, err := h.election.Commit(context.Background(), win.Token, txn); err != nil {
			t.Error(err)
		}
	}
}

func TestAnyHandlerMayCloseWhatCalledIt(t *testing.T) {
	for _, which := range inHandlers {
		for _, whole := range []bool{false, true} {
			t.Run(which+map[bool]string{false: " election", true: " session"}[whole], func(t *testing.T) {
				noLeaks(t)
				root := newRoot()
				session := open(t, configOf(t, root))
				inside := make(chan error, 100)
				var election *Election
				known := make(chan struct{})
				election = campaignWith(t, root, session, which, func(ctx context.Context) error {
					<-known
					start := time.Now()
					err := election.Resign(ctx)
					if whole {
						err = errors.Join(err, session.Close(ctx))
					} else {
						err = errors.Join(err, election.Close(ctx))
					}
					if took := time.Since(start); took > 5*time.Second {
						err = errors.Join(err, errors.New("it waited for itself"))
					}
					inside <- err
					return nil
				})
				close(known)
				if err := next(t, "the handler", inside); err != nil {
					t.Error(err)
				}
				// The handler has returned; what it asked for follows by itself.
				eventually(t, "it has ended", election.isStopped)
				if err := election.Close(within(t, 10*time.Second)); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestACallWhoseContextEndsWhileEtcdStandsStillReturns(t *testing.T) {
	noLeaks(t)
	root := newRoot()
	session := open(t, configOf(t, root))
	h := campaign(t, session, "rootcoord", nil)
	win := next(t, "primary", h.primary)
	stopped := etcd.Process()
	if err := stopped.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stopped.Signal(syscall.SIGCONT) }()
	start := time.Now()
	for name, call := range map[string]struct {
		code Code
		run  func(context.Context) error
	}{
		"Open": {ErrTimeout, func(ctx context.Context) error {
			_, err := Open(ctx, configOf(t, root))
			return err
		}},
		"Observe": {ErrTimeout, func(ctx context.Context) error {
			_, err := Observe(ctx, configOf(t, root), "rootcoord")
			return err
		}},
		"Read": {ErrTimeout, func(ctx context.Context) error {
			_, err := session.Read(ctx, new(Txn).Get(root))
			return err
		}},
		"Commit": {ErrIndefinite, func(ctx context.Context) error {
			_, err := h.election.Commit(ctx, win.Token, new(Txn).Put(root+"/a", nil))
			return err
		}},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(50*time.Millisecond, cancel)
		err := call.run(ctx)
		expect(t, name, err, call.code)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s does not say why: %v", name, err)
		}
	}
	// It is over when its time is, and etcd not clean, which the lease will see to; or that was a little too short.
	if err := session.Close(within(t, 50*time.Millisecond)); err != nil {
		expect(t, "Close", err, ErrTimeout)
	}
	if h.election.IsPrimary() {
		t.Error("primary after Close")
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("they took %v", took)
	}
	// No handler runs: that etcd can not be told is no reason to say that something is not over.
	if err := session.Close(within(t, 5*time.Second)); err != nil {
		t.Errorf("Close: %v", err)
	}
}
