//! How long an endpoint takes to answer, and so how long to wait before something is tried beside it.
//!
//! As TCP's retransmission timer (RFC 6298): a smoothed time, and four times how much it varies. Only of what an
//! endpoint answers without writing: that tells of the way there and back.

use std::time::Duration;

/// Waited for where nothing is known yet.
const AT_FIRST: Duration = Duration::from_secs(1);
/// What a server may take that is busy for a moment.
const LEAST: Duration = Duration::from_millis(500);
/// However slow it was.
const MOST: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace(Option<Smoothed>);

#[derive(Clone, Copy, Debug)]
struct Smoothed {
    time: Duration,
    variation: Duration,
}

impl Pace {
    /// Something was answered after so long, or not yet.
    pub(crate) fn took(&mut self, time: Duration) {
        self.0 = Some(match self.0 {
            None => Smoothed { time, variation: time / 2 },
            Some(before) => Smoothed {
                time: (before.time * 7 + time) / 8,
                variation: (before.variation * 3 + before.time.abs_diff(time)) / 4,
            },
        });
    }

    /// How long to wait for the next answer before something is done about it.
    pub(crate) fn patience(&self) -> Duration {
        self.0.map_or(AT_FIRST, |known| (known.time + known.variation * 4).clamp(LEAST, MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_slow_is_waited_for_and_what_was_fast_is_not_forgotten_at_once() {
        let (fast, slow) = (Duration::from_millis(1), Duration::from_millis(1200));
        let mut pace = Pace::default();
        assert_eq!(pace.patience(), AT_FIRST);
        pace.took(fast);
        assert_eq!(pace.patience(), LEAST);
        pace.took(slow);
        assert!(pace.patience() > slow, "one slow answer is enough to wait for the next");
        for _ in 0..100 {
            pace.took(slow);
        }
        assert!(pace.patience() < slow * 11 / 10, "what never varies is known well");
        for _ in 0..100 {
            pace.took(fast);
        }
        assert_eq!(pace.patience(), LEAST);
        for _ in 0..100 {
            pace.took(MOST * 2);
        }
        assert_eq!(pace.patience(), MOST);
    }
}
