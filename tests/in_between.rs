//! With something between it and its etcd, or an etcd that allows little, a primary keeps primacy, is told of what
//! happens, and a standby takes over.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::between::{Balancer, Fate, GrpcProxy};
use common::etcd::EtcdServer;
use primacy::config::Config;
use primacy::election::{Election, Host, Reply};
use primacy::engine::{Call, CallId, Notice, Token};
use primacy::log::Log;
use primacy::milvus::Candidate;
use primacy::session::Session;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(60);
const TTL: Duration = Duration::from_secs(5);

/// Tells what it is called with, and answers at once.
struct Teller(Mutex<Sender<Call>>);

impl Host for Teller {
    fn call(&self, _: CallId, what: &Call) -> Reply {
        let _ = self.0.lock().unwrap().send(what.clone());
        if *what == Call::Warmup { Reply::Warm } else { Reply::Done }
    }
    fn cancelled(&self, _: CallId) {}
    fn notice(&self, _: &Notice) {}
    fn stopped(&self) {}
}

struct Member {
    session: Session,
    election: Election,
    calls: Receiver<Call>,
}

impl Member {
    /// Its etcd is at that port.
    fn open(port: u16, ttl: Duration) -> Member {
        let mut config = Config::new();
        config.set("etcd.endpoints", &format!("127.0.0.1:{port}")).unwrap();
        config.set("common.session.ttl", &ttl.as_secs().to_string()).unwrap();
        let candidate = Candidate::new("127.0.0.1:1", "host", "3.0.0".parse().unwrap()).unwrap();
        let begun = Instant::now();
        let log =
            Log::new(move |level, line| eprintln!("{:.3} {level:?} {line}", begun.elapsed().as_secs_f64()));
        let session = Session::open(config.settings().unwrap(), candidate, log).unwrap();
        let (tell, calls) = channel();
        let election = session.register("rootcoord", Arc::new(Teller(tell.into()))).unwrap();
        election.campaign();
        Member { session, election, calls }
    }

    /// The next call that is no warm-up.
    fn next(&self) -> Call {
        loop {
            let call = self.calls.recv_timeout(SOON).expect("a call");
            if call != Call::Warmup {
                return call;
            }
        }
    }

    fn is_primary_next(&self) -> Token {
        match self.next() {
            Call::Primary { token, .. } => token,
            other => panic!("on_primary expected: {other}"),
        }
    }

    fn is_warm(&self) {
        while self.calls.recv_timeout(SOON).expect("a call") != Call::Warmup {}
    }
}

/// A primary stays it for three times the TTL; told to stop, it is followed by a standby that hears of it at once; one
/// that is gone without a word is followed when its lease has run out.
fn goes_on_behind(port: u16) {
    goes_on(port, TTL);
}

fn goes_on(port: u16, ttl: Duration) {
    let (first, second) = (Member::open(port, ttl), Member::open(port, ttl));
    let token = first.is_primary_next();
    second.is_warm();
    let until = Instant::now() + 3 * ttl;
    while Instant::now() < until {
        assert_eq!(first.election.token(), Some(token), "it is primary all the time");
        std::thread::sleep(Duration::from_millis(20));
    }
    first.election.resign();
    assert!(matches!(first.next(), Call::Lost { token: lost, .. } if lost == token));
    let next = second.is_primary_next();
    assert!(next > token);
    drop(first);
    let _ = second.session;
}

#[test]
fn behind_a_grpc_proxy() {
    let etcd = EtcdServer::start();
    goes_on_behind(GrpcProxy::start(&etcd, &[]).port());
}

#[test]
fn behind_a_grpc_proxy_with_a_namespace() {
    let etcd = EtcdServer::start();
    goes_on_behind(GrpcProxy::start(&etcd, &["--namespace", "a/"]).port());
}

#[test]
fn behind_a_balancer_with_a_silent_backend() {
    let etcd = EtcdServer::start();
    let balancer = Balancer::start(&etcd, |number| if number % 2 == 0 { Fate::Silent } else { Fate::Served });
    goes_on_behind(balancer.port());
}

#[test]
fn behind_a_balancer_that_ends_each_connection_after_a_while() {
    let etcd = EtcdServer::start();
    let balancer = Balancer::start(&etcd, |_| Fate::EndsAfter(Duration::from_secs(2)));
    goes_on_behind(balancer.port());
}

#[test]
fn behind_a_proxy_that_says_goaway_all_the_time() {
    let etcd = EtcdServer::start();
    goes_on_behind(Balancer::that_says_goaway(&etcd, Duration::from_millis(100)).port());
}

#[test]
fn at_an_etcd_that_allows_one_stream_at_a_time() {
    goes_on_behind(EtcdServer::start_with(&["--max-concurrent-streams=1"]).port());
}

#[test]
fn behind_a_link_of_1200_ms_there_and_back() {
    let etcd = EtcdServer::start();
    goes_on_behind(Balancer::start(&etcd, |_| Fate::Slow(Duration::from_millis(600))).port());
}

/// Each write to its disk takes 1.2 s.
#[test]
fn at_an_etcd_whose_disk_is_slow() {
    let etcd = EtcdServer::start();
    let mut slowed = std::process::Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"])
        .args(["-e", "inject=fdatasync:delay_exit=1200000", "-p", &etcd.pid().to_string()])
        .spawn()
        .expect("strace is installed");
    goes_on(etcd.port(), 2 * TTL);
    slowed.kill().unwrap();
    slowed.wait().unwrap();
}
