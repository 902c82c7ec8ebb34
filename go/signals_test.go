//go:build cgo && linux

package primacy

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// A way to etcd that can be cut as a dead peer cuts it: by RST.
type resetter struct {
	listener net.Listener
	mu       sync.Mutex
	open     map[*net.TCPConn]bool
	running  sync.WaitGroup
}

func newResetter(t *testing.T) *resetter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &resetter{listener: listener, open: map[*net.TCPConn]bool{}}
	r.running.Add(1)
	go func() {
		defer r.running.Done()
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", etcd.Endpoint)
			if err != nil {
				_ = client.Close()
				continue
			}
			r.mu.Lock()
			r.open[client.(*net.TCPConn)], r.open[server.(*net.TCPConn)] = true, true
			r.mu.Unlock()
			r.running.Add(2)
			go r.copy(client, server)
			go r.copy(server, client)
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); r.reset(); r.running.Wait() })
	return r
}

func (r *resetter) copy(to, from net.Conn) {
	defer r.running.Done()
	_, _ = io.Copy(to, from)
	_, _ = to.Close(), from.Close()
}

// Resets all connections, and says how many.
func (r *resetter) reset() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.open)
	for connection := range r.open {
		_ = connection.SetLinger(0)
		_ = connection.Close()
	}
	clear(r.open)
	return n
}

// A field of a status file in /proc, as a set of signals.
func signalsIn(t *testing.T, path, field string) (has func(syscall.Signal) bool) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n"+field+":")
	var set uint64
	if _, err := fmt.Sscanf(rest, "%x", &set); !found || err != nil {
		t.Fatalf("%s has no %s: %v", path, field, err)
	}
	return func(signal syscall.Signal) bool { return set&(1<<(signal-1)) != 0 }
}

// The thread of the library's that talks to etcd, as a folder of /proc, if it was not there `before`. It is the first of
// its name: Go may start threads of its own in there, as it is told something, and they inherit the name. Threads that call
// handlers are another matter: in a thread that calls into it, Go itself unblocks SIGINT and SIGTERM, for its own handler.
func threadThatTalksToEtcd(t *testing.T, before []string) (thread string) {
	t.Helper()
	for _, one := range threads(t) {
		name, err := os.ReadFile(filepath.Join(one, "comm"))
		if err == nil && string(name) == "primacy-io\n" && !slices.Contains(before, one) {
			return one
		}
	}
	t.Fatal("no thread talks to etcd")
	return ""
}

// All threads, the oldest first.
func threads(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		t.Fatal(err)
	}
	number := func(thread string) int {
		n, _ := strconv.Atoi(filepath.Base(thread))
		return n
	}
	slices.SortFunc(all, func(a, b string) int { return number(a) - number(b) })
	return all
}

func TestAPeerThatResetsRaisesNoSignalAndTheHostsSignalsArrive(t *testing.T) {
	noLeaks(t)
	pipes, users := make(chan os.Signal, 1000), make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	signal.Notify(users, syscall.SIGUSR1)
	t.Cleanup(func() { signal.Stop(pipes); signal.Stop(users) })
	way := newResetter(t)
	config := configOf(t, newRoot())
	config.Endpoints = []string{way.listener.Addr().String()}
	config.Logger = nil // its lines come from any thread, and what calls into Go is another matter: see below
	before := threads(t)
	h := campaign(t, open(t, config), "rootcoord", nil)
	win := next(t, "primary", h.primary)
	talks := threadThatTalksToEtcd(t, before)
	commit := func() bool {
		_, err := h.election.Commit(context.Background(), win.Token, new(Txn).Put(config.Root+"/a", nil))
		return err == nil
	}
	for range 30 {
		var writers sync.WaitGroup
		for range 4 { // some of them meet a dead connection
			writers.Add(1)
			go func() { defer writers.Done(); commit() }()
		}
		if way.reset() == 0 {
			eventually(t, "it connects again", func() bool { return way.reset() > 0 })
		}
		writers.Wait()
		if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		next(t, "the host's own signal", users)
	}
	eventually(t, "it writes again", commit)
	if len(pipes) != 0 {
		t.Errorf("%d times SIGPIPE", len(pipes))
	}

	blocked := signalsIn(t, filepath.Join(talks, "status"), "SigBlk")
	for _, signal := range []syscall.Signal{syscall.SIGPIPE, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1} {
		if !blocked(signal) {
			t.Errorf("the library's thread takes %v", signal)
		}
	}
	if signalsIn(t, "/proc/self/status", "SigIgn")(syscall.SIGPIPE) ||
		!signalsIn(t, "/proc/self/status", "SigCgt")(syscall.SIGPIPE) {
		t.Error("Go's own handler of SIGPIPE is gone")
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGPIPE); err != nil {
		t.Fatal(err)
	}
	next(t, "a SIGPIPE that is meant for the host", pipes)
}
