//! What an election costs on a real etcd: how soon a standby is primary, and what an idle one asks of etcd.
//!
//! `make bench` runs it. It ends with 1 if a figure is over its bound.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark"
)]

#[path = "../tests/common/etcd.rs"]
mod etcd;

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
use primacy::engine::{Call, CallId, Notice};
use primacy::log::Log;
use primacy::milvus::Candidate;
use primacy::session::Session;

const TAKEOVERS: usize = 300;
/// From the event of the delete to `on_primary`, beside a bare transaction.
const SLOWEST_TAKEOVER: f64 = 1.5;
const IDLE_FOR: Duration = Duration::from_secs(40);
/// Requests a second of an idle standby.
const MOST_REQUESTS: f64 = 1.0;

/// Tells when it became primary, or standby.
struct Teller(Sender<(Call, Time)>);

impl Host for Teller {
    fn call(&self, _: CallId, what: &Call) -> Reply {
        let _ = self.0.send((what.clone(), Clock::Boot.now()));
        if *what == Call::Warmup { Reply::Warm } else { Reply::Done }
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
        while both[1 - primary].0.snapshot().is_none_or(|snapshot| snapshot.state != "standby") {
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

fn main() -> ExitCode {
    let server = etcd::EtcdServer::start();
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut client = io.block_on(Client::connect([server.endpoint()], None)).unwrap();
    let good = [
        takeover(&server, &io, &mut client),
        idle(&server, &io, &mut client, 1),
        idle(&server, &io, &mut client, 100),
    ];
    if good.iter().all(|good| *good) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
