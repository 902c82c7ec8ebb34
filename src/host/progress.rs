//! How far a session is, for those who wait for it.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::lock::lock;
use crate::in_time::timeout_at;
use crate::store::Failure;

/// How far it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Stage {
    /// The server id, once it is open.
    pub opened: Option<i64>,
    /// The last reason why it is not open yet.
    pub failure: Option<Failure>,
    /// Trying again does not help.
    pub failed: bool,
    /// No callback runs, none will.
    pub over: bool,
}

/// See the module.
#[derive(Default)]
pub(super) struct Progress {
    stage: Mutex<Stage>,
    advanced: Condvar,
    /// For those who wait for something of the engine's: it may stand elsewhere now.
    steps: watch::Sender<()>,
}

impl Progress {
    pub fn advance(&self, change: impl FnOnce(&mut Stage)) {
        change(&mut lock(&self.stage));
        self.advanced.notify_all();
        self.stepped();
    }

    /// The engine has made a step.
    pub fn stepped(&self) {
        self.steps.send_replace(());
    }

    /// Tells of each step from now on.
    pub fn steps(&self) -> watch::Receiver<()> {
        self.steps.subscribe()
    }

    /// How far it is when `reached`, or `timeout` is over.
    pub fn wait(&self, timeout: Duration, reached: impl Fn(&Stage) -> bool) -> Stage {
        let waited = self.advanced.wait_timeout_while(lock(&self.stage), timeout, |stage| !reached(stage));
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// The same, for who must not block.
    pub async fn reach(&self, timeout: Duration, reached: impl Fn(&Stage) -> bool) -> Stage {
        let (until, mut steps) = (Instant::now() + timeout, self.steps());
        loop {
            let stage = self.now();
            if reached(&stage) || timeout_at(until, steps.changed()).await.is_err() {
                return stage;
            }
        }
    }

    pub fn now(&self) -> Stage {
        lock(&self.stage).clone()
    }
}
