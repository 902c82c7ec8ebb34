//go:build cgo

package sessionutil

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/blang/semver/v4"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A form of Milvus's own session code.
type form struct {
	name    string
	gate    bool // waits while a record of the three old roles is there
	keySet  bool // takes the keys of the three with its own, and writes the version
	kill    bool // writes TriggerKill
	version string
}

var (
	form25   = form{name: "2.5", kill: true, version: "2.5.9"}
	form26   = form{name: "2.6", gate: true, kill: true, version: "2.6.7"} // before 2.6.13
	form2613 = form{name: "2.6.13", gate: true, keySet: true, kill: true, version: "2.6.13"}
	form30   = form{name: "3.0", gate: true, keySet: true, version: "3.0.0-beta"}
)

var oldRoles = []string{"querycoord", "datacoord", "rootcoord"}

// A neighbour does, on a bare client, what Milvus's own coordinators do in etcd.
type neighbour struct {
	t      *testing.T
	form   form
	role   string
	folder string
	client *clientv3.Client
	ctx    context.Context
	cancel context.CancelFunc
	lease  clientv3.LeaseID
	id     int64
	active atomic.Bool
	waits  atomic.Bool // it has found the place taken
	won    chan struct{}
}

func newNeighbour(t *testing.T, root, role string, form form) *neighbour {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	n := &neighbour{
		t: t, form: form, role: role, folder: root + "/session/", client: newClient(t), ctx: ctx, cancel: cancel,
		won: make(chan struct{}),
	}
	t.Cleanup(n.stop)
	n.takeID()
	granted, err := n.client.Grant(ctx, 5)
	must(t, "grant", err)
	n.lease = granted.ID
	response, err := n.client.Txn(ctx).
		If(clientv3.Compare(clientv3.Version(n.recordKey()), "=", 0)).
		Then(clientv3.OpPut(n.recordKey(), n.record(role), clientv3.WithLease(n.lease))).Commit()
	if err != nil || !response.Succeeded {
		t.Fatalf("%s: not registered: %v", n, err)
	}
	alive, err := n.client.KeepAlive(ctx, n.lease)
	must(t, "keep alive", err)
	go func() {
		for range alive {
		}
	}()
	return n
}

func (n *neighbour) String() string {
	return fmt.Sprintf("Milvus %s, %s-%d", n.form.name, n.role, n.id)
}
func (n *neighbour) recordKey() string { return fmt.Sprintf("%s%s-%d", n.folder, n.role, n.id) }

func (n *neighbour) takeID() {
	n.t.Helper()
	key := n.folder + "id"
	_, err := n.client.Txn(n.ctx).If(clientv3.Compare(clientv3.Version(key), "=", 0)).
		Then(clientv3.OpPut(key, "1")).Commit()
	must(n.t, "id", err)
	for {
		found, err := n.client.Get(n.ctx, key)
		must(n.t, "id", err)
		text := string(found.Kvs[0].Value)
		id, err := strconv.ParseInt(text, 10, 64)
		must(n.t, "id", err)
		response, err := n.client.Txn(n.ctx).If(clientv3.Compare(clientv3.Value(key), "=", text)).
			Then(clientv3.OpPut(key, strconv.FormatInt(id+1, 10))).Commit()
		must(n.t, "id", err)
		if response.Succeeded {
			n.id = id
			return
		}
	}
}

func (n *neighbour) record(role string) string {
	session := Session{
		SessionRaw: SessionRaw{
			ServerID: n.id, ServerName: role, Address: fmt.Sprintf("10.0.0.1:%d", n.id), Exclusive: true,
			TriggerKill: n.form.kill, LeaseID: &n.lease, HostName: "vm",
		},
		Version: semver.MustParse(n.form.version),
	}
	text, err := session.MarshalJSON()
	must(n.t, "record", err)
	return string(text)
}

// Whether a record of an old role is there that it can read.
func (n *neighbour) gated() bool {
	for _, role := range oldRoles {
		found, err := n.client.Get(n.ctx, n.folder+role, clientv3.WithPrefix())
		if err != nil {
			continue
		}
		for _, kv := range found.Kvs {
			// Its lookup takes all or nothing, by its own struct.
			if json.Unmarshal(kv.Value, &struct{ ServerID int64 }{}) == nil {
				return true
			}
		}
	}
	return false
}

// Campaigns until it is active or ended.
func (n *neighbour) campaign() {
	lock := n.folder + n.role
	for n.ctx.Err() == nil {
		if n.form.gate && n.gated() {
			n.waits.Store(true)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		cmps := []clientv3.Cmp{clientv3.Compare(clientv3.Version(lock), "=", 0)}
		ops := []clientv3.Op{clientv3.OpPut(lock, n.record(n.role), clientv3.WithLease(n.lease))}
		if n.form.keySet {
			written, err := n.client.Get(n.ctx, n.folder+"version")
			if err != nil {
				continue
			}
			before := int64(0)
			if len(written.Kvs) > 0 {
				before = written.Kvs[0].Version
				newest, own := semver.MustParse(string(written.Kvs[0].Value)), semver.MustParse(n.form.version)
				if own.Major < newest.Major || own.Major == newest.Major && own.Minor < newest.Minor {
					return // it panics
				}
			}
			for _, role := range oldRoles {
				cmps = append(cmps, clientv3.Compare(clientv3.Version(n.folder+role), "=", 0))
				ops = append(ops, clientv3.OpPut(n.folder+role, n.record(role), clientv3.WithLease(n.lease)))
			}
			cmps = append(cmps, clientv3.Compare(clientv3.Version(n.folder+"version"), "=", before))
			ops = append(ops, clientv3.OpPut(n.folder+"version", n.form.version))
		}
		response, err := n.client.Txn(n.ctx).If(cmps...).Then(ops...).Commit()
		if err != nil {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if response.Succeeded {
			n.active.Store(true)
			close(n.won)
			return
		}
		n.waits.Store(true)
		ctx, cancel := context.WithCancel(n.ctx)
		<-n.client.Watch(ctx, lock, clientv3.WithRev(response.Header.Revision))
		cancel()
	}
}

// A clean stop: its lease goes, and its keys with it.
func (n *neighbour) stop() {
	if n.ctx.Err() != nil {
		return
	}
	n.active.Store(false)
	n.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, _ = n.client.Revoke(ctx, n.lease)
}
