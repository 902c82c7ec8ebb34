package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// What client-go's elections are in, here a key of etcd's: its record, compared by the revision that was read last.
type etcdLock struct {
	client   *clientv3.Client
	key, who string
	revision int64
}

func (l *etcdLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	found, err := l.client.Get(ctx, l.key)
	if err != nil {
		return nil, nil, err
	}
	if found.Count == 0 {
		return nil, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "keys"}, l.key)
	}
	l.revision = found.Kvs[0].ModRevision
	record := new(resourcelock.LeaderElectionRecord)
	return record, found.Kvs[0].Value, json.Unmarshal(found.Kvs[0].Value, record)
}

func (l *etcdLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	l.revision = 0
	return l.Update(ctx, record)
}

func (l *etcdLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	value, err := json.Marshal(record)
	if err != nil {
		return err
	}
	done, err := l.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(l.key), "=", l.revision)).
		Then(clientv3.OpPut(l.key, string(value))).Commit()
	if err != nil {
		return err
	}
	if !done.Succeeded {
		return errors.New("somebody else was faster")
	}
	l.revision = done.Header.Revision
	return nil
}

func (l *etcdLock) RecordEvent(string) {}
func (l *etcdLock) Identity() string   { return l.who }
func (l *etcdLock) Describe() string   { return l.key }

// client-go's leader election: whoever does not lead reads the record every now and then. With a TTL of 15 s its times
// are its defaults, 15, 10 and 2 s; with another they keep that proportion.
func leaderElection(stop context.Context, c *candidate) error {
	client, err := dial(c.endpoints)
	if err != nil {
		return err
	}
	defer client.Close()
	lock := &etcdLock{client: client, key: c.root + "/" + c.role, who: fmt.Sprint(c.id)}
	for stop.Err() == nil {
		ctx, cancel := context.WithCancel(context.Background())
		over := make(chan struct{})
		go func() {
			defer close(over)
			select {
			case <-stop.Done():
				c.leads(false)
				cancel()
			case <-ctx.Done():
			}
		}()
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock:            lock,
			LeaseDuration:   c.ttl,
			RenewDeadline:   c.ttl * 2 / 3,
			RetryPeriod:     c.ttl * 2 / 15,
			ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(leading context.Context) {
					c.leads(true)
					select {
					case <-c.resign:
						c.leads(false)
						cancel()
					case <-leading.Done():
					}
				},
				OnStoppedLeading: func() { c.leads(false) },
				OnNewLeader: func(who string) {
					if who != "" && who != lock.who {
						c.warm()
					}
				},
			},
		})
		if err != nil {
			cancel()
			return err
		}
		elector.Run(ctx)
		cancel()
		<-over
		// Others come first: a released record is free for whoever reads it next, after 2.2 periods at most.
		select {
		case <-stop.Done():
		case <-time.After(3 * c.ttl * 2 / 15):
		}
	}
	return nil
}
