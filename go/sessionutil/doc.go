// Package sessionutil is primacy in the shape that Milvus's coordinators call today, internal/util/sessionutil of
// milvus-io/milvus: a coordinator changes an import and the construction of its session, not its code; see facade/ for Milvus as a whole. The names are those
// of 3.0, with what 2.x has beside them (LivenessCheck, Revoke, ForceActiveStandby, Init's triggerKill). Keys and records
// in etcd are the same, so coordinators on this package and on Milvus's own make one cluster.
//
//	loss := sessionutil.Exit(1, nil)
//	session := sessionutil.NewSessionWithEtcd(ctx, "by-dev/meta", client, loss, sessionutil.WithVersion("3.0.0"))
//	session.Init("mixcoord", address, true)
//	session.SetEnableActiveStandBy(true)
//	session.Register()
//	err := session.ProcessActiveStandBy(activate) // returns once this process is active and activate has returned
//
// # What differs
//
// Where Milvus's code panics, ends the process or waits for ever, this returns an error or goes on:
//
//   - Init, Register: what failed is logged, and kept for ProcessActiveStandBy and [Session.Err], instead of a panic.
//   - A mixcoord that is older, by major or minor, than one that has been active: ProcessActiveStandBy returns an error that
//     names both versions, also while the newer one is active, since waiting does not help: session/version outlives the
//     one that wrote it. To go back to the older version, end all newer ones and set session/version back. One that
//     is overtaken after it was active goes on as a standby that never wins, and says so in its log and status.
//   - A standby that lost its lease, its watch or etcd takes over all the same, once it can.
//   - A server that lost its place does what its construction says: [Exit], as Milvus does, or [StandBy].
//   - The lock is lost by the clock, before etcd can give it to somebody else; [Session.Election] has the means to ask and
//     to write under the fencing token.
//   - GoingStop marks the candidate's record, ROLE-ID, never the lock: rewriting the lock would end its token.
//   - ForceActiveStandby waits for its turn: a lease of somebody else is never revoked, a key of somebody else never deleted.
//   - A watch that ends is begun anew.
package sessionutil
