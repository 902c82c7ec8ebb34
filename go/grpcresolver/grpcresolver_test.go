//go:build cgo

package grpcresolver_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"primacy.example/go"
	"primacy.example/go/grpcresolver"
	"primacy.example/go/internal/etcdtest"
	"primacy.example/go/internal/handle"
)

var etcd *etcdtest.Server

func TestMain(m *testing.M) {
	os.Exit(etcdtest.Main(m, handle.Live, func(server *etcdtest.Server) { etcd = server }))
}

// For what is only waited for, on a machine that may be busy.
const soon = 60 * time.Second

// A candidate serves, and refuses while it is not primary. Its answers bear the token that it served under.
type candidate struct {
	health.UnimplementedHealthServer
	election *primacy.Election
	won      chan win
	lost     chan struct{}
}

type win struct {
	token primacy.Token
	ready time.Time
}

func (c *candidate) Check(ctx context.Context, _ *health.HealthCheckRequest) (*health.HealthCheckResponse, error) {
	token := c.election.Token()
	if !c.election.IsPrimary() {
		return nil, status.Error(codes.FailedPrecondition, "not primary")
	}
	_ = grpc.SetHeader(ctx, metadata.Pairs("token", strconv.FormatInt(int64(token), 10)))
	return &health.HealthCheckResponse{Status: health.HealthCheckResponse_SERVING}, nil
}

// onPrimary ends when the candidate is ready to serve.
func stand(t *testing.T, root, role string, onPrimary func()) *candidate {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	session, err := primacy.Open(t.Context(), primacy.Config{
		Endpoints: []string{etcd.Endpoint},
		Root:      root,
		Candidate: primacy.Candidate{Address: listener.Addr().String(), Version: "3.0.0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close(context.Background()) })
	c := &candidate{won: make(chan win, 1000), lost: make(chan struct{}, 1000)}
	if c.election, err = session.Register(role); err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	health.RegisterHealthServer(server, c)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	err = c.election.Campaign(primacy.Handlers{
		OnWarmup: func(context.Context) (primacy.Warm, error) { return true, nil },
		OnPrimary: func(_ context.Context, w primacy.Win) error {
			onPrimary()
			c.won <- win{w.Token, time.Now()}
			return nil
		},
		OnLost: func(context.Context, primacy.Lost) error { c.lost <- struct{}{}; return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func next[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(soon):
		t.Fatalf("no %s within %v", what, soon)
		panic("unreachable")
	}
}

func connect(t *testing.T, target string, config primacy.Config) *grpc.ClientConn {
	t.Helper()
	connection, err := grpc.NewClient(target, grpc.WithResolvers(grpcresolver.New(config)),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

// One call; the token that it was served under.
func call(ctx context.Context, connection *grpc.ClientConn, options ...grpc.CallOption) (primacy.Token, error) {
	var header metadata.MD
	_, err := health.NewHealthClient(connection).Check(ctx, &health.HealthCheckRequest{}, append(options, grpc.Header(&header))...)
	if err != nil {
		return 0, err
	}
	token, err := strconv.ParseInt(header.Get("token")[0], 10, 64)
	return primacy.Token(token), err
}

// A hundred times the other one becomes primary while four clients call without a pause. Waits for real time.
func TestCallsFollowThePrimary(t *testing.T) {
	const failovers, clients = 100, 4
	config := primacy.Config{Endpoints: []string{etcd.Endpoint}, Root: "resolver/follow"}
	candidates := []*candidate{stand(t, config.Root, "rootcoord", func() {})}
	last := next(t, "win", candidates[0].won)
	candidates = append(candidates, stand(t, config.Root, "rootcoord", func() {}))
	connection := connect(t, "primacy:///rootcoord", config)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	type answer struct {
		begun, ended time.Time
		token        primacy.Token
		err          error
	}
	answers := make(chan answer, 64)
	var calling sync.WaitGroup
	for range clients {
		calling.Add(1)
		go func() {
			defer calling.Done()
			for ctx.Err() == nil {
				begun := time.Now()
				token, err := call(ctx, connection, grpc.WaitForReady(true))
				if ctx.Err() == nil {
					answers <- answer{begun, time.Now(), token, err}
				}
			}
		}()
	}
	// Everything that is answered until one is answered under token, that one being the last.
	until := func(token primacy.Token) (all []answer) {
		t.Helper()
		for len(all) == 0 || all[len(all)-1].token != token {
			all = append(all, next(t, fmt.Sprintf("call under %d", token), answers))
		}
		return all
	}
	until(last.token)
	var delays []time.Duration
	for i := range failovers {
		from, to := candidates[i%2], candidates[(i+1)%2]
		if err := from.election.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
		won := next(t, "win", to.won)
		next(t, "loss", from.lost)
		all := until(won.token)
		switched := all[len(all)-1].ended
		delays = append(delays, switched.Sub(won.ready))
		// From here on nobody is sent to whoever was primary before.
		for range 10 * clients {
			answer := next(t, "call", answers)
			if answer.begun.After(switched) && answer.token != won.token {
				t.Fatalf("failover %d: a call under %d (%v) after one under %d", i, answer.token, answer.err, won.token)
			}
		}
	}
	stop()
	go func() { calling.Wait(); close(answers) }()
	for range answers { // nobody waits to be heard
	}
	slices.Sort(delays)
	at := func(part float64) time.Duration {
		return delays[int(part*float64(len(delays)-1))].Round(time.Microsecond)
	}
	t.Logf("from ready to the first call: median %v, 90 %% %v, most %v", at(0.5), at(0.9), at(1))
	if at(0.9) > time.Second {
		t.Errorf("calls follow too late")
	}
}

func TestACallFailsAtOnceWhileNobodyIsReadyAndSaysWhy(t *testing.T) {
	config := primacy.Config{Endpoints: []string{etcd.Endpoint}, Root: "resolver/nobody"}
	refused := primacy.Config{Endpoints: []string{"127.0.0.1:1"}, Settings: map[string]string{"etcd.requestTimeout": "500"}}
	wrong := primacy.Config{Endpoints: []string{"no port"}}
	for _, c := range []struct {
		role   string
		config primacy.Config
		says   string
	}{
		{"rootcoord", config, "nobody is primary and ready: rootcoord"},
		{"root/coord", config, "who is primary of root/coord"},
		{"rootcoord", refused, "who is primary of rootcoord"},
		{"rootcoord", wrong, "no port"},
	} {
		_, err := call(t.Context(), connect(t, "primacy:///"+c.role, c.config))
		if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, not %q", c.role, err, c.says)
		}
	}
}

func TestNobodyIsSentToAPrimaryThatIsNotReadyAndWhoMayWaitIsServedThen(t *testing.T) {
	config := primacy.Config{Endpoints: []string{etcd.Endpoint}, Root: "resolver/wait"}
	begun, ready := make(chan struct{}), make(chan struct{})
	stand(t, config.Root, "rootcoord", func() { close(begun); <-ready })
	next(t, "OnPrimary", begun)
	connection := connect(t, "primacy:///rootcoord", config)
	if _, err := call(t.Context(), connection); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "nobody is primary and ready") {
		t.Errorf("a call before it is ready: %v", err)
	}
	served := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		_, err := call(ctx, connection, grpc.WaitForReady(true))
		served <- err
	}()
	close(ready)
	if err := next(t, "answer", served); err != nil {
		t.Fatal(err)
	}
}

func TestATargetThatNamesNoRole(t *testing.T) {
	for _, target := range []string{"primacy:///", "primacy://etcd:2379/rootcoord"} {
		_, err := call(t.Context(), connect(t, target, primacy.Config{}))
		if err == nil || !strings.Contains(err.Error(), "not primacy:///ROLE") {
			t.Errorf("%s: %v", target, err)
		}
	}
}
