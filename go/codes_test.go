//go:build cgo

package primacy

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The numbers here are those of the header, which has the contract.
func TestTheNumbersAreThoseOfTheHeader(t *testing.T) {
	header, err := os.ReadFile("../include/primacy.h")
	if err != nil {
		t.Fatal(err)
	}
	number := func(name string) int32 {
		found := regexp.MustCompile(`#define PRIMACY_` + name + ` (\d+)`).FindSubmatch(header)
		if found == nil {
			t.Errorf("the header has no PRIMACY_%s", name)
			return -1
		}
		n, _ := strconv.ParseInt(string(found[1]), 10, 32)
		return int32(n)
	}
	codes := map[string]Code{
		"E_INTERNAL": ErrInternal, "E_NULL": ErrNull, "E_HANDLE": ErrClosed, "E_UTF8": ErrUTF8,
		"E_ARGUMENT": ErrArgument, "E_STRUCT_SIZE": ErrStructSize, "E_FORKED": ErrForked,
		"E_DEADLOCK": ErrDeadlock, "E_TIMEOUT": ErrTimeout, "E_STOPPED": ErrStopped, "E_SYSTEM": ErrSystem,
		"E_CONFIG_NAME": ErrConfigName, "E_CONFIG_VALUE": ErrConfigValue, "E_CONFIG_RELATION": ErrConfigRelation,
		"E_CANDIDATE": ErrCandidate, "E_ROLE": ErrRole, "E_ROLE_TAKEN": ErrRoleTaken,
		"E_UNREACHABLE": ErrUnreachable, "E_INDEFINITE": ErrIndefinite, "E_DENIED": ErrDenied,
		"E_REFUSED": ErrRefused, "E_NOT_PRIMARY": ErrNotPrimary, "E_CONFLICT": ErrConflict, "E_CALL": ErrCall,
	}
	for name, code := range codes {
		if number(name) != int32(code) {
			t.Errorf("%s is %d here", name, code)
		}
	}
	for _, found := range regexp.MustCompile(`#define PRIMACY_(E_\w+)`).FindAllSubmatch(header, -1) {
		if _, ok := codes[string(found[1])]; !ok {
			t.Errorf("%s has no error here", found[1])
		}
	}
	for name, n := range map[string]int32{
		"LOST_LEASE_EXPIRED": int32(LeaseExpired), "LOST_KEY_DELETED": int32(KeyDeleted),
		"LOST_KEY_TAKEN": int32(KeyTaken), "LOST_RESIGNED": int32(Resigned), "LOST_TRANSFERRED": int32(Transferred),
		"LOST_ACTIVATION_FAILED": int32(ActivationFailed), "LOST_STORE_ROLLED_BACK": int32(StoreRolledBack),
		"LOST_STOPPED": int32(Stopped), "LOST_INTERNAL_ERROR": int32(InternalError),
		"LOST_HOST_UNRESPONSIVE": int32(HostUnresponsive), "LOST_LIVENESS_EXPIRED": int32(LivenessExpired),
		"CALL_STANDBY": int32(CallbackStandby), "CALL_WARMUP": int32(CallbackWarmup), "CALL_PRIMARY": int32(CallbackPrimary),
		"CALL_LOST": int32(CallbackLost), "DONE": outcomeDone, "WARM": outcomeWarm, "FAILED": outcomeFailed,
		"NOTICE_SUSPENDED": int32(EventSuspended), "NOTICE_RESUMED": int32(EventResumed),
		"NOTICE_READY": int32(EventReady), "NOTICE_HOLDER": int32(EventHolder),
		"SESSION_OPEN": int32(SessionOpen), "SESSION_STOPPING": int32(SessionStopping),
		"SESSION_CLOSED": int32(SessionClosed), "SESSION_NEW": int32(SessionNew),
		"SESSION_OPENING":      int32(SessionOpening),
		"ELECTION_REGISTERING": int32(ElectionRegistering), "ELECTION_REGISTERED": int32(ElectionRegistered),
		"ELECTION_CAMPAIGNING": int32(ElectionCampaigning), "ELECTION_STANDBY": int32(ElectionStandby),
		"ELECTION_ACTIVATING": int32(ElectionActivating), "ELECTION_PRIMARY": int32(ElectionPrimary),
		"ELECTION_SUSPENDED": int32(ElectionSuspended), "ELECTION_RESIGNING": int32(ElectionResigning),
		"ELECTION_STUCK": int32(ElectionStuck), "ELECTION_STOPPING": int32(ElectionStopping),
		"ELECTION_STOPPED":           int32(ElectionStopped),
		"OBSTACLE_RECORD_TAKEN":      int32(ObstacleRecordTaken),
		"OBSTACLE_HOST_UNRESPONSIVE": int32(ObstacleHostUnresponsive),
		"OBSTACLE_OUTDATED":          int32(ObstacleOutdated),
		"OBSTACLE_DENIED":            int32(ObstacleDenied),
		"OBSTACLE_NO_SPACE":          int32(ObstacleNoSpace),
		"OBSTACLE_REFUSED":           int32(ObstacleRefused),
		"OBSTACLE_UNREACHABLE":       int32(ObstacleUnreachable),
		"OBSTACLE_INDEFINITE":        int32(ObstacleIndefinite),
		"OBSTACLE_LEASE_LOST":        int32(ObstacleLeaseLost),
		"OBSTACLE_KEY_HELD":          int32(ObstacleKeyHeld),
		"OBSTACLE_NO_PRIORITY":       int32(ObstacleNoPriority),
		"DEFAULT":                    int32(Default), "YES": int32(Yes), "NO": int32(No),
	} {
		if number(name) != n {
			t.Errorf("%s is %d here", name, n)
		}
	}
}

// What the library tells is known here, all of it and by the same number: a new one can not come unnoticed.
func TestEveryNameOfTheLibraryIsKnownHere(t *testing.T) {
	for kind, last := range map[string]struct {
		number int32
		text   func(int32) string
	}{
		"session state":  {int32(SessionOpening), func(n int32) string { return SessionState(n).String() }},
		"election state": {int32(ElectionStopped), func(n int32) string { return ElectionState(n).String() }},
		"callback":       {int32(CallbackLost), func(n int32) string { return Callback(n).String() }},
		"obstacle":       {int32(ObstacleNoPriority), func(n int32) string { return Obstacle(n).String() }},
		"reason":         {int32(LivenessExpired), func(n int32) string { return Reason(n).String() }},
	} {
		for n := int32(1); n <= last.number; n++ {
			if last.text(n) == "unknown" {
				t.Errorf("%s %d has no name", kind, n)
			}
		}
		if name := last.text(last.number + 1); name != "unknown" {
			t.Errorf("%s %q has no constant here", kind, name)
		}
	}
}

func TestStatesAreTheirNamesInJSON(t *testing.T) {
	before := Status{State: SessionOpen, Elections: []ElectionStatus{{
		State: ElectionStandby, Running: []Callback{CallbackStandby, CallbackWarmup},
	}}}
	text, err := json.Marshal(before)
	if err != nil || !strings.Contains(string(text), `"state":"standby"`) {
		t.Fatalf("%s, %v", text, err)
	}
	var after Status
	if err := json.Unmarshal(text, &after); err != nil || !reflect.DeepEqual(before.Elections, after.Elections) {
		t.Errorf("%+v, %v", after, err)
	}
	if err := json.Unmarshal([]byte(`{"state":"asleep"}`), &after); err == nil || !strings.Contains(err.Error(), "asleep") {
		t.Errorf("a state that is none: %v", err)
	}
}

func TestErrorsSayWhatTheyAre(t *testing.T) {
	err := named("commit", failed("", ErrNotPrimary, "somebody else is."))
	if err.Error() != "primacy: commit: somebody else is" {
		t.Error(err)
	}
	if !errors.Is(err, ErrNotPrimary) || errors.Is(err, ErrClosed) {
		t.Error("errors.Is")
	}
	if MayPass(err) || !MayPass(failed("", ErrUnreachable, "")) || MayPass(errors.New("other")) || MayPass(nil) {
		t.Error("MayPass")
	}
	if Resigned.String() != "resigned" || Version() == "" || ErrUnreachable.Error() == ErrDenied.Error() {
		t.Error("texts")
	}
}
