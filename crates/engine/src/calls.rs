//! The host's callbacks that are running.
//!
//! One at a time, in order; only `on_lost` starts beside one that still runs (it must not wait for a host that
//! blocks). A call that is cancelled is still running until it is completed; one that the host has not taken yet counts
//! as running too.

use super::action::{Action, Call, Callback};
use super::effects::Effects;
use super::ids::{CallId, ElectionId, Token};

#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Calls {
    running: Vec<Running>,
}

#[derive(Clone, Debug, Hash)]
pub(super) struct Running {
    call: CallId,
    pub callback: Callback,
    /// Of the win that it is about, if it is about one.
    pub token: Option<Token>,
    cancelled: bool,
    taken: bool,
}

impl Running {
    /// Whether it was taken back before the host began it.
    pub fn never_began(&self) -> bool {
        self.cancelled && !self.taken
    }
}

impl Calls {
    pub fn start(&mut self, fx: &mut Effects, election: ElectionId, what: Call) {
        let call = fx.call_id();
        let token = match what {
            Call::Primary { token, .. } | Call::Lost { token, .. } => Some(token),
            Call::Standby { .. } | Call::Warmup => None,
        };
        self.running.push(Running { call, callback: what.callback(), token, cancelled: false, taken: false });
        fx.push(Action::Call { election, call, what });
    }

    /// The host begins the call; `None` if it is over, or was begun before.
    pub fn begin(&mut self, fx: &mut Effects, call: CallId) -> Option<&Running> {
        let running = self.running.iter_mut().find(|running| running.call == call && !running.taken)?;
        running.taken = true;
        fx.host.begins();
        Some(running)
    }

    /// The call has ended; `None` if it was not running.
    pub fn end(&mut self, fx: &mut Effects, call: CallId) -> Option<Running> {
        let at = self.running.iter().position(|running| running.call == call)?;
        // A timer of this step may have cancelled it before its end was looked at.
        fx.take_back(|action| matches!(action, Action::Cancel { call: ended, .. } if *ended == call));
        let ended = self.running.remove(at);
        if ended.taken {
            fx.host.ends(fx.now);
        }
        Some(ended)
    }

    /// Tells every call that can be cut short; an `on_lost` runs to its end.
    pub fn cancel_all(&mut self, fx: &mut Effects, election: ElectionId) {
        for running in self.running.iter_mut().filter(|r| !r.cancelled && r.callback != Callback::Lost) {
            running.cancelled = true;
            fx.push(Action::Cancel { election, call: running.call });
        }
    }

    pub fn is_running(&self, call: CallId) -> bool {
        self.running.iter().any(|running| running.call == call)
    }

    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub fn any_cancelled(&self) -> bool {
        self.running.iter().any(|running| running.cancelled)
    }

    /// Whether a callback of this win is running.
    pub fn of(&self, token: Token) -> bool {
        self.running.iter().any(|r| r.token == Some(token))
    }

    /// Those that are running.
    pub fn running(&self) -> impl Iterator<Item = Callback> {
        self.running.iter().map(|running| running.callback)
    }
}
