//! A history as text: JSON lines, the first of which says from where to where it goes.

use std::fmt::Write;

use primacy_engine::store::{KeyEvent, KeyValue, LeaseId, Revision};
use serde::{Deserialize, Serialize};

use crate::history::{Change, History};

/// Why a text is no history.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct LinesError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

#[derive(Serialize, Deserialize)]
struct Head {
    from: i64,
    until: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    until_at: Option<i64>,
}

/// A key: one of the beginning, one that was written, or (without `written`) one that was deleted.
#[derive(Serialize, Deserialize)]
struct Line {
    revision: i64,
    key: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<Written>,
    /// It was there when the history begins.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    base: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    value: Bytes,
    created: i64,
    version: i64,
    /// As text: it exceeds what JavaScript has as numbers.
    lease: String,
}

/// Text where it is some.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Bytes {
    Text(String),
    Raw(Vec<u8>),
}

impl History {
    /// As text; [`History::parse`] reads it.
    pub fn to_lines(&self) -> String {
        let mut lines = String::new();
        let mut line = |value: Result<String, serde_json::Error>| {
            // Of these types none can fail.
            let _ = writeln!(lines, "{}", value.unwrap_or_default());
        };
        let head = Head { from: self.from.0, until: self.until.0, until_at: self.until_at };
        line(serde_json::to_string(&head));
        let written = |kv: &KeyValue| Written {
            value: Bytes::of(kv.value.as_bytes()),
            created: kv.create_revision.0,
            version: kv.version,
            lease: kv.lease.0.to_string(),
        };
        for kv in &self.base {
            let (revision, key) = (kv.mod_revision.0, Bytes::of(kv.key.as_bytes()));
            line(serde_json::to_string(&Line {
                revision,
                key,
                written: Some(written(kv)),
                base: true,
                at: None,
            }));
        }
        for Change { event, at } in &self.changes {
            let (revision, key) = (event.revision.0, Bytes::of(event.key.as_bytes()));
            let written = event.now.as_ref().map(written);
            line(serde_json::to_string(&Line { revision, key, written, base: false, at: *at }));
        }
        lines
    }

    /// Reads what [`History::to_lines`] writes.
    ///
    /// # Errors
    /// If a line is none of such a text, or comes before an earlier revision's.
    pub fn parse(text: &str) -> Result<History, LinesError> {
        let mut history = History::default();
        for (at, line) in text.lines().enumerate() {
            let error = |why: String| LinesError { line: at + 1, why };
            if at == 0 {
                let head: Head = serde_json::from_str(line)
                    .map_err(|why| error(format!("not the beginning of a history: {why}")))?;
                history.from = Revision(head.from);
                history.until = Revision(head.until);
                history.until_at = head.until_at;
                continue;
            }
            let line: Line = serde_json::from_str(line).map_err(|why| error(why.to_string()))?;
            let key = line.key.bytes().into();
            let revision = Revision(line.revision);
            let now = match line.written {
                None => None,
                Some(written) => Some(KeyValue {
                    key: line.key.bytes().into(),
                    value: written.value.bytes().into(),
                    create_revision: Revision(written.created),
                    mod_revision: revision,
                    version: written.version,
                    lease: LeaseId(
                        written.lease.parse().map_err(|_| error("the lease is no number".into()))?,
                    ),
                }),
            };
            match (line.base, now) {
                (true, Some(kv)) => history.base.push(kv),
                (true, None) => return Err(error("a key of the beginning has no value".into())),
                (false, now) => {
                    if history.changes.last().is_some_and(|last| last.event.revision > revision) {
                        return Err(error(format!("revision {revision} comes after a later one")));
                    }
                    history.changes.push(Change { event: KeyEvent { key, revision, now }, at: line.at });
                }
            }
        }
        if text.is_empty() {
            return Err(LinesError { line: 1, why: "there is none: the file is empty".into() });
        }
        Ok(history)
    }
}

impl Bytes {
    fn of(bytes: &[u8]) -> Bytes {
        match std::str::from_utf8(bytes) {
            Ok(text) => Bytes::Text(text.to_owned()),
            Err(_) => Bytes::Raw(bytes.to_vec()),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Bytes::Text(text) => text.as_bytes(),
            Bytes::Raw(bytes) => bytes,
        }
    }
}
