//! The signals that we get.

use std::io;

use primacy::platform::SignalMask;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal as signal_of};
use tokio::sync::mpsc;

/// That a child has ended; and all that a program may be told by, which is passed on.
const HEARD: [Signal; 12] = [
    Signal::CHILD,
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::ALARM,
    Signal::TERM,
    Signal::CONT,
    Signal::TSTP,
    Signal::POWER,
    Signal::WINCH,
];
/// Those that end a program which does not mind them.
const TO_END: [Signal; 4] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// See the module.
pub struct Signals(mpsc::UnboundedReceiver<Signal>);

impl Signals {
    /// From here on they come here. Those that were ignored when we were started, as by `nohup`, stay ignored, for the
    /// program as well; those that were blocked get through to us. Must be called inside a tokio runtime.
    pub fn new() -> io::Result<Signals> {
        let (tell, told) = mpsc::unbounded_channel();
        let ignored = ignored();
        for signal in HEARD {
            if signal != Signal::CHILD && ignored & (1 << (signal.as_raw() - 1)) != 0 {
                continue;
            }
            let mut each = signal_of(SignalKind::from_raw(signal.as_raw()))?;
            let tell = tell.clone();
            tokio::spawn(async move { while each.recv().await.is_some() && tell.send(signal).is_ok() {} });
        }
        SignalMask::unblock(HEARD.map(Signal::as_raw));
        Ok(Signals(told))
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        match self.0.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}

/// Whether it should end us, once there is nobody to pass it on to.
pub fn should_end(signal: Signal) -> bool {
    TO_END.contains(&signal)
}

/// The set of those that are ignored, signal n in bit n - 1.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or_default()
}
