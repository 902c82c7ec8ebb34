//go:build cgo

// Package handle keeps the Go values that the C library may still ask for, and counts them, so that tests notice one that
// is left over.
package handle

import (
	"runtime/cgo"
	"sync/atomic"
)

var live atomic.Int64

// New makes a value known to C, as a number.
func New(value any) cgo.Handle {
	live.Add(1)
	return cgo.NewHandle(value)
}

// Delete ends it; using it afterwards is a crash.
func Delete(handle cgo.Handle) {
	handle.Delete()
	live.Add(-1)
}

// Live is how many there are.
func Live() int64 { return live.Load() }
