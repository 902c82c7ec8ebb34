//! How an election ends: what was asked for inside callbacks, and what must be gone before it is over.

use std::mem::discriminant;
use std::time::Duration;

use super::ground::Ground;
use super::phase::Phase;
use super::{Election, Want};
use crate::Setup;
use crate::action::{Action, LostReason, Purpose};
use crate::claim::Claim;
use crate::effects::Effects;
use crate::ids::CallId;
use crate::time::Time;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Deferred {
    Resign,
    Transfer {
        to: Option<i64>,
    },
    /// Begun at `begin` at the latest: a call that hangs does not put off the end.
    Withdraw {
        begin: Time,
        until: Time,
    },
}

impl Election {
    pub fn withdraw(&mut self, fx: &mut Effects, setup: &Setup, timeout: Duration, within: Option<CallId>) {
        let until = fx.now + timeout;
        match within.filter(|call| self.calls.is_running(*call)) {
            Some(call) => {
                let begin = until - reserve(timeout);
                self.defer(call, Deferred::Withdraw { begin, until });
            }
            None => self.withdraw_by(fx, setup, until),
        }
    }

    /// Puts something off until a call has ended. Asked for again, it is put off once; the earlier end counts.
    pub(super) fn defer(&mut self, call: CallId, what: Deferred) {
        let same = |(within, put_off): &&mut (CallId, Deferred)| {
            *within == call && discriminant(put_off) == discriminant(&what)
        };
        match self.deferred.iter_mut().find(same) {
            Some((_, put_off)) => *put_off = what.min(*put_off),
            None => self.deferred.push((call, what)),
        }
    }

    pub(super) fn withdraw_by(&mut self, fx: &mut Effects, setup: &Setup, until: Time) {
        self.want = match self.want {
            Want::Nothing { until: earlier } => Want::Nothing { until: earlier.min(until) },
            _ => Want::Nothing { until },
        };
        self.give_up(fx, setup, LostReason::Stopped);
        if let Phase::Draining(drain) = &mut self.phase {
            drain.until = drain.until.min(until);
        }
        self.calls.cancel_all(fx, self.id);
    }

    /// Does what was asked for inside calls that have ended since, or whose time is up.
    pub(super) fn do_deferred(&mut self, fx: &mut Effects, setup: &Setup) {
        for (within, what) in std::mem::take(&mut self.deferred) {
            let waits = self.calls.is_running(within);
            match what {
                Deferred::Resign if !waits => self.give_up(fx, setup, LostReason::Resigned),
                Deferred::Transfer { to } if !waits => self.begin_transfer(fx, to),
                Deferred::Withdraw { begin, until } if !waits || begin <= fx.now => {
                    self.withdraw_by(fx, setup, until);
                }
                what => self.deferred.push((within, what)),
            }
        }
    }

    /// Tells the host that the election has ended: nothing of it is left in the store, or there is no more time to see
    /// to that, and no callback runs. What is left is cleaned up behind the host's back, since the lease lives on.
    pub(super) fn finish(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        if !self.withdrawn && self.is_settled(fx.now, ground) && self.calls.is_empty() {
            self.watch.close(fx);
            self.line.watch.close(fx);
            self.withdrawn = true;
            fx.push(Action::Withdrawn { election: self.id });
        }
    }

    /// Whether it has been ended and nothing of it is left in the store that the lease does not take along, or there is no
    /// more time to see to it.
    pub fn is_settled(&self, now: Time, ground: Ground<'_>) -> bool {
        let Want::Nothing { until } = self.want else { return false };
        let is_clean = if ground.ending { !self.may_hold(ground) } else { self.leaves_nothing(now, ground) };
        now >= until || self.withdrawn || is_clean
    }

    pub(super) fn leaves_nothing(&self, now: Time, ground: Ground<'_>) -> bool {
        let nothing = match (&self.claim, ground.lease()) {
            (Some(claim), Some(lease)) => {
                claim.record(&self.view).is_none_or(|kv| kv.lease != lease)
                    && claim.held(&self.view, lease).is_empty()
                    && claim.published(&self.view, lease).is_empty()
            }
            _ => true,
        };
        nothing && !self.may_have_written() && !self.is_draining(now)
    }

    /// Whether keys of its set may be its own in the store, or callbacks of a win on them run.
    pub fn may_hold(&self, ground: Ground<'_>) -> bool {
        let holds = |claim: &Claim, lease| {
            !(claim.held(&self.view, lease).is_empty() && claim.published(&self.view, lease).is_empty())
        };
        !self.phase.is_free()
            || self.may_have_won
            || self.operation.as_ref().is_some_and(|operation| operation.purpose == Purpose::Campaign)
            || self.claim.as_ref().zip(ground.lease()).is_some_and(|(claim, lease)| holds(claim, lease))
    }

    /// Whether it can be forgotten.
    pub fn is_over(&self, now: Time, ground: Ground<'_>) -> bool {
        self.withdrawn && self.leaves_nothing(now, ground)
    }
}

/// What is kept of a stop's time for its last steps.
pub(crate) fn reserve(left: Duration) -> Duration {
    (left / 4).min(Duration::from_secs(1))
}
