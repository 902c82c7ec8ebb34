// One primary of a role by etcd's own package concurrency: what ../primacy does, to compare what the two weigh.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	client, err := clientv3.New(clientv3.Config{Endpoints: os.Args[1:]})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for ctx.Err() == nil {
		session, err := concurrency.NewSession(client, concurrency.WithTTL(10), concurrency.WithContext(ctx))
		if err != nil {
			log.Fatal(err)
		}
		election := concurrency.NewElection(session, "by-dev/meta/session/rootcoord")
		if err := election.Campaign(ctx, "127.0.0.1:53100"); err != nil {
			log.Fatal(err)
		}
		fmt.Println("primary")
		select {
		case <-session.Done():
		case <-ctx.Done():
			_ = election.Resign(context.Background())
		}
		fmt.Println("lost")
	}
}
