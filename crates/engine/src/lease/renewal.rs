//! Renewing a lease, and what confirms a renewal.

use std::time::Duration;

use super::{Change, Keeper, Lease};
use crate::Level;
use crate::Setup;
use crate::action::{Action, Purpose};
use crate::effects::Effects;
use crate::ids::RequestId;
use crate::store::{Answer, Failure, LeaseId, Origin, Request};
use crate::time::Time;

/// The longest that one renewal is waited for; a sixth of the TTL if that is less.
const RENEWAL_ATTEMPT: Duration = Duration::from_secs(1);
/// The shortest time between the starts of two renewals, when the first failed at once.
const RENEWAL_PAUSE: Duration = Duration::from_millis(100);

/// An acknowledged renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Acknowledged {
    lease: LeaseId,
    sent: Time,
    /// The deadline, once it is confirmed.
    until: Time,
    origin: Origin,
}

#[derive(Clone, Debug, Hash)]
pub(super) enum Renewal {
    Due(Time),
    Sent { request: RequestId, at: Time },
}

impl Renewal {
    /// The next one, after a grant or a renewal that was sent then.
    pub(super) fn after(sent: Time, ttl: Duration) -> Self {
        Renewal::Due(sent + ttl / 3)
    }
}

/// The deadline and the patience of a renewal, and of what confirms it.
pub(crate) fn renewal_patience(ttl: Duration) -> Duration {
    RENEWAL_ATTEMPT.min(ttl / 6)
}

impl Keeper {
    /// What a linearizable answer to what is sent from now on would confirm.
    pub fn acknowledged(&self) -> Option<Acknowledged> {
        self.held()?.acknowledged
    }

    /// Whether something has to be asked now to confirm the last renewal; it is assumed that it will be.
    pub fn ask_for_confirmation(&mut self) -> bool {
        match &mut self.lease {
            Lease::Held(held) => held.acknowledged.is_some() && !std::mem::replace(&mut held.asked, true),
            _ => false,
        }
    }

    /// There was a linearizable answer, to what was sent when `acknowledged` waited for its confirmation.
    pub fn heard(
        &mut self,
        fx: &mut Effects,
        acknowledged: Option<Acknowledged>,
        origin: Origin,
    ) -> Option<Change> {
        self.latest = Some(origin);
        let acknowledged = acknowledged?;
        if acknowledged.origin != origin {
            let why = format!("raft term {}, then {}", acknowledged.origin.term, origin.term);
            return self.not_confirmed(fx, acknowledged, &why);
        }
        let Lease::Held(held) = &mut self.lease else { return None };
        if held.acknowledged == Some(acknowledged) {
            held.acknowledged = None;
        }
        if held.id != acknowledged.lease || acknowledged.sent <= held.confirmed {
            return None;
        }
        let awaited = held.deadline <= fx.now;
        held.confirmed = acknowledged.sent;
        held.deadline = acknowledged.until.min(held.kept);
        fx.push(Action::Deadline { lease: held.id, until: held.deadline });
        let was_late = std::mem::take(&mut held.late);
        (was_late || awaited).then_some(Change::Renewed)
    }

    /// What should have confirmed a renewal does not: another one is sent at once. What is still on its way may
    /// confirm it yet.
    pub fn not_confirmed(
        &mut self,
        fx: &mut Effects,
        acknowledged: Acknowledged,
        why: &str,
    ) -> Option<Change> {
        let Lease::Held(held) = &mut self.lease else { return None };
        if held.acknowledged != Some(acknowledged) {
            return None;
        }
        held.acknowledged = None;
        let change = self.doubt(fx, acknowledged.sent, why);
        self.renew_if_due(fx);
        change
    }

    /// A renewal that was sent then was acknowledged, and does not count.
    fn doubt(&mut self, fx: &mut Effects, sent: Time, why: &str) -> Option<Change> {
        let Lease::Held(held) = &mut self.lease else { return None };
        self.unconfirmed += 1;
        if let Renewal::Due(at) = held.renewal {
            held.renewal = Renewal::Due(at.min(sent + RENEWAL_PAUSE));
        }
        // Without a primary nothing has been lost but a moment.
        let first = self.relied_on && !std::mem::replace(&mut held.late, true);
        let level = if first { Level::Warn } else { Level::Debug };
        let text = format!("lease {}: a renewal was acknowledged, but is not confirmed: {why}", held.id);
        fx.log(level, None, text);
        first.then_some(Change::Late)
    }

    /// Also after each answer: after a pause the next renewal may be due when the last one is read.
    pub(super) fn renew_if_due(&mut self, fx: &mut Effects) {
        if let Lease::Held(held) = &mut self.lease
            && matches!(held.renewal, Renewal::Due(at) if at <= fx.now)
        {
            let patience = renewal_patience(held.ttl);
            let what = Request::KeepAlive { lease: held.id };
            held.renewal =
                Renewal::Sent { request: fx.send(Purpose::Renew, None, patience, what), at: fx.now };
        }
    }

    pub(super) fn renewed(
        &mut self,
        fx: &mut Effects,
        setup: &Setup,
        sent: Time,
        result: &Result<Answer, Failure>,
    ) -> Option<Change> {
        let Lease::Held(held) = &mut self.lease else { return None };
        let until = match result {
            Ok(Answer::Renewed { ttl, .. }) => setup.ours_until(sent, *ttl),
            _ => None,
        };
        match (result, until) {
            // Of a member that has not heard yet of the leader that answered us before: neither its yes counts nor
            // its no.
            (Ok(Answer::Renewed { origin, .. }), _)
                if self.latest.is_some_and(|latest| is_older(*origin, latest)) =>
            {
                held.renewal = Renewal::after(sent, held.ttl);
                let change = self.doubt(fx, sent, &format!("raft term {} is over", origin.term));
                self.renew_if_due(fx);
                change
            }
            (Ok(Answer::Renewed { ttl, origin }), Some(until)) => {
                held.ttl = *ttl;
                held.kept = until;
                held.renewal = Renewal::after(sent, *ttl);
                held.acknowledged =
                    Some(Acknowledged { lease: held.id, sent, until: held.kept, origin: *origin });
                held.asked = false;
                if held.kept < held.deadline {
                    // The store grants less than before, which needs no proof.
                    held.deadline = held.kept;
                    fx.push(Action::Deadline { lease: held.id, until: held.deadline });
                }
                if held.kept <= fx.now {
                    return self.ran_out(fx, setup);
                }
                if self.without.well() {
                    fx.log(Level::Info, None, format!("lease {} is renewed again", held.id));
                }
                let renewed = !self.relied_on && std::mem::take(&mut held.late);
                self.renew_if_due(fx);
                renewed.then_some(Change::Renewed)
            }
            (Ok(_) | Err(Failure::LeaseNotFound), _) => {
                let lease = held.id;
                self.not_found(fx, setup, lease)
            }
            (Err(failure), _) => {
                if failure.wants_help() && self.without.wrong(fx.now) {
                    let text = format!("lease {} is not renewed: {failure}; tried again", held.id);
                    fx.log(Level::Error, None, text);
                }
                let first = !std::mem::replace(&mut held.late, true);
                held.renewal = Renewal::Due(sent + RENEWAL_PAUSE);
                self.renew_if_due(fx);
                first.then_some(Change::Late)
            }
        }
    }
}

/// Whether `origin` is a member that stands behind the one of `latest`, in the same cluster.
fn is_older(origin: Origin, latest: Origin) -> bool {
    origin.cluster == latest.cluster && origin.term < latest.term
}
