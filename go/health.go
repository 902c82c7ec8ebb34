package primacy

import "encoding/json"

// A Verdict is the answer to one probe.
type Verdict struct {
	// OK: it is so.
	OK bool `json:"ok"`
	// Why not, for people; empty if it is.
	Why string `json:"why"`
}

// Probes are the answers to all of them, at one moment.
type Probes struct {
	// Alive: starting the process anew would not help. So it is while etcd is away, and while OnPrimary takes its time.
	Alive Verdict `json:"alive"`
	// Ready: it serves as primary, or could take over at once.
	Ready Verdict `json:"ready"`
	// Primary: it is primary, and its OnPrimary has succeeded.
	Primary Verdict `json:"primary"`
}

// Health is what probes ask of a process: what each of its elections is that is not over.
type Health struct {
	Probes
	// Roles are each of them by its role.
	Roles map[string]Probes `json:"roles"`
}

// Health returns what probes ask of this process; package probes answers them by HTTP, and docs/deploy.md has the table of
// all states. It does not block, and asks nothing of etcd. ErrClosed: the session is closed.
func (s *Session) Health() (Health, error) {
	var health Health
	if s == nil {
		return health, failed("health", ErrClosed, "")
	}
	text, err := sessionHealth(s.handle)
	if err != nil {
		return health, named("health", err)
	}
	if err := json.Unmarshal(text, &health); err != nil {
		return health, failed("health", ErrInternal, err.Error())
	}
	return health, nil
}
