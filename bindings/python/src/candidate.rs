//! What identifies a candidate, as `primacy.Candidate` has it.

use std::collections::BTreeMap;

use primacy::milvus::{Candidate, IndexVersions};
use pyo3::prelude::*;

use crate::fault::Fault;

/// The fields of a `primacy.Candidate`.
#[derive(FromPyObject)]
pub struct Fields {
    address: String,
    version: String,
    host_name: String,
    server_labels: BTreeMap<String, String>,
    index_engine_version: String,
    scalar_index_engine_version: String,
    index_non_encoding: bool,
    exclusive: bool,
    trigger_kill: Option<bool>,
}

impl Fields {
    /// Checks them.
    pub fn check(self) -> Result<Candidate, Fault> {
        let version = semver::Version::parse(&self.version).map_err(|error| {
            let given = &self.version;
            Fault::Candidate(format!("version `{given}` is malformed ({error}); give one such as 3.0.0"))
        })?;
        let mut candidate = Candidate::new(&self.address, &self.host_name, version)?;
        candidate.server_labels = self.server_labels;
        candidate.index_engine_version = IndexVersions::parse(&self.index_engine_version)?;
        candidate.scalar_index_engine_version = IndexVersions::parse(&self.scalar_index_engine_version)?;
        candidate.index_non_encoding = self.index_non_encoding;
        candidate.exclusive = self.exclusive;
        candidate.trigger_kill = self.trigger_kill;
        Ok(candidate)
    }
}
