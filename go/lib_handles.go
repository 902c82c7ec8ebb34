//go:build cgo && (primacy_dynamic || (linux && amd64))

package primacy

import (
	"runtime/cgo"
	"sync/atomic"
)

// How many values the library may still ask for, for tests.
var handles atomic.Int64

func newHandle(value any) cgo.Handle {
	handles.Add(1)
	return cgo.NewHandle(value)
}

func deleteHandle(handle cgo.Handle) {
	handle.Delete()
	handles.Add(-1)
}
