//go:build cgo && (primacy_dynamic || (linux && amd64))

package primacy

// What a lent store is asked, and what it answers, between C and Go.

// #include "primacy.h"
import "C"

import (
	"runtime"
	"unsafe"

	"primacy.example/go/internal/handle"
	"primacy.example/go/store"
)

func lend(config C.primacy_config, s store.Store) error {
	known := handle.New(newLent(s))
	if err := setStore(config, known); err != nil {
		handle.Delete(known)
		return err
	}
	return nil
}

func takeBytes(from *C.char, size C.size_t) []byte {
	return C.GoBytes(unsafe.Pointer(from), C.int(size))
}

func takeRange(from C.primacy_range) store.Range {
	return store.Range{Key: C.GoStringN(from.key, C.int(from.key_size)), End: C.GoStringN(from.end, C.int(from.end_size))}
}

func takeRanges(from unsafe.Pointer, count int) []store.Range {
	var ranges []store.Range
	for _, r := range unsafe.Slice((*C.primacy_range)(from), count) {
		ranges = append(ranges, takeRange(r))
	}
	return ranges
}

func takeTxn(from unsafe.Pointer) store.Txn {
	asked := (*C.primacy_store_txn)(from)
	var txn store.Txn
	for _, compare := range unsafe.Slice(asked.compares, int(asked.compares_count)) {
		txn.If = append(txn.If, store.Compare{
			Range:  takeRange(compare._range),
			Target: store.Target(compare.target),
			Number: int64(compare.number),
			Value:  takeBytes(compare.value, compare.value_size),
		})
	}
	txn.Then = takeOps(asked.then, asked.then_count)
	txn.Else = takeOps(asked.otherwise, asked.otherwise_count)
	return txn
}

func takeOps(from *C.primacy_op, count C.size_t) []store.Op {
	var ops []store.Op
	for _, op := range unsafe.Slice(from, int(count)) {
		ops = append(ops, store.Op{
			Kind:  store.Kind(op.kind),
			Range: takeRange(op._range),
			Value: takeBytes(op.value, op.value_size),
			Lease: int64(op.lease),
		})
	}
	return ops
}

// Shows keys and values to C where they lie, for one call.
func showKeyValues(pinner *runtime.Pinner, of []store.KeyValue) *C.primacy_key_value {
	if len(of) == 0 {
		return nil
	}
	shown := make([]C.primacy_key_value, len(of))
	for i, kv := range of {
		shown[i] = C.primacy_key_value{
			struct_size:     C.sizeof_primacy_key_value,
			key_size:        C.size_t(len(kv.Key)),
			value_size:      C.size_t(len(kv.Value)),
			create_revision: C.int64_t(kv.CreateRevision),
			mod_revision:    C.int64_t(kv.ModRevision),
			version:         C.int64_t(kv.Version),
			lease:           C.int64_t(kv.Lease),
		}
		if key := unsafe.StringData(kv.Key); len(kv.Key) > 0 {
			pinner.Pin(key)
			shown[i].key = (*C.char)(unsafe.Pointer(key))
		}
		if value := unsafe.SliceData(kv.Value); len(kv.Value) > 0 {
			pinner.Pin(value)
			shown[i].value = (*C.char)(unsafe.Pointer(value))
		}
	}
	pinner.Pin(&shown[0])
	return &shown[0]
}

func requestComplete(request uint64, a answer) error {
	var t texts
	defer t.free()
	var pinner runtime.Pinner
	defer pinner.Unpin()
	shown := C.primacy_answer{
		struct_size: C.sizeof_primacy_answer,
		failure:     C.int32_t(a.failure),
		message:     t.optional(a.message),
		ttl_s:       C.int64_t(a.ttl),
		cluster_id:  C.uint64_t(a.header.ClusterID),
		raft_term:   C.uint64_t(a.header.RaftTerm),
		revision:    C.int64_t(a.header.Revision),
		found_count: C.size_t(len(a.found)),
	}
	if a.succeeded {
		shown.succeeded = 1
	}
	if len(a.found) > 0 {
		found := make([]C.primacy_found, len(a.found))
		for i, kvs := range a.found {
			found[i] = C.primacy_found{key_values: showKeyValues(&pinner, kvs), count: C.size_t(len(kvs))}
		}
		pinner.Pin(&found[0])
		shown.found = &found[0]
	}
	var detail *C.primacy_error
	return fault(C.primacy_request_complete(C.primacy_request(request), &shown, &detail), detail)
}

func watchConfirmed(watch uint64) { C.primacy_watch_confirmed(C.primacy_watch(watch)) }

func watchEvents(watch uint64, events []store.KeyValue) {
	var pinner runtime.Pinner
	defer pinner.Unpin()
	C.primacy_watch_events(C.primacy_watch(watch), showKeyValues(&pinner, events), C.size_t(len(events)), nil)
}

func watchEnded(watch uint64, why string) {
	var t texts
	defer t.free()
	C.primacy_watch_ended(C.primacy_watch(watch), t.text(why))
}
