//go:build cgo

package main

import (
	"bufio"
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

func start(t *testing.T) *process {
	t.Helper()
	p := &process{t, exec.Command(os.Args[0], "--etcd", etcd.Endpoint, "--root", "mixcoord/meta"), make(chan string, 100)}
	p.command.Env = append(os.Environ(), asMixcoord+"=1")
	p.command.Stderr = os.Stderr
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

func TestTwoMixcoordsTakeTurns(t *testing.T) {
	serves := []string{"rootcoord serves", "datacoord serves", "querycoord serves", "active"}
	one := start(t)
	one.says("standby")
	one.says(serves...)
	two := start(t)
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
