//go:build cgo

package primacy

import (
	"testing"
	"time"
)

// Waits for real time: for a timeout after the last word of the host, which itself comes a while after the win.
func TestAPrimaryThatDoesNotSayThatItIsWellIsGivenUp(t *testing.T) {
	noLeaks(t)
	const timeout = 3 * time.Second
	config := configOf(t, newRoot())
	config.Settings = map[string]string{"primacy.liveness_timeout_ms": "3000"}
	h := campaign(t, open(t, config), "rootcoord", nil)
	for inTime := false; !inTime; {
		win := next(t, "primary", h.primary)
		won := time.Now()
		time.Sleep(timeout / 2)
		said := time.Now()
		h.election.Healthy()
		// On a machine that is too busy for this test the next win is looked at.
		inTime = said.Sub(won) < timeout*3/4
		lost := next(t, "lost", h.lost)
		if lost.Token != win.Token || lost.Reason != LivenessExpired {
			t.Fatalf("won with %d; lost: %+v", win.Token, lost)
		}
		if after := time.Since(said); inTime && after < timeout {
			t.Errorf("lost %v after it was said to be well", after)
		}
	}
}
