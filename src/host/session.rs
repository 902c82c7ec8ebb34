//! A session: one connection to etcd, one lease, one server id, and the elections on them.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::callback;
use crate::clock::{Clock, Time};
use crate::closing::Ends;
pub use crate::closing::{CloseError, Closing, JoinError};
use crate::config::Settings;
use crate::driver::{self, Progress, Shared};
use crate::election::{Election, Host, Lane};
use crate::engine::{ElectionId, Event, Setup, Snapshot};
use crate::etcd::Etcd;
use crate::log::Log;
use crate::milvus::{Candidate, Role, RoleError};
use crate::runtime::{Runtime, lock};
use crate::store::{Answer, Failure, LeaseId, Op, Range, Txn, TxnAnswer};
use crate::warning;

/// A session that fails to open cleans up for this long, or for a tenth of the request timeout if that is less.
const CLEANUP: Duration = Duration::from_secs(1);
/// A session whose last handle is dropped without a stop gets this long to end.
const ABANDONED: Duration = Duration::from_secs(1);

/// A session. A clone is the same session; dropping the last one stops it in the background.
#[derive(Clone)]
pub struct Session(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    server_id: i64,
    request_timeout: Duration,
    /// What works with these settings and this candidate, and may yet end badly.
    warnings: Vec<String>,
    next_election: AtomicU32,
    /// Held while a role is compared with those that are registered, and added to them.
    registering: Mutex<()>,
}

/// Why a session could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Trying again may help.
    #[error("no session within etcd.requestTimeout: {0}")]
    Unavailable(Failure),
    /// Trying again does not help until somebody changes something.
    #[error("no session: {0}")]
    Refused(Failure),
    /// No thread, descriptor or memory left.
    #[error("no session: {0}")]
    System(#[from] io::Error),
}

impl OpenError {
    /// Whether opening the same session again later may succeed.
    pub fn may_pass(&self) -> bool {
        !matches!(self, OpenError::Refused(_))
    }
}

/// Why an election can not be registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The role can not be one.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// This session runs it already.
    #[error("`{0}` is registered on this session already")]
    Again(Role),
    /// A mixcoord is its three roles itself.
    #[error(
        "`{0}` can not run beside `{1}` on one session: a mixcoord takes the locks of the roles that it is made of"
    )]
    Beside(Role, Role),
    /// The session is stopping, or has ended.
    #[error("the session is stopping or has ended")]
    Stopped,
}

impl Session {
    /// Opens a session: asks etcd for a lease and takes a server id. Blocks for `etcd.requestTimeout` at most. No
    /// candidate is registered yet.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing is left behind: no thread, no descriptor, no lease that etcd can be told of.
    pub fn open(settings: Settings, candidate: Candidate, log: Log) -> Result<Session, OpenError> {
        let request_timeout = settings.etcd.request_timeout;
        let cleanup = CLEANUP.min(request_timeout / 10);
        let warnings: Vec<String> = warning::of_address(&settings, candidate.address())
            .into_iter()
            .chain(warning::of_user(&settings))
            .collect();
        let shared = start(settings, candidate, log)?;
        shared.tell(Event::Open);
        let reached = |progress: &Progress| progress.opened.is_some() || progress.failed;
        let progress = shared.wait(request_timeout.saturating_sub(cleanup), reached);
        if let Some(server_id) = progress.opened {
            let of_lease = lock(&shared.engine).snapshot(shared.clock.now()).warnings;
            of_lease.iter().chain(&warnings).for_each(|text| shared.log.warn(text));
            return Ok(Session::of(shared, server_id, request_timeout, warnings));
        }
        shared.tell(Event::Stop { timeout: cleanup, within: None });
        shared.wait(cleanup, |progress| progress.over);
        let failure =
            progress.failure.unwrap_or_else(|| Failure::Unreachable("no answer from any endpoint".into()));
        Err(if progress.failed { OpenError::Refused(failure) } else { OpenError::Unavailable(failure) })
    }

    /// A handle on a session that is open.
    pub(crate) fn of(
        shared: Arc<Shared>,
        server_id: i64,
        request_timeout: Duration,
        warnings: Vec<String>,
    ) -> Session {
        Session(Arc::new(Handle {
            shared,
            server_id,
            request_timeout,
            warnings,
            next_election: AtomicU32::new(1),
            registering: Mutex::new(()),
        }))
    }

    /// Adds an election for `role`; its candidate record is put into the store, in the background. No callback
    /// comes before [`Election::campaign`]. Returns at once.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub fn register(&self, role: &str, host: Arc<dyn Host>) -> Result<Election, RegisterError> {
        let role = Role::parse(role)?;
        let shared = &self.0.shared;
        let _one_at_a_time = lock(&self.0.registering);
        // Looked at while the driver can not look here: closed, it ends once it finds no election.
        let mut lanes = lock(&shared.lanes);
        if lock(&shared.progress).closed.is_some() {
            return Err(RegisterError::Stopped);
        }
        if let Some(other) = role.excludes().into_iter().find(|other| lanes.has(other)) {
            let again = other == role;
            return Err(if again { RegisterError::Again(role) } else { RegisterError::Beside(role, other) });
        }
        let id = ElectionId(self.0.next_election.fetch_add(1, Ordering::Relaxed));
        let lane = Lane::new(id, role.clone(), host, shared);
        lanes.add(lane.clone());
        drop(lanes);
        shared.tell(Event::Register { election: id, role });
        Ok(Election::new(shared.clone(), lane))
    }

    /// The server id that the session was opened with. (After a restore of the store it may have another one: see
    /// the snapshot.)
    pub fn server_id(&self) -> i64 {
        self.0.server_id
    }

    /// Reads `ranges`, linearizably and as of one revision. Blocks for `timeout` at most.
    ///
    /// # Errors
    /// As etcd's.
    pub fn read(&self, ranges: Vec<Range>, timeout: Duration) -> Result<TxnAnswer, Failure> {
        self.0.shared.runtime.io().block_on(self.reads(ranges, timeout))
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
        self.0.shared.start(reads, |why| Err(Failure::Indefinite(why)), done);
    }

    async fn reads(&self, ranges: Vec<Range>, timeout: Duration) -> Result<TxnAnswer, Failure> {
        let txn = Txn { then: ranges.into_iter().map(Op::Get).collect(), ..Txn::default() };
        match self.0.shared.etcd.call_for_host(txn, timeout).await? {
            Answer::Txn(answer) => Ok(answer),
            _ => Err(Failure::Indefinite("an answer to something else".into())),
        }
    }

    /// `etcd.requestTimeout`, as it was configured.
    pub fn request_timeout(&self) -> Duration {
        self.0.request_timeout
    }

    /// Says that this server is going to stop: the records of its candidates tell so, soon and from now on. The locks
    /// stay as they are, and so does everything else. Returns at once; the snapshot says when it is told.
    pub fn mark_stopping(&self) {
        self.0.shared.tell(Event::MarkStopping);
    }

    /// Makes the engine panic, for tests of what becomes of a defect.
    #[cfg(any(test, feature = "defect"))]
    pub fn panic(&self) {
        self.0.shared.defect.store(true, Ordering::SeqCst);
        self.0.shared.tell(Event::Tick);
    }

    /// Where the session and its elections stand. Does not block.
    pub fn snapshot(&self) -> Snapshot {
        let shared = &self.0.shared;
        let mut snapshot = lock(&shared.engine).snapshot(shared.clock.now());
        snapshot.warnings.extend(self.0.warnings.iter().cloned());
        snapshot.warnings.extend(shared.etcd.warnings());
        snapshot.warnings.extend(shared.runtime.callbacks().shortage());
        snapshot
    }

    /// Ends the session and its elections: `on_lost` where it is primary, keys deleted, the lease revoked, all
    /// within `timeout`. Returns at once; inside a callback it takes effect when that call is completed. Again: the
    /// earlier end counts.
    pub fn stop(&self, timeout: Duration) {
        let shared = &self.0.shared;
        shared.stops_by.within(shared.clock.now(), timeout);
        shared.tell(Event::Stop { timeout, within: shared.current_call() });
    }

    /// Closes the session: stops it, and waits until it is over. Blocks for `timeout` at most, and half a second more
    /// for the news of its end.
    ///
    /// `timeout` is that of [`stop`](Self::stop), so it can only shorten what an earlier stop has asked for. `None`: as
    /// long as that takes, or `primacy.drain_timeout_ms` where nothing was stopped.
    ///
    /// `unread` says of which elections nobody takes calls from their [`Queue`](crate::queue::Queue) any more, such as
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
        let shared = &self.0.shared;
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
        if self.0.shared.wait(timeout, |progress| progress.over).over {
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
            lock(&self.0.shared.lanes).all().iter().map(|lane| lane.role.clone()).collect();
        roles.sort();
        roles
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({})", self.0.server_id)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if lock(&self.shared.progress).closed.is_none() {
            self.shared.tell(Event::Stop { timeout: ABANDONED, within: None });
        }
    }
}

/// Starts a driver for a new engine, in the runtime that all sessions share.
fn start(settings: Settings, candidate: Candidate, log: Log) -> Result<Arc<Shared>, OpenError> {
    let runtime = Runtime::shared()?;
    let io = runtime.io().clone();
    let _inside = io.enter();
    let log = log.behind(runtime.callbacks());
    let (report, reports) = mpsc::unbounded_channel();
    let etcd = Etcd::new(&settings.etcd, report, log.clone()).map_err(OpenError::Refused)?;
    Ok(driver::start(Clock::Boot, runtime, etcd, reports, log, setup(settings, candidate))?)
}

fn setup(settings: Settings, candidate: Candidate) -> Setup {
    let mut random = fastrand::Rng::new();
    Setup {
        root: settings.root,
        layout: settings.layout,
        candidate,
        ttl: settings.ttl,
        margin: settings.margin,
        warmup_interval: settings.warmup_interval,
        activation_timeout: settings.activation_timeout,
        drain_timeout: settings.drain_timeout,
        request_timeout: settings.etcd.request_timeout,
        // Those that follow count up; no other session's range is likely to be near.
        first_lease: LeaseId(random.i64(1 << 40..i64::MAX >> 1) & !0xffff),
        seed: random.u64(..),
    }
}
