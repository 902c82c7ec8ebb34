package sessionutil

import (
	"context"

	"github.com/blang/semver/v4"
)

// Made anew with `go generate`, by the mockery that Milvus's own are made with.
//
//go:generate go run github.com/vektra/mockery/v2@v2.53.3 --inpackage --with-expecter --name SessionInterface --structname MockSession --filename mock_session.go
//go:generate go run github.com/vektra/mockery/v2@v2.53.3 --inpackage --with-expecter --name SessionWatcher --structname MockSessionWatcher --filename mock_session_watcher.go

// SessionInterface is what Milvus's coordinators ask of a session. Its mock is MockSession.
type SessionInterface interface {
	UnmarshalJSON(data []byte) error
	MarshalJSON() ([]byte, error)

	Init(serverName, address string, exclusive bool, triggerKill ...bool)
	String() string
	Register()

	GetSessions(ctx context.Context, prefix string) (map[string]*Session, int64, error)
	GetSessionsWithVersionRange(prefix string, r semver.Range) (map[string]*Session, int64, error)

	GoingStop() error
	WatchServices(prefix string, revision int64, rewatch Rewatch) (watcher SessionWatcher)
	WatchServicesWithVersionRange(prefix string, r semver.Range, revision int64, rewatch Rewatch) (watcher SessionWatcher)
	Stop()
	UpdateRegistered(b bool)
	Registered() bool
	SetDisconnected(b bool)
	Disconnected() bool
	SetEnableActiveStandBy(enable bool)
	ProcessActiveStandBy(activateFunc func() error) error

	GetAddress() string
	GetServerID() int64
	GetRegisteredRevision() int64
	IsTriggerKill() bool
}

// SessionWatcher tells what happens to sessions. Its mock is MockSessionWatcher.
type SessionWatcher interface {
	// EventChannel is closed when the watch has ended.
	EventChannel() <-chan *SessionEvent
	// Stop ends the watch, and waits for that; not for a Rewatch that runs, which may call it, and is not called again.
	Stop()
}

// EmptySessionWatcher returns one that tells nothing.
func EmptySessionWatcher() SessionWatcher { return emptySessionWatcher{} }

type emptySessionWatcher struct{}

func (emptySessionWatcher) EventChannel() <-chan *SessionEvent { return nil }
func (emptySessionWatcher) Stop()                              {}
