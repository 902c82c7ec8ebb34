//! What the driver of a session shares with the handles of the host.

#[cfg(feature = "defect")]
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::callback;
use super::closing::StopsBy;
use super::commands::Commands;
use super::in_order::InOrder;
use super::lanes::Lanes;
use super::panic;
use super::progress::Progress;
use super::recorder::Recorder;
use super::requests::Requests;
use super::runtime::Runtime;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::log::Log;

/// See the module.
pub(super) struct Shared {
    pub clock: Clock,
    pub engine: Mutex<Engine>,
    pub commands: Arc<Commands>,
    pub requests: Requests,
    pub runtime: Arc<Runtime>,
    pub log: Log,
    pub lanes: Mutex<Lanes>,
    pub recorder: Mutex<Recorder>,
    pub progress: Progress,
    pub stops_by: StopsBy,
    /// `primacy.liveness_timeout_ms` is set.
    pub liveness: bool,
    /// `primacy.drain_timeout_ms`.
    pub drain_timeout: Duration,
    /// `etcd.requestTimeout`.
    pub request_timeout: Duration,
    /// What works as it was set up, and may yet end badly.
    pub warnings: Vec<String>,
    /// Tells the host what came of what it started.
    pub outcomes: Arc<InOrder>,
    /// The next step panics.
    #[cfg(feature = "defect")]
    pub defect: AtomicBool,
}

impl Shared {
    /// Does `work` without a thread of the host's, and tells `done` what came of it, once.
    pub fn start<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Future<Output = T> + Send + 'static,
        defect: impl FnOnce(String) -> T + Send + 'static,
        done: impl FnOnce(T) + Send + 'static,
    ) {
        let shared = self.clone();
        self.runtime.io().spawn(async move {
            let outcome = panic::caught(work).await.unwrap_or_else(defect);
            // The runtime, which tells it, is there until it is told.
            shared.outcomes.clone().run(move || {
                callback::tell(0, &shared.log, "what was started ends with", || done(outcome));
            });
        });
    }
}
