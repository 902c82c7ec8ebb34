//! When something happened.

use serde::Serialize;

/// A revision, and when it was heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct When {
    /// Of etcd.
    pub revision: i64,
    /// In milliseconds since 1970; `None`: it is not known.
    pub at_ms: Option<i64>,
}
