//! Requests: what is sent twice and what is not, and as what it is asked.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use hyper::HeaderMap;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use primacy::config::{Auth, Password};
use primacy::embedded::Server;
use primacy::embedded::model::Options;
use primacy::etcd::{Credentials, Dialler, Etcd};
use primacy::host::{Store, WatchReport};
use primacy::log::{Level, Log};
use primacy::store::{Answer, Failure, LeaseId, Op, Range, Request, Txn, TxnAnswer};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tonic::{Status, body::Body};

use crate::cable::Cable;
use crate::world::{STEP, TTL, ms, story};

#[test]
fn a_write_that_is_not_answered_is_unknown_and_not_sent_again() {
    story(|| async {
        let (server, cable) = (Server::new(Options { seed: 7, ..Options::default() }), Cable::default());
        let (report, _reports) = mpsc::unbounded_channel();
        let diallers = vec![cable.dialler(&server), cable.dialler(&server)];
        let etcd = Etcd::through(diallers, Credentials::new(None), report, Log::none()).unwrap();
        for (key, broken) in [("in time", false), ("before the connection breaks", true)] {
            let range = || Range::Key(key.into());
            let read = || Txn { then: vec![Op::Get(range())], ..Txn::default() };
            etcd.call(Request::Txn(read()), ms(1000)).await.unwrap();
            cable.deafen(true);
            let put = vec![Op::Put(key.into(), "value".into(), LeaseId::NONE)];
            let (of_task, put) = (etcd.clone(), Txn { then: put, ..Txn::default() });
            let write = tokio::spawn(async move { of_task.call(Request::Txn(put), ms(1000)).await });
            sleep(STEP).await;
            if broken {
                cable.deafen(false);
                cable.cut();
            }
            let answer = write.await.unwrap();
            cable.deafen(false);
            assert!(matches!(answer, Err(Failure::Indefinite(_))), "not answered {key}: {answer:?}");
            sleep(TTL).await;
            let answer = etcd.call(Request::Txn(read()), ms(1000)).await.unwrap();
            let Answer::Txn(TxnAnswer { reads, .. }) = answer else { panic!("{answer:?}") };
            let versions: Vec<_> = reads.into_iter().flatten().map(|kv| kv.version).collect();
            assert_eq!(versions, [1], "not answered {key}");
        }
    });
}

/// What a proxy was asked: path and headers of each request.
type Asked = Arc<Mutex<Vec<(String, HeaderMap)>>>;

/// A proxy whose servers are gone: it says so at once. Keeps what it is asked.
fn proxy_without_servers(asked: Asked) -> Dialler {
    let dial = move || {
        let (client, server) = tokio::io::duplex(1 << 16);
        let asked = asked.clone();
        let refuse = service_fn(move |request: tonic::codegen::http::Request<Incoming>| {
            asked.lock().unwrap().push((request.uri().path().to_owned(), request.headers().clone()));
            let refusal = Status::unavailable("no healthy upstream").into_http::<Body>();
            async { Ok::<_, Infallible>(refusal) }
        });
        let connection =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(server), refuse);
        tokio::spawn(connection);
        async { client }
    };
    Dialler::of("proxy:1", dial)
}

#[test]
fn those_that_wait_for_a_token_together_are_refused_together() {
    story(|| async {
        let asked = Asked::default();
        let (report, _reports) = mpsc::unbounded_channel();
        let auth = Auth { user_name: "user".into(), password: Password::new("password") };
        let diallers = vec![proxy_without_servers(asked.clone())];
        let etcd = Etcd::through(diallers, Credentials::new(Some(auth)), report, Log::none()).unwrap();
        let read = Txn { then: vec![Op::Get(Range::Key("key".into()))], ..Txn::default() };
        let calls = (0..100).map(|_| {
            let (etcd, read) = (etcd.clone(), read.clone());
            tokio::spawn(async move { etcd.call(Request::Txn(read), ms(1000)).await })
        });
        for call in calls.collect::<Vec<_>>() {
            assert!(matches!(call.await.unwrap(), Err(Failure::Unreachable(_))));
        }
        // Twice by each, all together; and by the connection itself, for the server's version.
        assert!(asked.lock().unwrap().len() <= 4, "{asked:?}");
    });
}

#[test]
fn a_proxy_that_refuses_at_once_is_not_asked_again_and_again_by_one_request() {
    story(|| async {
        let (asked, lines) = (Asked::default(), Arc::new(Mutex::new(Vec::new())));
        let written = lines.clone();
        let log = Log::new(move |level, text| written.lock().unwrap().push((level, text.to_owned())));
        let (report, _reports) = mpsc::unbounded_channel();
        let diallers = vec![proxy_without_servers(asked.clone())];
        let etcd = Etcd::through(diallers, Credentials::new(None), report, log).unwrap();
        let read = Txn { then: vec![Op::Get(Range::Key("key".into()))], ..Txn::default() };
        for _ in 0..10 {
            let answer = etcd.call(Request::Txn(read.clone()), ms(1000)).await;
            let refused = |why: &str| why.contains("no healthy upstream");
            assert!(matches!(&answer, Err(Failure::Unreachable(why)) if refused(why)), "{answer:?}");
        }
        // Twice by each, and once by the connection itself, for the server's version.
        assert!(asked.lock().unwrap().len() <= 10 * 2 + 1, "{asked:?}");
        let warnings = lines.lock().unwrap().iter().filter(|(level, _)| *level == Level::Warn).count();
        assert_eq!(warnings, 1, "{lines:?}");
    });
}

/// A member that is cut off from the others would else answer from what it knows, and keep watches open that tell
/// nothing.
#[test]
fn whatever_etcd_is_asked_it_is_asked_as_one_of_a_cluster_with_a_leader() {
    story(|| async {
        let asked = Asked::default();
        let (report, mut reports) = mpsc::unbounded_channel();
        let diallers = vec![proxy_without_servers(asked.clone())];
        let etcd = Etcd::through(diallers, Credentials::new(None), report, Log::none()).unwrap();
        etcd.watch(1, vec![Range::Key("key".into())]);
        assert!(matches!(reports.recv().await, Some(WatchReport::Ended { watch: 1, .. })));
        for request in [
            Request::Grant { lease: LeaseId(1), ttl: TTL },
            Request::KeepAlive { lease: LeaseId(1) },
            Request::Txn(Txn { then: vec![Op::Get(Range::Key("key".into()))], ..Txn::default() }),
        ] {
            assert!(etcd.call(request, ms(1000)).await.is_err());
        }
        let asked = asked.lock().unwrap();
        for path in ["Watch/Watch", "Lease/LeaseGrant", "Lease/LeaseKeepAlive", "KV/Txn"] {
            let mut of_path = asked.iter().filter(|(asked, _)| asked.ends_with(path)).peekable();
            assert!(of_path.peek().is_some(), "{path} was not asked: {asked:?}");
            assert!(
                of_path.all(|(_, headers)| headers.get("hasleader").is_some_and(|v| v == "true")),
                "{path}"
            );
        }
    });
}
