//! What identifies a candidate: a struct and not configuration, since it differs from process to process.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::mem::offset_of;
use std::slice;

use primacy::milvus::{Candidate, IndexVersions};

use crate::error::Fault;
use crate::ffi;
use crate::status::{PRIMACY_E_ARGUMENT, PRIMACY_E_CANDIDATE};
use crate::versioned::Versioned;

/// A choice that was not made: what Milvus's coordinators do today.
pub const PRIMACY_DEFAULT: i32 = 0;
/// A choice: yes.
pub const PRIMACY_YES: i32 = 1;
/// A choice: no.
pub const PRIMACY_NO: i32 = 2;

/// What the records of a candidate in etcd say of it. Copied by the call that takes it.
///
/// Set all of it to zero, then `struct_size`, `address` and `version`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct primacy_candidate {
    /// `sizeof(primacy_candidate)`.
    pub struct_size: usize,
    /// `host:port` where clients reach it, unless `any_address` says otherwise. Required.
    pub address: *const c_char,
    /// Its version, as semantic versioning has it, such as "3.0.0". Required.
    pub version: *const c_char,
    /// The machine's name; NULL: what the machine says.
    pub host_name: *const c_char,
    /// Texts "NAME=VALUE" that clients choose servers by; NULL: none.
    pub server_labels: *const *const c_char,
    /// How many.
    pub server_labels_count: usize,
    /// A JSON object of integers, passed on to Milvus's readers as it is; NULL: empty.
    pub index_engine_version: *const c_char,
    /// As `index_engine_version`.
    pub scalar_index_engine_version: *const c_char,
    /// Passed on to Milvus's readers. By default no.
    pub index_non_encoding: i32,
    /// At most one of the role at a time. By default yes.
    pub exclusive: i32,
    /// `TriggerKill`, which Milvus 2.x writes and 3.0 does not. By default left out.
    pub trigger_kill: i32,
    /// Yes: `address` is any text, as Milvus's own code takes it; clients that read it make of it what they can. By
    /// default no: it is checked.
    pub any_address: i32,
    /// The id of this server, from 1, where its host vouches that nobody else has it, such as one that the roles of a
    /// process share: a key under it that is there already is waited for. 0: one is taken from the counter in etcd.
    pub server_id: i64,
}

// SAFETY: repr(C), two pairs of 32 bits before the last leave no padding, zero is NULL or 0.
unsafe impl Versioned for primacy_candidate {
    const NAME: &'static str = "primacy_candidate";
    const FIRST_SIZE: usize = offset_of!(primacy_candidate, server_id);
}

/// Checks it and copies what it points to.
pub(crate) unsafe fn check(given: &primacy_candidate) -> Result<Candidate, Fault> {
    // SAFETY: the header's contract for texts, here and below.
    let (address, version) = unsafe {
        (
            ffi::text(given.address, "primacy_candidate.address")?,
            ffi::text(given.version, "primacy_candidate.version")?,
        )
    };
    let version = semver::Version::parse(version)
        .map_err(|e| malformed(format!("version `{version}` is malformed ({e}); give one such as 3.0.0")))?;
    // SAFETY: as above.
    let host_name = match unsafe { ffi::optional_text(given.host_name, "primacy_candidate.host_name") }? {
        Some(name) => name.to_string(),
        None => own_host_name(),
    };
    let made = match choice(given.any_address, "any_address")?.unwrap_or(false) {
        true => Candidate::at_any(address, &host_name, version),
        false => Candidate::new(address, &host_name, version),
    };
    let mut candidate = made.map_err(|e| malformed(e.to_string()))?;
    candidate.server_id = match given.server_id {
        0 => None,
        1.. => Some(given.server_id),
        ..0 => {
            return Err(malformed(format!(
                "server id {} is below 1; give none (0), or one from 1",
                given.server_id
            )));
        }
    };
    // SAFETY: as above.
    candidate.server_labels = unsafe { labels(given) }?;
    // SAFETY: as above.
    candidate.index_engine_version = unsafe { index_versions(given.index_engine_version) }?;
    // SAFETY: as above.
    candidate.scalar_index_engine_version = unsafe { index_versions(given.scalar_index_engine_version) }?;
    candidate.index_non_encoding = choice(given.index_non_encoding, "index_non_encoding")?.unwrap_or(false);
    candidate.exclusive = choice(given.exclusive, "exclusive")?.unwrap_or(true);
    candidate.trigger_kill = choice(given.trigger_kill, "trigger_kill")?;
    Ok(candidate)
}

fn malformed(what: String) -> Fault {
    Fault::new(PRIMACY_E_CANDIDATE, what)
}

fn choice(given: i32, field: &str) -> Result<Option<bool>, Fault> {
    match given {
        PRIMACY_DEFAULT => Ok(None),
        PRIMACY_YES => Ok(Some(true)),
        PRIMACY_NO => Ok(Some(false)),
        other => Err(Fault::new(
            PRIMACY_E_ARGUMENT,
            format!(
                "primacy_candidate.{field} is {other}; set it to PRIMACY_DEFAULT, PRIMACY_YES or PRIMACY_NO"
            ),
        )),
    }
}

unsafe fn index_versions(given: *const c_char) -> Result<IndexVersions, Fault> {
    // SAFETY: passed on.
    let text = unsafe { ffi::optional_text(given, "an index version of primacy_candidate") }?;
    IndexVersions::parse(text.unwrap_or_default()).map_err(|e| malformed(e.to_string()))
}

unsafe fn labels(given: &primacy_candidate) -> Result<BTreeMap<String, String>, Fault> {
    const WHAT: &str = "primacy_candidate.server_labels";
    if given.server_labels_count == 0 {
        return Ok(BTreeMap::new());
    }
    if given.server_labels.is_null() {
        return Err(ffi::null(WHAT));
    }
    // More than this would not fit into one etcd value; a size that is garbage must not become a slice.
    if given.server_labels_count > 65_536 {
        let what = format!("{WHAT} are {}, more than a record holds", given.server_labels_count);
        return Err(Fault::new(PRIMACY_E_ARGUMENT, what));
    }
    // SAFETY: not NULL, and by the header this many pointers.
    let labels = unsafe { slice::from_raw_parts(given.server_labels, given.server_labels_count) };
    let pair = |label: &*const c_char| {
        // SAFETY: the header's contract for texts.
        let label = unsafe { ffi::text(*label, WHAT) }?;
        let (name, value) = label
            .split_once('=')
            .ok_or_else(|| malformed(format!("server label `{label}` has no `=`; give NAME=VALUE")))?;
        Ok((name.to_string(), value.to_string()))
    };
    labels.iter().map(pair).collect()
}

/// The machine's name; empty where it has none.
fn own_host_name() -> String {
    let mut name = [0u8; 256];
    // SAFETY: the buffer is this long; the last byte stays NUL, should the name be cut off.
    if unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) } != 0 {
        return String::new();
    }
    CStr::from_bytes_until_nul(&name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
