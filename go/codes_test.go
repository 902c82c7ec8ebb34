//go:build cgo

package primacy

import (
	"errors"
	"os"
	"regexp"
	"strconv"
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
		"LOST_HOST_UNRESPONSIVE": int32(HostUnresponsive),
		"CALL_STANDBY":           int32(callStandby), "CALL_WARMUP": int32(callWarmup), "CALL_PRIMARY": int32(callPrimary),
		"CALL_LOST": int32(callLost), "DONE": outcomeDone, "WARM": outcomeWarm, "FAILED": outcomeFailed,
		"NOTICE_SUSPENDED": int32(EventSuspended), "NOTICE_RESUMED": int32(EventResumed),
		"NOTICE_READY": int32(EventReady), "NOTICE_HOLDER": int32(EventHolder),
		"OBSTACLE_RECORD_TAKEN":      int32(ObstacleRecordTaken),
		"OBSTACLE_HOST_UNRESPONSIVE": int32(ObstacleHostUnresponsive),
		"OBSTACLE_OUTDATED":          int32(ObstacleOutdated),
		"OBSTACLE_DENIED":            int32(ObstacleDenied),
		"OBSTACLE_NO_SPACE":          int32(ObstacleNoSpace),
		"OBSTACLE_REFUSED":           int32(ObstacleRefused),
		"OBSTACLE_UNREACHABLE":       int32(ObstacleUnreachable),
		"OBSTACLE_INDEFINITE":        int32(ObstacleIndefinite),
		"OBSTACLE_LEASE_LOST":        int32(ObstacleLeaseLost),
		"DEFAULT":                    int32(Default), "YES": int32(Yes), "NO": int32(No),
	} {
		if number(name) != n {
			t.Errorf("%s is %d here", name, n)
		}
	}
}

func TestEveryObstacleOfTheLibraryIsKnownHere(t *testing.T) {
	for o := ObstacleRecordTaken; o <= ObstacleLeaseLost; o++ {
		if o.String() == "unknown" {
			t.Errorf("obstacle %d has no name", o)
		}
	}
	if name := (ObstacleLeaseLost + 1).String(); name != "unknown" {
		t.Errorf("obstacle %q has no constant here", name)
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
