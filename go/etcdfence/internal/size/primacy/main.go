// One primary of a role by package primacy: what ../concurrency does, to compare what the two weigh.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"primacy.example/go"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	session, err := primacy.Open(ctx, primacy.Config{
		Endpoints: os.Args[1:],
		Candidate: primacy.Candidate{Address: "127.0.0.1:53100", Version: "3.0.0"},
	})
	if err != nil {
		log.Fatal(err)
	}
	election, err := session.Register("rootcoord")
	if err != nil {
		log.Fatal(err)
	}
	err = election.Campaign(primacy.Handlers{
		OnPrimary: func(context.Context, primacy.Win) error { fmt.Println("primary"); return nil },
		OnLost:    func(context.Context, primacy.Lost) error { fmt.Println("lost"); return nil },
	})
	if err != nil {
		log.Fatal(err)
	}
	<-ctx.Done()
	if err := session.Close(context.Background()); err != nil {
		log.Fatal(err)
	}
}
