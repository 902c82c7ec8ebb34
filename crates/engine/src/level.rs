//! How much a log line matters.

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Something is broken and stays so until somebody acts.
    Error,
    /// Something failed that is tried again.
    Warn,
    /// What an operator wants to see of normal work.
    Info,
    /// For whoever looks for a bug.
    Debug,
}

impl Level {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }
}
