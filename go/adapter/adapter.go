//go:build linux

// Package adapter makes of a service that is written with primacy's handlers a coordinator that primacy's fault kit can
// drive: docs/testing.md has its flags, its lines and its requests.
package adapter

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
	"sync/atomic"
	"syscall"
	"time"

	"primacy.example/go"
	"primacy.example/go/internal/contract"
)

const (
	stopTimeout   = 10 * time.Second
	retryInterval = 500 * time.Millisecond
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
	c.Out, os.Stdout = os.Stdout, os.Stderr
	if err := c.run(service); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
		os.Exit(1)
	}
	os.Exit(0)
}

type coordinator struct {
	etcd, address, version string
	ttl                    int
	settings               map[string]string
	roles                  []*role
	prepare                func(*primacy.Config) error

	contract.Coordinator
}

// A role that this process is a candidate for.
type role struct {
	contract.Role
	warming, warm atomic.Bool // in this standby period
}

func parse() *coordinator {
	c := &coordinator{settings: map[string]string{}}
	flag.StringVar(&c.etcd, "etcd", "localhost:2379", "endpoints of etcd, comma-separated")
	flag.StringVar(&c.Root, "root", "by-dev/meta", "meta root")
	flag.Func("role", "role to be a candidate for; may be repeated", func(name string) error {
		r := &role{Role: contract.Role{Name: name}}
		c.roles, c.Roles = append(c.roles, r), append(c.Roles, &r.Role)
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
	c.Say(contract.Line{Event: "listening", Address: c.address})
	go c.Serve(listener)

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
	c.Say(contract.Line{Event: "stopped"})
	return nil
}

// While etcd can not be reached, tries again until it is told to stop: then there is no session.
func (c *coordinator) open(stop context.Context) (*primacy.Session, error) {
	config := primacy.Config{
		Endpoints: strings.Split(c.etcd, ","),
		Root:      c.Root,
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
			c.ID.Store(session.ServerID())
			c.Session.Store(session)
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
		election, err := session.Register(r.Name)
		if err != nil {
			return fmt.Errorf("role %s: %w", r.Name, err)
		}
		r.Election.Store(election)
	}
	for _, r := range c.roles {
		election := r.Election.Load()
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
			c.Say(contract.Line{Role: r.Name, Event: event.Kind.String(), Token: event.Token})
		}
	}
}

// The service's own handlers, each of which says its line first.
func (c *coordinator) telling(r *role, own primacy.Handlers) primacy.Handlers {
	told := own
	told.OnStandby = func(ctx context.Context, standby primacy.Standby) error {
		r.warming.Store(false)
		r.warm.Store(false)
		c.Say(contract.Line{Role: r.Name, Event: "standby", Holder: standby.HolderID, Address: standby.HolderAddress})
		if own.OnStandby == nil {
			return nil
		}
		return own.OnStandby(ctx, standby)
	}
	told.OnWarmup = func(ctx context.Context) (primacy.Warm, error) {
		if !r.warming.Swap(true) {
			c.Say(contract.Line{Role: r.Name, Event: "warmup"})
		}
		warm, err := primacy.Warm(true), error(nil)
		if own.OnWarmup != nil {
			warm, err = own.OnWarmup(ctx)
		}
		if bool(warm) && err == nil && !r.warm.Swap(true) {
			c.Say(contract.Line{Role: r.Name, Event: "warm"})
		}
		return warm, err
	}
	if own.OnPrimary != nil {
		told.OnPrimary = func(ctx context.Context, win primacy.Win) error {
			r.Token.Store(int64(win.Token))
			c.Say(contract.Line{Role: r.Name, Event: "primary", Token: win.Token, Lease: contract.Lease(win.Lease)})
			return own.OnPrimary(ctx, win)
		}
	}
	if own.OnLost != nil {
		told.OnLost = func(ctx context.Context, lost primacy.Lost) error {
			c.Say(contract.Line{
				Role: r.Name, Event: "lost", Token: lost.Token, Lease: contract.Lease(lost.Lease), Reason: lost.Reason.String(),
			})
			return own.OnLost(ctx, lost)
		}
	}
	return told
}
