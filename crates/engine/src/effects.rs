//! What one step leaves behind: its actions, the names given out on the way, what the host is at.

use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::action::{Action, Purpose};
use super::ids::{CallId, ElectionId, RequestId, WatchId};
use crate::Level;
use crate::patience::RoundTrips;
use crate::store::Request;
use crate::time::Time;

/// Collects the actions of a step. Lives as long as the engine, so that names are never given twice.
#[derive(Clone, Debug)]
pub(super) struct Effects {
    /// The time of the step.
    pub now: Time,
    actions: Vec<Action>,
    requests: u64,
    calls: u64,
    watches: u64,
    rng: fastrand::Rng,
    /// What elections have said of their troubles since this time.
    complaints: (Time, u32),
    pub host: AtWork,
    /// What the store took lately to renew a lease, and to read.
    pub round_trips: RoundTrips,
}

/// Whether the host is at work on any call of the session: then it may be slow to read what waits.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct AtWork {
    running: u32,
    ended: Time,
}

impl AtWork {
    pub fn begins(&mut self) {
        self.running += 1;
    }

    pub fn ends(&mut self, now: Time) {
        self.running = self.running.saturating_sub(1);
        self.ended = now;
    }

    /// Until when it was, as of `now`.
    pub fn until(&self, now: Time) -> Time {
        if self.running > 0 { now } else { self.ended }
    }
}

/// As many elections may say in a minute what troubles them: what troubles one often troubles all.
const COMPLAINTS: u32 = 4;

impl Effects {
    pub fn new(seed: u64) -> Self {
        Effects {
            now: Time::ZERO,
            actions: Vec::new(),
            requests: 0,
            calls: 0,
            watches: 0,
            rng: fastrand::Rng::with_seed(seed),
            complaints: (Time::ZERO, 0),
            host: AtWork::default(),
            round_trips: RoundTrips::default(),
        }
    }

    pub fn take(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    pub fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Undoes what was decided earlier in this step.
    pub fn take_back(&mut self, undone: impl Fn(&Action) -> bool) {
        self.actions.retain(|action| !undone(action));
    }

    pub fn send(
        &mut self,
        purpose: Purpose,
        election: Option<ElectionId>,
        timeout: Duration,
        what: Request,
    ) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.push(Action::Send { request, purpose, election, timeout, what });
        request
    }

    pub fn call_id(&mut self) -> CallId {
        self.calls += 1;
        CallId(self.calls)
    }

    pub fn watch_id(&mut self) -> WatchId {
        self.watches += 1;
        WatchId(self.watches)
    }

    pub fn log(&mut self, level: Level, election: Option<ElectionId>, text: impl Into<String>) {
        self.push(Action::Log { level, election, text: text.into() });
    }

    /// Whether one more election may say what troubles it.
    pub fn may_complain(&mut self) -> bool {
        let (since, said) = &mut self.complaints;
        if self.now.since(*since) >= Duration::from_secs(60) {
            (*since, *said) = (self.now, 0);
        }
        *said += 1;
        *said <= COMPLAINTS
    }

    /// One of these, at random.
    pub fn drawn(&mut self, among: RangeInclusive<u32>) -> u32 {
        self.rng.u32(among)
    }

    /// `pause`, and up to a quarter more, in whole milliseconds: candidates that failed together should not
    /// try again together.
    pub fn jittered(&mut self, pause: Duration) -> Duration {
        let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX / 8);
        Duration::from_millis(millis + self.rng.u64(0..=millis / 4))
    }
}

/// Between two steps there are no actions; and what was said changes nothing but what is said. What the host is at
/// matters only to elections whose host leaves something unread: the engine adds it for those.
impl Hash for Effects {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Effects { now, actions: _, requests, calls, watches, rng, complaints: _, host: _, round_trips } =
            self;
        (now, requests, calls, watches, rng.get_seed(), round_trips).hash(hasher);
    }
}
