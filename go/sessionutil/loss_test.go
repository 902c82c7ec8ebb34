//go:build cgo

package sessionutil

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"primacy.example/go/internal/etcdtest"
)

// What a loss did to a session that ends the process, in the place of the process's end.
type end struct {
	code int
	left map[string]etcdtest.KeyValue // in etcd when before was called
}

// A session that ends the process; the channel gets that it would.
func ending(t *testing.T, root, role string, exclusive bool) (*Session, <-chan end) {
	t.Helper()
	var left map[string]etcdtest.KeyValue
	ends := make(chan end, 10)
	before := exit
	exit = func(code int) { ends <- end{code, left} }
	t.Cleanup(func() { exit = before })
	s := NewSessionWithEtcd(context.Background(), root, newClient(t), Exit(7, func() { left = keys(t, root) }),
		WithVersion("2.6.13"), WithTTL(5))
	s.Init(role, "127.0.0.1:53100", exclusive, true)
	t.Cleanup(s.Stop)
	return s, ends
}

func TestALossEndsTheProcessAndTheLeaseGoesFirst(t *testing.T) {
	noLeaks(t)
	for name, lose := range map[string]func(root string) error{
		"lease": func(root string) error { return etcd.Revoke(keys(t, root)["mixcoord"].Lease) },
		"lock":  func(root string) error { return etcd.Delete(root + "/session/mixcoord") },
		"one of the three": func(root string) error {
			return etcd.Delete(root + "/session/datacoord")
		},
		"taken": func(root string) error { return etcd.Put(root+"/session/mixcoord", "somebody") },
	} {
		t.Run(name, func(t *testing.T) {
			root := "ends-" + name + "/meta"
			s, ends := ending(t, root, "mixcoord", true)
			s.SetEnableActiveStandBy(true)
			s.Register()
			var activated atomic.Int32
			must(t, "active", next(t, "active", stand(s, func() error { activated.Add(1); return nil })))
			must(t, "losing", lose(root))
			got := next(t, "the end", ends)
			delete(got.left, "id")
			delete(got.left, "version")
			delete(got.left, map[string]string{"taken": "mixcoord"}[name])
			if got.code != 7 || len(got.left) != 0 || s.Election().IsPrimary() || !s.Disconnected() {
				t.Errorf("%+v", got)
			}
			eventually(t, "it is over", func() bool { _, err := s.session.Status(); return err != nil })
			if activated.Load() != 1 || len(ends) != 0 {
				t.Errorf("activated %d times, ended again %d times", activated.Load(), len(ends))
			}
		})
	}
}

func TestACleanStopAndAFailedActivationAreNoLoss(t *testing.T) {
	noLeaks(t)
	s, ends := ending(t, "no-loss/meta", "mixcoord", true)
	s.SetEnableActiveStandBy(true)
	s.Register()
	if err := next(t, "the activation", stand(s, func() error { return errors.New("no disk") })); err == nil {
		t.Error("no error")
	}
	must(t, "active", next(t, "active", stand(s, nil)))
	s.Stop()
	if len(ends) != 0 {
		t.Errorf("%+v", <-ends)
	}
}

func TestOneThatStandsByIsToldEachTimeAndActivatedAgain(t *testing.T) {
	noLeaks(t)
	const root = "again/meta"
	said := make(chan string, 20)
	s := NewSessionWithEtcd(context.Background(), root, newClient(t), StandBy(func() { said <- "stop" }),
		WithVersion("3.0.0"), WithTTL(5))
	s.Init("mixcoord", "127.0.0.1:53100", true)
	t.Cleanup(s.Stop)
	s.SetEnableActiveStandBy(true)
	s.Register()
	must(t, "active", next(t, "active", stand(s, func() error { said <- "activate"; return nil })))
	for range 2 {
		if word := next(t, "a word", said); word != "activate" {
			t.Fatal(word)
		}
		eventually(t, "it is active", s.Election().IsPrimary)
		must(t, "revoke", etcd.Revoke(keys(t, root)["mixcoord"].Lease))
		if word := next(t, "a word", said); word != "stop" {
			t.Fatal(word)
		}
	}
	if word := next(t, "a word", said); word != "activate" {
		t.Fatal(word)
	}
}

func TestANodeThatLosesItsLeaseIsToldAndOneWhoseKeyAloneIsGoneIsNot(t *testing.T) {
	noLeaks(t)
	const root = "node/meta"
	s, ends := ending(t, root, "proxy", false)
	s.Register()
	must(t, "Register", s.Err())
	first := keys(t, root)["proxy-1"]
	if first.ModRevision != s.GetRegisteredRevision() {
		t.Errorf("%+v, registered at %d", first, s.GetRegisteredRevision())
	}
	must(t, "delete", etcd.Delete(root+"/session/proxy-1"))
	eventually(t, "the key is there again", func() bool { return keys(t, root)["proxy-1"].ModRevision > first.ModRevision })
	if again := keys(t, root)["proxy-1"]; again.Lease != first.Lease || len(ends) != 0 {
		t.Errorf("%+v, ended %d times", again, len(ends))
	}
	must(t, "revoke", etcd.Revoke(first.Lease))
	if got := next(t, "the end", ends); got.code != 7 {
		t.Errorf("%+v", got)
	}
}

func TestANodeThatCanNotRegisterHasLost(t *testing.T) {
	noLeaks(t)
	s, ends := ending(t, "unregistered/meta", "no/role", false)
	s.Register()
	if got := next(t, "the end", ends); got.code != 7 || s.Err() == nil || s.Registered() {
		t.Errorf("%+v, %v", got, s.Err())
	}
}

func TestAnActivationThatRunsAtTheLossDelaysNoEnd(t *testing.T) {
	noLeaks(t)
	const root = "runs/meta"
	s, ends := ending(t, root, "mixcoord", true)
	s.SetEnableActiveStandBy(true)
	s.Register()
	running, release := make(chan struct{}), make(chan struct{})
	waiting := stand(s, func() error { close(running); <-release; return nil })
	next(t, "the activation", running)
	start := time.Now()
	must(t, "revoke", etcd.Revoke(keys(t, root)["mixcoord"].Lease))
	next(t, "the end", ends)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	close(release)
	<-waiting
}

func TestAStopFromElsewhereWaitsForWhoIsToldOfTheLoss(t *testing.T) {
	noLeaks(t)
	const root = "stop-elsewhere/meta"
	stopping, stopped, told := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s := NewSessionWithEtcd(context.Background(), root, newClient(t), StandBy(func() {
		defer close(told)
		close(stopping)
		select {
		case <-stopped:
			t.Error("Stop has returned while the host was told")
		case <-time.After(time.Second):
		}
		if _, there := keys(t, root)["mixcoord-1"]; !there {
			t.Error("the record is gone while the host was told")
		}
	}), WithVersion("3.0.0"), WithTTL(5))
	s.Init("mixcoord", "127.0.0.1:53100", true)
	s.SetEnableActiveStandBy(true)
	s.Register()
	must(t, "active", next(t, "active", stand(s, nil)))
	must(t, "delete", etcd.Delete(root+"/session/mixcoord"))
	next(t, "stop", stopping)
	s.Stop()
	close(stopped)
	<-told
	if left := keys(t, root); len(left) > 2 {
		t.Errorf("left: %v", left)
	}
}

func TestAnEndComesWhateverTheHostsFunctionsDo(t *testing.T) {
	noLeaks(t)
	const root = "stuck-end/meta"
	s, ends := ending(t, root, "mixcoord", true)
	release := make(chan struct{})
	defer close(release)
	s.SetEnableActiveStandBy(true)
	s.Register()
	must(t, "active", next(t, "active", stand(s, nil)))
	s.logger = slog.New(stuckHandler{slog.DiscardHandler, release})
	left := make(chan map[string]etcdtest.KeyValue, 1)
	s.LivenessCheck(context.Background(), func() { left <- keys(t, root); <-release })
	must(t, "delete", etcd.Delete(root+"/session/mixcoord"))
	if found := next(t, "the callback", left); len(found) != 2 { // the id and the version
		t.Errorf("the lease did not go first: %v", found)
	}
	next(t, "the end", ends)
}

func TestASessionEndsWithItsContextAndThatIsNoLoss(t *testing.T) {
	noLeaks(t)
	const root = "context/meta"
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := NewSessionWithEtcd(ctx, root, newClient(t), StandBy(func() { t.Error("told of a loss") }), WithVersion("3.0.0"))
	s.Init("rootcoord", "127.0.0.1:53100", true)
	s.SetEnableActiveStandBy(true)
	s.Register()
	must(t, "active", next(t, "active", stand(s, nil)))
	cancel()
	eventually(t, "etcd is clean", func() bool { return len(keys(t, root)) == 1 })
}

func TestAServerThatIsNotExclusiveAndCampaignsIsToldOnceOfEachLoss(t *testing.T) {
	noLeaks(t)
	const root = "told-once/meta"
	var told atomic.Int32
	activated := make(chan struct{}, 10)
	s := NewSessionWithEtcd(context.Background(), root, newClient(t), StandBy(func() { told.Add(1) }),
		WithVersion("3.0.0"), WithTTL(5))
	s.Init("mixcoord", "127.0.0.1:53100", false)
	t.Cleanup(s.Stop)
	s.SetEnableActiveStandBy(true)
	s.Register()
	must(t, "active", next(t, "active", stand(s, func() error { activated <- struct{}{}; return nil })))
	next(t, "activated", activated)
	for n := int32(1); n <= 3; n++ {
		eventually(t, "the record stands under the present lease", func() bool {
			found := keys(t, root)
			return found["mixcoord-1"].Lease != 0 && found["mixcoord-1"].Lease == found["mixcoord"].Lease
		})
		must(t, "revoke", etcd.Revoke(keys(t, root)["mixcoord"].Lease))
		next(t, "activated again", activated)
		if times := told.Load(); times != n {
			t.Fatalf("told %d times of %d losses", times, n)
		}
	}
}
