//! Whether a primary's host says that it is well, where `primacy.liveness_timeout_ms` wants it to.
//!
//! The lease is renewed by us, whatever the host's own threads do: one that hangs would stay primary for as long as its
//! process is there.

use super::Election;
use super::phase::{Phase, Win};
use crate::Level;
use crate::Setup;
use crate::action::LostReason;
use crate::effects::Effects;
use crate::time::Time;

impl Election {
    /// The host says that it is well. While `on_primary` runs it need not, since that may take long; once it has, it is
    /// taken at its word from then on.
    pub fn healthy(&mut self, fx: &Effects, setup: &Setup) {
        if let Phase::Holding(win) = &mut self.phase
            && win.has_begun()
            // Said too late, it brings nothing back.
            && win.unwell_at.is_none_or(|at| at > fx.now)
        {
            win.unwell_at = setup.liveness_timeout.map(|timeout| fx.now + timeout);
        }
    }

    /// When the host has said nothing for too long.
    pub(super) fn unwell_at(&self) -> Option<Time> {
        self.phase.win().and_then(|win: &Win| win.unwell_at)
    }

    /// Who does not say that it is well is no primary: nothing that was offered to others meanwhile is waited for.
    pub(super) fn look_at_liveness(&mut self, fx: &mut Effects, setup: &Setup) {
        if self.unwell_at().is_some_and(|at| at <= fx.now) {
            let text = format!(
                "{}: given up: its host did not say within primacy.liveness_timeout_ms that it is well",
                self.role
            );
            fx.log(Level::Error, Some(self.id), text);
            self.lose(fx, setup, LostReason::LivenessExpired);
        }
    }
}
