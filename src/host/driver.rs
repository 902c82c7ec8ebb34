//! The driver: performs what the engine decides and tells it what happened.
//!
//! One task owns the order of events: it takes them one at a time, those that leases live on first, hands each to
//! [`Engine::step`] with the time at which it was taken, and performs the actions in their order. Requests run beside it, the host's callbacks on
//! threads of their own; nothing here waits for either. It decides nothing.

use std::collections::HashMap;
use std::io;
#[cfg(any(test, feature = "defect"))]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::callback;
use crate::clock::{Alarm, Clock, Time};
use crate::closing::StopsBy;
use crate::commands::Commands;
use crate::election::{Lane, Lanes};
use crate::engine::{
    Action, Call, CallId, ElectionId, Engine, Event, LostReason, Notice, Purpose, RequestId, Setup, Token,
    WatchId,
};
use crate::etcd::{Etcd, WatchReport};
use crate::in_order::InOrder;
use crate::log::{Level, Log};
use crate::panic;
use crate::platform;
use crate::recorder::Recorder;
use crate::runtime::{Runtime, lock};
use crate::store::{Failure, LeaseId, Request};

/// The longest recording that goes to the log, in bytes.
const LOGGED: usize = 16 << 10;

/// What the driver shares with the handles of the host.
pub(crate) struct Shared {
    pub clock: Clock,
    pub engine: Mutex<Engine>,
    pub commands: Commands,
    pub answers: mpsc::UnboundedSender<Event>,
    pub etcd: Etcd,
    pub runtime: Arc<Runtime>,
    pub log: Log,
    pub lanes: Mutex<Lanes>,
    pub recorder: Mutex<Recorder>,
    pub progress: Mutex<Progress>,
    pub progressed: Condvar,
    pub stops_by: StopsBy,
    /// `primacy.drain_timeout_ms`.
    pub drain_timeout: Duration,
    /// Tells the host what came of what it started.
    pub outcomes: Arc<InOrder>,
    /// The next step panics.
    #[cfg(any(test, feature = "defect"))]
    pub defect: AtomicBool,
}

/// How far the session is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// The server id, once it is open.
    pub opened: Option<i64>,
    /// The last reason why it is not open yet.
    pub failure: Option<Failure>,
    /// Trying again does not help.
    pub failed: bool,
    /// The store's part is over; whether clean.
    pub closed: Option<bool>,
    /// No callback runs, none will.
    pub over: bool,
    /// The driver has ended by a panic.
    pub broken: bool,
}

impl Shared {
    /// Tells the driver what the host asks for. After the driver's end there is nobody to tell, and nothing to do.
    pub fn tell(&self, event: Event) {
        self.commands.ask(event);
    }

    /// The call of this session that the present thread runs.
    pub fn current_call(self: &Arc<Self>) -> Option<CallId> {
        callback::of(Arc::as_ptr(self).addr())
    }

    /// Does `work` without a thread of the host's, and tells `done` what came of it, once.
    pub fn start<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Future<Output = T> + Send + 'static,
        defect: impl FnOnce(String) -> T + Send + 'static,
        done: impl FnOnce(T) + Send + 'static,
    ) {
        let shared = self.clone();
        self.runtime.io().spawn(async move {
            let outcome = panic::caught(work).await.unwrap_or_else(defect);
            // The runtime, which tells it, is there until it is told.
            shared.outcomes.clone().run(move || {
                callback::tell(0, &shared.log, "what a commit or a read ends with", || done(outcome));
            });
        });
    }

    /// An election is over, its host told so.
    pub fn forget(&self, election: ElectionId) {
        let last = {
            let mut lanes = lock(&self.lanes);
            lanes.remove(election);
            lanes.is_empty()
        };
        self.tell(Event::Tick);
        if last && lock(&self.progress).broken {
            self.advance(|progress| progress.over = true);
        }
    }

    /// How far the session is.
    #[cfg(test)]
    pub fn progress(&self) -> Progress {
        lock(&self.progress).clone()
    }

    fn advance(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut lock(&self.progress));
        self.progressed.notify_all();
    }

    /// Waits until `reached`, for at most `timeout`; the progress at the end.
    pub fn wait(&self, timeout: Duration, reached: impl Fn(&Progress) -> bool) -> Progress {
        let progress = lock(&self.progress);
        let waited = self.progressed.wait_timeout_while(progress, timeout, |progress| !reached(progress));
        waited.unwrap_or_else(std::sync::PoisonError::into_inner).0.clone()
    }
}

/// Starts a session that does nothing yet. Must be called inside a tokio runtime.
pub(crate) fn start(
    clock: Clock,
    runtime: Arc<Runtime>,
    etcd: Etcd,
    reports: mpsc::UnboundedReceiver<WatchReport>,
    log: Log,
    setup: Setup,
) -> io::Result<Arc<Shared>> {
    let alarm = clock.alarm()?;
    let (tell, answers) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared {
        clock,
        commands: Commands::new(clock),
        answers: tell,
        etcd,
        log,
        lanes: Mutex::default(),
        recorder: Mutex::new(Recorder::new(&setup)),
        drain_timeout: setup.drain_timeout,
        outcomes: InOrder::new(runtime.callbacks()),
        engine: Mutex::new(Engine::new(setup)),
        runtime,
        progress: Mutex::default(),
        progressed: Condvar::new(),
        stops_by: StopsBy::default(),
        #[cfg(any(test, feature = "defect"))]
        defect: AtomicBool::new(false),
    });
    tokio::spawn(drive(shared.clone(), alarm, answers, reports));
    Ok(shared)
}

/// Drives a session to its end: until it is closed and no callback of it runs any more.
///
/// A panic in there is a bug of ours, and must not leave a primary behind that nobody watches: what `is_primary`
/// answers ends, `on_lost(internal_error)` is called, and the lease runs out by itself.
async fn drive(
    shared: Arc<Shared>,
    alarm: Alarm,
    answers: mpsc::UnboundedReceiver<Event>,
    reports: mpsc::UnboundedReceiver<WatchReport>,
) {
    let driver = Driver { shared: shared.clone(), cells: HashMap::new(), closed: false };
    let why = match tokio::spawn(driver.run(alarm, answers, reports)).await {
        Ok(Ok(())) => return shared.advance(|progress| progress.over = true),
        Ok(Err(why)) => why,
        // Without a panic the runtime is going, which it does only when no session is left.
        Err(end) => end.try_into_panic().map_or_else(|end| end.to_string(), |payload| panic::text(&*payload)),
    };
    let text = format!("the engine has panicked, which is a bug: the session is over: {why}");
    shared.log.line(Level::Error, &text);
    shared.etcd.end();
    // First, so that none is registered that is not among those that are abandoned.
    shared.advance(|progress| (progress.closed, progress.broken) = (Some(false), true));
    let lanes = lock(&shared.lanes).all();
    if lanes.is_empty() {
        shared.advance(|progress| progress.over = true);
    }
    lanes.iter().for_each(Lane::abandon);
}

/// Sends a request; the answer comes as an event, also when nobody answers, or what asks has a defect.
pub(crate) fn send(
    etcd: &Etcd,
    answers: &mpsc::UnboundedSender<Event>,
    log: &Log,
    request: RequestId,
    purpose: Purpose,
    what: Request,
    timeout: Duration,
) {
    let (etcd, answers, log) = (etcd.clone(), answers.clone(), log.clone());
    tokio::spawn(async move {
        let call = async {
            match purpose {
                Purpose::Confirm => etcd.call_for_lease(what, timeout).await,
                _ => etcd.call(what, timeout).await,
            }
        };
        let result = panic::caught(call).await.unwrap_or_else(|why| {
            let why = format!("a defect: a request panicked: {why}");
            log.line(Level::Error, &why);
            Err(Failure::Indefinite(why))
        });
        let _ = answers.send(Event::Answered { request, result });
    });
}

/// A report of the watches, as an event.
///
/// # Errors
/// The text of the panic that ended them all.
pub(crate) fn heard(report: WatchReport) -> Result<Event, String> {
    Ok(match report {
        WatchReport::Confirmed { watch } => Event::Watching { watch: WatchId(watch) },
        WatchReport::Events { watch, events } => Event::Watched { watch: WatchId(watch), events },
        WatchReport::Ended { watch, why } => Event::WatchEnded { watch: WatchId(watch), why },
        WatchReport::Panicked { why } => return Err(why),
    })
}

struct Driver {
    shared: Arc<Shared>,
    cells: HashMap<LeaseId, &'static AtomicU64>,
    closed: bool,
}

impl Driver {
    async fn run(
        mut self,
        alarm: Alarm,
        mut answers: mpsc::UnboundedReceiver<Event>,
        mut reports: mpsc::UnboundedReceiver<WatchReport>,
    ) -> Result<(), String> {
        let shared = self.shared.clone();
        while !self.is_over() {
            let next = lock(&shared.engine).next_deadline();
            // Leases wait for nobody. What watches tell and what the host asks for wait for each other in turn, so that
            // neither keeps the other from being heard, whatever comes of it.
            let event = tokio::select! {
                biased;
                () = alarm.until(next) => Event::Tick,
                Some(answer) = answers.recv() => answer,
                event = async {
                    tokio::select! {
                        Some(report) = reports.recv() => heard(report),
                        command = shared.commands.next() => Ok(command),
                    }
                } => event?,
            };
            self.step(event);
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.closed && lock(&self.shared.lanes).is_empty()
    }

    fn step(&mut self, event: Event) {
        #[cfg(any(test, feature = "defect"))]
        #[allow(clippy::panic, reason = "that is what it is for")]
        if self.shared.defect.load(Ordering::SeqCst) {
            panic!("on demand");
        }
        let now = self.shared.clock.now();
        self.note_failure(&event);
        let recorded = event.clone();
        let actions = lock(&self.shared.engine).step(now, event);
        lock(&self.shared.recorder).keep(now, recorded, &actions);
        let mut losses = Vec::new();
        for action in actions {
            if let Action::Call { election, what: Call::Lost { token, reason, .. }, .. } = &action {
                losses.push((*election, *token, *reason));
            }
            self.perform(action);
        }
        self.say_how(&losses);
    }

    /// Remembers why the session is not open yet, for whoever waits for it.
    fn note_failure(&self, event: &Event) {
        if let Event::Answered { result: Err(failure), .. } = event
            && lock(&self.shared.progress).opened.is_none()
        {
            self.shared.advance(|progress| progress.failure = Some(failure.clone()));
        }
    }

    fn perform(&mut self, action: Action) {
        let shared = &self.shared;
        match action {
            Action::Send { request, purpose, timeout, what, .. } => {
                send(&shared.etcd, &shared.answers, &shared.log, request, purpose, what, timeout);
            }
            Action::Watch { watch, ranges } => shared.etcd.watch(watch.0, ranges),
            Action::Unwatch { watch } => shared.etcd.unwatch(watch.0),
            Action::Call { election, call, what } => {
                if let Some(lane) = self.lane(election) {
                    lane.call(call, what);
                }
            }
            Action::Cancel { election, call } => {
                if let Some(lane) = self.lane(election) {
                    lane.cancel(call);
                }
            }
            Action::Deadline { lease, until } => self.set_deadline(lease, until),
            Action::Primacy { election, win } => {
                if let Some(lane) = self.lane(election) {
                    let deadline = win.and_then(|(_, lease)| self.cells.get(&lease).copied());
                    lane.set_primacy(win, deadline);
                }
            }
            Action::Notice { election, what } => self.notice(election, what),
            Action::Opened { server_id } => shared.advance(|progress| progress.opened = Some(server_id)),
            Action::OpenFailed { failure } => shared.advance(|progress| {
                (progress.failed, progress.failure) = (true, Some(failure));
            }),
            Action::Withdrawn { election } => {
                if let Some(lane) = self.lane(election) {
                    lane.stop();
                }
            }
            Action::Closed { clean } => {
                self.closed = true;
                shared.etcd.end();
                shared.advance(|progress| progress.closed = Some(clean));
            }
            Action::Log { level, text, .. } => shared.log.line(level, &text),
        }
    }

    fn lane(&self, election: ElectionId) -> Option<Arc<Lane>> {
        lock(&self.shared.lanes).get(election)
    }

    fn notice(&self, election: ElectionId, what: Notice) {
        if let Some(lane) = self.lane(election) {
            lane.notice(what);
        }
    }

    fn set_deadline(&mut self, lease: LeaseId, until: Time) {
        if until == Time::ZERO {
            if let Some(cell) = self.cells.remove(&lease) {
                cell.store(0, Ordering::SeqCst);
            }
            return;
        }
        let cell = match self.cells.get(&lease) {
            Some(cell) => cell,
            None => match platform::deadline_cell() {
                Ok(cell) => *self.cells.entry(lease).or_insert(cell),
                // Without a cell no win under this lease can ever say yes: safe, and as useless as a host without
                // a page of memory.
                Err(error) => {
                    return self.shared.log.line(Level::Error, &format!("no memory for a deadline: {error}"));
                }
            },
        };
        cell.store(until.as_nanos(), Ordering::SeqCst);
    }

    /// A loss that nobody asked for comes with what led to it, as a transcript. Said when all callbacks have been
    /// started, and once for all that were lost in one step: a session may lose a thousand elections with its lease.
    fn say_how(&self, losses: &[(ElectionId, Token, LostReason)]) {
        let asked_for = [LostReason::Resigned, LostReason::Stopped, LostReason::Transferred];
        let mut unasked = losses.iter().filter(|(_, _, reason)| !asked_for.contains(reason));
        if let Some((election, token, reason)) = unasked.next() {
            let others = match unasked.count() {
                0 => String::new(),
                count => format!(", and {count} others with it"),
            };
            let recording = lock(&self.shared.recorder).text(*election, LOGGED);
            let heading = format!("what led to the loss of token {token} ({reason}){others}:");
            self.shared.log.lines(Level::Info, &heading, &recording);
        }
    }
}
