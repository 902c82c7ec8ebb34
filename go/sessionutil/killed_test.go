//go:build cgo

package sessionutil

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"primacy.example/go/internal/etcdtest"
)

// A coordinator of ours as a process, for tests that kill it: etcd's endpoint, root, role and version.
const asCoordinator = "PRIMACY_TEST_AS_COORDINATOR"

func serveAsCoordinator(words string) {
	given := strings.Fields(words)
	client, err := newClientOf(given[0])
	if err != nil {
		panic(err)
	}
	s := NewSessionWithEtcd(context.Background(), given[1], client, Exit(1, nil), WithVersion(given[3]), WithTTL(killedTTL))
	s.Init(given[2], "127.0.0.1:53100", true, true)
	s.SetEnableActiveStandBy(true)
	s.Register()
	if s.Err() == nil {
		fmt.Println("standby")
	}
	if err := s.ProcessActiveStandBy(func() error { fmt.Println("active"); return nil }); err != nil {
		panic(err)
	}
	select {}
}

const killedTTL = 5 // seconds, as the neighbours'

// Starts one, and waits until it is registered. The channel is closed when it is active.
func coordinatorProcess(t *testing.T, root, role, version string) (*exec.Cmd, <-chan struct{}) {
	t.Helper()
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s %s", asCoordinator, etcd.Endpoint, root, role, version))
	process.Stderr = os.Stderr
	stdout, err := process.StdoutPipe()
	must(t, "stdout", err)
	must(t, "starting a coordinator", etcdtest.StartTied(process))
	t.Cleanup(func() { _ = process.Process.Kill(); _ = process.Wait() })
	said, active := make(chan string, 2), make(chan struct{})
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if lines.Text() == "active" {
				close(active)
			}
			said <- lines.Text()
		}
	}()
	if line := next(t, "it is registered", said); line != "standby" {
		t.Fatalf("it says %q", line)
	}
	return process, active
}

// Ours and Milvus's own, killed in turn: the next one is active when the lease of the one before has run out.
func TestTwoThatAreKilledInTurn(t *testing.T) {
	noLeaks(t)
	for _, c := range []struct {
		form form
		role string
	}{{form25, "rootcoord"}, {form2613, "mixcoord"}, {form30, "mixcoord"}} {
		t.Run(c.form.name, func(t *testing.T) {
			t.Parallel()
			root := "in-turn-" + c.form.name + "/meta"
			watchLocks(t, root)
			var gaps []string
			took := func(whose string, since time.Time, active <-chan struct{}) {
				t.Helper()
				next(t, whose, active)
				gap := time.Since(since)
				gaps = append(gaps, fmt.Sprintf("%s %.1f s", whose, gap.Seconds()))
				if gap > killedTTL*time.Second+5*time.Second {
					t.Errorf("%s: %v", whose, gap)
				}
			}
			ours, active := coordinatorProcess(t, root, c.role, c.form.version)
			next(t, "the first is active", active)
			for range 2 {
				theirs := newNeighbour(t, root, c.role, c.form)
				theirs.begin()
				waiting(t, theirs)
				killed := time.Now()
				must(t, "kill", ours.Process.Kill())
				took("to Milvus's own", killed, theirs.won)
				ours, active = coordinatorProcess(t, root, c.role, c.form.version)
				killed = time.Now()
				theirs.active.Store(false)
				theirs.cancel()
				took("to ours", killed, active)
			}
			t.Logf("killed, %s: %s without an active one", c.form.name, strings.Join(gaps, ", "))
		})
	}
}
