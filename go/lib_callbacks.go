//go:build cgo && (primacy_dynamic || (linux && amd64))

package primacy

// What the library calls. It does so on threads of its own, so nothing here waits, and no code of the host runs here.

// #include <stdint.h>
import "C"

import (
	"runtime/cgo"
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
