package etcdclient

import (
	"context"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A stream on which nothing was renewed for so long is ended.
const idleFor = time.Minute

// The streams of renewals. etcd serves a stream one request at a time, so none is on one that still waits for an answer:
// behind a member that hangs it would hang as well. One that has answered is used again: the client checks the user's
// password for each new one.
type renewals struct {
	leases pb.LeaseClient

	mu   sync.Mutex
	idle []*stream
}

type stream struct {
	pb.Lease_LeaseKeepAliveClient
	end  context.CancelFunc
	last *time.Timer
}

func (r *renewals) renew(ctx context.Context, lease int64) (*pb.LeaseKeepAliveResponse, error) {
	if idle := r.take(); idle != nil {
		// It may have ended meanwhile, by a token that ran out or a member that went.
		if response, err := r.on(ctx, idle, lease); err == nil || ctx.Err() != nil {
			return response, err
		}
	}
	life, end := context.WithCancel(clientv3.WithRequireLeader(context.Background()))
	opening := context.AfterFunc(ctx, end)
	opened, err := r.leases.LeaseKeepAlive(life)
	opening()
	if err != nil {
		end()
		return nil, err
	}
	return r.on(ctx, &stream{Lease_LeaseKeepAliveClient: opened, end: end}, lease)
}

// Renews on a stream, which is used again if it answers, and ended if not.
func (r *renewals) on(ctx context.Context, s *stream, lease int64) (*pb.LeaseKeepAliveResponse, error) {
	given := context.AfterFunc(ctx, s.end)
	_ = s.Send(&pb.LeaseKeepAliveRequest{ID: lease}) // why it could not be sent, Recv says
	response, err := s.Recv()
	if !given() || err != nil {
		s.end()
		return response, err
	}
	r.put(s)
	return response, nil
}

func (r *renewals) take() *stream {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.idle) > 0 {
		s := r.idle[len(r.idle)-1]
		r.idle = r.idle[:len(r.idle)-1]
		if s.last.Stop() {
			return s
		}
	}
	return nil
}

func (r *renewals) put(s *stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.last = time.AfterFunc(idleFor, s.end)
	r.idle = append(r.idle, s)
}
