//! Where time comes from: a clock that counts suspend, and alarms on it.

use std::io;
use std::time::Duration;

use tokio::io::unix::AsyncFd;

use crate::platform;

pub use crate::engine::time::{Time, TimeError};

/// Where time comes from.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Source);

#[derive(Clone, Copy, Debug)]
enum Source {
    Boot,
    Tokio(tokio::time::Instant),
}

impl Clock {
    /// The machine's clock that counts suspend.
    pub const BOOT: Clock = Clock(Source::Boot);

    /// Tokio's clock, counted from now on: virtual time in tests.
    pub fn of_tokio() -> Clock {
        Clock(Source::Tokio(tokio::time::Instant::now()))
    }

    /// Now.
    #[inline]
    pub fn now(&self) -> Time {
        match self.0 {
            Source::Boot => platform::boot_time(),
            Source::Tokio(origin) => Time::ZERO + origin.elapsed(),
        }
    }

    /// A new alarm on this clock. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// No descriptor left.
    pub(crate) fn alarm(&self) -> io::Result<Alarm> {
        Ok(match self.0 {
            Source::Boot => Alarm::Boot(platform::Timer::registered()?),
            Source::Tokio(origin) => Alarm::Tokio(origin),
        })
    }
}

/// Waits for instants on a [`Clock`]. (Tokio's own timers stand still while the machine is suspended.)
#[derive(Debug)]
pub(crate) enum Alarm {
    /// On the machine's clock.
    Boot(AsyncFd<platform::Timer>),
    /// On tokio's.
    Tokio(tokio::time::Instant),
}

impl Alarm {
    /// Returns once it is `at`, or a little later; for ever if that is `None`. May be dropped and called anew.
    pub(crate) async fn until(&self, at: Option<Time>) {
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
