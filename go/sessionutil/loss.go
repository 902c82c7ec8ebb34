package sessionutil

import (
	"os"
	"time"

	"primacy.example/go"
)

// ExitCodeEtcd is what the newest Milvus ends with when its session is lost; 2.6.13 and before it, 1.
const ExitCodeEtcd = 80

// How long an end waits for the lease to be revoked, as Milvus's own does.
const revokeTimeout = time.Second

var exit = os.Exit // of a test, something else

// A Loss is what it means to a server that its place is gone: that of an active coordinator, or the lease of a node,
// by which coordinators count on it. [Exit] or [StandBy]; there is no other, and no default.
type Loss struct {
	exits  bool
	code   int
	before func()
	told   func()
}

// Exit ends the process, as Milvus's own session does: the lease goes first, so that the next one need not wait for it,
// for which there is a second; then before is called, which may be nil and writes out what is in buffers; then the
// process exits with code. What follows before, such as deferred functions, does not run.
func Exit(code int, before func()) Loss { return Loss{exits: true, code: code, before: before} }

// StandBy calls stop, and goes on as a standby. stop ends what activateFunc began; nobody else becomes active before it has
// returned, for at most primacy.drain_timeout_ms. When the place is won again, the function that ProcessActiveStandBy was
// given is called again, in the same process: who asks for this says that it can be.
func StandBy(stop func()) Loss { return Loss{told: stop} }

func (l Loss) isSaid() bool { return l.exits || l.told != nil }

// The place is gone. Returns when the next one may have it.
func (s *Session) lose(reason string) {
	if !s.loss.exits {
		s.loss.told()
		return
	}
	if s.ending.Swap(true) {
		return
	}
	go func() { // the lease goes when this has returned
		s.logger.Error("the session is lost, the process ends", "role", s.ServerName, "server", s.ServerID, "reason", reason)
		s.Revoke(revokeTimeout)
		if s.loss.before != nil {
			s.loss.before()
		}
		exit(s.loss.code)
	}()
}

// A server that stands for no place is told by nobody that its lease is lost: it looks for itself.
func (s *Session) watchLease(session *primacy.Session, election *primacy.Election, record primacy.ElectionStatus) {
	held := s.LeaseID // nil: lost, and told so
	for {
		written := record.RecordRevision
		var err error
		record, err = election.Wait(s.ctx, func(e primacy.ElectionStatus) bool { return e.RecordRevision != written })
		if err != nil {
			return
		}
		status, err := session.Status()
		if err != nil {
			return
		}
		lease, err := leaseOf(status)
		switch {
		case err != nil:
			return
		case held == nil:
			held = lease
		case lease == nil || *lease != *held: // else the key alone was gone, and is written again
			held = lease
			s.tellLost(primacy.LeaseExpired)
		}
	}
}
