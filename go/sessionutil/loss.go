package sessionutil

import (
	"context"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"primacy.example/go"
)

// ExitCodeEtcd is what the newest Milvus ends with when its session is lost; 2.6.13 and before it, 1.
const ExitCodeEtcd = 80

// How long an end waits: for the lease to be revoked, and for what the host has left to do.
const (
	revokeTimeout = time.Second
	beforeTimeout = 5 * time.Second
)

var exit = os.Exit // of a test, something else

// A Loss is what it means to a server that its place is gone: that of an active coordinator, or the lease of a node,
// by which coordinators count on it. [Exit] or [StandBy]; there is no other, and no default.
type Loss struct {
	exits  bool
	code   int
	before func()
	told   func()
}

// Exit ends the process, as Milvus's own session does, and, unlike that, revokes the lease first, so that the next one need
// not wait for it: for a second at most. Then before is called, which may be nil and writes out what is in buffers: for five
// seconds at most. Then the process exits with code, whatever the host's functions do. Deferred functions do not run.
func Exit(code int, before func()) Loss { return Loss{exits: true, code: code, before: before} }

// StandBy calls stop, and goes on as a standby. stop ends what activateFunc began. This session does not give the lock back
// before it has returned, for at most primacy.drain_timeout_ms; but where the lease has run out, or the lock was deleted or
// taken, it is not this session's any more, and somebody else may become active meanwhile. So what stop still writes is
// written under the token of the win ([primacy.Election.Commit], etcdfence), which etcd refuses then. When the place is won
// again, the function that ProcessActiveStandBy was given is called again, in the same process: who asks for this says that
// it can be. stop may call Stop.
func StandBy(stop func()) Loss { return Loss{told: stop} }

func (l Loss) isSaid() bool { return l.exits || l.told != nil }

// The place is gone. Returns when the next one may have it.
func (s *Session) lose(reason string) {
	if s.loss.exits {
		s.end(reason, nil)
	} else {
		s.loss.told()
	}
}

// Ends the process, and waits for none of it: the lease goes when this has returned. No function of the host, its logger
// included, comes before that, or can hold up the exit.
func (s *Session) end(reason string, callback func()) {
	if s.ending.Swap(true) {
		return
	}
	go func() {
		within(revokeTimeout, func() {
			logged := make(chan struct{})
			go func() {
				defer close(logged)
				s.logger.Error("the session is lost, the process ends", "role", s.ServerName, "server", s.ServerID,
					"reason", reason)
			}()
			s.Revoke(revokeTimeout)
			<-logged
		})
		within(beforeTimeout, callback)
		within(beforeTimeout, s.loss.before)
		exit(s.loss.code)
	}()
}

func within(limit time.Duration, call func()) {
	if call == nil {
		return
	}
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		call()
	}()
	select {
	case <-returned:
	case <-time.After(limit):
	}
}

// A server that stands for no place is told by nobody that its lease is lost: it looks for itself. held is what the record
// was written under; ctx ends when the server stands for a place.
func (s *Session) watchLease(ctx context.Context, session *primacy.Session, election *primacy.Election,
	written int64, held *clientv3.LeaseID) {
	for { // held is nil: lost, and told so
		record, err := election.Wait(ctx, func(e primacy.ElectionStatus) bool { return e.RecordRevision != written })
		if err != nil {
			return
		}
		written = record.RecordRevision
		status, err := session.Status()
		if err != nil {
			return
		}
		lease, err := leaseOf(status)
		switch {
		case err != nil || ctx.Err() != nil:
			return
		case held == nil:
			held = lease
		case lease == nil || *lease != *held: // else the key alone was gone, and is written again
			held = lease
			s.tellLost(ctx, primacy.LeaseExpired)
		}
	}
}
