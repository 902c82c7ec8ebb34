//go:build linux

package main

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

// A line on stdout.
type line struct {
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

// Writes lines, one at a time.
type lines struct {
	mu sync.Mutex
	id atomic.Int64 // 0 until it is known
}

func (l *lines) say(what line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	what.T, what.ID = now(), l.id.Load()
	text, _ := json.Marshal(what)
	os.Stdout.Write(append(text, '\n'))
}

// Lease ids do not fit into a number of JavaScript.
func lease(id int64) string { return strconv.FormatInt(id, 10) }

// CLOCK_BOOTTIME in nanoseconds: it goes on while the machine is suspended.
func now() int64 {
	const clockBoottime = 7
	var t syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockBoottime, uintptr(unsafe.Pointer(&t)), 0)
	return t.Nano()
}
