//! What goes to stdout. Colours where it is a terminal; a reader that has gone is the end, not an error.

use std::io::{ErrorKind, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

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
