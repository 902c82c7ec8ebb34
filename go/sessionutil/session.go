package sessionutil

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/blang/semver/v4"
	clientv3 "go.etcd.io/etcd/client/v3"
	"primacy.example/go"
)

const (
	// DefaultServiceRoot is where sessions are, below the meta root.
	DefaultServiceRoot = "session/"
	// DefaultIDKey is the key of the next server id.
	DefaultIDKey = "id"

	mixCoordRole  = "mixcoord"
	retryInterval = 500 * time.Millisecond
	stopTimeout   = 10 * time.Second
	recordTimeout = 10 * time.Second // for a record that is to be rewritten

	defaultRetryTimes = 30 // as in Milvus
)

// Session is a server's session: its record in etcd and, of a coordinator, its part in the election.
type Session struct {
	SessionRaw
	Version semver.Version `json:"Version,omitempty"`

	ctx    context.Context
	cancel context.CancelFunc
	config primacy.Config
	client *clientv3.Client
	logger *slog.Logger
	root   string

	standby  bool // ProcessActiveStandBy is going to be called
	mixCoord atomic.Bool
	loss     Loss
	ending   atomic.Bool // the process is
	ids      nodeIDs
	telling  atomic.Pointer[telling]

	retryTimes int64 // 0: not said

	opened, registered, disconnected atomic.Bool
	registeredRevision               atomic.Int64

	mu       sync.Mutex
	failed   error // of Init
	absent   error // of Register
	session  *primacy.Session
	election *primacy.Election
	endWatch context.CancelFunc // of the lease
	callback func()             // of LivenessCheck
	lost     bool               // and nobody has been told
	stopping chan struct{}      // closed when Stop begins
	stopped  bool
	watchers map[*watcher]struct{}
}

// A session that GetSessions or an event brought is what etcd says of a server: there is nothing to end, and nothing to
// ask etcd with.
func (s *Session) isRecord() bool { return s == nil || s.client == nil }

var errRecord = errors.New("sessionutil: not a session of this process: NewSession makes one")

// SessionOption changes what a session is made of.
type SessionOption func(session *Session)

// WithTTL asks for a lease of so many seconds.
func WithTTL(ttl int64) SessionOption {
	return func(s *Session) { s.config.TTL = time.Duration(ttl) * time.Second }
}

// WithRetryTimes says how long a server without a standby waits in Register for a place that somebody else has, such as its
// predecessor that died: as long as Milvus's own takes for so many tries, with pauses that double from 200 ms up to 3 s. It
// goes before common.session.retryTimes; without either, it is 30, which is 78 s. What can pass, such as an etcd that does
// not answer, is tried again for as long as the session's context is good, whatever this says.
func WithRetryTimes(times int64) SessionOption {
	return func(s *Session) { s.retryTimes = max(times, 1) }
}

// WithIndexEngineVersion sets what the record says of index versions. Milvus 2.5 to 2.6.12 has two of them, later ones a
// maximum as well.
func WithIndexEngineVersion(minimal, current int32, maximum ...int32) SessionOption {
	return func(s *Session) { s.IndexEngineVersion = indexVersion(minimal, current, maximum) }
}

// WithScalarIndexEngineVersion sets what the record says of versions of scalar indexes.
func WithScalarIndexEngineVersion(minimal, current int32, maximum ...int32) SessionOption {
	return func(s *Session) { s.ScalarIndexEngineVersion = indexVersion(minimal, current, maximum) }
}

func indexVersion(minimal, current int32, maximum []int32) IndexEngineVersion {
	version := IndexEngineVersion{MinimalIndexVersion: minimal, CurrentIndexVersion: current}
	if len(maximum) > 0 {
		version.MaximumIndexVersion = maximum[0]
	}
	return version
}

// WithIndexNonEncoding sets what the record says of it.
func WithIndexNonEncoding() SessionOption {
	return func(s *Session) { s.IndexNonEncoding = true }
}

// WithVersion sets the server's version, which in Milvus is common.Version. Init fails without one.
func WithVersion(version string) SessionOption {
	return func(s *Session) { s.config.Candidate.Version = version }
}

// WithConfig sets the rest of the library's configuration: TLS, user and password, timings, a logger. Endpoints and
// Root that are empty in it stay as they are.
func WithConfig(config primacy.Config) SessionOption {
	return func(s *Session) {
		before := s.config
		s.config = config
		if len(config.Endpoints) == 0 {
			s.config.Endpoints = before.Endpoints
		}
		if config.Root == "" {
			s.config.Root = before.Root
		}
		if config.TTL == 0 {
			s.config.TTL = before.TTL
		}
		if config.Candidate.Version == "" {
			s.config.Candidate.Version = before.Candidate.Version
		}
	}
}

// NewSession makes a session for the etcd that config names; client is one of the same etcd, for reading and watching
// other servers. loss is what the server does when its place is gone. When ctx is done the session ends, as by Stop, also in
// MixCoord mode, and that is no loss. It asks etcd nothing yet. Nil: there is no client.
func NewSession(ctx context.Context, config primacy.Config, client *clientv3.Client, loss Loss, opts ...SessionOption) *Session {
	if client == nil {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	s := &Session{ctx: ctx, config: config, client: client, loss: loss, stopping: make(chan struct{})}
	s.cancel = func() { cancel(primacy.ErrStopped) }
	s.registeredRevision.Store(-1)
	s.ids.reuse = true
	for _, opt := range opts {
		opt(s)
	}
	if s.config.Root == "" {
		s.config.Root = "by-dev/meta"
	}
	s.root = path.Clean(s.config.Root)
	s.config.Root = s.root
	s.logger = s.config.Logger
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	s.Version, _ = semver.Parse(s.config.Candidate.Version) // Init says so if it is none
	s.HostName, _ = os.Hostname()
	context.AfterFunc(ctx, func() {
		if !errors.Is(context.Cause(ctx), primacy.ErrStopped) { // else it is by Revoke that it is done
			s.Revoke(stopTimeout)
		}
	})
	return s
}

// NewSessionWithEtcd makes a session for the etcd that client talks to, as far as a client tells: endpoints, user and
// password. Where it uses TLS, [WithConfig] must say so. loss is what the server does when its place is gone. It asks etcd
// nothing yet. Nil: there is no client.
func NewSessionWithEtcd(ctx context.Context, metaRoot string, client *clientv3.Client, loss Loss, opts ...SessionOption) *Session {
	if client == nil {
		return nil
	}
	config := primacy.Config{Endpoints: client.Endpoints(), Root: metaRoot}
	if client.Username != "" {
		config.Settings = map[string]string{
			"etcd.auth.enabled": "true", "etcd.auth.userName": client.Username, "etcd.auth.password": client.Password,
		}
	}
	return NewSession(ctx, config, client, loss, opts...)
}

// Init says who this server is, connects to etcd, and takes a server id. It tries again for as long as that can help and
// the session's context is good. Why it failed is logged and kept: Register and ProcessActiveStandBy fail with it, and
// [Session.Err] says it. triggerKill is 2.x's: the record has it where it is true.
func (s *Session) Init(serverName, address string, exclusive bool, triggerKill ...bool) {
	if s.isRecord() {
		return
	}
	err := s.init(serverName, address, exclusive, triggerKill)
	if err != nil {
		s.logger.Error("no session", "role", serverName, "address", address, "error", err)
		err = fmt.Errorf("sessionutil: Init failed: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = err
}

// Err is why Init or Register failed, whichever was called last; nil: it has not.
func (s *Session) Err() error {
	if s.isRecord() {
		return errRecord
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return cmp.Or(s.failed, s.absent)
}

func (s *Session) init(serverName, address string, exclusive bool, triggerKill []bool) error {
	if s.opened.Load() {
		return errors.New("it was called before, and succeeded")
	}
	if !s.loss.isSaid() {
		return errors.New("what a loss means is not said: give NewSession Exit or StandBy")
	}
	if _, err := semver.Parse(s.config.Candidate.Version); err != nil {
		return fmt.Errorf("version %q (see WithVersion): %w", s.config.Candidate.Version, err)
	}
	s.ServerName, s.Address, s.Exclusive = serverName, address, exclusive
	s.SessionRaw.Version = s.Version.String()
	s.ServerLabels = GetServerLabelsFromEnv(serverName)
	candidate := &s.config.Candidate
	candidate.Address, candidate.HostName, candidate.ServerLabels = address, s.HostName, s.ServerLabels
	candidate.Version, candidate.AnyAddress = s.SessionRaw.Version, primacy.Yes
	candidate.Exclusive = choice(exclusive)
	if len(triggerKill) > 0 && triggerKill[0] {
		s.TriggerKill, candidate.TriggerKill = true, primacy.Yes
	}
	if s.IndexNonEncoding {
		candidate.IndexNonEncoding = primacy.Yes
	}
	candidate.IndexEngineVersion = text(s.IndexEngineVersion)
	candidate.ScalarIndexEngineVersion = text(s.ScalarIndexEngineVersion)
	for {
		session, err := s.open()
		if err == nil {
			return s.use(session)
		}
		if s.ctx.Err() != nil || !primacy.MayPass(err) {
			return err
		}
		s.logger.Warn("no session yet, trying again", "role", serverName, "error", err)
		select {
		case <-s.ctx.Done():
			return err
		case <-time.After(retryInterval):
		}
	}
}

func (s *Session) use(session *primacy.Session) error {
	s.mu.Lock()
	stopped := s.stopped
	if !stopped {
		s.session, s.ServerID = session, session.ServerID()
	}
	s.mu.Unlock()
	if !stopped {
		s.opened.Store(true)
		return nil
	}
	// Stop came before there was anything to end, and ended nothing.
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	_ = session.Close(ctx)
	return fmt.Errorf("sessionutil: %w", primacy.ErrStopped)
}

func choice(yes bool) primacy.Choice {
	if yes {
		return primacy.Yes
	}
	return primacy.No
}

func text(version IndexEngineVersion) string {
	made, _ := json.Marshal(version)
	return string(made)
}

// String describes it, for logs.
func (s *Session) String() string {
	return fmt.Sprintf("Session:<ServerID: %d, ServerName: %s, Version: %s>", s.ServerID, s.ServerName, s.Version)
}

// Register puts the server's record into etcd and waits until it is there. It does not campaign; but one that is exclusive
// and has no standby takes the place right away, and so does any mixcoord without one. Where it fails, which is logged and
// kept as that of Init is, a server without a standby has lost: what the construction says of that happens.
func (s *Session) Register() {
	if s.isRecord() {
		return
	}
	err := s.registerAlone()
	s.mu.Lock()
	s.absent = err
	stopped := s.stopped
	s.mu.Unlock()
	if err == nil {
		s.registered.Store(true)
		return
	}
	s.logger.Error("not registered", "role", s.ServerName, "server", s.ServerID, "error", err)
	if !s.standby && !stopped && s.loss.isSaid() {
		s.lose(err.Error())
	}
}

func (s *Session) registerAlone() error {
	if err := s.register(); err != nil {
		return err
	}
	if !s.standby && (s.Exclusive || s.ServerName == mixCoordRole) {
		return s.activate(nil, true)
	}
	return nil
}

func (s *Session) register() error {
	s.mu.Lock()
	session, failed, done := s.session, s.failed, s.election != nil
	s.mu.Unlock()
	switch {
	case failed != nil:
		return failed
	case s.isRecord():
		return errRecord
	case session == nil:
		return errors.New("sessionutil: Init has not been called")
	case done:
		return nil
	}
	election, err := session.Register(s.ServerName)
	if err != nil {
		return err
	}
	written, lease, err := s.written(election)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(s.ctx)
	s.mu.Lock()
	s.election, s.LeaseID, s.endWatch = election, &lease, cancel
	s.mu.Unlock()
	if !s.Exclusive {
		s.registeredRevision.Store(written)
		go s.watchLease(ctx, session, election, written, &lease)
	}
	return nil
}

// Waits for the record; returns its revision, and the lease that it was written under, which etcd knows: the one that the
// session has by now may be another.
func (s *Session) written(election *primacy.Election) (revision int64, lease clientv3.LeaseID, err error) {
	for {
		record, err := s.awaitRecord(s.ctx, election, func(e primacy.ElectionStatus) bool {
			return e.RecordRevision != 0 && e.RecordRevision != revision
		})
		if err != nil {
			return 0, 0, err
		}
		revision = record.RecordRevision
		response, err := s.client.Get(s.ctx, s.key(fmt.Sprintf("%s-%d", s.ServerName, s.ServerID)))
		if err != nil {
			return 0, 0, fmt.Errorf("sessionutil: the record is not read: %w", err)
		}
		if len(response.Kvs) == 1 && response.Kvs[0].ModRevision == revision {
			return revision, clientv3.LeaseID(response.Kvs[0].Lease), nil
		}
	}
}

// Nil: none at present.
func leaseOf(status primacy.Status) (*clientv3.LeaseID, error) {
	if status.Lease == "" {
		return nil, nil
	}
	id, err := strconv.ParseInt(status.Lease, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("sessionutil: lease %q: %w", status.Lease, err)
	}
	lease := clientv3.LeaseID(id)
	return &lease, nil
}

// GoingStop marks this server's own record, ROLE-ID, as that of one that is going to stop, and waits until it is: watchers
// get a SessionUpdateEvent. The lock stays as it is. The mark outlives whatever the record is rewritten for. It waits for
// ten seconds at most; while an activation runs, the record is not written.
func (s *Session) GoingStop() error {
	if s == nil {
		return errors.New("sessionutil: no session")
	}
	s.mu.Lock()
	session, election := s.session, s.election
	s.mu.Unlock()
	switch {
	case election == nil:
		return errors.New("sessionutil: Register has not been called")
	case s.Disconnected():
		return errors.New("sessionutil: this server has lost its place")
	}
	if err := session.MarkStopping(); err != nil {
		return err
	}
	s.mu.Lock()
	s.Stopping = true
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(s.ctx, recordTimeout)
	defer cancel()
	_, err := s.awaitRecord(ctx, election, func(e primacy.ElectionStatus) bool { return e.Stopping })
	return err
}

// The library writes the record soon after it is asked to; waits until what it says of it holds.
func (s *Session) awaitRecord(ctx context.Context, election *primacy.Election, holds func(primacy.ElectionStatus) bool) (
	primacy.ElectionStatus, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-s.stopping:
			cancel(primacy.ErrStopped)
		case <-ctx.Done():
		}
	}()
	status, err := election.Wait(ctx, holds)
	if err == nil {
		return status, nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return status, fmt.Errorf("sessionutil: the record is not written: %w", err)
}

func (s *Session) key(name string) string { return path.Join(s.root, DefaultServiceRoot, name) }

// GetRegisteredRevision returns the etcd revision at which the server became active, or -1: not yet.
func (s *Session) GetRegisteredRevision() int64 { return s.registeredRevision.Load() }

// Election is the election that Register began: for [primacy.Election.IsPrimary], and writes under its token. Nil: there
// is none yet.
func (s *Session) Election() *primacy.Election {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.election
}

// SetEnableActiveStandBy says, before Register, whether ProcessActiveStandBy is going to be called.
func (s *Session) SetEnableActiveStandBy(enable bool) { s.standby = enable }

// SetMixCoordMode marks a session that several coordinators share: Stop does nothing, until it is taken back.
func (s *Session) SetMixCoordMode(enable bool) { s.mixCoord.Store(enable) }

// Registered says whether Register has succeeded.
func (s *Session) Registered() bool { return s.registered.Load() }

// UpdateRegistered sets what Registered says.
func (s *Session) UpdateRegistered(b bool) { s.registered.Store(b) }

// Disconnected says whether this server has lost its place since it was active.
func (s *Session) Disconnected() bool { return s.disconnected.Load() }

// SetDisconnected sets what Disconnected says.
func (s *Session) SetDisconnected(b bool) { s.disconnected.Store(b) }

// Stop ends the session: its keys and its lease go. It waits for what runs, for ten seconds at most, and not for a Rewatch,
// which may call it. While the host is told of a loss it waits for that too; called from there, it returns at once, and the
// session ends when the host's function has returned. Nothing happens in MixCoord mode, and to a session of another server.
func (s *Session) Stop() {
	if s.isRecord() || s.mixCoord.Load() {
		return
	}
	s.Revoke(stopTimeout)
}

// Revoke ends the session as Stop does, also in MixCoord mode, within timeout.
func (s *Session) Revoke(timeout time.Duration) {
	if s.isRecord() {
		return
	}
	s.mu.Lock()
	if !s.stopped {
		s.stopped = true
		close(s.stopping)
	}
	session := s.session
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(s.closing(), timeout)
	defer cancel()
	if err := session.Close(ctx); err != nil {
		s.logger.Warn("the session has not ended cleanly", "role", s.ServerName, "error", err)
	}
	s.cancel()
	s.mu.Lock()
	watchers := slices.Collect(maps.Keys(s.watchers))
	s.mu.Unlock()
	for _, w := range watchers {
		w.stop(ctx)
	}
}
