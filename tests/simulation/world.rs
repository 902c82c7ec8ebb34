//! The world of one run: true time, what happens next, and to whom.
//!
//! Everything happens one after the other at an instant of true time. Only here does time pass.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use primacy_engine::store::{KeyEvent, KeyValue, Range, Request, Revision, Txn};
use primacy_engine::time::Time;
use primacy_engine::{CallId, ElectionId, Event, LostReason, Outcome, Purpose, RequestId, Token, WatchId};
use primacy_model::StreamId;

use crate::clock::{Clock, START};
use crate::cluster::{Cluster, Who};
use crate::keys::{TABLE, Table};
use crate::liveness::Phase;
use crate::neighbour::Neighbour;
use crate::observer::Observer;
use crate::process::Process;
use crate::queue::Queue;
use crate::scenario::{Fault, Scenario};
use crate::succession::Succession;
use crate::trace::Trace;

/// More steps than any run needs: an engine that is busy with itself.
const MOST_STEPS: u64 = 20_000;

/// A rule that was broken.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which rule; a shrunk run must break the same one.
    pub rule: &'static str,
    /// How.
    pub text: String,
}

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// Steps of engines.
    pub steps: u64,
    /// What was seen, so that we know what the runs reach.
    pub seen: Seen,
    /// The first rule broken.
    pub violation: Option<Violation>,
    /// What happened, if it was asked for.
    pub trace: Vec<String>,
    /// Two runs of one scenario must agree in this.
    pub fingerprint: u64,
}

/// How often this and that happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Calls of `on_primary`.
    pub primaries: u64,
    /// Calls of `on_lost`, by the number of the reason.
    pub lost: [u64; LostReason::ALL.len() + 1],
    /// Wins that were never told to the host.
    pub untold: u64,
    /// Guarded writes that were committed.
    pub committed: u64,
    /// Guarded writes that were refused.
    pub refused: u64,
    /// Requests that were sent, by purpose.
    pub sent: [u64; Purpose::ALL.len() + 1],
    /// Seconds of true time.
    pub seconds: u64,
    /// Seconds from the end of the faults until everything was settled; the longest.
    pub settled: u64,
    /// Wins of neighbours.
    pub neighbours: u64,
    /// Primaries that have died while all was well, by role, and were followed by the first in line.
    pub successions: u64,
    /// Wins taken away by hand that had to be noticed soon, and were.
    pub noticed: u64,
    /// The most steps of one session in a second.
    pub busiest: u64,
}

/// Something that happens.
#[derive(Debug)]
pub enum Happening {
    /// A process starts (again).
    Start { process: usize },
    /// The host registers a role.
    Register { process: usize, life: u32, role: usize, wants: bool },
    /// The host gives up opening a session.
    Impatient { process: usize, life: u32 },
    /// A request arrives at the store.
    Arrives(Box<Sent>),
    /// Something arrives at the driver.
    Reaches { process: usize, life: u32, event: Event },
    /// A request gets no answer any more.
    TimesOut { process: usize, life: u32, request: RequestId },
    /// The opening of a watch arrives at the store.
    Opens { process: usize, life: u32, watch: WatchId, ranges: Vec<Range> },
    /// A call of the host ends.
    CallEnds { process: usize, life: u32, election: ElectionId, call: CallId, outcome: Outcome },
    /// A host begins a call.
    Takes { process: usize, life: u32, election: ElectionId, call: CallId },
    /// The host asks for something inside a call.
    Asks { process: usize, life: u32, election: ElectionId, call: CallId },
    /// The host writes under its token.
    Writes { process: usize, life: u32, election: ElectionId, token: Token, slow: Duration },
    /// The host says that it is well.
    Reports { process: usize, life: u32, election: ElectionId, token: Token },
    /// A guarded write arrives at the store.
    WriteArrives { who: Who, win: usize, txn: Txn },
    /// Something breaks.
    Breaks { fault: Fault },
    /// By now a process must know what its watch, confirmed at `since`, could not tell.
    CaughtUp { process: usize, life: u32, watch: WatchId, since: Time },
    /// By now a win that was taken away by hand must be over.
    Noticed { win: usize },
    /// A process that was stopped goes on.
    Resumes { process: usize },
    /// etcd is up again.
    StoreIsBack,
    /// A neighbour does its next thing.
    Neighbour { index: usize },
    /// A neighbour renews its lease.
    NeighbourRenews { index: usize },
    /// A neighbour ends.
    NeighbourEnds { index: usize, orderly: bool },
    /// Something arrives at an observer.
    ObserverHears { index: usize, event: Event },
    /// A read of an observer arrives at the store.
    ObserverAsks { index: usize, request: RequestId, what: Request },
    /// The opening of an observer's watch arrives at the store.
    ObserverWatches { index: usize, watch: WatchId, ranges: Vec<Range> },
    /// The next look at how far the run is.
    Look,
}

/// A request on its way.
#[derive(Debug)]
pub struct Sent {
    pub process: usize,
    pub life: u32,
    pub request: RequestId,
    pub purpose: Purpose,
    pub election: Option<ElectionId>,
    pub what: Request,
    pub member: usize,
    /// When the driver gives up.
    pub deadline: Time,
    /// That is already on the calendar.
    pub timer: bool,
    /// How long the answer takes; `None`: it never comes.
    pub answer: Option<Duration>,
    /// What comes back is that the connection broke.
    pub breaks: bool,
}

/// The world.
pub struct World<'s> {
    /// What the seed decided.
    pub scenario: &'s Scenario,
    /// True time.
    pub now: Time,
    /// What will happen.
    pub queue: Queue<Happening>,
    /// Where everything lies.
    pub keys: &'static Table,
    /// The store.
    pub cluster: Cluster,
    /// Processes that run our engine.
    pub processes: Vec<Process>,
    /// Coordinators that run Milvus's own code.
    pub neighbours: Vec<Neighbour>,
    /// Clients that want to know who is primary.
    pub observers: Vec<Observer>,
    /// Which watch of which session a stream at the store is.
    pub streams: Vec<(StreamId, Listener)>,
    /// How long each member of etcd hangs.
    pub stalled: Vec<Time>,
    /// The store's revision when all was settled.
    pub rests_since: Revision,
    /// Locks whose holder has died since, and who has to come next.
    pub successions: Vec<Succession>,
    /// How many requests of its purpose each strike has seen.
    pub struck: Vec<u32>,
    /// The wins that operators have asked to end, by the tokens that they named, and how often.
    pub asked: BTreeMap<Token, u32>,
    /// How far the run is.
    pub phase: Phase,
    /// What happened.
    pub trace: Trace,
    /// The first rule broken.
    pub violation: Option<Violation>,
    /// Steps of engines.
    pub steps: u64,
    /// What was seen.
    pub seen: Seen,
}

/// Who listens to a stream of watches.
#[derive(Clone, Copy, Debug)]
pub enum Listener {
    /// A watch of a session.
    Session { process: usize, life: u32, watch: WatchId },
    /// A neighbour.
    Neighbour(usize),
    /// A watch of an observer.
    Observer { index: usize, watch: WatchId },
}

/// Runs a scenario.
pub fn run(scenario: &Scenario, trace: bool) -> Report {
    let mut world = World::new(scenario, trace);
    let ended = catch_unwind(AssertUnwindSafe(|| world.go()));
    report(world, ended)
}

/// Runs a scenario, and hands all that was written to the store to `take`, with the keys that are there in the end.
pub fn run_written(
    scenario: &Scenario,
    take: impl FnOnce(Vec<(Time, KeyEvent)>, Vec<KeyValue>, Time),
) -> Report {
    let mut world = World::new(scenario, false);
    world.cluster.history = Some(Vec::new());
    let ended = catch_unwind(AssertUnwindSafe(|| world.go()));
    if ended.is_ok() {
        let now = world.now;
        world.listen(Who::Store);
        let keys = world.cluster.keys(now);
        take(world.cluster.history.take().unwrap_or_default(), keys, now);
    }
    report(world, ended)
}

fn report(mut world: World<'_>, ended: std::thread::Result<()>) -> Report {
    if let Err(panic) = ended {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default();
        world.violate("panic", text);
    }
    world.seen.seconds = world.now.since(START).as_secs();
    let revision = world.cluster.model.revision().unsigned_abs();
    Report {
        steps: world.steps,
        seen: world.seen,
        violation: world.violation,
        trace: world.trace.lines,
        fingerprint: world.now.as_nanos() ^ revision << 40 ^ world.steps << 20,
    }
}

impl<'s> World<'s> {
    fn new(scenario: &'s Scenario, trace: bool) -> Self {
        let process = |(index, plan): (usize, &crate::scenario::ProcessPlan)| {
            Process::new(index, Clock::new(plan.origin, plan.drift), scenario.members)
        };
        World {
            scenario,
            now: START,
            queue: Queue::new(),
            keys: &TABLE,
            cluster: Cluster::new(scenario.seed, scenario.min_ttl, START),
            rests_since: Revision::default(),
            successions: Vec::new(),
            struck: vec![0; scenario.strikes.len()],
            asked: BTreeMap::new(),
            processes: scenario.processes.iter().enumerate().map(process).collect(),
            neighbours: scenario.neighbours.iter().map(Neighbour::new).collect(),
            observers: Vec::new(),
            streams: Vec::new(),
            stalled: vec![Time::ZERO; scenario.members],
            phase: Phase::Faults,
            trace: Trace { on: trace, lines: Vec::new() },
            violation: None,
            steps: 0,
            seen: Seen::default(),
        }
    }

    fn go(&mut self) {
        let scenario = self.scenario;
        for (process, plan) in scenario.processes.iter().enumerate() {
            if plan.start < Time::NEVER {
                self.queue.push(plan.start, Happening::Start { process });
            } else {
                self.processes[process].returns = false;
            }
        }
        for (index, plan) in scenario.neighbours.iter().enumerate() {
            self.queue.push(plan.start, Happening::Neighbour { index });
            if let Some((at, orderly)) = plan.end {
                let at = at.min(scenario.faults_end);
                self.queue.push(at, Happening::NeighbourEnds { index, orderly });
            }
        }
        self.hire_observers();
        for (at, fault) in &scenario.faults {
            self.queue.push(*at, Happening::Breaks { fault: fault.clone() });
        }
        self.queue.push(scenario.faults_end, Happening::Look);
        while self.violation.is_none() && self.phase != Phase::Over {
            self.next();
        }
    }

    /// Lets happen what happens next.
    fn next(&mut self) {
        let queue = self.queue.next();
        let store = self.cluster.model.next_deadline();
        let (mut tick, mut ticks) = (Time::NEVER, 0);
        for process in &self.processes {
            if process.next_tick < tick {
                (tick, ticks) = (process.next_tick, process.index);
            }
        }
        let (mut observe, mut observes) = (Time::NEVER, 0);
        for (index, observer) in self.observers.iter().enumerate() {
            if observer.next_tick < observe {
                (observe, observes) = (observer.next_tick, index);
            }
        }
        let at = queue.min(store).min(tick).min(observe);
        self.now = self.now.max(at);
        if at == store {
            self.settle_store();
        } else if at == queue {
            if let Some(what) = self.queue.pop() {
                self.happens(what);
            }
        } else if at == tick {
            self.step(ticks, Event::Tick);
        } else {
            self.observer_hears(observes, Event::Tick);
        }
        if self.steps > MOST_STEPS {
            self.violate("busy", format!("more than {MOST_STEPS} steps"));
        }
    }

    /// Lets the store do what it does by itself until now, and passes on what watches say.
    pub fn settle_store(&mut self) {
        self.cluster.model.advance(self.now);
        self.listen(Who::Store);
    }

    fn happens(&mut self, what: Happening) {
        if let Some(process) = what.to_process() {
            let process = &mut self.processes[process];
            if process.paused.is_some() {
                process.inbox.push(what);
                return;
            }
        }
        match what {
            Happening::Start { process } => self.start(process),
            Happening::Register { process, life, role, wants } => self.register(process, life, role, wants),
            Happening::Impatient { process, life } => self.impatient(process, life),
            Happening::Arrives(sent) => self.arrives(*sent),
            Happening::Reaches { process, life, event } => self.reaches(process, life, event),
            Happening::TimesOut { process, life, request } => self.times_out(process, life, request),
            Happening::Opens { process, life, watch, ranges } => self.opens(process, life, watch, &ranges),
            Happening::Takes { process, life, election, call } => self.takes(process, life, election, call),
            Happening::CallEnds { process, life, election, call, outcome } => {
                self.call_ends(process, life, election, call, outcome);
            }
            Happening::Asks { process, life, election, call } => self.asks(process, life, election, call),
            Happening::Writes { process, life, election, token, slow } => {
                self.writes(process, life, election, token, slow);
            }
            Happening::Reports { process, life, election, token } => {
                self.reports(process, life, election, token);
            }
            Happening::WriteArrives { who, win, txn } => self.write_arrives(who, win, txn),
            Happening::Breaks { fault } => self.breaks(fault),
            Happening::CaughtUp { process, life, watch, since } => {
                self.look_whether_caught_up(process, life, watch, since);
            }
            Happening::Noticed { win } => self.look_whether_noticed(win),
            Happening::Resumes { process } => self.resumes(process),
            Happening::StoreIsBack => self.cluster.new_leader(self.now),
            Happening::Neighbour { index } => self.neighbour_goes_on(index),
            Happening::NeighbourRenews { index } => self.neighbour_renews(index),
            Happening::NeighbourEnds { index, orderly } => self.neighbour_ends(index, orderly),
            Happening::ObserverHears { index, event } => self.observer_hears(index, event),
            Happening::ObserverAsks { index, request, what } => self.observer_reads(index, request, &what),
            Happening::ObserverWatches { index, watch, ranges } => {
                self.observer_watches(index, watch, &ranges)
            }
            Happening::Look => self.look(),
        }
    }

    /// Whether this is still the present session of a process.
    pub fn is_alive(&self, process: usize, life: u32) -> bool {
        self.processes[process].life == life && self.processes[process].session.is_some()
    }

    /// Notes that a rule was broken; the first one counts.
    pub fn violate(&mut self, rule: &'static str, text: impl Into<String>) {
        let text = text.into();
        self.trace.note(self.now, "VIOLATED", format!("{rule}: {text}"));
        self.violation.get_or_insert(Violation { rule, text });
    }

    /// Whether the faults have ended.
    pub fn is_calm(&self) -> bool {
        self.phase != Phase::Faults
    }
}

impl Happening {
    /// The process that must be running for this to happen to it.
    fn to_process(&self) -> Option<usize> {
        match self {
            Happening::Register { process, .. }
            | Happening::Impatient { process, .. }
            | Happening::Reaches { process, .. }
            | Happening::TimesOut { process, .. }
            | Happening::CallEnds { process, .. }
            | Happening::Takes { process, .. }
            | Happening::Asks { process, .. }
            | Happening::Reports { process, .. }
            | Happening::Writes { process, .. } => Some(*process),
            _ => None,
        }
    }
}

impl Seen {
    /// Adds what another run has seen.
    pub fn add(&mut self, other: &Seen) {
        self.primaries += other.primaries;
        self.lost.iter_mut().zip(other.lost).for_each(|(sum, n)| *sum += n);
        self.untold += other.untold;
        self.committed += other.committed;
        self.refused += other.refused;
        self.sent.iter_mut().zip(other.sent).for_each(|(sum, n)| *sum += n);
        self.seconds += other.seconds;
        self.settled = self.settled.max(other.settled);
        self.neighbours += other.neighbours;
        self.noticed += other.noticed;
        self.successions += other.successions;
        self.busiest = self.busiest.max(other.busiest);
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} s, {} on_primary, {} wins of neighbours, writes {} done {} refused, settled within {} s, \
             {} taken away and noticed, {} succeeded by the first in line, at most {} steps in a second; lost:",
            self.seconds,
            self.primaries,
            self.neighbours,
            self.committed,
            self.refused,
            self.settled,
            self.noticed,
            self.successions,
            self.busiest
        )?;
        for reason in LostReason::ALL {
            let n = self.lost[reason as usize];
            if n > 0 {
                write!(f, " {reason} {n}")?;
            }
        }
        f.write_str("; requests:")?;
        Purpose::ALL.iter().try_for_each(|purpose| write!(f, " {purpose} {}", self.sent[*purpose as usize]))
    }
}
