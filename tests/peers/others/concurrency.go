package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// etcd's own recipe: each candidate waits for the one before it to go.
func concurrencyElection(stop context.Context, c *candidate) error {
	client, err := dial(c.endpoints)
	if err != nil {
		return err
	}
	defer client.Close()
	session, err := concurrency.NewSession(client, concurrency.WithTTL(int(c.ttl.Seconds())))
	if err != nil {
		return err
	}
	defer session.Close()
	prefix := c.root + "/" + c.role
	for {
		election := concurrency.NewElection(session, prefix)
		queued := whileQueued(client, fmt.Sprintf("%s/%x", prefix, session.Lease()), c)
		err := election.Campaign(stop, fmt.Sprint(c.id))
		queued()
		if err != nil {
			return err
		}
		c.leads(true)
		select {
		case <-session.Done():
			c.leads(false)
			return errors.New("the session is lost")
		case <-c.resign:
			c.leads(false)
			if err := election.Resign(context.Background()); err != nil {
				return err
			}
		case <-stop.Done():
			c.leads(false)
			return election.Resign(context.Background())
		}
	}
}

// It says itself nowhere that it waits: its key does. Until the function that is returned is called.
func whileQueued(client *clientv3.Client, key string, c *candidate) func() {
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		for ctx.Err() == nil {
			if found, err := client.Get(ctx, key); err == nil && found.Count > 0 {
				c.warm()
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	return func() {
		cancel()
		<-over
	}
}
