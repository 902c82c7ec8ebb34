package sessionutil

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"primacy.example/go"
)

// ProcessActiveStandBy waits, as a standby, until this server is active, runs activateFunc, which may be nil, and returns
// what it returned. Register comes first. Where a newer mixcoord has been active, which Milvus's version rule holds against
// an older one, it is an error that names both versions.
//
// When it fails, the place is given back, and this server takes no part until it is called again. When the place is lost
// later, what the construction says of that happens. activateFunc is called again only by a session that was made with
// [StandBy], at its next win; if it fails then, others go first and it is tried again.
func (s *Session) ProcessActiveStandBy(activateFunc func() error) error {
	if err := s.register(); err != nil {
		return err
	}
	return s.activate(activateFunc, false)
}

// ForceActiveStandby is ProcessActiveStandBy: it waits for its turn.
func (s *Session) ForceActiveStandby(activateFunc func() error) error {
	return s.ProcessActiveStandBy(activateFunc)
}

// Waits until active; alone: fails if somebody else is.
func (s *Session) activate(activateFunc func() error, alone bool) error {
	s.mu.Lock()
	election := s.election
	s.mu.Unlock()
	type active struct {
		win primacy.Win
		err error
	}
	first := make(chan active, 1)
	taken := make(chan primacy.Standby, 1)
	err := election.Campaign(primacy.Handlers{
		OnStandby: func(_ context.Context, standby primacy.Standby) error {
			select {
			case taken <- standby:
			default:
			}
			return nil
		},
		OnPrimary: func(ctx context.Context, win primacy.Win) error {
			if s.ending.Load() {
				return errEnding
			}
			s.registeredRevision.Store(int64(win.Token))
			s.disconnected.Store(false)
			s.mu.Lock()
			s.lost = false
			s.mu.Unlock()
			err := errors.New("activateFunc has not returned")
			defer func() {
				select {
				case first <- active{win, err}:
				default:
				}
			}()
			err = nil
			if activateFunc != nil {
				err = errPanicked
				err = activateFunc()
			}
			return err
		},
		OnLost: func(_ context.Context, lost primacy.Lost) error {
			s.tellLost(lost.Reason)
			return nil
		},
	})
	if err != nil {
		return err
	}
	var somebody <-chan primacy.Standby
	if alone {
		somebody = taken
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	outdated := make(chan error, 1)
	go func() {
		if status, err := election.Wait(ctx, isOutdated); err == nil {
			outdated <- s.refused(status)
		}
	}()
	var ended error
	for ended == nil {
		select {
		case active := <-first:
			if active.err == nil {
				lease := clientv3.LeaseID(active.win.Lease)
				s.LeaseID = &lease
				return nil
			}
			ended = active.err
		case standby := <-somebody:
			// By then it is known whether this server may become active at all.
			status, err := election.Wait(ctx, func(primacy.ElectionStatus) bool { return true })
			if err == nil && isOutdated(status) {
				ended = s.refused(status)
			} else {
				ended = fmt.Errorf("sessionutil: %s is active already: server %d at %q", s.ServerName, standby.HolderID,
					standby.HolderAddress)
			}
		case ended = <-outdated:
		case <-s.stopping:
			return fmt.Errorf("sessionutil: %w", primacy.ErrStopped)
		case <-s.ctx.Done():
			ended = s.ctx.Err()
		}
	}
	s.withdraw(election)
	return ended
}

// Why this server may not become active: the version rule says so. Waiting does not help: the version key outlives the
// one that wrote it.
func (s *Session) refused(status primacy.ElectionStatus) error {
	return fmt.Errorf("sessionutil: %s %s", s.ServerName, status.Trouble)
}

func isOutdated(status primacy.ElectionStatus) bool {
	return status.Obstacle == primacy.ObstacleOutdated
}

var errEnding = errors.New("sessionutil: the process ends, since its place was lost")

var errPanicked = errors.New("sessionutil: activateFunc panicked, or ended its goroutine")

// Takes no part any more. What runs has as long as the library's drain timeout.
func (s *Session) withdraw(election *primacy.Election) {
	s.mu.Lock()
	if s.election == election {
		s.election = nil
	}
	s.mu.Unlock()
	_ = election.Close(context.Background())
}

// LivenessCheck is 2.5's: it has callback called when this server has lost its place, before what the construction says of
// that, unless ctx is done or the session is being stopped by then: once; a server that goes on calls it again. It returns
// at once.
//
// The place is not given to anybody else before callback has returned, has ended the process, or has called Stop; at the
// latest after primacy.drain_timeout_ms.
func (s *Session) LivenessCheck(ctx context.Context, callback func()) {
	if callback == nil {
		return
	}
	call := func() {
		if ctx.Err() == nil {
			callback()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopped:
	case s.lost:
		s.lost = false
		go call()
	default:
		s.callback = call
	}
}

// Waits for no logger: the library says who won and lost, and why.
func (s *Session) tellLost(reason primacy.Reason) {
	s.disconnected.Store(true)
	s.mu.Lock()
	callback := s.callback
	s.callback = nil
	s.lost = callback == nil
	stopped := s.stopped
	s.mu.Unlock()
	if stopped {
		return
	}
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		if callback != nil {
			callback()
		}
		if reason != primacy.ActivationFailed { // which is told to who called ProcessActiveStandBy
			s.lose(reason.String())
		}
	}()
	select {
	case <-returned:
	case <-s.stopping: // by the callback, which waits for this
	}
}
