// Package etcdfence guards the transactions of a host that has an etcd client of its own, go.etcd.io/etcd/client/v3: by
// anyone but the holder of the win they never commit, however late they arrive. For hosts without one,
// [primacy.Election.Commit] does the same.
//
//	txn, err := etcdfence.NewTxn(ctx, client, election, win.Token)
//	if err != nil {
//		return err
//	}
//	response, err := txn.If(...).Then(clientv3.OpPut(key, value)).Commit()
//	if errors.Is(err, primacy.ErrNotPrimary) {
//		return err // nothing was written
//	}
package etcdfence

import (
	"bytes"
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"primacy.example/go"
)

// A Guarder is a [primacy.Election], or a stand-in for one in a host's tests.
type Guarder interface {
	Guard(token primacy.Token) ([]primacy.Compare, error)
}

// Cmps returns the comparisons that a transaction needs. They are the same for as long as the win lasts.
//
// A transaction that bears them and fails has failed on one of them or on one of the host's own; [Txn] tells which.
func Cmps(election Guarder, token primacy.Token) ([]clientv3.Cmp, error) {
	_, cmps, err := guardOf(election, token)
	return cmps, err
}

func guardOf(election Guarder, token primacy.Token) ([]primacy.Compare, []clientv3.Cmp, error) {
	if election == nil {
		return nil, nil, fmt.Errorf("etcdfence: election is nil: %w", primacy.ErrNull)
	}
	guard, err := election.Guard(token)
	if err != nil {
		return nil, nil, err
	}
	cmps, err := compares(guard)
	return guard, cmps, err
}

func compares(guard []primacy.Compare) ([]clientv3.Cmp, error) {
	var cmps []clientv3.Cmp
	for _, compare := range guard {
		cmps = append(cmps,
			clientv3.Compare(clientv3.ModRevision(compare.Key), "=", compare.ModRevision),
			clientv3.Compare(clientv3.LeaseValue(compare.Key), "=", compare.Lease))
	}
	if len(cmps) == 0 {
		return nil, fmt.Errorf("etcdfence: no guard: %w", primacy.ErrInternal)
	}
	return cmps, nil
}

// A Txn is a guarded transaction of clientv3's: [clientv3.Txn], save that a refused guard is an error.
type Txn struct {
	ctx    context.Context
	client clientv3.KV
	token  primacy.Token
	guard  []primacy.Compare
	cmps   []clientv3.Cmp
	then   []clientv3.Op
	or     []clientv3.Op
}

// NewTxn begins a transaction under the token of a win. ErrNotPrimary: it does not count any more.
//
// client is a [clientv3.Client] of the etcd that the election is in, with no namespace in between.
func NewTxn(ctx context.Context, client clientv3.KV, election Guarder, token primacy.Token) (*Txn, error) {
	if client == nil {
		return nil, fmt.Errorf("etcdfence: client is nil: %w", primacy.ErrNull)
	}
	guard, cmps, err := guardOf(election, token)
	if err != nil {
		return nil, err
	}
	return &Txn{ctx: ctx, client: client, token: token, guard: guard, cmps: cmps}, nil
}

// If adds comparisons.
func (t *Txn) If(cmps ...clientv3.Cmp) *Txn {
	t.cmps = append(t.cmps, cmps...)
	return t
}

// Then adds what is done if all comparisons hold.
func (t *Txn) Then(ops ...clientv3.Op) *Txn {
	t.then = append(t.then, ops...)
	return t
}

// Else adds what is done if this process is still primary and a comparison of the host's own does not hold. It may
// only read: the guard would not hold there.
func (t *Txn) Else(ops ...clientv3.Op) *Txn {
	t.or = append(t.or, ops...)
	return t
}

// Commit commits. With Succeeded false the host's own comparisons did not hold.
//
// [primacy.ErrNotPrimary]: the guard did not hold, and nothing was written. [primacy.ErrArgument]: Else has more than
// gets, or Then writes the election's own lock. Other errors are the client's: unless they say that etcd refused it, it may have been written.
func (t *Txn) Commit() (*clientv3.TxnResponse, error) {
	for _, op := range t.or {
		if !op.IsGet() {
			return nil, fmt.Errorf("etcdfence: Else of a guarded transaction may only read: %w", primacy.ErrArgument)
		}
	}
	for _, op := range t.then {
		if lock, writes := t.writesLock(op); writes {
			return nil, fmt.Errorf("etcdfence: %s is the election's own lock; to give it up, resign or close the election: %w", lock, primacy.ErrArgument)
		}
	}
	// Where it does not commit, the lock's keys say whether the guard held: read last, and kept from the host. With
	// their values: asked for keys only, etcd 3.7.3 says that they hang on no lease.
	or := append([]clientv3.Op{}, t.or...)
	for _, compare := range t.guard {
		or = append(or, clientv3.OpGet(compare.Key))
	}
	response, err := t.client.Txn(t.ctx).If(t.cmps...).Then(t.then...).Else(or...).Commit()
	if err != nil || response.Succeeded {
		return response, err
	}
	if len(response.Responses) != len(or) {
		return nil, fmt.Errorf("etcdfence: %d answers to %d gets: %w", len(response.Responses), len(or), primacy.ErrInternal)
	}
	for i, compare := range t.guard {
		kvs := response.Responses[len(t.or)+i].GetResponseRange().Kvs
		if len(kvs) != 1 || kvs[0].ModRevision != compare.ModRevision || kvs[0].Lease != compare.Lease {
			return nil, fmt.Errorf("etcdfence: the lock is no longer held under token %d: %w", t.token, primacy.ErrNotPrimary)
		}
	}
	response.Responses = response.Responses[:len(t.or)]
	return response, nil
}

// writesLock returns the key of the lock that an operation writes or deletes, if it does.
func (t *Txn) writesLock(op clientv3.Op) (string, bool) {
	for _, compare := range t.guard {
		key, from, end := []byte(compare.Key), op.KeyBytes(), op.RangeBytes()
		within := bytes.Compare(from, key) <= 0 && (bytes.Compare(key, end) < 0 || bytes.Equal(end, []byte{0}))
		if (op.IsPut() || op.IsDelete()) && (bytes.Equal(from, key) || within) {
			return compare.Key, true
		}
	}
	return "", false
}
