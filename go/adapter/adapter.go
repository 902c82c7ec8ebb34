//go:build linux

// Package adapter makes of a service that is written with primacy's handlers a coordinator that primacy's fault kit can
// drive: docs/testing.md has its flags, its lines and its requests.
package adapter

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"primacy.example/go"
)

const (
	stopTimeout    = 10 * time.Second
	requestTimeout = 5 * time.Second
	retryInterval  = 500 * time.Millisecond
)

// Run is the whole of a program: it parses the flags, opens a session, and campaigns for each role with the handlers that
// service makes for it. SIGTERM and SIGINT end it cleanly, with exit code 0; what trying again can not help ends it with
// a message and exit code 1. It does not return.
//
// The program registers the address at which it answers. Stdout is the kit's: from here on [os.Stdout] is stderr.
func Run(service func(election *primacy.Election) primacy.Handlers) {
	RunWith(func(*primacy.Config) error { return nil }, service)
}

// RunWith does the same with what prepare makes of the configuration before a session is opened with it: a host that
// lends its own etcd client puts it there.
func RunWith(prepare func(config *primacy.Config) error, service func(election *primacy.Election) primacy.Handlers) {
	c := parse()
	c.prepare = prepare
	c.out, os.Stdout = os.Stdout, os.Stderr
	if err := c.run(service); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
		os.Exit(1)
	}
	os.Exit(0)
}

type coordinator struct {
	etcd, root, address, version string
	ttl                          int
	settings                     map[string]string
	roles                        []*role
	prepare                      func(*primacy.Config) error

	lines
	session atomic.Pointer[primacy.Session]
}

// A role that this process is a candidate for.
type role struct {
	name     string
	election atomic.Pointer[primacy.Election] // nil until the session is open
	// Of the last win; kept when it is lost: etcd knows better than we do whether it still counts.
	token atomic.Int64

	warming, warm atomic.Bool // in this standby period
}

func parse() *coordinator {
	c := &coordinator{settings: map[string]string{}}
	flag.StringVar(&c.etcd, "etcd", "localhost:2379", "endpoints of etcd, comma-separated")
	flag.StringVar(&c.root, "root", "by-dev/meta", "meta root")
	flag.Func("role", "role to be a candidate for; may be repeated", func(name string) error {
		c.roles = append(c.roles, &role{name: name})
		return nil
	})
	flag.StringVar(&c.address, "address", "", "HOST:PORT to answer at and to register; port 0: a free one")
	flag.IntVar(&c.ttl, "ttl", 10, "lease TTL to ask for, in seconds")
	flag.StringVar(&c.version, "version", primacy.Version(), "version to register")
	flag.Func("set", "NAME=VALUE of any setting; may be repeated", func(text string) error {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return errors.New("not NAME=VALUE")
		}
		c.settings[name] = value
		return nil
	})
	flag.Parse()
	if c.address == "" || len(c.roles) == 0 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	return c
}

func (c *coordinator) run(service func(*primacy.Election) primacy.Handlers) error {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	listener, err := net.Listen("tcp", c.address)
	if err != nil {
		return err
	}
	defer listener.Close()
	c.address = listener.Addr().String()
	c.say(line{Event: "listening", Address: c.address})
	go c.serve(listener)

	session, err := c.open(stop)
	if err != nil {
		return err
	}
	if session != nil {
		if err := c.campaign(session, service); err != nil {
			return err
		}
		<-stop.Done()
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := session.Close(ctx); err != nil {
			return err
		}
	}
	c.say(line{Event: "stopped"})
	return nil
}

// While etcd can not be reached, tries again until it is told to stop: then there is no session.
func (c *coordinator) open(stop context.Context) (*primacy.Session, error) {
	config := primacy.Config{
		Endpoints: strings.Split(c.etcd, ","),
		Root:      c.root,
		TTL:       time.Duration(c.ttl) * time.Second,
		Settings:  c.settings,
		Candidate: primacy.Candidate{Address: c.address, Version: c.version},
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	if err := c.prepare(&config); err != nil {
		return nil, err
	}
	for {
		session, err := primacy.Open(stop, config)
		switch {
		case err == nil:
			c.id.Store(session.ServerID())
			c.session.Store(session)
			return session, nil
		case stop.Err() != nil:
			return nil, nil
		case !primacy.MayPass(err):
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "%s: %v; trying again\n", os.Args[0], err)
		select {
		case <-stop.Done():
			return nil, nil
		case <-time.After(retryInterval):
		}
	}
}

func (c *coordinator) campaign(session *primacy.Session, service func(*primacy.Election) primacy.Handlers) error {
	for _, r := range c.roles {
		election, err := session.Register(r.name)
		if err != nil {
			return fmt.Errorf("role %s: %w", r.name, err)
		}
		r.election.Store(election)
	}
	for _, r := range c.roles {
		election := r.election.Load()
		go c.follow(r, election.Events())
		if err := election.Campaign(c.telling(r, service(election))); err != nil {
			return err
		}
	}
	return nil
}

// What needs no answer.
func (c *coordinator) follow(r *role, events <-chan primacy.Event) {
	for event := range events {
		switch event.Kind {
		case primacy.EventSuspended, primacy.EventResumed, primacy.EventReady:
			c.say(line{Role: r.name, Event: event.Kind.String(), Token: event.Token})
		}
	}
}

// The service's own handlers, each of which says its line first.
func (c *coordinator) telling(r *role, own primacy.Handlers) primacy.Handlers {
	told := own
	told.OnStandby = func(ctx context.Context, standby primacy.Standby) error {
		r.warming.Store(false)
		r.warm.Store(false)
		c.say(line{Role: r.name, Event: "standby", Holder: standby.HolderID, Address: standby.HolderAddress})
		if own.OnStandby == nil {
			return nil
		}
		return own.OnStandby(ctx, standby)
	}
	told.OnWarmup = func(ctx context.Context) (primacy.Warm, error) {
		if !r.warming.Swap(true) {
			c.say(line{Role: r.name, Event: "warmup"})
		}
		warm, err := primacy.Warm(true), error(nil)
		if own.OnWarmup != nil {
			warm, err = own.OnWarmup(ctx)
		}
		if bool(warm) && err == nil && !r.warm.Swap(true) {
			c.say(line{Role: r.name, Event: "warm"})
		}
		return warm, err
	}
	if own.OnPrimary != nil {
		told.OnPrimary = func(ctx context.Context, win primacy.Win) error {
			r.token.Store(int64(win.Token))
			c.say(line{Role: r.name, Event: "primary", Token: win.Token, Lease: lease(win.Lease)})
			return own.OnPrimary(ctx, win)
		}
	}
	if own.OnLost != nil {
		told.OnLost = func(ctx context.Context, lost primacy.Lost) error {
			c.say(line{
				Role: r.name, Event: "lost", Token: lost.Token, Lease: lease(lost.Lease), Reason: lost.Reason.String(),
			})
			return own.OnLost(ctx, lost)
		}
	}
	return told
}

// A line on stdout.
type line struct {
	T       int64         `json:"t"`
	ID      int64         `json:"id"`
	Event   string        `json:"event"`
	Role    string        `json:"role,omitempty"`
	Token   primacy.Token `json:"token,omitempty"`
	Lease   string        `json:"lease,omitempty"`
	Reason  string        `json:"reason,omitempty"`
	Holder  int64         `json:"holder,omitempty"`
	Address string        `json:"address,omitempty"`
}

// Writes lines, one at a time.
type lines struct {
	mu  sync.Mutex
	out *os.File
	id  atomic.Int64 // 0 until it is known
}

func (l *lines) say(what line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	what.T, what.ID = now(), l.id.Load()
	text, _ := json.Marshal(what)
	l.out.Write(append(text, '\n'))
}

// Lease ids do not fit into a number of JavaScript.
func lease(id int64) string { return strconv.FormatInt(id, 10) }

// CLOCK_BOOTTIME in nanoseconds: it goes on while the machine is suspended.
func now() int64 {
	const clockBoottime = 7
	var t syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockBoottime, uintptr(unsafe.Pointer(&t)), 0)
	return t.Nano()
}
