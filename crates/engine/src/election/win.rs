//! From a won campaign to the release of its keys: activating, primary, draining.

use super::ground::Ground;
use super::standby::Standby;
use super::writes::Doubt;
use super::{Election, Want};
use crate::Level;
use crate::Setup;
use crate::action::{Action, Call, LostReason, Notice};
use crate::effects::Effects;
use crate::ids::Token;
use crate::store::{Compare, LeaseId};
use crate::time::Time;

/// The key set is ours.
#[derive(Clone, Debug, Hash)]
pub(super) struct Win {
    pub(super) token: Token,
    pub(super) lease: LeaseId,
    pub(super) stage: Stage,
    pub(super) suspended: bool,
}

impl Win {
    /// Whether the host has taken `on_primary`.
    pub(super) fn has_begun(&self) -> bool {
        !matches!(self.stage, Stage::Won { .. } | Stage::Called { .. })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// Callbacks of the standby period are still running, or the lease is not confirmed; given back if that takes too
    /// long.
    Won { give_back: Time },
    /// `on_primary` waits to be taken by the host; given back if that does not happen in time.
    Called { give_back: Time },
    /// `on_primary` is running.
    Activating,
    /// `on_primary` has succeeded.
    Ready,
}

/// A win that is over, until its callbacks have ended and its keys are released.
#[derive(Clone, Debug, Hash)]
pub(super) struct Drain {
    pub(super) token: Token,
    pub(super) lease: LeaseId,
    /// The keys are released now even if callbacks still run.
    pub(super) until: Time,
    /// Once its keys are gone, others first.
    pub(super) yields: bool,
    /// `on_primary` had not been taken as far as was known. Should it turn out to have been, `on_lost` follows.
    pub(super) owed: Option<LostReason>,
}

impl Election {
    pub(super) fn take_win(&mut self, fx: &mut Effects, ground: Ground<'_>, token: Token, lease: LeaseId) {
        let wanted = self.want == Want::Primacy && self.drain.is_none() && token > self.last_token;
        if !wanted || !ground.is_lease(lease) {
            return;
        }
        self.last_token = token;
        self.unchecked = false;
        self.yielding = None;
        let give_back = fx.now + ground.setup.activation_timeout;
        self.win = Some(Win { token, lease, stage: Stage::Won { give_back }, suspended: false });
        self.calls.cancel_all(fx, self.id);
        fx.log(Level::Info, Some(self.id), format!("{}: won, token {token}, lease {lease}", self.role));
    }

    /// A campaign that got no answer had won after all.
    pub(super) fn adopt(&mut self, fx: &mut Effects, ground: Ground<'_>) -> bool {
        if self.operation.is_some() || self.doubt == Doubt::Campaign || self.win.is_some() {
            return false;
        }
        let (Some(claim), Some(lease)) = (&self.claim, ground.lease()) else { return false };
        match claim.won(&self.view, lease).filter(|_| self.may_have_won) {
            Some(token) if self.may_campaign() => self.take_win(fx, ground, token, lease),
            Some(_) => {}
            None => self.may_have_won = false,
        }
        self.win.is_some()
    }

    /// Whether the host and its callbacks allow a win now.
    pub(super) fn may_campaign(&self) -> bool {
        self.want == Want::Primacy
            && self.drain.is_none()
            && self.yielding.is_none()
            && !self.is_deaf
            && !self.calls.any_cancelled()
    }

    pub(super) fn activated(&mut self, fx: &mut Effects, setup: &Setup, token: Token, well: bool) {
        match &mut self.win {
            Some(win) if win.token == token && well => {
                win.stage = Stage::Ready;
                fx.push(Action::Notice { election: self.id, what: Notice::Ready { token } });
            }
            Some(win) if win.token == token => self.lose(fx, setup, LostReason::ActivationFailed),
            _ => {}
        }
    }

    pub(super) fn look_at_win(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        let (Some(win), Some(claim)) = (&self.win, &self.claim) else { return };
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
        if let Some(win) = &mut self.win
            && !matches!(win.stage, Stage::Won { .. })
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
        let Some(win) = self.win.take() else { return };
        let (token, lease) = (win.token, win.lease);
        let mut owed = None;
        if !matches!(win.stage, Stage::Won { .. }) {
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
            LostReason::Resigned | LostReason::ActivationFailed | LostReason::HostUnresponsive
        );
        self.drain = Some(Drain { token, lease, until: fx.now + setup.drain_timeout, yields, owed });
        self.standby.get_or_insert_with(|| Standby::new(fx.now));
    }

    pub(super) fn tell_lost(&mut self, fx: &mut Effects, token: Token, lease: LeaseId, reason: LostReason) {
        self.calls.start(fx, self.id, Call::Lost { token, lease, reason });
    }

    pub(super) fn look_at_drain(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        let (Some(drain), Some(claim)) = (&mut self.drain, &self.claim) else {
            // Without a claim there are no keys of this store to wait for.
            if self.drain.as_ref().is_some_and(|drain| !self.calls.of(drain.token)) {
                self.drain = None;
            }
            return;
        };
        let on_lease = ground.is_lease(drain.lease);
        let keys = on_lease
            && !(claim.held(&self.view, drain.lease).is_empty()
                && claim.published(&self.view, drain.lease).is_empty());
        if keys {
            return;
        }
        if std::mem::take(&mut drain.yields) {
            self.yielding = Some(fx.now + ground.ttl());
        }
        if !self.calls.of(drain.token) {
            self.drain = None;
        }
    }

    /// Whether callbacks of a win that is over still hold its keys.
    pub(super) fn is_draining(&self, now: Time) -> bool {
        self.drain.as_ref().is_some_and(|drain| now < drain.until && self.calls.of(drain.token))
    }

    /// The lease whose keys callbacks of a win on it still need.
    pub fn needs(&self, now: Time) -> Option<LeaseId> {
        self.drain.as_ref().filter(|_| self.is_draining(now)).map(|drain| drain.lease)
    }

    /// What a write under `token` compares, if that is the token of a win that has not been released yet.
    pub fn guard(&self, token: Token) -> Option<Vec<Compare>> {
        let win = self.win.as_ref().filter(|win| !matches!(win.stage, Stage::Won { .. }));
        let win = win.map(|win| (win.token, win.lease));
        let draining = self.drain.as_ref().map(|drain| (drain.token, drain.lease));
        let (token, lease) = [win, draining].into_iter().flatten().find(|(t, _)| *t == token)?;
        Some(self.claim.as_ref()?.guard(token, lease))
    }
}
