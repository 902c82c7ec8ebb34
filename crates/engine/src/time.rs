//! Time as the engine sees it: an instant on a clock that counts suspend, handed in by whoever drives it.
//!
//! `std::time::Instant` does not serve: on Linux it stops while the machine is suspended
//! (rust-lang/rust#79462), so that a lease would look longer after a resume than it is.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::str::FromStr;
use std::time::Duration;

/// An instant: nanoseconds on the driver's clock (`CLOCK_BOOTTIME`, or a virtual one in tests).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The clock's origin; before every instant that a running clock can show.
    pub const ZERO: Time = Time(0);
    /// Later than every instant that a clock will show.
    pub const NEVER: Time = Time(u64::MAX);

    /// The instant `nanos` nanoseconds after the clock's origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Time(nanos)
    }

    /// Nanoseconds since the clock's origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How much later this instant is than `earlier`; zero if it is not.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, d: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}

impl Sub<Duration> for Time {
    type Output = Time;
    fn sub(self, d: Duration) -> Time {
        Time(self.0.saturating_sub(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Seconds, with three decimals, or as many more as it takes to lose nothing.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        if nanos % 1_000_000 == 0 {
            write!(f, "{seconds}.{:03}", nanos / 1_000_000)
        } else {
            write!(f, "{seconds}.{nanos:09}")
        }
    }
}

/// As it is shown: to the nanosecond.
impl FromStr for Time {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Time, TimeError> {
        let (seconds, decimals) = text.split_once('.').unwrap_or((text, ""));
        let nanos = format!("{decimals:0<9}");
        let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok());
        match (number(seconds).flatten(), number(&nanos).flatten()) {
            (Some(seconds), Some(nanos)) if decimals.len() <= 9 => {
                seconds.checked_mul(1_000_000_000).and_then(|all| all.checked_add(nanos)).map(Time)
            }
            _ => None,
        }
        .ok_or(TimeError)
    }
}

/// A text that is no instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seconds expected, with up to nine decimals")]
pub struct TimeError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_counted_in_nanoseconds_and_never_run_over() {
        let (at, second) = (Time::from_nanos(1_500_000_000), Duration::from_secs(1));
        assert_eq!(at.as_nanos(), 1_500_000_000);
        assert_eq!((at + second).since(at), second);
        assert_eq!((at - second).as_nanos(), 500_000_000);
        assert_eq!(at.since(at + second), Duration::ZERO);
        assert_eq!(at - second * 2, Time::ZERO);
        assert_eq!(Time::NEVER + second, Time::NEVER);
        let mut later = at;
        later += second;
        assert_eq!(later, at + second);
    }

    #[test]
    fn an_instant_is_read_as_it_is_shown() {
        for nanos in [0, 1, 999_999_999, 1_500_000_000, 123_456_789_012_345_678, u64::MAX] {
            let time = Time::from_nanos(nanos);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
        assert_eq!("7".parse(), Ok(Time::from_nanos(7_000_000_000)));
        for wrong in ["", ".", "-1", "1.0000000001", "1.x", "1e3", "18446744073.709551616"] {
            assert_eq!(wrong.parse::<Time>(), Err(TimeError), "{wrong}");
        }
    }
}
