package primacy

import "fmt"

const eventsKept = 64

// An Event is something that happened to an election, for status pages, metrics and logs.
type Event struct {
	// Kind says what.
	Kind EventKind
	// Token of the win; of EventHolder, the holder's.
	Token Token
	// Reason of EventLost.
	Reason Reason
	// HolderID and HolderAddress of EventStandby and EventHolder: the primary; 0 and empty: none, or not known.
	HolderID      int64
	HolderAddress string
	// Missed counts the events before this one that were dropped because nobody took them.
	Missed int
}

// An EventKind is what happened.
type EventKind int32

// What happens to elections.
const (
	// EventSuspended: primary, but a renewal of the lease is late. Start nothing long.
	EventSuspended EventKind = 1
	// EventResumed: the late renewal came.
	EventResumed EventKind = 2
	// EventReady: OnPrimary has succeeded.
	EventReady EventKind = 3
	// EventHolder: another holder of the lock, or none.
	EventHolder EventKind = 4
	// EventStandby: OnStandby is being called.
	EventStandby EventKind = 101
	// EventPrimary: OnPrimary is being called.
	EventPrimary EventKind = 102
	// EventLost: OnLost is being called.
	EventLost EventKind = 103
)

// String returns a word for it.
func (k EventKind) String() string {
	switch k {
	case EventSuspended:
		return "suspended"
	case EventResumed:
		return "resumed"
	case EventReady:
		return "ready"
	case EventHolder:
		return "holder"
	case EventStandby:
		return "standby"
	case EventPrimary:
		return "primary"
	case EventLost:
		return "lost"
	default:
		return fmt.Sprintf("event %d", int32(k))
	}
}

// Events tells what happens to the election. The channel keeps the last 64: if nobody takes them, older ones are
// dropped, and [Event.Missed] counts them. It is closed when the election has ended.
func (e *Election) Events() <-chan Event {
	if e == nil || e.events == nil {
		closed := make(chan Event)
		close(closed)
		return closed
	}
	return e.events
}

// Called with the lock held. Never waits: the oldest event makes room.
func (e *Election) publish(event Event) {
	for {
		event.Missed = e.missed
		select {
		case e.events <- event:
			e.missed = 0
			return
		default:
		}
		select {
		case oldest := <-e.events:
			e.missed += 1 + oldest.Missed
		default:
		}
	}
}
