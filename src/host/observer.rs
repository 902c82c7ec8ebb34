//! Following the primary of a role, as clients of a coordinator do (MEP 30, key point 2b).

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::callback;
use super::closing::JoinError;
use super::environment::Environment;
use super::lock::lock;
use super::open_error::OpenError;
use super::requests::{Requests, heard};
use super::runtime::Runtime;
pub use super::seen::OnChange;
use super::seen::Seen;
use super::store::WatchReport;
use crate::clock::{Alarm, Clock};
use crate::engine::{Action, Event, ObserverSetup, Observing, Primary};
use crate::log::Level;

/// Follows one role. A clone is the same observer; the last one closes it when it is dropped.
#[derive(Clone)]
pub struct Observer(Arc<Handle>);

struct Handle {
    seen: Arc<Seen>,
    drain_timeout: Duration,
    /// Dropped to end the task.
    _running: oneshot::Sender<()>,
    _runtime: Arc<Runtime>,
}

/// Why a wait ended without a primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// There is none yet.
    #[error("no primary within the timeout")]
    TimedOut,
    /// The observer was closed.
    #[error("the observer is closed")]
    Closed,
    /// Asked for inside a callback, which would hold up what it waits for.
    #[error("inside a callback, which would hold up what it waits for")]
    InCallback,
}

impl Observer {
    /// Opens an observer and reads who is primary. Blocks for the setup's `request_timeout` at most. Needs no lease and
    /// writes nothing. `on_change` hears of every later change, and of the first state. A close waits for it as long as
    /// `drain_timeout`, if nothing else is said.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_in(
        environment: Environment,
        setup: ObserverSetup,
        drain_timeout: Duration,
        on_change: Option<OnChange>,
    ) -> Result<Observer, OpenError> {
        let Environment { store, reports, clock, runtime, log } = environment;
        let inside = runtime.io().enter();
        let alarm = clock.alarm()?;
        let seen = Seen::new(on_change, runtime.clone(), log.clone());
        let (running, ended) = oneshot::channel();
        let (requests, answers) = Requests::new(store, log);
        let patience = setup.request_timeout;
        let (seen_by_task, observing) = (seen.clone(), Observing::new(setup));
        let task = Task { seen: seen_by_task, observing, requests, clock, alarm, reports, answers, ended };
        tokio::spawn(task.run());
        drop(inside);
        let handle = Handle { seen: seen.clone(), drain_timeout, _running: running, _runtime: runtime };
        let observer = Observer(Arc::new(handle));
        drop(seen.wait(patience, |state| state.changes > 0 || state.failed));
        seen.opened().map(|()| observer)
    }

    /// The primary as far as is known now. Does not block.
    pub fn current(&self) -> Option<Primary> {
        lock(&self.0.seen.state).primary.clone()
    }

    /// Waits until there is a primary.
    ///
    /// # Errors
    /// See [`WaitError`].
    pub fn wait_for_primary(&self, timeout: Duration) -> Result<Primary, WaitError> {
        self.wait_until(timeout, |primary| primary.is_some())?.ok_or(WaitError::TimedOut)
    }

    /// Waits until there is a primary that is ready: what a client does before each call.
    ///
    /// # Errors
    /// See [`WaitError`].
    pub fn wait_until_ready(&self, timeout: Duration) -> Result<Primary, WaitError> {
        let ready = |primary: Option<&Primary>| primary.is_some_and(|primary| primary.ready);
        self.wait_until(timeout, ready)?.ok_or(WaitError::TimedOut)
    }

    /// Waits until the primary is another one than `seen`, has become ready since, or there is none.
    ///
    /// # Errors
    /// See [`WaitError`].
    pub fn wait_for_change(
        &self,
        seen: Option<&Primary>,
        timeout: Duration,
    ) -> Result<Option<Primary>, WaitError> {
        self.wait_until(timeout, |primary| primary != seen)
    }

    /// Waits until the primary is as it should be; `None`: nobody is.
    ///
    /// # Errors
    /// See [`WaitError`].
    pub fn wait_until(
        &self,
        timeout: Duration,
        reached: impl Fn(Option<&Primary>) -> bool,
    ) -> Result<Option<Primary>, WaitError> {
        if callback::is_inside() {
            return Err(WaitError::InCallback);
        }
        let seen = &self.0.seen;
        let state = seen.wait(timeout, |state| reached(state.primary.as_ref()));
        if state.closed {
            Err(WaitError::Closed)
        } else if reached(state.primary.as_ref()) {
            Ok(state.primary.clone())
        } else {
            Err(WaitError::TimedOut)
        }
    }

    /// Closes it: whoever waits is told so, and `on_change` is not called any more once it has returned. Waits for
    /// that for `timeout` at most; `None`: as long as callbacks may take, `primacy.drain_timeout_ms`.
    ///
    /// # Errors
    /// `TimedOut`: `on_change` still runs. `InCallback`: inside a callback it closes, and does not wait.
    pub fn close(&self, timeout: Option<Duration>) -> Result<(), JoinError> {
        let timeout = timeout.unwrap_or(self.0.drain_timeout);
        let seen = &self.0.seen;
        let mut state = lock(&seen.state);
        state.closed = true;
        seen.changed.notify_all();
        if callback::is_inside() {
            return Err(JoinError::InCallback);
        }
        let waited = seen.changed.wait_timeout_while(state, timeout, |state| state.telling);
        let telling = waited.unwrap_or_else(PoisonError::into_inner).0.telling;
        if telling { Err(JoinError::TimedOut) } else { Ok(()) }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observer({:?})", self.current())
    }
}

/// Follows until the last handle is gone.
struct Task {
    seen: Arc<Seen>,
    observing: Observing,
    requests: Requests,
    clock: Clock,
    alarm: Alarm,
    reports: mpsc::UnboundedReceiver<WatchReport>,
    answers: mpsc::UnboundedReceiver<Event>,
    ended: oneshot::Receiver<()>,
}

impl Task {
    async fn run(mut self) {
        let mut event = Event::Tick;
        loop {
            self.step(event);
            event = tokio::select! {
                _ = &mut self.ended => return,
                () = self.alarm.until(self.observing.next_deadline()) => Event::Tick,
                Some(report) = self.reports.recv() => heard(report).unwrap_or_else(|why| {
                    // It lives on what it reads every half TTL.
                    let text = format!("the watches have panicked, which is a bug: news come late: {why}");
                    self.seen.log.line(Level::Error, &text);
                    Event::Tick
                }),
                Some(answer) = self.answers.recv() => answer,
            };
        }
    }

    fn step(&mut self, event: Event) {
        if let Event::Answered { result: Err(failure), .. } = &event {
            lock(&self.seen.state).failure = Some(failure.clone());
        }
        for action in self.observing.step(self.clock.now(), event) {
            match action {
                Action::Send { request, purpose, timeout, what, .. } => {
                    self.requests.send(request, purpose, what, timeout);
                }
                Action::Watch { watch, ranges } => self.requests.watch(watch, ranges),
                Action::Unwatch { watch } => self.requests.unwatch(watch),
                Action::OpenFailed { failure } => {
                    let mut state = lock(&self.seen.state);
                    (state.failed, state.failure) = (true, Some(failure));
                    self.seen.changed.notify_all();
                }
                Action::Log { level, text, .. } => self.seen.log.line(level, &text),
                _ => {}
            }
        }
        let (changes, primary) = self.observing.seen();
        self.seen.saw(changes, primary);
    }
}
