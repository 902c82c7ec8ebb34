//! What happened, line by line, for people; written only when a seed is replayed.

use std::fmt::Display;

use primacy::clock::Time;

/// Collects lines, or does not.
#[derive(Debug, Default)]
pub struct Trace {
    /// Whether anybody reads them.
    pub on: bool,
    /// The lines.
    pub lines: Vec<String>,
}

impl Trace {
    /// Notes what `who` does or sees.
    pub fn note(&mut self, now: Time, who: impl Display, what: impl Display) {
        if self.on {
            self.lines.push(format!("{now} {who:<8} {what}"));
        }
    }
}
