//! What identifies a candidate, checked so that its record can be read by Milvus's own code.

use std::collections::BTreeMap;
use std::fmt;

use semver::Version;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::Incarnation;
use crate::address::is_host_and_port;

/// What a candidate's records say of it, whatever its role, id and lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    address: String,
    version: Version,
    /// The id of this server that its host vouches for, such as one that the roles of a process share; `None`: one is
    /// taken from the counter in the store.
    pub server_id: Option<i64>,
    /// The machine's name; may be empty.
    pub host_name: String,
    /// At most one of the role at a time. True for coordinators.
    pub exclusive: bool,
    /// Says to clients that it is going to stop.
    pub stopping: bool,
    /// `Some`: written, also if false, as Milvus 2.x does. `None`: left out, as since 3.0.
    pub trigger_kill: Option<bool>,
    /// Passed through to Milvus's readers.
    pub index_engine_version: IndexVersions,
    /// Passed through to Milvus's readers.
    pub scalar_index_engine_version: IndexVersions,
    /// Passed through to Milvus's readers.
    pub index_non_encoding: bool,
    /// Labels that clients choose servers by; written in the order of their names.
    pub server_labels: BTreeMap<String, String>,
    /// Which run of the server it is, said in its own record alone: a later one may reclaim what this one leaves.
    /// `None`: it is not said, and nothing is reclaimed.
    pub incarnation: Option<Incarnation>,
}

/// Why a candidate is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CandidateError {
    /// No `host:port`.
    #[error("address `{0}` is not host:port; give one that clients can reach, such as 10.0.0.5:53100")]
    Address(String),
    /// Milvus's readers hold a number in a pre-release in 64 bits, and fail on a larger one.
    #[error(
        "version {0} has a number above 64 bits, which Milvus can not read; give a version such as 3.0.0"
    )]
    Version(Version),
}

/// One of the index-version objects of a record, such as `{"MinimalIndexVersion":6}`: names and numbers, in
/// the order they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexVersions(Vec<(String, i32)>);

/// A text that is no index-version object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("index versions `{text}` are refused: {why}; give a JSON object of 32-bit integers, such as {{}}")]
pub struct IndexVersionsError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

impl Candidate {
    /// A candidate that clients reach at `address`, as Milvus 3.0 would write it: exclusive, without labels.
    ///
    /// # Errors
    /// If the address is not `host:port`, or Milvus's readers could not parse the version.
    pub fn new(address: &str, host_name: &str, version: Version) -> Result<Candidate, CandidateError> {
        if !is_host_and_port(address) {
            return Err(CandidateError::Address(address.into()));
        }
        Candidate::at_any(address, host_name, version)
    }

    /// The same for an address that clients read otherwise than as `host:port`: Milvus's own code looks at none.
    ///
    /// # Errors
    /// If Milvus's readers could not parse the version.
    pub fn at_any(address: &str, host_name: &str, version: Version) -> Result<Candidate, CandidateError> {
        let too_large = |part: &str| part.bytes().all(|b| b.is_ascii_digit()) && part.parse::<u64>().is_err();
        if !version.pre.is_empty() && version.pre.split('.').any(too_large) {
            return Err(CandidateError::Version(version));
        }
        Ok(Candidate {
            address: address.into(),
            version,
            server_id: None,
            host_name: host_name.into(),
            exclusive: true,
            stopping: false,
            trigger_kill: None,
            index_engine_version: IndexVersions::default(),
            scalar_index_engine_version: IndexVersions::default(),
            index_non_encoding: false,
            server_labels: BTreeMap::new(),
            incarnation: None,
        })
    }

    /// Where clients reach it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its version.
    pub fn version(&self) -> &Version {
        &self.version
    }
}

impl IndexVersions {
    /// Reads a JSON object of integers; empty: none.
    ///
    /// # Errors
    /// If it is anything else: a value of another type would make Milvus's readers fail.
    pub fn parse(text: &str) -> Result<IndexVersions, IndexVersionsError> {
        if text.trim().is_empty() {
            return Ok(IndexVersions::default());
        }
        serde_json::from_str(text).map_err(|e| IndexVersionsError { text: text.into(), why: e.to_string() })
    }

    /// The names and numbers, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i32)> {
        self.0.iter().map(|(name, number)| (name.as_str(), *number))
    }
}

/// By hand, because a map would lose the order, which Milvus's bytes have.
impl<'de> Deserialize<'de> for IndexVersions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = IndexVersions;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of integers")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<IndexVersions, A::Error> {
                let mut versions = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    versions.push(entry);
                }
                Ok(IndexVersions(versions))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Result<Candidate, CandidateError> {
        Candidate::new(address, "vm", Version::new(3, 0, 0))
    }

    #[test]
    fn an_address_is_host_and_port() {
        assert_eq!(at("127.0.0.1:53100").unwrap().address(), "127.0.0.1:53100");
        for bad in ["", "localhost", "http://h:1"] {
            let told = at(bad).unwrap_err().to_string();
            assert!(told.contains(&format!("`{bad}`")), "{told}");
            assert_eq!(Candidate::at_any(bad, "vm", Version::new(3, 0, 0)).unwrap().address(), bad);
        }
    }

    #[test]
    fn a_version_that_milvus_can_not_parse_is_refused() {
        let with = |text: &str| Candidate::new("h:1", "", Version::parse(text).unwrap());
        assert!(with("3.0.0-18446744073709551615").is_ok());
        assert!(with("3.0.0-a18446744073709551616").is_ok());
        assert!(matches!(with("3.0.0-a.18446744073709551616"), Err(CandidateError::Version(_))));
    }

    #[test]
    fn index_versions_keep_their_order_and_are_numbers() {
        let given =
            IndexVersions::parse(r#" {"MinimalIndexVersion": 6, "CurrentIndexVersion": -7} "#).unwrap();
        assert_eq!(
            given.iter().collect::<Vec<_>>(),
            [("MinimalIndexVersion", 6), ("CurrentIndexVersion", -7)]
        );
        assert_eq!(IndexVersions::parse("").unwrap(), IndexVersions::default());
        assert_eq!(IndexVersions::parse("{}").unwrap(), IndexVersions::default());
        for bad in
            ["[]", "1", "{", r#"{"a":"1"}"#, r#"{"a":1.5}"#, r#"{"a":2147483648}"#, r#"{"a":null}"#, "{} {}"]
        {
            let told = IndexVersions::parse(bad).unwrap_err().to_string();
            assert!(told.contains(bad), "{told}");
        }
    }
}
