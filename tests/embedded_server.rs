//! The embedded etcd, driven from outside: the real client in the process and under paused time, `etcdctl`
//! against the dev server, and whoever sends nonsense.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::etcd::program;
use etcd_client::{Client, Compare, CompareOp, ConnectOptions, Error, PutOptions, Txn, TxnOp, WatchOptions};
use primacy::embedded::Server;
use primacy::embedded::model::Options;
use tonic::transport::Endpoint;

async fn client(server: &Server) -> Client {
    let channel = server.channel(&Endpoint::from_static("http://embedded"));
    Client::from_channel(etcd_client::Channel::Tonic(channel), None).await.unwrap()
}

fn on_lease(lease: i64) -> Option<PutOptions> {
    Some(PutOptions::new().with_lease(lease))
}

#[tokio::test(start_paused = true)]
async fn a_lease_lives_for_an_hour_of_virtual_time_and_ends_on_time() {
    let server = Server::new(Options { max_lateness: Duration::ZERO, ..Options::default() });
    let mut client = client(&server).await;
    let lease = client.lease_grant(5, None).await.unwrap().id();
    client.put("a", "1", on_lease(lease)).await.unwrap();
    let mut watch = client.watch("a", None).await.unwrap();
    assert!(watch.message().await.unwrap().unwrap().created());
    let (mut keeper, mut answers) = client.lease_keep_alive(lease).await.unwrap();
    for _ in 0..3600 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        keeper.keep_alive().await.unwrap();
        assert_eq!(answers.message().await.unwrap().unwrap().ttl(), 5);
    }
    let renewed = tokio::time::Instant::now();
    let event = watch.message().await.unwrap().unwrap();
    assert_eq!(event.events().len(), 1);
    let lived = renewed.elapsed();
    assert!(lived >= Duration::from_secs(5) && lived < Duration::from_millis(5_010), "{lived:?}");
    keeper.keep_alive().await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().ttl(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_restart_ends_connections_and_prolongs_leases() {
    let server = Server::new(Options { max_lateness: Duration::ZERO, ..Options::default() });
    let mut client = client(&server).await;
    client.lease_grant(5, Some(etcd_client::LeaseGrantOptions::new().with_id(7))).await.unwrap();
    let mut watch = client.watch("a", None).await.unwrap();
    assert!(watch.message().await.unwrap().unwrap().created());
    tokio::time::sleep(Duration::from_secs(4)).await;
    server.with_model(|model, now| model.restart(now));
    server.disconnect();
    let ended = watch.message().await;
    assert!(matches!(ended, Err(_) | Ok(None)), "{ended:?}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(client.lease_time_to_live(7, None).await.unwrap().ttl(), 2, "5 and the election timeout");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_put_back_hands_out_the_same_revision_again() {
    let server = Server::default();
    let mut client = client(&server).await;
    client.put("a", "1", None).await.unwrap();
    let snapshot = server.with_model(|model, _| model.snapshot());
    let first = client.put("a", "2", None).await.unwrap().header().unwrap().revision();
    server.with_model(|model, now| model.restore(now, &snapshot));
    server.disconnect();
    tokio::time::sleep(Duration::from_millis(10)).await;
    let again = client.put("a", "3", None).await.unwrap().header().unwrap().revision();
    assert_eq!(first, again);
}

#[test]
fn a_named_store_outlives_the_runtime_that_opened_it() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::in_process("outlives");
    runtime().block_on(async {
        let mut client = client(&server).await;
        client.put("a", "1", None).await.unwrap();
    });
    runtime().block_on(async {
        let mut client = client(&Server::in_process("outlives")).await;
        assert_eq!(client.get("a", None).await.unwrap().kvs()[0].value(), b"1");
        let mut client = self::client(&Server::in_process("another")).await;
        assert_eq!(client.get("a", None).await.unwrap().count(), 0);
    });
}

/// A server on a port, with threads of its own; it ends with the test.
struct DevServer {
    serving: std::thread::JoinHandle<()>,
    _end: tokio::sync::oneshot::Sender<()>,
    address: SocketAddr,
}

impl DevServer {
    fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (_end, ended) = tokio::sync::oneshot::channel();
        let serving = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let server = Server::default();
                tokio::select! {
                    never = server.listen(listener) => match never {},
                    _ = ended => {}
                }
            });
        });
        DevServer { serving, _end, address }
    }

    async fn client(&self) -> Client {
        let options = ConnectOptions::new().with_timeout(Duration::from_secs(20));
        Client::connect([self.address.to_string()], Some(options)).await.unwrap()
    }

    async fn still_serves(&mut self) {
        let mut client = self.client().await;
        client.put("still", "there", None).await.unwrap();
        assert!(!self.serving.is_finished());
    }
}

/// etcd's own client, of another language and another project.
fn etcdctl(server: &DevServer, arguments: &[&str], input: &str) -> String {
    let mut child = etcdctl_command(server, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "etcdctl {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn etcdctl_command(server: &DevServer, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("etcdctl", "PRIMACY_ETCDCTL"));
    command.args(["--endpoints", &server.address.to_string()]).args(arguments);
    command
}

#[test]
fn etcdctl_gets_puts_runs_transactions_and_keeps_leases() {
    let server = DevServer::start();
    let ctl = |arguments: &[&str]| etcdctl(&server, arguments, "");
    assert_eq!(ctl(&["put", "a", "1"]), "OK\n");
    assert_eq!(ctl(&["get", "a"]), "a\n1\n");
    let txn = "mod(\"a\") > \"0\"\n\nput b 2\nget a\n\nget none\n\n";
    assert_eq!(etcdctl(&server, &["txn"], txn), "SUCCESS\n\nOK\n\na\n1\n");
    assert_eq!(ctl(&["get", "--prefix", "--keys-only", ""]), "a\n\nb\n\n");
    let granted = ctl(&["lease", "grant", "100"]);
    let lease = granted.split(' ').nth(1).unwrap();
    ctl(&["put", "c", "3", "--lease", lease]);
    assert!(ctl(&["lease", "timetolive", lease, "--keys"]).contains("attached keys([c])"));
    assert!(ctl(&["lease", "keep-alive", "--once", lease]).contains("keepalived with TTL(100)"));
    assert!(ctl(&["lease", "list"]).contains(lease));
    ctl(&["lease", "revoke", lease]);
    assert_eq!(ctl(&["get", "c"]), "");
    assert_eq!(ctl(&["del", "a", "c"]), "2\n");
    assert!(ctl(&["member", "list"]).contains("primacy-dev"));
    assert!(ctl(&["endpoint", "status"]).contains("development"));
    ctl(&["endpoint", "health"]);
}

#[test]
fn etcdctl_watches() {
    let server = DevServer::start();
    etcdctl(&server, &["put", "a", "1"], "");
    let mut watch =
        etcdctl_command(&server, &["watch", "a", "--rev", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.by_ref().take(3).collect::<Vec<_>>(), ["PUT", "a", "1"]);
    etcdctl(&server, &["del", "a"], "");
    assert_eq!(lines.next().unwrap(), "DELETE");
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[tokio::test]
async fn the_real_client_elects_and_locks_on_the_dev_server_by_transactions() {
    let server = DevServer::start();
    let mut client = server.client().await;
    let lease = client.lease_grant(10, None).await.unwrap().id();
    let campaign = Txn::new()
        .when([Compare::version("lock", CompareOp::Equal, 0)])
        .and_then([TxnOp::put("lock", "me", on_lease(lease))])
        .or_else([TxnOp::get("lock", None)]);
    let mut watch = client.watch("lock", Some(WatchOptions::new().with_prev_key())).await.unwrap();
    assert!(watch.message().await.unwrap().unwrap().created());
    assert!(client.txn(campaign.clone()).await.unwrap().succeeded());
    assert!(!client.txn(campaign).await.unwrap().succeeded());
    client.lease_revoke(lease).await.unwrap();
    assert_eq!(watch.message().await.unwrap().unwrap().events()[0].kv().unwrap().value(), b"me");
    let gone = watch.message().await.unwrap().unwrap();
    assert_eq!(gone.events()[0].prev_kv().unwrap().lease(), lease);
}

#[tokio::test]
async fn nonsense_ends_its_own_connection_at_most() {
    let mut server = DevServer::start();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut random = fastrand::Rng::with_seed(1);
    for i in 0..40 {
        let mut bytes: Vec<u8> = (0..2_000).map(|_| random.u8(..)).collect();
        match i % 3 {
            0 => bytes.splice(..0, *preface).for_each(drop),
            1 => bytes = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            _ => {}
        }
        let mut connection = TcpStream::connect(server.address).unwrap();
        // The server may have closed it before all is sent.
        let _ = connection.write_all(&bytes);
        connection.shutdown(std::net::Shutdown::Write).ok();
        connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let _ = connection.read_to_end(&mut Vec::new());
    }
    server.still_serves().await;
}

fn status(result: Result<impl std::fmt::Debug, Error>) -> (tonic::Code, String) {
    match result {
        Err(Error::GRpcStatus(status)) => (status.code(), status.message().to_owned()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_can_not_be_done_is_answered_with_a_grpc_error() {
    let mut server = DevServer::start();
    let mut client = server.client().await;
    let (code, text) = status(client.put("a", vec![0; 1_600_000], None).await);
    assert_eq!((code, &text[..]), (tonic::Code::InvalidArgument, "etcdserver: request is too large"));
    let (code, text) = status(client.put("a", vec![0; 3_000_000], None).await);
    assert_eq!(code, tonic::Code::ResourceExhausted);
    assert!(text.starts_with("grpc: received message larger than max"), "{text}");
    status(client.put("a", vec![0; 80_000_000], None).await);
    let (code, text) = status(client.user_add("root", "secret", None).await);
    assert_eq!(code, tonic::Code::FailedPrecondition);
    assert_eq!(text, "etcdserver: authentication is not enabled");
    let (code, _) = status(client.move_leader(7).await);
    assert_eq!(code, tonic::Code::Unimplemented);
    let (code, _) = status(client.leader("an election service of the server").await);
    assert_eq!(code, tonic::Code::Unimplemented);
    server.still_serves().await;
}

#[tokio::test]
async fn a_message_that_is_no_message_is_answered_with_a_grpc_error() {
    let mut server = DevServer::start();
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    for (path, body) in [
        // A frame that says more than there is, one that is not a message, and one that is too deep.
        ("/etcdserverpb.KV/Put", b"\0\0\0\0\x05abc".to_vec()),
        ("/etcdserverpb.KV/Txn", b"\0\0\0\0\x03\xff\xff\xff".to_vec()),
        ("/etcdserverpb.Watch/Watch", b"\0\0\0\0\x03\xff\xff\xff".to_vec()),
        ("/etcdserverpb.KV/Nothing", b"\0\0\0\0\0".to_vec()),
        ("/nowhere", vec![]),
    ] {
        use tonic::codegen::{Service, http};
        let mut channel = channel.clone();
        std::future::poll_fn(|context| {
            Service::<http::Request<tonic::body::Body>>::poll_ready(&mut channel, context)
        })
        .await
        .unwrap();
        let request = http::Request::post(format!("http://{}{path}", server.address))
            .header("content-type", "application/grpc")
            .body(tonic::body::Body::new(OneFrame(Some(body))))
            .unwrap();
        let response = channel.call(request).await.unwrap();
        // An error is told in the trailers; where nothing else is said, they are the headers.
        let (head, mut body) = response.into_parts();
        let mut found = head.headers.get("grpc-status").cloned();
        while found.is_none() {
            let frame = std::future::poll_fn(|context| {
                tonic::codegen::Body::poll_frame(std::pin::Pin::new(&mut body), context)
            });
            match frame.await {
                Some(Ok(frame)) => {
                    found = frame.trailers_ref().and_then(|trailers| trailers.get("grpc-status").cloned());
                }
                Some(Err(status)) => panic!("{path}: {status}"),
                None => break,
            }
        }
        let found = found.unwrap_or_else(|| panic!("{path}: no status"));
        assert_ne!(found, "0", "{path}");
    }
    server.still_serves().await;
}

/// A request body of these bytes.
struct OneFrame(Option<Vec<u8>>);

impl tonic::codegen::Body for OneFrame {
    type Data = tonic::codegen::Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(hyper::body::Frame::data(bytes.into()))))
    }
}
