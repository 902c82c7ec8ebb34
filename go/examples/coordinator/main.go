//go:build linux

// A sample coordinator: candidate for one or more roles, with a small TCP service.
//
//	coordinator --etcd localhost:2379 --role rootcoord --address 127.0.0.1:0
//
// It says on stdout what happens to it, one JSON object a line, and answers text lines on its port: `who ROLE`,
// `append ROLE TEXT` (a guarded write), `status`, `resign ROLE`, `transfer ROLE [ID]`. SIGTERM ends it cleanly.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"primacy.example/go"
	"primacy.example/go/internal/contract"
)

const (
	stopTimeout   = 10 * time.Second
	retryInterval = 500 * time.Millisecond
)

// What the flags say.
type options struct {
	etcd, root, address, version string
	names                        []string // of the roles
	ttl                          int
	warmAfter, activate, lost    int // milliseconds; -1: for ever
	settings                     map[string]string
}

// A role that this process is a candidate for.
type role struct {
	contract.Role
	mu            sync.Mutex
	warming, warm bool // in this standby period: asked to warm up, and has said that it is
}

type coordinator struct {
	options
	contract.Coordinator
	roles []*role
}

func parse() options {
	o := options{settings: map[string]string{}}
	flag.StringVar(&o.etcd, "etcd", "localhost:2379", "endpoints of etcd, comma-separated")
	flag.StringVar(&o.root, "root", "by-dev/meta", "meta root")
	flag.Func("role", "role to be a candidate for; may be repeated", func(name string) error {
		o.names = append(o.names, name)
		return nil
	})
	flag.StringVar(&o.address, "address", "", "HOST:PORT to serve at and to register; port 0: a free one")
	flag.IntVar(&o.ttl, "ttl", 10, "lease TTL to ask for, in seconds")
	flag.StringVar(&o.version, "version", primacy.Version(), "version to register")
	flag.IntVar(&o.warmAfter, "warm-after", 200, "how long a warm-up takes, in ms")
	flag.IntVar(&o.activate, "activate-ms", 0, "how long becoming primary takes, in ms; -1: for ever")
	flag.IntVar(&o.lost, "lost-ms", 0, "how long ceasing to be primary takes, in ms; -1: for ever")
	flag.Bool("blocking", false, "handlers block; in Go they always may, so it changes nothing")
	flag.Func("set", "NAME=VALUE of any setting; may be repeated", func(text string) error {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return errors.New("not NAME=VALUE")
		}
		o.settings[name] = value
		return nil
	})
	flag.Parse()
	if o.address == "" || len(o.names) == 0 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	return o
}

func main() {
	if err := run(parse()); err != nil {
		fmt.Fprintln(os.Stderr, "coordinator:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	c := &coordinator{options: o}
	c.Root, c.Out = o.root, os.Stdout
	for _, name := range o.names {
		r := &role{Role: contract.Role{Name: name}}
		c.roles, c.Roles = append(c.roles, r), append(c.Roles, &r.Role)
	}
	listener, err := c.listen()
	if err != nil {
		return err
	}
	defer listener.Close()
	c.Say(contract.Line{Event: "listening", Address: c.address})
	go c.Serve(listener)

	session, err := c.open(stop)
	if err != nil {
		return err
	}
	if session != nil {
		if err := c.campaign(session); err != nil {
			return err
		}
		<-stop.Done()
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := session.Close(ctx); err != nil {
			return err
		}
	}
	c.Say(contract.Line{Event: "stopped"})
	return nil
}

// Listens, and leaves in c.address where that really is.
func (c *coordinator) listen() (net.Listener, error) {
	listener, err := net.Listen("tcp", c.address)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(c.address)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return nil, err
	}
	c.address = net.JoinHostPort(host, port)
	return listener, nil
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
	for {
		session, err := primacy.Open(stop, config)
		switch {
		case err == nil:
			c.ID.Store(session.ServerID())
			c.Session.Store(session)
			return session, nil
		case stop.Err() != nil:
			return nil, nil
		case !primacy.MayPass(err):
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "coordinator: %v; trying again\n", err)
		select {
		case <-stop.Done():
			return nil, nil
		case <-time.After(retryInterval):
		}
	}
}

func (c *coordinator) campaign(session *primacy.Session) error {
	for _, r := range c.roles {
		election, err := session.Register(r.Name)
		if err != nil {
			return fmt.Errorf("role %s: %w", r.Name, err)
		}
		r.Election.Store(election)
	}
	for _, r := range c.roles {
		election := r.Election.Load()
		go c.follow(r, election.Events())
		if err := election.Campaign(c.handlers(r)); err != nil {
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
			c.Say(contract.Line{Role: r.Name, Event: event.Kind.String(), Token: event.Token})
		}
	}
}

func (c *coordinator) handlers(r *role) primacy.Handlers {
	return primacy.Handlers{
		OnStandby: func(ctx context.Context, standby primacy.Standby) error {
			r.mu.Lock()
			r.warming, r.warm = false, false
			r.mu.Unlock()
			c.Say(contract.Line{Role: r.Name, Event: "standby", Holder: standby.HolderID, Address: standby.HolderAddress})
			return nil
		},
		OnWarmup: func(ctx context.Context) (primacy.Warm, error) {
			r.mu.Lock()
			first, warm := !r.warming, r.warm
			r.warming = true
			r.mu.Unlock()
			if warm {
				return true, nil
			}
			if first {
				c.Say(contract.Line{Role: r.Name, Event: "warmup"})
			}
			if !take(ctx, c.warmAfter) {
				return false, nil
			}
			r.mu.Lock()
			r.warm = true
			r.mu.Unlock()
			c.Say(contract.Line{Role: r.Name, Event: "warm"})
			return true, nil
		},
		OnPrimary: func(ctx context.Context, win primacy.Win) error {
			r.Token.Store(int64(win.Token))
			c.Say(contract.Line{Role: r.Name, Event: "primary", Token: win.Token, Lease: contract.Lease(win.Lease)})
			take(ctx, c.activate)
			return nil
		},
		OnLost: func(ctx context.Context, lost primacy.Lost) error {
			c.Say(contract.Line{
				Role: r.Name, Event: "lost", Token: lost.Token, Lease: contract.Lease(lost.Lease), Reason: lost.Reason.String(),
			})
			take(ctx, c.lost)
			return nil
		},
	}
}

// Takes so many milliseconds (-1: for ever, whatever happens); false: cancelled before.
func take(ctx context.Context, ms int) bool {
	if ms < 0 {
		select {}
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Duration(ms) * time.Millisecond):
		return true
	}
}
