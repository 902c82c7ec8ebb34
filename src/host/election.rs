//! The host's side of one election: its callbacks, its answers, `is_primary`, guarded writes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::callback;
use super::closing::{CloseError, Closing, Ends, JoinError};
use super::commit;
pub use super::commit::{CommitError, guarded};
pub use super::contract::{Host, Reader, Reply};
pub use super::lane::CompleteError;
use super::lane::Lane;
use super::lock::lock;
use super::shared::Shared;
use super::win::WinCell;
use crate::clock::Time;
use crate::engine::{CallId, ElectionSnapshot, Event, Outcome, Token};
use crate::milvus::Role;
use crate::store::{Compare, Txn, TxnAnswer};

/// One election of a session. A clone is the same election; dropping it changes nothing.
#[derive(Clone)]
pub struct Election {
    shared: Arc<Shared>,
    lane: Arc<Lane>,
}

impl Election {
    pub(super) fn new(shared: Arc<Shared>, lane: Arc<Lane>) -> Self {
        Election { shared, lane }
    }

    /// Its role.
    pub fn role(&self) -> &Role {
        &self.lane.role
    }

    /// Campaigns from now on: primary if it can be, standby otherwise. Returns at once; again: nothing happens.
    pub fn campaign(&self) {
        if !self.lane.campaigning.swap(true, Ordering::Relaxed) {
            self.shared.commands.ask(Event::Campaign { election: self.lane.id });
        }
    }

    /// Hands primacy over to a warm standby, the one with this server id or the best one, and goes on as standby itself;
    /// without primacy nothing happens. The standby is asked first. Until it has agreed, and if none does within a second
    /// or two, this process is primary. Then `on_lost` is called, and once that has ended one transaction makes the
    /// standby primary. Should it have gone by then, the next one is asked; if there is none this process is primary again,
    /// by another `on_primary` with a new token. Returns at once; inside a callback of this election it takes effect when
    /// that call is completed.
    pub fn transfer(&self, to: Option<i64>) {
        let within = self.shared.commands.current_call();
        self.shared.commands.ask(Event::Transfer { election: self.lane.id, to, within });
    }

    /// Gives primacy up and goes on as standby; without primacy nothing happens. A warm standby takes over as by
    /// [`transfer`](Self::transfer); if there is none, the lock is released. Returns at once; inside a callback
    /// of this election it takes effect when that call is completed.
    pub fn resign(&self) {
        self.shared
            .commands
            .ask(Event::Resign { election: self.lane.id, within: self.shared.commands.current_call() });
    }

    /// Says that the host is well, which a primary has to within each `primacy.liveness_timeout_ms`, where that is set; it
    /// counts from when this was called last, or `on_primary` ended. Who does not say it for that long is given up, with
    /// [`LostReason::LivenessExpired`](crate::engine::LostReason::LivenessExpired). While `on_primary` runs, and without
    /// primacy, it may be said and need not be; but who has said it in `on_primary` has to go on. Returns at once; any
    /// thread, also in a callback.
    pub fn healthy(&self) {
        if self.shared.liveness {
            self.shared.commands.ask(Event::Healthy { election: self.lane.id });
        }
    }

    /// Ends the election: `on_lost` if it is primary, its keys handed over to a warm standby as by
    /// [`transfer`](Self::transfer), or deleted, then [`Host::stopped`]. Callbacks that
    /// still run hold its keys for `timeout` at most. Returns at once; inside a callback of this election it takes
    /// effect when that call is completed.
    pub fn stop(&self, timeout: Duration) {
        self.lane.stops_by.within(self.shared.clock.now(), timeout);
        self.shared.commands.ask(Event::Withdraw {
            election: self.lane.id,
            timeout,
            within: self.shared.commands.current_call(),
        });
    }

    /// Waits until the election is over, [`Host::stopped`] included.
    ///
    /// # Errors
    /// `TimedOut`; `InCallback`: a callback can not wait for its own end.
    pub fn join(&self, timeout: Duration) -> Result<(), JoinError> {
        if callback::is_inside() {
            return Err(JoinError::InCallback);
        }
        if self.lane.wait_over(timeout) { Ok(()) } else { Err(JoinError::TimedOut) }
    }

    /// Closes the election: stops it, and waits until it is over. As [`Session::close`](super::session::Session::close),
    /// which see; a stop of its session counts as one of its own. `unread`: nobody takes its calls from their queue any
    /// more.
    ///
    /// # Errors
    /// See [`CloseError`].
    pub fn close(&self, timeout: Option<Duration>, unread: bool) -> Result<(), CloseError> {
        self.begin_close(timeout, unread).finish()
    }

    /// Begins what [`close`](Self::close) does, and returns at once.
    pub fn begin_close(&self, timeout: Option<Duration>, unread: bool) -> Closing<Election> {
        let stops_by = || self.lane.stops_by.get().min(self.shared.stops_by.get());
        if timeout.is_some() || stops_by() == Time::NEVER {
            self.stop(timeout.unwrap_or(self.shared.drain_timeout));
        }
        if unread {
            self.lane.leave_unread();
        }
        Closing::new(self.clone(), self.shared.clock, stops_by())
    }

    /// Completes a call that was answered with [`Reply::Pending`], or will be. Any thread; never blocks.
    ///
    /// # Errors
    /// `NotRunning`.
    pub fn complete(&self, call: CallId, outcome: Outcome) -> Result<(), CompleteError> {
        self.lane.complete(call, outcome)
    }

    /// Runs `run` as a part of `call`, for hosts whose callbacks do not run on threads of this library's: a `resign` or
    /// `stop` in there takes effect when that call is completed, and a `join` refuses.
    pub fn inside<T>(&self, call: CallId, run: impl FnOnce() -> T) -> T {
        callback::within(self.shared.commands.session(), Some(call), run)
    }

    /// Whether this call should end: it has been asked to, or is over.
    pub fn is_cancelled(&self, call: CallId) -> bool {
        self.lane.is_cancelled(call)
    }

    /// The token, if this process is primary now: a comparison of the clock with the lease's deadline, made at
    /// this call. Lock-free. Before anything that must not be done by a former primary, write it under the token
    /// instead: between this answer and what follows, time passes.
    pub fn token(&self) -> Option<Token> {
        self.lane.win.read(|| self.shared.clock.now()).map(|(token, _)| token)
    }

    /// How long this process is surely still primary; zero if it is not. Start nothing longer than that.
    pub fn remaining(&self) -> Duration {
        self.lane.win.read(|| self.shared.clock.now()).map_or(Duration::ZERO, |(_, left)| left)
    }

    /// Where [`token`](Self::token) reads, for bindings that must not touch even a count to get there. It is another
    /// election's once this one is gone: whoever reads it makes sure, before and after, that this one is not.
    pub fn win(&self) -> &'static WinCell {
        self.lane.win.cell()
    }

    /// Runs a transaction that only commits while the lock is held under `token`: a guarded write. It also commits
    /// while a resignation drains, so that a host can flush. Blocks for `timeout` at most. Without writes it is a guarded read. etcd takes 128 of each kind
    /// (`--max-txn-ops`), and the guard is among them: of the host's own, 126 comparisons and 126 gets (for a mixcoord
    /// 120 each), and 128 puts, deletes and gets together.
    ///
    /// # Errors
    /// See [`CommitError`]. One that would write in its else-branch is refused: the guard could not hold there.
    pub fn commit(&self, token: Token, txn: Txn, timeout: Duration) -> Result<TxnAnswer, CommitError> {
        self.shared.runtime.io().block_on(self.commits(token, txn, timeout))
    }

    /// Starts what [`commit`](Self::commit) does, and returns at once; `done` is told what came of it, once, also if
    /// the session ends meanwhile. No thread is held for it: any number may be started, of which 128 of a session are
    /// under way at a time.
    ///
    /// `done` runs on a thread of this library's that keeps no lease, after all that was told before, so it must return
    /// soon. It is a callback: what waits for an end refuses there.
    pub fn start_commit(
        &self,
        token: Token,
        txn: Txn,
        timeout: Duration,
        done: impl FnOnce(Result<TxnAnswer, CommitError>) + Send + 'static,
    ) {
        let election = self.clone();
        let commits = async move { election.commits(token, txn, timeout).await };
        self.shared.start(commits, |why| Err(CommitError::Unknown(why)), done);
    }

    async fn commits(&self, token: Token, txn: Txn, timeout: Duration) -> Result<TxnAnswer, CommitError> {
        commit::commit(&self.shared.requests, token, self.guard(token), txn, timeout).await
    }

    /// `etcd.requestTimeout`, as it was configured.
    pub fn request_timeout(&self) -> Duration {
        self.shared.request_timeout
    }

    /// What [`commit`](Self::commit) compares besides the host's own, for hosts that write to the same etcd by a
    /// client of their own: every one of them must hold. `None`: this token is not that of a win that still counts.
    pub fn guard(&self, token: Token) -> Option<Vec<Compare>> {
        lock(&self.shared.engine).guard(self.lane.id, token)
    }

    /// Where it stands; `None`: it is over. Does not block.
    pub fn snapshot(&self) -> Option<ElectionSnapshot> {
        let found = lock(&self.shared.engine).election(self.shared.clock.now(), self.lane.id);
        found.or_else(|| self.not_yet())
    }

    /// The engine has not heard of it yet, if nothing has ended it.
    fn not_yet(&self) -> Option<ElectionSnapshot> {
        let ends = self.lane.stops_by.get().min(self.shared.stops_by.get()) != Time::NEVER;
        (!ends && !self.shared.progress.now().over)
            .then(|| ElectionSnapshot::new(self.lane.id, self.lane.role.as_str()))
    }

    /// Calls `told` once, as soon as `reached` holds of where the election stands, which may be now, or its session is
    /// over. Returns at once, and holds no thread; `told` runs as that of [`start_commit`](Self::start_commit) does.
    pub fn start_wait(
        &self,
        reached: impl Fn(Option<&ElectionSnapshot>) -> bool + Send + 'static,
        told: impl FnOnce() + Send + 'static,
    ) {
        let election = self.clone();
        let waits = async move {
            let progress = &election.shared.progress;
            // From before it is looked at: a step that is made meanwhile is not missed.
            let mut steps = progress.steps();
            while !reached(election.snapshot().as_ref()) && !progress.now().over {
                let _ = steps.changed().await;
            }
        };
        self.shared.start(waits, |_| (), |()| told());
    }

    /// What happened: as long as that is not more than a megabyte (about the first hour of a session with one election),
    /// every step of the session as a transcript, which runs as one of `tests/transcripts/`; then the last steps that
    /// this election had a part in, to be read. It says which.
    pub fn recording(&self) -> String {
        let recorder = lock(&self.shared.recorder).clone();
        recorder.text(self.lane.id, usize::MAX)
    }
}

impl Ends for Election {
    fn join(&self, timeout: Duration) -> Result<(), JoinError> {
        self.join(timeout)
    }
    fn unfinished(&self) -> Vec<Role> {
        vec![self.lane.role.clone()]
    }
}

impl fmt::Debug for Election {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Election({})", self.lane.role)
    }
}
