//! From a won campaign to the release of its keys: activating, primary, draining.

use super::ground::Ground;
use super::phase::{Drain, Phase, Stage, Win};
use super::standby::Standby;
use super::writes::{Doubt, Operation};
use super::{Election, Want};
use crate::Level;
use crate::Setup;
use crate::action::{Action, Call, LostReason, Notice, Purpose};
use crate::effects::Effects;
use crate::ids::Token;
use crate::store::{Compare, LeaseId};
use crate::time::Time;

impl Election {
    pub(super) fn take_win(&mut self, fx: &mut Effects, ground: Ground<'_>, token: Token, lease: LeaseId) {
        let wanted = self.want == Want::Primacy && self.phase.is_free() && token > self.last_token;
        if !wanted || !ground.is_lease(lease) {
            return;
        }
        self.last_token = token;
        self.unchecked = false;
        self.yielding = None;
        self.offers.accepted = None;
        self.may_have_won = false;
        let give_back = fx.now + ground.setup.activation_timeout;
        self.phase = Phase::Holding(Win {
            token,
            lease,
            stage: Stage::Won { give_back },
            suspended: false,
            unwell_at: None,
        });
        self.calls.cancel_all(fx, self.id);
        fx.log(Level::Info, Some(self.id), format!("{}: won, token {token}, lease {lease}", self.role));
    }

    /// A campaign that got no answer had won after all; or who held the key set has handed it over.
    pub(super) fn adopt(&mut self, fx: &mut Effects, ground: Ground<'_>) -> bool {
        if self.is_deciding() || self.has_win() {
            return false;
        }
        let (Some(claim), Some(lease)) = (&self.claim, ground.lease()) else { return false };
        match claim.won(&self.view, lease).filter(|_| self.may_have_won || self.offers.accepted.is_some()) {
            Some(token) if self.may_campaign() => self.take_win(fx, ground, token, lease),
            Some(_) => {}
            None => self.may_have_won = false,
        }
        self.has_win()
    }

    /// Whether something is under way, or in doubt, that decides about the key set; what is written into the own record
    /// meanwhile does not.
    pub(super) fn is_deciding(&self) -> bool {
        let decides =
            |op: &Operation| matches!(op.purpose, Purpose::Campaign | Purpose::Release | Purpose::HandOver);
        self.doubt == Doubt::Campaign || self.operation.as_ref().is_some_and(decides)
    }

    /// Whether the host and its callbacks allow a win now.
    pub(super) fn may_campaign(&self) -> bool {
        self.want == Want::Primacy
            && self.phase.is_free()
            && self.yielding.is_none()
            && !self.is_deaf
            && !self.calls.any_cancelled()
    }

    pub(super) fn activated(&mut self, fx: &mut Effects, setup: &Setup, token: Token, well: bool) {
        match &mut self.phase {
            Phase::Holding(win) if win.token == token && well => {
                win.stage = Stage::Ready;
                win.unwell_at = setup.liveness_timeout.map(|timeout| fx.now + timeout);
                fx.push(Action::Notice { election: self.id, what: Notice::Ready { token } });
            }
            Phase::Holding(win) if win.token == token => self.lose(fx, setup, LostReason::ActivationFailed),
            _ => {}
        }
    }

    pub(super) fn look_at_win(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        let (Phase::Holding(win), Some(claim)) = (&self.phase, &self.claim) else { return };
        if let Some((key, now)) = claim.broken(&self.view, win.token, win.lease) {
            let (reason, text) = match now {
                None => (LostReason::KeyDeleted, format!("{}: {key} was deleted", self.role)),
                Some(kv) => (
                    LostReason::KeyTaken,
                    format!(
                        "{}: {key} was overwritten at revision {}, lease {}",
                        self.role, kv.mod_revision, kv.lease
                    ),
                ),
            };
            fx.log(Level::Warn, Some(self.id), text);
            self.lose(fx, ground.setup, reason);
            return;
        }
        match win.stage {
            Stage::Won { give_back } if give_back <= fx.now => {
                let text = format!(
                    "{}: given back: {} within primacy.activation_timeout_ms",
                    self.role,
                    if self.calls.is_empty() {
                        "its lease was not confirmed"
                    } else {
                        "callbacks of the standby did not end"
                    }
                );
                fx.log(Level::Error, Some(self.id), text);
                self.lose(fx, ground.setup, LostReason::ActivationFailed);
            }
            Stage::Called { give_back } if give_back <= fx.now => {
                self.host_is_deaf(fx, ground.setup, "on_primary");
            }
            _ => {}
        }
    }

    /// Whether the lease's renewal is late: primary until the deadline, and no longer unless it comes.
    pub(super) fn look_at_lease(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        let late = ground.keeper.held().is_some_and(|held| held.late);
        if let Phase::Holding(win) = &mut self.phase
            && win.is_called()
            && win.suspended != late
        {
            win.suspended = late;
            let token = win.token;
            let what = if late { Notice::Suspended { token } } else { Notice::Resumed { token } };
            fx.push(Action::Notice { election: self.id, what });
        }
    }

    /// Ends the win, if there is one. `on_lost` is called at once, whatever else is running.
    pub(super) fn lose(&mut self, fx: &mut Effects, setup: &Setup, reason: LostReason) {
        let Some(win) = self.phase.win().copied() else { return };
        let (token, lease) = (win.token, win.lease);
        self.handover = None;
        let mut owed = None;
        if win.is_called() {
            fx.push(Action::Primacy { election: self.id, win: None });
            self.calls.cancel_all(fx, self.id);
            match win.stage {
                Stage::Called { .. } => owed = Some(reason),
                _ => self.tell_lost(fx, token, lease, reason),
            }
            let text = format!("{}: lost, token {token}, lease {lease}: {reason}", self.role);
            fx.log(Level::Info, Some(self.id), text);
        }
        let yields = matches!(
            reason,
            LostReason::Resigned
                | LostReason::Transferred
                | LostReason::ActivationFailed
                | LostReason::HostUnresponsive
                | LostReason::LivenessExpired
        );
        let mut until = fx.now + setup.drain_timeout;
        if let Want::Nothing { until: end } = self.want {
            until = until.min(end);
        }
        self.phase = Phase::Draining(Drain { token, lease, until, yields, owed });
        self.standby.get_or_insert_with(|| Standby::new(fx.now));
    }

    pub(super) fn tell_lost(&mut self, fx: &mut Effects, token: Token, lease: LeaseId, reason: LostReason) {
        self.calls.start(fx, self.id, Call::Lost { token, lease, reason });
    }

    pub(super) fn look_at_drain(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        let Phase::Draining(drain) = &mut self.phase else { return };
        // Without a claim there are no keys of this store to wait for, and nobody to let go first.
        if let Some(claim) = &self.claim {
            let keys = ground.is_lease(drain.lease)
                && !(claim.held(&self.view, drain.lease).is_empty()
                    && claim.published(&self.view, drain.lease).is_empty());
            if keys {
                return;
            }
            if std::mem::take(&mut drain.yields) {
                self.yielding = Some(fx.now + ground.ttl());
            }
        }
        if !self.calls.of(drain.token) {
            self.phase = Phase::Free;
        }
    }

    /// Whether callbacks of a win that is over still hold its keys.
    pub(super) fn is_draining(&self, now: Time) -> bool {
        self.phase.drain().is_some_and(|drain| now < drain.until && self.calls.of(drain.token))
    }

    /// The lease whose keys callbacks of a win on it still need.
    pub fn needs(&self, now: Time) -> Option<LeaseId> {
        self.phase.drain().filter(|_| self.is_draining(now)).map(|drain| drain.lease)
    }

    /// What a write under `token` compares, if that is the token of a win that has not been released yet.
    pub fn guard(&self, token: Token) -> Option<Vec<Compare>> {
        let (of, lease) = match &self.phase {
            Phase::Holding(win) if win.is_called() => (win.token, win.lease),
            Phase::Draining(drain) => (drain.token, drain.lease),
            _ => return None,
        };
        (of == token).then_some(self.claim.as_ref()?.guard(token, lease))
    }
}
