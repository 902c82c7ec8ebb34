//! The host's side of one election: its callbacks, its answers, `is_primary`, guarded writes.

use std::any::Any;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::callback;
use crate::clock::Time;
use crate::closing::{CloseError, Closing, Ends, JoinError, StopsBy};
use crate::commit;
pub use crate::commit::{CommitError, guarded};
use crate::driver::Shared;
use crate::engine::{Call, CallId, ElectionId, ElectionSnapshot, Event, LostReason, Notice, Outcome, Token};
use crate::log::Log;
use crate::milvus::Role;
use crate::panic;
use crate::runtime::lock;
use crate::store::{Compare, LeaseId, Txn, TxnAnswer};
use crate::win::{Lent, WinCell};

/// What the host does when it is called. All of it runs on threads of this library's that keep no lease, and may
/// block as long as it likes; a panic counts as "failed".
pub trait Host: Send + Sync + 'static {
    /// A callback: what is to be done, and how it ended. One at a time, in order, but for `on_lost`, which starts
    /// at once even while another one runs.
    fn call(&self, call: CallId, what: &Call) -> Reply;
    /// That call, which is still running, should end soon; it must still be answered or completed.
    fn cancelled(&self, call: CallId);
    /// Something that needs no answer. In order among themselves and with [`Host::cancelled`].
    fn notice(&self, what: &Notice);
    /// The election is over; the last use of the host.
    fn stopped(&self);
    /// Asked once, before all else: whether this host keeps what it is told until somebody reads it. Then none of the
    /// above may block, each call is answered with [`Reply::Pending`], and it begins when `reader` says so. Otherwise
    /// a callback begins when it is called.
    fn keeps(&self, reader: Reader) -> bool {
        let _ = reader;
        false
    }
}

/// By which a host that keeps what it is told says what becomes of it.
#[derive(Clone)]
pub struct Reader(Weak<Lane>);

impl Reader {
    /// The host begins a call. False: it was taken back meanwhile, and there is nothing to do.
    pub fn takes(&self, call: CallId) -> bool {
        self.0.upgrade().is_some_and(|lane| lane.begin(call))
    }

    /// Nobody will begin a call.
    pub fn refuses(&self, call: CallId, why: &str) {
        if let Some(lane) = self.0.upgrade() {
            let _ = lane.complete(call, Outcome::Failed(why.into()));
        }
    }

    /// Whether something waits to be read; said again when something is read and more is left.
    pub fn unread(&self, waits: bool) {
        if let Some(lane) = self.0.upgrade()
            && let Some(shared) = lane.shared.upgrade()
        {
            shared.tell(Event::Unread { election: lane.id, waits });
        }
    }
}

/// How a callback ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Well.
    Done,
    /// Well, and the standby is warm (of a warm-up).
    Warm,
    /// Not yet: [`Election::complete`] will say so, from any thread, even before this callback has returned.
    Pending,
    /// Badly; the text is for people.
    Failed(String),
}

/// One election of a session. A clone is the same election; dropping it changes nothing.
#[derive(Clone)]
pub struct Election {
    shared: Arc<Shared>,
    lane: Arc<Lane>,
}

/// Why a call can not be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompleteError {
    /// It is over already, or there never was one of this name.
    #[error("no such call is running: it was completed before, or is another election's")]
    NotRunning,
}

impl Election {
    pub(crate) fn new(shared: Arc<Shared>, lane: Arc<Lane>) -> Self {
        Election { shared, lane }
    }

    /// Its role.
    pub fn role(&self) -> &Role {
        &self.lane.role
    }

    /// Campaigns from now on: primary if it can be, standby otherwise. Returns at once; again: nothing happens.
    pub fn campaign(&self) {
        if !self.lane.campaigning.swap(true, Ordering::Relaxed) {
            self.shared.tell(Event::Campaign { election: self.lane.id });
        }
    }

    /// Gives primacy up and goes on as standby; without primacy nothing happens. Returns at once; inside a callback
    /// of this election it takes effect when that call is completed.
    pub fn resign(&self) {
        self.shared.tell(Event::Resign { election: self.lane.id, within: self.shared.current_call() });
    }

    /// Ends the election: `on_lost` if it is primary, its keys deleted, then [`Host::stopped`]. Callbacks that
    /// still run hold its keys for `timeout` at most. Returns at once; inside a callback of this election it takes
    /// effect when that call is completed.
    pub fn stop(&self, timeout: Duration) {
        self.lane.stops_by.within(self.shared.clock.now(), timeout);
        self.shared.tell(Event::Withdraw {
            election: self.lane.id,
            timeout,
            within: self.shared.current_call(),
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
        let state = lock(&self.lane.state);
        let waited = self.lane.stopped.wait_timeout_while(state, timeout, |state| !state.stopped);
        let stopped = waited.unwrap_or_else(PoisonError::into_inner).0.stopped;
        if stopped { Ok(()) } else { Err(JoinError::TimedOut) }
    }

    /// Closes the election: stops it, and waits until it is over. As [`Session::close`](crate::session::Session::close),
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
        callback::within(self.lane.session(), Some(call), run)
    }

    /// Whether this call should end: it has been asked to, or is over.
    pub fn is_cancelled(&self, call: CallId) -> bool {
        lock(&self.lane.state).calls.get(&call).is_none_or(|call| call.cancelled)
    }

    /// The token, if this process is primary now: a comparison of the clock with the lease's deadline, made at
    /// this call. Lock-free. Before anything that must not be done by a former primary, write it under the token
    /// instead: between this answer and what follows, time passes.
    pub fn token(&self) -> Option<Token> {
        self.lane.win.read(&self.shared.clock).map(|(token, _)| token)
    }

    /// How long this process is surely still primary; zero if it is not. Start nothing longer than that.
    pub fn remaining(&self) -> Duration {
        self.lane.win.read(&self.shared.clock).map_or(Duration::ZERO, |(_, left)| left)
    }

    /// Where [`token`](Self::token) reads, for bindings that must not touch even a count to get there. It is another
    /// election's once this one is gone: whoever reads it makes sure, before and after, that this one is not.
    pub fn win(&self) -> &'static WinCell {
        self.lane.win.cell()
    }

    /// Runs a transaction that only commits while the lock is held under `token`: a guarded write. It also commits
    /// while a resignation drains, so that a host can flush. Blocks for `timeout` at most. `succeeded = false`: the
    /// host's own comparisons did not hold. Without writes it is a guarded read. etcd takes 128 of each kind
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
        commit::commit(&self.shared.etcd, token, self.guard(token), txn, timeout).await
    }

    /// What [`commit`](Self::commit) compares besides the host's own, for hosts that write to the same etcd by a
    /// client of their own: every one of them must hold. `None`: this token is not that of a win that still counts.
    pub fn guard(&self, token: Token) -> Option<Vec<Compare>> {
        lock(&self.shared.engine).guard(self.lane.id, token)
    }

    /// Where it stands; `None`: it is over. Does not block.
    pub fn snapshot(&self) -> Option<ElectionSnapshot> {
        lock(&self.shared.engine).election(self.shared.clock.now(), self.lane.id)
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

/// The elections of a session whose hosts do not know them to be over.
#[derive(Default)]
pub(crate) struct Lanes {
    all: HashMap<ElectionId, Arc<Lane>>,
    roles: HashSet<Role>,
}

impl Lanes {
    pub fn add(&mut self, lane: Arc<Lane>) {
        self.roles.insert(lane.role.clone());
        self.all.insert(lane.id, lane);
    }

    pub fn remove(&mut self, election: ElectionId) {
        if let Some(lane) = self.all.remove(&election) {
            self.roles.remove(&lane.role);
        }
    }

    pub fn get(&self, election: ElectionId) -> Option<Arc<Lane>> {
        self.all.get(&election).cloned()
    }

    pub fn has(&self, role: &Role) -> bool {
        self.roles.contains(role)
    }

    pub fn all(&self) -> Vec<Arc<Lane>> {
        self.all.values().cloned().collect()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// What the driver and the handles share of one election: the host, and its calls that are running.
pub(crate) struct Lane {
    pub id: ElectionId,
    pub role: Role,
    pub win: Lent,
    pub stops_by: StopsBy,
    /// It was asked to campaign, which it does until it ends.
    campaigning: AtomicBool,
    host: Arc<dyn Host>,
    /// See [`Host::keeps`].
    keeps: bool,
    log: Log,
    shared: Weak<Shared>,
    state: Mutex<State>,
    stopped: Condvar,
}

#[derive(Default)]
struct State {
    /// The win that `is_primary` stands on, once its `on_primary` has begun.
    primary: Option<Primacy>,
    calls: HashMap<CallId, Running>,
    /// The driver is gone: over when the last call has ended.
    abandoned: bool,
    /// What is told in order, one after the other.
    quick: VecDeque<Quick>,
    /// Somebody is telling it.
    telling: bool,
    /// Nobody takes calls from its queue any more.
    unread: bool,
    stopped: bool,
}

#[derive(Clone, Copy)]
struct Primacy {
    token: Token,
    lease: LeaseId,
    deadline: Option<&'static AtomicU64>,
    begun: bool,
}

#[derive(Default)]
struct Running {
    /// It is `on_primary`: is_primary turns to yes just before it begins.
    makes_primary: bool,
    begun: bool,
    /// The callback has returned, and its answer was "pending".
    pending: bool,
    /// It was completed before it returned.
    completed: Option<Outcome>,
    cancelled: bool,
}

enum Quick {
    Cancelled(CallId),
    Notice(Notice),
    Stopped,
}

impl Lane {
    pub fn new(id: ElectionId, role: Role, host: Arc<dyn Host>, shared: &Arc<Shared>) -> Arc<Self> {
        Arc::new_cyclic(|lane| Lane {
            id,
            role,
            win: Lent::new(),
            stops_by: StopsBy::default(),
            campaigning: AtomicBool::new(false),
            keeps: host.keeps(Reader(lane.clone())),
            host,
            log: shared.log.clone(),
            shared: Arc::downgrade(shared),
            state: Mutex::default(),
            stopped: Condvar::new(),
        })
    }

    /// What `is_primary` answers once the `on_primary` that follows begins, or from now on if there is no win;
    /// `deadline` is the lease's own cell.
    pub fn set_primacy(&self, win: Option<(Token, LeaseId)>, deadline: Option<&'static AtomicU64>) {
        let mut state = lock(&self.state);
        state.primary = win.map(|(token, lease)| Primacy { token, lease, deadline, begun: false });
        self.win.set(None);
    }

    /// The driver can not go on: ends what it would have ended.
    pub fn abandon(self: &Arc<Self>) {
        let primary = {
            let mut state = lock(&self.state);
            state.abandoned = true;
            state.calls.retain(|_, running| running.begun);
            self.win.set(None);
            state.primary.take().filter(|primary| primary.begun)
        };
        match primary {
            // No other call has this name: the engine counts up from 1.
            Some(Primacy { token, lease, .. }) => {
                self.call(CallId(u64::MAX), Call::Lost { token, lease, reason: LostReason::InternalError });
            }
            None => self.stop_if_abandoned(),
        }
    }

    fn stop_if_abandoned(self: &Arc<Self>) {
        let over = {
            let mut state = lock(&self.state);
            state.calls.is_empty() && std::mem::take(&mut state.abandoned)
        };
        if over {
            self.stop();
        }
    }

    /// Calls the host: on a thread of its own, if it does not keep the call for later.
    pub fn call(self: &Arc<Self>, call: CallId, what: Call) {
        let makes_primary = matches!(what, Call::Primary { .. });
        let unread = {
            let mut state = lock(&self.state);
            state.calls.insert(call, Running { makes_primary, ..Running::default() });
            state.unread
        };
        if unread {
            return self.leave_unread();
        }
        let lane = self.clone();
        self.run(move || {
            if !lane.keeps && !lane.begin(call) {
                return;
            }
            let reply = callback::within(lane.session(), Some(call), || {
                catch_unwind(AssertUnwindSafe(|| lane.host.call(call, &what)))
            });
            let panicked = |payload: Box<dyn Any + Send>| {
                Reply::Failed(format!("it panicked: {}", panic::text(&*payload)))
            };
            lane.returned(call, reply.unwrap_or_else(panicked));
        });
    }

    /// The host begins a call. False: there is nothing to begin any more.
    fn begin(&self, call: CallId) -> bool {
        let mut state = lock(&self.state);
        let State { calls, primary, .. } = &mut *state;
        let Some(running) = calls.get_mut(&call) else { return false };
        running.begun = true;
        if running.makes_primary
            && let Some(primary) = primary
        {
            primary.begun = true;
            self.win.set(primary.deadline.map(|deadline| (primary.token, deadline)));
        }
        // Under the lock: a call that is taken back was not begun, and the other way round.
        if let Some(shared) = self.shared.upgrade() {
            shared.tell(Event::Taken { call });
        }
        true
    }

    pub fn cancel(self: &Arc<Self>, call: CallId) {
        let mut state = lock(&self.state);
        match state.calls.get_mut(&call) {
            Some(running) if running.begun => running.cancelled = true,
            Some(_) => {
                state.calls.remove(&call);
                drop(state);
                return self.ended(call, Outcome::Failed("taken back before it began".into()));
            }
            None => {}
        }
        drop(state);
        self.tell(Quick::Cancelled(call));
    }

    /// Nobody takes calls from its host's queue any more: those that wait there fail, and those that come.
    pub fn leave_unread(self: &Arc<Self>) {
        if !self.keeps {
            return;
        }
        let left: Vec<CallId> = {
            let mut state = lock(&self.state);
            state.unread = true;
            state.calls.extract_if(|_, running| !running.begun).map(|(call, _)| call).collect()
        };
        let why = "nobody takes the calls of this election any more";
        left.into_iter().for_each(|call| self.ended(call, Outcome::Failed(why.into())));
    }

    pub fn notice(self: &Arc<Self>, what: Notice) {
        self.tell(Quick::Notice(what));
    }

    /// The engine is done with this election, and no call of it is running.
    pub fn stop(self: &Arc<Self>) {
        self.tell(Quick::Stopped);
    }

    fn session(&self) -> usize {
        self.shared.as_ptr().addr()
    }

    fn run(&self, job: impl FnOnce() + Send + 'static) {
        if self.keeps {
            job();
        } else if let Some(shared) = self.shared.upgrade() {
            let callbacks = shared.runtime.callbacks();
            callbacks.run(job);
            if let Some(shortage) = callbacks.news_of_shortage() {
                shared.log.warn(&shortage);
            }
        }
    }

    fn returned(self: &Arc<Self>, call: CallId, reply: Reply) {
        let mut state = lock(&self.state);
        let Some(running) = state.calls.get_mut(&call) else { return };
        let outcome = match (reply, running.completed.take()) {
            (Reply::Pending, None) => {
                running.pending = true;
                return;
            }
            (Reply::Pending, Some(outcome)) => outcome,
            (Reply::Done, _) => Outcome::Done,
            (Reply::Warm, _) => Outcome::Warm,
            (Reply::Failed(why), _) => Outcome::Failed(why),
        };
        state.calls.remove(&call);
        drop(state);
        self.ended(call, outcome);
    }

    fn complete(self: &Arc<Self>, call: CallId, outcome: Outcome) -> Result<(), CompleteError> {
        let mut state = lock(&self.state);
        match state.calls.get_mut(&call) {
            Some(running) if running.pending => {
                state.calls.remove(&call);
                drop(state);
                self.ended(call, outcome);
                Ok(())
            }
            Some(running) if running.completed.is_none() => {
                running.completed = Some(outcome);
                Ok(())
            }
            _ => Err(CompleteError::NotRunning),
        }
    }

    fn ended(self: &Arc<Self>, call: CallId, outcome: Outcome) {
        if let Some(shared) = self.shared.upgrade() {
            shared.tell(Event::Completed { call, outcome });
        }
        self.stop_if_abandoned();
    }

    fn tell(self: &Arc<Self>, quick: Quick) {
        let mut state = lock(&self.state);
        state.quick.push_back(quick);
        if !std::mem::replace(&mut state.telling, true) {
            drop(state);
            let lane = self.clone();
            self.run(move || lane.tell_all());
        }
    }

    fn tell_all(&self) {
        loop {
            let quick = {
                let mut state = lock(&self.state);
                match state.quick.pop_front() {
                    Some(quick) => quick,
                    None => {
                        state.telling = false;
                        return;
                    }
                }
            };
            let told = || match &quick {
                Quick::Cancelled(call) => self.host.cancelled(*call),
                Quick::Notice(what) => self.host.notice(what),
                Quick::Stopped => self.host.stopped(),
            };
            callback::tell(self.session(), &self.log, format_args!("{}: a notice", self.role), told);
            if matches!(quick, Quick::Stopped) {
                // Under the lock: whoever has waited for the end can register the role again.
                let mut state = lock(&self.state);
                state.stopped = true;
                if let Some(shared) = self.shared.upgrade() {
                    shared.forget(self.id);
                }
                drop(state);
                self.stopped.notify_all();
            }
        }
    }
}
