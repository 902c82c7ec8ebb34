package sessionutil

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/blang/semver/v4"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// SessionEventType is what happened to a session.
type SessionEventType int

// What happens to sessions.
const (
	// SessionNoneEvent is none.
	SessionNoneEvent SessionEventType = iota
	// SessionAddEvent: a record was put.
	SessionAddEvent
	// SessionDelEvent: a record was deleted.
	SessionDelEvent
	// SessionUpdateEvent: a record says that its server is going to stop.
	SessionUpdateEvent
)

// String returns its name.
func (t SessionEventType) String() string {
	switch t {
	case SessionAddEvent:
		return "SessionAddEvent"
	case SessionDelEvent:
		return "SessionDelEvent"
	case SessionUpdateEvent:
		return "SessionUpdateEvent"
	default:
		return ""
	}
}

// SessionEvent is what happened to a session.
type SessionEvent struct {
	EventType SessionEventType
	Session   *Session
}

// Rewatch gets all sessions there are after events were missed: etcd had compacted them away, or the watch had ended. An
// error ends the watch.
type Rewatch func(sessions map[string]*Session) error

// GetSessions returns the records whose keys begin with prefix, below the sessions' root, by the last part of their keys,
// and the revision to watch from. A value among them that is no record is an error, as in Milvus.
func (s *Session) GetSessions(ctx context.Context, prefix string) (map[string]*Session, int64, error) {
	return s.sessions(ctx, prefix, every)
}

// GetSessionsWithVersionRange is GetSessions, of servers whose versions are in r.
func (s *Session) GetSessionsWithVersionRange(prefix string, r semver.Range) (map[string]*Session, int64, error) {
	return s.sessions(s.ctx, prefix, func(session *Session) bool { return r(session.Version) })
}

func every(*Session) bool { return true }

func (s *Session) sessions(ctx context.Context, prefix string, fits func(*Session) bool) (map[string]*Session, int64,
	error) {
	if s.isRecord() {
		return nil, 0, errRecord
	}
	response, err := s.client.Get(ctx, s.key(prefix), clientv3.WithPrefix(),
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend))
	if err != nil {
		return nil, 0, err
	}
	found := make(map[string]*Session)
	for _, kv := range response.Kvs {
		session := &Session{}
		if err := session.UnmarshalJSON(kv.Value); err != nil {
			return nil, 0, fmt.Errorf("sessionutil: %s is no record of a session: %w", kv.Key, err)
		}
		if fits(session) {
			found[path.Base(string(kv.Key))] = session
		}
	}
	return found, response.Header.Revision, nil
}

// WatchServices tells what happens, from revision on, to records whose keys begin with prefix: ask GetSessions first, and
// watch from the revision after its. Where events were missed, rewatch, which may be nil, gets what is there.
func (s *Session) WatchServices(prefix string, revision int64, rewatch Rewatch) (watcher SessionWatcher) {
	return s.watch(prefix, revision, rewatch, every)
}

// WatchServicesWithVersionRange is WatchServices, of servers whose versions are in r.
func (s *Session) WatchServicesWithVersionRange(prefix string, r semver.Range, revision int64, rewatch Rewatch) (
	watcher SessionWatcher) {
	return s.watch(prefix, revision, rewatch, func(session *Session) bool { return r(session.Version) })
}

type watcher struct {
	session *Session
	ctx     context.Context
	cancel  context.CancelFunc
	prefix  string
	rewatch Rewatch
	fits    func(*Session) bool
	events  chan *SessionEvent
	ended   chan struct{}

	mu      sync.Mutex
	outside bool // in rewatch
}

func (s *Session) watch(prefix string, revision int64, rewatch Rewatch, fits func(*Session) bool) *watcher {
	w := &watcher{
		session: s, cancel: func() {}, prefix: prefix, rewatch: rewatch, fits: fits,
		events: make(chan *SessionEvent, 100), ended: make(chan struct{}),
	}
	if s.isRecord() {
		close(w.events)
		close(w.ended)
		return w
	}
	ctx, cancel := context.WithCancel(s.ctx)
	w.ctx, w.cancel = ctx, cancel
	s.mu.Lock()
	if s.watchers == nil {
		s.watchers = make(map[*watcher]struct{})
	}
	s.watchers[w] = struct{}{}
	s.mu.Unlock()
	go func() {
		defer close(w.ended)
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.watchers, w)
		}()
		defer close(w.events)
		defer cancel()
		w.run(revision)
	}()
	return w
}

// EventChannel is what a SessionWatcher has.
func (w *watcher) EventChannel() <-chan *SessionEvent { return w.events }

// Stop is what a SessionWatcher has.
func (w *watcher) Stop() { w.stop(context.Background()) }

func (w *watcher) stop(ctx context.Context) {
	w.cancel()
	w.mu.Lock()
	outside := w.outside
	w.mu.Unlock()
	if outside {
		return
	}
	select {
	case <-w.ended:
	case <-ctx.Done():
	}
}

// Calls rewatch, unless the watch has been stopped.
func (w *watcher) tellAll(sessions map[string]*Session) error {
	w.mu.Lock()
	w.outside = w.rewatch != nil && w.ctx.Err() == nil
	outside := w.outside
	w.mu.Unlock()
	if !outside {
		return w.ctx.Err()
	}
	err := w.rewatch(sessions)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outside = false
	return err
}

func (w *watcher) run(revision int64) {
	for w.ctx.Err() == nil {
		// A context of its own, so that a watch that failed is gone before the next begins.
		ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(w.ctx))
		next, compacted := w.follow(ctx, revision)
		cancel()
		revision = next
		if w.ctx.Err() != nil {
			return
		}
		if !compacted { // it goes on where it was
			select {
			case <-w.ctx.Done():
			case <-time.After(retryInterval):
			}
			continue
		}
		sessions, at, err := w.session.sessions(w.ctx, w.prefix, w.fits)
		if err != nil {
			w.session.logger.Warn("can not read sessions, trying again", "prefix", w.prefix, "error", err)
			select {
			case <-w.ctx.Done():
			case <-time.After(retryInterval):
			}
			continue
		}
		if err := w.tellAll(sessions); err != nil {
			w.session.logger.Warn("the watch of sessions ends", "prefix", w.prefix, "error", err)
			return
		}
		revision = at + 1
	}
}

// Tells events until the watch ends; returns where to go on, and whether etcd has forgotten what comes there.
func (w *watcher) follow(ctx context.Context, revision int64) (next int64, compacted bool) {
	next = revision
	watch := w.session.client.Watch(ctx, w.session.key(w.prefix), clientv3.WithPrefix(), clientv3.WithPrevKV(),
		clientv3.WithRev(revision))
	for response := range watch {
		if response.CompactRevision != 0 {
			return next, true
		}
		if err := response.Err(); err != nil {
			w.session.logger.Warn("a watch of sessions ended, beginning anew", "prefix", w.prefix, "error", err)
			return next, false
		}
		for _, event := range response.Events {
			if !w.tell(event) {
				return next, false
			}
		}
		if told := len(response.Events); told > 0 { // the header is of the whole etcd, and may be ahead of what was told
			next = response.Events[told-1].Kv.ModRevision + 1
		}
	}
	return next, false
}

func (w *watcher) tell(event *clientv3.Event) bool {
	told := &SessionEvent{EventType: SessionAddEvent, Session: &Session{}}
	kv := event.Kv
	if event.Type == mvccpb.DELETE {
		told.EventType = SessionDelEvent
		kv = event.PrevKv
	}
	if kv == nil { // etcd has forgotten what was deleted; its key tells who it was
		told.Session.ServerName, told.Session.ServerID = nameAndID(string(event.Kv.Key))
	} else if err := told.Session.UnmarshalJSON(kv.Value); err != nil {
		w.session.logger.Warn("no record of a session", "key", string(event.Kv.Key), "error", err)
		return true
	} else if !w.fits(told.Session) {
		return true
	}
	if told.EventType == SessionAddEvent && told.Session.Stopping {
		told.EventType = SessionUpdateEvent
	}
	select {
	case w.events <- told:
		return true
	case <-w.ctx.Done():
		return false
	}
}

func nameAndID(key string) (string, int64) {
	name := path.Base(key)
	if dash := strings.LastIndexByte(name, '-'); dash > 0 {
		if id, err := strconv.ParseInt(name[dash+1:], 10, 64); err == nil {
			return name[:dash], id
		}
	}
	return name, 0
}
