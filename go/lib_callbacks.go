//go:build cgo && (primacy_dynamic || (linux && amd64))

package primacy

// What the library calls. It does so on threads of its own, so nothing here waits, and no code of the host runs here.

// #include <stdint.h>
import "C"

import "runtime/cgo"

//export primacyGoCall
func primacyGoCall(handle C.uintptr_t, id C.uint64_t, kind, reason C.int32_t, token, lease, holderID C.int64_t,
	holderAddress *C.char) {
	cgo.Handle(handle).Value().(*Election).called(&call{
		id:       uint64(id),
		kind:     callKind(kind),
		reason:   Reason(reason),
		token:    Token(token),
		lease:    int64(lease),
		holderID: int64(holderID),
		holder:   C.GoString(holderAddress),
	})
}

//export primacyGoCancelled
func primacyGoCancelled(handle C.uintptr_t, id C.uint64_t) {
	cgo.Handle(handle).Value().(*Election).cancelled(uint64(id))
}

//export primacyGoNotice
func primacyGoNotice(handle C.uintptr_t, kind C.int32_t, token, holderID C.int64_t, holderAddress *C.char) {
	cgo.Handle(handle).Value().(*Election).noticed(Event{
		Kind:          EventKind(kind),
		Token:         Token(token),
		HolderID:      int64(holderID),
		HolderAddress: C.GoString(holderAddress),
	})
}

//export primacyGoElectionStopped
func primacyGoElectionStopped(handle C.uintptr_t) {
	cgo.Handle(handle).Value().(*Election).ended()
	deleteHandle(cgo.Handle(handle))
}

//export primacyGoChange
func primacyGoChange(handle C.uintptr_t, serverID, token C.int64_t, address *C.char) {
	cgo.Handle(handle).Value().(*Observer).change(Primary{
		ServerID: int64(serverID),
		Address:  C.GoString(address),
		Token:    Token(token),
	})
}

//export primacyGoObserverStopped
func primacyGoObserverStopped(handle C.uintptr_t) {
	cgo.Handle(handle).Value().(*Observer).ended()
	deleteHandle(cgo.Handle(handle))
}

//export primacyGoLine
func primacyGoLine(handle C.uintptr_t, level C.int32_t, text *C.char) {
	cgo.Handle(handle).Value().(*queue[line]).put(line{int32(level), C.GoString(text)})
}

//export primacyGoLogStopped
func primacyGoLogStopped(handle C.uintptr_t) { logStopped(cgo.Handle(handle)) }

func logStopped(handle cgo.Handle) {
	handle.Value().(*queue[line]).close()
	deleteHandle(handle)
}
