//! What a session or an observer lives in: a store, a clock, threads, a log.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::runtime::Runtime;
use super::store::{Store, WatchReport};
use crate::clock::Clock;
use crate::log::Log;

/// See the module.
pub struct Environment {
    /// What is asked.
    pub store: Arc<dyn Store>,
    /// What it reports of its watches.
    pub reports: mpsc::UnboundedReceiver<WatchReport>,
    /// What deadlines are compared with.
    pub clock: Clock,
    /// Where all of it runs.
    pub runtime: Arc<Runtime>,
    /// Written by the thread that keeps leases: it must not block.
    pub log: Log,
}
