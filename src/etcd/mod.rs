//! The store on a real etcd: performs [`Request`]s and keeps watches, within their time, whatever the network
//! does.
//!
//! Decides which endpoint serves, when a connection is given up, when a token is renewed, and what an error
//! means ([`Failure`]). Leaves to its caller everything about elections: what to ask, whether to ask again
//! after an unknown outcome, and what an answer is worth. It keeps no lease alive by itself and opens no watch
//! anew: a watch that ends is reported, once.
//!
//! From the bottom: `line` and `dial` make byte streams, `connection` is HTTP/2 with the etcd crate's clients
//! on one of them, `endpoint` connects to one address and knows its `pace`, `endpoints` chooses among them, `credentials`
//! has the token, `call` performs a request, `operator` and `history` what no election asks for, `watch` routes what `watch_stream` carries; `translate` and
//! `failure` know etcd's words.

mod call;
mod connection;
mod credentials;
mod dial;
mod endpoint;
mod endpoints;
mod failure;
mod history;
mod line;
mod operator;
mod tls;
mod translate;
mod watch;
mod watch_stream;

use crate::config::EtcdSettings;
use crate::host::{Answering, Asker, Store, WatchReport, panic};
use crate::log::Log;
use crate::store::{Answer, Failure, Range, Request};
pub use credentials::Credentials;
use dial::Place;
pub use dial::{Dialler, LookingUp, Resolver, look_up};
use endpoint::Use;
use endpoints::Endpoints;
pub use history::{Heard, Past};
pub use operator::{LeaseLeft, Member};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// A token must be there by then. etcd takes 70 ms of its processor's time to check a password, so a server that is
/// busy takes long; nobody waits for this alone, and a connection that is silent meanwhile is cut sooner.
const AUTHENTICATED_WITHIN: Duration = Duration::from_secs(10);
/// A server that has not confirmed the next one of those ranges of new watches that it was sent is doubted then,
const WATCH_DOUBTED_AFTER: Duration = Duration::from_secs(2);
/// and given up then.
const WATCH_CONFIRMED_WITHIN: Duration = Duration::from_secs(15);

/// An etcd cluster. Cheap to clone; a clone is the same connections and watches. When the last one is
/// dropped, connections close, watches end unreported, and no task is left.
#[derive(Clone)]
pub struct Etcd(Arc<Inner>);

struct Inner {
    endpoints: Arc<Endpoints>,
    credentials: Arc<Credentials>,
    /// For a whole request of an election.
    longest: Duration,
    watches: mpsc::UnboundedSender<watch::Order>,
    reports: mpsc::UnboundedSender<WatchReport>,
    _router: AbortOnDrop,
}

impl Etcd {
    /// Makes no connection yet; reads and checks certificates (blocks on the disk). Must be called inside a
    /// tokio runtime, which has to outlive it. What becomes of watches goes to `reports`.
    ///
    /// # Errors
    /// [`Failure::Denied`] for certificates that cannot work, [`Failure::Refused`] for an endpoint that cannot
    /// be one, or outside a runtime.
    pub fn new(
        settings: &EtcdSettings,
        reports: mpsc::UnboundedSender<WatchReport>,
        log: Log,
    ) -> Result<Etcd, Failure> {
        Etcd::resolving(settings, &(Arc::new(look_up) as Resolver), reports, log)
    }

    /// The same, with names looked up by `resolver` instead of the machine's ways.
    ///
    /// # Errors
    /// As [`Etcd::new`].
    pub fn resolving(
        settings: &EtcdSettings,
        resolver: &Resolver,
        reports: mpsc::UnboundedSender<WatchReport>,
        log: Log,
    ) -> Result<Etcd, Failure> {
        let places = dial::places(settings, resolver, &log)?;
        let credentials = Credentials::new(settings.auth.clone());
        Etcd::at(places, credentials, settings.request_timeout, reports, log)
    }

    /// The same, over byte streams of the caller's making, such as those of a test.
    ///
    /// # Errors
    /// [`Failure::Refused`] outside of a runtime.
    pub fn through(
        diallers: Vec<Dialler>,
        credentials: Credentials,
        reports: mpsc::UnboundedSender<WatchReport>,
        log: Log,
    ) -> Result<Etcd, Failure> {
        let places = diallers.into_iter().map(Place::One).collect();
        Etcd::at(places, credentials, Duration::from_secs(10), reports, log)
    }

    fn at(
        places: Vec<Place>,
        credentials: Credentials,
        longest: Duration,
        reports: mpsc::UnboundedSender<WatchReport>,
        log: Log,
    ) -> Result<Etcd, Failure> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|e| Failure::Refused(e.to_string()))?;
        let credentials = Arc::new(credentials);
        let endpoints = Arc::new(Endpoints::new(places, &credentials, log));
        let (watches, orders) = mpsc::unbounded_channel();
        let router = watch::route(orders, reports.clone(), endpoints.clone(), credentials.clone());
        let of_router = reports.clone();
        let router = async move {
            if let Err(why) = panic::caught(router).await {
                let _ = of_router.send(WatchReport::Panicked { why });
            }
        };
        let router = AbortOnDrop(runtime.spawn(router).abort_handle());
        Ok(Etcd(Arc::new(Inner { endpoints, credentials, longest, watches, reports, _router: router })))
    }

    /// Performs a request as an election's. Ends within `timeout`, connecting and authenticating included, or little
    /// later, unless the server shows that it is there and at work: then within `etcd.requestTimeout`. A request that
    /// writes is sent once; only where it certainly did not happen is it sent again.
    ///
    /// # Errors
    /// See [`Failure`]. A request that only reads never fails as [`Failure::Indefinite`].
    pub async fn call(&self, request: Request, timeout: Duration) -> Result<Answer, Failure> {
        self.call_for(Asker::Election, request, timeout).await
    }

    async fn call_for(&self, asker: Asker, request: Request, timeout: Duration) -> Result<Answer, Failure> {
        let Inner { endpoints, credentials, longest, .. } = &*self.0;
        let what = match (&request, asker) {
            (Request::Txn(_), Asker::Election | Asker::Host) => Use::Calls,
            _ => Use::Leases,
        };
        let soon = Instant::now() + timeout;
        let late = match asker {
            Asker::Host => soon,
            Asker::Lease | Asker::Election => soon.max(Instant::now() + *longest),
        };
        call::call(endpoints, credentials, &request, what, call::Time { soon, late }).await
    }
}

impl Store for Etcd {
    fn call(&self, asker: Asker, request: Request, timeout: Duration) -> Answering<'_> {
        Box::pin(self.call_for(asker, request, timeout))
    }

    /// The reports follow: `Confirmed` or `Ended` within 15 seconds, or as long as the server takes for those that were
    /// asked for before, if it is at work on them.
    fn watch(&self, watch: u64, ranges: Vec<Range>) {
        if self.0.watches.send(watch::Order::Watch { watch, ranges }).is_err() {
            let _ = self.0.reports.send(WatchReport::Ended { watch, why: "stopped".to_owned() });
        }
    }

    fn unwatch(&self, watch: u64) {
        let _ = self.0.watches.send(watch::Order::Unwatch { watch });
    }

    fn warnings(&self) -> Vec<String> {
        self.0.endpoints.warnings()
    }
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Etcd")
    }
}

/// A task that ends with its owner.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
