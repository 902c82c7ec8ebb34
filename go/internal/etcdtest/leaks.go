package etcdtest

import (
	"runtime"
	"strings"
	"time"
)

// Leaks returns the stacks of goroutines that run this module's code though they should have ended: it waits for them a
// little, since a goroutine ends after what it tells others.
func Leaks(isTest func(stack string) bool) []string {
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		var found []string
		for _, stack := range stacks() {
			if strings.Contains(stack, "primacy.example/go") && !isTest(stack) {
				found = append(found, stack)
			}
		}
		if len(found) == 0 || time.Now().After(end) {
			return found
		}
	}
}

func stacks() []string {
	for size := 1 << 20; ; size *= 2 {
		buffer := make([]byte, size)
		if n := runtime.Stack(buffer, true); n < size {
			return strings.Split(string(buffer[:n]), "\n\n")
		}
	}
}
