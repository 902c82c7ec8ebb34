//! Why a session or an observer did not open.

use std::io;

use crate::store::Failure;

/// Why a session could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Trying again may help.
    #[error("no session within etcd.requestTimeout: {0}")]
    Unavailable(Failure),
    /// Trying again does not help until somebody changes something.
    #[error("no session: {0}")]
    Refused(Failure),
    /// It was stopped before it was open.
    #[error("no session: it was stopped before it was open")]
    Stopped,
    /// No thread, descriptor or memory left.
    #[error("no session: {0}")]
    System(#[from] io::Error),
}

impl OpenError {
    /// Whether opening the same session again later may succeed.
    pub fn may_pass(&self) -> bool {
        !matches!(self, OpenError::Refused(_) | OpenError::Stopped)
    }
}
