//go:build cgo

package primacy_test

import (
	"context"
	"crypto/rand"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"primacy.example/go"
)

func TestAClientLosesNoTermOfAPrimaryThatTakesTwoSeconds(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	config := primacy.Config{Endpoints: endpoints, Root: "test-" + rand.Text() + "/meta", TTL: 5 * time.Second}
	var serving atomic.Value // at this address
	stand := func(address string, start time.Duration) *primacy.Session {
		config := config
		config.Candidate = primacy.Candidate{Address: address, Version: "3.0.0"}
		session, err := primacy.Open(ctx, config)
		if err != nil {
			t.Fatal(err)
		}
		election, err := session.Register("rootcoord")
		if err != nil {
			t.Fatal(err)
		}
		err = election.Campaign(primacy.Handlers{
			OnPrimary: func(context.Context, primacy.Win) error {
				time.Sleep(start)
				serving.Store(address)
				return nil
			},
			OnLost: func(context.Context, primacy.Lost) error { return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		return session
	}
	observer, err := primacy.Observe(ctx, config, "rootcoord")
	if err != nil {
		t.Fatal(err)
	}
	defer observer.Close()
	served, refused, busy := "", 0, 0
	request := func(address string) error {
		if serving.Load() == address && busy == 0 {
			served = address
			return nil
		}
		refused++
		busy = max(0, busy-1)
		return errors.New("not now")
	}
	call := func(by string, refusals int) {
		t.Helper()
		if err := callPrimary(ctx, observer, request); err != nil || served != by || refused != refusals {
			t.Errorf("served by %q, not %q, after %d refusals, not %d: %v", served, by, refused, refusals, err)
		}
	}
	const one, two = "127.0.0.1:53100", "127.0.0.1:53101"
	first := stand(one, 0)
	call(one, 0)
	second := stand(two, 2*time.Second)
	defer second.Close(context.Background())
	if err := first.Close(ctx); err != nil {
		t.Fatal(err)
	}
	call(two, 0) // none was made before it was ready
	busy = 2
	call(two, 2) // the newest is asked again
}
