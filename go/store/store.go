// Package store is what a host implements to lend its own client of etcd to package primacy: primacy.Config.Store. For
// etcd's own client, go.etcd.io/etcd/client/v3, package etcdclient has it done.
//
// What its methods are asked for must reach etcd as it is: sent once, so that what may have been done is not done twice,
// and to etcd's leader, so that no read is older than a finished write.
package store

import "context"

// A Store performs requests and keeps watches. Each method is called on a goroutine of its own and may wait until ctx is
// done, which is when nobody waits for the answer any more.
//
// An error that is, or wraps, a [Failure] says what became of the request; any other one counts as [Indefinite].
type Store interface {
	// Grant makes a lease under this id, and no other, and returns for how many seconds it was granted.
	Grant(ctx context.Context, lease, ttl int64) (granted int64, err error)
	// KeepAlive renews a lease once, with a request that is sent now: an answer to an earlier one is none to this.
	KeepAlive(ctx context.Context, lease int64) (Renewal, error)
	// Revoke ends a lease, and deletes the keys on it.
	Revoke(ctx context.Context, lease int64) error
	// Txn runs a transaction. One without puts and deletes is a linearizable read.
	Txn(ctx context.Context, txn Txn) (Answer, error)
	// Watch watches ranges from now on, without a start revision, at a member that has a leader, until ctx is done. It
	// returns when it does not watch any more, or may have missed something.
	Watch(ctx context.Context, ranges []Range, watcher Watcher) error
}

// A Watcher hears of a watch. Its methods do not wait.
type Watcher interface {
	// Confirmed: all ranges are watched. Once.
	Confirmed()
	// Events are keys as they are since they were written; deleted ones have Version 0, and the revision that deleted
	// them as ModRevision. Those of one key come in the order of their revisions. May come before Confirmed.
	Events(events []KeyValue)
}

// A Header says whose word an answer is: that of the answer itself. An answer without it counts as none.
type Header struct {
	ClusterID, RaftTerm uint64
	Revision            int64
}

// A Renewal is the answer to a KeepAlive.
type Renewal struct {
	Header
	// TTL in seconds; 0: there is no such lease.
	TTL int64
}

// A Range is a key, or with an End all keys from Key on that are less.
type Range struct{ Key, End string }

// A Target is what of a key is compared.
type Target int32

// The targets, as etcd numbers them.
const (
	Version     Target = 0
	ModRevision Target = 2
	Value       Target = 3
	Lease       Target = 4
)

// A Compare holds if all keys of the range are equal in this, as etcd compares them.
type Compare struct {
	Range  Range
	Target Target
	Number int64  // of all but Value
	Value  []byte // of Value
}

// A Kind of operation.
type Kind int32

// The kinds.
const (
	Get    Kind = 1
	Put    Kind = 2
	Delete Kind = 3
)

// An Op reads a range, or writes or deletes its key.
type Op struct {
	Kind  Kind
	Range Range
	Value []byte // of a put
	Lease int64  // of a put; 0: none
}

// A Txn does Then if all comparisons hold, otherwise Else, in one revision.
type Txn struct {
	If         []Compare
	Then, Else []Op
}

// A KeyValue is a key with what etcd knows of it.
type KeyValue struct {
	Key                                         string
	Value                                       []byte
	CreateRevision, ModRevision, Version, Lease int64
}

// An Answer is that to a transaction.
type Answer struct {
	Header
	Succeeded bool
	// Found has for each get of what was done, in their order, what it found, in the order of the keys.
	Found [][]KeyValue
}

// A Failure says what became of a request that did not succeed.
type Failure int32

// What can become of it. All but Indefinite say that it was certainly not done.
const (
	// Indefinite: it may have been done, or may be done later.
	Indefinite Failure = 1
	// Unreachable: it was never sent, or the server said that it can not serve now.
	Unreachable Failure = 2
	// Denied: no permission, or a wrong password.
	Denied Failure = 3
	// NoSpace: etcd has none left.
	NoSpace Failure = 4
	// Refused: by etcd, as such.
	Refused Failure = 5
	// LeaseNotFound: there is no lease that it names.
	LeaseNotFound Failure = 6
	// LeaseExists: a grant named one that there is.
	LeaseExists Failure = 7
)

// Error says what the failure means.
func (f Failure) Error() string {
	switch f {
	case Unreachable:
		return "not done: etcd was not reached, or does not serve now"
	case Denied:
		return "not done: denied"
	case NoSpace:
		return "not done: etcd has no space left"
	case Refused:
		return "not done: refused"
	case LeaseNotFound:
		return "not done: no such lease"
	case LeaseExists:
		return "not done: the lease exists"
	default:
		return "it may have been done"
	}
}
