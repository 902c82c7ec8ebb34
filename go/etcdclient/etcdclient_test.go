//go:build cgo

package etcdclient

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/namespace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"primacy.example/go"
	"primacy.example/go/internal/etcdtest"
	"primacy.example/go/internal/handle"
	"primacy.example/go/store"
)

var server *etcdtest.Server

func TestMain(m *testing.M) {
	os.Exit(etcdtest.Main(m, handle.Live, func(started *etcdtest.Server) { server = started }))
}

// Endpoint tells the examples where the tests' etcd is.
func Endpoint() string { return server.Endpoint }

var roots atomic.Int64

func newClient(t *testing.T, config clientv3.Config) *clientv3.Client {
	t.Helper()
	if config.Endpoints == nil {
		config.Endpoints = []string{server.Endpoint}
	}
	client, err := clientv3.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func newConfig(s store.Store) primacy.Config {
	return primacy.Config{
		Store:     s,
		Endpoints: []string{"127.0.0.1:1"}, // nobody is there
		Root:      fmt.Sprintf("lent-%d/meta", roots.Add(1)),
		TTL:       2 * time.Second,
		Candidate: primacy.Candidate{Address: "10.0.0.7:1", Version: "1.0.0"},
	}
}

type host struct {
	session  *primacy.Session
	election *primacy.Election
	wins     chan primacy.Win
	losses   chan primacy.Lost
}

func campaign(t *testing.T, config primacy.Config) *host {
	t.Helper()
	session, err := primacy.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	h := &host{session: session, wins: make(chan primacy.Win, 9), losses: make(chan primacy.Lost, 9)}
	t.Cleanup(func() { h.close(t) })
	if h.election, err = session.Register("rootcoord"); err != nil {
		t.Fatal(err)
	}
	err = h.election.Campaign(primacy.Handlers{
		OnPrimary: func(_ context.Context, win primacy.Win) error {
			h.wins <- win
			return nil
		},
		OnLost: func(_ context.Context, lost primacy.Lost) error {
			h.losses <- lost
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *host) close(t *testing.T) {
	t.Helper()
	if err := h.session.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func next[T any](t *testing.T, from chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func sockets(t *testing.T) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, "socket:") {
			found = append(found, target)
		}
	}
	slices.Sort(found)
	return found
}

func TestAHostThatLendsItsClientHasNoOtherSocket(t *testing.T) {
	noLeaks(t)
	client := newClient(t, clientv3.Config{})
	if _, err := client.Get(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	before := sockets(t)
	config := newConfig(New(client))
	one := campaign(t, config)
	win := next(t, one.wins)
	two := campaign(t, config)
	observer, err := primacy.Observe(t.Context(), config, "rootcoord")
	if err != nil {
		t.Fatal(err)
	}
	defer observer.Close()
	if primary, err := observer.WaitUntilReady(t.Context()); err != nil || primary.Token != win.Token {
		t.Fatal(primary, err)
	}
	if _, err := one.election.Commit(t.Context(), win.Token, new(primacy.Txn).IfAbsent("x").Put("x", nil)); err != nil {
		t.Fatal(err)
	}
	read, err := two.session.Read(t.Context(), new(primacy.Txn).GetPrefix("x").Get("none"))
	if err != nil || len(read.Gets[0]) != 1 || len(read.Gets[1]) != 0 {
		t.Fatal(read, err)
	}
	if now := sockets(t); !slices.Equal(before, now) {
		t.Errorf("sockets: %v before, %v now", before, now)
	}

	// Longer than its TTL: its lease is renewed, and the lock is where others look for it.
	time.Sleep(3 * time.Second)
	if !one.election.IsPrimary() {
		t.Error("it has lost its lease")
	}
	if found, err := server.Get(config.Root+"/session/rootcoord", false); err != nil || len(found) != 1 || found[0].ModRevision != int64(win.Token) {
		t.Error(found, err)
	}
	one.close(t)
	if second := next(t, two.wins); second.Token <= win.Token {
		t.Error(second.Token, "after", win.Token)
	}
	if primary, err := observer.Wait(t.Context(), win.Token); err != nil || primary.Token == win.Token {
		t.Error(primary, err)
	}
}

func TestItAndTheLibrarysOwnConnectionsAreOneCluster(t *testing.T) {
	noLeaks(t)
	lending := newConfig(New(newClient(t, clientv3.Config{})))
	connecting := lending
	connecting.Store, connecting.Endpoints = nil, []string{server.Endpoint}
	token := primacy.Token(0)
	before := campaign(t, connecting)
	for i := range 6 {
		win := next(t, before.wins)
		if win.Token <= token {
			t.Error(win.Token, "after", token)
		}
		token = win.Token
		after := campaign(t, []primacy.Config{lending, connecting}[i%2])
		if _, err := after.election.Wait(t.Context(), func(s primacy.ElectionStatus) bool { return s.Warm }); err != nil {
			t.Fatal(err)
		}
		before.close(t)
		before = after
	}
	next(t, before.wins)
}

func TestALeaseThatIsRevokedAndALockThatIsDeletedAreLost(t *testing.T) {
	noLeaks(t)
	config := newConfig(New(newClient(t, clientv3.Config{})))
	h := campaign(t, config)
	win := next(t, h.wins)
	if err := server.Revoke(win.Lease); err != nil {
		t.Fatal(err)
	}
	next(t, h.losses)
	next(t, h.wins)
	if err := server.Delete(config.Root + "/session/rootcoord"); err != nil {
		t.Fatal(err)
	}
	if lost := next(t, h.losses); lost.Reason != primacy.KeyDeleted {
		t.Error(lost.Reason)
	}
	next(t, h.wins)
}

func TestAnEtcdThatStandsStillCostsPrimacyInTimeAndIsTakenUpAgain(t *testing.T) {
	noLeaks(t)
	own, err := etcdtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Stop)
	h := campaign(t, newConfig(New(newClient(t, clientv3.Config{Endpoints: []string{own.Endpoint}}))))
	next(t, h.wins)
	stopped := time.Now()
	if err := own.Process().Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	lost := next(t, h.losses)
	if h.election.IsPrimary() || lost.Reason != primacy.LeaseExpired {
		t.Error("still primary, or", lost.Reason)
	}
	if after := time.Since(stopped); after < time.Second || after > 10*time.Second {
		t.Error("lost after", after)
	}
	if err := own.Process().Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	next(t, h.wins)
}

func TestWithNamespacesKeysAreWhereTheClientPutsThem(t *testing.T) {
	noLeaks(t)
	client := newClient(t, clientv3.Config{})
	client.KV = namespace.NewKV(client.KV, "tenant/")
	client.Watcher = namespace.NewWatcher(client.Watcher, "tenant/")
	client.Lease = namespace.NewLease(client.Lease, "tenant/")
	config := newConfig(New(client))
	config.Settings = map[string]string{"primacy.layout": "after_start"}
	one, two := campaign(t, config), (*host)(nil)
	next(t, one.wins)
	two = campaign(t, config)
	if found, err := server.Get("tenant/"+config.Root+"/election/rootcoord", false); err != nil || len(found) != 1 {
		t.Error(found, err)
	}
	one.close(t)
	next(t, two.wins)
}

func TestWithUsersTheClientsUserCounts(t *testing.T) {
	noLeaks(t)
	own, err := etcdtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Stop)
	open, endpoints := newClient(t, clientv3.Config{Endpoints: []string{own.Endpoint}}), []string{own.Endpoint}
	config := newConfig(nil)
	ctx := t.Context()
	for _, err := range []error{
		second(open.RoleAdd(ctx, "root")),
		second(open.UserAdd(ctx, "root", "r")),
		second(open.UserGrantRole(ctx, "root", "root")),
		second(open.UserAdd(ctx, "nobody", "n")),
		second(open.AuthEnable(ctx)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	config.Store = New(newClient(t, clientv3.Config{Endpoints: endpoints, Username: "nobody", Password: "n"}))
	if _, err := primacy.Open(ctx, config); !errors.Is(err, primacy.ErrDenied) || !strings.Contains(err.Error(), "permission denied") {
		t.Error(err)
	}
	config.Store = New(newClient(t, clientv3.Config{Endpoints: endpoints, Username: "root", Password: "r"}))
	next(t, campaign(t, config).wins)
}

func second[T any](_ T, err error) error { return err }

func TestAClientThatCanNotBeLentIsRefusedWithAReason(t *testing.T) {
	noLeaks(t)
	for why, client := range map[string]*clientv3.Client{"client is nil": nil, "no lessor": clientv3.NewCtxClient(t.Context())} {
		_, err := primacy.Open(t.Context(), newConfig(New(client)))
		if !errors.Is(err, primacy.ErrRefused) || !strings.Contains(err.Error(), why) {
			t.Error(why, err)
		}
	}
}

// Every comparison and operation, as etcd means it.
func TestATransactionIsDoneAsEtcdMeansIt(t *testing.T) {
	client, ctx := newClient(t, clientv3.Config{}), t.Context()
	s := New(client)
	const lease = 7001
	if granted, err := s.Grant(ctx, lease, 60); err != nil || granted != 60 {
		t.Fatal(granted, err)
	}
	if _, err := s.Grant(ctx, lease, 60); !errors.Is(err, store.LeaseExists) {
		t.Error(err)
	}
	put := store.Op{Kind: store.Put, Range: store.Range{Key: "t/k"}, Value: []byte("v"), Lease: lease}
	written, err := s.Txn(ctx, store.Txn{Then: []store.Op{put}})
	read, readErr := client.Get(ctx, "t/k")
	if err != nil || readErr != nil || !written.Succeeded || written.Header != header(read.Header) ||
		written.ClusterID != read.Header.ClusterId || written.RaftTerm != read.Header.RaftTerm {
		t.Fatal(written, err, read, readErr)
	}
	key, span := store.Range{Key: "t/k"}, store.Range{Key: "t/", End: "t0"}
	for _, c := range []struct {
		compare store.Compare
		holds   bool
	}{
		{store.Compare{Range: key, Target: store.Version, Number: 1}, true},
		{store.Compare{Range: span, Target: store.Version, Number: 1}, true},
		{store.Compare{Range: key, Target: store.Version}, false},
		{store.Compare{Range: store.Range{Key: "t/none"}, Target: store.Version}, true},
		{store.Compare{Range: store.Range{Key: "t/x", End: "t/y"}, Target: store.Version}, true},
		{store.Compare{Range: key, Target: store.ModRevision, Number: written.Revision}, true},
		{store.Compare{Range: key, Target: store.ModRevision, Number: written.Revision - 1}, false},
		{store.Compare{Range: key, Target: store.Lease, Number: lease}, true},
		{store.Compare{Range: key, Target: store.Lease, Number: 1}, false},
		{store.Compare{Range: key, Target: store.Value, Value: []byte("v")}, true},
		{store.Compare{Range: key, Target: store.Value}, false},
	} {
		get := store.Op{Kind: store.Get, Range: span}
		answer, err := s.Txn(ctx, store.Txn{If: []store.Compare{c.compare}, Then: []store.Op{get, get}, Else: []store.Op{get}})
		if err != nil || answer.Succeeded != c.holds || answer.Revision != written.Revision {
			t.Error(c.compare, answer, err)
		}
		found := store.KeyValue{
			Key: "t/k", Value: []byte("v"), CreateRevision: written.Revision, ModRevision: written.Revision, Version: 1, Lease: lease,
		}
		if want := 1 + map[bool]int{true: 1}[c.holds]; len(answer.Found) != want || fmt.Sprint(answer.Found[0]) != fmt.Sprint([]store.KeyValue{found}) {
			t.Error(c.compare, answer.Found)
		}
	}
	twice := store.Txn{Then: []store.Op{put, put}}
	if _, err := s.Txn(ctx, twice); !errors.Is(err, store.Refused) {
		t.Error(err)
	}
	deleted, err := s.Txn(ctx, store.Txn{Then: []store.Op{{Kind: store.Delete, Range: key}}})
	if err != nil || deleted.Revision != written.Revision+1 {
		t.Error(deleted, err)
	}
	renewal, err := s.KeepAlive(ctx, lease)
	if err != nil || renewal.TTL != 60 || renewal.RaftTerm != written.RaftTerm || renewal.ClusterID != written.ClusterID {
		t.Error(renewal, err)
	}
	if err := s.Revoke(ctx, lease); err != nil {
		t.Error(err)
	}
	if err := s.Revoke(ctx, lease); !errors.Is(err, store.LeaseNotFound) {
		t.Error(err)
	}
	if _, err := s.Txn(ctx, store.Txn{Then: []store.Op{put}}); !errors.Is(err, store.LeaseNotFound) {
		t.Error(err)
	}
	if renewal, err := s.KeepAlive(ctx, lease); err != nil || renewal.TTL != 0 || renewal.RaftTerm == 0 {
		t.Error(renewal, err)
	}
}

func TestWhatAnErrorMeansForTheRequest(t *testing.T) {
	for _, c := range []struct {
		err     error
		meaning store.Failure
	}{
		{rpctypes.ErrLeaseNotFound, store.LeaseNotFound},
		{rpctypes.ErrGRPCLeaseExist, store.LeaseExists},
		{rpctypes.ErrGRPCInvalidAuthToken, store.Unreachable},
		{rpctypes.ErrGRPCAuthOldRevision, store.Unreachable},
		{rpctypes.ErrPermissionDenied, store.Denied},
		{rpctypes.ErrAuthFailed, store.Denied},
		{rpctypes.ErrGRPCNoLeader, store.Unreachable},
		{status.Error(codes.Unavailable, "etcdserver: rpc not supported for learner"), store.Unreachable},
		{rpctypes.ErrTooManyRequests, store.Unreachable},
		{rpctypes.ErrNoSpace, store.NoSpace},
		{rpctypes.ErrRequestTooLarge, store.Refused},
		{rpctypes.ErrGRPCDuplicateKey, store.Refused},
		{rpctypes.ErrTimeout, store.Indefinite},
		{rpctypes.ErrGRPCLeaderChanged, store.Indefinite},
		{rpctypes.ErrStopped, store.Indefinite},
		{clientv3.ErrNoAvailableEndpoints, store.Unreachable},
		{context.DeadlineExceeded, store.Indefinite},
		{context.Canceled, store.Indefinite},
		{status.Error(codes.DeadlineExceeded, "context deadline exceeded"), store.Indefinite},
		{status.Error(codes.Unavailable, "transport is closing"), store.Indefinite},
		{status.Error(codes.Unavailable, `connection error: desc = "transport: Error while dialing dial tcp: refused"`), store.Unreachable},
		{status.Error(codes.Unavailable, `last connection error: connection error: desc = "error reading server preface: EOF"`), store.Unreachable},
		{status.Error(codes.Unavailable, `last connection error: connection error: desc = "transport: authentication handshake failed: x509: unknown authority"`), store.Denied},
		{status.Error(codes.Unavailable, `last connection error: connection error: desc = "error reading server preface: remote error: tls: bad certificate"`), store.Denied},
		{status.Error(codes.Unavailable, `connection error: desc = "error reading from server: EOF"`), store.Indefinite},
		{status.Error(codes.ResourceExhausted, "grpc: received message larger than max (3 vs. 2)"), store.Indefinite},
		{status.Error(codes.ResourceExhausted, "trying to send message larger than max (3 vs. 2)"), store.Refused},
		{status.Error(codes.Unauthenticated, "who are you"), store.Denied},
		{errors.New("anything"), store.Indefinite},
	} {
		if got := meaning(c.err); got != c.meaning {
			t.Errorf("%v: %v, not %v", c.err, got, c.meaning)
		}
		if !errors.Is(failed(c.err), c.meaning) || !errors.Is(failed(c.err), c.err) {
			t.Error(failed(c.err))
		}
	}
}
