//! How a session opens: it asks the store for a lease and takes a server id.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::driver;
use super::environment::Environment;
use super::lock::lock;
use super::open_error::OpenError;
use super::progress::Stage;
use super::session::Session;
use super::shared::Shared;
use crate::engine::{Event, Setup};
use crate::store::Failure;

/// A session that fails to open cleans up for this long, or for a tenth of the request timeout if that is less.
const CLEANUP: Duration = Duration::from_millis(200);

/// A session that may not be open yet. If nobody waits for it, it ends with its last handle.
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
        shared.runtime.io().block_on(opened(shared.clone())).map(|()| self.session)
    }

    /// The same for who does not wait: `done` is told how it ended, once. The session is there at once, to register
    /// elections, which begin when it is open, and to stop it, which ends the opening.
    pub fn finish_later(self, done: impl FnOnce(Result<(), OpenError>) + Send + 'static) -> Session {
        let shared = self.session.shared();
        let defect = |why: String| Err(OpenError::Unavailable(Failure::Unreachable(why)));
        shared.start(opened(shared.clone()), defect, done);
        self.session
    }
}

/// See [`Opening::finish`].
async fn opened(shared: Arc<Shared>) -> Result<(), OpenError> {
    let patience = shared.request_timeout;
    let cleanup = CLEANUP.min(patience / 10);
    let reached = |stage: &Stage| stage.opened.is_some() || stage.failed || stage.over;
    let stage = shared.progress.reach(patience.saturating_sub(cleanup), reached).await;
    if stage.opened.is_some() {
        let of_lease = lock(&shared.engine).snapshot(shared.clock.now()).warnings;
        of_lease.iter().chain(&shared.warnings).for_each(|text| shared.log.warn(text));
        return Ok(());
    }
    if stage.over {
        return Err(OpenError::Stopped);
    }
    shared.commands.ask(Event::Stop { timeout: cleanup, within: None });
    shared.progress.reach(cleanup, |stage| stage.over).await;
    let failure = stage.failure.unwrap_or_else(|| Failure::Unreachable("no answer from any endpoint".into()));
    Err(if stage.failed { OpenError::Refused(failure) } else { OpenError::Unavailable(failure) })
}
