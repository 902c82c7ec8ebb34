package main

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// What etcd itself takes, with nobody's recipe on top: below this no handover can come.
type floors struct {
	asking  *clientv3.Client
	watched string
	seen    clientv3.WatchChan
}

func newFloors(at place) (*floors, error) {
	asking, err := dial(at.endpoints)
	if err != nil {
		return nil, err
	}
	watching, err := dial(at.endpoints) // as in another process
	if err != nil {
		return nil, err
	}
	f := &floors{asking: asking, watched: at.root + "/floors"}
	f.seen = watching.Watch(context.Background(), f.watched, clientv3.WithCreatedNotify())
	<-f.seen
	return f, nil
}

// Nanoseconds: a transaction; from a put to its event at another client; from a revoke to the event of the deletion.
func (f *floors) measure(ctx context.Context) any {
	took := map[string]any{"ok": true}
	var err error
	timed := func(name string, act func() error, events bool) {
		if err != nil {
			return
		}
		start := now()
		over := make(chan error, 1)
		go func() { over <- act() }() // an event may come before the answer
		if events {
			<-f.seen
			took[name] = now() - start
			err = <-over
		} else {
			err = <-over
			took[name] = now() - start
		}
	}
	timed("txn", func() error {
		_, err := f.asking.Txn(ctx).If(clientv3.Compare(clientv3.Version(f.watched+"/absent"), "=", 0)).
			Then(clientv3.OpPut(f.watched+"/key", "value")).Commit()
		return err
	}, false)
	timed("put to event", func() error {
		_, err := f.asking.Put(ctx, f.watched, "value")
		return err
	}, true)
	var lease clientv3.LeaseID
	timed("grant", func() error {
		granted, err := f.asking.Grant(ctx, 60)
		if err == nil {
			lease = granted.ID
		}
		return err
	}, false)
	timed("put with lease", func() error {
		_, err := f.asking.Put(ctx, f.watched, "value", clientv3.WithLease(lease))
		return err
	}, true)
	timed("revoke to delete", func() error {
		_, err := f.asking.Revoke(ctx, lease)
		return err
	}, true)
	if err != nil {
		return map[string]any{"ok": false, "why": fmt.Sprint(err)}
	}
	return took
}
