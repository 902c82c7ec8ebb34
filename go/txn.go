package primacy

import "bytes"

// A Txn is a transaction under construction. Its methods add to it and return it. It can be committed any number of
// times, by several goroutines too, once nothing is added to it any more. Keys are whole etcd keys.
type Txn struct {
	steps []step
}

type stepKind int8

const (
	ifModRevision stepKind = iota
	ifVersion
	ifValue
	ifAbsent
	doPut
	doDelete
	doGet
	doGetPrefix
)

type step struct {
	kind   stepKind
	key    string
	value  []byte // our own: C gets it, and must not get memory of the host's that has pointers in it
	number int64
}

func (t *Txn) with(s step) *Txn {
	t.steps = append(t.steps, s)
	return t
}

// IfModRevision compares: the key was last written at this revision; 0: it is not there.
func (t *Txn) IfModRevision(key string, revision int64) *Txn {
	return t.with(step{kind: ifModRevision, key: key, number: revision})
}

// IfVersion compares: the key was written so many times since it was created; 0: it is not there.
func (t *Txn) IfVersion(key string, version int64) *Txn {
	return t.with(step{kind: ifVersion, key: key, number: version})
}

// IfValue compares: the key is there with this value, which is copied.
func (t *Txn) IfValue(key string, value []byte) *Txn {
	return t.with(step{kind: ifValue, key: key, value: bytes.Clone(value)})
}

// IfAbsent compares: the key is not there.
func (t *Txn) IfAbsent(key string) *Txn { return t.with(step{kind: ifAbsent, key: key}) }

// Put writes a key, on no lease, if all comparisons hold. The value is copied. etcd refuses a transaction that writes a key twice.
func (t *Txn) Put(key string, value []byte) *Txn {
	return t.with(step{kind: doPut, key: key, value: bytes.Clone(value)})
}

// Delete deletes a key, if it is there, if all comparisons hold.
func (t *Txn) Delete(key string) *Txn { return t.with(step{kind: doDelete, key: key}) }

// Get reads a key, whether or not the comparisons hold: it shows what a race was lost to. The gets of a transaction
// are numbered from 0, in the order in which they were added.
func (t *Txn) Get(key string) *Txn { return t.with(step{kind: doGet, key: key}) }

// GetPrefix reads all keys that begin so, in the order of their bytes. It counts as one get.
func (t *Txn) GetPrefix(prefix string) *Txn { return t.with(step{kind: doGetPrefix, key: prefix}) }

func (t *Txn) gets() int {
	n := 0
	for _, s := range t.steps {
		if s.kind == doGet || s.kind == doGetPrefix {
			n++
		}
	}
	return n
}

// A Result is what a commit or a read brought.
type Result struct {
	// Revision of etcd right after the transaction; of one that wrote, that of its writes.
	Revision int64
	// Gets has what each get found, in the order in which they were added.
	Gets [][]KeyValue
}

// First returns what get number n found, if it found anything: of [Txn.Get], the key.
func (r *Result) First(n int) (KeyValue, bool) {
	if r == nil || n < 0 || n >= len(r.Gets) || len(r.Gets[n]) == 0 {
		return KeyValue{}, false
	}
	return r.Gets[n][0], true
}

// A KeyValue is a key with what etcd knows of it.
type KeyValue struct {
	Key   string
	Value []byte
	// CreateRevision created the key, ModRevision wrote it last, Version says how often it was written since.
	CreateRevision, ModRevision, Version int64
	// Lease that it hangs on; 0: none.
	Lease int64
}
