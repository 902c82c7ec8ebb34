package etcdtest

import (
	"fmt"
	"runtime"
	"strings"
	"time"
)

// Goroutines are those that run at a moment, by their numbers.
type Goroutines map[string]bool

// Running are those that run now.
func Running() Goroutines {
	running := Goroutines{}
	for _, stack := range stacks() {
		running[number(stack)] = true
	}
	return running
}

// Leaks returns the stacks of goroutines that were not there before, whoever started them. It waits for them a little:
// a goroutine ends after what it tells others.
//
// It does what goleak does, which the tests of the other modules use: that of the core has no dependencies, not even for
// its tests, since whoever requires it would have them in the list of its own.
func (before Goroutines) Leaks() []string {
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		var found []string
		for _, stack := range stacks() {
			if !before[number(stack)] {
				found = append(found, stack)
			}
		}
		if len(found) == 0 || time.Now().After(end) {
			return found
		}
	}
}

func number(stack string) string {
	var number string
	_, _ = fmt.Sscanf(stack, "goroutine %s", &number)
	return number
}

func stacks() []string {
	for size := 1 << 20; ; size *= 2 {
		buffer := make([]byte, size)
		if n := runtime.Stack(buffer, true); n < size {
			return strings.Split(string(buffer[:n]), "\n\n")
		}
	}
}
