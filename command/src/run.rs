//! `primacy run`: any program, only while this is primary.
//!
//! The program is a child of the main thread. The [`supervisor`] there sees to it that it ends in time, told by SIGTERM while
//! there is time left, and killed while the lease is still there: when, the [`limits`] say. The session, its lease and its
//! callbacks are the library's, on threads of its own; callbacks come by the [`teller`], and are answered by the supervisor.

mod limits;
mod supervisor;
mod teller;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use primacy::config::{CrashGuard, Settings};
use primacy::log::{Level, Log};
use primacy::milvus::{Candidate, Keys, Role};
use primacy::platform::SignalMask;
use primacy::session::Session;
use rustix::process::Signal;
use semver::Version;
use tokio::sync::{mpsc, oneshot};

use crate::exit::Failed;
use crate::settings::Given;
use crate::signals::{Signals, should_end};
use crate::voice::Voice;
use limits::Limits;
use supervisor::Supervisor;
use teller::Teller;

/// The session ends within this, once the program has.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

const HELP: &str = "\
The program finds in its environment:
  PRIMACY_TOKEN  the fencing token of this win: compare it in each write
  PRIMACY_LOCK   the key whose mod_revision it is
  PRIMACY_ROLE   the role

Exit codes:
  0    told to end while standing by
  2    the command line or a setting is wrong
  125  no session could be opened, or it broke
  126  the program can not be started
  127  there is no such program
  else the program's; 128 + n where it died of signal n";

/// What `primacy run` is told.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct Run {
    /// What it is primary of
    #[arg(value_parser = Role::parse)]
    role: Role,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
    /// What the candidate's record says, where clients reach the program [default: this machine's name]
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// What the record says that the program's version is
    #[arg(long, value_name = "VERSION", default_value = "0.0.0")]
    program_version: Version,
    /// How long before the end of primacy the program is told, in ms [default: a fifth of the TTL]
    #[arg(long, value_name = "MS")]
    grace_ms: Option<u64>,
    #[command(flatten)]
    given: Given,
}

impl Run {
    /// Until the program has ended by itself, or we are told to end; returns the exit code.
    pub fn run(self) -> ExitCode {
        // As the guard does: we speak, and take the terminal back, while it is the program's. Before there is a thread.
        let given = SignalMask::block([Signal::TTOU.as_raw()]);
        let voice = Voice::new("primacy run");
        let code = self.settings().and_then(|settings| self.follow(&settings, &given, &voice));
        let code = code.unwrap_or_else(|Failed { code, why }| {
            voice.say(&why);
            code
        });
        voice.finish();
        ExitCode::from(code)
    }

    fn settings(&self) -> Result<Settings, Failed> {
        let mut settings = self.given.settings()?;
        // Either would revoke the lease when we are dead, while the kernel is still at killing the program.
        settings.guard = CrashGuard::Off;
        settings.reclaim = false;
        if self.grace(&settings) > settings.ttl / 3 {
            let most = (settings.ttl / 3).as_millis();
            return Err(Failed::usage(format!(
                "--grace-ms is at most a third of the TTL ({most}): a lease is renewed that often, and less is left of it then"
            )));
        }
        Ok(settings)
    }

    fn grace(&self, settings: &Settings) -> Duration {
        self.grace_ms.map_or(settings.ttl / 5, Duration::from_millis)
    }

    fn candidate(&self) -> Result<Candidate, Failed> {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let version = self.program_version.clone();
        let candidate = match &self.address {
            Some(address) => Candidate::new(address, &host, version),
            None => Candidate::at_any(&host, &host, version),
        };
        candidate.map_err(Failed::usage)
    }

    fn follow(&self, settings: &Settings, mask: &SignalMask, voice: &Voice) -> Result<u8, Failed> {
        let candidate = self.candidate()?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failed::broken)?;
        runtime.block_on(async {
            let mut signals = Signals::new().map_err(Failed::broken)?;
            let Some(session) = open(settings, candidate, &mut signals, voice).await? else { return Ok(0) };
            let (tell, told) = mpsc::unbounded_channel();
            let election =
                session.register(self.role.as_str(), Arc::new(Teller(tell))).map_err(Failed::broken)?;
            election.campaign();
            let keys = Keys::new(&settings.root, &self.role, settings.layout, session.server_id());
            let lock = keys.locks.first().map(|lock| lock.key.to_string()).unwrap_or_default();
            let limits = Limits { grace: self.grace(settings), drain: settings.drain_timeout };
            let mut supervisor = Supervisor {
                program: &self.program,
                role: &self.role,
                lock,
                election,
                limits,
                mask,
                voice,
                running: None,
            };
            let code = supervisor.supervise(&mut signals, told).await;
            drop(supervisor);
            if session.close(Some(CLOSED_WITHIN), |_| true).is_err() {
                voice.say("the session did not end in time: its lease runs out by itself");
            }
            code
        })
    }
}

/// `None`: we were told to end meanwhile.
async fn open(
    settings: &Settings,
    candidate: Candidate,
    signals: &mut Signals,
    voice: &Voice,
) -> Result<Option<Session>, Failed> {
    let says = voice.clone();
    let log = Log::new(move |level, text| {
        if level <= Level::Warn {
            says.say(text);
        }
    });
    let (tell, told) = oneshot::channel();
    let done = move |opened| drop(tell.send(opened));
    let session =
        Session::start_open(None, settings.clone(), candidate, log, done).map_err(Failed::broken)?;
    let mut told = std::pin::pin!(told);
    loop {
        tokio::select! {
            opened = &mut told => {
                opened.map_err(Failed::broken)?.map_err(Failed::broken)?;
                return Ok(Some(session));
            }
            signal = signals.next() => if should_end(signal) {
                let _ = session.close(Some(CLOSED_WITHIN), |_| true);
                return Ok(None);
            }
        }
    }
}
