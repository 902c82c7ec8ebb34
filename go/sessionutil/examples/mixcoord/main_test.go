//go:build cgo

package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"primacy.example/go/internal/etcdtest"
	"primacy.example/go/internal/handle"
)

const asMixcoord = "PRIMACY_TEST_AS_MIXCOORD"

var etcd *etcdtest.Server

func TestMain(m *testing.M) {
	if os.Getenv(asMixcoord) != "" {
		main()
		return
	}
	os.Exit(etcdtest.Main(m, handle.Live, func(server *etcdtest.Server) { etcd = server }))
}

// A mixcoord as a process, and what it says.
type process struct {
	t       *testing.T
	command *exec.Cmd
	lines   chan string
}

func start(t *testing.T, endpoint, root string, flags ...string) *process {
	t.Helper()
	flags = append([]string{"--etcd", endpoint, "--root", root, "--ttl", "5"}, flags...)
	p := &process{t, exec.Command(os.Args[0], flags...), make(chan string, 100)}
	p.command.Env = append(os.Environ(), asMixcoord+"=1")
	p.command.Stderr = os.Stderr // etcd's client says there that its etcd is gone
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := etcdtest.StartTied(p.command); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.command.Process.Kill(); _ = p.command.Wait() })
	go func() {
		defer close(p.lines)
		for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
	}()
	return p
}

func (p *process) says(lines ...string) {
	p.t.Helper()
	for _, want := range lines {
		select {
		case line := <-p.lines:
			if line != want {
				p.t.Fatalf("it says %q, not %q", line, want)
			}
		case <-time.After(20 * time.Second):
			p.t.Fatalf("it does not say %q", want)
		}
	}
}

func (p *process) ends() {
	p.t.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	p.says("rootcoord stops", "datacoord stops", "querycoord stops", "stopped")
	if err := p.command.Wait(); err != nil {
		p.t.Error(err)
	}
}

var serves = []string{"rootcoord serves", "datacoord serves", "querycoord serves", "active"}

func TestTwoMixcoordsTakeTurns(t *testing.T) {
	one := start(t, etcd.Endpoint, "mixcoord/meta")
	one.says("standby")
	one.says(serves...)
	two := start(t, etcd.Endpoint, "mixcoord/meta")
	two.says("standby")
	select {
	case line := <-two.lines:
		t.Fatalf("a standby says %q", line)
	default:
	}
	one.ends()
	// It has left by itself: nobody waits for its lease.
	if left, err := etcd.Get("mixcoord/meta/session/mixcoord-1", false); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	two.says(serves...)
	two.ends()
}

// What is done to an active one, and whether it can say so to etcd.
var faults = map[string]func(t *testing.T, server *etcdtest.Server, lock etcdtest.KeyValue){
	"lease revoked": func(t *testing.T, server *etcdtest.Server, lock etcdtest.KeyValue) {
		if err := server.Revoke(lock.Lease); err != nil {
			t.Fatal(err)
		}
	},
	"lock deleted": func(t *testing.T, server *etcdtest.Server, lock etcdtest.KeyValue) {
		if err := server.Delete(lock.Key); err != nil {
			t.Fatal(err)
		}
	},
	"cut off": func(t *testing.T, server *etcdtest.Server, _ etcdtest.KeyValue) {
		if err := server.Process().Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Process().Signal(syscall.SIGCONT) })
	},
}

// An etcd of its own, and an active mixcoord on it.
func active(t *testing.T, flags ...string) (*etcdtest.Server, etcdtest.KeyValue, *process) {
	t.Helper()
	server, err := etcdtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	p := start(t, server.Endpoint, "mixcoord/meta", flags...)
	p.says("standby")
	p.says(serves...)
	lock, err := server.Get("mixcoord/meta/session/mixcoord", false)
	if err != nil || len(lock) != 1 {
		t.Fatal(lock, err)
	}
	return server, lock[0], p
}

func TestOneThatLosesItsPlaceEndsWhereThatIsChosen(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, lock, p := active(t, "--exit-when-lost")
			fault(t, server, lock)
			p.says("ends")
			if line, open := <-p.lines; open {
				t.Errorf("it says %q", line)
			}
			var ended *exec.ExitError
			if err := p.command.Wait(); !errors.As(err, &ended) || ended.ExitCode() != 1 {
				t.Error(err)
			}
		})
	}
}

func TestOneThatLosesItsPlaceStopsServingAndGoesOnWhereThatIsChosen(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, lock, p := active(t)
			fault(t, server, lock)
			p.says("lost", "rootcoord stops", "datacoord stops", "querycoord stops")
			if err := server.Process().Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			p.says(serves...)
			p.ends()
		})
	}
}
