//! How long an answer is waited for before something is done about it: as long as answers took lately, the way TCP's
//! retransmission timer follows the round trips that it saw (RFC 6298). A store that is slow is waited for, one that is
//! dead is not.

use std::hash::{Hash, Hasher};
use std::time::Duration;

/// An answer is never called late before this.
pub(super) const LEAST: Duration = Duration::from_secs(1);
/// Nor that of a standby to an offer before this.
pub(super) const OF_AN_HEIR: Duration = Duration::from_millis(500);
/// Within this a write is done and seen by others, even if reads are answered sooner: etcd has to write it down.
const SOONEST: Duration = Duration::from_millis(20);

/// What answers of one kind took lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundTrips(Option<Taken>);

#[derive(Clone, Copy, Debug)]
struct Taken {
    smoothed: Duration,
    /// The mean deviation from that.
    deviation: Duration,
}

impl RoundTrips {
    /// An answer took so long.
    pub fn took(&mut self, time: Duration) {
        self.0 = Some(match self.0 {
            None => Taken { smoothed: time, deviation: time / 2 },
            Some(Taken { smoothed, deviation }) => Taken {
                smoothed: smoothed * 7 / 8 + time / 8,
                deviation: deviation * 3 / 4 + smoothed.abs_diff(time) / 4,
            },
        });
    }

    /// After how long the next answer is late; `None`: there was none yet.
    pub fn late(&self) -> Option<Duration> {
        self.0.map(|Taken { smoothed, deviation }| smoothed * 2 + deviation * 4)
    }

    /// After how long one has surely heard of what another one began to write at the same time; of a very slow store not
    /// surely, since that long would be too long to wait for nothing.
    pub fn heard_of(&self) -> Duration {
        self.late().unwrap_or_default().clamp(SOONEST, LEAST)
    }
}

/// Two states that call the same answers late are the same, if others are heard of in the same time.
impl Hash for RoundTrips {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.late().map(|late| late.max(OF_AN_HEIR)), self.heard_of()).hash(hasher);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn it_follows_what_answers_take_and_allows_for_what_varies() {
        let mut trips = RoundTrips::default();
        assert_eq!((trips.late(), trips.heard_of()), (None, SOONEST));
        trips.took(100 * MS);
        assert_eq!((trips.late(), trips.heard_of()), (Some(400 * MS), 400 * MS));
        (0..100).for_each(|_| trips.took(1200 * MS));
        let late = trips.late().unwrap();
        assert!(2400 * MS <= late && late < 2500 * MS, "{late:?}");
        assert_eq!(trips.heard_of(), LEAST);
        (0..100).for_each(|turn| trips.took((if turn % 2 == 0 { 50 } else { 150 }) * MS));
        let late = trips.late().unwrap();
        assert!(300 * MS < late && late < 500 * MS, "{late:?}");
    }
}
