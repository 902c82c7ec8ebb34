//! When the program is told to end, and when it is killed. Pure.

use std::time::Duration;

/// What is left of primacy when the program is killed: the kernel takes a while over a large one. The lease itself ends
/// later, by `primacy.margin_ms`.
const KILLED_WITH: Duration = Duration::from_millis(200);
/// It is looked at so often: a machine that was suspended tells nobody when it wakes.
pub const LOOKED_AT_EVERY: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Clone, Copy)]
pub struct Limits {
    /// What is left of primacy when the program is told.
    pub grace: Duration,
    /// How long it may take to end, as long as primacy lasts.
    pub drain: Duration,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Nothing,
    Tell,
    Kill,
}

impl Limits {
    /// With so much left of primacy, and `told` so long ago.
    pub fn due(&self, left: Duration, told: Option<Duration>) -> Due {
        let is_over = left <= KILLED_WITH || told.is_some_and(|told| told >= self.drain);
        match told {
            _ if is_over => Due::Kill,
            None if left <= self.grace => Due::Tell,
            _ => Due::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn it_is_told_first_and_killed_while_something_is_left() {
        let limits = Limits { grace: MS(2000), drain: MS(30_000) };
        for (left, told, due) in [
            (9000, None, Due::Nothing),
            (2001, None, Due::Nothing),
            (2000, None, Due::Tell),
            (201, Some(0), Due::Nothing),
            (200, Some(1800), Due::Kill),
            // After a pause: there is no time to tell it.
            (0, None, Due::Kill),
            // Primacy goes on, and it was told by who ends us.
            (9000, Some(29_999), Due::Nothing),
            (9000, Some(30_000), Due::Kill),
        ] {
            assert_eq!(limits.due(MS(left), told.map(MS)), due, "{left} {told:?}");
        }
    }
}
