//go:build cgo

package etcdclient_test

import (
	"context"
	"fmt"
	"log"

	clientv3 "go.etcd.io/etcd/client/v3"
	"primacy.example/go"
	"primacy.example/go/etcdclient"
)

func ExampleNew() {
	ctx := context.Background()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{etcdclient.Endpoint()}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	session, err := primacy.Open(ctx, primacy.Config{
		Store:     etcdclient.New(client),
		Root:      "lent-example/meta",
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
	won := make(chan primacy.Token)
	err = election.Campaign(primacy.Handlers{
		OnPrimary: func(_ context.Context, win primacy.Win) error {
			won <- win.Token
			return nil
		},
		OnLost: func(context.Context, primacy.Lost) error { return nil },
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-won > 0)
	// Output:
	// true
}
