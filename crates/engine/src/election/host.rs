//! Whether the host takes what it is told. One that does not can serve nobody, so it is not left primary.

use super::Election;
use super::phase::{Drain, Phase, Stage, Win};
use crate::Level;
use crate::Setup;
use crate::action::{Callback, LostReason};
use crate::effects::Effects;
use crate::ids::CallId;
use crate::time::Time;

impl Election {
    /// The host has taken a call.
    pub fn taken(&mut self, fx: &mut Effects, call: CallId) {
        let Some(begun) = self.calls.begin(fx, call) else { return };
        self.is_deaf = false;
        let (Callback::Primary, Some(taken)) = (begun.callback, begun.token) else { return };
        match &mut self.phase {
            Phase::Holding(Win { token, stage, .. }) if *token == taken => *stage = Stage::Activating,
            // It was lost while the host took it.
            Phase::Draining(Drain { token, lease, owed, .. }) if *token == taken => {
                let lease = *lease;
                if let Some(reason) = owed.take() {
                    self.tell_lost(fx, taken, lease, reason);
                }
            }
            _ => {}
        }
    }

    /// Something waits in the host's queue from now on, or nothing. It may wait as long as `on_primary` may.
    pub fn unread(&mut self, fx: &Effects, setup: &Setup, waits: bool) {
        self.unread = waits.then(|| fx.now + setup.activation_timeout);
    }

    pub fn leaves_unread(&self) -> bool {
        self.unread.is_some()
    }

    /// When a primary has left something unread for too long.
    pub(super) fn deaf_at(&self) -> Option<Time> {
        self.unread.filter(|_| self.phase.win().is_some_and(Win::has_begun))
    }

    pub(super) fn look_at_host(&mut self, fx: &mut Effects, setup: &Setup) {
        if self.deaf_at().is_none_or(|at| at > fx.now) {
            return;
        }
        // While it is at work, on whichever call of the session, it may be slow.
        let at = fx.host.until(fx.now) + setup.activation_timeout;
        if at > fx.now {
            self.unread = Some(at);
        } else {
            self.host_is_deaf(fx, setup, "what waits in its queue");
        }
    }

    pub(super) fn host_is_deaf(&mut self, fx: &mut Effects, setup: &Setup, what: &str) {
        let text = format!(
            "{}: given back: the host did not take {what} within primacy.activation_timeout_ms",
            self.role
        );
        fx.log(Level::Error, Some(self.id), text);
        self.lose(fx, setup, LostReason::HostUnresponsive);
        self.is_deaf = true;
    }
}
