//go:build cgo

package sessionutil

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/blang/semver/v4"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"primacy.example/go"
	"primacy.example/go/internal/etcdtest"
	"primacy.example/go/internal/handle"
)

var etcd *etcdtest.Server

func TestMain(m *testing.M) {
	if words := os.Getenv(asCoordinator); words != "" {
		serveAsCoordinator(words)
	}
	os.Exit(etcdtest.Main(m, handle.Live, func(server *etcdtest.Server) { etcd = server }))
}

func newClient(t *testing.T) *clientv3.Client {
	t.Helper()
	client, err := newClientOf(etcd.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func newClientOf(endpoint string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 5 * time.Second})
}

// A coordinator as Milvus writes one: registered, and ready to be a standby.
func coordinator(t *testing.T, root, role string) *Session {
	t.Helper()
	return coordinatorOf(t, root, role, "3.0.0-beta")
}

func coordinatorOf(t *testing.T, root, role, version string) *Session {
	t.Helper()
	s := NewSessionWithEtcd(context.Background(), root, newClient(t), goesOn, WithVersion(version), WithTTL(5))
	s.Init(role, "127.0.0.1:53100", true)
	t.Cleanup(s.Stop)
	s.SetEnableActiveStandBy(true)
	s.Register()
	must(t, "Init and Register", s.Err())
	return s
}

// What most tests are not about.
var goesOn = StandBy(func() {})

// Waits for its turn; the channel gets what comes of it.
func stand(s *Session, activate func() error) <-chan error {
	active := make(chan error, 1)
	go func() { active <- s.ProcessActiveStandBy(activate) }()
	return active
}

func next[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(20 * time.Second):
		t.Fatalf("not within 20 s: %s", what)
		panic("unreachable")
	}
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func keys(t *testing.T, root string) map[string]etcdtest.KeyValue {
	t.Helper()
	found, err := etcd.Get(root+"/session/", true)
	must(t, "reading etcd", err)
	byName := map[string]etcdtest.KeyValue{}
	for _, kv := range found {
		byName[strings.TrimPrefix(kv.Key, root+"/session/")] = kv
	}
	return byName
}

func TestRegisterRegistersAndDoesNotCampaign(t *testing.T) {
	noLeaks(t)
	const root = "register/meta"
	s := coordinator(t, root, "rootcoord")
	found := keys(t, root)
	if _, ok := found["rootcoord-1"]; !ok || len(found) != 2 || !s.Registered() || s.GetRegisteredRevision() != -1 {
		t.Errorf("%v", found)
	}
	if int64(*s.LeaseID) != found["rootcoord-1"].Lease || s.GetServerID() != 1 {
		t.Errorf("lease %d, id %d", *s.LeaseID, s.ServerID)
	}
}

func TestAStandbyIsActivatedWhenTheActiveStops(t *testing.T) {
	noLeaks(t)
	for _, role := range []string{"rootcoord", "datacoord", "querycoord", "indexcoord", "mixcoord"} {
		t.Run(role, func(t *testing.T) {
			root := "standby-" + role + "/meta"
			one, two := coordinator(t, root, role), coordinator(t, root, role)
			activated := make(chan int, 10)
			must(t, "one", next(t, "one is active", stand(one, func() error { activated <- 1; return nil })))
			lock := keys(t, root)[role]
			if one.GetRegisteredRevision() != lock.ModRevision || !one.Election().IsPrimary() {
				t.Errorf("revision %d, lock %+v", one.GetRegisteredRevision(), lock)
			}
			waiting := stand(two, func() error { activated <- 2; return nil })
			one.SetMixCoordMode(true)
			one.Stop()
			if !one.Election().IsPrimary() {
				t.Error("Stop in MixCoord mode stopped it")
			}
			one.SetMixCoordMode(false)
			one.Stop()
			must(t, "two", next(t, "two is active", waiting))
			if first, second := <-activated, <-activated; first != 1 || second != 2 || len(activated) != 0 {
				t.Errorf("activated: %d, %d", first, second)
			}
			found := keys(t, root)
			var sessionOfTwo Session
			must(t, "the record", sessionOfTwo.UnmarshalJSON([]byte(found[role].Value)))
			if sessionOfTwo.ServerID != two.ServerID || found[role].ModRevision <= lock.ModRevision {
				t.Errorf("%+v", found)
			}
			if _, left := found[role+"-1"]; left {
				t.Error("the record of the one that stopped is left")
			}
		})
	}
}

func TestAMixcoordHoldsTheKeysOfItsThree(t *testing.T) {
	noLeaks(t)
	const root = "mix/meta"
	s := coordinator(t, root, "mixcoord")
	must(t, "active", next(t, "active", stand(s, nil)))
	found := keys(t, root)
	for _, name := range []string{"mixcoord", "rootcoord", "datacoord", "querycoord"} {
		if found[name].ModRevision != s.GetRegisteredRevision() || !strings.Contains(found[name].Value, name) {
			t.Errorf("%s: %+v", name, found[name])
		}
	}
	if found["version"].Value != "3.0.0-beta" || found["version"].Lease != 0 {
		t.Errorf("version: %+v", found["version"])
	}
}

func TestAnActivationThatFailsIsTheResultAndLetsTheNextOneIn(t *testing.T) {
	noLeaks(t)
	for name, activate := range map[string]func() error{
		"error": func() error { return errors.New("no disk") },
		"panic": func() error { panic("no disk") },
	} {
		t.Run(name, func(t *testing.T) {
			root := "fails-" + name + "/meta"
			one, two := coordinator(t, root, "rootcoord"), coordinator(t, root, "rootcoord")
			if err := next(t, "the activation", stand(one, activate)); err == nil {
				t.Error("no error")
			}
			must(t, "two", next(t, "two is active", stand(two, nil)))
			// It can take part again.
			waiting := stand(one, nil)
			two.Stop()
			must(t, "one", next(t, "one is active", waiting))
		})
	}
}

func TestOneThatLosesItsPlaceIsToldAndGoesOn(t *testing.T) {
	noLeaks(t)
	const root = "lost/meta"
	s := coordinator(t, root, "rootcoord")
	activated := make(chan struct{}, 10)
	must(t, "active", next(t, "active", stand(s, func() error { activated <- struct{}{}; return nil })))
	<-activated
	told := make(chan bool, 10)
	s.LivenessCheck(context.Background(), func() { told <- s.Disconnected() && !s.Election().IsPrimary() })
	must(t, "revoke", etcd.Revoke(keys(t, root)["rootcoord"].Lease))
	if !next(t, "the callback", told) {
		t.Error("called while it was still connected, or primary")
	}
	next(t, "activated again, with no restart", activated)
	if s.Disconnected() {
		t.Error("still disconnected")
	}
}

// A handler of log lines that never returns.
type stuckHandler struct {
	slog.Handler
	release chan struct{}
}

func (stuckHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h stuckHandler) Handle(context.Context, slog.Record) error { <-h.release; return nil }

func TestALogHandlerThatBlocksDelaysNobodyWhoIsToldOfALoss(t *testing.T) {
	noLeaks(t)
	const root = "stuck-log/meta"
	release := make(chan struct{})
	logger := slog.New(stuckHandler{slog.DiscardHandler, release})
	s := NewSessionWithEtcd(context.Background(), root, newClient(t), goesOn, WithVersion("3.0.0"),
		WithConfig(primacy.Config{Logger: logger}))
	s.logger = slog.New(slog.DiscardHandler) // what this package says itself is no concern of the library's
	s.Init("rootcoord", "127.0.0.1:53100", true)
	t.Cleanup(func() { close(release); s.Stop() })
	s.SetEnableActiveStandBy(true)
	s.Register()
	must(t, "Init and Register", s.Err())
	must(t, "active", next(t, "active", stand(s, nil)))
	told := make(chan struct{}, 1)
	s.LivenessCheck(context.Background(), func() { told <- struct{}{} })
	must(t, "revoke", etcd.Revoke(keys(t, root)["rootcoord"].Lease))
	next(t, "the callback", told)
}

func TestACallbackMayStopTheSession(t *testing.T) {
	noLeaks(t)
	const root = "stops/meta"
	s := coordinator(t, root, "rootcoord")
	must(t, "active", next(t, "active", stand(s, nil)))
	stopped := make(chan time.Duration, 1)
	s.LivenessCheck(context.Background(), func() {
		start := time.Now()
		s.Stop()
		stopped <- time.Since(start)
	})
	must(t, "revoke", etcd.Revoke(keys(t, root)["rootcoord"].Lease))
	if took := next(t, "stopped", stopped); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestACleanStopTellsNobody(t *testing.T) {
	noLeaks(t)
	s := coordinator(t, "clean/meta", "rootcoord")
	must(t, "active", next(t, "active", stand(s, nil)))
	told := make(chan struct{}, 1)
	s.LivenessCheck(context.Background(), func() { told <- struct{}{} })
	s.Revoke(5 * time.Second)
	if len(told) != 0 {
		t.Error("told of its own stop")
	}
	if found := keys(t, "clean/meta"); len(found) != 1 {
		t.Errorf("left: %v", found)
	}
}

func TestGoingStopMarksTheRecordAndNotTheLock(t *testing.T) {
	noLeaks(t)
	const root = "going/meta"
	one, two := coordinator(t, root, "rootcoord"), coordinator(t, root, "rootcoord")
	must(t, "one", next(t, "one is active", stand(one, nil)))
	waiting := stand(two, nil)
	_, revision, err := two.GetSessions(context.Background(), "rootcoord")
	must(t, "GetSessions", err)
	watch := two.WatchServices("rootcoord", revision+1, nil)
	defer watch.Stop()
	before := keys(t, root)
	must(t, "GoingStop", one.GoingStop())
	must(t, "again", one.GoingStop())
	for {
		event := next(t, "an event", watch.EventChannel())
		if event.EventType == SessionUpdateEvent && event.Session.ServerID == one.ServerID && event.Session.Stopping {
			break
		}
	}
	after := keys(t, root)
	if after["rootcoord"] != before["rootcoord"] || after["rootcoord-1"].Lease != before["rootcoord-1"].Lease ||
		!strings.Contains(after["rootcoord-1"].Value, `"Exclusive":true,"Stopping":true,"Version"`) {
		t.Errorf("before %v\nafter %v", before, after)
	}
	if !one.Election().IsPrimary() {
		t.Error("not primary any more")
	}
	// The mark stays when the record is written anew, here because its lease was lost.
	must(t, "revoke", etcd.Revoke(after["rootcoord-1"].Lease))
	must(t, "two", next(t, "two is active", waiting))
	eventually(t, "the record is there again, under a new lease, and marked", func() bool {
		record := keys(t, root)["rootcoord-1"]
		return record.Lease != 0 && record.Lease != after["rootcoord-1"].Lease &&
			strings.Contains(record.Value, `"Stopping":true`)
	})
	one.Stop()
}

func TestWatchServicesTellsWhoComesAndGoes(t *testing.T) {
	noLeaks(t)
	const root = "watch/meta"
	watching := coordinator(t, root, "rootcoord")
	sessions, revision, err := watching.GetSessions(context.Background(), "datacoord")
	if err != nil || len(sessions) != 0 {
		t.Fatalf("%v, %v", sessions, err)
	}
	watch := watching.WatchServices("datacoord", revision+1, nil)
	defer watch.Stop()
	other := coordinator(t, root, "datacoord")
	if event := next(t, "an event", watch.EventChannel()); event.EventType != SessionAddEvent ||
		event.Session.ServerID != other.ServerID || event.Session.GetAddress() != "127.0.0.1:53100" {
		t.Errorf("%v", event)
	}
	found, _, err := watching.GetSessions(context.Background(), "datacoord")
	if err != nil || len(found) != 1 || found[fmt.Sprintf("datacoord-%d", other.ServerID)] == nil {
		t.Errorf("%v, %v", found, err)
	}
	none, _, err := watching.GetSessionsWithVersionRange("datacoord", semver.MustParseRange("<2.0.0"))
	if err != nil || len(none) != 0 {
		t.Errorf("%v, %v", none, err)
	}
	other.Stop()
	if event := next(t, "an event", watch.EventChannel()); event.EventType != SessionDelEvent ||
		event.Session.ServerID != other.ServerID {
		t.Errorf("%v", event)
	}
}

func TestAWatchBeginsAnewAfterCompaction(t *testing.T) {
	noLeaks(t)
	const root = "compacted/meta"
	s := coordinator(t, root, "rootcoord")
	other := coordinator(t, root, "datacoord")
	response, err := newClient(t).Put(context.Background(), root+"/x", "")
	must(t, "put", err)
	_, err = newClient(t).Compact(context.Background(), response.Header.Revision)
	must(t, "compact", err)
	seen := make(chan map[string]*Session, 1)
	watch := s.WatchServices("datacoord", 1, func(sessions map[string]*Session) error { seen <- sessions; return nil })
	if sessions := next(t, "rewatch", seen); len(sessions) != 1 {
		t.Errorf("%v", sessions)
	}
	other.Stop()
	if event := next(t, "an event", watch.EventChannel()); event.EventType != SessionDelEvent {
		t.Errorf("%v", event)
	}
	watch.Stop()
	if _, open := <-watch.EventChannel(); open {
		t.Error("an event after Stop")
	}
	refused := s.WatchServices("datacoord", 1, func(map[string]*Session) error { return errors.New("no") })
	if event := next(t, "the channel is closed", refused.EventChannel()); event != nil {
		t.Errorf("%v", event)
	}
}

func TestOneWithoutStandbyTakesThePlaceOrSaysWhoHasIt(t *testing.T) {
	noLeaks(t)
	const root = "alone/meta"
	one := coordinator(t, root, "rootcoord")
	must(t, "one", next(t, "one is active", stand(one, nil)))
	told := make(chan struct{}, 1)
	two := NewSessionWithEtcd(context.Background(), root, newClient(t), StandBy(func() { told <- struct{}{} }),
		WithVersion("3.0.0"), WithRetryTimes(1))
	two.Init("rootcoord", "127.0.0.1:53101", true, true)
	must(t, "Init", two.Err())
	defer two.Stop()
	two.Register()
	if err := two.Err(); err == nil || !strings.Contains(err.Error(), "127.0.0.1:53100") || two.Registered() {
		t.Errorf("%v", err)
	}
	next(t, "nobody else asks, so it is told", told)
	one.Stop()
	two.Register()
	must(t, "Register", two.Err())
	if !two.Election().IsPrimary() || two.GetRegisteredRevision() != keys(t, root)["rootcoord"].ModRevision {
		t.Error("not active")
	}
}

func TestMisuseIsAnError(t *testing.T) {
	noLeaks(t)
	if NewSessionWithEtcd(context.Background(), "x/meta", nil, goesOn) != nil {
		t.Error("a session without a client")
	}
	s := NewSessionWithEtcd(context.Background(), "misuse/meta", newClient(t), goesOn)
	unsaid := NewSessionWithEtcd(context.Background(), "misuse/meta", newClient(t), StandBy(nil), WithVersion("3.0.0"))
	unsaid.Init("rootcoord", "127.0.0.1:1", true)
	unsaid.Register()
	failed := func(of *Session, call func()) error { call(); return of.Err() }
	for what, err := range map[string]error{
		"Register": failed(s, s.Register), "ProcessActiveStandBy": s.ProcessActiveStandBy(nil), "GoingStop": s.GoingStop(),
		"Init without a version": failed(s, func() { s.Init("rootcoord", "127.0.0.1:1", true) }),
		"Register after it":      failed(s, s.Register),
		"without a word of loss": unsaid.ProcessActiveStandBy(nil),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	s.LivenessCheck(context.Background(), nil)
	s.Stop()
	s.Stop()
	over, cancel := context.WithCancel(context.Background())
	unreachable := NewSessionWithEtcd(over, "misuse/meta", newClient(t), goesOn, WithVersion("3.0.0"))
	unreachable.config.Endpoints = []string{"127.0.0.1:1"}
	unreachable.config.Settings = map[string]string{"etcd.requestTimeout": "300"}
	ended := make(chan error, 1)
	go func() { unreachable.Init("rootcoord", "127.0.0.1:1", true); ended <- unreachable.Err() }()
	cancel()
	if err := next(t, "Init ends with its context", ended); err == nil {
		t.Error("no error")
	}
}

func TestASessionOfAnotherServerCanOnlyBeRead(t *testing.T) {
	noLeaks(t)
	root := "record-" + rand.Text() + "/meta"
	own := coordinator(t, root, "rootcoord")
	found, _, err := own.GetSessions(context.Background(), "rootcoord-")
	must(t, "GetSessions", err)
	for name, s := range map[string]*Session{"found": found["rootcoord-1"], "zero": {}} {
		watch := s.WatchServices("rootcoord", 1, nil)
		if _, open := <-watch.EventChannel(); open {
			t.Errorf("%s: an event", name)
		}
		watch.Stop()
		_, _, reading := s.GetSessions(context.Background(), "rootcoord")
		_, _, ofVersion := s.GetSessionsWithVersionRange("rootcoord", semver.MustParseRange(">0.0.0"))
		s.Init("rootcoord", "127.0.0.1:1", true)
		s.Register()
		for what, err := range map[string]error{
			"Init and Register": s.Err(), "GoingStop": s.GoingStop(),
			"ProcessActiveStandBy": s.ProcessActiveStandBy(nil), "GetSessions": reading, "its like": ofVersion,
		} {
			if err == nil {
				t.Errorf("%s: %s: no error", name, what)
			}
		}
		s.Stop()
		s.Revoke(time.Second)
		s.LivenessCheck(context.Background(), func() {})
		if _, err := s.MarshalJSON(); err != nil {
			t.Error(name, err)
		}
	}
	if _, there := keys(t, root)["rootcoord-1"]; !there {
		t.Error("Stop of what was read has stopped the server")
	}
	(*Session)(nil).Stop()
}

func TestStopDuringInitLeavesNothing(t *testing.T) {
	noLeaks(t)
	root := "stop-init-" + rand.Text() + "/meta"
	s := NewSessionWithEtcd(context.Background(), root, newClient(t), goesOn, WithVersion("3.0.0"),
		WithConfig(primacy.Config{Logger: slog.New(slog.DiscardHandler)}))
	ended := make(chan error, 1)
	s.mu.Lock()
	go func() { s.Init("rootcoord", "127.0.0.1:1", true); ended <- s.Err() }()
	eventually(t, "it has an id", func() bool { return keys(t, root)["id"].Value == "2" })
	s.stopped = true // Stop has begun, and found no session yet
	close(s.stopping)
	s.mu.Unlock()
	if err := next(t, "Init", ended); !errors.Is(err, primacy.ErrStopped) {
		t.Error(err)
	}
	s.Stop()
}

func TestTheRecordShowsTheLeaseOfALaterWin(t *testing.T) {
	noLeaks(t)
	const root = "later-lease/meta"
	s := coordinator(t, root, "rootcoord")
	activated := make(chan struct{}, 10)
	must(t, "active", next(t, "active", stand(s, func() error { activated <- struct{}{}; return nil })))
	<-activated
	first := keys(t, root)["rootcoord"].Lease
	must(t, "revoke", etcd.Revoke(first))
	next(t, "activated again", activated)
	second := keys(t, root)["rootcoord"].Lease
	text, err := s.MarshalJSON()
	must(t, "MarshalJSON", err)
	if want := fmt.Sprintf(`"LeaseID":%d,`, second); second == first || !strings.Contains(string(text), want) {
		t.Errorf("%s: not %s", text, want)
	}
}

func TestARewatchMayStopWhatCalledIt(t *testing.T) {
	for name, stop := range map[string]func(*Session, SessionWatcher){
		"the session":      func(s *Session, _ SessionWatcher) { s.Stop() },
		"the session soon": func(s *Session, _ SessionWatcher) { s.Revoke(time.Second) },
		"the watcher":      func(_ *Session, w SessionWatcher) { w.Stop() },
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			s, watching := coordinator(t, "rewatch-stops/meta", "rootcoord"), make(chan SessionWatcher, 1)
			took := make(chan time.Duration, 1)
			watch := watchCompacted(t, s, func(map[string]*Session) error {
				watch := <-watching
				start := time.Now()
				stop(s, watch)
				took <- time.Since(start)
				return nil
			})
			watching <- watch
			if took := next(t, "stopped", took); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			for range watch.EventChannel() { // closed
			}
		})
	}
}

func TestARewatchThatDoesNotReturnHoldsUpNoStop(t *testing.T) {
	noLeaks(t)
	s := coordinator(t, "rewatch-hangs/meta", "rootcoord")
	called, release := make(chan struct{}, 1), make(chan struct{})
	watch := watchCompacted(t, s, func(map[string]*Session) error { called <- struct{}{}; <-release; return nil })
	next(t, "rewatch", called)
	stopped := make(chan struct{}, 2)
	go func() { s.Revoke(time.Second); stopped <- struct{}{}; watch.Stop(); stopped <- struct{}{} }()
	next(t, "Revoke", stopped)
	next(t, "Stop of the watcher", stopped)
	close(release)
	if event := next(t, "the channel is closed", watch.EventChannel()); event != nil {
		t.Errorf("%v", event)
	}
}

// Watches from a revision that etcd has forgotten.
func watchCompacted(t *testing.T, s *Session, rewatch Rewatch) SessionWatcher {
	t.Helper()
	client := newClient(t)
	response, err := client.Put(context.Background(), "compacted", "")
	must(t, "put", err)
	_, err = client.Compact(context.Background(), response.Header.Revision)
	must(t, "compact", err)
	return s.WatchServices("datacoord", 1, rewatch)
}

func TestAMixcoordThatTheVersionRuleRefusesIsToldBothVersions(t *testing.T) {
	noLeaks(t)
	const root = "refused/meta"
	newer := coordinator(t, root, "mixcoord") // 3.0.0-beta
	must(t, "the newer one", next(t, "the newer one is active", stand(newer, nil)))
	older := func(standby bool) *Session {
		s := NewSessionWithEtcd(context.Background(), root, newClient(t), goesOn, WithVersion("2.9.1"), WithTTL(5))
		s.Init("mixcoord", "127.0.0.1:53101", true)
		t.Cleanup(s.Stop)
		s.SetEnableActiveStandBy(standby)
		return s
	}
	refused := func(what string, err error) {
		if err == nil || !strings.Contains(err.Error(), "2.9.1") || !strings.Contains(err.Error(), "3.0.0-beta") ||
			!strings.Contains(err.Error(), root+"/session/version") {
			t.Errorf("%s: %v", what, err)
		}
	}
	beside := older(true)
	beside.Register()
	refused("while the newer one is active", next(t, "an answer", stand(beside, nil)))
	waiting := older(true)
	waiting.Register()
	newer.Stop()
	refused("after the newer one has ended", next(t, "an answer", stand(waiting, nil)))
	alone := older(false)
	alone.Register()
	refused("without standby", alone.Err())
	// What the documentation says to do, for one that has been refused, too.
	must(t, "put", etcd.Put(root+"/session/version", "2.9.0"))
	must(t, "the older one", next(t, "the older one is active", stand(waiting, nil)))
}

func TestUseAfterStopIsAnError(t *testing.T) {
	noLeaks(t)
	s := coordinator(t, "after-stop/meta", "rootcoord")
	watch := s.WatchServices("rootcoord", 1, nil)
	must(t, "active", next(t, "active", stand(s, nil)))
	for range 2 {
		s.Stop()
	}
	for range watch.EventChannel() { // closed, after what is left
	}
	watch.Stop()
	for what, err := range map[string]error{
		"GoingStop": s.GoingStop(), "another's": (&Session{}).Err(),
		"ProcessActiveStandBy": s.ProcessActiveStandBy(nil),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if s.Election().IsPrimary() {
		t.Error("primary after Stop")
	}
	s.LivenessCheck(context.Background(), func() { t.Error("called after Stop") })
	late := s.WatchServices("rootcoord", 1, nil)
	if event, open := <-late.EventChannel(); open {
		t.Errorf("an event after Stop: %v", event)
	}
	if _, _, err := s.GetSessionsWithVersionRange("rootcoord", semver.MustParseRange(">0.0.0")); err == nil {
		t.Error("GetSessionsWithVersionRange: no error")
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := s.GetSessions(over, "rootcoord"); !errors.Is(err, context.Canceled) {
		t.Errorf("GetSessions: %v", err)
	}
}

func TestAStopInsideTheActivationIsBounded(t *testing.T) {
	noLeaks(t)
	s := coordinator(t, "inside/meta", "rootcoord")
	took := make(chan time.Duration, 1)
	waiting := stand(s, func() error {
		start := time.Now()
		s.Revoke(500 * time.Millisecond)
		took <- time.Since(start)
		return nil
	})
	if took := next(t, "the activation", took); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	if err := next(t, "ProcessActiveStandBy", waiting); err != nil && !errors.Is(err, primacy.ErrStopped) {
		t.Error(err)
	}
	s.Stop()
	eventually(t, "etcd is clean", func() bool { return len(keys(t, "inside/meta")) == 1 })
}

func TestOneWithoutStandbyOutlivesTheLeaseOfItsDeadPredecessor(t *testing.T) {
	noLeaks(t)
	const root = "predecessor/meta"
	client := newClient(t)
	lease, err := client.Grant(context.Background(), 2)
	must(t, "grant", err)
	_, err = client.Put(context.Background(), root+"/session/rootcoord",
		`{"ServerID":7,"ServerName":"rootcoord","Address":"127.0.0.1:53100","Exclusive":true,"Version":"2.6.13"}`,
		clientv3.WithLease(lease.ID))
	must(t, "put", err)
	s := NewSessionWithEtcd(context.Background(), root, newClient(t), goesOn, WithVersion("3.0.0"))
	s.Init("rootcoord", "127.0.0.1:53100", true)
	t.Cleanup(s.Stop)
	s.Register()
	must(t, "Register", s.Err())
	if !s.Election().IsPrimary() {
		t.Error("not active")
	}
}

func TestTheTriesOfMilvusAreATime(t *testing.T) {
	for _, c := range []struct {
		options int64
		setting string
		want    time.Duration
	}{
		{0, "", 78 * time.Second}, {1, "30", 0}, {0, "2", 200 * time.Millisecond}, {0, "many", 78 * time.Second}, {-1, "", 0},
		{6, "", 6 * time.Second},
	} {
		s := &Session{config: primacy.Config{Settings: map[string]string{"common.session.retryTimes": c.setting}}}
		if c.options != 0 {
			WithRetryTimes(c.options)(s)
		}
		if got := s.patience(); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestASecondInitIsAnErrorAndLeavesTheFirst(t *testing.T) {
	noLeaks(t)
	s := coordinator(t, "init-twice/meta", "rootcoord")
	must(t, "active", next(t, "active", stand(s, nil)))
	s.Init("rootcoord", "127.0.0.1:1", true)
	if s.Err() == nil || !s.Election().IsPrimary() || s.Address != "127.0.0.1:53100" {
		t.Errorf("%v, %s", s.Err(), s.Address)
	}
	s.Stop()
	if left := keys(t, "init-twice/meta"); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

func TestAStopEndsTheWaitForTheIDOfTheProcess(t *testing.T) {
	noLeaks(t)
	s := NewSessionWithEtcd(context.Background(), "id-wait/meta", newClient(t), goesOn, WithVersion("3.0.0"),
		WithNodeIDs(func() int64 { return 0 }, func(int64) {}))
	idTurn <- struct{}{}
	defer func() { <-idTurn }()
	ended := make(chan error, 1)
	go func() { s.Init("rootcoord", "127.0.0.1:1", true); ended <- s.Err() }()
	s.Stop()
	if err := next(t, "Init", ended); err == nil {
		t.Error("no error")
	}
}

func TestASessionMayBeWrittenAsJSONAtAnyTime(t *testing.T) {
	noLeaks(t)
	s := coordinator(t, "json/meta", "rootcoord")
	over, ended := make(chan struct{}), make(chan struct{})
	go func() { // of use with -race
		defer close(ended)
		for {
			select {
			case <-over:
				return
			default:
			}
			if _, err := s.MarshalJSON(); err != nil {
				t.Error(err)
			}
		}
	}()
	must(t, "active", next(t, "active", stand(s, nil)))
	must(t, "GoingStop", s.GoingStop())
	close(over)
	<-ended
}

// A watcher that tells one event, of revision 7, when etcd is at 9, and ends; it says from where it was asked to watch.
type shortWatcher struct {
	clientv3.Watcher
	from chan int64
}

func (w shortWatcher) Watch(_ context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	w.from <- clientv3.OpGet(key, opts...).Rev()
	told := make(chan clientv3.WatchResponse, 1)
	told <- clientv3.WatchResponse{Header: etcdserverpb.ResponseHeader{Revision: 9}, Events: []*clientv3.Event{
		{Type: clientv3.EventTypePut, Kv: &mvccpb.KeyValue{Key: []byte("datacoord-1"), Value: []byte(`{}`), ModRevision: 7}},
	}}
	close(told)
	return told
}

func TestAWatchGoesOnAfterWhatWasTold(t *testing.T) {
	noLeaks(t)
	s := NewSessionWithEtcd(context.Background(), "short/meta", newClient(t), goesOn)
	from := make(chan int64, 10)
	s.client.Watcher = shortWatcher{s.client.Watcher, from}
	watch := s.WatchServices("datacoord", 5, nil)
	defer watch.Stop()
	for _, want := range []int64{5, 8} {
		if got := next(t, "a watch", from); got != want {
			t.Errorf("from %d, not %d", got, want)
		}
	}
}

// Endpoint is where the examples find the tests' etcd.
func Endpoint() string { return etcd.Endpoint }
