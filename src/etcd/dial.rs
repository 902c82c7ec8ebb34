//! How a byte stream to an endpoint is made, and nothing of what runs over it.
//!
//! A dialler makes one stream per call and is asked for every new connection, so that certificates are read again each
//! time. It knows its address: who chooses among the addresses of a name looks them up.

use super::failure::Fault;
use super::line::Stream;
use super::tls::{self, Certificates};
use crate::config::{Endpoint, EtcdSettings};
use crate::host::start_thread;
use crate::log::Log;
use crate::store::Failure;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{self, pki_types::ServerName};

/// A stream, in a while. Every fault is one of before anything was sent.
pub(super) type Dialling = Pin<Box<dyn Future<Output = Result<Box<dyn Stream>, Fault>> + Send>>;

/// Where a store answers, as the settings say it.
pub(super) enum Place {
    /// One address.
    One(Dialler),
    /// A name, which may have several.
    Name(Name),
}

/// A name that is looked up.
pub(super) struct Name {
    /// `host:port`.
    pub(super) name: String,
    /// Its addresses.
    pub(super) look_up: Box<dyn Fn() -> LookingUp + Send + Sync>,
    /// What makes streams to one of them.
    pub(super) dialler: Box<dyn Fn(SocketAddr) -> Dialler + Send + Sync>,
}

/// Addresses, in a while.
pub type LookingUp = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Makes streams to one address.
pub struct Dialler {
    /// `host:port`, for people and for the `:authority` of requests.
    pub(super) name: String,
    /// `http` or `https`.
    pub(super) scheme: &'static str,
    /// Makes one.
    pub(super) dial: Box<dyn Fn() -> Dialling + Send + Sync>,
}

impl Dialler {
    /// One whose streams somebody else makes, which nothing is encrypted on: those of a test.
    pub fn of<S, F>(name: &str, dial: impl Fn() -> F + Send + Sync + 'static) -> Dialler
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        F: Future<Output = S> + Send + 'static,
    {
        let dial = move || -> Dialling {
            let stream = dial();
            Box::pin(async move { Ok(boxed(stream.await)) })
        };
        Dialler { name: name.into(), scheme: "http", dial: Box::new(dial) }
    }
}

/// Finds the addresses of a `host:port`.
pub type Resolver = Arc<dyn Fn(String) -> LookingUp + Send + Sync>;

/// As the machine does. Must be called inside a tokio runtime.
pub fn look_up(name: String) -> LookingUp {
    Box::pin(async move { blocking(move || name.to_socket_addrs().map(Vec::from_iter)).await? })
}

/// The places of the settings, in their order.
pub(super) fn places(settings: &EtcdSettings, resolver: &Resolver, log: &Log) -> Result<Vec<Place>, Failure> {
    let certificates = match &settings.tls {
        Some(files) => Some(Arc::new(Certificates::new(files, log.clone())?)),
        None => None,
    };
    settings.endpoints.iter().map(|endpoint| place(endpoint, resolver, certificates.as_ref())).collect()
}

fn place(
    endpoint: &Endpoint,
    resolver: &Resolver,
    certificates: Option<&Arc<Certificates>>,
) -> Result<Place, Failure> {
    match endpoint {
        Endpoint::Server { tls, address } => {
            let secured = match (tls, certificates) {
                (false, _) => None,
                (true, Some(certificates)) => Some((server_name(address)?, certificates.clone())),
                (true, None) => return Err(Failure::Denied(format!("{endpoint} needs etcd.ssl.enabled"))),
            };
            let name = address.clone();
            let dialler = move |address| dialler(name.clone(), address, secured.clone());
            Ok(match address.parse() {
                Ok(address) => Place::One(dialler(address)),
                Err(_) => {
                    let (name, resolver) = (address.clone(), resolver.clone());
                    let look_up = move || resolver(name.clone());
                    let (name, look_up) = (address.clone(), Box::new(look_up));
                    Place::Name(Name { name, look_up, dialler: Box::new(dialler) })
                }
            })
        }
        #[cfg(feature = "embedded")]
        Endpoint::Memory { name } => {
            let store = crate::embedded::Server::in_process(name);
            let dial = move || -> Dialling {
                let store = store.clone();
                Box::pin(async move { Ok(boxed(store.connect())) })
            };
            Ok(Place::One(Dialler { name: name.clone(), scheme: "http", dial: Box::new(dial) }))
        }
        #[cfg(not(feature = "embedded"))]
        Endpoint::Memory { .. } => {
            let what = format!(
                "{endpoint}: this library was built without the store in memory (feature `embedded`); give an etcd's endpoint"
            );
            Err(Failure::Refused(what))
        }
    }
}

/// Makes streams to an address of a name; with TLS, the certificate there must bear that name.
fn dialler(
    name: String,
    address: SocketAddr,
    secured: Option<(ServerName<'static>, Arc<Certificates>)>,
) -> Dialler {
    let scheme = if secured.is_some() { "https" } else { "http" };
    let of_dial = name.clone();
    let dial = move || -> Dialling {
        let (name, secured) = (of_dial.clone(), secured.clone());
        Box::pin(async move {
            let stream = tcp(address).await.map_err(|e| Fault::NotServed(e.to_string()))?;
            let Some((server, certificates)) = secured else { return Ok(boxed(stream)) };
            let config = blocking(move || certificates.current())
                .await
                .map_err(|e| Fault::NotServed(e.to_string()))?;
            let stream = TlsConnector::from(config).connect(server, stream).await;
            stream.map(boxed).map_err(|e| no_tls(&name, &e).unwrap_or_else(|| refusal(&e)))
        })
    };
    Dialler { name, scheme, dial: Box::new(dial) }
}

pub(super) fn boxed(stream: impl Stream) -> Box<dyn Stream> {
    Box::new(stream)
}

/// The name that the server's certificate must have.
fn server_name(address: &str) -> Result<ServerName<'static>, Failure> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    ServerName::try_from(host)
        .map_err(|e| Failure::Denied(format!("{address}: no certificate can bear this name: {e}")))
}

/// Runs what may block on a thread of its own. (tokio's panic where no thread can be made.)
async fn blocking<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (tell, told) = oneshot::channel();
    start_thread("primacy-dial", move || drop(tell.send(what())))?;
    told.await.map_err(io::Error::other)
}

async fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // A request is written at once, not held back for more.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What is said of a handshake that the other end did not take for one. A proxy that restarts says such things, too.
fn no_tls(address: &str, error: &io::Error) -> Option<Fault> {
    const ASK: &str = "is etcd.ssl.enabled right, and is it the client port?";
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    if matches!(cause, Some(rustls::Error::InvalidMessage(_))) {
        return Some(Fault::NotServed(format!("{address} does not speak TLS; {ASK}")));
    }
    // So does a server without TLS, and what stands before one that is away.
    (error.kind() == io::ErrorKind::UnexpectedEof)
        .then(|| Fault::NotServed(format!("{address} hung up when it was spoken to in TLS; {ASK} ({error})")))
}

/// Whether an error of a new connection is about trust: then it stays until somebody changes something.
pub(super) fn refusal(error: &(dyn std::error::Error + 'static)) -> Fault {
    let mut text = error.to_string();
    super::failure::append_sources(&mut text, error.source());
    let mut cause = Some(error);
    while let Some(e) = cause {
        // An io::Error hides what it carries from source(): that is the carried one's own source.
        let carried = e.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let told = e.downcast_ref().or_else(|| carried.and_then(|carried| carried.downcast_ref()));
        if let Some(why) = told.and_then(tls::refused) {
            let text = if text.contains(&why) { text } else { why };
            return Fault::Answered(Failure::Denied(text));
        }
        cause = e.source();
    }
    Fault::NotServed(text)
}
