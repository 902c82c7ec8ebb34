// Package sessionutil is primacy in the shape that Milvus's coordinators call today, internal/util/sessionutil of
// milvus-io/milvus: a coordinator changes an import and the construction of its session, not its code. The names are those
// of 3.0, with what 2.x has beside them (LivenessCheck, Revoke, ForceActiveStandby, Init's triggerKill). Keys and records
// in etcd are the same, so coordinators on this package and on Milvus's own make one cluster.
//
//	session := sessionutil.NewSessionWithEtcd(ctx, "by-dev/meta", client, sessionutil.WithVersion("3.0.0"))
//	if err := session.Init("mixcoord", address, true); err != nil { ... }
//	session.SetEnableActiveStandBy(true)
//	if err := session.Register(); err != nil { ... }
//	err := session.ProcessActiveStandBy(activate) // returns once this process is active and activate has returned
//
// # What differs
//
// Where Milvus's code panics, ends the process or waits for ever, this returns an error or goes on:
//
//   - Init, Register: an error instead of a panic. Statements that ignore it compile as they did; what follows fails.
//   - A mixcoord that is older, by major or minor, than one that has been active: ProcessActiveStandBy returns an error that
//     names both versions, also while the newer one is active, since waiting does not help: session/version outlives the
//     one that wrote it. To go back to the older version, end all newer ones and set session/version back. One that
//     is overtaken after it was active goes on as a standby that never wins, and says so in its log and status.
//   - A standby that lost its lease, its watch or etcd takes over all the same, once it can.
//   - A primary that lost primacy is told by the callback of LivenessCheck, before anybody else becomes active (for at most
//     primacy.drain_timeout_ms), and goes on as a standby. When it wins again, the function that ProcessActiveStandBy
//     was given is called again. One that should end instead ends in its callback, as Milvus's coordinators do.
//   - The lock is lost by the clock, before etcd can give it to somebody else; [Session.Election] has the means to ask and
//     to write under the fencing token.
//   - GoingStop marks the candidate's record, ROLE-ID, never the lock: rewriting the lock would end its token.
//   - ForceActiveStandby waits for its turn: a lease of somebody else is never revoked, a key of somebody else never deleted.
//   - GetSessions leaves out what is no record, instead of failing; a watch that ends is begun anew.
//   - Each session has an id of its own, whatever WithResueNodeID says.
package sessionutil
