//! How a session or an election is closed: a stop, an end to calls that nobody takes, and a wait until that is through.
//!
//! The wait is as long as the stop may take, and [`GRACE`] more. Both count on the clock that leases count on: a
//! machine that was suspended meanwhile does not wait for what is over long ago.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Clock, Time};
use crate::milvus::Role;

/// Between a stop's deadline and whoever waits for the news of it, on a busy machine.
pub const GRACE: Duration = Duration::from_millis(500);
/// Whoever waits looks at the clock again after that: what he sleeps by stands still while the machine is suspended.
const NAP: Duration = Duration::from_secs(1);

/// Why waiting for an end did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// Not over yet: a callback of the host still runs, or the stop's own timeout is longer.
    #[error("not over within the timeout: a callback is still running, or nothing was stopped")]
    TimedOut,
    /// Asked for inside a callback, which would wait for itself.
    #[error("inside a callback, which would wait for its own end")]
    InCallback,
}

/// Why a close did not get to the end. What it began goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseError {
    /// These elections are not over: a callback of theirs has not returned, or was not completed. Their locks are
    /// released all the same.
    #[error("not over within the timeout: a callback has not returned or was not completed: {}", Roles(.0))]
    TimedOut(Vec<Role>),
    /// Asked for inside a callback, which would wait for itself: it closes when that has returned.
    #[error("inside a callback, which would wait for its own end")]
    InCallback,
}

struct Roles<'a>(&'a [Role]);

impl fmt::Display for Roles<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, role) in self.0.iter().enumerate() {
            write!(f, "{}{role}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// What can be closed.
pub trait Ends {
    /// Waits until it is over, for `timeout` at most.
    ///
    /// # Errors
    /// See [`JoinError`].
    fn join(&self, timeout: Duration) -> Result<(), JoinError>;
    /// Those of its elections that are not over.
    fn unfinished(&self) -> Vec<Role>;
}

/// A close that has begun, for those who can not wait for its end in one go.
#[derive(Debug)]
pub struct Closing<T> {
    what: T,
    clock: Clock,
    until: Time,
}

impl<T: Ends> Closing<T> {
    /// Of what stops by then.
    pub(super) fn new(what: T, clock: Clock, stopped_by: Time) -> Self {
        Closing { what, clock, until: stopped_by + GRACE }
    }

    /// Waits for the end for `at_most`; `None`: it has not come, and there is time left. Any thread, several at a time.
    pub fn wait(&self, at_most: Duration) -> Option<Result<(), CloseError>> {
        let enough = self.clock.now() + at_most;
        loop {
            let now = self.clock.now();
            match self.what.join(self.until.min(enough).since(now).min(NAP)) {
                Ok(()) => return Some(Ok(())),
                Err(JoinError::InCallback) => return Some(Err(CloseError::InCallback)),
                Err(JoinError::TimedOut) if now >= self.until => {
                    return Some(Err(CloseError::TimedOut(self.what.unfinished())));
                }
                Err(JoinError::TimedOut) if now >= enough => return None,
                Err(JoinError::TimedOut) => {}
            }
        }
    }

    /// Waits for the end.
    pub(super) fn finish(self) -> Result<(), CloseError> {
        let end = self.wait(Duration::MAX);
        end.unwrap_or_else(|| Err(CloseError::TimedOut(self.what.unfinished())))
    }
}

/// When what was asked to stop has stopped: of several times the earliest.
#[derive(Debug)]
pub(super) struct StopsBy(AtomicU64);

impl Default for StopsBy {
    fn default() -> Self {
        StopsBy(AtomicU64::new(Time::NEVER.as_nanos()))
    }
}

impl StopsBy {
    /// A stop was asked for.
    pub fn within(&self, now: Time, timeout: Duration) {
        self.0.fetch_min((now + timeout).as_nanos(), Ordering::Relaxed);
    }

    /// `NEVER`: no stop was asked for.
    pub fn get(&self) -> Time {
        Time::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// Over when it was asked so often; remembers for how long each time.
    struct After(usize, RefCell<Vec<Duration>>);

    impl Ends for After {
        fn join(&self, timeout: Duration) -> Result<(), JoinError> {
            let mut waits = self.1.borrow_mut();
            waits.push(timeout);
            if waits.len() > self.0 { Ok(()) } else { Err(JoinError::TimedOut) }
        }
        fn unfinished(&self) -> Vec<Role> {
            Vec::new()
        }
    }

    #[test]
    fn who_waits_long_looks_at_the_clock_again_and_again() {
        let long = Clock::BOOT.now() + Duration::from_secs(3600);
        let closing = Closing::new(After(5, RefCell::default()), Clock::BOOT, long);
        assert_eq!(closing.wait(Duration::MAX), Some(Ok(())));
        assert!(closing.what.1.borrow().iter().all(|wait| *wait <= NAP));
    }

    #[test]
    fn what_was_over_before_it_is_waited_for_is_not_waited_for() {
        let never = || After(usize::MAX, RefCell::default());
        let past = Clock::BOOT.now() - GRACE;
        let closing = Closing::new(never(), Clock::BOOT, past);
        assert_eq!(closing.wait(Duration::MAX), Some(Err(CloseError::TimedOut(Vec::new()))));
        assert_eq!(closing.what.1.borrow()[..], [Duration::ZERO]);
        let closing = Closing::new(never(), Clock::BOOT, Clock::BOOT.now() + NAP);
        assert_eq!(closing.wait(Duration::ZERO), None, "there is time left");
    }

    #[test]
    fn of_several_stops_the_earliest_counts() {
        let by = StopsBy::default();
        assert_eq!(by.get(), Time::NEVER);
        for seconds in [5, 3, 9] {
            by.within(Time::ZERO, Duration::from_secs(seconds));
        }
        assert_eq!(by.get(), Time::ZERO + Duration::from_secs(3));
    }
}
