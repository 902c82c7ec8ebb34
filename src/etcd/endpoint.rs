//! One address at which an etcd may answer, and the connections to it.

use super::AbortOnDrop;
use super::connection::Connection;
use super::credentials::Credentials;
use super::dial::Dialler;
use super::failure::Fault;
use crate::engine::spell::Spell;
use crate::host::lock;
use crate::log::{Level, Log};
use crate::pace::Pace;
use crate::warning;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Further connections to the same address are begun so long after the first, while none has spoken: what stands
/// there may send the next one elsewhere, and TCP takes seconds to notice that a network is whole again.
const DIALLED_AGAIN_AFTER: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];
/// One of them must have spoken by then.
const CONNECTED_WITHIN: Duration = Duration::from_secs(20);

/// What a connection is for. One serves all, unless its server allows few streams at a time on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Calls,
    Leases,
    Watches,
}

/// See the module.
pub(super) struct Endpoint {
    /// What it is called here, used once.
    pub(super) id: usize,
    /// The place of the settings that it belongs to, and where that is, if it is a name.
    pub(super) of: (usize, Option<SocketAddr>),
    /// What it is called in words.
    pub(super) name: String,
    dialler: Arc<Dialler>,
    credentials: Arc<Credentials>,
    attempts: [Mutex<Option<Attempt>>; 3],
    pace: Arc<Mutex<Pace>>,
    /// What its server may do to us.
    warning: Arc<Mutex<Option<String>>>,
    /// It does not serve: said once in a while, however many meet it.
    failing: Mutex<Spell<Instant>>,
    log: Log,
}

pub(super) type Opened = Result<Arc<Connection>, Fault>;

/// One attempt to connect, shared by all that wait for it, and its connection for as long as that lives. It
/// goes on when those that wait give up, so that a slow handshake is not begun anew for ever.
struct Attempt {
    opened: watch::Receiver<Option<Opened>>,
    _task: AbortOnDrop,
}

impl Endpoint {
    pub(super) fn new(
        id: usize,
        of: (usize, Option<SocketAddr>),
        dialler: Dialler,
        credentials: Arc<Credentials>,
        log: Log,
    ) -> Endpoint {
        let name = match of.1 {
            Some(address) => format!("{} ({address})", dialler.name),
            None => dialler.name.clone(),
        };
        Endpoint {
            id,
            of,
            name,
            dialler: Arc::new(dialler),
            credentials,
            attempts: Default::default(),
            pace: Arc::default(),
            warning: Arc::default(),
            failing: Mutex::default(),
            log,
        }
    }

    /// A connection for that use, as soon as one has spoken.
    pub(super) async fn connection(&self, what: Use) -> Opened {
        let connection = self.opened(Use::Calls).await?;
        if what == Use::Calls || connection.has_room() {
            return Ok(connection);
        }
        self.opened(what).await
    }

    async fn opened(&self, what: Use) -> Opened {
        let mut opened = self.attempt(what);
        match opened.wait_for(Option::is_some).await {
            Ok(result) => match &*result {
                Some(result) => result.clone(),
                None => Err(Fault::NotServed("not connected".to_owned())),
            },
            Err(_) => Err(Fault::NotServed("the attempt to connect was given up".to_owned())),
        }
    }

    /// The attempt under way, or the connection that it led to; else a new attempt.
    fn attempt(&self, what: Use) -> watch::Receiver<Option<Opened>> {
        let mut attempt = lock(self.slot(what));
        match &*attempt {
            Some(a) if a.is_of_use() => a.opened.clone(),
            _ => attempt.insert(self.begin(what, None)).opened.clone(),
        }
    }

    /// A connection has fallen silent: whoever asks next gets what speaks first, this one or another one.
    pub(super) fn renew(&self, silent: &Arc<Connection>) {
        for what in [Use::Calls, Use::Leases, Use::Watches] {
            let mut attempt = lock(self.slot(what));
            if attempt.as_ref().is_some_and(|a| a.is_connection(silent)) {
                *attempt = Some(self.begin(what, Some(silent.clone())));
            }
        }
    }

    fn begin(&self, what: Use, silent: Option<Arc<Connection>>) -> Attempt {
        let (done, opened) = watch::channel(None);
        let (id, name) = (self.id, self.name.clone());
        let (dialler, credentials) = (self.dialler.clone(), self.credentials.clone());
        let (warning, pace, log) = (self.warning.clone(), self.pace.clone(), self.log.clone());
        let task = tokio::spawn(async move {
            let dialling = dialled(id, &name, &dialler, &credentials);
            let result = match &silent {
                Some(silent) => tokio::select! {
                    biased;
                    () = silent.speaks() => Ok(silent.clone()),
                    result = dialling => result.map(Arc::new),
                },
                None => dialling.await.map(Arc::new),
            };
            let connection = result.clone();
            // Nobody left to hear it: dropped, and thereby closed.
            let _ = done.send(Some(result));
            if what == Use::Calls
                && let Ok(connection) = connection
            {
                let asked = Instant::now();
                if let Some(version) = connection.server_version().await {
                    lock(&pace).took(asked.elapsed());
                    say_what_is_new(&connection.name, &version, &warning, &log);
                }
            }
        });
        Attempt { opened, _task: AbortOnDrop(task.abort_handle()) }
    }

    fn slot(&self, what: Use) -> &Mutex<Option<Attempt>> {
        let [calls, leases, watches] = &self.attempts;
        match what {
            Use::Calls => calls,
            Use::Leases => leases,
            Use::Watches => watches,
        }
    }

    /// Whether it has a connection that is not lost.
    pub(super) fn is_connected(&self) -> bool {
        lock(self.slot(Use::Calls)).as_ref().is_some_and(Attempt::is_connected)
    }

    /// It answered after so long, or has not yet.
    pub(super) fn took(&self, time: Duration) {
        lock(&self.pace).took(time);
    }

    /// How long to wait for an answer of it before something is done about that.
    pub(super) fn patience(&self) -> Duration {
        lock(&self.pace).patience()
    }

    /// It does not serve.
    pub(super) fn fails(&self, why: &str) {
        let level = if lock(&self.failing).wrong(Instant::now()) { Level::Warn } else { Level::Debug };
        self.log.line(level, &format!("etcd endpoint {}", self.says(why)));
    }

    /// It does serve: it has answered, not only taken a connection.
    pub(super) fn serves(&self) {
        if lock(&self.failing).well() {
            self.log.info(&format!("etcd endpoint {} is back", self.name));
        }
    }

    /// What is known of its server that may end badly.
    pub(super) fn warning(&self) -> Option<String> {
        lock(&self.warning).clone()
    }

    /// What is wrong with it, in words that begin with its name.
    pub(super) fn says(&self, why: &str) -> String {
        of(&self.name, why)
    }
}

/// What is wrong with the endpoint, in words that begin with its name.
pub(super) fn of(name: &str, why: &str) -> String {
    if why.starts_with(name) { why.to_owned() } else { format!("{name}: {why}") }
}

impl Attempt {
    fn is_of_use(&self) -> bool {
        match &*self.opened.borrow() {
            None => self.opened.has_changed().is_ok(),
            Some(Ok(connection)) => !connection.is_lost(),
            Some(Err(_)) => false,
        }
    }

    fn is_connected(&self) -> bool {
        matches!(&*self.opened.borrow(), Some(Ok(connection)) if !connection.is_lost())
    }

    fn is_connection(&self, connection: &Arc<Connection>) -> bool {
        matches!(&*self.opened.borrow(), Some(Ok(c)) if Arc::ptr_eq(c, connection))
    }
}

/// The first connection that speaks, of those that are begun one after the other. None is given up for being slow.
async fn dialled(
    id: usize,
    name: &str,
    dialler: &Dialler,
    credentials: &Arc<Credentials>,
) -> Result<Connection, Fault> {
    let begun = Instant::now();
    let mut dials = FuturesUnordered::new();
    let mut later = DIALLED_AGAIN_AFTER.iter().map(|after| begun + *after).chain([begun + CONNECTED_WITHIN]);
    loop {
        dials.push(Connection::open(id, name, dialler, credentials.clone()));
        let next = later.next();
        let (until, last) = (next.unwrap_or(begun), next == Some(begun + CONNECTED_WITHIN));
        loop {
            tokio::select! {
                biased;
                Some(result) = dials.next() => match result {
                    Err(_) if !dials.is_empty() => {}
                    result => return result,
                },
                () = sleep_until(until) => break,
            }
        }
        if last {
            let limit = CONNECTED_WITHIN.as_millis();
            return Err(Fault::NotServed(format!("no connection within {limit} ms")));
        }
    }
}

/// Says what is new about a server.
fn say_what_is_new(name: &str, version: &str, warning: &Mutex<Option<String>>, log: &Log) {
    let now = warning::of_server(name, version);
    let before = std::mem::replace(&mut *lock(warning), now.clone());
    if let Some(text) = now.filter(|now| before.as_ref() != Some(now)) {
        log.warn(&text);
    }
}
