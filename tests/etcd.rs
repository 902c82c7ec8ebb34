//! The store on a real etcd: what it answers, and what it says when the server is gone, stopped or refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::between::GrpcProxy;
use common::etcd::{EtcdServer, RefusedPort};
use hyper_util::rt::{TokioExecutor, TokioIo};
use primacy::config::{Auth, Endpoint, EtcdSettings, Password};
use primacy::etcd::Etcd;
use primacy::host::{Store, WatchReport};
use primacy::log::{Level, Log};
use primacy::store::{
    Answer, Compare, Condition, Failure, Key, KeyEvent, LeaseId, Op, Range, Request, Txn, TxnAnswer,
};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const PATIENT: Duration = Duration::from_secs(10);
/// What a call may take beyond its timeout: the server is asked for a sign of life.
const SLACK: Duration = Duration::from_secs(5);

struct Client {
    etcd: Etcd,
    reports: mpsc::UnboundedReceiver<WatchReport>,
}

fn tcp(port: u16) -> Endpoint {
    Endpoint::Server { tls: false, address: format!("127.0.0.1:{port}") }
}

fn settings(ports: &[u16]) -> EtcdSettings {
    let endpoints = ports.iter().map(|&port| tcp(port)).collect();
    EtcdSettings { endpoints, tls: None, auth: None, request_timeout: PATIENT }
}

fn open(settings: &EtcdSettings) -> Client {
    let (sender, reports) = mpsc::unbounded_channel();
    Client { etcd: Etcd::new(settings, sender, Log::new(|_, line| eprintln!("{line}"))).unwrap(), reports }
}

fn client(server: &EtcdServer) -> Client {
    open(&settings(&[server.port()]))
}

fn key(key: &str) -> Range {
    Range::Key(key.into())
}

fn span(from: &str, to: &str) -> Range {
    Range::Span { from: from.into(), to: to.into() }
}

fn absent(range: Range) -> Compare {
    Compare { range, condition: Condition::Absent }
}

fn put(name: &str, value: &str, lease: LeaseId) -> Op {
    Op::Put(name.into(), value.into(), lease)
}

fn write(op: Op) -> Request {
    Request::Txn(Txn { then: vec![op], ..Txn::default() })
}

fn read(name: &str) -> Request {
    write(Op::Get(key(name)))
}

impl Client {
    async fn call(&self, request: Request) -> Result<Answer, Failure> {
        self.etcd.call(request, PATIENT).await
    }

    async fn txn(&self, txn: Txn) -> TxnAnswer {
        match self.call(Request::Txn(txn)).await {
            Ok(Answer::Txn(answer)) => answer,
            other => panic!("{other:?}"),
        }
    }

    async fn write(&self, op: Op) -> TxnAnswer {
        self.txn(Txn { then: vec![op], ..Txn::default() }).await
    }

    async fn grant(&self, lease: LeaseId, seconds: u64) -> Duration {
        match self.call(Request::Grant { lease, ttl: Duration::from_secs(seconds) }).await {
            Ok(Answer::Granted { ttl }) => ttl,
            other => panic!("{other:?}"),
        }
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<Answer, Failure> {
        self.call(Request::KeepAlive { lease }).await
    }

    async fn report(&mut self) -> WatchReport {
        tokio::time::timeout(PATIENT, self.reports.recv()).await.expect("a report").expect("an open channel")
    }

    async fn watch(&mut self, watch: u64, ranges: Vec<Range>) {
        self.etcd.watch(watch, ranges);
        assert_eq!(self.report().await, WatchReport::Confirmed { watch });
    }

    async fn events(&mut self) -> (u64, Vec<KeyEvent>) {
        match self.report().await {
            WatchReport::Events { watch, events } => (watch, events),
            other => panic!("{other:?}"),
        }
    }
}

fn ttl(answer: &Result<Answer, Failure>) -> Option<Duration> {
    match answer {
        Ok(Answer::Renewed { ttl, .. }) => Some(*ttl),
        _ => None,
    }
}

/// The lowest latency matters nowhere here, so a write that must not be sent twice gets all its time.
async fn timed(etcd: &Etcd, request: Request, timeout: Duration) -> (Result<Answer, Failure>, Duration) {
    let started = Instant::now();
    let answer = etcd.call(request, timeout).await;
    (answer, started.elapsed())
}

#[tokio::test]
async fn a_transaction_runs_one_branch_and_compares_spans() {
    let server = EtcdServer::start();
    let c = client(&server);
    let campaign = Txn {
        when: vec![absent(key("s/root")), absent(span("s/root-", "s/root."))],
        then: vec![put("s/root", "me", LeaseId::NONE), Op::Get(span("s/", "s0"))],
        otherwise: vec![Op::Get(key("s/root")), Op::Get(span("s/root-", "s/root.")), Op::Get(key("s/none"))],
    };
    let won = c.txn(campaign.clone()).await;
    assert!(won.succeeded);
    assert!(won.origin.cluster != 0 && won.origin.term != 0);
    assert_eq!(won.reads.len(), 1);
    assert_eq!((won.reads[0].len(), won.reads[0][0].mod_revision), (1, won.revision));

    let lost = c.txn(campaign.clone()).await;
    assert!(!lost.succeeded);
    assert_eq!((lost.revision, lost.origin), (won.revision, won.origin));
    let found: Vec<usize> = lost.reads.iter().map(Vec::len).collect();
    assert_eq!(found, [1, 0, 0]);
    let holder = &lost.reads[0][0];
    assert_eq!((holder.value.as_bytes(), holder.version), (&b"me"[..], 1));
    assert_eq!((holder.mod_revision, holder.create_revision), (won.revision, won.revision));

    // A candidate in the span alone makes the comparison fail.
    c.write(Op::Delete("s/root".into())).await;
    c.write(put("s/root-7", "candidate", LeaseId::NONE)).await;
    let lost = c.txn(campaign).await;
    assert!(!lost.succeeded);
    let found: Vec<usize> = lost.reads.iter().map(Vec::len).collect();
    assert_eq!(found, [0, 1, 0]);
}

#[tokio::test]
async fn every_condition_is_compared_as_etcd_means_it() {
    let server = EtcdServer::start();
    let c = client(&server);
    let lease = LeaseId(7001);
    c.grant(lease, 60).await;
    let revision = c.write(put("k", "v", lease)).await.revision;
    let holds = [
        Condition::Version(1),
        Condition::ModRevision(revision),
        Condition::Lease(lease),
        Condition::Value("v".into()),
    ];
    for condition in holds {
        let asked = Compare { range: key("k"), condition };
        assert!(c.txn(Txn { when: vec![asked.clone()], ..Txn::default() }).await.succeeded, "{asked:?}");
        let of_absent = Compare { range: key("none"), ..asked };
        assert!(!c.txn(Txn { when: vec![of_absent.clone()], ..Txn::default() }).await.succeeded);
    }
    assert!(!c.txn(Txn { when: vec![absent(key("k"))], ..Txn::default() }).await.succeeded);
}

#[tokio::test]
async fn a_lease_is_granted_under_our_id_renewed_and_revoked_once() {
    let server = EtcdServer::start();
    let c = client(&server);
    let lease = LeaseId(0x7fff_0000_0000_0001);
    assert_eq!(c.grant(lease, 5).await, Duration::from_secs(5));
    let again = c.call(Request::Grant { lease, ttl: Duration::from_secs(5) }).await;
    assert_eq!(again, Err(Failure::LeaseExists));
    let renewed = c.keep_alive(lease).await;
    assert_eq!(ttl(&renewed), Some(Duration::from_secs(5)));
    assert_eq!(c.call(Request::KeepAlive { lease }).await, renewed);
    // Whose word it is: the same as that of a transaction, as long as the leader is the same.
    let Ok(Answer::Renewed { origin, .. }) = renewed else { panic!() };
    assert_eq!(c.write(put("s/a", "1", LeaseId::NONE)).await.origin, origin);
    assert_eq!(c.call(Request::Revoke { lease }).await, Ok(Answer::Revoked));
    assert_eq!(ttl(&c.keep_alive(lease).await), Some(Duration::ZERO));
    assert_eq!(c.call(Request::Revoke { lease }).await, Err(Failure::LeaseNotFound));
    assert_eq!(c.call(write(put("k", "v", lease))).await, Err(Failure::LeaseNotFound));
    // Below the least that etcd grants: it says what it granted.
    assert!(c.grant(LeaseId(7), 1).await >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_transaction_that_etcd_refuses_is_refused_for_good() {
    let server = EtcdServer::start();
    let c = client(&server);
    let twice =
        Txn { then: vec![put("k", "1", LeaseId::NONE), put("k", "2", LeaseId::NONE)], ..Txn::default() };
    let refused = c.call(Request::Txn(twice)).await;
    assert!(matches!(&refused, Err(Failure::Refused(why)) if why.contains("duplicate key")), "{refused:?}");
    let large = put("k", &"x".repeat(2 << 20), LeaseId::NONE);
    let refused = c.call(write(large)).await;
    assert!(matches!(&refused, Err(Failure::Refused(_))), "{refused:?}");
    assert_eq!(
        c.call(read("k")).await.map(|a| matches!(a, Answer::Txn(t) if t.reads[0].is_empty())),
        Ok(true)
    );
}

#[tokio::test]
async fn a_read_larger_than_four_megabytes_arrives() {
    let server = EtcdServer::start();
    let c = client(&server);
    for i in 0..6 {
        c.write(put(&format!("big/{i}"), &"x".repeat(1_000_000), LeaseId::NONE)).await;
    }
    let answer = c.write(Op::Get(span("big/", "big0"))).await;
    assert_eq!(answer.reads[0].len(), 6);
}

#[tokio::test]
async fn a_watch_sees_the_keys_of_a_revoked_lease_go() {
    let server = EtcdServer::start();
    let mut c = client(&server);
    let lease = LeaseId(42);
    c.grant(lease, 60).await;
    c.watch(1, vec![key("s/root"), span("s/root-", "s/root.")]).await;
    let put_at = c.txn(Txn { then: vec![put("s/root", "me", lease)], ..Txn::default() }).await.revision;
    let (watch, events) = c.events().await;
    assert_eq!((watch, events.len(), events[0].revision), (1, 1, put_at));
    let now = events[0].now.as_ref().unwrap();
    assert_eq!((now.value.as_bytes(), now.lease, now.mod_revision), (&b"me"[..], lease, put_at));
    c.call(Request::Revoke { lease }).await.unwrap();
    let (_, events) = c.events().await;
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0].key, &events[0].now), (&Key::from("s/root"), &None));
    assert!(events[0].revision > put_at);
}

#[tokio::test]
async fn two_watches_on_one_stream_each_see_their_own() {
    let server = EtcdServer::start();
    let mut c = client(&server);
    c.watch(1, vec![key("a")]).await;
    c.watch(2, vec![key("b")]).await;
    c.write(put("b", "1", LeaseId::NONE)).await;
    assert_eq!(c.events().await.0, 2);
    c.write(put("a", "1", LeaseId::NONE)).await;
    assert_eq!(c.events().await.0, 1);
    // Ended by us: nothing more of it, and the other one goes on.
    c.etcd.unwatch(2);
    c.watch(3, vec![key("c")]).await;
    c.write(put("b", "2", LeaseId::NONE)).await;
    c.write(put("c", "1", LeaseId::NONE)).await;
    c.write(put("a", "2", LeaseId::NONE)).await;
    assert_eq!(c.events().await.0, 3);
    assert_eq!(c.events().await.0, 1);
}

#[tokio::test]
async fn a_grpc_proxy_renews_leases_and_tells_watches() {
    let server = EtcdServer::start();
    for flags in [&[][..], &["--namespace", "a/"]] {
        let proxy = GrpcProxy::start(&server, flags);
        let mut c = open(&settings(&[proxy.port()]));
        let lease = LeaseId(if flags.is_empty() { 43 } else { 44 });
        c.grant(lease, 60).await;
        for _ in 0..2 {
            assert_eq!(ttl(&c.keep_alive(lease).await), Some(Duration::from_secs(60)));
        }
        assert_eq!(ttl(&c.keep_alive(LeaseId(45)).await), Some(Duration::ZERO));
        for watch in 1..=3 {
            c.etcd.watch(watch, vec![key(&format!("k/{watch}")), span("s/", "s0")]);
        }
        for _ in 1..=3 {
            assert!(matches!(c.report().await, WatchReport::Confirmed { .. }));
        }
        c.etcd.unwatch(1);
        c.write(put("k/1", "x", lease)).await;
        for watch in [3, 2] {
            c.write(put(&format!("k/{watch}"), "x", lease)).await;
            assert_eq!(c.events().await.0, watch);
        }
    }
}

#[tokio::test]
async fn a_thousand_watches_open_at_once_and_hear_one_write_each_for_itself() {
    let server = EtcdServer::start();
    let mut c = client(&server);
    c.watch(0, vec![key("warm")]).await;
    let started = Instant::now();
    for watch in 1..=1000 {
        c.etcd.watch(watch, vec![key(&format!("k/{watch}"))]);
    }
    for _ in 1..=1000 {
        assert!(matches!(c.report().await, WatchReport::Confirmed { .. }));
    }
    let confirmed = started.elapsed();
    let started = Instant::now();
    c.write(put("k/500", "x", LeaseId::NONE)).await;
    assert_eq!(c.events().await.0, 500);
    let heard = started.elapsed();
    eprintln!("1000 watches confirmed in {confirmed:?}, one write heard in {heard:?}");
    assert!(confirmed < Duration::from_secs(1), "{confirmed:?}");
    assert!(heard < Duration::from_millis(200), "{heard:?}");
}

#[tokio::test]
async fn calls_to_a_stopped_server_end_in_time_and_say_whether_they_were_sent() {
    let server = EtcdServer::start();
    let c = client(&server);
    c.call(read("k")).await.unwrap();
    server.pause();
    for timeout in [Duration::from_millis(300), Duration::from_secs(1)] {
        let renewal = Request::KeepAlive { lease: LeaseId(1) };
        for request in [renewal, write(put("k", "v", LeaseId::NONE))] {
            // On the connection that was open it was sent, and comes to pass when the server goes on. Once that one
            // has shown no sign of life, nothing is sent on it, nor on a new one, which the kernel accepts.
            let mut sent = 0;
            loop {
                let (answer, took) = timed(&c.etcd, request.clone(), timeout).await;
                assert!(took < timeout + SLACK, "{took:?}");
                match answer {
                    Err(Failure::Indefinite(_)) => sent += 1,
                    Err(Failure::Unreachable(_)) => break,
                    other => panic!("{other:?}"),
                }
                assert!(sent < 20, "still sent to a server that is silent");
            }
            let (answer, took) = timed(&client(&server).etcd, request, timeout).await;
            assert!(took < timeout + SLACK, "{took:?}");
            assert!(matches!(answer, Err(Failure::Unreachable(_))), "{answer:?}");
        }
    }
    server.resume();
    assert!(c.call(read("k")).await.is_ok());
}

#[tokio::test]
async fn a_silent_server_keeps_its_watches_until_there_is_a_better_one() {
    let (server, other) = (EtcdServer::start(), EtcdServer::start());
    let (mut alone, mut both) = (client(&server), open(&settings(&[server.port(), other.port()])));
    alone.watch(1, vec![key("a")]).await;
    both.watch(1, vec![key("a")]).await;
    server.pause();
    alone.etcd.call(read("a"), Duration::from_millis(500)).await.unwrap_err();
    both.call(read("a")).await.unwrap();
    assert!(matches!(both.report().await, WatchReport::Ended { watch: 1, .. }));
    both.watch(2, vec![key("a")]).await;
    server.resume();
    client(&server).write(put("a", "1", LeaseId::NONE)).await;
    assert_eq!(alone.events().await.0, 1);
}

#[tokio::test]
async fn a_late_answer_that_a_call_did_not_wait_for_leaves_the_watch_alone() {
    let server = EtcdServer::start();
    let mut c = client(&server);
    c.watch(1, vec![key("a")]).await;
    // Too short for any server: the connection is doubted, shows a sign of life, and the watch goes on.
    for _ in 0..20 {
        let _ = c.etcd.call(write(put("b", "x", LeaseId::NONE)), Duration::from_micros(50)).await;
    }
    c.write(put("a", "1", LeaseId::NONE)).await;
    assert_eq!(c.events().await.0, 1);
}

#[tokio::test]
async fn a_refused_connection_is_unreachable_at_once() {
    let (one, other) = (RefusedPort::new(), RefusedPort::new());
    let c = open(&settings(&[one.port(), other.port()]));
    let (answer, took) = timed(&c.etcd, write(put("k", "v", LeaseId::NONE)), PATIENT).await;
    assert!(matches!(&answer, Err(Failure::Unreachable(why)) if why.contains("refused")), "{answer:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn how_a_lease_stands_and_who_answers_is_told_past_an_endpoint_that_is_dead() {
    let (server, nobody) = (EtcdServer::start(), RefusedPort::new());
    let client = open(&settings(&[nobody.port(), server.port()]));
    let lease = LeaseId(7);
    assert_eq!(client.etcd.lease(lease, PATIENT).await, Ok(None));
    client.grant(lease, 60).await;
    let stands = client.etcd.lease(lease, PATIENT).await.unwrap().unwrap();
    assert_eq!(stands.granted, Duration::from_secs(60));
    assert!(stands.left <= stands.granted && stands.left > Duration::from_secs(30), "{stands:?}");
    client.call(Request::Revoke { lease }).await.unwrap();
    assert_eq!(client.etcd.lease(lease, PATIENT).await, Ok(None));
    let member = client.etcd.member(PATIENT).await.unwrap();
    assert!(member.version.starts_with("3.") && member.leader == member.id, "{member:?}");
    let gone = open(&settings(&[nobody.port()])).etcd.lease(lease, PATIENT).await;
    assert!(matches!(gone, Err(Failure::Unreachable(_))), "{gone:?}");
}

#[tokio::test]
async fn a_killed_server_ends_watches_and_serves_new_ones_after_its_restart() {
    let mut server = EtcdServer::start();
    let mut c = client(&server);
    c.watch(1, vec![key("a")]).await;
    c.watch(2, vec![key("b")]).await;
    server.kill();
    let mut ended = [c.report().await, c.report().await].map(|report| match report {
        WatchReport::Ended { watch, .. } => watch,
        other => panic!("{other:?}"),
    });
    ended.sort_unstable();
    assert_eq!(ended, [1, 2]);
    c.etcd.watch(3, vec![key("a")]);
    assert!(matches!(c.report().await, WatchReport::Ended { watch: 3, .. }));
    server.restart();
    c.watch(4, vec![key("a")]).await;
    c.write(put("a", "1", LeaseId::NONE)).await;
    assert_eq!(c.events().await.0, 4);
}

#[tokio::test]
async fn of_two_endpoints_a_dead_one_costs_little_and_all_agree_on_the_other() {
    let server = EtcdServer::start();
    let dead = RefusedPort::new();
    let mut c = open(&settings(&[dead.port(), server.port()]));
    let (answer, took) = timed(&c.etcd, write(put("k", "v", LeaseId::NONE)), Duration::from_secs(1)).await;
    assert!(answer.is_ok() && took < Duration::from_millis(500), "{answer:?} after {took:?}");
    c.watch(1, vec![key("k")]).await;

    // Stopped before it ever served us: its connection never counts as one, so nothing is lost on it.
    let stopped = EtcdServer::start();
    stopped.pause();
    let mut c = open(&settings(&[stopped.port(), server.port()]));
    let (answer, took) = timed(&c.etcd, write(put("k", "v", LeaseId::NONE)), Duration::from_secs(1)).await;
    assert!(answer.is_ok() && took < Duration::from_secs(1), "{answer:?} after {took:?}");
    c.watch(1, vec![key("k")]).await;
    stopped.resume();
}

#[tokio::test]
async fn a_renewal_moves_on_from_a_server_that_stops_in_service_within_one_call() {
    let (first, second) = (EtcdServer::start(), EtcdServer::start());
    let mut c = open(&settings(&[first.port(), second.port()]));
    let lease = LeaseId(5);
    c.grant(lease, 60).await;
    c.watch(1, vec![key("k")]).await;
    first.pause();
    // The second is another cluster, which knows no such lease: that it says so shows who answered.
    assert_eq!(ttl(&c.keep_alive(lease).await), Some(Duration::ZERO));
    let (answer, took) = timed(&c.etcd, Request::KeepAlive { lease }, Duration::from_secs(1)).await;
    assert_eq!(ttl(&answer), Some(Duration::ZERO));
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert!(matches!(c.report().await, WatchReport::Ended { watch: 1, .. }));
    c.watch(2, vec![key("k")]).await;
    c.write(put("k", "v", LeaseId::NONE)).await;
    assert_eq!(c.events().await.0, 2);
    first.resume();
}

#[tokio::test]
async fn a_read_moves_on_from_a_silent_server_within_one_call() {
    let (first, second) = (EtcdServer::start(), EtcdServer::start());
    let c = open(&settings(&[first.port(), second.port()]));
    c.call(read("k")).await.unwrap();
    first.pause();
    let (answer, took) = timed(&c.etcd, read("k"), PATIENT).await;
    assert!(answer.is_ok() && took < Duration::from_secs(2), "{answer:?} after {took:?}");
    first.resume();
}

#[tokio::test]
async fn nothing_is_left_when_the_last_clone_is_dropped() {
    let server = EtcdServer::start();
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let mut c = client(&server);
    c.watch(1, vec![key("a")]).await;
    c.call(read("a")).await.unwrap();
    let clone = c.etcd.clone();
    drop(c);
    clone.call(read("a"), PATIENT).await.unwrap();
    assert!(metrics.num_alive_tasks() > before);
    // One that is still connecting.
    server.pause();
    let connecting = client(&server);
    let _ = connecting.etcd.call(read("a"), Duration::from_millis(50)).await;
    drop((clone, connecting));
    let gone = async {
        while metrics.num_alive_tasks() > before {
            tokio::task::yield_now().await;
        }
    };
    let left = tokio::time::timeout(Duration::from_millis(500), gone).await;
    assert!(left.is_ok(), "{} tasks are left", metrics.num_alive_tasks() - before);
    server.resume();
}

// === Authentication ===

/// Users: root, and `alice`, who may read and write `s/`.
async fn with_users(server: &EtcdServer) -> etcd_client::Client {
    let mut root = etcd_client::Client::connect([server.endpoint()], None).await.unwrap();
    root.user_add("root", "secret", None).await.unwrap();
    root.user_grant_role("root", "root").await.unwrap_or_else(|_| panic!("role root"));
    root.role_add("writer").await.unwrap();
    let rights = etcd_client::Permission::read_write("s/").with_range_end("s0");
    root.role_grant_permission("writer", rights).await.unwrap();
    root.user_add("alice", "wonder", None).await.unwrap();
    root.user_grant_role("alice", "writer").await.unwrap();
    root.auth_enable().await.unwrap();
    let options =
        etcd_client::ConnectOptions::new().with_user("root", "secret").with_auto_token_refresh(true);
    etcd_client::Client::connect([server.endpoint()], Some(options)).await.unwrap()
}

fn alice(server: &EtcdServer, password: &str) -> Client {
    let auth = Some(Auth { user_name: "alice".to_owned(), password: Password::new(password) });
    open(&EtcdSettings { auth, ..settings(&[server.port()]) })
}

#[tokio::test]
async fn an_expired_token_is_renewed_within_the_call_and_for_new_watches() {
    let server = EtcdServer::start_with(&["--auth-token-ttl=1"]);
    let mut root = with_users(&server).await;
    let mut c = alice(&server, "wonder");
    let lease = LeaseId(77);
    c.grant(lease, 60).await;
    c.watch(1, vec![key("s/a")]).await;
    c.write(put("s/a", "1", lease)).await;
    assert_eq!(c.events().await.0, 1);

    // A server that has just been restarted knows no token: the same refusal without the wait.
    let wait_for_expiry = async || {
        let expired = async {
            let mut probe = etcd_client::Client::connect(
                [server.endpoint()],
                Some(etcd_client::ConnectOptions::new().with_user("alice", "wonder")),
            )
            .await
            .unwrap();
            probe.get("s/a", None).await.unwrap();
            loop {
                // Its token is no older than the one under test, and using it would prolong it.
                tokio::time::sleep(Duration::from_millis(3500)).await;
                if probe.get("s/a", None).await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), expired).await.expect("tokens expire");
    };
    wait_for_expiry().await;
    c.watch(2, vec![key("s/b")]).await;
    c.write(put("s/b", "1", lease)).await;
    assert_eq!(c.events().await.0, 2);
    // The first watch lives on, on the stream that it was opened on.
    c.write(put("s/a", "2", lease)).await;
    assert_eq!(c.events().await.0, 1);

    wait_for_expiry().await;
    c.write(put("s/a", "3", lease)).await;
    assert_eq!(c.events().await.0, 1);
    wait_for_expiry().await;
    assert_eq!(ttl(&c.keep_alive(lease).await), Some(Duration::from_secs(60)));

    // A change of users makes the store of users younger than the token.
    root.user_add("bob", "builder", None).await.unwrap();
    assert!(c.etcd.lease(lease, PATIENT).await.unwrap().is_some());
    root.user_add("carol", "baker", None).await.unwrap();
    c.write(put("s/a", "4", lease)).await;
}

#[tokio::test]
async fn a_wrong_password_a_foreign_key_and_no_user_are_denied() {
    let server = EtcdServer::start();
    with_users(&server).await;
    let put_in = |name: &str| write(put(name, "1", LeaseId::NONE));
    let wrong = alice(&server, "nonsense").call(put_in("s/a")).await;
    assert!(
        matches!(&wrong, Err(Failure::Denied(why)) if why.contains("authentication failed")),
        "{wrong:?}"
    );
    let mut c = alice(&server, "wonder");
    assert!(c.call(put_in("s/a")).await.is_ok());
    let foreign = c.call(put_in("t/a")).await;
    assert!(matches!(&foreign, Err(Failure::Denied(why)) if why.contains("permission")), "{foreign:?}");
    let nobody = client(&server).call(put_in("s/a")).await;
    assert!(matches!(&nobody, Err(Failure::Denied(_))), "{nobody:?}");

    c.watch(1, vec![key("s/a")]).await;
    c.etcd.watch(2, vec![key("t/a")]);
    let ended = c.report().await;
    assert!(
        matches!(&ended, WatchReport::Ended { watch: 2, why } if why.to_lowercase().contains("permission")),
        "{ended:?}"
    );
    c.write(put("s/a", "2", LeaseId::NONE)).await;
    assert_eq!(c.events().await.0, 1);
}

#[tokio::test]
async fn a_user_where_authentication_is_off_does_no_harm() {
    let server = EtcdServer::start();
    let c = alice(&server, "wonder");
    assert!(c.call(write(put("k", "v", LeaseId::NONE))).await.is_ok());
}

/// Answers each connection with `words`, and ends it.
fn says(words: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 256]);
            let _ = stream.write_all(words);
        }
    });
    port
}

/// An HTTP/2 server that answers every request so.
async fn answers(status: u16, kind: &'static str) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = move |_| async move {
                let answer = http::Response::builder().status(status).header("content-type", kind);
                Ok::<_, std::convert::Infallible>(answer.body(String::new()).unwrap())
            };
            let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), hyper::service::service_fn(answer));
            tokio::spawn(serving);
        }
    });
    port
}

#[tokio::test]
async fn what_is_no_etcd_is_called_so_and_said_once() {
    let etcd = EtcdServer::start();
    let elsewhere = [
        ("an HTTP server", says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), true),
        ("an HTTP proxy", says(b"HTTP/1.0 405 Method Not Allowed\r\nServer: squid\r\n\r\n"), true),
        ("a TLS server", says(b"\x15\x03\x01\0\x02\x02\x16"), true),
        ("a mail server", says(b"220 mail ESMTP\r\n"), true),
        ("an HTTP/2 server", answers(404, "text/plain").await, true),
        ("a page for everybody", answers(200, "text/html").await, true),
        ("a proxy without an etcd", answers(503, "text/html").await, false),
        ("the peer port", etcd.peer_port(), true),
    ];
    for (what, port, named) in elsewhere {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = lines.clone();
        let log = Log::new(move |level, line| {
            if level <= Level::Warn {
                sink.lock().unwrap().push(line.to_owned());
            }
        });
        let store = Etcd::new(&settings(&[port]), mpsc::unbounded_channel().0, log).unwrap();
        for request in [read("k"), write(put("k", "v", LeaseId::NONE)), read("k")] {
            let failure = store.call(request, PATIENT).await.unwrap_err();
            let phrase =
                format!("127.0.0.1:{port} does not speak etcd's client protocol; is it the client port?");
            assert_eq!(failure.to_string().contains(&phrase), named, "{what}: {failure}");
            assert!(failure.to_string().contains(&format!("127.0.0.1:{port}")), "{what}: {failure}");
            assert!(failure.may_pass(), "{what}: {failure}");
        }
        let lines = lines.lock().unwrap();
        assert_eq!(lines.len(), 1, "{what}: {lines:?}");
        eprintln!("{what}: {lines:?}");
    }
}
