package primacy

import "encoding/json"

// A Status is where a session stands, at one moment, for status pages and tests.
type Status struct {
	// State of the session.
	State SessionState `json:"state"`
	// ServerID of this process in etcd.
	ServerID int64 `json:"server_id"`
	// Lease at present, as text; empty: none.
	Lease string `json:"lease"`
	// TTLMs is its time to live as granted; RemainingMs is how long it is surely ours.
	TTLMs       uint64 `json:"ttl_ms"`
	RemainingMs uint64 `json:"remaining_ms"`
	// Suspended: the last renewal got no answer in time, or was not confirmed.
	Suspended bool `json:"suspended"`
	// UnconfirmedRenewals were acknowledged and did not count: nothing confirmed that etcd's leader was still the leader.
	UnconfirmedRenewals uint64 `json:"unconfirmed_renewals"`
	// Warnings are what works now and may yet end badly, such as a short TTL or an old etcd.
	Warnings []string `json:"warnings"`
	// Revision is etcd's highest that was seen.
	Revision int64 `json:"revision"`
	// Elections, in the order in which they were registered.
	Elections []ElectionStatus `json:"elections"`

	// Raw is all of it as the library gave it: a newer one may say more.
	Raw json.RawMessage `json:"-"`
}

// An ElectionStatus is where an election stands, at one moment.
type ElectionStatus struct {
	// Role of the election.
	Role string `json:"role"`
	// State of the election.
	State ElectionState `json:"state"`
	// Token of the win, also while it drains; 0: none.
	Token Token `json:"token"`
	// Warm: the last warm-up said so.
	Warm bool `json:"warm"`
	// Running are the handlers that are running.
	Running []Callback `json:"running"`
	// RecordRevision is the revision at which the candidate's record was written last; 0: it is not in etcd, or not
	// under the present lease.
	RecordRevision int64 `json:"record_revision"`
	// Stopping: the record says that the server is going to stop.
	Stopping bool `json:"stopping"`
	// Watching: its watch is open, so that changes of the lock are told at once.
	Watching bool `json:"watching"`
	// Holder of the lock, if there is one whose record can be read.
	Holder *HolderStatus `json:"holder"`
	// Obstacle is what keeps it from getting on; 0: nothing.
	Obstacle Obstacle `json:"obstacle"`
	// Trouble is the same, for people.
	Trouble string `json:"trouble"`
}

// A HolderStatus is the holder of a lock, at one moment.
type HolderStatus struct {
	// ServerID and Address of the holder.
	ServerID int64  `json:"server_id"`
	Address  string `json:"address"`
	// Lease of the lock, as text.
	Lease string `json:"lease"`
	// Token of the holder's win.
	Token Token `json:"token"`
}
