package primacy

import (
	"context"
	"fmt"
)

// A Token is a fencing token: that of a later win is higher than that of any earlier one of the same role. 0: none.
type Token int64

// Handlers are what a host does when its part changes. Each runs on a goroutine of its own, those of one election one
// after the other, except that OnLost starts while another one still runs. An error, a panic and [runtime.Goexit] count
// as failures.
type Handlers struct {
	// OnStandby: somebody else is primary, or it is not clear yet who is. Once per standby period. May be nil.
	OnStandby func(ctx context.Context, standby Standby) error
	// OnWarmup gets ready to take over. It is called again and again, every primacy.warmup_interval_ms, until it says
	// warm, then at a tenth of the pace; ctx is cancelled when the election is won, and OnPrimary waits until it has
	// returned. Nil: always warm.
	OnWarmup func(ctx context.Context) (Warm, error)
	// OnPrimary: this process is primary, under win.Token. Return when the service is ready: nil means "active from
	// now on" and does not end primacy; ctx stays good until primacy ends, and is then cancelled, with a [*LostError] as
	// its cause. An error gives primacy back. Required.
	OnPrimary func(ctx context.Context, win Win) error
	// OnLost: not primary any more. It is called exactly once for each OnPrimary, also while that still runs. The lock
	// is released when it has returned, so flush here: guarded writes, with this ctx, still go through where
	// lost.Reason is [Resigned] or [Stopped]. Required.
	OnLost func(ctx context.Context, lost Lost) error
}

// Warm is whether a standby is ready to take over.
type Warm bool

// A Standby is the beginning of a standby period.
type Standby struct {
	// HolderID is the server id of the primary; 0: not known.
	HolderID int64
	// HolderAddress is where it serves; empty: not known.
	HolderAddress string
}

// A Win is the beginning of primacy.
type Win struct {
	// Token to write under, for as long as this win lasts.
	Token Token
	// Lease in etcd that it stands on.
	Lease int64
}

// A Lost is the end of primacy.
type Lost struct {
	// Token of the win that is over.
	Token Token
	// Lease in etcd that it stood on.
	Lease int64
	// Reason is the first one that was observed.
	Reason Reason
}

// A Reason is why primacy ended.
type Reason int32

// Why primacy ended.
const (
	// LeaseExpired: the lease ran out, or etcd no longer knows it.
	LeaseExpired Reason = 1
	// KeyDeleted: somebody deleted a key of the lock.
	KeyDeleted Reason = 2
	// KeyTaken: somebody overwrote a key of the lock.
	KeyTaken Reason = 3
	// Resigned: [Election.Resign].
	Resigned Reason = 4
	// Transferred: handed over to another candidate.
	Transferred Reason = 5
	// ActivationFailed: OnPrimary failed.
	ActivationFailed Reason = 6
	// StoreRolledBack: etcd was put back to an older state, or replaced by another cluster.
	StoreRolledBack Reason = 7
	// Stopped: the election or the session is being closed.
	Stopped Reason = 8
	// InternalError: a defect of the library.
	InternalError Reason = 9
	// HostUnresponsive: the library could not begin a callback, for want of a thread.
	HostUnresponsive Reason = 10
	// LivenessExpired: [Election.Healthy] was not called within "primacy.liveness_timeout_ms".
	LivenessExpired Reason = 11
)

// String returns the name that logs show, such as "lease_expired".
func (r Reason) String() string { return reasonText(r) }

// A LostError is the cause, by [context.Cause], of the end of the context of [Handlers.OnPrimary]. [errors.Is] finds
// [ErrNotPrimary] in it.
type LostError struct{ Lost Lost }

// Error says that primacy ended, and why.
func (e *LostError) Error() string {
	return fmt.Sprintf("primacy: not primary any more: %v (token %d)", e.Lost.Reason, e.Lost.Token)
}

// Unwrap returns ErrNotPrimary.
func (e *LostError) Unwrap() error { return ErrNotPrimary }
