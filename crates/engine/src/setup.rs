//! What an engine is given once.

use std::time::Duration;

use crate::milvus::{Candidate, Layout, Root};
use crate::store::LeaseId;
use crate::time::Time;

/// What an engine is given once.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where the keys live.
    pub root: Root,
    /// Which keys are lock and record.
    pub layout: Layout,
    /// Who campaigns.
    pub candidate: Candidate,
    /// The lease's TTL, asked for in whole seconds; the one granted counts.
    pub ttl: Duration,
    /// How long before the lease's end primacy ends; `None`: a tenth of the granted TTL.
    pub margin: Option<Duration>,
    /// Who is preferred as the next primary: the highest one; 0: never, so that it does not campaign at all.
    pub priority: u32,
    /// Between two warm-ups of a standby that is not warm yet.
    pub warmup_interval: Duration,
    /// From the win to the start of `on_primary`.
    pub activation_timeout: Duration,
    /// A primary whose host has not said for that long that it is well is none; `None`: it is not asked.
    pub liveness_timeout: Option<Duration>,
    /// How long a release waits for callbacks.
    pub drain_timeout: Duration,
    /// The longest that one request is waited for, after several that got no answer.
    pub request_timeout: Duration,
    /// The id of the first lease; those that follow count up. Chosen at random by the driver.
    pub first_lease: LeaseId,
    /// What jitter is drawn from.
    pub seed: u64,
}

impl Setup {
    /// Until when a lease is ours that was granted or renewed for `ttl` by a request that was sent then; `None`: no longer
    /// than the margin, of no use.
    pub fn ours_until(&self, sent: Time, ttl: Duration) -> Option<Time> {
        let margin = self.margin.unwrap_or(ttl / 10);
        (ttl > margin).then(|| sent + (ttl - margin))
    }
}
