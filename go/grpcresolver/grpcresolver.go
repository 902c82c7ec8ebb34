// Package grpcresolver lets a gRPC client follow the primary of a role: each call goes to who is primary and ready, and to
// nobody else.
//
//	connection, err := grpc.NewClient("primacy:///rootcoord",
//		grpc.WithResolvers(grpcresolver.New(primacy.Config{Endpoints: endpoints, Root: "example/meta"})),
//		grpc.WithTransportCredentials(credentials))
//
// While nobody is ready, calls fail at once with codes.Unavailable; those with [grpc.WaitForReady] wait, as long as their
// context allows, for the next primary. A call that is under way when another becomes primary ends as it ends, on its old
// connection: only its server knows whether it was done, and it answers as a former primary does. Nothing is repeated here.
//
// Leave the choice of a balancer at gRPC's own, pick_first: there is only ever one address.
package grpcresolver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/resolver"
	"primacy.example/go"
)

// Scheme is that of the targets: primacy:///ROLE.
const Scheme = "primacy"

// How long after an etcd that could not be asked it is asked again.
const pause = time.Second

// New returns a builder for [grpc.WithResolvers], or for [resolver.Register] by a program with one etcd. Each connection
// has an observer of its own, with config, from [grpc.ClientConn.Connect] or its first call until it is closed or idle.
// config needs no candidate.
func New(config primacy.Config) resolver.Builder { return &builder{config} }

type builder struct{ config primacy.Config }

func (*builder) Scheme() string { return Scheme }

// Build never waits for etcd. What is wrong with role or config is told to each call, as codes.Unavailable.
func (b *builder) Build(target resolver.Target, connection resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	role := target.Endpoint()
	if role == "" || target.URL.Host != "" {
		return nil, fmt.Errorf("grpcresolver: the target is %q, not %s:///ROLE", target.URL.String(), Scheme)
	}
	ctx, stop := context.WithCancel(context.Background())
	f := &follower{config: b.config, role: role, connection: connection, stop: stop, stopped: make(chan struct{})}
	go func() {
		defer close(f.stopped)
		f.run(ctx)
	}()
	return f, nil
}

// A follower tells one connection who is primary.
type follower struct {
	config     primacy.Config
	role       string
	connection resolver.ClientConn
	addresses  []resolver.Address // as last told
	stop       context.CancelFunc
	stopped    chan struct{}
}

// ResolveNow has nothing to do: etcd tells of each change.
func (*follower) ResolveNow(resolver.ResolveNowOptions) {}

// Close waits until the observer is closed.
func (f *follower) Close() {
	f.stop()
	<-f.stopped
}

func (f *follower) run(ctx context.Context) {
	for {
		observer, err := primacy.Observe(ctx, f.config, f.role)
		if err == nil {
			f.follow(ctx, observer)
			_ = observer.Close()
			return
		}
		if ctx.Err() != nil {
			return
		}
		f.connection.ReportError(fmt.Errorf("who is primary of %s: %w", f.role, err))
		if !primacy.MayPass(err) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (f *follower) follow(ctx context.Context, observer *primacy.Observer) {
	for primary, _ := observer.Current(); ; {
		f.tell(primary)
		var err error
		if primary, err = observer.WaitForChange(ctx, primary); err != nil {
			return // closed: an observer itself never ends
		}
	}
}

// Whoever is not ready yet may still refuse: nobody is sent there.
func (f *follower) tell(primary primacy.Primary) {
	if primary.Ready {
		f.addresses = []resolver.Address{{Addr: primary.Address}}
		_ = f.connection.UpdateState(resolver.State{Addresses: f.addresses})
		return
	}
	if f.addresses != nil { // the balancer has to leave the old one, and has words of its own for the lack of any
		f.addresses = nil
		_ = f.connection.UpdateState(resolver.State{})
	}
	f.connection.ReportError(errors.New("nobody is primary and ready: " + f.role))
}
