//! How long to wait before the same thing is tried again.

use std::time::Duration;

use super::effects::Effects;
use crate::store::Failure;
use crate::time::Time;

/// The first pause. Short: most failures are one lost connection.
const FIRST: Duration = Duration::from_millis(50);
/// The longest pause while the failure may pass by itself.
const LONGEST: Duration = Duration::from_secs(1);
/// The pause when somebody has to change something first.
const UNTIL_CHANGED: Duration = Duration::from_secs(5);

/// The longest that one attempt is waited for at first.
const ATTEMPT: Duration = Duration::from_secs(1);

/// Counts failures in a row.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Backoff {
    failures: u32,
    /// Those among them that were not answered in time.
    silences: u32,
}

impl Backoff {
    pub fn reset(&mut self) {
        *self = Backoff::default();
    }

    /// When to try again after `failure`.
    pub fn after(&mut self, failure: &Failure, fx: &mut Effects) -> Time {
        let pause = if failure.may_pass() { self.pause() } else { UNTIL_CHANGED };
        self.failures = self.failures.saturating_add(1);
        if matches!(failure, Failure::Indefinite(_)) {
            self.silences = self.silences.saturating_add(1);
        }
        fx.now + fx.jittered(pause)
    }

    /// When to try again after something that passes by itself.
    pub fn pass(&mut self, fx: &mut Effects) -> Time {
        self.after(&Failure::Unreachable(String::new()), fx)
    }

    /// When to begin something anew that was of no use: at once, unless the one before it was of no use either.
    pub fn anew(&mut self, fx: &mut Effects) -> Time {
        if self.failures > 0 {
            return self.pass(fx);
        }
        self.failures = 1;
        fx.now
    }

    fn pause(&self) -> Duration {
        FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST)
    }

    /// How long one attempt may take: a store that is slow, not dead, must be waited for in the end. One that says no
    /// is quick.
    pub fn patience(&self, longest: Duration) -> Duration {
        ATTEMPT.saturating_mul(1 << self.silences.min(10)).min(longest)
    }
}
