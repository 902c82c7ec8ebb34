//go:build cgo

package sessionutil

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blang/semver/v4"
	clientv3 "go.etcd.io/etcd/client/v3"
	"primacy.example/go"
)

// A member of a mixed cluster: one of ours, or a neighbour.
type member interface {
	String() string
	begin()                  // to campaign
	waitActive(t *testing.T) // until it is active
	isActive() bool
	stop()
	serverID() int64
}

type ours struct {
	*Session
	active <-chan error
}

func (o *ours) begin() { o.active = stand(o.Session, nil) }
func (o *ours) waitActive(t *testing.T) {
	must(t, o.String(), next(t, o.String()+" is active", o.active))
}
func (o *ours) isActive() bool  { return o.Election().IsPrimary() }
func (o *ours) stop()           { o.Session.Stop() }
func (o *ours) serverID() int64 { return o.ServerID }

func (n *neighbour) begin()                  { go n.campaign() }
func (n *neighbour) waitActive(t *testing.T) { next(t, n.String()+" is active", n.won) }
func (n *neighbour) isActive() bool          { return n.active.Load() }
func (n *neighbour) serverID() int64         { return n.id }

// Watches a cluster: how many are active at any time, and who holds the lock, by etcd.
type referee struct {
	mu      sync.Mutex
	members []member
	most    int           // active at once
	seen    int           // samples with an active one
	gap     time.Duration // the longest without any, since the last call
	stop    chan struct{}
	done    sync.WaitGroup
}

func watchOver(t *testing.T) *referee {
	r := &referee{stop: make(chan struct{})}
	r.done.Add(1)
	go func() {
		defer r.done.Done()
		last := time.Now()
		for {
			select {
			case <-r.stop:
				return
			default:
			}
			r.mu.Lock()
			active := 0
			for _, m := range r.members {
				if m.isActive() {
					active++
				}
			}
			now := time.Now()
			if active > 0 {
				r.seen++
				r.gap = max(r.gap, now.Sub(last))
				last = now
			}
			r.most = max(r.most, active)
			r.mu.Unlock()
			time.Sleep(200 * time.Microsecond)
		}
	}()
	t.Cleanup(func() {
		close(r.stop)
		r.done.Wait()
		if r.most > 1 {
			t.Errorf("%d were active at once", r.most)
		}
	})
	return r
}

func (r *referee) add(m member) member {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = append(r.members, m)
	return m
}

func (r *referee) longestGap() time.Duration {
	for first := -1; ; time.Sleep(100 * time.Microsecond) {
		r.mu.Lock()
		if first < 0 {
			first = r.seen
		}
		if r.seen > first { // the gap that may have been under way is over
			gap := r.gap
			r.gap = 0
			r.mu.Unlock()
			return gap
		}
		r.mu.Unlock()
	}
}

// Fails the test if a lock, or with a mixcoord's one of its three, ever goes from one lease to another without having
// been gone in between.
func watchLocks(t *testing.T, root string) {
	ctx, cancel := context.WithCancel(context.Background())
	folder := root + "/session/"
	events := newClient(t).Watch(ctx, folder, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	<-events
	var done sync.WaitGroup
	done.Add(1)
	go func() {
		defer done.Done()
		holders := map[string]int64{}
		for response := range events {
			for _, event := range response.Events {
				key := strings.TrimPrefix(string(event.Kv.Key), folder)
				if strings.Contains(key, "-") || key == "id" || key == "version" {
					continue
				}
				if event.Type == clientv3.EventTypeDelete {
					delete(holders, key)
					continue
				}
				if holder, held := holders[key]; held {
					t.Errorf("%s was written under lease %d while %d held it", key, event.Kv.Lease, holder)
				}
				holders[key] = event.Kv.Lease
			}
		}
		if ctx.Err() == nil {
			t.Error("the watch ended before the test")
		}
	}()
	t.Cleanup(func() { cancel(); done.Wait() })
}

// What Milvus's code makes of a record; it must be able to.
func readAsMilvus(t *testing.T, value string) (id int64, address string) {
	t.Helper()
	var record struct {
		ServerID           int64
		ServerName         string
		Address            string
		Exclusive          bool
		Stopping           bool
		TriggerKill        bool
		Version            string
		IndexEngineVersion struct{ MinimalIndexVersion, CurrentIndexVersion int32 }
		LeaseID            *clientv3.LeaseID
		HostName           string
		ServerLabels       map[string]string
	}
	must(t, "a record of ours, read by Milvus", json.Unmarshal([]byte(value), &record))
	_, err := semver.Parse(record.Version)
	must(t, "its version", err)
	if record.LeaseID == nil || !record.Exclusive || record.ServerName == "" {
		t.Errorf("%+v", record)
	}
	return record.ServerID, record.Address
}

func TestOursAndMilvussOwnTakeOverFromEachOther(t *testing.T) {
	noLeaks(t)
	for _, c := range []struct {
		form form
		role string
	}{
		{form25, "rootcoord"}, {form25, "datacoord"}, {form25, "querycoord"}, {form25, "indexcoord"},
		{form26, "mixcoord"}, {form2613, "mixcoord"}, {form30, "mixcoord"},
	} {
		t.Run(c.form.name+" "+c.role, func(t *testing.T) {
			t.Parallel()
			root := "mixed-" + c.form.name + c.role + "/meta"
			referee := watchOver(t)
			watchLocks(t, root)
			// Ours, theirs, ours, theirs: each stops when the next one waits.
			var members []member
			for i := range 4 {
				var m member
				if i%2 == 0 {
					m = &ours{Session: coordinatorOf(t, root, c.role, c.form.version)}
				} else {
					m = newNeighbour(t, root, c.role, c.form)
				}
				members = append(members, referee.add(m))
				m.begin()
				if i == 0 {
					m.waitActive(t)
				} else {
					waiting(t, m)
					referee.longestGap()
					members[i-1].stop()
					m.waitActive(t)
					t.Logf("%v -> %v: %v without an active one", members[i-1], m, referee.longestGap().Round(100*time.Microsecond))
				}
				readEachOther(t, root, c.role, m)
			}
		})
	}
}

// Whoever looks, ours or theirs, reads every record under the role, and in the lock who is active.
func readEachOther(t *testing.T, root, role string, active member) {
	t.Helper()
	for name, kv := range keys(t, root) {
		if !strings.HasPrefix(name, role) {
			continue
		}
		if id, _ := readAsMilvus(t, kv.Value); name == role && id != active.serverID() {
			t.Errorf("Milvus: %v is active, and the lock has id %d", active, id)
		}
	}
	client := newClient(t)
	reader := NewSessionWithEtcd(context.Background(), root, client, goesOn, WithVersion("3.0.0"))
	defer reader.Stop()
	found, _, err := reader.GetSessions(context.Background(), role)
	must(t, "GetSessions", err)
	own := fmt.Sprintf("%s-%d", role, active.serverID())
	if found[role] == nil || found[role].ServerID != active.serverID() || found[own] == nil ||
		found[own].Address != found[role].Address {
		t.Errorf("ours: %v is active; read: %v", active, found)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	observer, err := primacy.Observe(ctx, primacy.Config{Endpoints: client.Endpoints(), Root: root}, role)
	must(t, "Observe", err)
	defer observer.Close()
	if primary, err := observer.WaitForPrimary(ctx); err != nil || primary.ServerID != active.serverID() {
		t.Errorf("an observer: %v is active; seen: %+v, %v", active, primary, err)
	}
}

// Waits until a standby has found out that somebody else is active.
func waiting(t *testing.T, m member) {
	t.Helper()
	eventually(t, m.String()+" stands by", func() bool {
		if n, ok := m.(*neighbour); ok {
			return n.waits.Load()
		}
		session := m.(*ours).session
		status, err := session.Status()
		return err == nil && len(status.Elections) == 1 && status.Elections[0].Holder != nil
	})
}

func TestARollingUpgradeThereAndBack(t *testing.T) {
	noLeaks(t)
	for _, c := range []struct {
		form form
		role string
	}{{form25, "rootcoord"}, {form26, "mixcoord"}, {form2613, "mixcoord"}, {form30, "mixcoord"}} {
		t.Run(c.form.name+" "+c.role, func(t *testing.T) {
			t.Parallel()
			root := "upgrade-" + c.form.name + "/meta"
			referee := watchOver(t)
			watchLocks(t, root)
			theirs := func() member { return newNeighbour(t, root, c.role, c.form) }
			own := func() member { return &ours{Session: coordinatorOf(t, root, c.role, c.form.version)} }
			active := referee.add(theirs())
			active.begin()
			active.waitActive(t)
			standby := referee.add(theirs())
			standby.begin()
			waiting(t, standby)
			referee.longestGap()
			// One after the other: first the standby, then the active one, whose place the new standby takes.
			upgrade := func(what string, make func() member) {
				standby.stop()
				standby = referee.add(make())
				standby.begin()
				waiting(t, standby)
				active.stop()
				standby.waitActive(t)
				active = standby
				standby = referee.add(make())
				standby.begin()
				waiting(t, standby)
				t.Logf("%s, %s: %v without an active one", what, c.form.name, referee.longestGap().Round(100*time.Microsecond))
			}
			upgrade("to ours", own)
			upgrade("back to Milvus's own", theirs)
		})
	}
}

func TestOneThatIsKilledIsSucceededByTheOtherKind(t *testing.T) {
	noLeaks(t)
	for _, c := range []struct {
		form form
		role string
	}{{form25, "rootcoord"}, {form26, "mixcoord"}, {form2613, "mixcoord"}, {form30, "mixcoord"}} {
		t.Run(c.form.name, func(t *testing.T) {
			t.Parallel()
			root := "killed-" + c.form.name + "/meta"
			referee := watchOver(t)
			watchLocks(t, root)
			theirs := newNeighbour(t, root, c.role, c.form)
			theirs.begin()
			theirs.waitActive(t)
			own := referee.add(&ours{Session: coordinatorOf(t, root, c.role, c.form.version)}).(*ours)
			own.begin()
			waiting(t, own)
			theirs.cancel() // as if killed: its lease runs out
			own.waitActive(t)
			// Ours loses its lease; theirs takes over while ours goes on as a standby.
			next := newNeighbour(t, root, c.role, c.form)
			next.begin()
			waiting(t, next)
			referee.add(next)
			must(t, "revoke", etcd.Revoke(keys(t, root)[c.role].Lease))
			// Whoever comes first; both have to be able to go on.
			for end := time.Now().Add(15 * time.Second); !next.isActive() && !own.isActive(); time.Sleep(5 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("nobody is active any more")
				}
			}
			if own.isActive() {
				own.stop()
			} else {
				next.stop()
				for end := time.Now().Add(15 * time.Second); !own.isActive(); time.Sleep(5 * time.Millisecond) {
					if time.Now().After(end) {
						t.Fatal("ours does not take over any more")
					}
				}
			}
		})
	}
}
