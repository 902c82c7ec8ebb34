package sessionutil

import (
	"encoding/json"

	"github.com/blang/semver/v4"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// IndexEngineVersion says which versions of indexes a server reads and writes.
type IndexEngineVersion struct {
	MinimalIndexVersion int32 `json:"MinimalIndexVersion,omitempty"`
	CurrentIndexVersion int32 `json:"CurrentIndexVersion,omitempty"`
	MaximumIndexVersion int32 `json:"MaximumIndexVersion,omitempty"`
}

// SessionRaw is what is in etcd of a session. The order and the omissions are those of Milvus.
type SessionRaw struct {
	ServerID    int64  `json:"ServerID,omitempty"`
	ServerName  string `json:"ServerName,omitempty"`
	Address     string `json:"Address,omitempty"`
	Exclusive   bool   `json:"Exclusive,omitempty"`
	Stopping    bool   `json:"Stopping,omitempty"`
	TriggerKill bool   `json:"TriggerKill,omitempty"` // 2.x writes it also if it is false
	Version     string `json:"Version"`

	IndexEngineVersion       IndexEngineVersion `json:"IndexEngineVersion"`
	ScalarIndexEngineVersion IndexEngineVersion `json:"ScalarIndexEngineVersion"`
	IndexNonEncoding         bool               `json:"IndexNonEncoding,omitempty"`
	LeaseID                  *clientv3.LeaseID  `json:"LeaseID,omitempty"` // when Register or ProcessActiveStandBy last returned

	HostName     string            `json:"HostName,omitempty"`
	ServerLabels map[string]string `json:"ServerLabels,omitempty"`
}

// GetAddress returns where the server is reached.
func (s *SessionRaw) GetAddress() string { return s.Address }

// GetServerID returns the server's id.
func (s *SessionRaw) GetServerID() int64 { return s.ServerID }

// GetServerLabel returns the labels that clients choose servers by.
func (s *SessionRaw) GetServerLabel() map[string]string { return s.ServerLabels }

// GetResourceGroupName returns the label of that name; empty: none.
func (s *SessionRaw) GetResourceGroupName() string { return s.ServerLabels[LabelResourceGroup] }

// IsTriggerKill returns what Init was given.
func (s *SessionRaw) IsTriggerKill() bool { return s.TriggerKill }

// MarshalJSON returns the record as Milvus writes it; of a session of this process, with the lease that it has now.
func (s *Session) MarshalJSON() ([]byte, error) {
	s.mu.Lock()
	raw := s.SessionRaw
	session := s.session
	s.mu.Unlock()
	if status, err := session.Status(); err == nil {
		if raw.LeaseID, err = leaseOf(status); err != nil {
			return nil, err
		}
	}
	raw.Version = s.Version.String()
	return json.Marshal(raw)
}

// UnmarshalJSON reads a record, of Milvus's or of ours. Fields that it does not know are ignored.
func (s *Session) UnmarshalJSON(data []byte) error {
	var raw SessionRaw
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	var version semver.Version
	if raw.Version != "" {
		var err error
		if version, err = semver.Parse(raw.Version); err != nil {
			return err
		}
	}
	s.SessionRaw, s.Version = raw, version
	return nil
}
