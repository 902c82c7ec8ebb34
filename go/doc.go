// Package primacy gives a service of several processes one primary and warm standbys, over etcd, beside Milvus's own
// coordinators. It is a thin layer over the C library of the same name: what decides is there.
//
//	session, err := primacy.Open(ctx, primacy.Config{
//		Endpoints: []string{"localhost:2379"},
//		Root:      "by-dev/meta",
//		Candidate: primacy.Candidate{Address: "10.0.0.7:53100", Version: "3.0.0"},
//	})
//	election, err := session.Register("rootcoord")
//	err = election.Campaign(primacy.Handlers{
//		OnPrimary: func(ctx context.Context, win primacy.Win) error { return serve(ctx, win.Token) },
//		OnLost:    func(ctx context.Context, lost primacy.Lost) error { return stopServing() },
//	})
//	defer session.Close(context.Background())
//
// # What is guaranteed
//
//   - [Election.IsPrimary] compares the clock with the deadline of the lease at each call. A process that was paused, or
//     cut off from etcd, answers false before anybody else can be primary, up to the error of the machines' clock rates,
//     which the setting primacy.margin_ms covers.
//   - [Election.Commit] writes under the fencing token of a win. etcd itself refuses it from anybody but the present
//     holder, however late it arrives.
//   - Each [Handlers.OnPrimary] is followed by exactly one [Handlers.OnLost], also while OnPrimary still runs. The lock
//     goes to the next one when all handlers of the win have returned, or after primacy.drain_timeout_ms.
//   - A standby takes over again and again, in the same process, whatever happened to its lease, its watch, its
//     connection, or one member of etcd. The library never ends the process.
//   - Handlers run on goroutines of their own and may take as long as they like: no lease waits for them. A panic in one,
//     or [runtime.Goexit], counts as its failure.
//
// # What is not
//
// Time passes between IsPrimary and what is done with its answer, so it can not protect data: write data by Commit (or
// by package etcdfence, for hosts that have an etcd client), and for data outside of etcd let the store keep the highest
// token that it has seen and refuse lower ones. Nobody may delete the lock or revoke the lease behind the library's back;
// it notices, within a second.
//
// # What may surprise
//
// [Handlers.OnPrimary] returns when the service is ready; that does not end primacy, unlike OnStartedLeading of
// Kubernetes' client-go, which runs for as long as its caller leads. What should run while this process is primary gets
// the handler's context, which outlives the handler and is cancelled when primacy ends.
//
// # Contexts
//
// Every call that waits takes a context and returns when it is done. What it had asked of etcd may still happen then:
// [Election.Commit] says so by [ErrIndefinite]. The context that a handler gets marks what is done inside of it:
// [Election.Resign], [Election.Close] and [Session.Close] called with it, or with one made from it, return at once and
// take effect when that handler returns. With another context they would wait, inside the handler, for its own end,
// until their time is over.
//
// # Errors
//
// Errors of the library are *[Error]; each carries a [Code], which [errors.Is] finds:
//
//	if errors.Is(err, primacy.ErrNotPrimary) { ... }
//
// # Linking
//
// The default is the static library that `make go` puts below this folder. The build tag primacy_dynamic uses
// `pkg-config primacy` instead. Without cgo, and on a platform without the library, the package compiles and every call
// answers [ErrUnsupported].
//
// All methods may be called on any goroutine, several at a time.
package primacy
