package etcdclient

import (
	"context"
	"io"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// Lease calls whose streams answer as they are told to, and then not at all.
type told struct {
	pb.LeaseClient
	answers [][]error
	streams []*toldStream
}

type toldStream struct {
	pb.Lease_LeaseKeepAliveClient
	ctx     context.Context
	asked   chan int64
	answers []error
}

func (c *told) LeaseKeepAlive(ctx context.Context, _ ...grpc.CallOption) (pb.Lease_LeaseKeepAliveClient, error) {
	opened := &toldStream{ctx: ctx, asked: make(chan int64, 9), answers: c.answers[len(c.streams)]}
	c.streams = append(c.streams, opened)
	return opened, nil
}

func (s *toldStream) Send(request *pb.LeaseKeepAliveRequest) error {
	s.asked <- request.ID
	return nil
}

func (s *toldStream) Recv() (*pb.LeaseKeepAliveResponse, error) {
	if len(s.answers) == 0 {
		<-s.ctx.Done()
		return nil, s.ctx.Err()
	}
	err := s.answers[0]
	s.answers = s.answers[1:]
	return &pb.LeaseKeepAliveResponse{}, err
}

func TestARenewalIsOnAStreamThatHasAnsweredAndNeverBehindOneThatWaits(t *testing.T) {
	client := &told{answers: [][]error{{nil, nil, io.EOF}, {nil}, {nil, nil}}}
	r := &renewals{leases: client}
	renewed := func(streams int) {
		t.Helper()
		if _, err := r.renew(t.Context(), 7); err != nil || len(client.streams) != streams {
			t.Fatal(len(client.streams), "streams, not", streams, err)
		}
	}
	ended := func(stream int) {
		t.Helper()
		if client.streams[stream].ctx.Err() == nil {
			t.Error(stream, "was not ended")
		}
	}
	renewed(1)
	renewed(1)
	renewed(2) // the first has ended
	ended(0)

	<-client.streams[1].asked
	ctx, cancel := context.WithCancel(t.Context())
	waits := make(chan error)
	go func() {
		_, err := r.renew(ctx, 8)
		waits <- err
	}()
	<-client.streams[1].asked
	renewed(3)
	cancel()
	if err := <-waits; err == nil {
		t.Error("it was answered")
	}
	ended(1)
	renewed(3)
	if client.streams[2].ctx.Err() != nil {
		t.Error("ended, though it answers")
	}
}
