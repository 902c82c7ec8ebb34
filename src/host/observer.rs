//! Following the primary of a role, as clients of a coordinator do (MEP 30, key point 2b).

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::callback;
use crate::clock::{Alarm, Clock};
use crate::closing::JoinError;
use crate::config::Settings;
use crate::driver::{heard, send};
use crate::engine::{Action, Event, ObserverSetup, Observing, Primary};
use crate::etcd::{Etcd, WatchReport};
use crate::log::{Level, Log};
use crate::milvus::Role;
use crate::runtime::{Runtime, lock};
use crate::session::OpenError;
use crate::store::Failure;
use crate::warning;

/// Told of every change, on a thread of this library's; may block, and then hears of the latest only.
pub type OnChange = Box<dyn Fn(Option<&Primary>) + Send + Sync>;

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

/// What the task and the handles share.
struct Seen {
    state: Mutex<State>,
    changed: Condvar,
    on_change: Option<OnChange>,
    runtime: Arc<Runtime>,
    log: Log,
}

#[derive(Default)]
struct State {
    /// Counts changes; 0: nothing is known yet.
    changes: u64,
    primary: Option<Primary>,
    failure: Option<Failure>,
    failed: bool,
    telling: bool,
    closed: bool,
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
    /// Opens an observer and reads who is primary. Blocks for `etcd.requestTimeout` at most. Needs no lease and
    /// writes nothing. `on_change` hears of every later change, and of the first state.
    ///
    /// # Errors
    /// As [`Session::open`](crate::session::Session::open); `Refused` also where `role` can not be one.
    pub fn open(
        settings: Settings,
        role: &str,
        log: Log,
        on_change: Option<OnChange>,
    ) -> Result<Observer, OpenError> {
        let role =
            Role::parse(role).map_err(|error| OpenError::Refused(Failure::Refused(error.to_string())))?;
        let patience = settings.etcd.request_timeout;
        let drain_timeout = settings.drain_timeout;
        let runtime = Runtime::shared()?;
        let io = runtime.io().clone();
        let _inside = io.enter();
        let clock = Clock::Boot;
        let alarm = clock.alarm()?;
        let log = log.behind(runtime.callbacks());
        if let Some(text) = warning::of_user(&settings) {
            log.warn(&text);
        }
        let (report, reports) = mpsc::unbounded_channel();
        let etcd = Etcd::new(&settings.etcd, report, log.clone()).map_err(OpenError::Refused)?;
        let observing = Observing::new(ObserverSetup {
            root: settings.root,
            layout: settings.layout,
            role,
            reread: settings.ttl / 2,
            request_timeout: patience,
            seed: fastrand::u64(..),
        });
        let seen = Arc::new(Seen {
            state: Mutex::default(),
            changed: Condvar::new(),
            on_change,
            runtime: runtime.clone(),
            log,
        });
        let (running, ended) = oneshot::channel();
        io.spawn(observe(seen.clone(), observing, etcd, clock, alarm, reports, ended));
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

impl Seen {
    /// As it is when `reached`, or the observer is closed, or `timeout` is over.
    fn wait(&self, timeout: Duration, reached: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let state = lock(&self.state);
        let waited =
            self.changed.wait_timeout_while(state, timeout, |state| !state.closed && !reached(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Whether it has opened. If not, `on_change` is not called any more: a host that hears of an error takes what
    /// that needs away, and the task goes on for a moment.
    fn opened(&self) -> Result<(), OpenError> {
        let mut state = lock(&self.state);
        if state.changes > 0 {
            return Ok(());
        }
        state.closed = true;
        let failure = state.failure.take();
        let failure = failure.unwrap_or_else(|| Failure::Unreachable("no answer from any endpoint".into()));
        Err(if state.failed { OpenError::Refused(failure) } else { OpenError::Unavailable(failure) })
    }

    fn saw(self: &Arc<Self>, changes: u64, primary: Option<&Primary>) {
        let mut state = lock(&self.state);
        if state.changes == changes {
            return;
        }
        (state.changes, state.primary) = (changes, primary.cloned());
        self.changed.notify_all();
        if self.on_change.is_some() && !state.closed && !std::mem::replace(&mut state.telling, true) {
            let seen = self.clone();
            drop(state);
            self.runtime.callbacks().run(move || seen.tell());
        }
    }

    /// Tells the host of the latest state, until it has heard of it.
    fn tell(&self) {
        let mut told = 0;
        loop {
            let mut state = lock(&self.state);
            if state.changes == told || state.closed {
                state.telling = false;
                self.changed.notify_all();
                return;
            }
            told = state.changes;
            let primary = state.primary.clone();
            drop(state);
            if let Some(on_change) = &self.on_change {
                let call = || on_change(primary.as_ref());
                callback::tell(0, &self.log, "an observer's callback", call);
            }
        }
    }
}

async fn observe(
    seen: Arc<Seen>,
    mut observing: Observing,
    etcd: Etcd,
    clock: Clock,
    alarm: Alarm,
    mut reports: mpsc::UnboundedReceiver<WatchReport>,
    mut ended: oneshot::Receiver<()>,
) {
    let (tell, mut events) = mpsc::unbounded_channel();
    let mut event = Event::Tick;
    loop {
        if let Event::Answered { result: Err(failure), .. } = &event {
            lock(&seen.state).failure = Some(failure.clone());
        }
        for action in observing.step(clock.now(), event) {
            match action {
                Action::Send { request, purpose, timeout, what, .. } => {
                    send(&etcd, &tell, &seen.log, request, purpose, what, timeout)
                }
                Action::Watch { watch, ranges } => etcd.watch(watch.0, ranges),
                Action::Unwatch { watch } => etcd.unwatch(watch.0),
                Action::OpenFailed { failure } => {
                    let mut state = lock(&seen.state);
                    (state.failed, state.failure) = (true, Some(failure));
                    seen.changed.notify_all();
                }
                Action::Log { level, text, .. } => seen.log.line(level, &text),
                _ => {}
            }
        }
        let (changes, primary) = observing.seen();
        seen.saw(changes, primary);
        let next = observing.next_deadline();
        event = tokio::select! {
            _ = &mut ended => return,
            () = alarm.until(next) => Event::Tick,
            Some(report) = reports.recv() => heard(report).unwrap_or_else(|why| {
                // It lives on what it reads every half TTL.
                let text = format!("the watches have panicked, which is a bug: news come late: {why}");
                seen.log.line(Level::Error, &text);
                Event::Tick
            }),
            Some(event) = events.recv() => event,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn seen(calls: &Arc<AtomicU32>) -> Arc<Seen> {
        let calls = calls.clone();
        Arc::new(Seen {
            state: Mutex::default(),
            changed: Condvar::new(),
            on_change: Some(Box::new(move |_| {
                calls.fetch_add(1, Ordering::SeqCst);
            })),
            runtime: Runtime::inline(),
            log: Log::none(),
        })
    }

    #[tokio::test]
    async fn an_answer_that_comes_after_the_open_has_failed_is_not_told() {
        let calls = Arc::default();
        let seen = seen(&calls);
        assert!(matches!(seen.opened(), Err(OpenError::Unavailable(_))));
        seen.saw(1, None);
        tokio::task::yield_now().await;
        assert_eq!(calls.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn an_answer_that_comes_with_the_timeout_opens_it() {
        let calls = Arc::default();
        let seen = seen(&calls);
        seen.saw(1, None);
        assert!(seen.opened().is_ok());
        tokio::task::yield_now().await;
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }
}
