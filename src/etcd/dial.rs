//! How a byte stream to an endpoint is made, and nothing of what runs over it.
//!
//! A dialler makes one stream per call and is asked for every new connection, so that names are resolved and
//! certificates read again each time.

use super::failure::Fault;
use super::line::Stream;
use super::tls::Certificates;
use crate::config::{Endpoint, EtcdSettings};
use crate::log::Log;
use crate::runtime::start_thread;
use crate::store::Failure;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// A stream, in a while. Every fault is one of before anything was sent.
pub(crate) type Dialling = Pin<Box<dyn Future<Output = Result<Box<dyn Stream>, Fault>> + Send>>;

/// Makes streams to one endpoint.
pub(crate) struct Dialler {
    /// `host:port`, for people and for the `:authority` of requests.
    pub(crate) name: String,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// Makes one.
    pub(crate) dial: Box<dyn Fn() -> Dialling + Send + Sync>,
}

/// A dialler for each endpoint of the settings, in their order.
pub(super) fn diallers(settings: &EtcdSettings, log: &Log) -> Result<Vec<Dialler>, Failure> {
    let certificates = match &settings.tls {
        Some(files) => Some(Arc::new(Certificates::new(files, log.clone())?)),
        None => None,
    };
    settings.endpoints.iter().map(|endpoint| dialler(endpoint, certificates.as_ref())).collect()
}

fn dialler(endpoint: &Endpoint, certificates: Option<&Arc<Certificates>>) -> Result<Dialler, Failure> {
    match endpoint {
        Endpoint::Server { tls: false, address } => {
            let name = address.clone();
            let dial = move || -> Dialling {
                let address = name.clone();
                Box::pin(async move { Ok(boxed(tcp(&address).await?)) })
            };
            Ok(Dialler { name: address.clone(), scheme: "http", dial: Box::new(dial) })
        }
        Endpoint::Server { tls: true, address } => {
            let Some(certificates) = certificates.cloned() else {
                return Err(Failure::Denied(format!("{endpoint} needs etcd.ssl.enabled")));
            };
            let server = server_name(address)?;
            let name = address.clone();
            let dial = move || -> Dialling {
                let (address, server, certificates) = (name.clone(), server.clone(), certificates.clone());
                Box::pin(async move {
                    let stream = tcp(&address).await?;
                    let config = blocking(move || certificates.current())
                        .await
                        .map_err(|e| Fault::NotServed(e.to_string()))?;
                    let stream = TlsConnector::from(config).connect(server, stream).await;
                    stream.map(boxed).map_err(|e| no_tls(&address, &e).unwrap_or_else(|| refusal(&e)))
                })
            };
            Ok(Dialler { name: address.clone(), scheme: "https", dial: Box::new(dial) })
        }
        #[cfg(feature = "embedded")]
        Endpoint::Memory { name } => {
            let store = crate::embedded::Server::in_process(name);
            let dial = move || -> Dialling {
                let store = store.clone();
                Box::pin(async move { Ok(boxed(store.connect())) })
            };
            Ok(Dialler { name: name.clone(), scheme: "http", dial: Box::new(dial) })
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

pub(crate) fn boxed(stream: impl Stream) -> Box<dyn Stream> {
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

async fn tcp(address: &str) -> Result<TcpStream, Fault> {
    let connected = async {
        let addresses = match address.parse::<SocketAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let name = address.to_owned();
                blocking(move || name.to_socket_addrs().map(Vec::from_iter)).await??
            }
        };
        let stream = TcpStream::connect(addresses.as_slice()).await?;
        // A request is written at once, not held back for more.
        stream.set_nodelay(true)?;
        Ok::<_, io::Error>(stream)
    };
    connected.await.map_err(|e| Fault::NotServed(e.to_string()))
}

/// What is said of a handshake that the other end did not take for one.
fn no_tls(address: &str, error: &io::Error) -> Option<Fault> {
    const ASK: &str = "is etcd.ssl.enabled right, and is it the client port?";
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    if matches!(cause, Some(tokio_rustls::rustls::Error::InvalidMessage(_))) {
        return Some(Fault::Answered(Failure::Denied(format!("{address} does not speak TLS; {ASK}"))));
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
        if e.is::<tokio_rustls::rustls::Error>()
            || carried.is_some_and(|c| c.is::<tokio_rustls::rustls::Error>())
        {
            return Fault::Answered(Failure::Denied(text));
        }
        cause = e.source();
    }
    Fault::NotServed(text)
}
