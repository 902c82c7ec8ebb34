//! Reading records: the JSON of Milvus's coordinators, of any age, and our own.

use std::collections::BTreeMap;

use semver::Version;
use serde_json::{Map, Value as Json};

use super::encode::{
    ACCEPTS, ASKED, BOOT, Facts, INSTANCE, LINE, NAMESPACE, OFFER, OURS, PID, PROTOCOL, REFUSED, RESIGN,
    START, TAKES, TO,
};
use super::{Asked, Asks, Incarnation, Places, Process, Reply};
use crate::plain::{BRIEF, plain};
use crate::store::{LeaseId, Revision, Value};

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
    /// `None` from one that does not say it.
    pub incarnation: Option<Incarnation>,
    /// What an operator has asked of it, as long as it has not taken that.
    pub asked: Option<Asked>,
    /// What it says to what was asked of it last.
    pub reply: Option<Reply>,
}

/// What the field of ours says.
#[derive(Default)]
struct Ours {
    facts: Option<Facts>,
    incarnation: Option<Incarnation>,
    asked: Option<Asked>,
    reply: Option<Reply>,
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
            text => {
                Some(Version::parse(&text).map_err(|_| RecordError::Version(plain(&text, BRIEF).into()))?)
            }
        };
        let Ours { facts, incarnation, asked, reply } = ours(&object)?;
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
            facts,
            incarnation,
            asked,
            reply,
        })
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

/// Facts of another protocol are facts we do not know: a neighbour of tomorrow is no error.
fn ours(object: &Map<String, Json>) -> Result<Ours, RecordError> {
    let ours = match object.get(OURS) {
        None | Some(Json::Null) => return Ok(Ours::default()),
        Some(Json::Object(ours)) => ours,
        Some(other) => return Err(wrong(OURS, other, "an object")),
    };
    if number(ours, "Protocol").map_err(within_primacy)? != PROTOCOL {
        return Ok(Ours::default());
    }
    let fact = |name| Ok(flag(ours, name).map_err(within_primacy)?.unwrap_or_default());
    let lock = |name| match number(ours, name).map_err(within_primacy)? {
        0 => Ok(None),
        revision => Ok(Some(Revision(revision))),
    };
    let priority = number(ours, "Priority").map_err(within_primacy)?;
    let facts = Facts {
        warm: fact("Warm")?,
        ready: fact("Ready")?,
        priority: u32::try_from(priority.max(0)).unwrap_or(u32::MAX),
        offer: lock(OFFER)?,
        accepts: lock(ACCEPTS)?,
        line: places(ours).map_err(within_primacy)?,
    };
    let word = |name| text(ours, name).map(|word| Some(word).filter(|word| !word.is_empty()));
    let count = |name| Ok(u64::try_from(number(ours, name)?).ok());
    let (boot, namespace) = (word(BOOT).map_err(within_primacy)?, word(NAMESPACE).map_err(within_primacy)?);
    let (pid, start) = (count(PID).map_err(within_primacy)?, count(START).map_err(within_primacy)?);
    let process = match (boot, namespace, pid.and_then(|pid| u32::try_from(pid).ok()), start) {
        (Some(boot), Some(namespace), Some(pid), Some(start)) if pid != 0 => {
            Some(Process { boot, namespace, pid, start })
        }
        _ => None,
    };
    let instance = word(INSTANCE).map_err(within_primacy)?;
    let says = process.is_some() || instance.is_some();
    let refused = word(REFUSED).map_err(within_primacy)?.map(|why| Reply::Refused(why.into()));
    let to = Some(number(ours, TO).map_err(within_primacy)?).filter(|id| *id != 0);
    let what = if fact(RESIGN)? { Asks::Resign } else { Asks::Transfer { to } };
    Ok(Ours {
        facts: Some(facts),
        incarnation: says.then_some(Incarnation { process, instance }),
        asked: lock(ASKED)?.map(|lock| Asked { lock, what }),
        reply: lock(TAKES)?.map(Reply::Takes).or(refused),
    })
}

fn places(ours: &Map<String, Json>) -> Result<Places, RecordError> {
    let wrong = |found| wrong(LINE, found, "a list of integers of 64 bits");
    match ours.get(LINE) {
        None | Some(Json::Null) => Ok(Places::NOBODY),
        Some(Json::Array(ids)) => {
            let ids: Result<Vec<i64>, _> =
                ids.iter().map(|id| id.as_i64().ok_or_else(|| wrong(id))).collect();
            Ok(Places::of(ids?))
        }
        Some(other) => Err(wrong(other)),
    }
}

fn within_primacy(error: RecordError) -> RecordError {
    match error {
        RecordError::Field { field, found, expected } => {
            RecordError::Field { field: format!("{OURS}.{field}"), found, expected }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::milvus::{Candidate, IndexVersions, Role, encode};

    fn parse(text: &str) -> Result<Record, RecordError> {
        Record::parse(&text.into())
    }

    #[test]
    fn records_of_milvus_are_read() {
        let read = parse(
            r#"{"ServerID":1,"ServerName":"mixcoord","Address":"127.0.0.1:53113","Exclusive":true,"TriggerKill":true,"Version":"2.6.7","IndexEngineVersion":{},"ScalarIndexEngineVersion":{},"LeaseID":5007617984793799419,"HostName":"vm"}"#,
        );
        let expected = Record {
            server_id: 1,
            server_name: "mixcoord".into(),
            address: "127.0.0.1:53113".into(),
            exclusive: true,
            trigger_kill: Some(true),
            version: Some(Version::new(2, 6, 7)),
            lease: LeaseId(5007617984793799419),
            host_name: "vm".into(),
            ..Record::default()
        };
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn absent_null_and_unknown_fields_are_no_error() {
        assert_eq!(parse("{}"), Ok(Record::default()));
        let nulls = r#"{"ServerID":null,"Address":null,"Stopping":null,"Version":null,"LeaseID":null,"ServerLabels":null,"Primacy":null}"#;
        assert_eq!(parse(nulls), Ok(Record::default()));
        let newer = r#"{"Version":"","Zone":{"a":[1,2.5]},"IndexEngineVersion":{"New":"x"},"ServerID":9}"#;
        assert_eq!(parse(newer), Ok(Record { server_id: 9, ..Record::default() }));
    }

    #[test]
    fn facts_of_another_protocol_are_not_read() {
        assert_eq!(
            parse(r#"{"Primacy":{"Protocol":1,"Warm":true,"Later":[]}}"#).unwrap().facts,
            Some(Facts { warm: true, ..Facts::default() })
        );
        for unknown in [r#"{"Primacy":{"Protocol":2,"Warm":"very"}}"#, r#"{"Primacy":{"Warm":true}}"#] {
            assert_eq!(parse(unknown).unwrap().facts, None);
        }
    }

    #[test]
    fn of_a_longer_line_the_first_are_read() {
        let facts = parse(r#"{"Primacy":{"Protocol":1,"Line":[9,8,7,6,5,4,3,2,1,10]}}"#).unwrap().facts;
        assert_eq!(facts.unwrap().line, Places::of([9, 8, 7, 6, 5, 4, 3, 2]));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("", "no JSON object"),
            ("{", "no JSON object"),
            ("[1]", "it is [1]"),
            ("7", "it is 7"),
            (r#"{"ServerID":"1"}"#, "`ServerID` is \"1\", not an integer"),
            (r#"{"ServerID":1.0}"#, "`ServerID` is 1.0"),
            (r#"{"LeaseID":9223372036854775808}"#, "`LeaseID` is 9223372036854775808"),
            (r#"{"Address":{"a":1}}"#, "`Address` is {\"a\":1}, not a text"),
            (r#"{"Stopping":0}"#, "`Stopping` is 0, not true or false"),
            (r#"{"Version":"v3.0.0"}"#, "`Version` is `v3.0.0`"),
            (r#"{"ServerLabels":{"a":1}}"#, "`ServerLabels.a` is 1"),
            (r#"{"ServerLabels":[]}"#, "`ServerLabels` is []"),
            (r#"{"Primacy":true}"#, "`Primacy` is true"),
            (r#"{"Primacy":{"Protocol":1,"Ready":1}}"#, "`Primacy.Ready` is 1"),
            (r#"{"Primacy":{"Protocol":1,"Line":3}}"#, "`Primacy.Line` is 3"),
            (r#"{"Primacy":{"Protocol":1,"Line":[3,"4"]}}"#, "`Primacy.Line` is \"4\""),
        ] {
            let told = parse(text).unwrap_err().to_string();
            assert!(told.contains(named), "{text}: {told}");
        }
    }

    #[test]
    fn a_wrong_value_of_any_size_is_told_in_short() {
        let told = parse(&format!(r#"{{"ServerID":"{}"}}"#, "é".repeat(100_000))).unwrap_err().to_string();
        assert!(told.len() < 300, "{}", told.len());
    }

    prop_compose! {
        fn candidates()(
            host_name in any::<String>(),
            (major, minor, patch) in any::<(u64, u64, u64)>(),
            pre in prop_oneof![Just(""), Just("beta"), Just("rc.1"), Just("0.a-b")],
            (exclusive, stopping, index_non_encoding) in any::<(bool, bool, bool)>(),
            trigger_kill in any::<Option<bool>>(),
            server_labels in any::<BTreeMap<String, String>>(),
            process in prop::option::of((".+", ".+", 1..u32::MAX, 0..u64::MAX / 2)),
            instance in prop::option::of(".+"),
            index in prop_oneof![Just("{}"), Just(r#"{"MinimalIndexVersion":6,"CurrentIndexVersion":7}"#)],
        ) -> Candidate {
            let mut version = Version::new(major, minor, patch);
            version.pre = semver::Prerelease::new(pre).unwrap();
            let mut candidate = Candidate::new("h:1", &host_name, version).unwrap();
            candidate.exclusive = exclusive;
            candidate.stopping = stopping;
            candidate.trigger_kill = trigger_kill;
            candidate.index_non_encoding = index_non_encoding;
            candidate.server_labels = server_labels;
            candidate.incarnation = (process.is_some() || instance.is_some()).then(|| Incarnation {
                process: process.map(|(boot, namespace, pid, start)| Process { boot, namespace, pid, start }),
                instance,
            });
            candidate.index_engine_version = IndexVersions::parse(index).unwrap();
            candidate
        }
    }

    prop_compose! {
        fn encoded()(
            candidate in candidates(),
            server_id in any::<i64>(),
            lease in any::<i64>(),
            facts in any::<Option<(bool, bool, u32)>>(),
            (offer, accepts) in any::<(Option<i64>, Option<i64>)>(),
            line in proptest::collection::vec(1_i64.., 0..=super::super::places::MOST),
        ) -> (Record, Value) {
            let role = Role::parse("rootcoord").unwrap();
            let [offer, accepts] = [offer, accepts].map(|lock| lock.filter(|lock| *lock != 0).map(Revision));
            let line = Places::of(line);
            let facts = facts.map(|(warm, ready, priority)| Facts { warm, ready, priority, offer, accepts, line });
            let value = encode(&candidate, &role, server_id, LeaseId(lease), facts);
            let record = Record {
                server_id,
                server_name: "rootcoord".into(),
                address: candidate.address().into(),
                exclusive: candidate.exclusive,
                stopping: candidate.stopping,
                trigger_kill: candidate.trigger_kill,
                version: Some(candidate.version().clone()),
                lease: LeaseId(lease),
                host_name: candidate.host_name,
                server_labels: candidate.server_labels,
                incarnation: candidate.incarnation.filter(|_| facts.is_some()),
                facts,
                asked: None,
                reply: None,
            };
            (record, value)
        }
    }

    proptest! {
        // A failing case belongs into a test of its own, not into a file that is easily left out.
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read((record, value) in encoded()) {
            prop_assert_eq!(Record::parse(&value), Ok(record));
        }

        #[test]
        fn no_bytes_make_a_reader_panic(bytes in any::<Vec<u8>>()) {
            let _ = Record::parse(&bytes.as_slice().into());
        }

        #[test]
        fn no_mangled_record_makes_a_reader_panic(
            (_, value) in encoded(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<Option<u8>>()), 1..8),
        ) {
            let mut bytes = value.as_bytes().to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                match byte {
                    Some(byte) => bytes[at] = byte,
                    None => bytes.truncate(at.max(1)),
                }
            }
            let _ = Record::parse(&bytes.as_slice().into());
        }
    }
}
