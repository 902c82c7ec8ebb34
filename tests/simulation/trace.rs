//! What happened, line by line, for people; written only when a seed is replayed.

use std::fmt::Display;

use primacy_engine::time::Time;

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
            self.lines.push(format!("{now} {who:<8} {}", without_records(&what.to_string())));
        }
    }
}

/// The records of candidates are long and say nothing that their keys do not.
fn without_records(text: &str) -> String {
    let mut parts = text.split(" '{");
    let mut short = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        short.push_str(part.split_once("}'").map_or(part, |(_, rest)| rest));
    }
    short
}
