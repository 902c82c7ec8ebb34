package sessionutil

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

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

// Waits until active; alone: for no longer than Milvus tries, where somebody else is.
func (s *Session) activate(activateFunc func() error, alone bool) error {
	s.mu.Lock()
	election := s.election
	if s.endWatch != nil {
		s.endWatch() // OnLost tells it from now on
	}
	s.mu.Unlock()
	type active struct {
		win primacy.Win
		err error
	}
	first := make(chan active, 1)
	var told sync.Once
	var failed atomic.Bool // the first: there is no second before this is called again
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
			switch {
			case s.ending.Load():
				return errEnding
			case failed.Load():
				return errFailed
			}
			s.registeredRevision.Store(int64(win.Token))
			s.disconnected.Store(false)
			s.mu.Lock()
			s.lost = false
			s.mu.Unlock()
			err := errors.New("activateFunc has not returned")
			defer func() {
				told.Do(func() {
					failed.Store(err != nil)
					first <- active{win, err}
				})
			}()
			err = nil
			if activateFunc != nil {
				err = errPanicked
				err = activateFunc()
			}
			return err
		},
		OnLost: func(ctx context.Context, lost primacy.Lost) error {
			s.tellLost(ctx, lost.Reason)
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
	var holder primacy.Standby
	var patience <-chan time.Time
	var ended error
	for ended == nil {
		select {
		case active := <-first:
			if active.err == nil {
				lease := clientv3.LeaseID(active.win.Lease)
				s.mu.Lock()
				s.LeaseID = &lease
				s.mu.Unlock()
				return nil
			}
			ended = active.err
		case holder = <-somebody:
			if patience == nil { // a predecessor that died has its place until its lease has run out
				patience = time.After(s.patience())
			}
		case <-patience:
			// By then it is known whether this server may become active at all.
			status, err := election.Wait(ctx, func(primacy.ElectionStatus) bool { return true })
			if err == nil && isOutdated(status) {
				ended = s.refused(status)
			} else {
				ended = fmt.Errorf("sessionutil: %s is active already: server %d at %q", s.ServerName, holder.HolderID,
					holder.HolderAddress)
			}
		case ended = <-outdated:
		case <-s.stopping:
			return fmt.Errorf("sessionutil: %w", cmp.Or[error](context.Cause(s.ctx), primacy.ErrStopped))
		case <-s.ctx.Done():
			ended = context.Cause(s.ctx)
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

var errFailed = errors.New("sessionutil: activateFunc has failed")

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
// With [StandBy], this session does not give the place back before callback has returned or has ended the process, at the
// latest after primacy.drain_timeout_ms; where it is lost already, see there. callback may call Stop, which takes effect when
// it has returned. With [Exit], the lease goes first, and callback has five seconds.
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
func (s *Session) tellLost(ctx context.Context, reason primacy.Reason) {
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
	isLoss := reason != primacy.ActivationFailed // which is told to who called ProcessActiveStandBy
	if isLoss && s.loss.exits {
		s.end(reason.String(), callback)
		return
	}
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		s.telling.Store(&telling{ctx, goroutine()})
		defer s.telling.Store(nil)
		if callback != nil {
			callback()
		}
		if isLoss {
			s.lose(reason.String())
		}
	}()
	<-returned
}

// The host is being told of a loss: by a handler of the library with this context, on this goroutine.
type telling struct {
	ctx       context.Context
	goroutine string
}

// What to end the session with. Who calls Stop while the host is told of a loss waits until that has returned, but for the
// host's function itself, for which the library begins when it has returned. That function gets no context to say so by,
// which leaves the goroutine.
func (s *Session) closing() context.Context {
	if now := s.telling.Load(); now != nil && now.goroutine == goroutine() {
		return context.WithoutCancel(now.ctx)
	}
	return context.Background()
}

// The number of this goroutine, with which a stack begins: "goroutine 7 [running]:".
func goroutine() string {
	var stack [64]byte
	return string(bytes.Fields(stack[:runtime.Stack(stack[:], false)])[1])
}

// For how long Milvus's own goes on trying to register where somebody else has the place: its pauses double from 200 ms up
// to 3 s.
func (s *Session) patience() time.Duration {
	times := cmp.Or(s.retryTimes, settingOf(s.config.Settings, "common.session.retryTimes"), defaultRetryTimes)
	var all time.Duration
	for n, pause := int64(1), 200*time.Millisecond; n < min(times, 1e6); n++ {
		all += pause
		pause = min(2*pause, 3*time.Second)
	}
	return all
}

// 0: not said, or no number.
func settingOf(settings map[string]string, name string) int64 {
	value, err := strconv.ParseInt(settings[name], 10, 64)
	if err != nil {
		return 0
	}
	return max(value, 0)
}
