//go:build cgo

package embedded

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"primacy.example/go"
	"primacy.example/go/etcdclient"
)

func start(t *testing.T) *embed.Etcd {
	t.Helper()
	t.Chdir(t.TempDir()) // its sockets are files here
	config := embed.NewConfig()
	config.Dir, config.LogLevel = "data", "error"
	config.EnableGRPCGateway = false // it connects to itself
	client, peer := []url.URL{parse(t, "unix://localhost:1")}, []url.URL{parse(t, "unix://localhost:2")}
	config.ListenClientUrls, config.AdvertiseClientUrls = client, client
	config.ListenPeerUrls, config.AdvertisePeerUrls = peer, peer
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	select {
	case <-etcd.Server.ReadyNotify():
	case <-time.After(time.Minute):
		t.Fatal("etcd is not ready")
	}
	return etcd
}

func sockets(t *testing.T) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, "socket:") {
			found = append(found, target)
		}
	}
	slices.Sort(found)
	return found
}

func TestTheClientOfAnEtcdInsideTheProcessCanBeLent(t *testing.T) {
	client := v3client.New(start(t).Server)
	defer client.Close()
	before := sockets(t)
	config := primacy.Config{
		Store:     etcdclient.New(client),
		TTL:       2 * time.Second,
		Candidate: primacy.Candidate{Address: "10.0.0.7:1", Version: "1.0.0"},
	}
	var sessions []*primacy.Session
	wins := make(chan primacy.Token, 9)
	losses := make(chan primacy.Lost, 9)
	var elections []*primacy.Election
	for range 2 {
		session, err := primacy.Open(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, session)
		defer session.Close(context.Background())
		election, err := session.Register("rootcoord")
		if err != nil {
			t.Fatal(err)
		}
		elections = append(elections, election)
		err = election.Campaign(primacy.Handlers{
			OnPrimary: func(_ context.Context, win primacy.Win) error {
				wins <- win.Token
				return nil
			},
			OnLost: func(_ context.Context, lost primacy.Lost) error {
				losses <- lost
				return nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	token := <-wins
	first := slices.IndexFunc(elections, func(e *primacy.Election) bool { return e.Token() == token })
	if _, err := elections[first].Commit(t.Context(), token, new(primacy.Txn).Put("x", []byte("y"))); err != nil {
		t.Error(err)
	}
	time.Sleep(3 * time.Second) // longer than its TTL
	if elections[first].Token() != token {
		t.Error("it has lost its lease")
	}
	if now := sockets(t); !slices.Equal(before, now) {
		t.Errorf("sockets: %v before, %v now", before, now)
	}
	if found, err := client.Get(t.Context(), "x"); err != nil || len(found.Kvs) != 1 {
		t.Error(found, err)
	}
	if err := sessions[first].Close(t.Context()); err != nil {
		t.Error(err)
	}
	if lost := <-losses; lost.Reason != primacy.Stopped {
		t.Error(lost.Reason)
	}
	if next := <-wins; next <= token {
		t.Error(next, "after", token)
	}
}

func parse(t *testing.T, text string) url.URL {
	t.Helper()
	parsed, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return *parsed
}
