//! The record of a session: the JSON that Milvus's coordinators and clients write and read.

use std::collections::BTreeMap;
use std::fmt::Write;

use semver::Version;
use serde_json::{Map, Value as Json};

use super::{Candidate, IndexVersions, Role};
use crate::store::{LeaseId, Value};

/// What a candidate says of itself beyond Milvus's fields, in its `ROLE-ID` record only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Facts {
    /// Its last warm-up answered "warm".
    pub warm: bool,
    /// It is primary and `on_primary` has succeeded.
    pub ready: bool,
}

/// What the facts mean is of this version; those of another are not read.
const PROTOCOL: i64 = 1;

/// A record as read. Fields that are not listed here are ignored; absent ones have their zero value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The candidate's id; 0 if absent.
    pub server_id: i64,
    /// The role.
    pub server_name: String,
    /// `host:port`.
    pub address: String,
    /// At most one of the role at a time.
    pub exclusive: bool,
    /// It is going to stop.
    pub stopping: bool,
    /// `None` if absent, as since Milvus 3.0.
    pub trigger_kill: Option<bool>,
    /// `None` if empty or absent.
    pub version: Option<Version>,
    /// The lease that it says it is on; what counts is the lease of its key.
    pub lease: LeaseId,
    /// The machine's name.
    pub host_name: String,
    /// Labels that clients choose servers by.
    pub server_labels: BTreeMap<String, String>,
    /// `None` from a neighbour that does not write them, or means something else by them.
    pub facts: Option<Facts>,
}

/// Why a value is no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not JSON, or no JSON object.
    #[error("no JSON object: {0}")]
    NotAnObject(String),
    /// A field of another type than it should be.
    #[error("`{field}` is {found}, not {expected}")]
    Field {
        /// Which field; inside an object, with a dot.
        field: String,
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// A version that is not empty and no semver either. Milvus's readers fail on it as well.
    #[error("`Version` is `{0}`, not a version such as 3.0.0")]
    Version(String),
}

/// The record of a candidate, byte for byte as Milvus's Go code writes it, under a key of role `server_name`.
///
/// `facts` go into the candidate's own `ROLE-ID` record and nowhere else: the lock's record must not change
/// while it is held.
pub fn encode(
    candidate: &Candidate,
    server_name: &Role,
    server_id: i64,
    lease: LeaseId,
    facts: Option<Facts>,
) -> Value {
    let mut fields = Fields(String::from("{"));
    fields.number("ServerID", server_id);
    fields.text("ServerName", server_name.as_str());
    fields.text("Address", candidate.address());
    fields.flag("Exclusive", candidate.exclusive);
    fields.flag("Stopping", candidate.stopping);
    if let Some(trigger_kill) = candidate.trigger_kill {
        fields.raw("TriggerKill", trigger_kill);
    }
    fields.raw("Version", Quoted(&candidate.version().to_string()));
    fields.index_versions("IndexEngineVersion", &candidate.index_engine_version);
    fields.index_versions("ScalarIndexEngineVersion", &candidate.scalar_index_engine_version);
    fields.flag("IndexNonEncoding", candidate.index_non_encoding);
    fields.number("LeaseID", lease.0);
    fields.text("HostName", &candidate.host_name);
    if !candidate.server_labels.is_empty() {
        let mut labels = Fields(String::from("{"));
        for (name, value) in &candidate.server_labels {
            labels.raw(name, Quoted(value));
        }
        fields.raw("ServerLabels", labels.end());
    }
    if let Some(Facts { warm, ready }) = facts {
        let mut ours = Fields(String::from("{"));
        ours.raw("Protocol", PROTOCOL);
        ours.raw("Warm", warm);
        ours.raw("Ready", ready);
        fields.raw("Primacy", ours.end());
    }
    fields.end().into()
}

impl Record {
    /// Reads a record, Milvus's or our own.
    ///
    /// # Errors
    /// If it is no JSON object, a known field has another type, or a version that is not empty is malformed.
    pub fn parse(value: &Value) -> Result<Record, RecordError> {
        let object = match serde_json::from_slice(value.as_bytes()) {
            Ok(Json::Object(object)) => object,
            Ok(other) => return Err(RecordError::NotAnObject(format!("it is {}", shown(&other)))),
            Err(e) => return Err(RecordError::NotAnObject(e.to_string())),
        };
        let version = match text(&object, "Version")? {
            text if text.is_empty() => None,
            text => Some(Version::parse(&text).map_err(|_| RecordError::Version(text))?),
        };
        Ok(Record {
            server_id: number(&object, "ServerID")?,
            server_name: text(&object, "ServerName")?,
            address: text(&object, "Address")?,
            exclusive: flag(&object, "Exclusive")?.unwrap_or_default(),
            stopping: flag(&object, "Stopping")?.unwrap_or_default(),
            trigger_kill: flag(&object, "TriggerKill")?,
            version,
            lease: LeaseId(number(&object, "LeaseID")?),
            host_name: text(&object, "HostName")?,
            server_labels: labels(&object)?,
            facts: facts(&object)?,
        })
    }
}

// === Writing ===

/// An object under construction. `number`, `text` and `flag` leave a zero value out, as Go's `omitempty` does.
struct Fields(String);

impl Fields {
    fn raw(&mut self, name: &str, value: impl std::fmt::Display) {
        let comma = if self.0.len() > 1 { "," } else { "" };
        // Writing to a String does not fail.
        let _ = write!(self.0, "{comma}{}:{value}", Quoted(name));
    }

    fn number(&mut self, name: &str, value: i64) {
        if value != 0 {
            self.raw(name, value);
        }
    }

    fn text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.raw(name, Quoted(value));
        }
    }

    fn flag(&mut self, name: &str, value: bool) {
        if value {
            self.raw(name, value);
        }
    }

    fn index_versions(&mut self, name: &str, versions: &IndexVersions) {
        let mut inner = Fields(String::from("{"));
        for (name, number) in versions.iter() {
            inner.raw(name, number);
        }
        self.raw(name, inner.end());
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// A JSON string as Milvus's encoder escapes it: besides what JSON demands, what HTML and JavaScript would
/// stumble over; and no short form for backspace and form feed.
struct Quoted<'a>(&'a str);

impl std::fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                '\0'..='\x1f' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                    write!(f, "\\u{:04x}", u32::from(c))?
                }
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

// === Reading: an absent field and a null have the zero value, as for Go's decoder ===

fn text(object: &Map<String, Json>, field: &str) -> Result<String, RecordError> {
    match object.get(field) {
        None | Some(Json::Null) => Ok(String::new()),
        Some(Json::String(text)) => Ok(text.clone()),
        Some(other) => Err(wrong(field, other, "a text")),
    }
}

fn number(object: &Map<String, Json>, field: &str) -> Result<i64, RecordError> {
    match object.get(field) {
        None | Some(Json::Null) => Ok(0),
        Some(value) => value.as_i64().ok_or_else(|| wrong(field, value, "an integer of 64 bits")),
    }
}

fn flag(object: &Map<String, Json>, field: &str) -> Result<Option<bool>, RecordError> {
    match object.get(field) {
        None | Some(Json::Null) => Ok(None),
        Some(value) => value.as_bool().map(Some).ok_or_else(|| wrong(field, value, "true or false")),
    }
}

fn labels(object: &Map<String, Json>) -> Result<BTreeMap<String, String>, RecordError> {
    match object.get("ServerLabels") {
        None | Some(Json::Null) => Ok(BTreeMap::new()),
        Some(Json::Object(labels)) => labels
            .keys()
            .map(|name| match text(labels, name) {
                Err(RecordError::Field { field, found, expected }) => {
                    Err(RecordError::Field { field: format!("ServerLabels.{field}"), found, expected })
                }
                read => Ok((name.clone(), read?)),
            })
            .collect(),
        Some(other) => Err(wrong("ServerLabels", other, "an object of texts")),
    }
}

/// Never an error of ours towards a neighbour of tomorrow: facts of another protocol are facts we do not know.
fn facts(object: &Map<String, Json>) -> Result<Option<Facts>, RecordError> {
    let ours = match object.get("Primacy") {
        None | Some(Json::Null) => return Ok(None),
        Some(Json::Object(ours)) => ours,
        Some(other) => return Err(wrong("Primacy", other, "an object")),
    };
    if number(ours, "Protocol").map_err(within_primacy)? != PROTOCOL {
        return Ok(None);
    }
    let fact = |name| Ok(flag(ours, name).map_err(within_primacy)?.unwrap_or_default());
    Ok(Some(Facts { warm: fact("Warm")?, ready: fact("Ready")? }))
}

fn within_primacy(error: RecordError) -> RecordError {
    match error {
        RecordError::Field { field, found, expected } => {
            RecordError::Field { field: format!("Primacy.{field}"), found, expected }
        }
        other => other,
    }
}

fn wrong(field: &str, found: &Json, expected: &'static str) -> RecordError {
    RecordError::Field { field: field.into(), found: shown(found), expected }
}

/// A value in an error, short: a foreign one may be of any size.
fn shown(value: &Json) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
