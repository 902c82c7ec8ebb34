//! `primacy guard`: the host's parent, and the guard of its leases; or, started by the host's library, beside it.
//!
//! In order: the program is started with a socket that its library finds; signals go to it, whatever ends is reaped; each
//! session that comes through the socket gets a [`Ward`] of its own. When the program has ended, so do we, as
//! soon as the leases of what is dead are revoked. Beside a host nothing is started and no signal is passed on.

mod ward;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;

use primacy::crash_guard::{Message, VERSION, socket};
use primacy::platform::{self, SignalMask};
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, set_child_subreaper};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::child::{Child, NotStarted};
use crate::exit::BROKEN;
use crate::signals::{Signals, should_end};
use crate::voice::Voice;
use ward::{ANSWERED_WITHIN, Ward};

/// What `primacy guard` is told.
#[derive(clap::Args)]
pub struct Guard {
    /// The program and its arguments
    #[arg(last = true, required_unless_present = "beside", value_name = "PROGRAM")]
    program: Vec<OsString>,
    /// Started by a host's library, which is at the other end of standard input
    #[arg(long, hide = true, conflicts_with = "program")]
    beside: bool,
}

impl Guard {
    /// Starts the program and guards it to its end; returns its exit code.
    pub fn run(self) -> ExitCode {
        if self.beside {
            platform::close_inherited_from(3);
        }
        // We speak, and take the terminal back, while it is the program's. Before there is a thread.
        let given = SignalMask::block([Signal::TTOU.as_raw()]);
        let voice = Voice::new("primacy guard");
        let code = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) if self.beside => runtime.block_on(beside(&voice)),
            Ok(runtime) => runtime.block_on(guard(&self.program, &given, &voice)),
            Err(error) => Err(Failed { why: error.to_string(), code: BROKEN }),
        };
        let code = code.unwrap_or_else(|Failed { why, code }| {
            voice.say(&why);
            code
        });
        voice.finish();
        ExitCode::from(code)
    }
}

/// The program was not started.
struct Failed {
    why: String,
    /// As other programs that start programs have it.
    code: u8,
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Failed {
        Failed { why: error.to_string(), code: BROKEN }
    }
}

impl From<NotStarted> for Failed {
    fn from(NotStarted { why, code }: NotStarted) -> Failed {
        Failed { why, code }
    }
}

async fn guard(program: &[OsString], mask: &SignalMask, voice: &Voice) -> Result<u8, Failed> {
    let mut signals = Signals::new()?;
    // The first process of a container, or of a PID namespace, gets the orphans anyway.
    if getpid() != Pid::INIT
        && let Err(error) = set_child_subreaper(Some(getpid()))
    {
        voice.say(&format!("orphans are not reaped here: {error}"));
    }
    let (ours, theirs) = socket::pair()?;
    let theirs = match pidfd_open(getpid(), PidfdFlags::empty()) {
        Ok(_) => Some(theirs),
        Err(error) => {
            voice.say(&format!(
                "nothing is guarded, since this kernel can not tell of a process's end (pidfd_open: {error})"
            ));
            None
        }
    };
    let child = Child::start(program, theirs, mask, |_| {})?;
    let hellos = platform::registered(Arc::new(ours))?;

    let (end, ended) = watch::channel(false);
    let mut wards = JoinSet::new();
    let code = loop {
        tokio::select! {
            biased;
            signal = signals.next() => match signal {
                Signal::CHILD => if let Some(code) = child.reap()? { break code },
                other => child.signal(other),
            },
            session = hello(&hellos) => begin(session, &ended, &mut wards, voice),
            Some(_) = wards.join_next() => {}
        }
    };
    child.give_terminal_back();
    // What the program had sent before it ended.
    while let Some(session) = received(socket::receive(hellos.get_ref())) {
        begin(session, &ended, &mut wards, voice);
    }
    let _ = end.send(true);
    revoked(&mut wards, &mut signals, voice, || _ = child.reap()).await;
    Ok(code)
}

/// Until all is revoked that there is to revoke, or we are told to end.
async fn revoked(wards: &mut JoinSet<()>, signals: &mut Signals, voice: &Voice, reap: impl Fn()) {
    let tried = Instant::now() + ANSWERED_WITHIN;
    let mut is_told = false;
    loop {
        tokio::select! {
            biased;
            over = wards.join_next() => if over.is_none() { return },
            signal = signals.next() => match signal {
                Signal::CHILD => reap(),
                other => is_told |= should_end(other),
            },
            // Whoever ends us does not want to wait for an etcd that is away; one that is there has answered by now.
            () = sleep_until(tried), if is_told => {
                voice.say("told to end: leases that are not revoked run out by themselves");
                return;
            }
        }
    }
}

/// Beside the host that has started us: as long as it lives and has a session. Signals mean nothing until it is dead: those
/// of a terminal, a service manager or a container's end are for the host, which ends its sessions.
async fn beside(voice: &Voice) -> Result<u8, Failed> {
    let mut signals = Signals::new()?;
    let stdin = io::stdin();
    if !socket::is_one(&stdin) {
        return Err(io::Error::other("--beside is for the library of a host").into());
    }
    let host = pidfd_open(socket_peercred(&stdin).map_err(io::Error::from)?.pid, PidfdFlags::empty());
    let host = match host {
        Ok(host) => Some(platform::registered(Arc::new(host))?),
        Err(rustix::io::Errno::SRCH) => None,
        Err(error) => return Err(io::Error::from(error).into()),
    };
    let hellos = platform::registered(Arc::new(platform::inherited(stdin.as_raw_fd())?))?;
    let (end, ended) = watch::channel(false);
    let mut wards = JoinSet::new();
    let mut is_open = true;
    while is_open || !wards.is_empty() {
        let dead = async {
            if let Some(host) = &host {
                let _ = host.readable().await;
            }
        };
        tokio::select! {
            biased;
            () = dead => break,
            session = socket::received(&hellos), if is_open => match received(session) {
                Some(session) => begin(session, &ended, &mut wards, voice),
                None => is_open = false,
            },
            Some(_) = wards.join_next() => {}
            _ = signals.next() => {}
        }
    }
    while let Some(session) = received(socket::receive(hellos.get_ref())) {
        begin(session, &ended, &mut wards, voice);
    }
    let _ = end.send(true);
    revoked(&mut wards, &mut signals, voice, || ()).await;
    Ok(0)
}

/// The next session that begins. Never, once nobody has the other end any more.
async fn hello(hellos: &AsyncFd<Arc<OwnedFd>>) -> Session {
    loop {
        match received(socket::received(hellos).await) {
            Some(session) => return session,
            None => std::future::pending().await,
        }
    }
}

/// A session's socket, or what is wrong with it.
type Session = Result<OwnedFd, String>;

/// `None`: there is nothing.
fn received(received: socket::Received) -> Option<Session> {
    match received {
        Ok(None) => None,
        Ok(Some((Message::Hello { version }, _))) if version != VERSION => {
            Some(Err(format!("its library speaks version {version}, and this program {VERSION}")))
        }
        Ok(Some((Message::Hello { .. }, Some(socket)))) => Some(Ok(socket)),
        Ok(Some(_)) => Some(Err("its library does not introduce it".into())),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
        Err(error) => Some(Err(error.to_string())),
    }
}

fn begin(session: Session, ended: &watch::Receiver<bool>, wards: &mut JoinSet<()>, voice: &Voice) {
    let ward = |socket| Ward::new(socket, voice.clone()).map_err(|error| error.to_string());
    match session.and_then(ward) {
        Ok(ward) => _ = wards.spawn(ward.run(ended.clone())),
        Err(why) => voice.say(&format!("a session is not guarded: {why}")),
    }
}
