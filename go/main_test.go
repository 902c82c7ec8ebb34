//go:build cgo

package primacy

import (
	"context"
	"crypto/rand"
	"os"
	"testing"
	"time"

	"primacy.example/go/internal/etcdtest"
	"primacy.example/go/internal/handle"
)

// The etcd of all tests; each has a root of its own.
var etcd *etcdtest.Server

func TestMain(m *testing.M) {
	os.Exit(etcdtest.Main(m, handle.Live, func(server *etcdtest.Server) {
		etcd = server
		ShowEndpoint(etcd.Endpoint)
	}))
}

// Fails the test if anything is left over when it ends: a goroutine, or a value that the library may still ask for. Comes
// first in a test, so that it ends last.
func noLeaks(t *testing.T) {
	t.Helper()
	before, live := etcdtest.Running(), handle.Live()
	t.Cleanup(func() {
		for _, stack := range before.Leaks() {
			t.Errorf("a goroutine is left over:\n%s", stack)
		}
		eventually(t, "no handle is left over", func() bool { return handle.Live() == live })
	})
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 15 s: %s", what)
		}
	}
}

// A meta root of the test's own.
func newRoot() string { return "test-" + rand.Text() + "/meta" }

func configOf(t testing.TB, root string) Config {
	return Config{
		Endpoints: []string{etcd.Endpoint},
		Root:      root,
		TTL:       5 * time.Second,
		Candidate: Candidate{Address: "127.0.0.1:53100", Version: "3.0.0"},
		Logger:    testLogger(t),
	}
}

func open(t testing.TB, config Config) *Session {
	t.Helper()
	session, err := Open(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close(within(t, 10*time.Second)) })
	return session
}

func register(t testing.TB, session *Session, role string) *Election {
	t.Helper()
	election, err := session.Register(role)
	if err != nil {
		t.Fatal(err)
	}
	return election
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// A host that writes down what happens to it.
type host struct {
	t        testing.TB
	election *Election
	standby  chan Standby
	primary  chan Win
	lost     chan Lost
	context  chan context.Context // of OnPrimary
}

// Campaigns with handlers that only write down; change may replace some.
func campaign(t testing.TB, session *Session, role string, change func(*Handlers)) *host {
	t.Helper()
	h := &host{
		t: t, election: register(t, session, role),
		standby: make(chan Standby, 100), primary: make(chan Win, 100), lost: make(chan Lost, 100),
		context: make(chan context.Context, 100),
	}
	handlers := Handlers{
		OnStandby: func(_ context.Context, standby Standby) error { h.standby <- standby; return nil },
		OnPrimary: func(ctx context.Context, win Win) error { h.context <- ctx; h.primary <- win; return nil },
		OnLost:    func(_ context.Context, lost Lost) error { h.lost <- lost; return nil },
	}
	if change != nil {
		change(&handlers)
	}
	if err := h.election.Campaign(handlers); err != nil {
		t.Fatal(err)
	}
	return h
}

func next[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	select {
	case value, ok := <-from:
		if !ok {
			t.Fatalf("the channel is closed: %s", what)
		}
		return value
	case <-time.After(20 * time.Second):
		t.Fatalf("not within 20 s: %s", what)
		panic("unreachable")
	}
}
