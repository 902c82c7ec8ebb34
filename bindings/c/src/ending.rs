//! How a session and an election end: a stop that returns at once, a join, and a free that waits until the deadline of
//! the stop that went before it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use primacy::session::JoinError;

use crate::error::Fault;
use crate::handle::{self, Kind};
use crate::status::{PRIMACY_E_DEADLOCK, PRIMACY_E_TIMEOUT, primacy_status};
use crate::{ffi, scope};

/// What can be stopped.
pub(crate) trait Stops: Kind {
    /// When its stop is over.
    fn ending(&self) -> &Ending;
    /// How long a free may take that no stop went before.
    fn drain(&self) -> Duration;
    /// The engine's stop.
    fn stop_engine(&self, timeout: Duration);
    /// The engine's join.
    fn join_engine(&self, timeout: Duration) -> Result<(), JoinError>;

    /// Stops it.
    fn stop(&self, timeout: Duration) {
        self.ending().within(timeout);
        self.stop_engine(timeout);
    }
}

/// The inside of a `stop`.
pub(crate) fn stop<T: Stops>(handle: u64, timeout_ms: u64) -> primacy_status {
    ffi::enter_plain(|| {
        handle::find::<T>(handle)?.stop(ffi::duration(timeout_ms));
        Ok(())
    })
}

/// The inside of a `join`.
pub(crate) fn join<T: Stops>(handle: u64, timeout_ms: u64) -> primacy_status {
    ffi::enter_plain(|| {
        scope::may_join()?;
        joined(handle::find::<T>(handle)?.join_engine(ffi::duration(timeout_ms)))
    })
}

/// The inside of a `free`; `let_go` ends the handle's slot, at once or later.
pub(crate) fn free<T: Stops>(handle: u64, let_go: impl FnOnce(&T)) -> primacy_status {
    ffi::leave(|| {
        let found = handle::close::<T>(handle)?;
        let left = found.ending().left_or(|| {
            found.stop(found.drain());
            found.drain()
        });
        let ended = if scope::is_inside() { Ok(()) } else { joined(found.join_engine(left)) };
        let_go(&found);
        ended
    })
}

/// What lies between the engine's own deadline and a waiter that is told of it.
const GRACE: Duration = Duration::from_millis(100);

/// When the stop of a session or an election is over, if one was asked for.
#[derive(Default)]
pub(crate) struct Ending {
    by: Mutex<Option<Instant>>,
    /// An election's session, whose stop ends it as well.
    of: Option<Arc<Ending>>,
}

impl Ending {
    /// That of an election of `session`.
    pub fn of(session: &Arc<Ending>) -> Ending {
        Ending { of: Some(session.clone()), ..Ending::default() }
    }

    /// A stop was asked for; of several the earliest deadline counts.
    pub fn within(&self, timeout: Duration) {
        let by = Instant::now() + timeout;
        let mut ending = self.by.lock().unwrap_or_else(PoisonError::into_inner);
        *ending = Some(ending.map_or(by, |before| before.min(by)));
    }

    /// How long that still is; if no stop was asked for, `stop` does so and says how long it may take.
    pub fn left_or(&self, stop: impl FnOnce() -> Duration) -> Duration {
        self.by().map_or_else(stop, |by| by.saturating_duration_since(Instant::now())) + GRACE
    }

    fn by(&self) -> Option<Instant> {
        let own = *self.by.lock().unwrap_or_else(PoisonError::into_inner);
        let of = self.of.as_ref().and_then(|of| of.by());
        own.into_iter().chain(of).min()
    }
}

/// What a join says, for C.
pub(crate) fn joined(result: Result<(), JoinError>) -> Result<(), Fault> {
    result.map_err(|error| match error {
        JoinError::TimedOut => PRIMACY_E_TIMEOUT.into(),
        JoinError::InCallback => PRIMACY_E_DEADLOCK.into(),
    })
}
