//! Durations of C.

use std::time::Duration;

use crate::error::Fault;
use crate::status::PRIMACY_E_ARGUMENT;

/// In place of a number of milliseconds, where a function says that it takes this: as long as the configuration says
/// that it may take, after its defaults.
pub const PRIMACY_AS_CONFIGURED: u64 = u64::MAX;

/// A duration from C. Bounded, so that adding it to a clock can not overflow.
pub(crate) fn from_ms(ms: u64) -> Duration {
    const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1000;
    Duration::from_millis(ms.min(YEAR_MS))
}

/// The same, where the configuration has one that stands for it.
pub(crate) fn or_configured(ms: u64) -> Option<Duration> {
    (ms != PRIMACY_AS_CONFIGURED).then(|| from_ms(ms))
}

/// A duration from C that must not be zero, since nothing can be answered within it.
pub(crate) fn timeout(ms: u64) -> Result<Duration, Fault> {
    if ms == 0 {
        return Err(Fault::new(
            PRIMACY_E_ARGUMENT,
            "timeout_ms is 0; give the milliseconds that you can wait",
        ));
    }
    Ok(from_ms(ms))
}

/// The same, where the configuration may stand for it.
pub(crate) fn timeout_or_configured(ms: u64, configured: Duration) -> Result<Duration, Fault> {
    if ms == PRIMACY_AS_CONFIGURED { Ok(configured) } else { timeout(ms) }
}
