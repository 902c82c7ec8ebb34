//! Where log lines go: to a sink that the host gives. This library writes to no file and no stream itself.

use std::fmt;
use std::sync::Arc;

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

/// A sink for log lines. Cheap to clone; a clone is the same sink.
///
/// The sink is called on any thread, also on those that keep leases: it must not block.
#[derive(Clone)]
pub struct Log(Arc<dyn Fn(Level, &str) + Send + Sync>);

impl Log {
    /// Lines go to `sink`.
    pub fn new(sink: impl Fn(Level, &str) + Send + Sync + 'static) -> Log {
        Log(Arc::new(sink))
    }

    /// Lines go nowhere.
    pub fn none() -> Log {
        Log::new(|_, _| {})
    }

    /// Hands one line to the sink.
    pub fn line(&self, level: Level, text: &str) {
        (self.0)(level, text);
    }

    /// Hands over a line at [`Level::Warn`].
    pub fn warn(&self, text: &str) {
        self.line(Level::Warn, text);
    }

    /// Hands over a line at [`Level::Info`].
    pub fn info(&self, text: &str) {
        self.line(Level::Info, text);
    }

    /// Hands over a line at [`Level::Debug`].
    pub fn debug(&self, text: &str) {
        self.line(Level::Debug, text);
    }
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

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}
