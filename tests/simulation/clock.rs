//! A machine's clock: another origin than true time, and another rate.

use primacy_engine::time::Time;

/// True time when a run begins.
pub const START: Time = Time::from_nanos(1_000_000_000_000);

/// Shows an instant of its own for each instant of true time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: u64,
    drift: i64,
}

impl Clock {
    /// One that shows `origin` nanoseconds at the start of the run, and gains `drift` microseconds a second.
    pub fn new(origin: u64, drift: i64) -> Self {
        Clock { origin, drift }
    }

    /// What it shows at the instant `at` of true time.
    pub fn read(self, at: Time) -> Time {
        let elapsed = i64::try_from(at.since(START).as_nanos()).expect("a run is short");
        let shown = elapsed + elapsed / 1_000_000 * self.drift + elapsed % 1_000_000 * self.drift / 1_000_000;
        Time::from_nanos(self.origin + u64::try_from(shown).expect("a clock runs forward"))
    }

    /// The first instant of true time at which it shows `shown` or more.
    pub fn when(self, shown: Time) -> Time {
        if shown == Time::NEVER {
            return Time::NEVER;
        }
        let elapsed = i128::from(shown.as_nanos().saturating_sub(self.origin));
        let guess = elapsed * 1_000_000 / i128::from(1_000_000 + self.drift);
        let mut at =
            Time::from_nanos(START.as_nanos() + u64::try_from(guess.max(2) - 2).unwrap_or(u64::MAX / 2));
        while self.read(at) < shown {
            at = Time::from_nanos(at.as_nanos() + 1);
        }
        at
    }
}

/// Checked at each start, because every judgement on overlap stands on it.
pub fn check() {
    for drift in [0, 1, -1, 90_000, -90_000, 333, -77_777] {
        let clock = Clock::new(123_456_789, drift);
        for after in [0, 1, 999, 1_000_000, 1_234_567_891, 987_654_321_012] {
            let shown = Time::from_nanos(123_456_789 + after);
            let at = clock.when(shown);
            assert!(clock.read(at) >= shown, "{drift} {after}");
            assert!(
                at <= START || clock.read(Time::from_nanos(at.as_nanos() - 1)) < shown,
                "{drift} {after}"
            );
        }
    }
}
