//! What runs the host's callbacks of one election: one at a time as the engine wants them, on threads that keep no lease.
//!
//! It knows which calls run, which of them the host has begun, and what `is_primary` stands on. What becomes of them it
//! tells the driver, as a command; so it does that the host knows the election to be over, which is the last of it.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::callback;
use super::closing::StopsBy;
use super::commands::Commands;
use super::contract::{Host, Kept, Reader, Reply};
use super::in_order::InOrder;
use super::lock::lock;
use super::panic;
use super::threads::Callbacks;
use super::win::Lent;
use crate::engine::{Call, CallId, ElectionId, Event, LostReason, Notice, Outcome, Token};
use crate::log::Log;
use crate::milvus::Role;
use crate::store::LeaseId;

/// Why a call can not be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompleteError {
    /// It is over already, or there never was one of this name.
    #[error("no such call is running: it was completed before, or is another election's")]
    NotRunning,
}

/// See the module.
pub(super) struct Lane {
    pub id: ElectionId,
    pub role: Role,
    pub win: Lent,
    pub stops_by: StopsBy,
    /// It was asked to campaign, which it does until it ends.
    pub campaigning: AtomicBool,
    host: Arc<dyn Host>,
    /// See [`Host::keeps`].
    keeps: bool,
    commands: Arc<Commands>,
    callbacks: Arc<Callbacks>,
    log: Log,
    /// What needs no answer, one after the other.
    notices: Arc<InOrder>,
    state: Mutex<State>,
    over: Condvar,
}

#[derive(Default)]
struct State {
    /// The win that `is_primary` stands on, once its `on_primary` has begun.
    primary: Option<Primacy>,
    calls: HashMap<CallId, Running>,
    /// The driver is gone: over when the last call has ended.
    abandoned: bool,
    /// Nobody takes calls from its queue any more.
    unread: bool,
    over: bool,
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

impl Lane {
    pub fn new(
        id: ElectionId,
        role: Role,
        host: Arc<dyn Host>,
        commands: &Arc<Commands>,
        callbacks: &Arc<Callbacks>,
        log: &Log,
    ) -> Arc<Self> {
        Arc::new_cyclic(|lane: &Weak<Lane>| {
            let keeps = host.keeps(Reader(lane.clone()));
            Lane {
                id,
                role,
                win: Lent::new(),
                stops_by: StopsBy::default(),
                campaigning: AtomicBool::new(false),
                host,
                keeps,
                commands: commands.clone(),
                callbacks: callbacks.clone(),
                log: log.clone(),
                notices: InOrder::new((!keeps).then(|| callbacks.clone())),
                state: Mutex::default(),
                over: Condvar::new(),
            }
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
            let reply = callback::within(lane.commands.session(), Some(call), || {
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
        self.commands.ask(Event::Taken { call });
        true
    }

    pub fn cancel(self: &Arc<Self>, call: CallId) {
        if self.take_back(call, "taken back before it began") {
            return;
        }
        if let Some(running) = lock(&self.state).calls.get_mut(&call) {
            running.cancelled = true;
        }
        self.tell(move |host| host.cancelled(call));
    }

    /// A call that has not begun has failed; whether it has not.
    fn take_back(self: &Arc<Self>, call: CallId, why: &str) -> bool {
        let taken = {
            let calls = &mut lock(&self.state).calls;
            calls.get(&call).is_some_and(|running| !running.begun) && calls.remove(&call).is_some()
        };
        if taken {
            self.ended(call, Outcome::Failed(why.into()));
        }
        taken
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
        self.tell(move |host| host.notice(&what));
    }

    /// The engine is done with this election, and no call of it is running.
    pub fn stop(self: &Arc<Self>) {
        self.tell(|host| host.stopped());
        let lane = self.clone();
        self.notices.run(move || lane.commands.say_over(lane.id));
    }

    /// The driver knows that the host knows: nothing is left of it.
    pub fn finish(&self) {
        lock(&self.state).over = true;
        self.over.notify_all();
    }

    /// Waits until nothing is left of it; whether that is so in time.
    pub fn wait_over(&self, timeout: Duration) -> bool {
        let waited = self.over.wait_timeout_while(lock(&self.state), timeout, |state| !state.over);
        waited.unwrap_or_else(PoisonError::into_inner).0.over
    }

    /// Whether this call should end: it has been asked to, or is over.
    pub fn is_cancelled(&self, call: CallId) -> bool {
        lock(&self.state).calls.get(&call).is_none_or(|call| call.cancelled)
    }

    fn run(&self, job: impl FnOnce() + Send + 'static) {
        if self.keeps {
            job();
        } else {
            self.callbacks.run(job);
            if let Some(shortage) = self.callbacks.news_of_shortage() {
                self.log.warn(&shortage);
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

    /// Completes a call that was answered with "pending", or will be.
    pub fn complete(self: &Arc<Self>, call: CallId, outcome: Outcome) -> Result<(), CompleteError> {
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
        self.commands.ask(Event::Completed { call, outcome });
        self.stop_if_abandoned();
    }

    fn tell(self: &Arc<Self>, what: impl FnOnce(&dyn Host) + Send + 'static) {
        let lane = self.clone();
        self.notices.run(move || {
            let session = lane.commands.session();
            callback::tell(session, &lane.log, format_args!("{}: a notice", lane.role), || what(&*lane.host));
        });
    }
}

impl Kept for Lane {
    fn take(self: Arc<Self>, call: CallId) -> bool {
        self.begin(call)
    }
    fn refuse(self: Arc<Self>, call: CallId, why: &str) {
        self.take_back(call, why);
    }
    fn unread(self: Arc<Self>, waits: bool) {
        self.commands.ask(Event::Unread { election: self.id, waits });
    }
}
