// How fast etcd's own package concurrency hands over: from Resign to the return of the next one's Campaign, to compare
// with ours in the same run (benches/costs.rs). Prints microseconds, one a line.
//
//	pace ENDPOINT STANDBYS ROUNDS
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

type won struct {
	election *concurrency.Election
	at       time.Time
	resigned chan struct{}
}

func main() {
	ctx := context.Background()
	standbys, _ := strconv.Atoi(os.Args[2])
	rounds, _ := strconv.Atoi(os.Args[3])
	wins := make(chan won)
	for range standbys + 1 {
		// A client each, as in as many processes.
		client, err := clientv3.New(clientv3.Config{Endpoints: os.Args[1:2]})
		if err != nil {
			log.Fatal(err)
		}
		session, err := concurrency.NewSession(client, concurrency.WithTTL(10))
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			for {
				election := concurrency.NewElection(session, "pace/"+os.Args[2])
				if err := election.Campaign(ctx, "127.0.0.1:1"); err != nil {
					log.Fatal(err)
				}
				win := won{election, time.Now(), make(chan struct{})}
				wins <- win
				<-win.resigned
			}
		}()
	}
	first := <-wins
	for range rounds {
		time.Sleep(20 * time.Millisecond)
		resigned := time.Now()
		if err := first.election.Resign(ctx); err != nil {
			log.Fatal(err)
		}
		next := <-wins
		close(first.resigned)
		fmt.Println(next.at.Sub(resigned).Microseconds())
		first = next
	}
}
