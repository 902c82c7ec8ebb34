//! How a session and an election end: a stop that returns at once, a join, a close that does both, and a free, which is a
//! close of what nobody has closed. How long each waits is the host layer's to say.

use std::time::Duration;

use primacy::election::Election as HostElection;
use primacy::session::{CloseError, JoinError, Session};

use crate::error::{Fault, primacy_error};
use crate::handle::{self, Kind};
use crate::status::{PRIMACY_E_DEADLOCK, PRIMACY_E_TIMEOUT, primacy_status};
use crate::{duration, ffi, scope};

/// What can be stopped.
pub(crate) trait Stops {
    fn stop(&self, timeout: Duration);
    fn join(&self, timeout: Duration) -> Result<(), JoinError>;
    fn close(&self, timeout: Option<Duration>, unread: bool) -> Result<(), CloseError>;
    /// The beginning of a close; for where nobody can wait.
    fn begin_close(&self);
}

impl Stops for Session {
    fn stop(&self, timeout: Duration) {
        self.stop(timeout);
    }
    fn join(&self, timeout: Duration) -> Result<(), JoinError> {
        self.join(timeout)
    }
    fn close(&self, timeout: Option<Duration>, unread: bool) -> Result<(), CloseError> {
        self.close(timeout, |_| unread)
    }
    fn begin_close(&self) {
        self.begin_close(None, |_| false);
    }
}

impl Stops for HostElection {
    fn stop(&self, timeout: Duration) {
        self.stop(timeout);
    }
    fn join(&self, timeout: Duration) -> Result<(), JoinError> {
        self.join(timeout)
    }
    fn close(&self, timeout: Option<Duration>, unread: bool) -> Result<(), CloseError> {
        self.close(timeout, unread)
    }
    fn begin_close(&self) {
        self.begin_close(None, false);
    }
}

/// An object of a handle that has something that can be stopped.
pub(crate) trait Ends: Kind {
    type What: Stops;
    fn what(&self) -> &Self::What;
}

impl Ends for Session {
    type What = Session;
    fn what(&self) -> &Session {
        self
    }
}

/// The inside of a `stop`.
pub(crate) fn stop<T: Ends>(handle: u64, timeout_ms: u64) -> primacy_status {
    ffi::enter_plain(|| {
        handle::find::<T>(handle)?.what().stop(duration::from_ms(timeout_ms));
        Ok(())
    })
}

/// The inside of a `join`.
pub(crate) fn join<T: Ends>(handle: u64, timeout_ms: u64) -> primacy_status {
    ffi::enter_plain(|| {
        scope::may_join()?;
        joined(handle::find::<T>(handle)?.what().join(duration::from_ms(timeout_ms)))
    })
}

/// The inside of a `close`.
pub(crate) unsafe fn close<T: Ends>(
    handle: u64,
    timeout_ms: u64,
    unread: i32,
    error_out: *mut *mut primacy_error,
) -> primacy_status {
    let inside = || {
        scope::may_join()?;
        closed(handle::find::<T>(handle)?.what().close(duration::or_configured(timeout_ms), unread != 0))
    };
    // SAFETY: passed on.
    unsafe { ffi::enter(error_out, inside) }
}

/// The inside of a `free`; `let_go` ends the handle's slot, at once or later.
pub(crate) fn free<T: Ends>(handle: u64, let_go: impl FnOnce(&T)) -> primacy_status {
    ffi::leave(|| {
        let found = handle::close::<T>(handle)?;
        let ended = if scope::is_inside() {
            found.what().begin_close();
            Ok(())
        } else {
            closed(found.what().close(None, false))
        };
        let_go(&found);
        ended
    })
}

/// What a join says, for C.
pub(crate) fn joined(result: Result<(), JoinError>) -> Result<(), Fault> {
    result.map_err(|error| match error {
        JoinError::TimedOut => PRIMACY_E_TIMEOUT.into(),
        JoinError::InCallback => PRIMACY_E_DEADLOCK.into(),
    })
}

fn closed(result: Result<(), CloseError>) -> Result<(), Fault> {
    result.map_err(|error| {
        let status = match error {
            CloseError::TimedOut(_) => PRIMACY_E_TIMEOUT,
            CloseError::InCallback => PRIMACY_E_DEADLOCK,
        };
        Fault::new(status, error.to_string())
    })
}
