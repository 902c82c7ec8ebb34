//! Sees to it that the program runs while this is primary, and ends in time.

use std::ffi::OsString;
use std::time::Instant;

use primacy::election::Election;
use primacy::engine::{CallId, Outcome, Token};
use primacy::milvus::Role;
use primacy::platform::{self, SignalMask};
use rustix::process::Signal;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::limits::{Due, LOOKED_AT_EVERY, Limits};
use super::teller::Told;
use crate::child::{Child, NotStarted};
use crate::exit::Failed;
use crate::signals::{Signals, should_end};
use crate::voice::Voice;

/// See the module.
pub struct Supervisor<'a> {
    pub program: &'a [OsString],
    /// What the program finds in its environment besides its token.
    pub role: &'a Role,
    pub lock: String,
    pub election: Election,
    pub limits: Limits,
    /// Of the signals, the program's.
    pub mask: &'a SignalMask,
    pub voice: &'a Voice,
    pub running: Option<Running>,
}

/// The program while it runs.
pub struct Running {
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

impl Supervisor<'_> {
    /// Until the program has ended by itself, or we are told to end; returns the exit code.
    pub async fn supervise(
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
                    None => return Err(Failed::broken("the session is over")),
                },
                () = sleep(LOOKED_AT_EVERY), if self.running.is_some() => {}
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
        let Some(code) = running.child.reap().map_err(Failed::broken)? else { return Ok(None) };
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
            ("PRIMACY_ROLE", self.role.to_string()),
        ];
        let child = Child::start(self.program, None, self.mask, |command| {
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
