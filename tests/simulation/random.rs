//! Chance that depends on what it is for, not on what was drawn before.
//!
//! Each request, each call and each fault draws from a generator of its own, seeded by its name. So a smaller
//! scenario, in which some of them are left out, does not change the luck of those that stay: that is what lets a
//! failure be shrunk.

use std::time::Duration;

pub use fastrand::Rng;

/// A generator for the thing that these numbers name.
pub fn of(names: &[u64]) -> Rng {
    Rng::with_seed(names.iter().fold(0x9e37_79b9_7f4a_7c15, |state, name| mix(state ^ name)))
}

/// One round of splitmix64.
fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What the simulation draws.
pub trait Draw {
    /// True so many times in a thousand.
    fn permille(&mut self, rate: u32) -> bool;
    /// From `from` up to, but not including, `to` milliseconds, to the microsecond.
    fn millis(&mut self, from: u64, to: u64) -> Duration;
    /// Up to `most`, the short ones as likely as the long ones of ten times the length.
    fn stretched(&mut self, most: Duration) -> Duration;
    /// One of these.
    fn pick<T: Copy>(&mut self, of: &[T]) -> T;
}

impl Draw for Rng {
    fn permille(&mut self, rate: u32) -> bool {
        rate > 0 && self.u32(0..1000) < rate
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(self.u64(from * 1000..to * 1000))
    }

    fn stretched(&mut self, most: Duration) -> Duration {
        let scale = [1, 10, 100, 1000][self.usize(0..4)];
        let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX) / scale;
        Duration::from_micros(self.u64(0..=most))
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.usize(0..of.len())]
    }
}
