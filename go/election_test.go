//go:build cgo

package primacy

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTheFirstIsPrimaryAndWritesUnderItsToken(t *testing.T) {
	noLeaks(t)
	root := newRoot()
	session := open(t, configOf(t, root))
	h := campaign(t, session, "rootcoord", nil)
	win := next(t, "primary", h.primary)
	if token := h.election.Token(); token != win.Token || !h.election.IsPrimary() {
		t.Errorf("token %d, won with %d", token, win.Token)
	}
	if left := h.election.Remaining(); left <= 0 || left > 5*time.Second {
		t.Errorf("remaining: %v of a lease of 5 s", left)
	}
	lock, err := etcd.Get(root+"/session/rootcoord", false)
	if err != nil || len(lock) != 1 || lock[0].ModRevision != int64(win.Token) || lock[0].Lease != win.Lease {
		t.Errorf("the lock: %v, %v; the win: %v", lock, err, win)
	}

	key := root + "/data"
	result, err := h.election.Commit(within(t, 5*time.Second), win.Token, new(Txn).IfAbsent(key).Put(key, []byte("1")))
	if err != nil {
		t.Fatal(err)
	}
	read, err := session.Read(context.Background(), new(Txn).Get(key).GetPrefix(root+"/none").GetPrefix(root+"/d"))
	if err != nil {
		t.Fatal(err)
	}
	kv, ok := read.First(0)
	if !ok || kv.Key != key || string(kv.Value) != "1" || kv.ModRevision != result.Revision || kv.Version != 1 {
		t.Errorf("wrote at %d, read %+v", result.Revision, read)
	}
	if len(read.Gets) != 3 || len(read.Gets[1]) != 0 || len(read.Gets[2]) != 1 {
		t.Errorf("gets: %+v", read.Gets)
	}
	status, err := session.Status()
	if err != nil || status.ServerID != session.ServerID() || len(status.Elections) != 1 ||
		status.Elections[0].Token != win.Token || !strings.Contains(string(status.Raw), "rootcoord") {
		t.Errorf("status: %+v, %v", status, err)
	}
}

func TestAWriteThatLosesARaceShowsWhatItLostTo(t *testing.T) {
	noLeaks(t)
	root := newRoot()
	h := campaign(t, open(t, configOf(t, root)), "rootcoord", nil)
	win := next(t, "primary", h.primary)
	if err := etcd.Put(root+"/data", "theirs"); err != nil {
		t.Fatal(err)
	}
	result, err := h.election.Commit(context.Background(), win.Token,
		new(Txn).IfAbsent(root+"/data").Put(root+"/data", nil).Get(root+"/data"))
	if !errors.Is(err, ErrConflict) {
		t.Errorf("not a conflict: %v", err)
	}
	if kv, _ := result.First(0); string(kv.Value) != "theirs" {
		t.Errorf("read %+v", result)
	}
}

func TestAStandbyTakesOverAndTheOldTokenWritesNothing(t *testing.T) {
	noLeaks(t)
	root := newRoot()
	first := open(t, configOf(t, root))
	one := campaign(t, first, "rootcoord", nil)
	won := next(t, "primary", one.primary)
	two := campaign(t, open(t, configOf(t, root)), "rootcoord", nil)
	if standby := next(t, "standby", two.standby); standby.HolderID != first.ServerID() ||
		standby.HolderAddress != "127.0.0.1:53100" {
		t.Errorf("the holder is %d; standby: %+v", first.ServerID(), standby)
	}
	if two.election.IsPrimary() || two.election.Remaining() != 0 {
		t.Error("a standby says that it is primary")
	}
	if err := one.election.Resign(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if lost := next(t, "lost", one.lost); lost.Reason != Resigned || lost.Token != won.Token {
		t.Errorf("lost: %+v", lost)
	}
	again := next(t, "the standby is primary", two.primary)
	if again.Token <= won.Token {
		t.Errorf("token %d after %d", again.Token, won.Token)
	}
	next(t, "the old primary is standby", one.standby)
	_, err := one.election.Commit(context.Background(), won.Token, new(Txn).Put(root+"/data", []byte("late")))
	if !errors.Is(err, ErrNotPrimary) {
		t.Errorf("a write under an old token: %v", err)
	}
	if found, _ := etcd.Get(root+"/data", false); len(found) != 0 {
		t.Errorf("it was written: %v", found)
	}
}

func TestTheContextOfAWinOutlivesItsHandlerAndEndsWithItsReason(t *testing.T) {
	noLeaks(t)
	h := campaign(t, open(t, configOf(t, newRoot())), "rootcoord", nil)
	win := next(t, "primary", h.primary)
	ctx := next(t, "its context", h.context)
	eventually(t, "ready", func() bool { return next(t, "an event", h.election.Events()).Kind == EventReady })
	if err := ctx.Err(); err != nil {
		t.Fatalf("over with the handler: %v", err)
	}
	if err := h.election.Resign(context.Background()); err != nil {
		t.Fatal(err)
	}
	var lost *LostError
	if cause := context.Cause(ctx); !errors.As(cause, &lost) || lost.Lost.Reason != Resigned ||
		lost.Lost.Token != win.Token || !errors.Is(cause, ErrNotPrimary) {
		t.Errorf("cause: %v", context.Cause(ctx))
	}
}

func TestWarmUpIsCalledUntilWarmAndCancelledByTheWin(t *testing.T) {
	noLeaks(t)
	root := newRoot()
	one := campaign(t, open(t, configOf(t, root)), "rootcoord", nil)
	next(t, "primary", one.primary)
	config := configOf(t, root)
	config.Settings = map[string]string{"primacy.warmup_interval_ms": "10"}
	started, ended := make(chan int, 100), make(chan error, 1)
	times := 0
	two := campaign(t, open(t, config), "rootcoord", func(handlers *Handlers) {
		handlers.OnWarmup = func(ctx context.Context) (Warm, error) {
			times++
			started <- times
			if times < 3 {
				return false, errors.New("not yet")
			}
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return true, nil
		}
	})
	eventually(t, "the third warm-up", func() bool { return next(t, "a warm-up", started) == 3 })
	if err := one.election.Resign(context.Background()); err != nil {
		t.Fatal(err)
	}
	next(t, "the end of the warm-up", ended)
	next(t, "the standby is primary", two.primary)
}

func TestACallThatIsCancelledSaysSo(t *testing.T) {
	noLeaks(t)
	ids, end := make(chan uint64, 1), make(chan struct{})
	h := campaign(t, open(t, configOf(t, newRoot())), "rootcoord", func(handlers *Handlers) {
		handlers.OnPrimary = func(ctx context.Context, _ Win) error {
			ids <- callOf(ctx).id
			<-end
			return nil
		}
	})
	id := next(t, "primary", ids)
	if electionIsCancelled(h.election.handle, id) {
		t.Error("a primary's call is cancelled")
	}
	resigned := make(chan error, 1)
	go func() { resigned <- h.election.Resign(context.Background()) }()
	eventually(t, "cancelled", func() bool { return electionIsCancelled(h.election.handle, id) })
	close(end)
	if err := next(t, "resigned", resigned); err != nil {
		t.Error(err)
	}
}

func TestAHandlerThatFailsInAnyWayGivesPrimacyBack(t *testing.T) {
	ways := map[string]func(){
		"error":  nil,
		"panic":  func() { panic("a handler's panic") },
		"goexit": func() { runtime.Goexit() },
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			root := newRoot()
			times := 0
			won := make(chan Win, 10)
			h := campaign(t, open(t, configOf(t, root)), "rootcoord", func(handlers *Handlers) {
				handlers.OnPrimary = func(_ context.Context, win Win) error {
					won <- win
					if times++; times > 1 {
						return nil
					}
					if way != nil {
						way()
					}
					return errors.New("an error")
				}
			})
			first := next(t, "primary", won)
			if lost := next(t, "lost", h.lost); lost.Reason != ActivationFailed || lost.Token != first.Token {
				t.Errorf("lost: %+v", lost)
			}
			next(t, "standby", h.standby)
			if again := next(t, "primary again, with nobody else there", won); again.Token <= first.Token {
				t.Errorf("token %d after %d", again.Token, first.Token)
			}
		})
	}
}

func TestAnOnLostThatEndsItsGoroutineReleasesTheLock(t *testing.T) {
	noLeaks(t)
	root := newRoot()
	one := campaign(t, open(t, configOf(t, root)), "rootcoord", func(handlers *Handlers) {
		handlers.OnLost = func(context.Context, Lost) error { runtime.Goexit(); return nil }
		handlers.OnStandby = func(context.Context, Standby) error { panic("in OnStandby") }
	})
	next(t, "primary", one.primary)
	two := campaign(t, open(t, configOf(t, root)), "rootcoord", nil)
	next(t, "standby", two.standby)
	if err := one.election.Resign(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	next(t, "the standby is primary", two.primary)
}

func TestOnLostComesAtOnceWhileOnPrimaryStillRuns(t *testing.T) {
	noLeaks(t)
	release := make(chan struct{})
	running := make(chan Win, 1)
	h := campaign(t, open(t, configOf(t, newRoot())), "rootcoord", func(handlers *Handlers) {
		handlers.OnPrimary = func(_ context.Context, win Win) error { running <- win; <-release; return nil }
	})
	win := next(t, "primary", running)
	start := time.Now()
	if err := etcd.Revoke(win.Lease); err != nil {
		t.Fatal(err)
	}
	lost := next(t, "lost", h.lost)
	if lost.Reason != LeaseExpired && lost.Reason != KeyDeleted {
		t.Errorf("lost: %v", lost)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	if h.election.IsPrimary() {
		t.Error("still primary after OnLost")
	}
	close(release)
	if again := next(t, "primary again, under a new lease", running); again.Token <= win.Token || again.Lease == win.Lease {
		t.Errorf("%+v after %+v", again, win)
	}
}

func TestWhatAHandlerAsksForTakesEffectWhenItReturns(t *testing.T) {
	noLeaks(t)
	inside := make(chan error, 10)
	var h *host
	ready := make(chan struct{})
	h = campaign(t, open(t, configOf(t, newRoot())), "rootcoord", func(handlers *Handlers) {
		handlers.OnPrimary = func(ctx context.Context, win Win) error {
			<-ready
			err := h.election.Resign(ctx)
			select {
			case <-ctx.Done():
				err = errors.New("it took effect inside")
			case <-time.After(100 * time.Millisecond):
			}
			inside <- err
			return nil
		}
	})
	close(ready)
	if err := next(t, "OnPrimary", inside); err != nil {
		t.Error(err)
	}
	if lost := next(t, "lost", h.lost); lost.Reason != Resigned {
		t.Errorf("lost: %+v", lost)
	}
}

func TestResignWithTheContextOfAWinEndsWithThatWin(t *testing.T) {
	noLeaks(t)
	resigned := make(chan struct{})
	h := campaign(t, open(t, configOf(t, newRoot())), "rootcoord", func(handlers *Handlers) {
		// As one does that ends its work before the lock goes.
		handlers.OnLost = func(context.Context, Lost) error { <-resigned; return nil }
	})
	next(t, "primary", h.primary)
	ctx, cancel := context.WithTimeout(next(t, "its context", h.context), 10*time.Second)
	defer cancel()
	eventually(t, "ready", func() bool { return next(t, "an event", h.election.Events()).Kind == EventReady })
	if err := h.election.Resign(ctx); err != nil {
		t.Error(err)
	}
	close(resigned)
	next(t, "standby", h.standby)
}

func TestCloseInsideAHandlerDoesNotWaitForItself(t *testing.T) {
	for _, of := range []string{"session", "election"} {
		t.Run(of, func(t *testing.T) {
			noLeaks(t)
			session := open(t, configOf(t, newRoot()))
			inside := make(chan error, 1)
			var h *host
			ready := make(chan struct{})
			h = campaign(t, session, "rootcoord", func(handlers *Handlers) {
				handlers.OnPrimary = func(ctx context.Context, win Win) error {
					<-ready
					if of == "session" {
						inside <- session.Close(ctx)
					} else {
						inside <- h.election.Close(ctx)
					}
					return nil
				}
			})
			close(ready)
			if err := next(t, "OnPrimary", inside); err != nil {
				t.Error(err)
			}
			if lost := next(t, "lost", h.lost); lost.Reason != Stopped {
				t.Errorf("lost: %+v", lost)
			}
			if err := h.election.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCloseIsBoundedAlthoughAHandlerNeverReturns(t *testing.T) {
	noLeaks(t)
	root := newRoot()
	release := make(chan struct{})
	session := open(t, configOf(t, root))
	h := campaign(t, session, "rootcoord", func(handlers *Handlers) {
		handlers.OnLost = func(context.Context, Lost) error { <-release; return nil }
	})
	next(t, "primary", h.primary)
	start := time.Now()
	err := session.Close(within(t, time.Second))
	if !errors.Is(err, ErrTimeout) {
		t.Errorf("closed: %v", err)
	}
	if took := time.Since(start); took < 900*time.Millisecond || took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
	eventually(t, "etcd is clean although it hangs", func() bool {
		found, err := etcd.Get(root+"/session/rootcoord", true)
		return err == nil && len(found) == 0
	})
	if err := session.Close(context.Background()); !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "rootcoord") {
		t.Errorf("closed again: %v", err)
	}
	close(release)
	eventually(t, "the election ends with its handler", h.election.isStopped)
}

func TestClosingOneElectionLeavesTheOthers(t *testing.T) {
	noLeaks(t)
	root := newRoot()
	session := open(t, configOf(t, root))
	one, two := campaign(t, session, "rootcoord", nil), campaign(t, session, "datacoord", nil)
	next(t, "primary", one.primary)
	win := next(t, "primary", two.primary)
	for range 2 {
		if err := one.election.Close(within(t, 10*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if lost := next(t, "lost", one.lost); lost.Reason != Stopped {
		t.Errorf("lost: %+v", lost)
	}
	for range one.election.Events() { // closed, after what is left
	}
	if two.election.Token() != win.Token {
		t.Error("the other election is no longer primary")
	}
	register(t, session, "rootcoord") // the role is free again
}

func TestEventsThatNobodyTakesAreDroppedAndCounted(t *testing.T) {
	e := &Election{events: make(chan Event, 2)}
	for token := Token(1); token <= 5; token++ {
		e.noticed(Event{Kind: EventReady, Token: token})
	}
	if one, two := <-e.events, <-e.events; one.Token != 4 || two.Token != 5 || one.Missed+two.Missed != 3 {
		t.Errorf("%+v %+v", one, two)
	}
}

func TestTheGuardIsOfTheLockAndOnlyForAWinThatCounts(t *testing.T) {
	noLeaks(t)
	root := newRoot()
	h := campaign(t, open(t, configOf(t, root)), "mixcoord", nil)
	win := next(t, "primary", h.primary)
	guard, err := h.election.Guard(win.Token)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, compare := range guard {
		keys = append(keys, strings.TrimPrefix(compare.Key, root+"/session/"))
		if compare.ModRevision != int64(win.Token) || compare.Lease != win.Lease {
			t.Errorf("%+v of %+v", compare, win)
		}
	}
	slices.Sort(keys)
	if !slices.Equal(keys, []string{"datacoord", "mixcoord", "querycoord", "rootcoord"}) {
		t.Errorf("the guard of a mixcoord covers %v", keys)
	}
	_, err = h.election.Guard(win.Token + 1)
	expect(t, "another token", err, ErrNotPrimary)
	if err := h.election.Resign(context.Background()); err != nil {
		t.Fatal(err)
	}
	next(t, "standby", h.standby)
	_, err = h.election.Guard(win.Token)
	expect(t, "a win that is over", err, ErrNotPrimary)
}

func TestManyElectionsOnOneSession(t *testing.T) {
	noLeaks(t)
	session := open(t, configOf(t, newRoot()))
	var all []*host
	for i := range 50 {
		all = append(all, campaign(t, session, fmt.Sprintf("role%dx", i), nil))
	}
	for _, h := range all {
		next(t, "primary", h.primary)
	}
	if err := session.Close(within(t, 20*time.Second)); err != nil {
		t.Error(err)
	}
	for _, h := range all {
		if h.election.IsPrimary() || len(h.lost) != 1 {
			t.Errorf("%s: %d times lost", h.election.Role(), len(h.lost))
		}
	}
}

func TestAShortTTLIsWarnedOf(t *testing.T) {
	noLeaks(t)
	config := configOf(t, newRoot())
	config.TTL = 2 * time.Second
	status, err := open(t, config).Status()
	if err != nil || len(status.Warnings) != 1 || !strings.Contains(status.Warnings[0], "a TTL of 2 s does not outlast") {
		t.Errorf("%q, %v", status.Warnings, err)
	}
	config.TTL = 5 * time.Second
	if status, err := open(t, config).Status(); err != nil || len(status.Warnings) != 0 {
		t.Errorf("%q, %v", status.Warnings, err)
	}
}
