//go:build linux

// The sample coordinator as a host that has an etcd client and lends it, for the suites that drive coordinators. It takes
// the sample's flags, and connects as Milvus does. What a coordinator looks like is better read in examples/coordinator.
package main

import (
	"context"
	"flag"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"primacy.example/go"
	"primacy.example/go/adapter"
	"primacy.example/go/etcdclient"
)

func main() {
	warmAfter := flag.Int("warm-after", 200, "how long a warm-up takes, in ms")
	activate := flag.Int("activate-ms", 0, "how long becoming primary takes, in ms; -1: for ever")
	lost := flag.Int("lost-ms", 0, "how long ceasing to be primary takes, in ms; -1: for ever")
	flag.Bool("blocking", false, "handlers block; in Go they always may, so it changes nothing")
	adapter.RunWith(lend, func(*primacy.Election) primacy.Handlers {
		warm := false // handlers of an election run one after the other, but for OnLost
		return primacy.Handlers{
			OnStandby: func(context.Context, primacy.Standby) error {
				warm = false
				return nil
			},
			OnWarmup: func(ctx context.Context) (primacy.Warm, error) {
				warm = warm || take(ctx, *warmAfter)
				return primacy.Warm(warm), nil
			},
			OnPrimary: func(ctx context.Context, _ primacy.Win) error {
				take(ctx, *activate)
				return nil
			},
			OnLost: func(ctx context.Context, _ primacy.Lost) error {
				take(ctx, *lost)
				return nil
			},
		}
	})
}

func lend(config *primacy.Config) error {
	set := config.Settings
	client := clientv3.Config{
		Endpoints:            config.Endpoints,
		DialTimeout:          5 * time.Second,
		DialKeepAliveTime:    2 * time.Second,
		DialKeepAliveTimeout: 2 * time.Second,
	}
	if set["etcd.auth.enabled"] == "true" {
		client.Username, client.Password = set["etcd.auth.userName"], set["etcd.auth.password"]
	}
	if set["etcd.ssl.enabled"] == "true" {
		tls, err := transport.TLSInfo{
			CertFile: set["etcd.ssl.tlsCert"], KeyFile: set["etcd.ssl.tlsKey"], TrustedCAFile: set["etcd.ssl.tlsCACert"],
		}.ClientConfig()
		if err != nil {
			return err
		}
		client.TLS = tls
	}
	connected, err := clientv3.New(client)
	if err != nil {
		return err
	}
	config.Store = etcdclient.New(connected)
	return nil
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
