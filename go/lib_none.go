//go:build !(cgo && (primacy_dynamic || (linux && amd64)))

package primacy

import (
	"time"

	"primacy.example/go/store"
)

// The library is not there: everything says so. See lib_cgo.go for what it would be.

func libVersion() string { return "none" }

func codeText(Code) string     { return "the C library is not built in" }
func codeMayPass(Code) bool    { return false }
func reasonText(Reason) string { return "unknown" }

func sessionStateText(SessionState) string   { return "unknown" }
func electionStateText(ElectionState) string { return "unknown" }
func callbackText(Callback) string           { return "unknown" }
func obstacleText(Obstacle) string           { return "unknown" }

func sessionStartOpen(*Config, func(error)) (uint64, *queue[line], error) {
	return 0, nil, ErrUnsupported
}
func sessionServerID(uint64) int64                                      { return 0 }
func sessionRegister(uint64, string, *Election) (uint64, error)         { return 0, ErrUnsupported }
func sessionStartRead(uint64, *Txn, uint64, func(*Result, error)) error { return ErrUnsupported }
func sessionSnapshot(uint64) ([]byte, error)                            { return nil, ErrUnsupported }
func sessionHealth(uint64) ([]byte, error)                              { return nil, ErrUnsupported }
func sessionMarkStopping(uint64) error                                  { return ErrUnsupported }
func sessionStop(uint64, uint64) error                                  { return ErrUnsupported }
func sessionClose(uint64, uint64) error                                 { return ErrUnsupported }
func sessionFree(uint64) error                                          { return ErrUnsupported }
func electionCampaign(uint64) error                                     { return ErrUnsupported }
func electionTransfer(uint64, int64) error                              { return ErrUnsupported }
func electionHealthy(uint64) error                                      { return ErrUnsupported }
func electionResign(uint64) error                                       { return ErrUnsupported }
func electionStop(uint64, uint64) error                                 { return ErrUnsupported }
func electionFree(uint64) error                                         { return ErrUnsupported }
func electionComplete(uint64, uint64, int32, string) error              { return ErrUnsupported }
func electionIsCancelled(uint64, uint64) bool                           { return true }
func electionToken(uint64) Token                                        { return 0 }
func electionRemaining(uint64) time.Duration                            { return 0 }
func electionStartCommit(uint64, Token, *Txn, uint64, func(*Result, error)) error {
	return ErrUnsupported
}
func electionGuard(uint64, Token) (*Result, error) { return nil, ErrUnsupported }

func electionWatch(uint64, func(ElectionStatus) bool, func()) (ElectionStatus, bool, error) {
	return ElectionStatus{}, false, ErrUnsupported
}

func observerOpen(*Config, string, *Observer) (uint64, Primary, error) {
	return 0, Primary{}, ErrUnsupported
}
func observerFree(uint64) error { return ErrUnsupported }

func requestComplete(uint64, answer) error { return ErrUnsupported }
func watchConfirmed(uint64)                {}
func watchEvents(uint64, []store.KeyValue) {}
func watchEnded(uint64, string)            {}
