//! Many elections on one session, and a host that asks in a loop, on a real etcd.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use common::etcd::EtcdServer;
use primacy::config::Config;
use primacy::election::{Election, Host, Reply};
use primacy::engine::{Call, CallId, LostReason, Notice};
use primacy::etcd::Etcd;
use primacy::log::Log;
use primacy::milvus::Candidate;
use primacy::session::Session;
use primacy::store::{Answer, LeaseId, Op, Request, Txn};

const MANY: usize = 500;
/// On a machine that does much else.
const LONG: Duration = Duration::from_secs(120);

/// A host that tells which election it is of, and what it is called with.
struct Teller(usize, Sender<(usize, Call)>);

impl Host for Teller {
    fn call(&self, _: CallId, what: &Call) -> Reply {
        let _ = self.1.send((self.0, what.clone()));
        if *what == Call::Warmup { Reply::Warm } else { Reply::Done }
    }
    fn cancelled(&self, _: CallId) {}
    fn notice(&self, _: &Notice) {}
    fn stopped(&self) {}
}

fn config(server: &EtcdServer, ttl: &str) -> Config {
    let mut config = Config::new();
    config.set("etcd.endpoints", &server.endpoint()).unwrap();
    config.set("common.session.ttl", ttl).unwrap();
    config
}

fn session(config: &Config) -> Session {
    let candidate = Candidate::new("127.0.0.1:1001", "host", "3.0.0".parse().unwrap()).unwrap();
    Session::open(config.settings().unwrap(), candidate, Log::none()).unwrap()
}

fn campaign(session: &Session, elections: usize) -> (Vec<Election>, Receiver<(usize, Call)>) {
    let (tell, told) = channel();
    let register = |number| {
        let host = Arc::new(Teller(number, tell.clone()));
        session.register(&format!("{elections}x{number}"), host).unwrap()
    };
    let all: Vec<_> = (0..elections).map(register).collect();
    all.iter().for_each(Election::campaign);
    (all, told)
}

/// Waits until each of the first so many elections has been called with this.
fn each(told: &Receiver<(usize, Call)>, elections: usize, is: impl Fn(&Call) -> bool) {
    let mut missing = vec![true; elections];
    while missing.contains(&true) {
        let (number, call) = told.recv_timeout(LONG).unwrap();
        if let Some(missing) = missing.get_mut(number) {
            *missing &= !is(&call);
        }
    }
}

fn is_primary(call: &Call) -> bool {
    matches!(call, Call::Primary { .. })
}

/// Somebody else's request.
fn by_hand(config: &Config, request: Request) -> Answer {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let (reports, _) = tokio::sync::mpsc::unbounded_channel();
    let etcd = Etcd::new(&config.settings().unwrap().etcd, reports, Log::none()).unwrap();
    runtime.block_on(etcd.call(request, LONG)).unwrap()
}

#[test]
fn many_elections_of_a_session_are_lost_and_won_together_and_a_session_beside_them_is_not_disturbed() {
    let mut server = EtcdServer::start();
    let config = config(&server, "60");
    let (small, large) = (session(&config), session(&config));
    let (beside, beside_told) = campaign(&small, 1);
    each(&beside_told, 1, is_primary);
    let token = beside[0].token();
    let (all, told) = campaign(&large, MANY);
    each(&told, MANY, is_primary);

    let lease = LeaseId(large.snapshot().lease.parse().unwrap());
    assert_eq!(by_hand(&config, Request::Revoke { lease }), Answer::Revoked);
    each(&told, MANY, |call| matches!(call, Call::Lost { .. }));
    each(&told, MANY, is_primary);
    assert!(beside_told.try_recv().is_err());
    assert_eq!(beside[0].token(), token);

    // All watches break, and are opened again.
    server.restart();
    let delete = Op::Delete(format!("by-dev/meta/session/{MANY}x0").as_str().into());
    by_hand(&config, Request::Txn(Txn { then: vec![delete], ..Txn::default() }));
    each(&told, 1, |call| matches!(call, Call::Lost { reason: LostReason::KeyDeleted, .. }));
    each(&told, 1, is_primary);
    assert!(all.iter().all(|election| election.token().is_some()));

    large.stop(LONG);
    large.join(LONG).unwrap();
    assert_eq!((beside[0].token(), beside_told.try_recv().is_err()), (token, true));
    small.stop(LONG);
    small.join(LONG).unwrap();
}

#[test]
fn a_host_that_asks_in_a_loop_loses_no_primacy_and_stops_in_time() {
    let server = EtcdServer::start();
    let session = session(&config(&server, "5"));
    let (elections, told) = campaign(&session, 1);
    each(&told, 1, is_primary);
    let (election, token) = (&elections[0], elections[0].token());
    let over = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                election.campaign();
                session.mark_stopping();
            }
        });
        // It is renewed meanwhile.
        let (mut renewals, mut before) = (0, election.remaining());
        while renewals < 3 {
            assert_eq!(election.token(), token);
            let now = election.remaining();
            renewals += usize::from(now > before);
            before = now;
            thread::yield_now();
        }
        session.stop(LONG / 2);
        let joined = session.join(LONG);
        over.store(true, Ordering::Relaxed);
        joined.unwrap();
    });
    let lost = told.try_iter().map(|(_, call)| call).find(|call| matches!(call, Call::Lost { .. }));
    assert!(matches!(lost, Some(Call::Lost { reason: LostReason::Stopped, .. })), "{lost:?}");
}
