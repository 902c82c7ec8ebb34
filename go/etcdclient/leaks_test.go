//go:build cgo

package etcdclient

import (
	"testing"
	"time"

	"go.uber.org/goleak"
	"primacy.example/go/internal/handle"
)

// Fails the test if anything is left over when it ends: a goroutine, or a value that the C library may still ask for.
// Comes first in a test, so that it ends last.
func noLeaks(t *testing.T) {
	t.Helper()
	before, live := goleak.IgnoreCurrent(), handle.Live()
	t.Cleanup(func() {
		for end := time.Now().Add(15 * time.Second); ; {
			leaked := goleak.Find(before)
			if leaked == nil && handle.Live() == live {
				return
			}
			if time.Now().After(end) {
				t.Errorf("left over: %d handles, %v", handle.Live()-live, leaked)
				return
			}
		}
	})
}
