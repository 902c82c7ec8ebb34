//go:build linux

// Package contract is what the demo, the suites and the fault kit ask of any coordinator: lines on stdout, and answers on
// its port. docs/testing.md has both.
package contract

import (
	"encoding/json"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"primacy.example/go"
)

// A Line on stdout.
type Line struct {
	T       int64         `json:"t"`
	ID      int64         `json:"id"`
	Event   string        `json:"event"`
	Role    string        `json:"role,omitempty"`
	Token   primacy.Token `json:"token,omitempty"`
	Lease   string        `json:"lease,omitempty"`
	Reason  string        `json:"reason,omitempty"`
	Holder  int64         `json:"holder,omitempty"`
	Address string        `json:"address,omitempty"`
}

// Lines are written one at a time.
type Lines struct {
	Out *os.File
	ID  atomic.Int64 // the server id; 0 until it is known

	mu sync.Mutex
}

// Say writes a line. What time it is and whose it is it fills in itself.
func (l *Lines) Say(what Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	what.T, what.ID = now(), l.ID.Load()
	text, _ := json.Marshal(what)
	l.Out.Write(append(text, '\n'))
}

// Lease is a lease id as text: it does not fit into a number of JavaScript.
func Lease(id int64) string { return strconv.FormatInt(id, 10) }

// CLOCK_BOOTTIME in nanoseconds: it goes on while the machine is suspended.
func now() int64 {
	const clockBoottime = 7
	var t syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockBoottime, uintptr(unsafe.Pointer(&t)), 0)
	return t.Nano()
}
