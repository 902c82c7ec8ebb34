//! What goes to stdout. Colours where it is a terminal; a reader that has gone is the end, not an error.

use std::io::{ErrorKind, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use time::OffsetDateTime;

use crate::exit::Failed;
use crate::finding::{Finding, Weight};

const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const GREEN: Style = AnsiColor::Green.on_default();

/// A text of lines that are whole.
pub fn out(text: &str) -> Result<(), Failed> {
    let mut out = anstream::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        written => Ok(written?),
    }
}

/// A value as JSON, on one line.
pub fn json(value: &impl Serialize) -> Result<(), Failed> {
    let text = serde_json::to_string(value).map_err(Failed::not_done)?;
    out(&format!("{text}\n"))
}

/// A finding on one line.
pub fn finding(finding: &Finding) -> String {
    let (style, word) = match finding.weight {
        Weight::Wrong => (RED, "wrong"),
        Weight::Note => (YELLOW, "note"),
    };
    format!("{style}{word}{style:#}: {finding}")
}

/// Something that is as it should be, on one line.
pub fn well(text: &str) -> String {
    format!("{GREEN}well{GREEN:#}: {text}")
}

/// A time, of one width.
pub fn utc(now: OffsetDateTime) -> String {
    let (date, ms) = (now.date(), now.millisecond());
    let (hour, minute, second) = now.time().as_hms();
    format!("{date}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Milliseconds since 1970 as [`utc`]; `None` if there is no such time.
pub fn utc_of_ms(ms: i64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok().map(utc)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_is_of_one_width() {
        assert_eq!(utc(OffsetDateTime::UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            utc(OffsetDateTime::UNIX_EPOCH + Duration::from_millis(61_007)),
            "1970-01-01T00:01:01.007Z"
        );
    }
}
