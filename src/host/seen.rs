//! What an observer has seen: for those who ask, those who wait, and the host that is told of it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::callback;
use super::lock::lock;
use super::open_error::OpenError;
use super::runtime::Runtime;
use crate::engine::Primary;
use crate::log::Log;
use crate::store::Failure;

/// Told of every change, on a thread of this library's; may block, and then hears of the latest only.
pub type OnChange = Box<dyn Fn(Option<&Primary>) + Send + Sync>;

/// What the task and the handles share.
pub(super) struct Seen {
    pub state: Mutex<State>,
    pub changed: Condvar,
    on_change: Option<OnChange>,
    runtime: Arc<Runtime>,
    pub log: Log,
}

#[derive(Default)]
pub(super) struct State {
    /// Counts changes; 0: nothing is known yet.
    pub changes: u64,
    pub primary: Option<Primary>,
    pub failure: Option<Failure>,
    pub failed: bool,
    pub telling: bool,
    pub closed: bool,
}

impl Seen {
    pub fn new(on_change: Option<OnChange>, runtime: Arc<Runtime>, log: Log) -> Arc<Seen> {
        Arc::new(Seen { state: Mutex::default(), changed: Condvar::new(), on_change, runtime, log })
    }

    /// As it is when `reached`, or the observer is closed, or `timeout` is over.
    pub fn wait(&self, timeout: Duration, reached: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let state = lock(&self.state);
        let waited =
            self.changed.wait_timeout_while(state, timeout, |state| !state.closed && !reached(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Whether it has opened. If not, `on_change` is not called any more: a host that hears of an error takes what
    /// that needs away, and the task goes on for a moment.
    pub fn opened(&self) -> Result<(), OpenError> {
        let mut state = lock(&self.state);
        if state.changes > 0 {
            return Ok(());
        }
        state.closed = true;
        let failure = state.failure.take();
        let failure = failure.unwrap_or_else(|| Failure::Unreachable("no answer from any endpoint".into()));
        Err(if state.failed { OpenError::Refused(failure) } else { OpenError::Unavailable(failure) })
    }

    pub fn saw(self: &Arc<Self>, changes: u64, primary: Option<&Primary>) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn seen(calls: &Arc<AtomicU32>) -> Arc<Seen> {
        let calls = calls.clone();
        let count = move |_: Option<&Primary>| {
            calls.fetch_add(1, Ordering::SeqCst);
        };
        Seen::new(Some(Box::new(count)), Runtime::here(), Log::none())
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
