//go:build cgo

package primacy

import (
	"context"
	"testing"
	"time"
)

func TestAnObserverFollowsThePrimary(t *testing.T) {
	noLeaks(t)
	root := newRoot()
	observer, err := Observe(context.Background(), configOf(t, root), "rootcoord")
	if err != nil {
		t.Fatal(err)
	}
	defer observer.Close()
	if primary, ok := observer.Current(); ok {
		t.Errorf("somebody is primary: %v", primary)
	}
	one := open(t, configOf(t, root))
	h := campaign(t, one, "rootcoord", nil)
	win := next(t, "primary", h.primary)
	if found, err := observer.WaitForPrimary(within(t, 10*time.Second)); err != nil || found.Token != win.Token {
		t.Errorf("%+v, %v; the win: %+v", found, err, win)
	}
	found, err := observer.WaitUntilReady(within(t, 10*time.Second))
	if err != nil || found.Token != win.Token || found.ServerID != one.ServerID() || found.Address != "127.0.0.1:53100" {
		t.Errorf("%+v, %v; the win: %+v", found, err, win)
	}
	late, err := Observe(context.Background(), configOf(t, root), "rootcoord")
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if primary, ok := late.Current(); !ok || primary != found {
		t.Errorf("one that was opened later found %+v", primary)
	}
	if err := one.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if none, err := observer.Wait(within(t, 10*time.Second), win.Token); err != nil || none != (Primary{}) {
		t.Errorf("nobody is primary, but: %+v, %v", none, err)
	}
	waiting := make(chan error)
	go func() {
		_, err := observer.WaitForPrimary(context.Background())
		waiting <- err
	}()
	for range 2 {
		if err := observer.Close(); err != nil {
			t.Error(err)
		}
	}
	expect(t, "the wait", next(t, "the wait ends", waiting), ErrClosed)
}
