// Package etcdclient lends a host's own etcd client, go.etcd.io/etcd/client/v3, to package primacy: no other connection to
// etcd is opened then, and TLS, users, balancing and namespaces are the client's.
//
//	session, err := primacy.Open(ctx, primacy.Config{
//		Store:     etcdclient.New(client),
//		Root:      "by-dev/meta",
//		Candidate: primacy.Candidate{Address: "10.0.0.7:53100", Version: "3.0.0"},
//	})
//
// The client may be one of an etcd inside this process, as v3client.New makes it. It must outlive what is opened with it.
package etcdclient

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"unsafe"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"primacy.example/go/store"
)

type lent struct {
	client   *clientv3.Client
	leases   pb.LeaseClient
	renewals renewals
	err      error // there are none
}

// New returns the client as a store, for [primacy.Config]. One that can not be lent fails when it is asked, with a
// message that says why.
func New(client *clientv3.Client) store.Store {
	if client == nil {
		return &lent{err: fmt.Errorf("etcdclient: client is nil: %w", store.Refused)}
	}
	leases, err := leasesOf(client)
	return &lent{client: client, leases: leases, renewals: renewals{leases: leases}, err: err}
}

// The calls for leases as etcd has them. Those of [clientv3.Lease] can not choose a lease's id, by which a grant whose
// answer was lost is found again, and send renewals again and again by themselves.
func leasesOf(client *clientv3.Client) (pb.LeaseClient, error) {
	if connection := client.ActiveConnection(); connection != nil {
		return pb.NewLeaseClient(connection), nil
	}
	// The client of an etcd inside this process has no connection, and keeps what it calls instead to itself.
	lessor := reflect.Indirect(reflect.ValueOf(client.Lease))
	if lessor.Kind() == reflect.Struct {
		if remote := lessor.FieldByName("remote"); remote.IsValid() && remote.CanAddr() {
			remote = reflect.NewAt(remote.Type(), unsafe.Pointer(remote.UnsafeAddr())).Elem()
			if leases, ok := remote.Interface().(pb.LeaseClient); ok {
				return leases, nil
			}
		}
	}
	return nil, fmt.Errorf("etcdclient: the client has no connection, and its Lease is no lessor of clientv3's: %w", store.Refused)
}

func (s *lent) Grant(ctx context.Context, lease, ttl int64) (int64, error) {
	if s.err != nil {
		return 0, s.err
	}
	response, err := s.leases.LeaseGrant(clientv3.WithRequireLeader(ctx), &pb.LeaseGrantRequest{ID: lease, TTL: ttl})
	if err != nil {
		return 0, failed(err)
	}
	if response.ID != lease || response.Error != "" {
		return 0, fmt.Errorf("granted %d: %q: %w", response.ID, response.Error, store.Indefinite)
	}
	return response.TTL, nil
}

func (s *lent) KeepAlive(ctx context.Context, lease int64) (store.Renewal, error) {
	if s.err != nil {
		return store.Renewal{}, s.err
	}
	response, err := s.renewals.renew(ctx, lease)
	if err != nil {
		return store.Renewal{}, failed(err)
	}
	if response.ID != lease {
		return store.Renewal{}, fmt.Errorf("an answer for lease %d: %w", response.ID, store.Indefinite)
	}
	return store.Renewal{Header: header(response.Header), TTL: response.TTL}, nil
}

func (s *lent) Revoke(ctx context.Context, lease int64) error {
	if s.err != nil {
		return s.err
	}
	_, err := s.leases.LeaseRevoke(clientv3.WithRequireLeader(ctx), &pb.LeaseRevokeRequest{ID: lease})
	return failed(err)
}

func (s *lent) Txn(ctx context.Context, txn store.Txn) (store.Answer, error) {
	if s.err != nil {
		return store.Answer{}, s.err
	}
	var compares []clientv3.Cmp
	for _, compare := range txn.If {
		compares = append(compares, cmp(compare))
	}
	response, err := s.client.KV.Txn(clientv3.WithRequireLeader(ctx)).
		If(compares...).Then(ops(txn.Then)...).Else(ops(txn.Else)...).Commit()
	if err != nil {
		return store.Answer{}, failed(err)
	}
	answer := store.Answer{Header: header(response.Header), Succeeded: response.Succeeded}
	for _, response := range response.Responses {
		if found := response.GetResponseRange(); found != nil {
			var kvs []store.KeyValue
			for _, kv := range found.Kvs {
				kvs = append(kvs, keyValue(kv))
			}
			answer.Found = append(answer.Found, kvs)
		}
	}
	return answer, nil
}

// Each range is a watch of the client's, all of them on one of its streams. The client takes one up again by itself where
// it left off when a connection breaks, so nothing is missed; what it can not take up again ends all of them.
func (s *lent) Watch(ctx context.Context, ranges []store.Range, watcher store.Watcher) error {
	if s.err != nil {
		return s.err
	}
	ctx, end := context.WithCancel(clientv3.WithRequireLeader(ctx))
	var watches sync.WaitGroup
	defer watches.Wait()
	defer end()
	created := make(chan struct{}, len(ranges))
	ended := make(chan error, len(ranges))
	for _, r := range ranges {
		watches.Add(1)
		go func() {
			defer watches.Done()
			ended <- s.watch(ctx, r, watcher, created)
		}()
	}
	for range ranges {
		select {
		case <-created:
		case err := <-ended:
			return err
		}
	}
	watcher.Confirmed()
	return <-ended
}

func (s *lent) watch(ctx context.Context, r store.Range, watcher store.Watcher, created chan<- struct{}) error {
	options := append(within(r), clientv3.WithCreatedNotify())
	for response := range s.client.Watcher.Watch(ctx, r.Key, options...) {
		if err := response.Err(); err != nil {
			return err
		}
		if response.Created {
			created <- struct{}{}
		}
		var events []store.KeyValue
		for _, event := range response.Events {
			kv := keyValue(event.Kv)
			if event.Type == mvccpb.DELETE {
				kv = store.KeyValue{Key: kv.Key, ModRevision: kv.ModRevision}
			}
			events = append(events, kv)
		}
		if len(events) > 0 {
			watcher.Events(events)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return fmt.Errorf("the client's watch ended: %w", store.Unreachable)
}

func cmp(compare store.Compare) clientv3.Cmp {
	var made clientv3.Cmp
	switch key := compare.Range.Key; compare.Target {
	case store.ModRevision:
		made = clientv3.Compare(clientv3.ModRevision(key), "=", compare.Number)
	case store.Value:
		made = clientv3.Compare(clientv3.Value(key), "=", string(compare.Value))
	case store.Lease:
		made = clientv3.Compare(clientv3.LeaseValue(key), "=", compare.Number)
	default:
		made = clientv3.Compare(clientv3.Version(key), "=", compare.Number)
	}
	if compare.Range.End != "" {
		made = made.WithRange(compare.Range.End)
	}
	return made
}

func ops(of []store.Op) []clientv3.Op {
	var made []clientv3.Op
	for _, op := range of {
		switch op.Kind {
		case store.Put:
			made = append(made, clientv3.OpPut(op.Range.Key, string(op.Value), clientv3.WithLease(clientv3.LeaseID(op.Lease))))
		case store.Delete:
			made = append(made, clientv3.OpDelete(op.Range.Key))
		default:
			made = append(made, clientv3.OpGet(op.Range.Key, within(op.Range)...))
		}
	}
	return made
}

func within(r store.Range) []clientv3.OpOption {
	if r.End == "" {
		return nil
	}
	return []clientv3.OpOption{clientv3.WithRange(r.End)}
}

func header(of *pb.ResponseHeader) store.Header {
	return store.Header{ClusterID: of.GetClusterId(), RaftTerm: of.GetRaftTerm(), Revision: of.GetRevision()}
}

func keyValue(kv *mvccpb.KeyValue) store.KeyValue {
	return store.KeyValue{
		Key:            string(kv.Key),
		Value:          kv.Value,
		CreateRevision: kv.CreateRevision,
		ModRevision:    kv.ModRevision,
		Version:        kv.Version,
		Lease:          kv.Lease,
	}
}
