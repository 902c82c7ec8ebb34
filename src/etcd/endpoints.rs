//! Which endpoint serves, and the connections to them.
//!
//! Calls, renewals and watches ask here and so agree on one endpoint. The order is "failed longest ago
//! first": whoever meets a failure moves that endpoint to the end, and nobody else moves. No request waits
//! for more than its share of time on an endpoint that does not answer, and none is sent twice.

use super::connection::Connection;
use super::credentials::Credentials;
use super::dial::Dialler;
use super::failure::Fault;
use super::in_time::timeout;
use super::{AbortOnDrop, CONNECTED_WITHIN};
use crate::engine::spell::Spell;
use crate::log::{Level, Log};
use crate::runtime::lock;
use crate::store::Failure;
use crate::warning;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::time::Instant;

/// See the module.
pub(super) struct Endpoints {
    all: Vec<Endpoint>,
    order: Mutex<Vec<usize>>,
    log: Log,
}

struct Endpoint {
    dialler: Arc<Dialler>,
    credentials: Arc<Credentials>,
    attempt: Mutex<Option<Attempt>>,
    /// What its server may do to us.
    warning: Arc<Mutex<Option<String>>>,
    /// It does not serve: said once in a while, however many meet it.
    failing: Mutex<Spell<Instant>>,
}

type Opened = Result<Arc<Connection>, Fault>;

/// One attempt to connect, shared by all that wait for it, and its connection for as long as that lives. It
/// goes on when those that wait give up, so that a slow handshake is not begun anew for ever.
struct Attempt {
    opened: watch::Receiver<Option<Opened>>,
    _task: AbortOnDrop,
}

impl Endpoints {
    pub(super) fn new(diallers: Vec<Dialler>, credentials: &Arc<Credentials>, log: Log) -> Endpoints {
        let all: Vec<_> = diallers
            .into_iter()
            .map(|dialler| Endpoint {
                dialler: Arc::new(dialler),
                credentials: credentials.clone(),
                attempt: Mutex::new(None),
                warning: Arc::default(),
                failing: Mutex::default(),
            })
            .collect();
        Endpoints { order: Mutex::new((0..all.len()).collect()), all, log }
    }

    /// A connection to the first endpoint that gives one before the deadline.
    pub(super) async fn connection(&self, deadline: Instant) -> Result<Arc<Connection>, Failure> {
        let order = self.order().clone();
        let mut denied = true;
        let mut reasons = Vec::new();
        for (tried, &number) in order.iter().enumerate() {
            let Some(endpoint) = self.all.get(number) else { continue };
            let left = deadline.saturating_duration_since(Instant::now());
            let others = u32::try_from(order.len() - tried).unwrap_or(u32::MAX);
            let share = (left / others).min(CONNECTED_WITHIN);
            let why = match timeout(share, endpoint.connection(number, &self.log)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(Fault::Answered(Failure::Denied(why)))) => why,
                Ok(Err(fault)) => {
                    denied = false;
                    fault.into_text()
                }
                Err(_) => {
                    denied = false;
                    format!("no connection within {} ms", share.as_millis())
                }
            };
            self.fails(number, &why);
            reasons.push(of(&endpoint.dialler.name, &why));
        }
        let reasons = reasons.join("; ");
        Err(if denied && !order.is_empty() {
            Failure::Denied(reasons)
        } else {
            Failure::Unreachable(reasons)
        })
    }

    /// Somebody waited for an answer in vain: the connection is doubted, the next request gets a new one, at
    /// another endpoint where there is one. (A new one also because TCP takes seconds to notice that a
    /// network is whole again.)
    pub(super) fn silent(&self, connection: &Arc<Connection>, why: &str) {
        connection.doubt();
        if let Some(endpoint) = self.all.get(connection.endpoint) {
            endpoint.retire(connection);
        }
        self.fails(connection.endpoint, why);
    }

    /// The member behind this connection does not serve now: the next request goes elsewhere.
    pub(super) fn failed(&self, connection: &Connection, why: &str) {
        self.fails(connection.endpoint, why);
    }

    /// It does serve: it has answered, not only taken a connection.
    pub(super) fn served(&self, connection: &Connection) {
        let Some(endpoint) = self.all.get(connection.endpoint) else { return };
        if lock(&endpoint.failing).well() {
            self.log.info(&format!("etcd endpoint {} is back", endpoint.dialler.name));
        }
    }

    /// What is known of their servers that may end badly.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.all.iter().filter_map(|endpoint| lock(&endpoint.warning).clone()).collect()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// The next request goes elsewhere.
    fn fails(&self, number: usize, why: &str) {
        self.moved_to_the_end(number);
        let Some(endpoint) = self.all.get(number) else { return };
        let level = if lock(&endpoint.failing).wrong(Instant::now()) { Level::Warn } else { Level::Debug };
        self.log.line(level, &format!("etcd endpoint {}", of(&endpoint.dialler.name, why)));
    }

    fn moved_to_the_end(&self, number: usize) {
        let mut order = self.order();
        order.retain(|&n| n != number);
        order.push(number);
    }

    fn order(&self) -> MutexGuard<'_, Vec<usize>> {
        lock(&self.order)
    }
}

impl Endpoint {
    async fn connection(&self, number: usize, log: &Log) -> Opened {
        let mut opened = self.opening(number, log);
        match opened.wait_for(Option::is_some).await {
            Ok(result) => match &*result {
                Some(result) => result.clone(),
                None => Err(Fault::NotServed("not connected".to_owned())),
            },
            Err(_) => Err(Fault::NotServed("the attempt to connect was given up".to_owned())),
        }
    }

    /// The attempt under way, or the connection that it led to; else a new attempt.
    fn opening(&self, number: usize, log: &Log) -> watch::Receiver<Option<Opened>> {
        let mut attempt = self.attempt();
        if let Some(a) = &*attempt
            && a.is_of_use()
        {
            return a.opened.clone();
        }
        let (done, opened) = watch::channel(None);
        let (dialler, credentials) = (self.dialler.clone(), self.credentials.clone());
        let (warning, log) = (self.warning.clone(), log.clone());
        let task = tokio::spawn(async move {
            let opening = Connection::open(number, &dialler, credentials);
            let result = timeout(CONNECTED_WITHIN, opening).await.unwrap_or_else(|_| {
                Err(Fault::NotServed(format!("no connection within {} ms", CONNECTED_WITHIN.as_millis())))
            });
            let result = result.map(Arc::new);
            let connection = result.clone();
            // Nobody left to hear it: dropped, and thereby closed.
            let _ = done.send(Some(result));
            if let Ok(connection) = connection {
                look_at_server(&connection, &warning, &log).await;
            }
        });
        *attempt = Some(Attempt { opened: opened.clone(), _task: AbortOnDrop(task.abort_handle()) });
        opened
    }

    /// Whoever asks next gets another one.
    fn retire(&self, connection: &Arc<Connection>) {
        let is_it =
            |a: &mut Attempt| matches!(&*a.opened.borrow(), Some(Ok(c)) if Arc::ptr_eq(c, connection));
        self.attempt().take_if(is_it);
    }

    fn attempt(&self) -> MutexGuard<'_, Option<Attempt>> {
        lock(&self.attempt)
    }
}

/// What is wrong with the endpoint, in words that begin with its name.
pub(super) fn of(name: &str, why: &str) -> String {
    if why.starts_with(name) { why.to_owned() } else { format!("{name}: {why}") }
}

/// Asks the server what it is; what is new about it is said.
async fn look_at_server(connection: &Connection, warning: &Mutex<Option<String>>, log: &Log) {
    let Some(version) = connection.server_version().await else { return };
    let now = warning::of_server(&connection.name, &version);
    let before = std::mem::replace(&mut *lock(warning), now.clone());
    if let Some(text) = now.filter(|now| before.as_ref() != Some(now)) {
        log.warn(&text);
    }
}

impl Attempt {
    fn is_of_use(&self) -> bool {
        match &*self.opened.borrow() {
            None => self.opened.has_changed().is_ok(),
            Some(Ok(connection)) => !connection.is_lost(),
            Some(Err(_)) => false,
        }
    }
}
