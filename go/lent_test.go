//go:build cgo

package primacy

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"primacy.example/go/store"
)

// A store that does one thing, whatever it is asked.
type oneThing func(ctx context.Context) error

func (o oneThing) Grant(ctx context.Context, _, ttl int64) (int64, error) { return ttl, o(ctx) }
func (o oneThing) KeepAlive(ctx context.Context, _ int64) (store.Renewal, error) {
	return store.Renewal{}, o(ctx)
}
func (o oneThing) Revoke(ctx context.Context, _ int64) error { return o(ctx) }
func (o oneThing) Txn(ctx context.Context, _ store.Txn) (store.Answer, error) {
	return store.Answer{}, o(ctx)
}
func (o oneThing) Watch(ctx context.Context, _ []store.Range, _ store.Watcher) error { return o(ctx) }

// What a store does badly is told by the call that it spoils, and leaves nothing behind.
func TestALentStoreThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		store oneThing
		code  Code
		says  string
	}{
		"panics": {func(context.Context) error { panic("of its own") }, ErrUnreachable, "of its own"},
		"says what failed": {
			func(context.Context) error { return errors.Join(errors.New("etcd says no"), store.Denied) },
			ErrDenied, "etcd says no",
		},
		"does not say what failed": {
			func(context.Context) error { return errors.New("etcd says nothing") }, ErrUnreachable, "etcd says nothing",
		},
		"never answers": {
			func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, ErrUnreachable, "no",
		},
		"answers with nothing": {func(context.Context) error { return nil }, ErrUnreachable, "raft term"},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			config := Config{
				Store:     c.store,
				Settings:  map[string]string{"etcd.requestTimeout": "500"},
				Candidate: Candidate{Address: "10.0.0.7:1", Version: "1.0.0"},
			}
			began := time.Now()
			_, err := Open(t.Context(), config)
			if !errors.Is(err, c.code) || !strings.Contains(err.Error(), c.says) {
				t.Error(err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Error("after", took)
			}
			if _, err := Observe(t.Context(), config, "rootcoord"); err == nil {
				t.Error("an observer opened")
			}
		})
	}
}
