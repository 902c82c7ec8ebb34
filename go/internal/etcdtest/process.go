package etcdtest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A Line of a sample coordinator.
type Line struct {
	T                      int64
	Event, Reason, Address string
	ID, Token, Holder      int64
}

// A Coordinator is a sample coordinator as a process.
type Coordinator struct {
	Address string

	process *exec.Cmd
	mu      sync.Mutex
	changed *sync.Cond
	lines   []Line
	ended   bool
}

// StartCoordinator starts the one that $PRIMACY_COORDINATOR names, or target/coordinators/go, and waits until it listens.
func StartCoordinator(flags ...string) (*Coordinator, error) {
	program := os.Getenv("PRIMACY_COORDINATOR")
	if program == "" {
		_, here, _, _ := runtime.Caller(0)
		program = filepath.Join(filepath.Dir(here), "../../../target/coordinators/go")
	}
	c := &Coordinator{process: exec.Command(program, flags...)}
	c.changed = sync.NewCond(&c.mu)
	stdout, err := c.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := StartTied(c.process); err != nil {
		return nil, fmt.Errorf("no coordinator: run `make coordinators`: %w", err)
	}
	go c.read(stdout)
	listening, err := c.Await("listening", 0, 10*time.Second)
	c.Address = listening.Address
	return c, err
}

func (c *Coordinator) read(stdout io.Reader) {
	scanner := bufio.NewScanner(stdout)
	for scanner.Scan() {
		var line Line
		if json.Unmarshal(scanner.Bytes(), &line) == nil {
			c.mu.Lock()
			c.lines = append(c.lines, line)
			c.changed.Broadcast()
			c.mu.Unlock()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.changed.Broadcast()
}

// Lines are those so far.
func (c *Coordinator) Lines() []Line {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lines)
}

// Await waits for a line with this event, of those after the first so many.
func (c *Coordinator) Await(event string, after int, bound time.Duration) (Line, error) {
	late := time.AfterFunc(bound, c.changed.Broadcast)
	defer late.Stop()
	end := time.Now().Add(bound)
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for _, line := range c.lines[min(after, len(c.lines)):] {
			if line.Event == event {
				return line, nil
			}
		}
		if c.ended || !time.Now().Before(end) {
			return Line{}, fmt.Errorf("no %q within %v, ended: %v; lines: %+v", event, bound, c.ended, c.lines)
		}
		c.changed.Wait()
	}
}

// Signal sends one.
func (c *Coordinator) Signal(signal syscall.Signal) error { return c.process.Process.Signal(signal) }

// Wait waits for the end of the process, and returns its exit code.
func (c *Coordinator) Wait() int {
	_ = c.process.Wait()
	return c.process.ProcessState.ExitCode()
}

// Kill ends it, however it is.
func (c *Coordinator) Kill() {
	_ = c.process.Process.Kill()
	_ = c.process.Wait()
}

// Ask asks a coordinator at an address; its answer.
func Ask(address, request string) (map[string]any, error) {
	connection, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(6 * time.Second))
	if _, err := fmt.Fprintln(connection, request); err != nil {
		return nil, err
	}
	var answer map[string]any
	return answer, json.NewDecoder(connection).Decode(&answer)
}
