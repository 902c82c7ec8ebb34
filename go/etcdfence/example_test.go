//go:build cgo

package etcdfence_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	clientv3 "go.etcd.io/etcd/client/v3"
	"primacy.example/go"
	"primacy.example/go/etcdfence"
)

// A host's own transaction, with the guard of a win in it.
func saveSegment(ctx context.Context, client *clientv3.Client, election *primacy.Election, token primacy.Token) error {
	const key = "fence-example/segment"
	txn, err := etcdfence.NewTxn(ctx, client, election, token)
	if err != nil {
		return err
	}
	response, err := txn.
		If(clientv3.Compare(clientv3.Version(key), "=", 0)).
		Then(clientv3.OpPut(key, "sealed")).
		Else(clientv3.OpGet(key)).
		Commit()
	switch {
	case errors.Is(err, primacy.ErrNotPrimary):
		return err // somebody else is, or will be: nothing was written
	case err != nil:
		return err // of the client: it may have been written
	case !response.Succeeded:
		return errors.New("it is there already") // our own comparison did not hold
	}
	return nil
}

func ExampleNewTxn() {
	ctx := context.Background()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{etcdfence.Endpoint()}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	session, err := primacy.Open(ctx, primacy.Config{
		Endpoints: []string{etcdfence.Endpoint()},
		Root:      "fence-example/meta",
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
	saved := make(chan error)
	err = election.Campaign(primacy.Handlers{
		OnPrimary: func(ctx context.Context, win primacy.Win) error {
			go func() {
				saved <- saveSegment(ctx, client, election, win.Token)
				saved <- saveSegment(ctx, client, election, win.Token)
			}()
			return nil
		},
		OnLost: func(context.Context, primacy.Lost) error { return nil },
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-saved)
	fmt.Println(<-saved)
	// Output:
	// <nil>
	// it is there already
}
