//go:build cgo

package primacy_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"primacy.example/go"
)

// Where these examples find an etcd: TestMain says where.
var endpoints []string

func init() { primacy.ShowEndpoint = func(endpoint string) { endpoints = []string{endpoint} } }

// One primary, and what it does as such.
func Example() {
	ctx := context.Background()
	session, err := primacy.Open(ctx, primacy.Config{
		Endpoints: endpoints,
		Root:      "example/meta",
		Candidate: primacy.Candidate{Address: "10.0.0.7:53100", Version: "3.0.0"},
	})
	if err != nil {
		log.Fatal(err)
	}
	election, err := session.Register("rootcoord")
	if err != nil {
		log.Fatal(err)
	}
	ready := make(chan primacy.Token)
	err = election.Campaign(primacy.Handlers{
		OnPrimary: func(ctx context.Context, win primacy.Win) error {
			fmt.Println("primary")
			// ctx is good until primacy ends; what runs as long as this process is primary gets it.
			go func() {
				<-ctx.Done()
				fmt.Println("over:", errors.Is(context.Cause(ctx), primacy.ErrNotPrimary))
				ready <- 0
			}()
			go func() { ready <- win.Token }()
			return nil // active from now on
		},
		OnLost: func(ctx context.Context, lost primacy.Lost) error {
			fmt.Println("lost:", lost.Reason)
			<-ready
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	token := <-ready
	fmt.Println("by the clock:", election.IsPrimary(), election.Token() == token)
	if err := session.Close(ctx); err != nil {
		log.Fatal(err)
	}
	// Unordered output:
	// primary
	// by the clock: true true
	// lost: stopped
	// over: true
}

// A candidate: primary if it can be, else a standby.
func ExampleElection_Campaign() {
	ctx := context.Background()
	session, err := primacy.Open(ctx, primacy.Config{
		Endpoints: endpoints,
		Candidate: primacy.Candidate{Address: "10.0.0.7:53100", Version: "3.0.0"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close(ctx) // a standby takes over at once
	election, err := session.Register("greeter")
	if err != nil {
		log.Fatal(err)
	}
	err = election.Campaign(primacy.Handlers{
		OnPrimary: func(ctx context.Context, win primacy.Win) error {
			_, err := election.Commit(ctx, win.Token, new(primacy.Txn).Put("by-dev/meta/greeter/primary", []byte("me")))
			return err // nil: active from now on; ctx is good until primacy ends
		},
		OnLost: func(ctx context.Context, lost primacy.Lost) error { fmt.Println("lost:", lost.Reason); return nil },
	})
	if err != nil {
		log.Fatal(err)
	}
	for event := range election.Events() {
		if event.Kind == primacy.EventReady {
			fmt.Println("ready")
			break
		}
	}
	// Output:
	// ready
	// lost: stopped
}

// A guarded write of what was read before.
func ExampleElection_Commit() {
	ctx := context.Background()
	session, err := primacy.Open(ctx, primacy.Config{
		Endpoints: endpoints,
		Root:      "example/meta",
		Candidate: primacy.Candidate{Address: "10.0.0.7:53100", Version: "3.0.0"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close(ctx)
	election, err := session.Register("datacoord")
	if err != nil {
		log.Fatal(err)
	}
	written := make(chan error)
	err = election.Campaign(primacy.Handlers{
		OnPrimary: func(ctx context.Context, win primacy.Win) error {
			go func() {
				const key = "example/meta/segments"
				read, err := session.Read(ctx, new(primacy.Txn).Get(key))
				if err != nil {
					written <- err
					return
				}
				before, _ := read.First(0) // absent: revision 0
				_, err = election.Commit(ctx, win.Token, new(primacy.Txn).
					IfModRevision(key, before.ModRevision).
					Put(key, append(before.Value, 's')))
				switch {
				case errors.Is(err, primacy.ErrNotPrimary):
					// Somebody else is; nothing was written.
				case errors.Is(err, primacy.ErrConflict):
					// Still primary, but another write of ours came first.
				case errors.Is(err, primacy.ErrIndefinite):
					// It may have been written: read again before you decide.
				}
				written <- err
			}()
			return nil
		},
		OnLost: func(context.Context, primacy.Lost) error { return nil },
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-written)
	// Output: <nil>
}

// Calls whoever is primary of the observer's role, until one has served it or ctx is done.
func callPrimary(ctx context.Context, observer *primacy.Observer, request func(address string) error) error {
	for {
		primary, err := observer.WaitUntilReady(ctx)
		if err != nil {
			return err
		}
		if request(primary.Address) == nil {
			return nil
		}
		// It may only be busy, and is the one to ask again: after a pause, or at once where there is another.
		pause, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		_, _ = observer.Wait(pause, primary.Token)
		cancel()
	}
}

// What a client of a coordinator does to find it.
func ExampleObserve() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	observer, err := primacy.Observe(ctx, primacy.Config{Endpoints: endpoints, Root: "example/meta"}, "querycoord")
	if err != nil {
		log.Fatal(err)
	}
	defer observer.Close()
	err = callPrimary(ctx, observer, func(address string) error {
		fmt.Println("call", address)
		return nil
	})
	if err != nil {
		fmt.Println("nobody is ready in time:", errors.Is(err, primacy.ErrTimeout))
	}
	// Output: nobody is ready in time: true
}

// A program that ends cleanly when it is told to.
func ExampleSession_Close() {
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	session, err := primacy.Open(stop, primacy.Config{
		Endpoints: endpoints,
		Root:      "example/meta",
		Candidate: primacy.Candidate{Address: "10.0.0.7:53100", Version: "3.0.0"},
	})
	if err != nil {
		log.Fatal(err)
	}
	go cancel() // as if it had been told to
	<-stop.Done()
	// Not with stop, which is over: what was begun would go on, but nobody would wait for it.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(session.Close(ctx))
	// Output: <nil>
}
