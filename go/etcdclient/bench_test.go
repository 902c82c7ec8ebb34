//go:build cgo

package etcdclient

import (
	"context"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"primacy.example/go"
)

// From a resignation to the next one's OnPrimary, in turns on a client that is lent and on the library's own connections,
// so that both see the same machine.
func BenchmarkTakeover(b *testing.B) {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{server.Endpoint}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { client.Close() }) // after the sessions
	lending := newConfig(New(client))
	connecting := newConfig(nil)
	connecting.Endpoints = []string{server.Endpoint}
	pairs := []*pair{newPair(b, connecting), newPair(b, lending)}
	for b.Loop() {
		for _, pair := range pairs {
			pair.handOver(b)
		}
	}
	own, lent := pairs[0].median(), pairs[1].median()
	b.ReportMetric(own.Seconds()*1e3, "own-ms")
	b.ReportMetric(lent.Seconds()*1e3, "lent-ms")
	b.ReportMetric(lent.Seconds()/own.Seconds(), "lent/own")
}

// Two candidates of one role.
type pair struct {
	elections map[*primacy.Election]bool
	won       chan *primacy.Election
	primary   *primacy.Election
	took      []time.Duration
}

func newPair(b *testing.B, config primacy.Config) *pair {
	p := &pair{elections: map[*primacy.Election]bool{}, won: make(chan *primacy.Election, 9)}
	for range 2 {
		session, err := primacy.Open(b.Context(), config)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { session.Close(context.Background()) })
		election, err := session.Register("rootcoord")
		if err != nil {
			b.Fatal(err)
		}
		err = election.Campaign(primacy.Handlers{
			OnPrimary: func(context.Context, primacy.Win) error {
				p.won <- election
				return nil
			},
			OnLost: func(context.Context, primacy.Lost) error { return nil },
		})
		if err != nil {
			b.Fatal(err)
		}
		if p.primary == nil {
			p.primary = <-p.won
		}
		p.elections[election] = true
	}
	return p
}

func (p *pair) handOver(b *testing.B) {
	for election := range p.elections {
		if election != p.primary {
			p.await(b, election, func(s primacy.ElectionStatus) bool { return s.Warm && s.Holder != nil })
		}
	}
	p.await(b, p.primary, func(s primacy.ElectionStatus) bool { return s.State == primacy.ElectionPrimary })
	began := time.Now()
	go p.primary.Resign(context.Background())
	p.primary = <-p.won
	p.took = append(p.took, time.Since(began))
}

func (p *pair) await(b *testing.B, election *primacy.Election, reached func(primacy.ElectionStatus) bool) {
	if _, err := election.Wait(b.Context(), reached); err != nil {
		b.Fatal(err)
	}
}

func (p *pair) median() time.Duration {
	slices.Sort(p.took)
	return p.took[len(p.took)/2]
}
