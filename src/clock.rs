//! Where time comes from: a clock that counts suspend, and alarms on it.

use std::io;
use std::time::Duration;

use tokio::io::unix::AsyncFd;

use crate::platform;

pub use crate::engine::time::{Time, TimeError};

/// Where time comes from.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The machine's clock that counts suspend.
    Boot,
    /// Tokio's clock, counted from this instant: virtual time in tests.
    Tokio(tokio::time::Instant),
    /// What a test says, which may do something while it is asked.
    #[cfg(test)]
    Asked(fn() -> Time),
}

impl Clock {
    /// Now.
    #[inline]
    pub fn now(&self) -> Time {
        match self {
            Clock::Boot => platform::boot_time(),
            Clock::Tokio(origin) => Time::ZERO + origin.elapsed(),
            #[cfg(test)]
            Clock::Asked(now) => now(),
        }
    }

    /// A new alarm on this clock. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn alarm(&self) -> io::Result<Alarm> {
        Ok(match self {
            Clock::Boot => Alarm::Boot(platform::Timer::registered()?),
            Clock::Tokio(origin) => Alarm::Tokio(*origin),
            #[cfg(test)]
            Clock::Asked(_) => return Err(io::ErrorKind::Unsupported.into()),
        })
    }
}

/// Waits for instants on a [`Clock`]. (Tokio's own timers stand still while the machine is suspended.)
#[derive(Debug)]
pub enum Alarm {
    /// On the machine's clock.
    Boot(AsyncFd<platform::Timer>),
    /// On tokio's.
    Tokio(tokio::time::Instant),
}

impl Alarm {
    /// Returns once it is `at`, or a little later; for ever if that is `None`. May be dropped and called anew.
    pub async fn until(&self, at: Option<Time>) {
        let Some(at) = at else { return std::future::pending().await };
        match self {
            Alarm::Boot(timer) => {
                if timer.get_ref().set(at).is_ok()
                    && let Ok(mut due) = timer.readable().await
                {
                    due.clear_ready();
                }
            }
            Alarm::Tokio(origin) => {
                tokio::time::sleep_until(*origin + Duration::from_nanos(at.as_nanos())).await;
            }
        }
    }
}
