//! A process that runs our engine: what its driver and its host keep.
//!
//! The driver's side of the contract (`crates/engine/src/action.rs`) is kept here and in `driver`: exactly one answer for
//! each request, a deadline cell for each lease, and `is_primary` as a comparison of the clock with a cell.

use std::time::Duration;

use primacy_engine::store::{Key, LeaseId};
use primacy_engine::time::Time;
use primacy_engine::{Action, CallId, ElectionId, Engine, LostReason, RequestId, Token, WatchId};
use primacy_model::StreamId;

use crate::clock::Clock;
use crate::cluster::Who;
use crate::contract_of_the_driver::Contract;
use crate::scenario::Cut;
use crate::world::Happening;

/// A process; its session may have ended, and may come again.
#[derive(Debug)]
pub struct Process {
    /// Its number.
    pub index: usize,
    /// Its machine's clock.
    pub clock: Clock,
    /// How many sessions it has had.
    pub life: u32,
    /// Which session was the first since its machine started it, or started it again.
    pub run: u32,
    /// The present session.
    pub session: Option<Session>,
    /// It will come back.
    pub returns: bool,
    /// Stopped until then.
    pub paused: Option<Time>,
    /// The next step of its driver is the one inside which it is stopped, for so long.
    pub freeze: Option<Duration>,
    /// What the driver was about to do when it was stopped.
    pub frozen: Vec<Action>,
    /// What has happened to it while it was stopped.
    pub inbox: Vec<Happening>,
    /// When the engine's next timer is served, in true time.
    pub next_tick: Time,
    /// The member of etcd that it talks to.
    pub member: usize,
    /// Cut off until then.
    pub cut: Option<(Time, Cut)>,
    /// What watches say arrives in order: not before this time.
    pub stream_at: Time,
    /// What its clock showed when its engine took the last step.
    pub stepped: Time,
    /// When requests, answers or the process itself were held up last.
    pub disturbed: Time,
    /// When watches were held up last.
    pub unsettled: Time,
}

/// A session: one engine.
#[derive(Debug)]
pub struct Session {
    /// The engine.
    pub engine: Engine,
    /// Requests without an answer yet.
    pub open: Vec<Open>,
    /// Watches that the engine has not closed.
    pub watches: Vec<Watch>,
    /// The deadline cells.
    pub cells: Vec<(LeaseId, Time)>,
    /// The elections, by number; those that have ended as well.
    pub elections: Vec<Election>,
    /// Roles that the host is about to register.
    pub planned: u32,
    /// Since when it is open; true time.
    pub opened: Option<Time>,
    /// When the host asked it to open; true time.
    pub began: Time,
    /// When it has to be over, by its own clock, if the host has asked for that.
    pub stop: Option<Time>,
    /// A stop was asked for at the latest at this time, by its own clock; drains may be shortened.
    pub drains_until: Time,
    /// It is over: whether without a lock.
    pub closed: Option<bool>,
    /// The host opens another session when this one is over, after this long.
    pub again: Option<Duration>,
    /// The store was put back while it lived.
    pub went_back: bool,
    /// A stop was asked for outside of a call.
    pub stop_began: bool,
    /// A stop was asked for when all was well.
    pub stopped_calmly: bool,
    /// What it and its driver owe each other.
    pub contract: Contract,
    /// Calls of `on_lost` when all was settled.
    pub losses: u32,
    /// Requests sent since the last time they were counted.
    pub sent: u32,
    /// Steps in the present second of true time, and that second.
    pub steps: (u64, u32),
}

/// A request without an answer.
#[derive(Debug)]
pub struct Open {
    /// Its name.
    pub request: RequestId,
    /// Of which election, if of one.
    pub election: Option<ElectionId>,
    /// When the driver gives up, in true time.
    pub deadline: Time,
    /// It was sent after the faults had ended.
    pub calm: bool,
}

/// A watch.
#[derive(Debug)]
pub struct Watch {
    /// Its name.
    pub id: WatchId,
    /// The election that it is of.
    pub of: Option<ElectionId>,
    /// Its stream at the store, once it is open there.
    pub stream: Option<StreamId>,
    /// The driver knows that it is open.
    pub confirmed: bool,
    /// It says nothing more.
    pub silent: bool,
}

/// An election, as its host sees it.
#[derive(Debug)]
pub struct Election {
    /// Its name.
    pub id: ElectionId,
    /// Its role.
    pub role: usize,
    /// The lock of the role.
    pub lock: Key,
    /// Whether the host wants to be primary.
    pub wants: bool,
    /// What `is_primary` stands on, and which win that is.
    pub published: Option<Published>,
    /// Calls that run.
    pub running: Vec<Running>,
    /// The highest token that `on_primary` was called with.
    pub last_token: Token,
    /// The request that hands its key set over.
    pub hands_over: Option<RequestId>,
    /// The lease of a win that has ended and whose `on_lost` has not been called yet, and whether somebody else has been seen
    /// holding a lock of the role since.
    pub let_go: Option<(LeaseId, bool)>,
    /// What is known of the last loss.
    pub lost: Option<Lost>,
    /// When `is_primary` began to say no last, by its own clock; `on_lost` waits until `on_primary` has been taken.
    pub ended: Time,
    /// How often `on_primary` and `on_lost` were called.
    pub called: (u32, u32),
    /// How often of these because its host resigned.
    pub resigned: u32,
    /// Its host has asked, since the last call of `on_primary`, to resign or to hand over.
    pub asked: bool,
    /// `on_primary` of the published win has succeeded.
    pub ready: bool,
    /// When its host said last that it is well, by its own clock; or when `on_primary` succeeded.
    pub well: Time,
    /// Ended by the host: when it has to be over, by its own clock.
    pub withdraw: Option<Time>,
    /// It is over.
    pub withdrawn: bool,
    /// The host registers the role again when it is over, after this long.
    pub again: Option<Duration>,
    /// What the host asked for inside a call.
    pub deferred: Vec<(CallId, Deferred)>,
    /// A callback of it will never end.
    pub hangs: bool,
}

/// A win that was published.
#[derive(Clone, Copy, Debug)]
pub struct Published {
    /// Its token.
    pub token: Token,
    /// Its lease.
    pub lease: LeaseId,
    /// Its number in the cluster.
    pub win: usize,
}

/// A call that runs.
#[derive(Clone, Debug)]
pub struct Running {
    /// Its name.
    pub call: CallId,
    /// Which callback.
    pub kind: Kind,
    /// It has been told to end.
    pub cancelled: bool,
    /// It began before the faults ended, and ends by itself.
    pub ends: bool,
    /// It ends when it is told to.
    pub heeds: bool,
    /// It ends when the faults do.
    pub hangs: bool,
    /// The host has begun it.
    pub begun: bool,
    /// Its engine has been told so.
    pub heard: bool,
}

/// A callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `on_standby`
    Standby,
    /// `on_warmup`
    Warmup,
    /// `on_primary`, of a win under this lease: a store that went back hands out the same token again
    Primary(Token, LeaseId),
    /// `on_lost`
    Lost(Token, LeaseId),
}

impl Kind {
    /// The win that it is about.
    pub fn win(self) -> Option<(Token, LeaseId)> {
        match self {
            Kind::Primary(token, lease) | Kind::Lost(token, lease) => Some((token, lease)),
            Kind::Standby | Kind::Warmup => None,
        }
    }
}

/// A win that was lost.
#[derive(Clone, Debug)]
pub struct Lost {
    /// Its token.
    pub token: Token,
    /// Its lease.
    pub lease: LeaseId,
    /// Why.
    pub reason: LostReason,
    /// When, by its own clock.
    pub at: Time,
    /// Somebody else has been seen holding a lock of the role since.
    pub seen_other: bool,
}

/// What a host asks for inside a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deferred {
    /// To end the election by then, by its own clock.
    Withdraw(Time),
}

impl Process {
    /// One that has not started yet.
    pub fn new(index: usize, clock: Clock, members: usize) -> Self {
        Process {
            index,
            clock,
            life: 0,
            run: 1,
            session: None,
            returns: true,
            paused: None,
            freeze: None,
            frozen: Vec::new(),
            inbox: Vec::new(),
            next_tick: Time::NEVER,
            member: index % members,
            cut: None,
            stream_at: Time::ZERO,
            stepped: Time::ZERO,
            disturbed: Time::ZERO,
            unsettled: Time::ZERO,
        }
    }

    /// Its present session, as the cluster knows it.
    pub fn who(&self) -> Who {
        Who::Session(self.index, self.life)
    }
}

impl Session {
    /// One that is about to open.
    pub fn new(engine: Engine, began: Time) -> Self {
        Session {
            engine,
            open: Vec::new(),
            watches: Vec::new(),
            cells: Vec::new(),
            elections: Vec::new(),
            planned: 0,
            opened: None,
            began,
            stop: None,
            drains_until: Time::NEVER,
            closed: None,
            again: None,
            went_back: false,
            stop_began: false,
            stopped_calmly: false,
            contract: Contract::default(),
            losses: 0,
            sent: 0,
            steps: (0, 0),
        }
    }

    /// The deadline of a lease; a lease without a cell was never ours.
    pub fn cell(&self, lease: LeaseId) -> Time {
        self.cells.iter().rev().find(|(id, _)| *id == lease).map_or(Time::ZERO, |(_, until)| *until)
    }

    /// An election by its name.
    pub fn election(&mut self, id: ElectionId) -> Option<&mut Election> {
        self.elections.get_mut(id.0 as usize)
    }

    /// Whether it has not been asked to end.
    pub fn goes_on(&self) -> bool {
        self.stop.is_none() && self.closed.is_none()
    }
}

impl Election {
    /// One that is about to be registered.
    pub fn new(id: ElectionId, role: usize, lock: Key, wants: bool) -> Self {
        Election {
            id,
            role,
            lock,
            wants,
            published: None,
            running: Vec::new(),
            last_token: Token(0),
            hands_over: None,
            let_go: None,
            lost: None,
            ended: Time::ZERO,
            called: (0, 0),
            resigned: 0,
            asked: false,
            ready: false,
            well: Time::ZERO,
            withdraw: None,
            withdrawn: false,
            again: None,
            deferred: Vec::new(),
            hangs: false,
        }
    }

    /// Whether the host has begun an `on_primary`, and its engine has not heard of that yet: then it can not know that
    /// an `on_lost` is due.
    pub fn is_on_its_way(&self) -> bool {
        self.running.iter().any(|r| matches!(r.kind, Kind::Primary(..)) && r.begun && !r.heard)
    }

    /// Whether callbacks of a win are running.
    pub fn runs_of_a_win(&self) -> bool {
        self.running.iter().any(|r| r.kind.win().is_some())
    }
}
