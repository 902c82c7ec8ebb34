package primacy

import "fmt"

// The numbers of what stands here are those of primacy.h, and never change; the names are the library's. As JSON they are
// their names, but for an [Obstacle], which is its number.

// A SessionState is where a session stands.
type SessionState int32

// Where sessions stand.
const (
	// SessionOpen: it has its lease and its server id, or had them.
	SessionOpen SessionState = 1
	// SessionStopping: the host is ending it.
	SessionStopping SessionState = 2
	// SessionClosed: it is over.
	SessionClosed SessionState = 3
	// SessionNew: nobody has opened it yet.
	SessionNew SessionState = 4
	// SessionOpening: it has no lease or no server id yet.
	SessionOpening SessionState = 5
)

// String returns its name, such as "open".
func (s SessionState) String() string { return sessionStateText(s) }

// MarshalText writes its name.
func (s SessionState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes its name. It fails for a name that the library does not have.
func (s *SessionState) UnmarshalText(name []byte) error {
	return fromName(s, name, SessionState.String)
}

// An ElectionState is where an election stands.
type ElectionState int32

// Where elections stand.
const (
	// ElectionRegistering: no record in etcd yet.
	ElectionRegistering ElectionState = 1
	// ElectionRegistered: it has a record, and was not asked to campaign.
	ElectionRegistered ElectionState = 2
	// ElectionCampaigning: neither primary nor standby yet.
	ElectionCampaigning ElectionState = 3
	// ElectionStandby: somebody else is primary, or will be.
	ElectionStandby ElectionState = 4
	// ElectionActivating: it has won, and OnPrimary has not succeeded yet.
	ElectionActivating ElectionState = 5
	// ElectionPrimary: it is primary.
	ElectionPrimary ElectionState = 6
	// ElectionSuspended: it is primary, and its renewal is late.
	ElectionSuspended ElectionState = 7
	// ElectionResigning: it was primary; its handlers or its keys are not done yet.
	ElectionResigning ElectionState = 8
	// ElectionStuck: as before, and the drain timeout is over.
	ElectionStuck ElectionState = 9
	// ElectionStopping: the host has ended it; it is not over yet.
	ElectionStopping ElectionState = 10
	// ElectionStopped: it is over.
	ElectionStopped ElectionState = 11
)

// String returns its name, such as "standby".
func (s ElectionState) String() string { return electionStateText(s) }

// MarshalText writes its name.
func (s ElectionState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes its name. It fails for a name that the library does not have.
func (s *ElectionState) UnmarshalText(name []byte) error {
	return fromName(s, name, ElectionState.String)
}

// A Callback is what the library asks of a host. See [Handlers].
type Callback int32

// What the library asks of hosts.
const (
	// CallbackStandby is OnStandby.
	CallbackStandby Callback = 1
	// CallbackWarmup is OnWarmup.
	CallbackWarmup Callback = 2
	// CallbackPrimary is OnPrimary.
	CallbackPrimary Callback = 3
	// CallbackLost is OnLost.
	CallbackLost Callback = 4
)

// String returns its name, such as "on_primary".
func (c Callback) String() string { return callbackText(c) }

// MarshalText writes its name.
func (c Callback) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText takes its name. It fails for a name that the library does not have.
func (c *Callback) UnmarshalText(name []byte) error { return fromName(c, name, Callback.String) }

// An Obstacle is what keeps an election from getting on. It goes on by itself once that is gone.
type Obstacle int32

// What can keep an election from getting on.
const (
	// ObstacleRecordTaken: its record's key is somebody else's.
	ObstacleRecordTaken Obstacle = 1
	// ObstacleHostUnresponsive: its host takes nothing of what waits for it.
	ObstacleHostUnresponsive Obstacle = 2
	// ObstacleOutdated: the cluster has seen a newer version. Waiting does not help.
	ObstacleOutdated Obstacle = 3
	// ObstacleDenied: etcd's user may not do what the last write needs.
	ObstacleDenied Obstacle = 4
	// ObstacleNoSpace: etcd has no space for the last write.
	ObstacleNoSpace Obstacle = 5
	// ObstacleRefused: etcd refused the last write, for another reason.
	ObstacleRefused Obstacle = 6
	// ObstacleUnreachable: the last write was not sent.
	ObstacleUnreachable Obstacle = 7
	// ObstacleIndefinite: the last write got no answer in time; it may have happened.
	ObstacleIndefinite Obstacle = 8
	// ObstacleLeaseLost: the lease of the last write was gone.
	ObstacleLeaseLost Obstacle = 9
	// ObstacleKeyHeld: nobody holds the lock, and another key that a win takes, or must find absent, is somebody else's.
	ObstacleKeyHeld Obstacle = 10
	// ObstacleNoPriority: its primacy.priority is 0, so that it never campaigns.
	ObstacleNoPriority Obstacle = 11
)

// String returns its name, such as "outdated".
func (o Obstacle) String() string { return obstacleText(o) }

// Names count up from 1, and end at the first number that is none.
func fromName[T ~int32](value *T, name []byte, text func(T) string) error {
	for known := T(1); text(known) != "unknown"; known++ {
		if text(known) == string(name) {
			*value = known
			return nil
		}
	}
	return fmt.Errorf("primacy: there is no %T %q", *value, name)
}
