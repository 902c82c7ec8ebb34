//! A session: one connection to etcd, one lease, one server id, and the elections on them.

use std::fmt;
use std::sync::Arc;
#[cfg(feature = "defect")]
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::callback;
use super::closing::Ends;
pub use super::closing::{CloseError, Closing, JoinError};
use super::contract::Host;
use super::election::Election;
use super::lane::Lane;
pub use super::lanes::RegisterError;
use super::lock::lock;
pub use super::open_error::OpenError;
use super::shared::Shared;
use crate::clock::Time;
use crate::engine::{Event, Health, Snapshot};
use crate::milvus::Role;
use crate::store::{Failure, Op, Range, Txn, TxnAnswer};

/// A session whose last handle is dropped without a stop gets this long to end.
const ABANDONED: Duration = Duration::from_secs(1);

/// A session. A clone is the same session; dropping the last one stops it in the background.
#[derive(Clone)]
pub struct Session(Arc<Handle>);

struct Handle(Arc<Shared>);

impl Session {
    /// A handle on one that was started.
    pub(super) fn of(shared: Arc<Shared>) -> Session {
        Session(Arc::new(Handle(shared)))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }

    /// Adds an election for `role`; its candidate record is put into the store, in the background. No callback
    /// comes before [`Election::campaign`]. Returns at once.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn register(&self, role: &str, host: Arc<dyn Host>) -> Result<Election, RegisterError> {
        let role = Role::parse(role)?;
        let shared = self.shared();
        let mut lanes = lock(&shared.lanes);
        let lane = lanes.add(&role, |id| {
            let (commands, callbacks) = (&shared.commands, shared.runtime.callbacks());
            Lane::new(id, role.clone(), host, commands, callbacks, &shared.log)
        })?;
        shared.commands.ask(Event::Register { election: lane.id, role });
        drop(lanes);
        Ok(Election::new(shared.clone(), lane))
    }

    /// The server id that the session was opened with. (After a restore of the store it may have another one: see
    /// the snapshot.)
    pub fn server_id(&self) -> i64 {
        self.shared().progress.now().opened.unwrap_or_default()
    }

    /// Reads `ranges`, linearizably and as of one revision. Blocks for `timeout` at most.
    ///
    /// # Errors
    /// As etcd's.
    pub fn read(&self, ranges: Vec<Range>, timeout: Duration) -> Result<TxnAnswer, Failure> {
        self.shared().runtime.io().block_on(self.reads(ranges, timeout))
    }

    /// Starts what [`read`](Self::read) does, and tells `done`, as [`Election::start_commit`] does. Returns at once.
    pub fn start_read(
        &self,
        ranges: Vec<Range>,
        timeout: Duration,
        done: impl FnOnce(Result<TxnAnswer, Failure>) + Send + 'static,
    ) {
        let session = self.clone();
        let reads = async move { session.reads(ranges, timeout).await };
        self.shared().start(reads, |why| Err(Failure::Indefinite(why)), done);
    }

    async fn reads(&self, ranges: Vec<Range>, timeout: Duration) -> Result<TxnAnswer, Failure> {
        let txn = Txn { then: ranges.into_iter().map(Op::Get).collect(), ..Txn::default() };
        self.shared().requests.of_host(txn, timeout).await
    }

    /// `etcd.requestTimeout`, as it was configured.
    pub fn request_timeout(&self) -> Duration {
        self.shared().request_timeout
    }

    /// Says that this server is going to stop: the records of its candidates tell so, soon and from now on. The locks
    /// stay as they are, and so does everything else. Returns at once; the snapshot says when it is told.
    pub fn mark_stopping(&self) {
        self.shared().commands.ask(Event::MarkStopping);
    }

    /// Makes the engine panic, for tests of what becomes of a defect.
    #[cfg(feature = "defect")]
    pub fn panic(&self) {
        self.shared().defect.store(true, Ordering::SeqCst);
        self.shared().commands.ask(Event::Tick);
    }

    /// Where the session and its elections stand. Does not block.
    pub fn snapshot(&self) -> Snapshot {
        let shared = self.shared();
        let mut snapshot = lock(&shared.engine).snapshot(shared.clock.now());
        snapshot.warnings.extend(shared.warnings.iter().cloned());
        snapshot.warnings.extend(shared.requests.warnings());
        snapshot.warnings.extend(shared.runtime.callbacks().shortage());
        snapshot
    }

    /// What probes ask of this process. Does not block, and asks nothing of etcd.
    pub fn health(&self) -> Health {
        Health::of(&self.snapshot())
    }

    /// Ends the session and its elections: `on_lost` where it is primary, keys deleted, the lease revoked, all
    /// within `timeout`. Returns at once; inside a callback it takes effect when that call is completed. Again: the
    /// earlier end counts.
    pub fn stop(&self, timeout: Duration) {
        let shared = self.shared();
        shared.stops_by.within(shared.clock.now(), timeout);
        shared.commands.ask(Event::Stop { timeout, within: shared.commands.current_call() });
    }

    /// Closes the session: stops it, and waits until it is over. Blocks for `timeout` at most, and half a second more
    /// for the news of its end.
    ///
    /// `timeout` is that of [`stop`](Self::stop), so it can only shorten what an earlier stop has asked for. `None`: as
    /// long as that takes, or `primacy.drain_timeout_ms` where nothing was stopped.
    ///
    /// `unread` says of which elections nobody takes calls from their [`Queue`](super::queue::Queue) any more, such as
    /// the thread that closes here: calls that wait there fail, and so do those that would come. Without that an
    /// `on_lost` that nobody takes would hold up the close for all its time. Of hosts that are called on threads of this
    /// library's no call is left out.
    ///
    /// # Errors
    /// See [`CloseError`]. Again: waits again, and says the same. What was begun goes on by itself.
    pub fn close(&self, timeout: Option<Duration>, unread: impl Fn(&Role) -> bool) -> Result<(), CloseError> {
        self.begin_close(timeout, unread).finish()
    }

    /// Begins what [`close`](Self::close) does, and returns at once: for those who wait for the end in slices, or
    /// elsewhere.
    pub fn begin_close(&self, timeout: Option<Duration>, unread: impl Fn(&Role) -> bool) -> Closing<Session> {
        let shared = self.shared();
        if timeout.is_some() || shared.stops_by.get() == Time::NEVER {
            self.stop(timeout.unwrap_or(shared.drain_timeout));
        }
        let lanes = lock(&shared.lanes).all();
        lanes.iter().filter(|lane| unread(&lane.role)).for_each(|lane| lane.leave_unread());
        Closing::new(self.clone(), shared.clock, shared.stops_by.get())
    }

    /// Waits until the session is over: nothing of it is left in the store as far as the store could be reached, and
    /// no callback of it runs, or will.
    ///
    /// # Errors
    /// `TimedOut`: a callback still runs, or the session was not stopped. `InCallback`.
    pub fn join(&self, timeout: Duration) -> Result<(), JoinError> {
        if callback::is_inside() {
            return Err(JoinError::InCallback);
        }
        if self.shared().progress.wait(timeout, |stage| stage.over).over {
            Ok(())
        } else {
            Err(JoinError::TimedOut)
        }
    }
}

impl Ends for Session {
    fn join(&self, timeout: Duration) -> Result<(), JoinError> {
        self.join(timeout)
    }
    fn unfinished(&self) -> Vec<Role> {
        let mut roles: Vec<_> =
            lock(&self.shared().lanes).all().iter().map(|lane| lane.role.clone()).collect();
        roles.sort();
        roles
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({})", self.server_id())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !lock(&self.0.lanes).is_closed() {
            self.0.commands.ask(Event::Stop { timeout: ABANDONED, within: None });
        }
    }
}
