//! The model with a clock and connections: etcd's real protocol, over TCP or inside the process.
//!
//! The store has no thread or task of its own. Each connection is served where it was opened, and keeps the
//! store's timers while it lasts; without any connection nobody could tell whether time goes by. So a store
//! in the process outlives the runtime of the session that opened it.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tonic::Status;
use tonic::codegen::Service;
use tonic::codegen::http::Request;

use super::model::{Model, Options, StreamId, WatchResponse};
use super::services;
use crate::clock::Time;

/// The version that the server says it is: etcd's whose semantics it has, and a word that it is not that.
pub const VERSION: &str = "3.7.3+primacy.development.only";

/// How much a connection inside the process holds before its writer waits.
const PIPE: usize = 256 * 1024;

/// An etcd for development and tests: one node, nothing on disk. Clones are the same store.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Something is due earlier than it was.
    earlier: Notify,
    /// All connections end.
    disconnect: Notify,
    /// All connections take no new call.
    leave: Notify,
    began: Instant,
}

struct State {
    model: Model,
    streams: HashMap<StreamId, UnboundedSender<WatchResponse>>,
    address: Option<SocketAddr>,
}

impl Default for Server {
    /// An empty store of a cluster of its own.
    fn default() -> Self {
        let random = || RandomState::new().hash_one(0).max(1);
        Server::new(Options { cluster: random(), seed: random(), ..Options::default() })
    }
}

impl Server {
    /// An empty store.
    pub fn new(options: Options) -> Self {
        let state = State { model: Model::new(options), streams: HashMap::new(), address: None };
        Server {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                earlier: Notify::new(),
                disconnect: Notify::new(),
                leave: Notify::new(),
                began: Instant::now(),
            }),
        }
    }

    /// The store of this process that goes by `name`: what `mem://NAME` means. It is made when it is first
    /// asked for, and is there until the process ends, like a server whose clients come and go.
    pub fn in_process(name: &str) -> Self {
        static STORES: LazyLock<Mutex<HashMap<String, Server>>> = LazyLock::new(Mutex::default);
        lock(&STORES).entry(name.to_owned()).or_default().clone()
    }

    /// Opens a connection to this store inside the process; it is served by a task of the runtime in which
    /// this is called. Panics outside of a runtime.
    pub fn connect(&self) -> DuplexStream {
        let (client, server) = tokio::io::duplex(PIPE);
        let store = self.clone();
        tokio::spawn(async move { store.serve(server).await });
        client
    }

    /// A channel for the real client (`etcd_client::Channel::Tonic`), whose connections are [`connect`]ed when
    /// they are needed; `endpoint` gives its options, its address means nothing.
    ///
    /// [`connect`]: Server::connect
    pub fn channel(&self, endpoint: &tonic::transport::Endpoint) -> tonic::transport::Channel {
        endpoint.connect_with_connector_lazy(Connector(self.clone()))
    }

    /// Serves one connection until either side ends it.
    pub async fn serve(&self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let mut disconnected = pin!(self.shared.disconnect.notified());
        let mut leaves = pin!(self.shared.leave.notified());
        let routes = services::routes(self);
        let service = service_fn(move |request: Request<Incoming>| {
            let mut routes = routes.clone();
            async move {
                if request.uri().path().starts_with("/etcdserverpb.Auth/") {
                    // The crate's trait for this service can not be implemented outside of it.
                    let status = Status::failed_precondition("etcdserver: authentication is not enabled");
                    return Ok::<_, Infallible>(status.into_http());
                }
                routes.call(request.map(tonic::body::Body::new)).await
            }
        });
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .max_concurrent_streams(None)
            .serve_connection(TokioIo::new(io), service);
        let (mut connection, mut time, mut left) = (pin!(connection), pin!(self.keep_time()), false);
        loop {
            tokio::select! {
                // What a client did wrong ends its connection and nothing else.
                _ = &mut connection => return,
                () = &mut disconnected => return,
                () = &mut leaves, if !left => {
                    left = true;
                    connection.as_mut().graceful_shutdown();
                }
                never = &mut time => match never {},
            }
        }
    }

    /// Serves whoever connects. Ends only by being dropped; connections that are open go on.
    pub async fn listen(&self, listener: TcpListener) -> Infallible {
        lock(&self.shared.state).address = listener.local_addr().ok();
        loop {
            match listener.accept().await {
                Ok((io, _)) => {
                    let _ = io.set_nodelay(true);
                    let store = self.clone();
                    tokio::spawn(async move { store.serve(io).await });
                }
                // Out of descriptors, most likely: others may go.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Ends all connections, as a server does that dies; new ones are served.
    pub fn disconnect(&self) {
        self.shared.disconnect.notify_waiters();
    }

    /// Says on all connections that they take no new call (GOAWAY), as a server does that is about to stop; streams and
    /// calls that are open go on, new connections are served.
    pub fn leave(&self) {
        self.shared.leave.notify_waiters();
    }

    /// Gives the model to `f`, for instance to restart it or to put it back to an older copy. What watches
    /// hear of that is sent; streams that the model ended, end.
    pub fn with_model<R>(&self, f: impl FnOnce(&mut Model, Time) -> R) -> R {
        let mut state = lock(&self.shared.state);
        let was_due = state.model.next_deadline();
        let result = f(&mut state.model, self.now());
        for (stream, response) in state.model.take_responses() {
            if let Some(stream) = state.streams.get(&stream) {
                // A client that is gone closes its stream itself.
                let _ = stream.send(response);
            }
        }
        let State { model, streams, .. } = &mut *state;
        if streams.len() != model.streams() {
            streams.retain(|stream, _| model.has_stream(*stream));
        }
        if model.next_deadline() < was_due {
            self.shared.earlier.notify_waiters();
        }
        result
    }

    /// Opens a watch stream.
    pub(super) fn open_stream(&self) -> (StreamId, mpsc::UnboundedReceiver<WatchResponse>) {
        let (send, receive) = mpsc::unbounded_channel();
        let mut state = lock(&self.shared.state);
        let stream = state.model.open_stream(self.now());
        state.streams.insert(stream, send);
        (stream, receive)
    }

    /// Where it listens, if it does.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        lock(&self.shared.state).address
    }

    /// The model's clock: tokio's, so that paused time is paused here as well. The model must not see time
    /// go back when connections of several runtimes ask.
    fn now(&self) -> Time {
        Time::from_nanos(1) + Instant::now().saturating_duration_since(self.shared.began)
    }

    /// Lets happen what is due, when it is due.
    async fn keep_time(&self) -> Infallible {
        loop {
            let earlier = self.shared.earlier.notified();
            let due = self.with_model(|model, now| {
                model.advance(now);
                model.next_deadline()
            });
            if due == Time::NEVER {
                earlier.await;
                continue;
            }
            // A nanosecond later than the origin, as in `now`.
            let at = self.shared.began + due.since(Time::from_nanos(1));
            tokio::select! {
                () = earlier => {}
                () = tokio::time::sleep_until(at) => {}
            }
        }
    }
}

struct Connector(Server);

impl<U> Service<U> for Connector {
    type Response = TokioIo<DuplexStream>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: U) -> Self::Future {
        ready(Ok(TokioIo::new(self.0.connect())))
    }
}

/// A panic while the lock was held left a model that is as good as before it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Only an address to tell; whatever the model says goes on.
impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address()).finish_non_exhaustive()
    }
}
