//! A process: the real engine, and the least of a driver and a host that keep its contract.

use std::collections::BTreeMap;
use std::time::Duration;

use primacy_engine::milvus::{Candidate, Layout};
use primacy_engine::store::{Answer, Failure, KeyEvent, LeaseId, Range, Request, Txn};
use primacy_engine::time::Time;
use primacy_engine::{
    Action, Call, CallId, ElectionId, Engine, Event, Notice, Outcome, Purpose, RequestId, Setup, Token,
    WatchId,
};

use crate::contract_of_the_driver::Contract;
use crate::store::{self, Write};

/// The step in which time passes.
pub const UNIT: Duration = Duration::from_secs(1);
/// In these units: what a lease is granted for, and how long before its end primacy ends.
pub const TTL: u32 = 3;
pub const MARGIN: u32 = 1;

/// The only election of each process.
pub const ELECTION: ElectionId = ElectionId(1);

/// A process.
#[derive(Clone, Hash)]
pub struct Process {
    pub engine: Engine,
    /// What its clock shows.
    pub now: Time,
    /// Its clock has lost a unit.
    pub behind: bool,
    /// It is gone.
    pub crashed: bool,
    /// It does nothing until it goes on.
    pub paused: bool,
    /// Requests and answers under way.
    pub messages: Vec<Message>,
    pub watch: Option<Watch>,
    pub calls: Vec<Running>,
    /// Its host takes no calls.
    pub deaf: bool,
    /// What `is_primary` stands on.
    win: Option<(Token, LeaseId)>,
    cells: BTreeMap<LeaseId, Time>,
    contract: Contract,
    last: Token,
    /// `on_primary` has succeeded.
    pub ready: bool,
    /// The session is over.
    pub ended: bool,
    /// A write of the host under way.
    pub write: Option<Write>,
    /// How many more the host will start.
    pub writes: u8,
    /// Wins on leases up to this one were meddled with in a way that the guarantees exclude.
    pub excused: LeaseId,
    /// A broken promise to the host.
    pub broken: Option<&'static str>,
}

/// A request, and then its answer.
#[derive(Clone, Debug, Hash)]
pub struct Message {
    pub request: RequestId,
    pub purpose: Purpose,
    /// When the driver gives up.
    pub until: Time,
    pub leg: Leg,
    /// It takes any time from here on.
    pub slow: bool,
    /// The driver has given up: the request may still arrive, now or never.
    pub given_up: bool,
}

#[derive(Clone, Debug, Hash)]
pub enum Leg {
    There(Request),
    Back(Result<Answer, Failure>),
}

/// A watch.
#[derive(Clone, Debug, Hash)]
pub struct Watch {
    pub watch: WatchId,
    pub ranges: Vec<Range>,
    pub open: bool,
    /// What it says next.
    pub says: Vec<Says>,
    /// It says nothing more.
    pub silent: bool,
}

#[derive(Clone, Debug, Hash)]
pub enum Says {
    Confirmed,
    Events(Vec<KeyEvent>),
    Ended,
}

/// A call of the host.
#[derive(Clone, Debug, Hash)]
pub struct Running {
    pub call: CallId,
    pub warmup: bool,
    pub slow: bool,
    /// The host has begun it.
    pub taken: bool,
}

impl Process {
    pub fn new(number: usize, now: Time, writes: u8) -> Self {
        let setup = Setup {
            root: store::root(),
            layout: Layout::Milvus,
            candidate: Candidate::new(&format!("p{number}:1"), "", semver::Version::new(3, 0, 0))
                .expect("a candidate"),
            ttl: UNIT * TTL,
            margin: Some(UNIT * MARGIN),
            priority: 1,
            warmup_interval: UNIT * 1000,
            activation_timeout: UNIT * 2,
            liveness_timeout: None,
            drain_timeout: UNIT * 2,
            request_timeout: UNIT,
            first_lease: LeaseId(100 * (number as i64 + 1)),
            seed: 0,
        };
        Process {
            engine: Engine::new(setup),
            now,
            behind: false,
            crashed: false,
            paused: false,
            messages: Vec::new(),
            watch: None,
            calls: Vec::new(),
            deaf: false,
            win: None,
            cells: BTreeMap::new(),
            contract: Contract::default(),
            last: Token(0),
            ready: false,
            ended: false,
            write: None,
            writes,
            excused: LeaseId::NONE,
            broken: None,
        }
    }

    /// Whether it can do anything now.
    pub fn runs(&self) -> bool {
        !self.crashed && !self.paused
    }

    /// The win under which `is_primary` says yes now.
    pub fn says_primary(&self) -> Option<(Token, LeaseId)> {
        let until = |lease| self.cells.get(&lease).copied().unwrap_or(Time::ZERO);
        self.win.filter(|(_, lease)| !self.crashed && until(*lease) > self.now)
    }

    /// The same, unless somebody meddled.
    pub fn claims(&self) -> Option<(Token, LeaseId)> {
        self.says_primary().filter(|(_, lease)| *lease > self.excused)
    }

    /// Whether a timer of the engine is due.
    pub fn is_due(&self) -> bool {
        self.runs() && self.engine.next_deadline().is_some_and(|at| at <= self.now)
    }

    /// From here on somebody meddles with what it holds.
    pub fn excuse(&mut self) {
        let asked = self.messages.iter().filter_map(|message| match &message.leg {
            Leg::There(Request::Grant { lease, .. }) => Some(*lease),
            _ => None,
        });
        self.excused = self.cells.keys().copied().chain(asked).max().unwrap_or_default();
    }

    /// The store was put back: its watches end, and it hands out old tokens again.
    pub fn restored(&mut self) {
        self.last = Token(0);
        if let Some(watch) = &mut self.watch {
            (watch.open, watch.says) = (false, vec![Says::Ended]);
        }
    }

    /// The lease that it uses.
    pub fn lease(&self) -> Option<LeaseId> {
        self.cells.iter().rev().find(|(_, until)| **until > self.now).map(|(lease, _)| *lease)
    }

    pub fn message(&mut self, request: RequestId) -> Option<&mut Message> {
        self.messages.iter_mut().find(|message| message.request == request)
    }

    pub fn take(&mut self, request: RequestId) -> Option<Message> {
        let at = self.messages.iter().position(|message| message.request == request)?;
        Some(self.messages.remove(at))
    }

    /// The driver gives up waiting. A request that is still on its way may arrive at any time.
    pub fn give_up(&mut self, request: RequestId) {
        if let Some(mut message) = self.take(request) {
            if let Leg::There(what) = &message.leg
                && writes(what)
            {
                message.given_up = true;
                self.messages.push(message);
            }
            let result = Err(Failure::Indefinite(String::new()));
            self.step(Event::Answered { request, result });
        }
    }

    pub fn hears(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        let id = watch.watch;
        match watch.says.remove(0) {
            Says::Confirmed => self.step(Event::Watching { watch: id }),
            Says::Events(events) => self.step(Event::Watched { watch: id, events }),
            Says::Ended => {
                self.watch = None;
                self.step(Event::WatchEnded { watch: id, why: String::new() });
            }
        }
    }

    /// The host takes what waits for it.
    pub fn takes(&mut self) {
        while let Some(running) = self.calls.iter_mut().find(|running| !running.taken)
            && !self.deaf
        {
            running.taken = true;
            let call = running.call;
            self.step(Event::Taken { call });
        }
    }

    pub fn completes(&mut self, call: CallId) {
        self.calls.retain(|running| running.call != call);
        self.step(Event::Completed { call, outcome: Outcome::Done });
    }

    /// Whether the host is about to write.
    pub fn starts_writes(&self) -> bool {
        self.writes > 0 && self.write.is_none() && self.says_primary().is_some()
    }

    /// The host looks at `is_primary`, and then starts a write.
    pub fn starts_write(&mut self, fenced: bool) {
        let Some((token, lease)) = self.says_primary() else { return };
        let Some(guard) = self.engine.guard(ELECTION, token) else {
            self.broken = Some("a primary without a guard");
            return;
        };
        let when = if fenced { guard } else { Vec::new() };
        self.write = Some(Write { token, lease, txn: Txn { when, ..Txn::default() } });
        self.writes -= 1;
    }

    /// One step of the engine, and all that follows from it in the process.
    pub fn step(&mut self, event: Event) {
        let mut taken_back = Vec::new();
        let actions = self.engine.step(self.now, event.clone());
        let kept = self.contract.step(&event, &actions);
        self.broken = self.broken.or(kept.err().map(|(rule, _)| rule));
        for action in actions {
            match action {
                Action::Send { request, purpose, timeout, what, .. } => {
                    let (until, leg) = (self.now + timeout, Leg::There(what));
                    self.messages.push(Message {
                        request,
                        purpose,
                        until,
                        leg,
                        slow: false,
                        given_up: false,
                    });
                }
                // Of the other candidates, for handovers, which nobody asks for here.
                Action::Watch { ranges, .. } if matches!(ranges[..], [Range::Span { .. }]) => {}
                Action::Watch { watch, ranges } => {
                    self.watch = Some(Watch { watch, ranges, open: false, says: Vec::new(), silent: false });
                }
                Action::Unwatch { watch } => {
                    self.watch.take_if(|present| present.watch == watch);
                }
                Action::Call { call, what, .. } => {
                    if let Call::Primary { token, .. } = what
                        && token <= std::mem::replace(&mut self.last, token)
                    {
                        self.broken = self.broken.or(Some("tokens increase"));
                    }
                    let (warmup, slow, taken) = (what == Call::Warmup, false, false);
                    self.calls.push(Running { call, warmup, slow, taken });
                }
                Action::Cancel { call, .. } => {
                    let nobody_began = |running: &&Running| running.call == call && !running.taken;
                    taken_back.extend(self.calls.iter().find(nobody_began).map(|running| running.call));
                }
                Action::Deadline { lease, until } => {
                    self.cells.insert(lease, until);
                }
                Action::Primacy { win, .. } => {
                    self.win = win;
                    self.ready = false;
                }
                Action::Notice { what: Notice::Ready { .. }, .. } => self.ready = true,
                Action::Closed { .. } => self.ended = true,
                _ => {}
            }
        }
        taken_back.into_iter().for_each(|call| self.completes(call));
        self.takes();
    }
}

/// Whether it matters that a request arrives which nobody waits for.
fn writes(what: &Request) -> bool {
    match what {
        Request::Txn(txn) => {
            let read = |op: &primacy_engine::store::Op| matches!(op, primacy_engine::store::Op::Get(_));
            !txn.then.iter().chain(&txn.otherwise).all(read)
        }
        _ => true,
    }
}
