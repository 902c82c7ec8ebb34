//! How a session opens: it asks the store for a lease and takes a server id.

use std::io;
use std::time::Duration;

use super::driver;
use super::environment::Environment;
use super::lock::lock;
use super::open_error::OpenError;
use super::progress::Stage;
use super::session::Session;
use crate::engine::{Event, Setup};
use crate::store::Failure;

/// A session that fails to open cleans up for this long, or for a tenth of the request timeout if that is less.
const CLEANUP: Duration = Duration::from_secs(1);

/// A session that is not open yet. Dropped, it ends.
pub struct Opening {
    session: Session,
}

impl Opening {
    /// Begins. `warnings` are what works as it is set up, and may yet end badly. Returns at once.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn begin(environment: Environment, setup: Setup, warnings: Vec<String>) -> io::Result<Opening> {
        let shared = driver::start(environment, setup, warnings)?;
        shared.commands.ask(Event::Open);
        Ok(Opening { session: Session::of(shared) })
    }

    /// The session, once it is open. Does not block.
    pub fn opened(&self) -> Option<Session> {
        self.session.shared().progress.now().opened.map(|_| self.session.clone())
    }

    /// Waits until it is open, for the setup's `request_timeout` at most.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing is left behind: no thread, no descriptor, no lease that the store can be told of.
    pub fn finish(self) -> Result<Session, OpenError> {
        let shared = self.session.shared();
        let patience = shared.request_timeout;
        let cleanup = CLEANUP.min(patience / 10);
        let reached = |stage: &Stage| stage.opened.is_some() || stage.failed;
        let stage = shared.progress.wait(patience.saturating_sub(cleanup), reached);
        if stage.opened.is_some() {
            let of_lease = lock(&shared.engine).snapshot(shared.clock.now()).warnings;
            of_lease.iter().chain(&shared.warnings).for_each(|text| shared.log.warn(text));
            return Ok(self.session);
        }
        shared.commands.ask(Event::Stop { timeout: cleanup, within: None });
        shared.progress.wait(cleanup, |stage| stage.over);
        let failure =
            stage.failure.unwrap_or_else(|| Failure::Unreachable("no answer from any endpoint".into()));
        Err(if stage.failed { OpenError::Refused(failure) } else { OpenError::Unavailable(failure) })
    }
}
