//go:build cgo

package etcdfence

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"primacy.example/go"
	"primacy.example/go/internal/etcdtest"
	"primacy.example/go/internal/handle"
)

var etcd *etcdtest.Server

func TestMain(m *testing.M) {
	os.Exit(etcdtest.Main(m, handle.Live, func(server *etcdtest.Server) { etcd = server }))
}

// A primary of role, and the token of its win.
func primary(t *testing.T, root, role string) (*primacy.Election, primacy.Token) {
	t.Helper()
	session, err := primacy.Open(context.Background(), primacy.Config{
		Endpoints: []string{etcd.Endpoint},
		Root:      root,
		Candidate: primacy.Candidate{Address: "127.0.0.1:53100", Version: "3.0.0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close(context.Background()) })
	election, err := session.Register(role)
	if err != nil {
		t.Fatal(err)
	}
	won := make(chan primacy.Token, 10)
	err = election.Campaign(primacy.Handlers{
		OnPrimary: func(_ context.Context, win primacy.Win) error { won <- win.Token; return nil },
		OnLost:    func(context.Context, primacy.Lost) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case token := <-won:
		return election, token
	case <-time.After(15 * time.Second):
		t.Fatal("not primary within 15 s")
		return nil, 0
	}
}

func client(t *testing.T) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd.Endpoint}, DialTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestTheHolderWritesAndSeesItsOwnConflicts(t *testing.T) {
	noLeaks(t)
	ctx, kv := context.Background(), client(t)
	election, token := primary(t, "fence-holder/meta", "mixcoord")
	txn, err := NewTxn(ctx, kv, election, token)
	if err != nil {
		t.Fatal(err)
	}
	response, err := txn.If(clientv3.Compare(clientv3.Version("fence-holder/a"), "=", 0)).
		Then(clientv3.OpPut("fence-holder/a", "1")).Commit()
	if err != nil || !response.Succeeded {
		t.Fatalf("%v, %v, %+v", response, err, txn.cmps)
	}
	again, err := NewTxn(ctx, kv, election, token)
	if err != nil {
		t.Fatal(err)
	}
	response, err = again.If(clientv3.Compare(clientv3.Version("fence-holder/a"), "=", 0)).
		Then(clientv3.OpPut("fence-holder/a", "2")).Else(clientv3.OpGet("fence-holder/a")).Commit()
	if err != nil || response.Succeeded || len(response.Responses) != 1 ||
		string(response.Responses[0].GetResponseRange().Kvs[0].Value) != "1" {
		t.Errorf("%v, %v", response, err)
	}
}

func TestATransactionThatComesTooLateIsRefused(t *testing.T) {
	noLeaks(t)
	ctx, kv := context.Background(), client(t)
	election, token := primary(t, "fence-late/meta", "rootcoord")
	txn, err := NewTxn(ctx, kv, election, token)
	if err != nil {
		t.Fatal(err)
	}
	cmps, err := Cmps(election, token)
	if err != nil {
		t.Fatal(err)
	}
	if err := election.Resign(ctx); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if held, err := etcd.Get("fence-late/meta/session/rootcoord", false); err == nil && len(held) == 0 {
			break
		} else if time.Now().After(end) {
			t.Fatalf("still held: %v, %v", held, err)
		}
	}
	if response, err := txn.Then(clientv3.OpPut("fence-late/a", "1")).Commit(); !errors.Is(err, primacy.ErrNotPrimary) {
		t.Errorf("%v, %v", response, err)
	}
	if response, err := kv.Txn(ctx).If(cmps...).Then(clientv3.OpPut("fence-late/a", "1")).Commit(); err != nil ||
		response.Succeeded {
		t.Errorf("bare comparisons: %v, %v", response, err)
	}
	if _, err := NewTxn(ctx, kv, election, token); !errors.Is(err, primacy.ErrNotPrimary) {
		t.Errorf("a new one: %v", err)
	}
	if found, err := etcd.Get("fence-late/a", false); err != nil || len(found) != 0 {
		t.Errorf("it was written: %v, %v", found, err)
	}
}

// A lock as a store that went back may hold it: under the win's revision, on another lease.
type fixed primacy.Compare

func (f fixed) Guard(primacy.Token) ([]primacy.Compare, error) {
	return []primacy.Compare{primacy.Compare(f)}, nil
}

func TestAKeyOnAnotherLeaseIsNotTheWins(t *testing.T) {
	noLeaks(t)
	ctx, kv := context.Background(), client(t)
	put, err := kv.Put(ctx, "fence-lease/lock", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, guard := range []fixed{
		{Key: "fence-lease/lock", ModRevision: put.Header.Revision},
		{Key: "fence-lease/lock", ModRevision: put.Header.Revision, Lease: 7},
		{Key: "fence-lease/lock", ModRevision: put.Header.Revision - 1},
	} {
		cmps, err := Cmps(guard, 1)
		if err != nil {
			t.Fatal(err)
		}
		holds := guard.Lease == 0 && guard.ModRevision == put.Header.Revision
		if response, err := kv.Txn(ctx).If(cmps...).Commit(); err != nil || response.Succeeded != holds {
			t.Errorf("%+v: %v, %v", guard, response, err)
		}
	}
}

func TestAnElseThatWritesIsRefused(t *testing.T) {
	noLeaks(t)
	txn := &Txn{ctx: context.Background()}
	if _, err := txn.Else(clientv3.OpPut("a", "1")).Commit(); !errors.Is(err, primacy.ErrArgument) {
		t.Error(err)
	}
}

func TestAWriteToTheLockIsRefused(t *testing.T) {
	noLeaks(t)
	guard := []primacy.Compare{{Key: "r/session/a", ModRevision: 7, Lease: 9}}
	for name, op := range map[string]clientv3.Op{
		"put":         clientv3.OpPut("r/session/a", "1"),
		"delete":      clientv3.OpDelete("r/session/a"),
		"prefix":      clientv3.OpDelete("r/", clientv3.WithPrefix()),
		"all of them": clientv3.OpDelete("a", clientv3.WithFromKey()),
	} {
		txn := &Txn{ctx: context.Background(), guard: guard}
		if _, err := txn.Then(clientv3.OpGet("r/session/a"), op).Commit(); !errors.Is(err, primacy.ErrArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
	txn := &Txn{guard: guard}
	for _, op := range []clientv3.Op{clientv3.OpGet("r/session/a"), clientv3.OpPut("r/session/a-1", "1"), clientv3.OpDelete("r/b", clientv3.WithPrefix())} {
		if lock, writes := txn.writesLock(op); writes {
			t.Errorf("%s is not in %s", lock, op.KeyBytes())
		}
	}
}

type nobody struct{}

func (nobody) Guard(primacy.Token) ([]primacy.Compare, error) { return nil, nil }

func TestAnEmptyGuardIsNone(t *testing.T) {
	noLeaks(t)
	if _, err := Cmps(nobody{}, 1); !errors.Is(err, primacy.ErrInternal) {
		t.Error(err)
	}
}

func TestMisuseIsAnError(t *testing.T) {
	noLeaks(t)
	ctx, kv := context.Background(), client(t)
	election, token := primary(t, "fence-misuse/meta", "rootcoord")
	if _, err := Cmps(nil, token); !errors.Is(err, primacy.ErrNull) {
		t.Error(err)
	}
	if _, err := NewTxn(ctx, nil, election, token); !errors.Is(err, primacy.ErrNull) {
		t.Error(err)
	}
	if _, err := NewTxn(ctx, kv, nil, token); !errors.Is(err, primacy.ErrNull) {
		t.Error(err)
	}
	if _, err := NewTxn(ctx, kv, (*primacy.Election)(nil), token); !errors.Is(err, primacy.ErrClosed) {
		t.Error(err)
	}
	if _, err := NewTxn(ctx, kv, election, 0); !errors.Is(err, primacy.ErrNotPrimary) {
		t.Error(err)
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	txn, err := NewTxn(over, kv, election, token)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := txn.Then(clientv3.OpPut("fence-misuse/a", "1")).Commit(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Endpoint is where the examples find the tests' etcd.
func Endpoint() string { return etcd.Endpoint }
