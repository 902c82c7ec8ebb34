//go:build cgo

package sessionutil

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blang/semver/v4"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// The cases of Milvus's own session_util_test.go (2.6.13), in its order, against this package. docs/go.md has them as a
// table, with those in which this package differs. Roots and addresses are of the kinds that are used there.

func their(t *testing.T, root string, opts ...SessionOption) *Session {
	t.Helper()
	s := NewSessionWithEtcd(context.Background(), root, newClient(t), goesOn,
		append([]SessionOption{WithVersion("2.6.6"), WithTTL(5)}, opts...)...)
	t.Cleanup(s.Stop)
	return s
}

func initialised(t *testing.T, s *Session, role string, exclusive bool) *Session {
	t.Helper()
	s.Init(role, "testAddr", exclusive, false)
	must(t, "Init", s.Err())
	return s
}

func registered(t *testing.T, s *Session, role string) *Session {
	t.Helper()
	initialised(t, s, role, false).Register()
	must(t, "Register", s.Err())
	return s
}

func TestTheirsGetServerIDConcurrently(t *testing.T) {
	noLeaks(t)
	var mu sync.Mutex
	var shared int64
	ids := WithNodeIDs(func() int64 { mu.Lock(); defer mu.Unlock(); return shared },
		func(id int64) { mu.Lock(); defer mu.Unlock(); shared = id })
	got := make(chan int64, 10)
	for range 10 {
		s := their(t, "ids/session/", ids)
		go func() { s.Init("test", "testAddr", false, false); got <- s.ServerID }()
	}
	for range 10 {
		if id := next(t, "an id", got); id != 1 {
			t.Errorf("id %d", id)
		}
	}
	// Each of its own: the option, and Milvus's integration mode, which sets it.
	for want := range int64(2) {
		s := initialised(t, their(t, "ids/session/", ids, WithResueNodeID(false)), "test", false)
		if s.ServerID != want+2 {
			t.Errorf("id %d", s.ServerID)
		}
	}
	t.Setenv(MilvusNodeIDForTesting, "77")
	if s := initialised(t, their(t, "ids/session/"), "test", false); s.ServerID != 77 {
		t.Errorf("id %d", s.ServerID)
	}
}

func TestTheirsInit(t *testing.T) {
	noLeaks(t)
	for _, root := range []string{"one", "one/session/", "two//parts/", "/slash/meta"} {
		s := registered(t, their(t, root), "inittest")
		sessions, _, err := s.GetSessions(context.Background(), "inittest")
		must(t, "GetSessions", err)
		found := sessions[fmt.Sprintf("inittest-%d", s.ServerID)]
		if s.LeaseID == nil || s.ServerID == 0 || found == nil || found.Address != "testAddr" {
			t.Errorf("%s: %v", root, sessions)
		}
		kv, err := etcd.Get(path.Join(root, "session", "inittest-1"), false)
		if err != nil || len(kv) != 1 {
			t.Errorf("%s: %v, %v", root, kv, err)
		}
	}
}

func TestTheirsUpdateSessions(t *testing.T) {
	noLeaks(t)
	s := their(t, "update/session/")
	sessions, revision, err := s.GetSessions(context.Background(), "test")
	if err != nil || len(sessions) != 0 {
		t.Fatalf("%v, %v", sessions, err)
	}
	watch := s.WatchServices("test", revision, nil)
	var all sync.WaitGroup
	for range 10 {
		one := their(t, "update/session/")
		all.Add(1)
		go func() { defer all.Done(); one.Init("test", "testAddr", false, false); one.Register() }()
	}
	all.Wait()
	if sessions, _, err = s.GetSessions(context.Background(), "test"); err != nil || len(sessions) != 10 {
		t.Errorf("%v, %v", sessions, err)
	}
	if sessions, _, err = s.GetSessions(context.Background(), "testt"); err != nil || len(sessions) != 0 {
		t.Errorf("%v, %v", sessions, err)
	}
	for name := range keys(t, "update/session") {
		if strings.HasPrefix(name, "test-") {
			must(t, "delete", etcd.Delete("update/session/session/"+name))
		}
	}
	added, deleted := 0, 0
	for added < 10 || deleted < 10 {
		switch event := next(t, "an event", watch.EventChannel()); event.EventType {
		case SessionAddEvent:
			added++
		case SessionDelEvent:
			deleted++
		}
	}
}

func TestTheirsWatcherHandleWatchResp(t *testing.T) {
	noLeaks(t)
	const root = "responses/session"
	s := their(t, root)
	at := func(name string) string { return path.Join(root, "session", name) }
	_, revision, err := s.GetSessions(context.Background(), "test")
	must(t, "GetSessions", err)
	watch := s.WatchServices("test", revision+1, nil)
	must(t, "no record", etcd.Put(at("test-0"), "")) // tells nothing
	must(t, "put", etcd.Put(at("test-1"), `{"ServerID": 1, "ServerName": "test1"}`))
	must(t, "delete", etcd.Delete(at("test-1")))
	for _, want := range []SessionEventType{SessionAddEvent, SessionDelEvent} {
		if event := next(t, "an event", watch.EventChannel()); event.EventType != want || event.Session.ServerName != "test1" {
			t.Errorf("%v", event)
		}
	}
	must(t, "delete", etcd.Delete(at("test-0")))
	// A watch that etcd has compacted goes on, with and without a Rewatch; where that fails it ends, and nothing panics.
	for name, rewatch := range map[string]Rewatch{
		"nil": nil, "valid": func(map[string]*Session) error { return nil },
		"failing": func(map[string]*Session) error { return errors.New("mocked") },
	} {
		compacted := watchCompacted(t, s, rewatch)
		if name == "failing" {
			if event := next(t, "the end", compacted.EventChannel()); event != nil {
				t.Errorf("%v", event)
			}
			continue
		}
		// What is put before the watch has begun anew is told by the Rewatch alone.
		eventually(t, name+": an event", func() bool {
			must(t, "put", etcd.Put(at("datacoord-1"), `{"ServerID": 1, "Stopping": true}`))
			select {
			case event := <-compacted.EventChannel():
				return event.EventType == SessionUpdateEvent
			case <-time.After(50 * time.Millisecond):
				return false
			}
		})
		must(t, "delete", etcd.Delete(at("datacoord-1")))
	}
}

func TestTheirsSessionStates(t *testing.T) {
	s := &Session{}
	if s.Registered() || s.Disconnected() || s.String() == "" {
		t.Error("of a new one")
	}
	s.UpdateRegistered(true)
	s.SetDisconnected(true)
	if !s.Registered() || !s.Disconnected() {
		t.Error("set, and not so")
	}
	for kind, want := range map[SessionEventType]string{
		SessionNoneEvent: "", SessionAddEvent: "SessionAddEvent", SessionDelEvent: "SessionDelEvent",
		SessionUpdateEvent: "SessionUpdateEvent",
	} {
		if kind.String() != want {
			t.Errorf("%d: %s", kind, kind)
		}
	}
}

func TestTheirsMarshal(t *testing.T) {
	one := &Session{
		SessionRaw: SessionRaw{ServerID: 1, ServerName: "test", Address: "localhost"}, Version: semver.MustParse("2.6.6"),
	}
	text, err := json.Marshal(one)
	must(t, "Marshal", err)
	var two Session
	must(t, "Unmarshal", json.Unmarshal(text, &two))
	if two.ServerID != 1 || two.ServerName != "test" || two.Address != "localhost" || !two.Version.Equals(one.Version) {
		t.Errorf("%+v", two.SessionRaw)
	}
	for _, bad := range []string{"garbage", `{"Version": "a.b.c"}`} {
		if json.Unmarshal([]byte(bad), &two) == nil {
			t.Errorf("read: %s", bad)
		}
	}
}

func TestTheirsVersionRange(t *testing.T) {
	noLeaks(t)
	const root, role = "sessionWithVersion", "sessionComp"
	var sessions []*Session
	for _, version := range []string{"0.0.0", "2.1.0", "2.2.0+dev"} {
		s := their(t, root)
		s.Version = semver.MustParse(version)
		sessions = append(sessions, registered(t, s, role))
		if s.GetRegisteredRevision() <= 0 {
			t.Errorf("registered at %d", s.GetRegisteredRevision())
		}
	}
	s := their(t, root)
	for versions, want := range map[string]int{">1.0.0": 2, ">2.1.0": 1, ">2.2.0": 0} {
		found, _, err := s.GetSessionsWithVersionRange(role, semver.MustParseRange(versions))
		if err != nil || len(found) != want {
			t.Errorf("%s: %v, %v", versions, found, err)
		}
	}
	within := semver.MustParseRange(">1.0.0 <=2.1.0")
	_, revision, err := s.GetSessionsWithVersionRange(role, within)
	must(t, "GetSessionsWithVersionRange", err)
	watch := s.WatchServicesWithVersionRange(role, within, revision, nil)
	for _, one := range sessions {
		go one.Stop()
	}
	// The watch begins where the last of them was registered; that one is not within.
	if event := next(t, "an event", watch.EventChannel()); event.Session.ServerID != sessions[1].ServerID {
		t.Errorf("%v", event)
	}
	for _, garbage := range []string{"garbage", `{"Version": "a.b.c"}`} {
		must(t, "put", etcd.Put(path.Join(root, "session", role, "garbage"), garbage))
		if _, _, err := s.GetSessionsWithVersionRange(role, semver.MustParseRange(">=0.0.0")); err == nil {
			t.Errorf("read: %s", garbage)
		}
	}
}

func TestTheirsProcessActiveStandBy(t *testing.T) {
	noLeaks(t)
	const root = "standby/session1"
	begin := func() (*Session, <-chan struct{}, <-chan error) {
		s := initialised(t, their(t, root), "inittest", true)
		s.SetEnableActiveStandBy(true)
		s.Register()
		must(t, "Register", s.Err())
		if s.GetRegisteredRevision() != -1 { // theirs panics
			t.Errorf("registered at %d", s.GetRegisteredRevision())
		}
		activated := make(chan struct{}, 1)
		return s, activated, stand(s, func() error { activated <- struct{}{}; return nil })
	}
	one, activated, active := begin()
	next(t, "one is activated", activated)
	must(t, "one", next(t, "one is active", active))
	if one.GetRegisteredRevision() <= 0 {
		t.Errorf("registered at %d", one.GetRegisteredRevision())
	}
	_, activated, active = begin()
	one.Stop()
	next(t, "two is activated", activated)
	must(t, "two", next(t, "two is active", active))
}

func TestTheirsServerInfo(t *testing.T) {
	const pid = 9999999
	defer RemoveServerInfoFile(pid)
	for _, role := range []string{"querycoord", "datacoord", "proxy"} {
		must(t, role, saveServerInfo(role, 999, pid))
	}
	if found := GetSessions(pid); !slices.Equal(found, []string{"querycoord-999", "datacoord-999", "proxy-999"}) {
		t.Errorf("%v", found)
	}
	RemoveServerInfoFile(pid)
	if found := GetSessions(pid); found == nil || len(found) != 0 {
		t.Errorf("%v", found)
	}
	SaveServerInfo("querycoord", 9999)
	defer RemoveServerInfoFile(os.Getpid())
	if found := GetSessions(os.Getpid()); len(found) != 1 {
		t.Errorf("%v", found)
	}
}

func TestTheirsApply(t *testing.T) {
	s := NewSessionWithEtcd(context.Background(), "apply", newClient(t), goesOn, WithTTL(100), WithRetryTimes(200))
	if s.config.TTL != 100*time.Second {
		t.Errorf("%v", s.config.TTL)
	}
}

func TestTheirsGoingStop(t *testing.T) {
	noLeaks(t)
	disconnected := their(t, "milvus-ut/session-x/")
	disconnected.SetDisconnected(true)
	for name, s := range map[string]*Session{"nil": nil, "not inited": {}, "disconnected": disconnected} {
		if s.GoingStop() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	must(t, "GoingStop", registered(t, their(t, "milvus-ut/session-x/"), "test").GoingStop())
}

func TestTheirsKeepAlive(t *testing.T) {
	noLeaks(t)
	s := registered(t, their(t, "keep-alive/session/"), "test")
	lease := keys(t, "keep-alive/session")["test-1"].Lease
	// Renewed: longer than its TTL, it is still there. Their test cuts a channel that nothing reads.
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if s.Disconnected() || keys(t, "keep-alive/session")["test-1"].Lease != lease {
			t.Fatal("lost")
		}
	}
	s.Stop()
	if found := keys(t, "keep-alive/session"); len(found) != 1 {
		t.Errorf("left: %v", found)
	}
}

func TestTheirsServerLabels(t *testing.T) {
	for name, value := range map[string]string{
		"MILVUS_SERVER_LABEL_key1": "value1", "MILVUS_SERVER_LABEL_key2": "value2", "MILVUS_SERVER_LABEL_key3": "value3",
		"MILVUS_SERVER_LABEL_qn_key3": "value33", "MILVUS_SERVER_LABEL_sn_key3": "value33", "key4": "value4",
		"MILVUS_SERVER_LABEL_": "value5", "MILVUS_SERVER_LABEL_qn": "value6",
	} {
		t.Setenv(name, value)
	}
	for role, third := range map[string]string{
		"querynode": "value33", "streamingnode": "value33", "mixcoord": "value3", "proxy": "value3",
	} {
		labels := GetServerLabelsFromEnv(role)
		if len(labels) != 3 || labels["key1"] != "value1" || labels["key2"] != "value2" || labels["key3"] != third {
			t.Errorf("%s: %v", role, labels)
		}
	}
	if NewServerLabel("", LabelStandalone) != "MILVUS_SERVER_LABEL_STANDALONE" ||
		NewServerLabel("querynode", LabelStreamingNodeEmbeddedQueryNode) !=
			SupportedLabelPrefix+LegacyLabelStreamingNodeEmbeddedQueryNode {
		t.Error("names of labels")
	}
}

func TestTheirsVersionKey(t *testing.T) {
	noLeaks(t)
	const root = "milvus-ut/version/"
	version := func() string { return keys(t, "milvus-ut/version")["version"].Value }
	begin := func(version string) *Session {
		s := initialised(t, their(t, root, WithVersion(version)), "mixcoord", false)
		s.Register()
		return s
	}
	first := begin("2.6.6")
	if must(t, "the first", first.Err()); version() != "2.6.6" {
		t.Errorf("version %s", version())
	}
	if begin("2.5.6").Err() == nil { // theirs panics
		t.Error("an older one was not refused")
	}
	first.Stop()
	for _, next := range []string{"2.6.4", "2.6.7", "3.0.0"} {
		s := begin(next)
		if must(t, next, s.Err()); version() != next {
			t.Errorf("version %s of %s", version(), next)
		}
		s.Stop()
	}
}

func TestTheirsSessionLifetime(t *testing.T) {
	noLeaks(t)
	const root = "milvus-ut/lifetime/"
	s := registered(t, their(t, root), "test")
	check := func() {
		t.Helper()
		text, err := json.Marshal(s.SessionRaw)
		must(t, "Marshal", err)
		stored := keys(t, "milvus-ut/lifetime")["test-1"].Value
		if bare, _, found := strings.Cut(stored, `,"Primacy"`); found { // ours says more
			stored = bare + "}"
		}
		if stored != string(text) {
			t.Errorf("in etcd %s\nof it   %s", stored, text)
		}
	}
	check()
	if s.ServerLabels != nil || s.SessionRaw.Version != "2.6.6" {
		t.Errorf("%+v", s.SessionRaw)
	}
	client := newClient(t)
	lives := func() int64 {
		left, err := client.TimeToLive(context.Background(), *s.LeaseID)
		must(t, "TimeToLive", err)
		return left.TTL
	}
	if lives() <= 0 {
		t.Error("no lease")
	}
	must(t, "GoingStop", s.GoingStop())
	if check(); !s.Stopping {
		t.Error("not stopping")
	}
	s.Stop()
	if _, there := keys(t, "milvus-ut/lifetime")["test-1"]; there || lives() != -1 {
		t.Error("something is left")
	}
	_, _ = client.Delete(context.Background(), root, clientv3.WithPrefix())
}
