//! Something that goes wrong for a while, and how often that is said: a line when it begins, one a minute while it
//! lasts, one when it is over. What comes and goes within a minute is said once.

use std::hash::{Hash, Hasher};
use std::ops::Add;
use std::time::Duration;

/// Between two lines that something goes wrong.
const QUIET: Duration = Duration::from_secs(60);

/// See the module. `T` is an instant, of whichever clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spell<T> {
    quiet_until: Option<T>,
    /// It was said that it goes wrong, and not yet that it is over.
    said: bool,
}

impl<T> Default for Spell<T> {
    fn default() -> Self {
        Spell { quiet_until: None, said: false }
    }
}

impl<T: Copy + PartialOrd + Add<Duration, Output = T>> Spell<T> {
    /// It goes wrong, at `now`: whether to say so.
    pub fn wrong(&mut self, now: T) -> bool {
        let due = self.is_due(now);
        if due {
            (self.quiet_until, self.said) = (Some(now + QUIET), true);
        }
        due
    }

    /// Whether that it goes wrong would be said.
    pub fn is_due(&self, now: T) -> bool {
        self.quiet_until.is_none_or(|until| until <= now)
    }

    /// It goes well: whether to say that it is over.
    pub fn well(&mut self) -> bool {
        std::mem::take(&mut self.said)
    }
}

/// What was said changes nothing but what is said: states that differ in it alone are the same.
impl<T> Hash for Spell<T> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    #[test]
    fn it_is_said_when_it_begins_once_a_minute_and_when_it_is_over() {
        let mut spell = Spell::default();
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        assert!(!spell.well(), "nothing was wrong");
        let said: Vec<u64> = (0..=150).filter(|&second| spell.wrong(at(second))).collect();
        assert_eq!(said, [0, 60, 120]);
        assert!(spell.well() && !spell.well());
        assert!(!spell.wrong(at(151)) && !spell.well(), "it comes and goes");
        assert!(spell.wrong(at(180)));
    }
}
