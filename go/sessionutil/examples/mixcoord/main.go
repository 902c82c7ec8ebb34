// A MixCoord as Milvus writes one, on package sessionutil: all coordinators in one process, under one lock that holds the
// keys of rootcoord, datacoord and querycoord as well.
//
//	mixcoord --etcd localhost:2379 --root by-dev/meta --address 127.0.0.1:53100
//
// It says what it is on stdout, and ends on SIGTERM. When its place is lost it stops serving and stands by; with
// --exit-when-lost it ends, as Milvus does.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"primacy.example/go/sessionutil"
)

// What a MixCoord is made of. They share its session.
type coordinator struct {
	name    string
	session *sessionutil.Session
}

func (c *coordinator) start() { fmt.Println(c.name, "serves") }

// Stops with its session, as a coordinator of its own would: in MixCoord mode that leaves the session to the MixCoord.
func (c *coordinator) stop() {
	fmt.Println(c.name, "stops")
	c.session.Stop()
}

func main() {
	etcd := flag.String("etcd", "localhost:2379", "endpoints, comma-separated")
	root := flag.String("root", "by-dev/meta", "meta root")
	address := flag.String("address", "127.0.0.1:53100", "where clients reach it")
	ttl := flag.Int64("ttl", 10, "seconds")
	exitWhenLost := flag.Bool("exit-when-lost", false, "end when the place is lost, instead of standing by")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()

	client, err := clientv3.New(clientv3.Config{Endpoints: strings.Split(*etcd, ","), DialTimeout: 5 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	var coordinators []*coordinator
	loss := sessionutil.StandBy(func() { // nobody else has the place before this returns
		fmt.Println("lost")
		for _, c := range coordinators {
			c.stop()
		}
	})
	if *exitWhenLost {
		loss = sessionutil.Exit(1, func() { fmt.Println("ends") })
	}
	session := sessionutil.NewSessionWithEtcd(context.Background(), *root, client, loss, sessionutil.WithVersion("3.0.0"),
		sessionutil.WithTTL(*ttl))
	coordinators = []*coordinator{{"rootcoord", session}, {"datacoord", session}, {"querycoord", session}}
	session.Init("mixcoord", *address, true)
	session.SetEnableActiveStandBy(true)
	session.SetMixCoordMode(true)
	session.Register()

	// Called again, where the process goes on, when the place is won again.
	activate := func() error {
		for _, c := range coordinators {
			c.start()
		}
		fmt.Println("active")
		return nil
	}
	fmt.Println("standby")
	go func() {
		if err := session.ProcessActiveStandBy(activate); err != nil && ctx.Err() == nil {
			log.Fatal(err)
		}
	}()
	<-ctx.Done()
	for _, c := range coordinators {
		c.stop()
	}
	session.SetMixCoordMode(false)
	session.Stop()
	fmt.Println("stopped")
}
