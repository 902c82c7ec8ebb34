//! One HTTP/2 connection to one endpoint, with the etcd crate's clients on it.
//!
//! It never connects again by itself: once lost it stays lost, and its endpoint makes another. That keeps one
//! thing certain that matters above all: whether a request was sent. It counts as connected only when the
//! server has spoken, so that a stopped process, whose kernel still accepts, does not pass for a server, and
//! a refused client certificate (TLS 1.3 tells after the handshake) is found before anything is sent.
//!
//! A connection on which an answer failed to come can be asked for a sign of life, and cut, which ends everything on it.

use super::credentials::{Credentials, LastRefusal};
use super::dial::{Dialler, refusal};
use super::failure::Fault;
use super::line::Line;
use etcd_client::proto::{PbLeaseKeepAliveResponse, PbWatchResponse};
use etcd_client::{AuthClient, Channel, Client, KvClient, LeaseClient, MaintenanceClient};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, header};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service};

/// HTTP/2 pings while a stream is open. Below 5 s an etcd server hangs up on them.
const PING_EVERY: Duration = Duration::from_secs(6);
/// Who waits for an answer notices sooner. A link that is only slow must not be taken for a broken one.
const PING_ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// A server that allows no more streams at a time on a connection makes what shares it wait for each other.
const FEW_STREAMS: u32 = 16;

/// As large as a gRPC message gets; the crate's 4 MB would fail a transaction after it was done.
const LARGEST_ANSWER: usize = i32::MAX as usize;

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("primacy/", env!("CARGO_PKG_VERSION")));

/// A live connection. Dropped, it is cut at once, with what still runs on it.
pub(super) struct Connection {
    /// Its endpoint's id.
    pub(super) endpoint: usize,
    /// Its endpoint's name.
    pub(super) name: String,
    pub(super) kv: KvClient,
    pub(super) lease: LeaseClient,
    pub(super) auth: AuthClient,
    pub(super) maintenance: MaintenanceClient,
    /// Held while a token is fetched.
    pub(super) authenticating: LastRefusal,
    channel: Labelled,
    doubted: AtomicBool,
    leaderless: AtomicBool,
    line: CutOnDrop,
}

/// etcd's message, which the crate has but does not show.
#[derive(Clone, PartialEq, prost::Message)]
struct LeaseKeepAliveRequest {
    #[prost(int64, tag = "1")]
    id: i64,
}

/// The same: what a watch stream is asked, one of the two.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WatchRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) create: Option<WatchCreateRequest>,
    #[prost(message, optional, tag = "2")]
    pub(super) cancel: Option<WatchCancelRequest>,
    /// Asks how far all watches of the stream are.
    #[prost(message, optional, tag = "3")]
    pub(super) progress: Option<WatchProgressRequest>,
}

/// A watch without progress reports or previous values.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WatchCreateRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) range_end: Vec<u8>,
    /// The first revision whose changes are wanted; 0: from now on.
    #[prost(int64, tag = "3")]
    pub(super) start_revision: i64,
    #[prost(int64, tag = "7")]
    pub(super) watch_id: i64,
}

/// The end of one.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WatchCancelRequest {
    #[prost(int64, tag = "1")]
    pub(super) watch_id: i64,
}

/// How far are they?
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct WatchProgressRequest {}

/// Asks for nothing, or looks at nothing of an answer.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
struct Nothing {}

/// An error of a request that was never put on the wire.
#[derive(Debug, thiserror::Error)]
#[error("not sent: {0}")]
pub(super) struct Unsent(pub(super) String);

/// An answer in plain HTTP: from no etcd, or from a proxy in between that has none.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct NoGrpc {
    text: String,
    /// No etcd has seen the request.
    pub(super) unserved: bool,
}

impl NoGrpc {
    fn of<B>(authority: &Authority, response: &Response<B>) -> Option<NoGrpc> {
        let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        if kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
            return None;
        }
        let status = response.status();
        let what = format!("it answers {status} in plain HTTP");
        Some(if status.is_server_error() {
            NoGrpc { text: format!("{authority} has no etcd behind it: {what}"), unserved: false }
        } else {
            NoGrpc { text: no_etcd(authority.as_str(), &what), unserved: !status.is_success() }
        })
    }
}

/// It took the connection and ended it without a word: what stands before an etcd that is away does so, and a server
/// that waits for something else.
fn silent_end(name: &str, fault: Fault) -> Fault {
    match fault {
        Fault::NotServed(why) => Fault::NotServed(format!(
            "{name} hung up without a word; does it want TLS? is it the client port? ({why})"
        )),
        other => other,
    }
}

/// What is said of an endpoint at which something else listens.
pub(super) fn no_etcd(name: &str, what: &str) -> String {
    format!("{name} does not speak etcd's client protocol; is it the client port? ({what})")
}

impl Connection {
    /// Connects. Not bounded in time: the caller bounds it. Every fault is one of before anything was sent.
    pub(super) async fn open(
        endpoint: usize,
        name: &str,
        dialler: &Dialler,
        credentials: Arc<Credentials>,
    ) -> Result<Connection, Fault> {
        let authority: Authority = dialler.name.parse().map_err(|e| Fault::NotServed(format!("{e}")))?;
        let scheme: Scheme = dialler.scheme.parse().map_err(|e| Fault::NotServed(format!("{e}")))?;

        let (line, wire) = Line::on((dialler.dial)().await?);
        let mut http = Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_ANSWERED_WITHIN)
            .keep_alive_while_idle(false);
        let (sender, running) = http.handshake(TokioIo::new(wire)).await.map_err(|e| refusal(&e))?;
        let mut running = tokio::spawn(running);
        let cut = CutOnDrop(line.clone());
        tokio::select! {
            biased;
            () = line.first_word() => {}
            end = &mut running => return Err(match (line.error(), end) {
                (Some(error), _) => silent_end(name, refusal(&error)),
                (None, Ok(Err(error))) => silent_end(name, refusal(&error)),
                _ => silent_end(name, Fault::NotServed("the end of the stream".to_owned())),
            }),
        }
        if let Some(what) = line.is_no_http2() {
            return Err(Fault::NotServed(no_etcd(name, what)));
        }

        let channel = Labelled { sender, scheme, authority, credentials };
        let boxed = Channel::Custom(BoxCloneSyncService::new(channel.clone()));
        let client = Client::from_channel(boxed, None).await.map_err(|e| Fault::NotServed(e.to_string()))?;

        Ok(Connection {
            endpoint,
            name: name.to_owned(),
            kv: client.kv_client().max_decoding_message_size(LARGEST_ANSWER),
            lease: client.lease_client(),
            auth: client.auth_client(),
            maintenance: client.maintenance_client(),
            authenticating: Arc::default(),
            channel,
            doubted: AtomicBool::new(false),
            leaderless: AtomicBool::new(false),
            line: cut,
        })
    }

    /// Renews a lease, on a stream of its own: one request, one answer. Our end stays open until the answer is
    /// there: a grpc-proxy ends the stream with ours, before it has answered.
    ///
    /// A stream kept open would save nothing that counts (the streams are HTTP/2's, on this connection; a
    /// session has one lease and renews it once in TTL/3) and would cost what all its users then guard
    /// against: a renewal stuck behind another one that hangs, an answer to an earlier renewal taken for a
    /// later one's, a stream that ends when its token expires (etcd 3.7). The etcd crate has no such call:
    /// its own keeps the stream and drops the first answer's time to live.
    pub(super) async fn keep_alive(&self, lease: i64) -> Result<PbLeaseKeepAliveResponse, Status> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        let (ask, asked) = mpsc::channel(1);
        let _ = ask.try_send(LeaseKeepAliveRequest { id: lease });
        let request = tonic::Request::new(ReceiverStream::new(asked));
        let path = PathAndQuery::from_static("/etcdserverpb.Lease/LeaseKeepAlive");
        let answers = grpc.streaming(request, path, ProstCodec::default()).await?;
        let answer = answers.into_inner().message().await?;
        drop(ask);
        answer.ok_or_else(|| Status::unavailable("the stream of a renewal ended without an answer"))
    }

    /// Opens a stream of watches with what `requests` has; that must not be nothing, since etcd answers with the first of them.
    /// (The etcd crate sends no second one before the first is answered, which costs a round trip.)
    pub(super) async fn watches(
        &self,
        requests: mpsc::Receiver<WatchRequest>,
    ) -> Result<Streaming<PbWatchResponse>, Status> {
        let grpc = tonic::client::Grpc::new(self.channel.clone());
        let request = tonic::Request::new(ReceiverStream::new(requests));
        let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
        let mut grpc = grpc.max_decoding_message_size(LARGEST_ANSWER);
        Ok(grpc.streaming(request, path, ProstCodec::default()).await?.into_inner())
    }

    /// The version of the server behind it, if it tells.
    pub(super) async fn server_version(&self) -> Option<String> {
        Some(self.maintenance.clone().status().await.ok()?.version().to_owned())
    }

    /// Whether more than a few streams may be open at a time.
    pub(super) fn has_room(&self) -> bool {
        self.line.0.most_streams().is_none_or(|most| most > FEW_STREAMS)
    }

    /// Whether it is lost.
    pub(super) fn is_lost(&self) -> bool {
        self.channel.sender.is_closed()
    }

    /// How often the other end was heard so far.
    pub(super) fn words(&self) -> u64 {
        self.line.0.words()
    }

    /// Returns once the server has answered what it is asked now; a refusal will do. Never if the connection breaks.
    ///
    /// It is asked for its health, which an etcd tells without a look at its disk, and refuses to tell without a leader.
    pub(super) async fn speaks(&self) {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
        let codec = ProstCodec::<Nothing, Nothing>::default();
        match grpc.unary(tonic::Request::new(Nothing {}), path, codec).await {
            Err(status) if status.source().is_some() => std::future::pending().await,
            Err(status) => self.leaderless.store(status.message().contains("no leader"), Ordering::Relaxed),
            Ok(_) => self.leaderless.store(false, Ordering::Relaxed),
        }
    }

    /// Whether the member said when it was last asked that its cluster has no leader, as far as it knows: what waits
    /// for an answer waits in vain.
    pub(super) fn has_no_leader(&self) -> bool {
        self.leaderless.load(Ordering::Relaxed)
    }

    /// Whether nobody else doubts it at this time.
    pub(super) fn begins_to_be_doubted(&self) -> bool {
        !self.doubted.swap(true, Ordering::Relaxed)
    }

    /// It is settled what becomes of it.
    pub(super) fn is_doubted_no_more(&self) {
        self.doubted.store(false, Ordering::Relaxed);
    }

    /// Ends everything on it.
    pub(super) fn cut(&self) {
        self.line.0.cut();
    }
}

/// Cuts the line when it goes, also halfway through [`Connection::open`].
struct CutOnDrop(Arc<Line>);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.0.cut();
    }
}

/// The etcd crate's channel: one connection's requests, made absolute and labelled with the token.
///
/// The token is put on here and not by the crate, which keeps one per client: ours survives a lost
/// connection, and is fetched once for all endpoints.
#[derive(Clone)]
struct Labelled {
    sender: SendRequest<Body>,
    scheme: Scheme,
    authority: Authority,
    credentials: Arc<Credentials>,
}

impl Service<Request<Body>> for Labelled {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let token = if path.path().ends_with("/Authenticate") { None } else { self.credentials.header() };
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, USER_AGENT);
        // Else a member cut off from the others keeps watches open, silent for ever.
        headers.insert("hasleader", HeaderValue::from_static("true"));
        if let Some(token) = token {
            headers.insert("token", token);
        }
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build();
        match uri {
            Ok(uri) => *request.uri_mut() = uri,
            Err(e) => return Box::pin(async move { Err(Unsent(e.to_string()).into()) }),
        }
        let answer = self.sender.try_send_request(request);
        let authority = self.authority.clone();
        Box::pin(async move {
            let response = answer.await.map_err(|mut e| -> BoxError {
                // The request comes back if none of it reached the connection.
                if e.take_message().is_some() {
                    Unsent(e.into_error().to_string()).into()
                } else {
                    e.into_error().into()
                }
            })?;
            match NoGrpc::of(&authority, &response) {
                Some(answered) => Err(answered.into()),
                None => Ok(response.map(Body::new)),
            }
        })
    }
}
