// Peer campaigns as etcd's own recipe does, clientv3/concurrency, and says on stdout what becomes of it: primary, lost.
// SIGTERM ends it: it resigns and closes its session. tests/latency.py sets it beside the sample coordinator.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

func main() {
	endpoints := flag.String("etcd", "", "endpoints, comma-separated")
	ttl := flag.Int("ttl", 10, "of the lease, in seconds")
	flag.Parse()
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	if err := run(stop, strings.Split(*endpoints, ","), *ttl); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func say(event string) {
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"t": time.Now().UnixNano(), "event": event})
}

func run(stop context.Context, endpoints []string, ttl int) error {
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints})
	if err != nil {
		return err
	}
	defer client.Close()
	session, err := concurrency.NewSession(client, concurrency.WithTTL(ttl))
	if err != nil {
		return err
	}
	defer session.Close()
	election := concurrency.NewElection(session, "election/rootcoord")
	say("campaign")
	if err := election.Campaign(stop, "candidate"); err != nil {
		return err
	}
	say("primary")
	select {
	case <-stop.Done():
		return election.Resign(context.Background())
	case <-session.Done():
		say("lost")
		return nil
	}
}
