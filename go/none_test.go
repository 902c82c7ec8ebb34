//go:build !cgo

package primacy

import (
	"context"
	"errors"
	"testing"
)

func TestWithoutTheLibraryEverythingSaysSo(t *testing.T) {
	if _, err := Open(context.Background(), Config{}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("Open: %v", err)
	}
	if _, err := Observe(context.Background(), Config{}, "rootcoord"); !errors.Is(err, ErrUnsupported) {
		t.Errorf("Observe: %v", err)
	}
	var s Session
	if _, err := s.Register("rootcoord"); !errors.Is(err, ErrUnsupported) {
		t.Errorf("Register: %v", err)
	}
	var e Election
	if e.IsPrimary() || e.Remaining() != 0 {
		t.Error("primary")
	}
	if _, err := e.Commit(context.Background(), 1, new(Txn)); !errors.Is(err, ErrUnsupported) {
		t.Errorf("Commit: %v", err)
	}
	if MayPass(ErrUnsupported) || Version() != "none" {
		t.Error("it is there")
	}
}
