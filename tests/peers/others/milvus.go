package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// What Milvus's own session code does in etcd, its ForceActiveStandby, in the form of 2.6 or of 3.0: written from what it
// was seen to do, without its code. go/sessionutil tests the same as neighbours.
type milvusForm struct {
	version     string
	takesKeySet bool // the keys of the three old roles with its own, and the version
}

const mixcoord = "mixcoord"

var oldRoles = []string{"querycoord", "datacoord", "rootcoord"}

// Between two tries of a standby that is kept waiting by old roles, or by an error.
const milvusTriesEvery = 100 * time.Millisecond

// A session of it: a number, a lease, a record.
type milvus struct {
	milvusForm
	c      *candidate
	client *clientv3.Client
	folder string
	id     int64
	lease  clientv3.LeaseID
}

func milvusSession(form milvusForm) recipe {
	return func(stop context.Context, c *candidate) error {
		client, err := dial(c.endpoints)
		if err != nil {
			return err
		}
		defer client.Close()
		for stop.Err() == nil {
			session := &milvus{milvusForm: form, c: c, client: client, folder: c.root + "/session/"}
			if err := session.run(stop); err != nil {
				return err
			}
			// Others come first: it would be there again before one that looks every now and then.
			pause(stop, 3*milvusTriesEvery)
		}
		return nil
	}
}

func (m *milvus) run(stop context.Context) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := m.register(ctx); err != nil {
		return err
	}
	alive, err := m.client.KeepAlive(ctx, m.lease)
	if err != nil {
		return err
	}
	// Ends with its lease, as its process does; a clean stop takes the lease away, and with it all keys at once.
	campaign, giveUp := context.WithCancel(stop)
	defer giveUp()
	lost := make(chan struct{})
	go func() {
		for range alive {
		}
		close(lost)
		giveUp()
	}()
	if m.campaign(campaign) {
		m.c.leads(true)
		select {
		case <-m.c.resign:
		case <-stop.Done():
		case <-lost:
		}
		m.c.leads(false)
	}
	_, err = m.client.Revoke(context.Background(), m.lease)
	return err
}

func (m *milvus) register(ctx context.Context) error {
	key := m.folder + "id"
	if _, err := m.client.Txn(ctx).If(clientv3.Compare(clientv3.Version(key), "=", 0)).
		Then(clientv3.OpPut(key, "1")).Commit(); err != nil {
		return err
	}
	for m.id == 0 {
		found, err := m.client.Get(ctx, key)
		if err != nil {
			return err
		}
		text := string(found.Kvs[0].Value)
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return err
		}
		taken, err := m.client.Txn(ctx).If(clientv3.Compare(clientv3.Value(key), "=", text)).
			Then(clientv3.OpPut(key, strconv.FormatInt(id+1, 10))).Commit()
		if err != nil {
			return err
		}
		if taken.Succeeded {
			m.id = id
		}
	}
	granted, err := m.client.Grant(ctx, int64(m.c.ttl.Seconds()))
	if err != nil {
		return err
	}
	m.lease = granted.ID
	own := fmt.Sprintf("%s%s-%d", m.folder, mixcoord, m.id)
	_, err = m.client.Txn(ctx).If(clientv3.Compare(clientv3.Version(own), "=", 0)).Then(m.put(own, mixcoord)).Commit()
	return err
}

func (m *milvus) put(key, role string) clientv3.Op {
	record, _ := json.Marshal(map[string]any{
		"ServerID": m.id, "ServerName": role, "Address": "127.0.0.1:53100", "Exclusive": true, "Version": m.version,
		"IndexEngineVersion": struct{}{}, "ScalarIndexEngineVersion": struct{}{}, "LeaseID": m.lease, "HostName": "vm",
	})
	return clientv3.OpPut(key, string(record), clientv3.WithLease(m.lease))
}

// Whether a record of an old role is there: a standby of 3.0 finds those of the active one.
func (m *milvus) waitsForOldRoles(ctx context.Context) bool {
	for _, role := range oldRoles {
		found, err := m.client.Get(ctx, m.folder+role, clientv3.WithPrefix())
		if err == nil && found.Count > 0 {
			return true
		}
	}
	return false
}

// Until it is active, true, or ctx ends.
func (m *milvus) campaign(ctx context.Context) bool {
	lock := m.folder + mixcoord
	for ctx.Err() == nil {
		if m.waitsForOldRoles(ctx) {
			m.c.warm()
			pause(ctx, milvusTriesEvery)
			continue
		}
		compare := []clientv3.Cmp{clientv3.Compare(clientv3.Version(lock), "=", 0)}
		put := []clientv3.Op{m.put(lock, mixcoord)}
		if m.takesKeySet {
			for _, role := range oldRoles {
				compare = append(compare, clientv3.Compare(clientv3.Version(m.folder+role), "=", 0))
				put = append(put, m.put(m.folder+role, role))
			}
			written, err := m.client.Get(ctx, m.folder+"version")
			if err != nil {
				continue
			}
			before := int64(0)
			if written.Count > 0 {
				before = written.Kvs[0].Version
			}
			compare = append(compare, clientv3.Compare(clientv3.Version(m.folder+"version"), "=", before))
			put = append(put, clientv3.OpPut(m.folder+"version", m.version))
		}
		done, err := m.client.Txn(ctx).If(compare...).Then(put...).Commit()
		switch {
		case err != nil:
			pause(ctx, milvusTriesEvery)
		case done.Succeeded:
			return true
		default:
			m.c.warm()
			// From that revision on, itself included: where that was the winner's put, it wakes at once.
			watching, cancel := context.WithCancel(ctx)
			<-m.client.Watch(watching, lock, clientv3.WithRev(done.Header.Revision))
			cancel()
		}
	}
	return false
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
