//! What comes from outside may be anything: no bytes in etcd, no setting and no answer makes the library panic or go
//! round in circles.
//!
//! ```text
//! cargo test --test fuzz               a thousand tries of each, the same ones each time
//! MINUTES=30 cargo test --test fuzz    for so long, others each time (`make fuzz MINUTES=30`)
//! TRY=n cargo test --test fuzz         one of them again
//! ```

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use fastrand::Rng;
use primacy::clock::Time;
use primacy::config::Config;
use primacy::embedded::model::{Model, Options};
use primacy::engine::{
    Action, CallId, ElectionId, Engine, Event, ObserverSetup, Observing, Outcome, RequestId, Setup, WatchId,
};
use primacy::milvus::{self, Candidate, IndexVersions, Layout, Record, Role, Root};
use primacy::store::{
    Answer, Failure, Key, KeyEvent, KeyValue, LeaseId, Op, Origin, Range, Request, Revision, TxnAnswer, Value,
};
use semver::Version;

/// Without `MINUTES`.
const TRIES: u64 = 1000;

/// Tries `what` with one seed after the other; a failure names its seed.
fn fuzz(name: &str, what: impl Fn(&mut Rng)) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let minutes = number("MINUTES");
    let first = minutes.map_or(0, |_| fastrand::u64(..1 << 40));
    let until = minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let mut tries = 0;
    for seed in number("TRY").into_iter().chain((first..).filter(|_| number("TRY").is_none())) {
        if until.map_or(tries >= TRIES, |until| Instant::now() >= until) {
            break;
        }
        tries += 1;
        let tried = catch_unwind(AssertUnwindSafe(|| what(&mut Rng::with_seed(seed))));
        assert!(tried.is_ok(), "{name}: TRY={seed}");
    }
    println!("{name}: {tries} tries");
}

/// Texts of each kind that is read, right and nearly right; bytes are mangled from these.
const TEXTS: [&str; 12] = [
    r#"{"ServerID":1,"ServerName":"mixcoord","Address":"127.0.0.1:53113","Exclusive":true,"TriggerKill":true,"Version":"2.6.7","IndexEngineVersion":{},"ScalarIndexEngineVersion":{},"LeaseID":5007617984793799419,"HostName":"vm"}"#,
    r#"{"ServerID":-9223372036854775808,"Address":"[::1]:1","Stopping":null,"ServerLabels":{"a":"b"},"Primacy":{"Protocol":1,"Warm":true}}"#,
    r#"{"ServerID":1e400,"LeaseID":18446744073709551616,"Version":"1.2.3-\u0000\ud800"}"#,
    "{\"CurrentIndexVersion\":1,\"MinimalIndexVersion\":-1}",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "9223372036854775807",
    "3.0.0-alpha+1",
    "localhost:2379,http://[::1]:1,https://x,mem://y",
    "rootcoord-18446744073709551616",
    "true",
    "10000",
    "",
];

fn bytes(r: &mut Rng) -> Vec<u8> {
    let mut bytes = TEXTS[r.usize(..TEXTS.len())].as_bytes().to_vec();
    if r.u8(..8) == 0 {
        bytes = (0..r.usize(..64)).map(|_| r.u8(..)).collect();
    }
    for _ in 0..r.usize(..4) {
        let at = r.usize(..=bytes.len());
        match r.u8(..5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, r.u8(..)),
            2 if at < bytes.len() => bytes[at] = r.u8(..),
            3 if at < bytes.len() => drop(bytes.remove(at)),
            _ => bytes.extend_from_slice(&bytes.clone()[at..]),
        }
    }
    bytes
}

fn text(r: &mut Rng) -> String {
    String::from_utf8_lossy(&bytes(r)).into_owned()
}

#[test]
fn whatever_is_read_from_etcd_or_set_by_a_host_is_taken_or_refused() {
    let own = Version::new(3, 0, 0);
    fuzz("parsers", |r| {
        let value = Value::from(bytes(r).as_slice());
        let _ = Record::parse(&value);
        let _ = milvus::may_lead(&value, &own);
        let _ = Root::join("a", "b").unwrap().parse_id(&value);
        let _ = Role::parse(&text(r));
        let _ = Root::join(&text(r), &text(r));
        let _ = IndexVersions::parse(&text(r));
        let _ = Candidate::new(&text(r), &text(r), own.clone());
        let mut config = Config::new();
        for _ in 0..4 {
            let name = Config::names()[r.usize(..Config::names().len())].name;
            let _ = config.set(name, &text(r));
        }
        let _ = config.set(&text(r), &text(r));
        let _ = config.settings();
    });
}

fn setup(layout: Layout) -> Setup {
    Setup {
        root: Root::join("r", "m").unwrap(),
        layout,
        candidate: Candidate::new("a:1", "host", Version::new(3, 0, 0)).unwrap(),
        ttl: Duration::from_secs(5),
        margin: None,
        priority: 1,
        warmup_interval: Duration::from_millis(500),
        activation_timeout: Duration::from_secs(2),
        liveness_timeout: None,
        drain_timeout: Duration::from_secs(2),
        request_timeout: Duration::from_secs(2),
        first_lease: LeaseId(100),
        seed: 1,
    }
}

const ROLES: [&str; 4] = ["rootcoord", "mixcoord", "datacoord", "indexcoord"];

/// What the engine waits for, and what a store that says anything may know.
#[derive(Default)]
struct Asked {
    requests: Vec<(RequestId, Request)>,
    watches: Vec<WatchId>,
    calls: Vec<CallId>,
    keys: BTreeSet<Key>,
    closed: u32,
}

impl Asked {
    fn note(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send { request, what, .. } => {
                    if let Request::Txn(txn) = &what {
                        self.keys.extend(txn.when.iter().filter_map(|c| one(&c.range)));
                    }
                    self.requests.push((request, what));
                }
                Action::Watch { watch, ranges } => {
                    self.keys.extend(ranges.iter().filter_map(one));
                    self.watches.push(watch);
                }
                Action::Call { call, .. } => self.calls.push(call),
                Action::Closed { .. } => self.closed += 1,
                _ => {}
            }
        }
    }

    fn key(&self, r: &mut Rng) -> Key {
        self.keys.iter().nth(r.usize(..=self.keys.len())).cloned().unwrap_or_else(|| text(r).into())
    }

    fn kv(&self, r: &mut Rng) -> KeyValue {
        KeyValue {
            key: self.key(r),
            value: Value::from(bytes(r).as_slice()),
            create_revision: Revision(number(r)),
            mod_revision: Revision(number(r)),
            version: number(r),
            lease: LeaseId(if r.bool() { r.i64(98..104) } else { number(r) }),
        }
    }

    fn answer(&self, r: &mut Rng, what: &Request) -> Result<Answer, Failure> {
        let ttl = match r.u8(..16) {
            0 => Duration::from_secs(u64::MAX),
            _ => Duration::from_millis(r.u64(..20_000)),
        };
        match r.u8(..20) {
            0 => Err(Failure::Indefinite(text(r))),
            1 => Err(Failure::Unreachable(text(r))),
            2 => Err(Failure::LeaseNotFound),
            3 => Err(Failure::LeaseExists),
            4 => Err(Failure::Denied(text(r))),
            5 => Err(Failure::NoSpace(text(r))),
            6 => Err(Failure::Refused(text(r))),
            7 => Ok(Answer::Granted { ttl }),
            8 => Ok(Answer::Renewed { ttl, origin: origin(r) }),
            9 => Ok(Answer::Revoked),
            _ => Ok(match what {
                Request::Grant { .. } => Answer::Granted { ttl },
                Request::KeepAlive { .. } => Answer::Renewed { ttl, origin: origin(r) },
                Request::Revoke { .. } => Answer::Revoked,
                Request::Txn(txn) => {
                    let succeeded = r.bool();
                    let ops = if succeeded { &txn.then } else { &txn.otherwise };
                    let gets = ops.iter().filter(|op| matches!(op, Op::Get(_))).count();
                    // Now and then too few or too many.
                    let gets = if r.u8(..10) == 0 { r.usize(..6) } else { gets };
                    let reads = (0..gets).map(|_| (0..r.usize(..3)).map(|_| self.kv(r)).collect()).collect();
                    let (revision, origin) = (Revision(number(r)), origin(r));
                    Answer::Txn(TxnAnswer { succeeded, revision, origin, reads })
                }
            }),
        }
    }

    /// Something that a store, a driver or a host might say; now and then of things that are long over.
    fn event(&mut self, r: &mut Rng) -> Event {
        let watch = WatchId(r.u64(..4 + self.watches.len() as u64));
        match r.u8(..12) {
            0..=4 if !self.requests.is_empty() => {
                let (request, what) = self.requests[r.usize(..self.requests.len())].clone();
                if r.u8(..10) != 0 {
                    self.requests.retain(|(other, _)| *other != request);
                }
                Event::Answered { request, result: self.answer(r, &what) }
            }
            5 => Event::Watching { watch },
            6 | 7 => {
                let event = |r: &mut Rng| KeyEvent {
                    key: self.key(r),
                    revision: Revision(number(r)),
                    now: r.bool().then(|| self.kv(r)),
                };
                Event::Watched { watch, events: (0..r.usize(..4)).map(|_| event(r)).collect() }
            }
            8 => Event::WatchEnded { watch, why: text(r) },
            9 if !self.calls.is_empty() => {
                let call = self.calls[r.usize(..self.calls.len())];
                let outcome = [Outcome::Done, Outcome::Warm, Outcome::Failed(text(r))][r.usize(..3)].clone();
                Event::Completed { call, outcome }
            }
            _ => Event::Tick,
        }
    }
}

fn one(range: &Range) -> Option<Key> {
    match range {
        Range::Key(key) => Some(key.clone()),
        Range::Span { .. } => None,
    }
}

fn origin(r: &mut Rng) -> Origin {
    Origin { cluster: u64::from(r.u8(..10) == 0), term: r.u64(..3) }
}

fn number(r: &mut Rng) -> i64 {
    if r.u8(..16) == 0 { [i64::MIN, -1, 0, i64::MAX][r.usize(..4)] } else { r.i64(1..30) }
}

fn host_event(r: &mut Rng, calls: &[CallId]) -> Event {
    let election = ElectionId(r.u32(..5));
    let within = calls.get(r.usize(..=calls.len())).copied();
    let timeout = Duration::from_millis(r.u64(..5000));
    match r.u8(..12) {
        0..=3 => Event::Register { election, role: Role::parse(ROLES[r.usize(..4)]).unwrap() },
        4..=7 => Event::Campaign { election },
        8 => Event::Resign { election, within },
        9 => Event::Withdraw { election, timeout, within },
        10 => Event::MarkStopping,
        _ => Event::Stop { timeout, within },
    }
}

#[test]
fn no_answer_and_no_order_of_events_makes_the_engine_panic_or_go_round_in_circles() {
    fuzz("engine", |r| {
        let layout = if r.bool() { Layout::Milvus } else { Layout::AfterStart };
        let (mut engine, mut asked) = (Engine::new(setup(layout)), Asked::default());
        let mut now = Time::ZERO + Duration::from_secs(1000);
        asked.note(engine.step(now, Event::Open));
        for _ in 0..200 {
            now = match r.u8(..4) {
                0 => now + Duration::from_millis(r.u64(..3000)),
                1 => engine.next_deadline().map_or(now, |at| at.max(now)),
                _ => now,
            };
            let event = if r.u8(..8) == 0 { host_event(r, &asked.calls) } else { asked.event(r) };
            let actions = engine.step(now, event);
            assert!(actions.len() < 300, "{} actions in one step", actions.len());
            asked.note(actions);
            let _ = engine.snapshot(now);
        }
        // Whatever it was told, it ends in time when it is told to.
        asked.note(engine.step(now, Event::Stop { timeout: Duration::from_secs(1), within: None }));
        asked.note(engine.step(now + Duration::from_secs(1), Event::Tick));
        assert_eq!(asked.closed, 1, "it is closed once");
    });
}

#[test]
fn no_answer_makes_an_observer_panic() {
    fuzz("observer", |r| {
        let setup = ObserverSetup {
            root: Root::join("r", "m").unwrap(),
            layout: if r.bool() { Layout::Milvus } else { Layout::AfterStart },
            role: Role::parse(ROLES[r.usize(..4)]).unwrap(),
            reread: Duration::from_secs(5),
            request_timeout: Duration::from_secs(2),
            seed: 1,
        };
        let (mut observing, mut asked) = (Observing::new(setup), Asked::default());
        let mut now = Time::ZERO + Duration::from_secs(1000);
        for _ in 0..100 {
            now += Duration::from_millis(r.u64(..2000));
            let event = asked.event(r);
            asked.note(observing.step(now, event));
            let _ = observing.seen();
        }
    });
}

#[test]
fn the_model_answers_whatever_an_engine_asks_in_any_order() {
    fuzz("model", |r| {
        let (mut engine, mut asked) = (Engine::new(setup(Layout::Milvus)), Asked::default());
        let mut model = Model::new(Options { seed: r.u64(..), ..Options::default() });
        let mut now = Time::ZERO + Duration::from_secs(1000);
        asked.note(engine.step(now, Event::Open));
        for _ in 0..100 {
            now += Duration::from_millis(r.u64(..500));
            model.advance(now);
            let event = match asked.requests.pop() {
                Some((request, what)) if r.u8(..4) != 0 => {
                    Event::Answered { request, result: model.perform(now, &what) }
                }
                _ => host_event(r, &asked.calls),
            };
            asked.note(engine.step(now, event));
        }
    });
}
