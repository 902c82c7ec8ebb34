//go:build cgo && linux

package primacy

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"primacy.example/go/internal/etcdtest"
)

// What MEP 30 asks for, with processes.
var roles = []string{"rootcoord", "datacoord", "querycoord", "indexcoord", "mixcoord"}

const processTTL = 5 * time.Second

type cluster struct {
	t    *testing.T
	root string
	role string
}

func (c cluster) start() *etcdtest.Coordinator {
	c.t.Helper()
	coordinator, err := etcdtest.StartCoordinator("--etcd", etcd.Endpoint, "--root", c.root, "--role", c.role,
		"--address", "127.0.0.1:0", "--ttl", "5", "--warm-after", "50")
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(coordinator.Kill)
	return coordinator
}

func (c cluster) await(coordinator *etcdtest.Coordinator, event string) etcdtest.Line {
	c.t.Helper()
	line, err := coordinator.Await(event, 0, 30*time.Second)
	if err != nil {
		c.t.Fatal(err)
	}
	return line
}

// A client that writes through whoever is primary, again and again.
type client struct {
	mu      sync.Mutex
	wrote   int
	last    time.Time
	longest time.Duration
	running sync.WaitGroup
}

func (c cluster) client(ctx context.Context) *client {
	c.t.Helper()
	observer, err := Observe(ctx, Config{Endpoints: []string{etcd.Endpoint}, Root: c.root}, c.role)
	if err != nil {
		c.t.Fatal(err)
	}
	cl := &client{}
	cl.running.Add(1)
	go func() {
		defer cl.running.Done()
		for ctx.Err() == nil {
			primary, err := observer.WaitForPrimary(ctx)
			if err != nil {
				continue
			}
			answer, err := etcdtest.Ask(primary.Address, "append "+c.role+" x")
			if err == nil && answer["ok"] == true {
				cl.count()
				continue
			}
			select { // the observer will hear of another one
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	c.t.Cleanup(func() { cl.running.Wait(); _ = observer.Close() })
	return cl
}

func (cl *client) count() {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	now := time.Now()
	if cl.wrote > 0 {
		cl.longest = max(cl.longest, now.Sub(cl.last))
	}
	cl.wrote++
	cl.last = now
}

// How many writes so far.
func (cl *client) writes() int {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	return cl.wrote
}

// The longest time between two writes since the last call.
func (cl *client) gap() time.Duration {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	longest := cl.longest
	cl.longest = 0
	return longest
}

func TestMEP30(t *testing.T) {
	for _, role := range roles {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			c := cluster{t, newRoot(), role}
			first := c.start()
			won := c.await(first, "ready")
			standbys := []*etcdtest.Coordinator{c.start(), c.start()}
			for _, standby := range standbys {
				if line := c.await(standby, "standby"); line.Holder != won.ID {
					t.Errorf("the holder is %d, not %d", line.Holder, won.ID)
				}
				c.await(standby, "warm")
			}
			client := c.client(ctx)
			eventually(t, "the client's calls succeed", func() bool { return client.writes() > 10 })
			client.gap()

			// The primary is killed: exactly one of the standbys takes over, and the client's calls go on.
			if err := first.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			before := client.writes()
			var next *etcdtest.Coordinator
			eventually(t, "a standby takes over", func() bool {
				for _, standby := range standbys {
					if slices.ContainsFunc(standby.Lines(), isEvent("primary")) {
						next = standby
					}
				}
				return next != nil
			})
			again := c.await(next, "ready")
			if again.Token <= won.Token {
				t.Errorf("token %d after %d", again.Token, won.Token)
			}
			eventually(t, "the client's calls go on", func() bool { return client.writes() > before+10 })
			gap := client.gap()
			for _, standby := range standbys {
				if standby != next && slices.ContainsFunc(standby.Lines(), isEvent("primary")) {
					t.Error("both standbys became primary")
				}
			}

			// The old primary comes back, as a standby.
			old := c.start()
			if line := c.await(old, "standby"); line.Holder != again.ID {
				t.Errorf("the holder is %d, not %d", line.Holder, again.ID)
			}
			c.await(old, "warm")

			// A planned stop hands over at once.
			if err := next.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if code := next.Wait(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			standbys = append(standbys, old)
			var third etcdtest.Line
			eventually(t, "a third takes over", func() bool {
				for _, standby := range standbys {
					if standby == next {
						continue
					}
					if i := slices.IndexFunc(standby.Lines(), isEvent("primary")); i >= 0 {
						third = standby.Lines()[i]
						return true
					}
				}
				return false
			})
			before = client.writes()
			eventually(t, "the client's calls go on", func() bool { return client.writes() > before+10 })
			handover := client.gap()
			t.Logf("%s: killed: calls stood still for %v (TTL %v); stopped: for %v",
				role, gap.Round(time.Millisecond), processTTL, handover.Round(time.Millisecond))
			if gap >= processTTL+3*time.Second {
				t.Errorf("the kill was noticed too late: calls stood still for %v", gap)
			}
			if handover >= processTTL {
				t.Errorf("the stop did not hand over: calls stood still for %v", handover)
			}
			cancel()
			client.running.Wait()
			c.judge(won.Token, again.Token, third.Token)
		})
	}
}

func isEvent(event string) func(etcdtest.Line) bool {
	return func(line etcdtest.Line) bool { return line.Event == event }
}

// The log in etcd: no gap, tokens of the wins only, never going back.
func (c cluster) judge(tokens ...int64) {
	c.t.Helper()
	entries, err := etcd.Get(c.root+"/sample/"+c.role+"/log/", true)
	if err != nil || len(entries) == 0 {
		c.t.Fatalf("%d entries, %v", len(entries), err)
	}
	length, err := etcd.Get(c.root+"/sample/"+c.role+"/length", false)
	if err != nil || length[0].Value != strconv.Itoa(len(entries)) {
		c.t.Errorf("%d entries, length %v, %v", len(entries), length, err)
	}
	last := int64(0)
	for _, entry := range entries {
		word, _, _ := strings.Cut(entry.Value, " ")
		token, _ := strconv.ParseInt(word, 10, 64)
		if token < last || !slices.Contains(tokens, token) {
			c.t.Errorf("%s under token %d after %d; wins: %v", entry.Key, token, last, tokens)
		}
		last = token
	}
}
