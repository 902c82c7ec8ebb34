//! A session's line to the crash guard of its process, if there is one.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::helper::Helper;
use super::message::{Message, VERSION};
use super::{VARIABLE, socket};
use crate::config::{CrashGuard, Endpoint, EtcdSettings};
use crate::etcd;
use crate::host::lock;
use crate::log::Log;
use crate::milvus::Root;
use crate::platform;
use crate::store::Failure;

const GONE: &str = "the crash guard is gone: should this process die, its leases run out by themselves";

/// See the module. Dropped, it is closed: what the guard was told stays with it.
pub(crate) struct Link {
    state: Arc<State>,
    listening: AbortHandle,
    /// Runs as long as a session needs it.
    _helper: Option<Arc<Helper>>,
}

struct State {
    socket: Arc<OwnedFd>,
    /// Why nobody guards the session any more.
    lost: Mutex<Option<String>>,
    /// What came first, if anything has: that it guards us, or why nobody does.
    first: watch::Sender<Option<Result<(), String>>>,
    log: Log,
}

impl Link {
    /// Finds the guard, or starts one where that is wanted, and tells it of a new session. `None`: there is none, or none
    /// is wanted. Does not wait for its word: see [`guarding`](Link::guarding). Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`Failure::Refused`] where one is required, and there is none or none can be started.
    pub(crate) fn open(
        wanted: &CrashGuard,
        etcd: &EtcdSettings,
        root: &Root,
        log: &Log,
    ) -> Result<Option<Link>, Failure> {
        let in_memory = matches!(etcd.endpoints[..], [Endpoint::Memory { .. }]);
        if *wanted == CrashGuard::Off || in_memory {
            return Ok(None);
        }
        match (Link::to_guard(wanted, etcd, root, log), wanted) {
            (Ok(Some(link)), _) => Ok(Some(link)),
            (Ok(None), CrashGuard::Required) => Err(refused(&format!(
                "{VARIABLE} is not set: start this program by `primacy guard -- PROGRAM`"
            ))),
            (Ok(None), _) => Ok(None),
            (Err(why), CrashGuard::Required | CrashGuard::Helper(_)) => Err(refused(&why)),
            (Err(why), _) => {
                log.warn(&format!("no crash guard: {why}"));
                Ok(None)
            }
        }
    }

    fn to_guard(
        wanted: &CrashGuard,
        etcd: &EtcdSettings,
        root: &Root,
        log: &Log,
    ) -> Result<Option<Link>, String> {
        if let Ok(place) = std::env::var(VARIABLE) {
            let inherited = inherited(&place)?;
            return Link::through(&inherited, None, etcd, root, log).map(Some).map_err(|error| {
                format!("the one that {VARIABLE}={place} leads to does not serve: {error}")
            });
        }
        let CrashGuard::Helper(program) = wanted else { return Ok(None) };
        let failed = |error: io::Error| {
            format!("the program that primacy.guard_program names, {program}, can not be started: {error}")
        };
        let helper = Helper::running(program).map_err(failed)?;
        let Some(socket) = helper.socket() else { return Ok(None) };
        Link::through(socket, Some(helper.clone()), etcd, root, log).map(Some).map_err(failed)
    }

    /// To the guard at the other end of this.
    pub(super) fn through(
        guard: impl AsFd,
        helper: Option<Arc<Helper>>,
        etcd: &EtcdSettings,
        root: &Root,
        log: &Log,
    ) -> io::Result<Link> {
        let (ours, theirs) = socket::pair()?;
        let probe = root.id_key().to_string();
        socket::send(guard, &Message::Hello { version: VERSION }, Some(theirs.as_fd()))?;
        let settings = etcd.texts();
        socket::send(&ours, &Message::Etcd { settings, probe }, None)?;

        let (first, _) = watch::channel(None);
        let state =
            Arc::new(State { socket: Arc::new(ours), lost: Mutex::default(), first, log: log.clone() });
        let registered = platform::registered(state.socket.clone())?;
        let of_task = state.clone();
        let listening = tokio::spawn(async move {
            loop {
                match socket::received(&registered).await {
                    Ok(Some((Message::LookUp { name }, _))) => {
                        let addresses = etcd::look_up(name.clone()).await.unwrap_or_default();
                        of_task.tell(&Message::Addresses { name, addresses });
                    }
                    Ok(Some((Message::Guarding {}, _))) => of_task.guards(),
                    Ok(Some(_)) => {}
                    Ok(None) => return of_task.is_lost(GONE.into()),
                    Err(error) => return of_task.is_lost(format!("{GONE} ({error})")),
                }
            }
        });
        log.info("a crash guard revokes the leases of this session if this process dies");
        Ok(Link { state, listening: listening.abort_handle(), _helper: helper })
    }

    /// Until the guard has said that it can do what it is for. What becomes of it later changes nothing here.
    ///
    /// # Errors
    /// [`Failure::Refused`]: it can not, or has gone before.
    pub(crate) async fn guarding(&self) -> Result<(), Failure> {
        let mut first = self.state.first.subscribe();
        match first.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Ok(()))) => Ok(()),
            Ok(Some(Err(why))) => Err(refused(why)),
            // Nobody can say anything any more.
            Ok(None) | Err(_) => Err(refused(GONE)),
        }
    }

    /// Tells the guard. Does not block.
    pub(crate) fn tell(&self, message: &Message) {
        self.state.tell(message);
    }

    /// What has become of the guard, if nobody guards the session any more.
    pub(crate) fn warning(&self) -> Option<String> {
        lock(&self.state.lost).clone()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl State {
    fn tell(&self, message: &Message) {
        match socket::send(&self.socket, message, None) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.is_lost(GONE.into()),
            // It has left hundreds of messages unread, or there is no memory: what it knows is not all any more.
            Err(error) => {
                self.is_lost(format!("the crash guard can not be told of leases any more: {error}"))
            }
        }
    }

    fn guards(&self) {
        self.is_first(Ok(()));
    }

    fn is_first(&self, word: Result<(), String>) {
        self.first.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                *first = Some(word);
            }
            is_first
        });
    }

    /// Said once.
    fn is_lost(&self, why: String) {
        self.is_first(Err(why.clone()));
        let mut lost = lock(&self.lost);
        if lost.is_none() {
            self.log.warn(&why);
            *lost = Some(why);
        }
    }
}

fn refused(why: &str) -> Failure {
    Failure::Refused(format!("primacy.guard is required, and {why}"))
}

/// The guard's socket, by `NUMBER:INODE`. What this process starts does not inherit it from here on.
fn inherited(place: &str) -> Result<OwnedFd, String> {
    let (number, inode) = place
        .split_once(':')
        .and_then(|(number, inode)| Some((number.parse().ok()?, inode.parse::<u64>().ok()?)))
        .ok_or_else(|| format!("{VARIABLE}={place} is not what a guard puts there"))?;
    let other = || {
        format!(
            "{VARIABLE} names descriptor {number}, which is not the guard's socket; was it closed, or not inherited?"
        )
    };
    let file = File::from(platform::inherited(number).map_err(|_| other())?);
    if !socket::is_one(&file) || file.metadata().is_ok_and(|what| what.ino() != inode) {
        return Err(other());
    }
    platform::close_on_exec(number);
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    fn place(socket: &OwnedFd, off: u64) -> String {
        let inode = File::from(socket.try_clone().unwrap()).metadata().unwrap().ino();
        format!("{}:{}", socket.as_raw_fd(), inode + off)
    }

    #[test]
    fn the_guards_socket_is_told_from_what_has_its_number() {
        let (ours, theirs) = socket::pair().unwrap();
        let found = inherited(&place(&theirs, 0)).unwrap();
        socket::send(&found, &Message::Hello { version: VERSION }, None).unwrap();
        assert!(socket::receive(&ours).unwrap().is_some());
        for wrong in [place(&theirs, 1), "9999:1".into(), "-1:1".into(), "x".into(), String::new()] {
            assert!(inherited(&wrong).unwrap_err().contains(VARIABLE), "{wrong}");
        }
        let (stream, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(inherited(&place(&stream.into(), 0)).unwrap_err().contains("closed"));
    }
}
