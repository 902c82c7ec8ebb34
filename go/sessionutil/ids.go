package sessionutil

import (
	"fmt"
	"os"
	"strconv"

	"primacy.example/go"
)

// MilvusNodeIDForTesting is an environment variable: the server id of all sessions of this process that would take one.
const MilvusNodeIDForTesting = "MILVUS_NODE_ID_FOR_TESTING"

// The id of a process, which its roles share.
type nodeIDs struct {
	get   func() int64
	set   func(int64)
	reuse bool
}

// Whoever comes first takes the id, the others wait for it; a channel, so that Stop ends the wait.
var idTurn = make(chan struct{}, 1)

// WithNodeIDs has the sessions of a process share an id, as those of Milvus do: get returns it, 0 if there is none yet, and
// set keeps the one that the first of them took. Without, each session has an id of its own.
func WithNodeIDs(get func() int64, set func(int64)) SessionOption {
	return func(s *Session) { s.ids.get, s.ids.set = get, set }
}

// WithResueNodeID says whether this session shares the id of its process; by default it does. It counts only beside
// [WithNodeIDs].
func WithResueNodeID(reuse bool) SessionOption {
	return func(s *Session) { s.ids.reuse = reuse }
}

// Opens the session under the id that it is to have.
func (s *Session) open() (*primacy.Session, error) {
	config := s.config
	shared := s.ids.reuse && s.ids.get != nil
	if shared {
		select {
		case idTurn <- struct{}{}:
			defer func() { <-idTurn }()
		case <-s.ctx.Done():
			return nil, s.ctx.Err()
		}
		config.Candidate.ServerID = s.ids.get()
	}
	if given := os.Getenv(MilvusNodeIDForTesting); given != "" && config.Candidate.ServerID == 0 {
		id, err := strconv.ParseInt(given, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", MilvusNodeIDForTesting, err)
		}
		config.Candidate.ServerID = id
	}
	session, err := primacy.Open(s.ctx, config)
	if err == nil && shared {
		s.ids.set(session.ServerID())
	}
	return session, err
}
