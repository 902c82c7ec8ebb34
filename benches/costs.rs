//! What an election costs on a real etcd: how soon a standby is primary, what an idle one asks of etcd, and what one of
//! thousands on a session costs.
//!
//! `make bench` runs it. It ends with 1 if a figure is over its bound.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unsafe_code,
    reason = "a benchmark"
)]

#[path = "../tests/common/etcd.rs"]
mod etcd;

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use etcd_client::{Client, Compare, CompareOp, PutOptions, Txn, TxnOp};
use primacy::clock::{Clock, Time};
use primacy::config::Config;
use primacy::election::{Election, Host, Reply};
use primacy::embedded::model::{Model, Options};
use primacy::engine::{
    Action, Call, CallId, ElectionId, ElectionState, Engine, Event, Notice, Outcome, Setup,
};
use primacy::log::Log;
use primacy::milvus::{Candidate, Layout, Role, Root};
use primacy::session::Session;
use primacy::store::LeaseId;

const TAKEOVERS: usize = 300;
/// From the event of the delete to `on_primary`, beside a bare transaction.
const SLOWEST_TAKEOVER: f64 = 1.5;
const HANDOVERS: usize = 100;
/// A handover to the only standby, beside a put and its event.
const SLOWEST_HANDOVER: f64 = 1.5;
const IDLE_FOR: Duration = Duration::from_secs(40);
/// Requests a second of an idle standby.
const MOST_REQUESTS: f64 = 1.0;
/// Samples of a thousand steps.
const STEPS: usize = 21;
/// A step of an engine with 10,000 elections, beside one with a single one: what it touches is in no cache.
const SLOWEST_STEP: f64 = 20.0;
const STEADY_FOR: Duration = Duration::from_secs(20);
const ALL_PRIMARY: Duration = Duration::from_secs(120);
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

/// Tells when it became primary, or standby. It is never warm, so that the lock is released and not handed over.
struct Teller(Sender<(Call, Time)>);

impl Host for Teller {
    fn call(&self, _: CallId, what: &Call) -> Reply {
        let _ = self.0.send((what.clone(), Clock::BOOT.now()));
        Reply::Done
    }
    fn cancelled(&self, _: CallId) {}
    fn notice(&self, _: &Notice) {}
    fn stopped(&self) {}
}

fn open(endpoint: &str) -> Session {
    let mut config = Config::new();
    config.set("etcd.endpoints", endpoint).unwrap();
    let candidate = Candidate::new("127.0.0.1:1", "host", "1.0.0".parse().unwrap()).unwrap();
    Session::open(config.settings().unwrap(), candidate, Log::none()).unwrap()
}

fn campaign(session: &Session, role: &str) -> (Election, Receiver<(Call, Time)>) {
    let (tell, told) = channel();
    let election = session.register(role, Arc::new(Teller(tell))).unwrap();
    election.campaign();
    (election, told)
}

/// Waits for a call of this sort.
fn next(told: &Receiver<(Call, Time)>, is: impl Fn(&Call) -> bool) -> Time {
    loop {
        let (call, at) = told.recv_timeout(Duration::from_secs(30)).expect("it is called");
        if is(&call) {
            return at;
        }
    }
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// The instant at which the flight recorder saw the lock deleted last.
fn lock_deleted(election: &Election) -> Time {
    let recording = election.recording();
    let line = recording.lines().rfind(|line| line.contains(" saw delete ") && line.contains("/rootcoord@"));
    let at = line.and_then(|line| line.split_whitespace().nth(1)).expect("it saw the lock deleted");
    let (seconds, fraction) = at.split_once('.').unwrap();
    let nanos = format!("{fraction:0<9}").parse::<u64>().unwrap();
    Time::from_nanos(seconds.parse::<u64>().unwrap() * 1_000_000_000 + nanos)
}

/// A transaction as a campaign's is: a comparison and a write.
async fn bare(client: &mut Client) -> f64 {
    let txn = Txn::new()
        .when([Compare::version("bare/absent", CompareOp::Equal, 0)])
        .and_then([TxnOp::put("bare/key", "value", None)]);
    let start = Instant::now();
    client.txn(txn).await.unwrap();
    start.elapsed().as_secs_f64() * 1e6
}

fn takeover(server: &etcd::EtcdServer, io: &tokio::runtime::Runtime, client: &mut Client) -> bool {
    let sessions = [open(&server.endpoint()), open(&server.endpoint())];
    let both = [campaign(&sessions[0], "rootcoord"), campaign(&sessions[1], "rootcoord")];
    let is_primary = |call: &Call| matches!(call, Call::Primary { .. });
    let mut primary = usize::from(both[0].0.token().is_none());
    while both[primary].0.token().is_none() {
        primary = 1 - primary;
        thread::yield_now();
    }
    next(&both[primary].1, is_primary); // the first win is no takeover
    let (mut taken, mut bares) = (Vec::new(), Vec::new());
    for _ in 0..TAKEOVERS {
        bares.push(io.block_on(bare(client)));
        both[primary].0.resign();
        primary = 1 - primary;
        let at = next(&both[primary].1, is_primary);
        taken.push(at.since(lock_deleted(&both[primary].0)).as_secs_f64() * 1e6);
        // The other one has calmed down.
        while both[1 - primary].0.snapshot().is_none_or(|snapshot| snapshot.state != ElectionState::Standby) {
            thread::yield_now();
        }
    }
    let (taken, bare) = (median(taken), median(bares));
    let ratio = taken / bare;
    println!(
        "from the event of the delete to on_primary {taken:.0} us, a bare transaction {bare:.0} us: \
         {ratio:.2} x (at most {SLOWEST_TAKEOVER})"
    );
    sessions.iter().for_each(|session| session.stop(Duration::from_secs(5)));
    sessions.iter().for_each(|session| session.join(Duration::from_secs(10)).unwrap());
    ratio <= SLOWEST_TAKEOVER
}

/// From a put to its event at another client.
async fn put_to_event(client: &mut Client, watch: &mut etcd_client::WatchStream) -> f64 {
    let start = Instant::now();
    let (put, event) = tokio::join!(client.put("bare/watched", "value", None), watch.message());
    put.unwrap();
    event.unwrap().expect("an event");
    start.elapsed().as_secs_f64() * 1e6
}

/// How long etcd's own Go package takes to hand over, in the same cluster; nothing where there is no Go.
fn pace(server: &etcd::EtcdServer, standbys: usize) -> Option<f64> {
    let told = std::process::Command::new("go")
        .args(["run", "./internal/pace", &server.endpoint(), &standbys.to_string(), &HANDOVERS.to_string()])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/go/etcdfence"))
        .output()
        .ok()?;
    let samples: Vec<f64> =
        String::from_utf8_lossy(&told.stdout).lines().filter_map(|line| line.parse().ok()).collect();
    (!samples.is_empty()).then(|| median(samples))
}

/// A transfer, from on_lost (which returns at once) to on_primary, with so many warm standbys.
fn handover(
    server: &etcd::EtcdServer,
    io: &tokio::runtime::Runtime,
    client: &mut Client,
    standbys: usize,
) -> bool {
    let sessions: Vec<Session> = (0..=standbys).map(|_| open(&server.endpoint())).collect();
    let (tell, heard) = channel();
    let role = format!("handed{standbys}");
    let all: Vec<Election> = sessions
        .iter()
        .enumerate()
        .map(|(number, session)| session.register(&role, Arc::new(OneOf(number, tell.clone()))).unwrap())
        .collect();
    all.iter().for_each(Election::campaign);
    let next = || heard.recv_timeout(Duration::from_secs(30)).expect("it is called");
    let Heard::Primary(mut primary, _) = next() else { unreachable!("nobody has lost anything yet") };
    let (mut handed, mut bares) = (Vec::new(), Vec::new());
    let mut watch = io.block_on(client.clone().watch("bare/watched", None)).unwrap();
    io.block_on(watch.message()).unwrap(); // that it is open
    for _ in 0..HANDOVERS {
        let warm = |e: &Election| e.snapshot().is_some_and(|snapshot| snapshot.warm);
        while all.iter().enumerate().any(|(number, election)| number != primary && !warm(election)) {
            thread::sleep(Duration::from_millis(5));
        }
        bares.push(io.block_on(put_to_event(client, &mut watch)));
        let lost = loop {
            // Until the primary has heard that somebody is warm.
            all[primary].transfer(None);
            match heard.recv_timeout(Duration::from_millis(200)) {
                Ok(Heard::Lost(at)) => break at,
                Ok(Heard::Primary(..)) => unreachable!("one is primary"),
                Err(_) => {}
            }
        };
        let Heard::Primary(number, at) = next() else { unreachable!("it was handed over") };
        primary = number;
        handed.push(at.since(lost).as_secs_f64() * 1e6);
    }
    let (handed, bare) = (median(handed), median(bares));
    let ratio = handed / bare;
    let theirs = pace(server, standbys)
        .map_or_else(|| "no Go".into(), |theirs| format!("{theirs:.0} us, {:.2} x", handed / theirs));
    println!(
        "handed over with {standbys} standbys: from on_lost to on_primary {handed:.0} us, from a put to its event \
         {bare:.0} us: {ratio:.2} x (at most {SLOWEST_HANDOVER}); clientv3/concurrency, from Resign to the next \
         Campaign's return: {theirs} (load {})",
        load()
    );
    sessions.iter().for_each(|session| session.stop(Duration::from_secs(5)));
    sessions.iter().for_each(|session| session.join(Duration::from_secs(10)).unwrap());
    // Many standbys share a thread and the cores with the two that count: told, not bound.
    standbys > 1 || ratio <= SLOWEST_HANDOVER
}

/// CPU time that this process has used.
fn cpu() -> f64 {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the pointer is to memory of the right type, which is filled in where 0 is answered.
    let usage = unsafe {
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()), 0);
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// CPU time that this thread has used.
fn thread_time() -> f64 {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the pointer is to memory of the right type, which is filled in where 0 is answered.
    let time = unsafe {
        assert_eq!(libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, time.as_mut_ptr()), 0);
        time.assume_init()
    };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Calls that etcd has been asked, and orders on its watch streams. (A renewal is a call of its own.)
fn requests(server: &etcd::EtcdServer) -> f64 {
    let counts = |line: &&str| {
        line.starts_with("grpc_server_started_total")
            || line.starts_with("grpc_server_msg_received_total{grpc_method=\"Watch\"")
    };
    let number = |line: &str| line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok());
    server.metrics().lines().filter(counts).filter_map(number).sum()
}

fn idle(
    server: &etcd::EtcdServer,
    io: &tokio::runtime::Runtime,
    client: &mut Client,
    elections: usize,
) -> bool {
    let role = |number: usize| format!("role{elections}x{number}");
    let lease = io.block_on(client.lease_grant(3600, None)).unwrap().id();
    for number in 0..elections {
        let (role, id) = (role(number), 1_000_000);
        let key = format!("by-dev/meta/session/{role}");
        let record = format!(
            "{{\"ServerID\":{id},\"ServerName\":\"{role}\",\"Address\":\"127.0.0.1:2\",\"Exclusive\":true,\
             \"Version\":\"1.0.0\",\"LeaseID\":{lease},\"HostName\":\"host\"}}"
        );
        io.block_on(client.put(key, record, Some(PutOptions::new().with_lease(lease)))).unwrap();
    }
    let session = open(&server.endpoint());
    let all: Vec<_> = (0..elections).map(|number| campaign(&session, &role(number))).collect();
    for (_, told) in &all {
        next(told, |call| *call == Call::Warmup);
    }
    // Being warm is written once, and two renewals later nothing else is on its way.
    thread::sleep(Duration::from_secs(7));
    let (asked, used, since) = (requests(server), cpu(), Instant::now());
    thread::sleep(IDLE_FOR);
    let seconds = since.elapsed().as_secs_f64();
    let (rate, used) = ((requests(server) - asked) / seconds, (cpu() - used) / seconds * 100.0);
    println!(
        "an idle standby of {elections} elections, TTL 10: {rate:.2} requests a second (less than {MOST_REQUESTS}), \
         {used:.3} % of one CPU"
    );
    session.stop(Duration::from_secs(5));
    session.join(Duration::from_secs(10)).unwrap();
    rate < MOST_REQUESTS
}

/// What is heard of an election: which one, and when.
enum Heard {
    Primary(usize, Time),
    Lost(Time),
}

/// One of many that tell the same listener.
struct OneOf(usize, Sender<Heard>);

impl Host for OneOf {
    fn call(&self, _: CallId, what: &Call) -> Reply {
        let _ = match what {
            Call::Primary { .. } => self.1.send(Heard::Primary(self.0, Clock::BOOT.now())),
            Call::Lost { .. } => self.1.send(Heard::Lost(Clock::BOOT.now())),
            _ => return Reply::Warm,
        };
        Reply::Done
    }
    fn cancelled(&self, _: CallId) {}
    fn notice(&self, _: &Notice) {}
    fn stopped(&self) {}
}

/// When each of them has become primary.
fn primaries(heard: &Receiver<Heard>, elections: usize) -> Vec<Time> {
    let mut at = vec![Time::ZERO; elections];
    let mut missing = elections;
    while missing > 0 {
        match heard.recv_timeout(ALL_PRIMARY).expect("all become primary") {
            Heard::Primary(number, when) => {
                missing -= usize::from(at[number] == Time::ZERO);
                at[number] = when;
            }
            Heard::Lost(_) => {}
        }
    }
    at
}

/// A figure of this process, in kB.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap().split_whitespace().next().unwrap_or("?").into()
}

/// So many elections on one session, beside a session of one.
fn many(
    server: &etcd::EtcdServer,
    io: &tokio::runtime::Runtime,
    client: &mut Client,
    elections: usize,
) -> bool {
    let (tell_small, small_heard) = channel();
    let small = open(&server.endpoint());
    let beside = small.register(&format!("beside{elections}"), Arc::new(OneOf(0, tell_small))).unwrap();
    beside.campaign();
    primaries(&small_heard, 1);
    let token = beside.token();

    let (before, began) = (memory(), Clock::BOOT.now());
    let session = open(&server.endpoint());
    let (tell, heard) = channel();
    let all: Vec<Election> = (0..elections)
        .map(|number| {
            let host = Arc::new(OneOf(number, tell.clone()));
            session.register(&format!("many{elections}x{number}"), host).unwrap()
        })
        .collect();
    all.iter().for_each(Election::campaign);
    let last = |since: Time, at: &[Time]| at.iter().max().unwrap().since(since).as_secs_f64();
    let first_won = last(began, &primaries(&heard, elections));

    // What follows a win is over: it is ready, its record says so, and it has been read again.
    thread::sleep(Duration::from_secs(12));
    let (used, since) = (cpu(), Instant::now());
    thread::sleep(STEADY_FOR);
    let used = (cpu() - used) / since.elapsed().as_secs_f64() * 100.0;
    let memory = memory() - before;
    let lost = heard.try_iter().filter(|heard| matches!(heard, Heard::Lost(_))).count();

    // The lease is killed, and with it go all locks.
    let lease = session.snapshot().lease.parse().unwrap();
    let killed = Clock::BOOT.now();
    io.block_on(client.lease_revoke(lease)).unwrap();
    let mut again: Vec<f64> =
        primaries(&heard, elections).iter().map(|at| at.since(killed).as_secs_f64()).collect();
    again.sort_by(f64::total_cmp);

    let stopping = Instant::now();
    session.stop(STOPPED_WITHIN);
    let stopped = session.join(STOPPED_WITHIN * 2).is_ok() && stopping.elapsed() <= STOPPED_WITHIN * 11 / 10;
    let stopping = stopping.elapsed().as_secs_f64();
    let kept = beside.token() == token && small_heard.try_iter().next().is_none();
    println!(
        "{elections} elections on one session: all primary after {first_won:.2} s; steady: {lost} lost, {used:.2} % \
         of one CPU, {:.1} kB each; lease killed: won again after {:.3} s (median), {:.3} s (last); stopped in \
         {stopping:.2} s (at most {}){}; a session of one beside it {} (load {})",
        memory / elections as f64,
        again[elections / 2],
        again[elections - 1],
        STOPPED_WITHIN.as_secs(),
        if stopped { "" } else { ": TOO LATE" },
        if kept { "kept its lease" } else { "LOST ITS LEASE" },
        load(),
    );
    small.stop(Duration::from_secs(5));
    small.join(Duration::from_secs(10)).unwrap();
    lost == 0 && stopped && kept
}

/// An engine that is primary of so many elections, by a store that answers at once; how long a step takes it that an
/// event of one election makes, in microseconds.
fn step(elections: u32) -> f64 {
    let setup = Setup {
        root: Root::join("by-dev", "meta").unwrap(),
        layout: Layout::Milvus,
        candidate: Candidate::new("127.0.0.1:1", "host", "1.0.0".parse().unwrap()).unwrap(),
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
    let (mut engine, mut model) = (Engine::new(setup), Model::new(Options::default()));
    let now = Time::ZERO + Duration::from_secs(1);
    let mut coming = VecDeque::from([Event::Open]);
    for id in 1..=elections {
        let (election, role) = (ElectionId(id), Role::parse(&format!("role{id}")).unwrap());
        coming.extend([Event::Register { election, role }, Event::Campaign { election }]);
    }
    let mut watches = Vec::new();
    while let Some(event) = coming.pop_front() {
        for action in engine.step(now, event) {
            coming.extend(match action {
                Action::Send { request, what, .. } => {
                    Some(Event::Answered { request, result: model.perform(now, &what) })
                }
                Action::Watch { watch, .. } => {
                    watches.push(watch);
                    Some(Event::Watching { watch })
                }
                Action::Call { call, .. } => Some(Event::Completed { call, outcome: Outcome::Done }),
                _ => None,
            });
        }
    }
    let primary = engine.snapshot(now).elections.iter().filter(|e| e.state == ElectionState::Primary).count();
    assert_eq!(primary, elections as usize);
    let samples = (0..STEPS).map(|_| {
        // The thread's own time: what others do on this machine is not the engine's.
        let began = thread_time();
        for number in 0..1000 {
            // Far apart, as events of thousands are.
            let watch = watches[number * 7919 % watches.len()];
            engine.step(now, Event::Watched { watch, events: Vec::new() });
            std::hint::black_box(engine.next_deadline());
        }
        (thread_time() - began) * 1e6 / 1000.0
    });
    median(samples.collect())
}

fn steps() -> bool {
    let all = [1, 100, 1000, 10_000].map(|elections| (elections, step(elections)));
    for (elections, time) in all {
        println!("a step of an engine with {elections} elections: {time:.2} us");
    }
    let ratio = all[3].1 / all[0].1;
    println!("  10,000 elections to 1: {ratio:.1} x (at most {SLOWEST_STEP})");
    ratio <= SLOWEST_STEP
}

fn main() -> ExitCode {
    let server = etcd::EtcdServer::start();
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut client = io.block_on(Client::connect([server.endpoint()], None)).unwrap();
    // `cargo bench --bench costs -- steps`: those whose names are given, or all.
    let names: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    let wanted = |name: &str| names.is_empty() || names.iter().any(|given| given == name);
    let mut good = true;
    if wanted("takeover") {
        good &= takeover(&server, &io, &mut client);
    }
    if wanted("handover") {
        for standbys in [1, 20, 50] {
            good &= handover(&server, &io, &mut client, standbys);
        }
    }
    if wanted("idle") {
        good &= idle(&server, &io, &mut client, 1);
        good &= idle(&server, &io, &mut client, 100);
    }
    if wanted("steps") {
        good &= steps();
    }
    for elections in [1, 100, 1000, 10_000] {
        if wanted("many") || wanted(&elections.to_string()) {
            good &= many(&server, &io, &mut client, elections);
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
