//! One session that is guarded: its process, its leases, and a connection to its etcd that is kept warm.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use primacy::config::{Config, EtcdSettings};
use primacy::crash_guard::{Message, socket};
use primacy::etcd::{Etcd, LookingUp, Resolver};
use primacy::host::{Asker, Store};
use primacy::log::{Level, Log};
use primacy::platform;
use primacy::store::{Failure, Key, LeaseId, Op, Range, Request, Txn};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use crate::voice::Voice;

/// How often etcd is asked something, so that there are a connection and a token when they are needed,
const WARMED_EVERY: Duration = Duration::from_secs(10);
/// and after one that failed.
const WARMED_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// For one try: an endpoint that does not answer is not waited for, another one is asked beside it far sooner.
pub const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
/// Between two tries to revoke.
const REVOKED_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// The host answers where a name is.
const LOOKED_UP_WITHIN: Duration = Duration::from_secs(10);

/// See the module.
pub struct Ward {
    pid: Pid,
    /// Readable once that process is dead. `None`: it was dead before we looked.
    process: Option<AsyncFd<Arc<OwnedFd>>>,
    link: AsyncFd<Arc<OwnedFd>>,
    /// With their TTL.
    leases: BTreeMap<LeaseId, Duration>,
    names: Arc<Names>,
    etcd: Option<Reached>,
    voice: Voice,
}

/// How its etcd is reached.
struct Reached {
    etcd: Etcd,
    warming: AbortHandle,
}

impl Drop for Reached {
    fn drop(&mut self) {
        self.warming.abort();
    }
}

impl Ward {
    /// Of the process that made this socket. Must be called inside a tokio runtime.
    pub fn new(link: OwnedFd, voice: Voice) -> io::Result<Ward> {
        let pid = socket_peercred(&link)?.pid;
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => Some(platform::registered(Arc::new(process))?),
            Err(rustix::io::Errno::SRCH) => None,
            Err(error) => return Err(error.into()),
        };
        let link = Arc::new(link);
        let names = Arc::new(Names { link: link.clone(), known: Mutex::default(), told: Notify::new() });
        let link = platform::registered(link)?;
        Ok(Ward { pid, process, link, leases: BTreeMap::new(), names, etcd: None, voice })
    }

    /// Until the process is dead and its leases are revoked; or until `ended`, if it lives on then.
    pub async fn run(mut self, mut ended: watch::Receiver<bool>) {
        let mut is_open = true;
        loop {
            let dead = async {
                if let Some(process) = &self.process {
                    let _ = process.readable().await;
                }
            };
            tokio::select! {
                biased;
                () = dead => break,
                message = socket::received(&self.link), if is_open => match message {
                    Ok(Some((message, _))) => self.heard(message),
                    // The session is over; or its host has closed what it had, and is not dead.
                    Ok(None) if self.leases.is_empty() => return,
                    Ok(None) => is_open = false,
                    Err(error) => self.voice.say(&format!("process {}: not understood: {error}", self.pid)),
                },
                _ = ended.changed() => if self.lives() { return },
            }
        }
        let died = Instant::now();
        self.hear_the_rest();
        self.revoke(died).await;
    }

    /// What it had told before it died; what is not understood keeps nothing back that comes after.
    fn hear_the_rest(&mut self) {
        loop {
            match socket::receive(self.link.get_ref()) {
                Ok(Some((message, _))) => self.heard(message),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn lives(&self) -> bool {
        let Some(process) = &self.process else { return false };
        let mut fds = [PollFd::new(process.get_ref(), PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())) == Ok(0)
    }

    fn heard(&mut self, message: Message) {
        match message {
            Message::Etcd { settings, probe } => match self.reach(&settings, probe.into()) {
                Ok(reached) => self.etcd = Some(reached),
                Err(why) => {
                    self.voice.say(&format!("process {} is not guarded: {why}", self.pid));
                    // The host says so too, rather than count on us.
                    socket::hang_up(self.link.get_ref());
                }
            },
            Message::Granted { lease, ttl_ms } => {
                self.leases.insert(LeaseId(lease), Duration::from_millis(ttl_ms));
            }
            Message::Revoked { lease } => _ = self.leases.remove(&LeaseId(lease)),
            Message::Addresses { name, addresses } => self.names.are(name, addresses),
            Message::Hello { .. } | Message::LookUp { .. } | Message::Guarding {} => {}
        }
    }

    fn reach(&self, settings: &BTreeMap<String, String>, probe: Key) -> Result<Reached, String> {
        let settings = settings_of(settings)?;
        let (voice, pid) = (self.voice.clone(), self.pid);
        let log = Log::new(move |level, text| {
            if level <= Level::Warn {
                voice.say(&format!("of process {pid}: {text}"));
            }
        });
        let names = self.names.clone();
        let resolver: Resolver = Arc::new(move |name| names.clone().look_up(name));
        let (report, _) = mpsc::unbounded_channel();
        let etcd =
            Etcd::resolving(&settings, &resolver, report, log).map_err(|failure| failure.to_string())?;
        let of_task = (etcd.clone(), self.voice.clone(), self.names.link.clone());
        let warming = tokio::spawn(async move { warm(&of_task.0, probe, pid, &of_task.1, &of_task.2).await });
        Ok(Reached { etcd, warming: warming.abort_handle() })
    }

    /// Revokes all leases, each until it is gone, or has run out for sure: a change of etcd's leader gives a lease its
    /// whole TTL once more.
    async fn revoke(self, died: Instant) {
        let Some(reached) = &self.etcd else { return };
        let mut revokes = JoinSet::new();
        for (&lease, &ttl) in &self.leases {
            let (etcd, voice, pid) = (reached.etcd.clone(), self.voice.clone(), self.pid);
            revokes.spawn(async move {
                let end = died + 2 * ttl + Duration::from_secs(1);
                let what = match revoked(&etcd, lease, end).await {
                    Ok(()) => format!("revoked after {} ms", died.elapsed().as_millis()),
                    Err(failure) => format!("not revoked: {failure}"),
                };
                voice.say(&format!("process {pid} is dead, lease {lease} is {what}"));
            });
        }
        while revokes.join_next().await.is_some() {}
    }
}

fn settings_of(texts: &BTreeMap<String, String>) -> Result<EtcdSettings, String> {
    let mut config = Config::new();
    for (name, text) in texts {
        config.set(name, text).map_err(|error| error.to_string())?;
    }
    Ok(config.settings().map_err(|error| error.to_string())?.etcd)
}

/// Keeps a connection, and a token that is good. The host hears when etcd has answered first; a guard that etcd denies is
/// none, as it then hears.
async fn warm(etcd: &Etcd, probe: Key, pid: Pid, voice: &Voice, link: &OwnedFd) {
    let (mut is_cold, mut is_told) = (false, false);
    loop {
        let read = Request::Txn(Txn { then: vec![Op::Get(Range::Key(probe.clone()))], ..Txn::default() });
        let failure = Store::call(etcd, Asker::Lease, read, ANSWERED_WITHIN).await.err();
        match &failure {
            Some(why) if !is_cold => {
                voice.say(&format!("of process {pid}: etcd, by which its leases would be revoked: {why}"));
            }
            None if is_cold => voice.say(&format!("of process {pid}: etcd answers")),
            _ => {}
        }
        if failure.is_none() && !is_told {
            is_told = socket::send(link, &Message::Guarding {}, None).is_ok();
        }
        if matches!(failure, Some(Failure::Denied(_))) {
            socket::hang_up(link);
        }
        is_cold = failure.is_some();
        sleep(if is_cold { WARMED_AGAIN_AFTER } else { WARMED_EVERY }).await;
    }
}

async fn revoked(etcd: &Etcd, lease: LeaseId, end: Instant) -> Result<(), Failure> {
    loop {
        match etcd.call(Request::Revoke { lease }, ANSWERED_WITHIN).await {
            Ok(_) | Err(Failure::LeaseNotFound) => return Ok(()),
            Err(failure) if !failure.may_pass() || Instant::now() >= end => return Err(failure),
            Err(_) => sleep(REVOKED_AGAIN_AFTER).await,
        }
    }
}

/// Where names are, as the host has told.
struct Names {
    link: Arc<OwnedFd>,
    known: Mutex<HashMap<String, Vec<SocketAddr>>>,
    told: Notify,
}

impl Names {
    /// Where it was last, if that is known, while the host looks it up again: a dead one does not answer.
    fn look_up(self: Arc<Self>, name: String) -> LookingUp {
        Box::pin(async move {
            let _ = socket::send(&self.link, &Message::LookUp { name: name.clone() }, None);
            let known = timeout(LOOKED_UP_WITHIN, async {
                loop {
                    let told = self.told.notified();
                    if let Some(known) = self.last(&name) {
                        return known;
                    }
                    told.await;
                }
            });
            Ok(known.await.unwrap_or_default())
        })
    }

    fn last(&self, name: &str) -> Option<Vec<SocketAddr>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// One that is not found any more is where it was.
    fn are(&self, name: String, addresses: Vec<SocketAddr>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !addresses.is_empty() || !known.contains_key(&name) {
            known.insert(name, addresses);
        }
        drop(known);
        self.told.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::SendFlags;

    fn ward() -> (OwnedFd, Ward) {
        let (ours, theirs) = socket::pair().unwrap();
        (ours, Ward::new(theirs, Voice::new("test")).unwrap())
    }

    #[tokio::test]
    async fn one_that_can_not_reach_etcd_hangs_up() {
        let (host, ward) = ward();
        let settings = [("no.such.name".to_owned(), String::new())].into();
        socket::send(&host, &Message::Etcd { settings, probe: "a".into() }, None).unwrap();
        let (_end, ended) = watch::channel(false);
        let _running = tokio::spawn(ward.run(ended));
        let host = platform::registered(Arc::new(host)).unwrap();
        let heard = timeout(Duration::from_secs(60), socket::received(&host)).await.unwrap();
        assert!(heard.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_is_not_understood_keeps_no_lease_back() {
        let (host, mut ward) = ward();
        rustix::net::send(&host, b"{", SendFlags::empty()).unwrap();
        socket::send(&host, &Message::Granted { lease: 7, ttl_ms: 1 }, None).unwrap();
        ward.hear_the_rest();
        assert!(ward.leases.contains_key(&LeaseId(7)));
    }
}
