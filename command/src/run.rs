//! `primacy run`: any program, only while this is primary.
//!
//! The program is a child of the main thread, which sees to it that it ends in time: told by SIGTERM while there is time
//! left, killed while the lease is still there. When is [`limits`]'s affair. The session, its lease and its callbacks
//! are the library's, on threads of its own; callbacks come here as [`Told`], and are answered from here.

mod limits;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use primacy::config::{CrashGuard, Settings};
use primacy::election::{Election, Host, Reply};
use primacy::engine::{Call, CallId, LostReason, Notice, Outcome, Token};
use primacy::log::{Level, Log};
use primacy::milvus::{Candidate, Keys, Role};
use primacy::platform::{self, SignalMask};
use primacy::session::Session;
use rustix::process::Signal;
use semver::Version;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use crate::child::{Child, NotStarted};
use crate::exit::Failed;
use crate::settings::Given;
use crate::signals::{Signals, should_end};
use crate::voice::Voice;
use limits::{Due, Limits};

/// We could not begin.
const FAILED: u8 = 125;
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

/// What the session's callbacks have said.
enum Told {
    Primary(CallId, Token),
    Lost(CallId, LostReason),
    Suspended,
}

/// Tells us, and is answered later where it waits for the program.
struct Teller(mpsc::UnboundedSender<Told>);

impl Host for Teller {
    fn call(&self, call: CallId, what: &Call) -> Reply {
        let told = match what {
            Call::Standby { .. } => return Reply::Done,
            // There is nothing to get ready.
            Call::Warmup => return Reply::Warm,
            Call::Primary { token, .. } => Told::Primary(call, *token),
            Call::Lost { reason, .. } => Told::Lost(call, *reason),
        };
        match (self.0.send(told), what) {
            (Ok(()), _) => Reply::Pending,
            // Nobody is there any more, and no program.
            (Err(_), Call::Lost { .. }) => Reply::Done,
            (Err(_), _) => Reply::Failed("primacy run ends".into()),
        }
    }
    fn cancelled(&self, _: CallId) {}
    fn notice(&self, what: &Notice) {
        if let Notice::Suspended { .. } = what {
            let _ = self.0.send(Told::Suspended);
        }
    }
    fn stopped(&self) {}
}

/// The program while it runs.
struct Running {
    child: Child,
    /// Since when it was told to end, and why.
    told: Option<(Instant, Why)>,
    is_killed: bool,
    /// The `on_lost` that waits for its end.
    lost: Option<CallId>,
}

/// Where something breaks, no program is left behind.
impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill_group();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// We were.
    Asked,
    /// The lease was not renewed in time.
    Late,
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
        // A guard would revoke the lease when we are dead, while the kernel is still at killing the program.
        settings.guard = CrashGuard::Off;
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
        runtime.block_on(async {
            let mut signals = Signals::new().map_err(broken)?;
            let Some(session) = open(settings, candidate, &mut signals, voice).await? else { return Ok(0) };
            let (tell, told) = mpsc::unbounded_channel();
            let election = session.register(self.role.as_str(), Arc::new(Teller(tell))).map_err(broken)?;
            election.campaign();
            let keys = Keys::new(&settings.root, &self.role, settings.layout, session.server_id());
            let lock = keys.locks.first().map(|lock| lock.key.to_string()).unwrap_or_default();
            let limits = Limits { grace: self.grace(settings), drain: settings.drain_timeout };
            let mut supervisor = Supervisor { run: self, election, limits, mask, voice, lock, running: None };
            let code = supervisor.supervise(&mut signals, told).await;
            drop(supervisor);
            if session.close(Some(CLOSED_WITHIN), |_| true).is_err() {
                voice.say("the session did not end in time: its lease runs out by itself");
            }
            code
        })
    }
}

fn broken(error: impl ToString) -> Failed {
    Failed { code: FAILED, why: error.to_string() }
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
    let session = Session::start_open(None, settings.clone(), candidate, log, done).map_err(broken)?;
    let mut told = std::pin::pin!(told);
    loop {
        tokio::select! {
            opened = &mut told => {
                opened.map_err(broken)?.map_err(broken)?;
                return Ok(Some(session));
            }
            signal = signals.next() => if should_end(signal) {
                let _ = session.close(Some(CLOSED_WITHIN), |_| true);
                return Ok(None);
            }
        }
    }
}

struct Supervisor<'a> {
    run: &'a Run,
    election: Election,
    limits: Limits,
    mask: &'a SignalMask,
    voice: &'a Voice,
    lock: String,
    running: Option<Running>,
}

impl Supervisor<'_> {
    async fn supervise(
        &mut self,
        signals: &mut Signals,
        mut told: mpsc::UnboundedReceiver<Told>,
    ) -> Result<u8, Failed> {
        loop {
            self.keep_within_limits();
            tokio::select! {
                biased;
                signal = signals.next() => {
                    if let Some(code) = self.signalled(signal)? {
                        return Ok(code);
                    }
                }
                told = told.recv() => match told {
                    Some(told) => self.told(told)?,
                    None => return Err(broken("the session is over")),
                },
                () = sleep(limits::LOOKED_AT_EVERY), if self.running.is_some() => {}
            }
        }
    }

    /// The exit code, if that is the end.
    fn signalled(&mut self, signal: Signal) -> Result<Option<u8>, Failed> {
        let Some(running) = &mut self.running else { return Ok(should_end(signal).then_some(0)) };
        if signal != Signal::CHILD {
            if should_end(signal) && running.told.is_none_or(|(_, why)| why != Why::Asked) {
                running.told = Some((Instant::now(), Why::Asked));
            }
            running.child.signal(signal);
            return Ok(None);
        }
        let Some(code) = running.child.reap().map_err(broken)? else { return Ok(None) };
        running.child.give_terminal_back();
        let (lost, why) = (running.lost, running.told.map(|(_, why)| why));
        // What it has started may still be there: it is killed.
        self.running = None;
        if let Some(call) = lost {
            let _ = self.election.complete(call, Outcome::Done);
        }
        if why == Some(Why::Asked) || (lost.is_none() && why.is_none()) {
            return Ok(Some(code));
        }
        self.voice.say("the program has ended, since primacy has, or would have; standing by");
        self.election.resign();
        Ok(None)
    }

    fn told(&mut self, told: Told) -> Result<(), Failed> {
        match told {
            Told::Primary(call, token) => self.start(call, token),
            Told::Lost(call, reason) => {
                match &mut self.running {
                    Some(running) => {
                        self.voice.say(&format!("primacy is lost ({reason:?}): the program is killed"));
                        running.child.kill_group();
                        (running.is_killed, running.lost) = (true, Some(call));
                    }
                    None => _ = self.election.complete(call, Outcome::Done),
                }
                Ok(())
            }
            Told::Suspended => {
                self.voice.say("the lease is not renewed in time; it is tried again");
                Ok(())
            }
        }
    }

    fn start(&mut self, call: CallId, token: Token) -> Result<(), Failed> {
        let outcome = |outcome| {
            let _ = self.election.complete(call, outcome);
        };
        if self.election.token() != Some(token) {
            outcome(Outcome::Failed("primacy had ended before the program was started".into()));
            return Ok(());
        }
        let environment = [
            ("PRIMACY_TOKEN", token.to_string()),
            ("PRIMACY_LOCK", self.lock.clone()),
            ("PRIMACY_ROLE", self.run.role.to_string()),
        ];
        let child = Child::start(&self.run.program, None, self.mask, |command| {
            command.envs(environment);
            platform::ends_with_us(command);
        });
        match child {
            Ok(child) => {
                self.running = Some(Running { child, told: None, is_killed: false, lost: None });
                self.voice.say(&format!("primary, token {token}: the program is started"));
                outcome(Outcome::Done);
                Ok(())
            }
            Err(NotStarted { why, code }) => {
                outcome(Outcome::Failed(why.clone()));
                Err(Failed { code, why })
            }
        }
    }

    /// Ends the program in time.
    fn keep_within_limits(&mut self) {
        let Some(running) = self.running.as_mut().filter(|running| !running.is_killed) else { return };
        let told = running.told.map(|(since, _)| since.elapsed());
        match self.limits.due(self.election.remaining(), told) {
            Due::Nothing => {}
            Due::Tell => {
                self.voice.say("the lease is about to end: the program is told by SIGTERM");
                running.told = Some((Instant::now(), Why::Late));
                running.child.signal(Signal::TERM);
            }
            Due::Kill => {
                self.voice.say("the program has not ended in time: it is killed");
                running.child.kill_group();
                running.is_killed = true;
            }
        }
    }
}
