package primacy

import "context"

// Commit is the guarded write: it commits txn in one etcd transaction that also compares that the lock is still held by
// the win of token. By anyone but the present holder it never commits, however late it arrives. It still does while a
// resignation or a stop drains, until [Handlers.OnLost] has returned.
//
// token is the one that [Handlers.OnPrimary] or [Election.Token] gave. A ctx without a deadline gets
// etcd.requestTimeout. The
// Result comes with nil and with ErrConflict.
//
// ErrNotPrimary: for sure nothing was written, nor will be. ErrConflict: still primary, but a comparison of txn did not
// hold. ErrIndefinite: it may have been written, or will be a little later. With any other error nothing was
// written: ErrUnreachable, ErrDenied, ErrRefused (a batch too large is refused, never split), ErrTimeout (ctx was done
// before it began), ErrArgument, ErrClosed.
func (e *Election) Commit(ctx context.Context, token Token, txn *Txn) (*Result, error) {
	if e == nil {
		return nil, failed("commit", ErrClosed, "")
	}
	if txn == nil {
		return nil, failed("commit", ErrNull, "txn is nil")
	}
	return transact(ctx, "commit", ErrIndefinite, func(timeout uint64, told func(*Result, error)) error {
		return electionStartCommit(e.handle, token, txn, timeout, told)
	})
}

// A Compare is part of the guard of a win: the key was last written at ModRevision, and hangs on Lease.
type Compare struct {
	Key                string
	ModRevision, Lease int64
}

// Guard returns what [Election.Commit] compares besides a transaction's own, for writes to the same etcd by a client of
// the host's own, as package etcdfence does. Add all of it to each transaction, and it commits for nobody but the holder
// of this win. It stays the same for as long as the win lasts, and does not ask etcd.
//
// ErrNotPrimary: token is not that of a win that still counts. ErrClosed.
func (e *Election) Guard(token Token) ([]Compare, error) {
	if e == nil {
		return nil, failed("guard", ErrClosed, "")
	}
	result, err := electionGuard(e.handle, token)
	if err != nil {
		return nil, named("guard", err)
	}
	var guard []Compare
	for _, kv := range result.Gets[0] {
		guard = append(guard, Compare{Key: kv.Key, ModRevision: kv.ModRevision, Lease: kv.Lease})
	}
	return guard, nil
}
