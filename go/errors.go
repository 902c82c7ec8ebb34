package primacy

import (
	"errors"
	"strings"
)

// A Code says what went wrong. It is an error itself, to compare with: errors.Is(err, primacy.ErrNotPrimary).
//
// The numbers are those of primacy.h, and never change.
type Code int32

// What can go wrong. See primacy.h for what each call may answer.
const (
	// ErrInternal is a defect of the library. The call was abandoned. Please report it.
	ErrInternal Code = 1
	// ErrNull is something that must be set and is not, such as a handler; the message says which.
	ErrNull Code = 2
	// ErrClosed is the use of a session, election or observer that was closed, or never opened.
	ErrClosed Code = 3
	// ErrUTF8 is a text that is not UTF-8, or has a NUL in it.
	ErrUTF8 Code = 4
	// ErrArgument is a value that can not be used here; the message says which would do.
	ErrArgument Code = 5
	// ErrStructSize is a C library that is older than this package.
	ErrStructSize Code = 6
	// ErrForked is a call in a process that was forked after the library was in use.
	ErrForked Code = 7
	// ErrDeadlock is a wait for oneself.
	ErrDeadlock Code = 8
	// ErrTimeout is something that was not over within its time.
	ErrTimeout Code = 9
	// ErrStopped is a session, election or observer that is stopping.
	ErrStopped Code = 10
	// ErrSystem is a machine without threads, descriptors or memory left.
	ErrSystem Code = 11
	// ErrConfigName is a setting that does not exist.
	ErrConfigName Code = 20
	// ErrConfigValue is a setting with a value that it does not take; the message says which would do.
	ErrConfigValue Code = 21
	// ErrConfigRelation is settings that do not fit together; the message names them.
	ErrConfigRelation Code = 22
	// ErrCandidate is an incomplete or malformed [Candidate].
	ErrCandidate Code = 23
	// ErrRole is a name that can not be a role; the message says why.
	ErrRole Code = 24
	// ErrRoleTaken is a role that this session runs already, or that one of its roles excludes.
	ErrRoleTaken Code = 25
	// ErrUnreachable is an etcd that can not be reached, or not serve now: no leader, no space. Nothing happened. Trying
	// again can help.
	ErrUnreachable Code = 30
	// ErrIndefinite is no answer from etcd: it may have happened, or may happen a little later. Read before you decide.
	ErrIndefinite Code = 31
	// ErrDenied is a wrong password, certificate or permission. Nothing happened.
	ErrDenied Code = 32
	// ErrRefused is a request that etcd refused as such, such as one too large. Nothing happened.
	ErrRefused Code = 33
	// ErrNotPrimary is a write by somebody who is not the primary of its token. Nothing was written.
	ErrNotPrimary Code = 40
	// ErrConflict is a comparison of the caller's own that did not hold. Nothing was written.
	ErrConflict Code = 41
	// ErrCall is a call that was completed before. Handlers do not meet it.
	ErrCall Code = 42
)

// ErrUnsupported is what everything answers in a program that was built without the library: without cgo, or for a
// platform that it does not exist for.
var ErrUnsupported = errors.New("primacy: built without its C library, which needs cgo and Linux on x86-64, " +
	"or the build tag primacy_dynamic and a libprimacy that pkg-config finds")

// Error says what the code means.
func (c Code) Error() string { return "primacy: " + codeText(c) }

// MayPass says whether the same call may succeed later without anybody changing anything. It is no leave to repeat a
// Commit: see the function MayPass.
func (c Code) MayPass() bool { return codeMayPass(c) }

// MayPass says whether the call that failed with err may succeed later without anybody changing anything, so that
// trying again makes sense: for [Open], [Observe], Register, Read. Not for a Commit that ended with [ErrIndefinite]: it may
// have been written, and whoever repeats it writes twice, or takes their own write for a conflict. Read first.
func MayPass(err error) bool {
	var code Code
	return errors.As(err, &code) && code.MayPass()
}

// An Error is a call of the library that failed.
type Error struct {
	// Op is what was tried, such as "open".
	Op string
	// Code is what went wrong, for programs.
	Code Code
	// Message is what went wrong and what would do, for people; may be empty.
	Message string

	cause error // of the context, if that ended the call
}

// Error returns the story for people.
func (e *Error) Error() string {
	text := e.Message
	if text == "" {
		text = codeText(e.Code)
	}
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return "primacy: " + e.Op + ": " + strings.TrimSuffix(text, ".")
}

// Unwrap returns the code, and the error of the context if that ended the call.
func (e *Error) Unwrap() []error {
	if e.cause != nil {
		return []error{e.Code, e.cause}
	}
	return []error{e.Code}
}

func failed(op string, code Code, message string) error {
	return &Error{Op: op, Code: code, Message: message}
}

// Named after what was tried, where that is not known where the error is made.
func named(op string, err error) error {
	var e *Error
	if errors.As(err, &e) && e.Op == "" {
		e.Op = op
	}
	return err
}
