//! A step costs what it concerns: how many elections it looks at does not grow with how many there are.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use primacy_engine::milvus::{Candidate, Layout, Role, Root};
use primacy_engine::store::{Failure, LeaseId};
use primacy_engine::time::Time;
use primacy_engine::{
    Action, ElectionId, ElectionState, Engine, Event, Outcome, Purpose, RequestId, Setup, WatchId,
};
use primacy_model::{Model, Options};

/// A session with a store that answers at once, and a host whose callbacks succeed.
struct Session {
    engine: Engine,
    model: Model,
    now: Time,
    /// What is on its way to the engine, and what that is called here.
    coming: VecDeque<(&'static str, Event)>,
    watches: BTreeMap<WatchId, String>,
    /// Nothing is answered.
    cut: bool,
    /// The most elections that one step looked at, by what it was about.
    looks: BTreeMap<&'static str, u64>,
}

impl Session {
    /// One that is primary of so many elections.
    fn of(elections: u32) -> Session {
        let setup = Setup {
            root: Root::join("by-dev", "meta").unwrap(),
            layout: Layout::Milvus,
            candidate: Candidate::new("a:1", "host", semver::Version::new(3, 0, 0)).unwrap(),
            ttl: Duration::from_secs(10),
            margin: None,
            priority: 1,
            warmup_interval: Duration::from_secs(1),
            activation_timeout: Duration::from_secs(10),
            liveness_timeout: None,
            drain_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(10),
            first_lease: LeaseId(1000),
            seed: 0,
        };
        let mut session = Session {
            engine: Engine::new(setup),
            model: Model::new(Options::default()),
            now: Time::ZERO + Duration::from_secs(1),
            coming: VecDeque::new(),
            watches: BTreeMap::new(),
            cut: false,
            looks: BTreeMap::new(),
        };
        session.tell("open", Event::Open);
        for id in 1..=elections {
            let election = ElectionId(id);
            let role = Role::parse(&format!("role{id}")).unwrap();
            session.coming.push_back(("register", Event::Register { election, role }));
            session.coming.push_back(("campaign", Event::Campaign { election }));
        }
        session.settle();
        assert_eq!(session.primaries(), elections as usize);
        session
    }

    fn primaries(&self) -> usize {
        self.engine.snapshot(self.now).elections.iter().filter(|e| e.state == ElectionState::Primary).count()
    }

    fn tell(&mut self, what: &'static str, event: Event) {
        self.coming.push_back((what, event));
        self.settle();
    }

    /// Until nothing is on its way.
    fn settle(&mut self) {
        while let Some((what, event)) = self.coming.pop_front() {
            self.step(what, event);
        }
    }

    /// Lets time pass, with all that is due in it.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some((at, name)) = self.engine.next_timer().filter(|(at, _)| *at <= until) {
            self.now = at;
            self.step(name, Event::Tick);
            self.settle();
        }
        self.now = until;
    }

    fn step(&mut self, what: &'static str, event: Event) {
        let before = self.engine.looks();
        let actions = self.engine.step(self.now, event);
        self.engine.next_deadline();
        let looks = self.engine.looks() - before;
        let what = actions.iter().find_map(reads).unwrap_or(what);
        let most = self.looks.entry(what).or_default();
        *most = looks.max(*most);
        for action in actions {
            match action {
                Action::Send { request, purpose, what, .. } => {
                    let name = match purpose {
                        // It concerns all.
                        Purpose::Grant | Purpose::TakeId => "of the session",
                        Purpose::Reread | Purpose::Confirm => "was read",
                        _ => "answered",
                    };
                    let cut = || Err(Failure::Unreachable("cut".into()));
                    let result = if self.cut { cut() } else { self.model.perform(self.now, &what) };
                    self.coming.push_back((name, Event::Answered { request, result }));
                }
                Action::Watch { watch, ranges } => {
                    self.watches.insert(watch, format!("{:?}", ranges[0]));
                    self.coming.push_back(("watching", Event::Watching { watch }));
                }
                Action::Call { call, .. } => {
                    self.coming.push_back(("completed", Event::Completed { call, outcome: Outcome::Warm }));
                }
                _ => {}
            }
        }
    }

    /// What one step looks at the most, in all that can happen to one election of many.
    fn with_all_that_happens_to_one(mut self) -> BTreeMap<&'static str, u64> {
        let election = ElectionId(7);
        // On its own keys: that on the other candidates begins with a span.
        let own = |ranges: &str| ranges.starts_with("Key") && ranges.contains("role7-");
        let watch =
            |session: &Session| *session.watches.iter().rev().find(|(_, ranges)| own(ranges)).unwrap().0;
        self.pass(Duration::from_secs(30));
        let of_seven = watch(&self);
        self.tell("watched", Event::Watched { watch: of_seven, events: Vec::new() });
        self.tell("watch ended", Event::WatchEnded { watch: of_seven, why: "broke".into() });
        self.pass(Duration::from_secs(1));
        assert!(watch(&self) > of_seven);
        self.tell("resign", Event::Resign { election, within: None });
        self.pass(Duration::from_secs(20));
        let timeout = Duration::from_secs(5);
        self.tell("withdraw", Event::Withdraw { election, timeout, within: None });
        self.tell(
            "a stale answer",
            Event::Answered { request: RequestId(1), result: Err(Failure::LeaseExists) },
        );
        self.looks
    }
}

/// Whether an action reads many keys, and which.
fn reads(action: &Action) -> Option<&'static str> {
    match action {
        Action::Send { purpose: Purpose::Reread, .. } => Some("all are read"),
        Action::Send { purpose: Purpose::Confirm, .. } => Some("own are read"),
        _ => None,
    }
}

#[test]
fn a_step_looks_at_as_many_of_ten_elections_as_of_a_thousand() {
    let (mut few, mut many) =
        (Session::of(10).with_all_that_happens_to_one(), Session::of(1000).with_all_that_happens_to_one());
    // What was read is handed to whoever it was read for, a transaction at a time.
    assert!(many.remove("was read").unwrap() <= 126 * 4);
    // To read all is to ask all for their keys; to confirm a renewal, all that are won.
    assert_eq!(many.remove("all are read").unwrap() - few.remove("all are read").unwrap(), 990);
    assert!(many.remove("own are read").unwrap() < 1000 + 126);
    few.remove("own are read");
    few.remove("was read");
    assert_eq!(many, few);
    assert!(few.values().all(|looks| *looks < 10), "{few:?}");
}

#[test]
fn a_lease_that_is_lost_has_each_election_looked_at_a_few_times() {
    let mut session = Session::of(1000);
    session.looks.clear();
    session.cut = true;
    session.pass(Duration::from_secs(12));
    assert_eq!(session.primaries(), 0);
    assert!(session.looks["deadline"] < 5 * 1000, "{:?}", session.looks);
    session.cut = false;
    session.pass(Duration::from_secs(20));
    assert_eq!(session.primaries(), 1000);
}
