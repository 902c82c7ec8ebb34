//! A program of ours: started, signalled, reaped.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use primacy::crash_guard::VARIABLE;
use primacy::platform::SignalMask;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, WaitOptions, getpgrp, kill_process, kill_process_group, wait};
use rustix::termios::{tcgetpgrp, tcsetpgrp};

use crate::exit::BROKEN;

/// See the module.
pub struct Child(Pid);

/// The program was not started.
pub struct NotStarted {
    pub why: String,
    /// As other programs that start programs have it.
    pub code: u8,
}

impl From<io::Error> for NotStarted {
    fn from(error: io::Error) -> NotStarted {
        NotStarted { why: error.to_string(), code: BROKEN }
    }
}

impl Child {
    /// Starts a program, with its arguments, that inherits the socket, if there is one, under the same number. `prepare`
    /// may change how.
    ///
    /// It is in a process group of its own, which gets the terminal if we have it: what is typed there reaches it once.
    pub fn start(
        program: &[OsString],
        socket: Option<OwnedFd>,
        signals: &SignalMask,
        prepare: impl FnOnce(&mut Command),
    ) -> Result<Child, NotStarted> {
        let [name, arguments @ ..] = program else { return Err(io::Error::from(ErrorKind::NotFound).into()) };
        let mut command = Command::new(name);
        command.args(arguments).process_group(0).env_remove(VARIABLE);
        if let Some(socket) = &socket {
            let inode = File::from(socket.try_clone()?).metadata()?.ino();
            fcntl_setfd(socket, FdFlags::empty()).map_err(io::Error::from)?;
            command.env(VARIABLE, format!("{}:{inode}", socket.as_raw_fd()));
        }
        prepare(&mut command);
        let is_in_front = tcgetpgrp(io::stdin()).is_ok_and(|group| group == getpgrp());
        let child = signals.during(|| command.spawn()).map_err(|error| NotStarted {
            why: format!("{} can not be started: {error}", name.display()),
            code: if error.kind() == ErrorKind::NotFound { 127 } else { 126 },
        })?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("a process without a number"))?;
        if is_in_front && tcsetpgrp(io::stdin(), pid).is_ok() {
            // It may have asked for the terminal before it had it.
            let _ = kill_process(pid, Signal::CONT);
        }
        Ok(Child(pid))
    }

    /// Takes the terminal back, if the program has it: it has ended, and who started us reads there next. Only where
    /// SIGTTOU is blocked; it would stop us.
    pub fn give_terminal_back(&self) {
        if tcgetpgrp(io::stdin()).is_ok_and(|group| group == self.0) {
            let _ = tcsetpgrp(io::stdin(), getpgrp());
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(self.0, signal);
    }

    /// Kills it and all of its process group.
    pub fn kill_group(&self) {
        let _ = kill_process_group(self.0, Signal::KILL);
    }

    /// Reaps all that has ended. Its exit code, if it was among that; 128 + n if it died of signal n.
    pub fn reap(&self) -> io::Result<Option<u8>> {
        let mut code = None;
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.0 => {
                    let by_signal = status.terminating_signal().map(|signal| 128 + signal);
                    let number = status.exit_status().or(by_signal).unwrap_or_default();
                    code = Some(u8::try_from(number).unwrap_or(u8::MAX));
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(code),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
