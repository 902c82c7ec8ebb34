//! The driver: performs what the engine decides and tells it what happened.
//!
//! One task owns the order of events: it takes them one at a time, those that leases live on first, hands each to
//! [`Engine::step`] with the time at which it was taken, and performs the actions in their order. Requests run beside it, the host's callbacks on
//! threads of their own; nothing here waits for either. It decides nothing.

use std::collections::HashMap;
use std::io;
#[cfg(feature = "defect")]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::closing::StopsBy;
use super::commands::{Command, Commands};
use super::environment::Environment;
use super::in_order::InOrder;
use super::inbox::Inbox;
use super::lane::Lane;
use super::lock::lock;
use super::panic;
use super::progress::Progress;
use super::recorder::Recorder;
use super::requests::Requests;
use super::shared::Shared;
use crate::clock::Time;
use crate::engine::{Action, Call, ElectionId, Engine, Event, LostReason, Notice, Setup, Token};
use crate::log::Level;
use crate::platform;
use crate::process;
use crate::store::LeaseId;

/// The longest recording that goes to the log, in bytes.
const LOGGED: usize = 16 << 10;

/// Starts a session that does nothing yet.
pub(super) fn start(
    environment: Environment,
    setup: Setup,
    warnings: Vec<String>,
) -> io::Result<Arc<Shared>> {
    let Environment { store, reports, clock, runtime, log } = environment;
    let _inside = runtime.io().enter();
    let alarm = clock.alarm()?;
    let commands = Arc::new(Commands::new(clock));
    let (requests, answers) = Requests::new(store, log.clone());
    let shared = Arc::new(Shared {
        clock,
        commands: commands.clone(),
        requests,
        log,
        lanes: Mutex::default(),
        recorder: Mutex::new(Recorder::new(&setup)),
        progress: Progress::default(),
        stops_by: StopsBy::default(),
        liveness: setup.liveness_timeout.is_some(),
        drain_timeout: setup.drain_timeout,
        request_timeout: setup.request_timeout,
        warnings,
        outcomes: InOrder::new(Some(runtime.callbacks().clone())),
        engine: Mutex::new(Engine::new(setup)),
        runtime: runtime.clone(),
        #[cfg(feature = "defect")]
        defect: AtomicBool::new(false),
    });
    tokio::spawn(drive(shared.clone(), Inbox { alarm, answers, reports, commands }));
    Ok(shared)
}

/// Drives a session to its end: until it is closed and no callback of it runs any more.
///
/// A panic in there is a bug of ours, and must not leave a primary behind that nobody watches: what `is_primary`
/// answers ends, `on_lost(internal_error)` is called, and the lease runs out by itself.
async fn drive(shared: Arc<Shared>, inbox: Inbox) {
    let driver = Driver { shared: shared.clone(), cells: HashMap::new() };
    let why = match tokio::spawn(driver.run(inbox)).await {
        Ok(Ok(())) => None,
        Ok(Err(why)) => Some(why),
        // Without a panic the runtime is going, which it does only when no session is left.
        Err(end) => {
            Some(end.try_into_panic().map_or_else(|end| end.to_string(), |payload| panic::text(&*payload)))
        }
    };
    if let Some(why) = why {
        let text = format!("the engine has panicked, which is a bug: the session is over: {why}");
        shared.log.line(Level::Error, &text);
        give_up(&shared).await;
    }
    shared.progress.advance(|stage| stage.over = true);
}

/// Ends the elections without an engine.
async fn give_up(shared: &Shared) {
    shared.requests.end();
    let left = {
        let mut lanes = lock(&shared.lanes);
        lanes.close();
        lanes.all()
    };
    left.iter().for_each(Lane::abandon);
    while !lock(&shared.lanes).is_over() {
        if let Command::Over(election) = shared.commands.next().await {
            forget(shared, election);
        }
    }
}

/// The host knows that an election is over.
fn forget(shared: &Shared, election: ElectionId) {
    // Whoever waits for the end can register the role again.
    let over = lock(&shared.lanes).remove(election);
    if let Some(lane) = over {
        lane.finish();
    }
}

struct Driver {
    shared: Arc<Shared>,
    cells: HashMap<LeaseId, &'static AtomicU64>,
}

impl Driver {
    async fn run(mut self, mut inbox: Inbox) -> Result<(), String> {
        while !lock(&self.shared.lanes).is_over() {
            let next = lock(&self.shared.engine).next_deadline();
            match inbox.next(next).await? {
                Command::Event(event) => self.step(event),
                Command::Over(election) => forget(&self.shared, election),
            }
        }
        Ok(())
    }

    fn step(&mut self, event: Event) {
        #[cfg(feature = "defect")]
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
        self.shared.progress.stepped();
    }

    /// Remembers why the session is not open yet, for whoever waits for it.
    fn note_failure(&self, event: &Event) {
        if let Event::Answered { result: Err(failure), .. } = event
            && self.shared.progress.now().opened.is_none()
        {
            self.shared.progress.advance(|stage| stage.failure = Some(failure.clone()));
        }
    }

    fn perform(&mut self, action: Action) {
        let shared = &self.shared;
        match action {
            Action::Send { request, purpose, timeout, what, .. } => {
                shared.requests.send(request, purpose, what, timeout);
            }
            Action::Watch { watch, ranges } => shared.requests.watch(watch, ranges),
            Action::Unwatch { watch } => shared.requests.unwatch(watch),
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
            // Files of the kernel's, which wait for nobody.
            Action::Examine { election, pid, start } => {
                let gone = process::is_gone(pid, start);
                shared.commands.ask(Event::Examined { election, pid, start, gone });
            }
            Action::Opened { server_id } => {
                shared.progress.advance(|stage| _ = stage.opened.get_or_insert(server_id));
            }
            Action::OpenFailed { failure } => shared.progress.advance(|stage| {
                (stage.failed, stage.failure) = (true, Some(failure));
            }),
            Action::Withdrawn { election } => {
                if let Some(lane) = self.lane(election) {
                    lane.stop();
                }
            }
            Action::Closed { .. } => {
                shared.requests.end();
                lock(&shared.lanes).close();
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
