//go:build cgo

package sessionutil_test

import (
	"context"
	"fmt"
	"log"

	clientv3 "go.etcd.io/etcd/client/v3"
	"primacy.example/go/sessionutil"
)

// A coordinator as Milvus writes one. What is new is the construction: what losing means, and the version.
func Example() {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{sessionutil.Endpoint()}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	// The place was lost. It is not given back before this returns; where the lease has run out somebody may have it already,
	// so what is written here is written under the token. sessionutil.Exit(1, nil) would end the process instead.
	loss := sessionutil.StandBy(func() { fmt.Println("stops serving") })
	session := sessionutil.NewSessionWithEtcd(ctx, "session-example/meta", client, loss, sessionutil.WithVersion("3.0.0"))
	session.Init("mixcoord", "10.0.0.7:53100", true)
	session.SetEnableActiveStandBy(true)
	session.Register()
	err = session.ProcessActiveStandBy(func() error { // at each win
		fmt.Println("active; by the clock:", session.Election().IsPrimary())
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	session.Stop()
	// Output: active; by the clock: true
}

// What follows other servers.
func ExampleSession_WatchServices() {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{sessionutil.Endpoint()}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	loss := sessionutil.Exit(1, nil)
	session := sessionutil.NewSessionWithEtcd(ctx, "watch-example/meta", client, loss, sessionutil.WithVersion("3.0.0"))
	defer session.Stop()
	found, revision, err := session.GetSessions(ctx, "querynode")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("query nodes:", len(found))
	watcher := session.WatchServices("querynode", revision+1, func(all map[string]*sessionutil.Session) error {
		return nil // events were missed: this is who is there
	})
	_, err = client.Put(ctx, "watch-example/meta/session/querynode-7", `{"ServerID":7,"Version":"3.0.0"}`)
	if err != nil {
		log.Fatal(err)
	}
	event := <-watcher.EventChannel()
	fmt.Println(event.EventType, event.Session.ServerID)
	watcher.Stop()
	// Output:
	// query nodes: 0
	// SessionAddEvent 7
}
