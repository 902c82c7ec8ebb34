//go:build cgo && (primacy_dynamic || (linux && amd64))

package primacy

// What the library calls. It does so on threads of its own, so nothing here waits, and no code of the host runs here.

// #include <stdint.h>
// #include <stddef.h>
import "C"

import (
	"runtime/cgo"
	"time"
	"unsafe"

	"primacy.example/go/internal/handle"
)

//export primacyGoCall
func primacyGoCall(known C.uintptr_t, id C.uint64_t, kind, reason C.int32_t, token, lease, holderID C.int64_t,
	holderAddress *C.char) {
	cgo.Handle(known).Value().(*Election).called(&call{
		id:       uint64(id),
		kind:     Callback(kind),
		reason:   Reason(reason),
		token:    Token(token),
		lease:    int64(lease),
		holderID: int64(holderID),
		holder:   C.GoString(holderAddress),
	})
}

//export primacyGoCancelled
func primacyGoCancelled(known C.uintptr_t, id C.uint64_t) {
	cgo.Handle(known).Value().(*Election).cancelled(uint64(id))
}

//export primacyGoNotice
func primacyGoNotice(known C.uintptr_t, kind C.int32_t, token, holderID C.int64_t, holderAddress *C.char) {
	cgo.Handle(known).Value().(*Election).noticed(Event{
		Kind:          EventKind(kind),
		Token:         Token(token),
		HolderID:      int64(holderID),
		HolderAddress: C.GoString(holderAddress),
	})
}

//export primacyGoElectionStopped
func primacyGoElectionStopped(known C.uintptr_t) {
	cgo.Handle(known).Value().(*Election).ended()
	handle.Delete(cgo.Handle(known))
}

//export primacyGoChange
func primacyGoChange(known C.uintptr_t, serverID, token C.int64_t, address *C.char, ready C.int32_t) {
	cgo.Handle(known).Value().(*Observer).change(Primary{
		ServerID: int64(serverID),
		Address:  C.GoString(address),
		Token:    Token(token),
		Ready:    ready != 0,
	})
}

//export primacyGoObserverStopped
func primacyGoObserverStopped(known C.uintptr_t) {
	cgo.Handle(known).Value().(*Observer).ended()
	handle.Delete(cgo.Handle(known))
}

//export primacyGoResult
func primacyGoResult(known C.uintptr_t, status C.int32_t, result C.uint64_t, detail unsafe.Pointer) {
	cgo.Handle(known).Value().(waiting).end(int32(status), uint64(result), detail)
	handle.Delete(cgo.Handle(known))
}

//export primacyGoWatched
func primacyGoWatched(known C.uintptr_t) {
	cgo.Handle(known).Value().(func())()
	handle.Delete(cgo.Handle(known))
}

//export primacyGoGrant
func primacyGoGrant(known C.uintptr_t, request C.uint64_t, lease, ttl C.int64_t, timeout C.uint64_t) {
	lentStore(known).grant(uint64(request), int64(lease), int64(ttl), ms(timeout))
}

//export primacyGoKeepAlive
func primacyGoKeepAlive(known C.uintptr_t, request C.uint64_t, lease C.int64_t, timeout C.uint64_t) {
	lentStore(known).keepAlive(uint64(request), int64(lease), ms(timeout))
}

//export primacyGoRevoke
func primacyGoRevoke(known C.uintptr_t, request C.uint64_t, lease C.int64_t, timeout C.uint64_t) {
	lentStore(known).revoke(uint64(request), int64(lease), ms(timeout))
}

//export primacyGoTxn
func primacyGoTxn(known C.uintptr_t, request C.uint64_t, txn unsafe.Pointer, timeout C.uint64_t) {
	lentStore(known).txn(uint64(request), takeTxn(txn), ms(timeout))
}

//export primacyGoWatch
func primacyGoWatch(known C.uintptr_t, watch C.uint64_t, ranges unsafe.Pointer, count C.size_t) {
	lentStore(known).watch(uint64(watch), takeRanges(ranges, int(count)))
}

//export primacyGoUnwatch
func primacyGoUnwatch(known C.uintptr_t, watch C.uint64_t) { lentStore(known).unwatch(uint64(watch)) }

//export primacyGoStoreStopped
func primacyGoStoreStopped(known C.uintptr_t) {
	lentStore(known).end()
	handle.Delete(cgo.Handle(known))
}

func lentStore(known C.uintptr_t) *lent { return cgo.Handle(known).Value().(*lent) }

func ms(timeout C.uint64_t) time.Duration { return time.Duration(timeout) * time.Millisecond }

//export primacyGoLine
func primacyGoLine(known C.uintptr_t, level C.int32_t, text *C.char) {
	cgo.Handle(known).Value().(*queue[line]).put(line{level: int32(level), text: C.GoString(text)})
}

//export primacyGoLogStopped
func primacyGoLogStopped(known C.uintptr_t) { logStopped(cgo.Handle(known)) }

func logStopped(known cgo.Handle) {
	known.Value().(*queue[line]).close()
	handle.Delete(known)
}
