//! Renewing a lease, and what confirms a renewal.

use std::time::Duration;

use super::{Change, Held, Keeper, Lease};
use crate::Level;
use crate::Setup;
use crate::action::{Action, Purpose};
use crate::effects::Effects;
use crate::ids::RequestId;
use crate::patience;
use crate::store::{Answer, Failure, LeaseId, Origin, Request};
use crate::time::Time;

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

/// One that is not answered yet.
#[derive(Clone, Debug, Hash)]
pub(super) struct Sent {
    pub(super) request: RequestId,
    pub(super) at: Time,
}

impl Held {
    /// Until when it is ours, for a primary or for others.
    pub(super) fn until(&self, relied_on: bool) -> Time {
        if relied_on { self.deadline } else { self.kept }
    }

    /// How long a renewal, or what confirms it, may take before another one is sent: what they took lately, and so that
    /// there is time for two more.
    fn patience(&self, fx: &Effects, relied_on: bool) -> Duration {
        let left = self.until(relied_on).since(fx.now);
        self.late_after(fx).min(left / 3).max(self.least())
    }

    /// After how long one is late: a sixth of the TTL or a second, if they have not taken longer lately.
    fn late_after(&self, fx: &Effects) -> Duration {
        fx.round_trips.late().unwrap_or_default().max(self.least())
    }

    fn least(&self) -> Duration {
        patience::LEAST.min(self.ttl / 6)
    }

    /// When the next renewal is due after one that was sent then and came to a good end: in time for its own.
    fn after(&self, sent: Time, fx: &Effects, relied_on: bool) -> Time {
        let takes = fx.round_trips.late().unwrap_or_default();
        let lasts = self.kept.since(self.heard);
        let due = sent + lasts.saturating_sub(takes).clamp(self.ttl / 6, self.ttl / 3);
        // Those that were sent when this one was late.
        let others = self.under_way.last().map(|last| last.at).max(self.acknowledged.map(|a| a.sent));
        others.map_or(due, |other| due.max(other + self.patience(fx, relied_on)))
    }
}

impl Keeper {
    /// What a linearizable answer to what is sent from now on would confirm.
    pub fn acknowledged(&self) -> Option<Acknowledged> {
        self.held()?.acknowledged
    }

    /// Whether something has to be asked now to confirm the last renewal, and how long an answer would serve; it is
    /// assumed that it will be.
    pub fn ask_for_confirmation(&mut self, now: Time) -> Option<Duration> {
        let Lease::Held(held) = &mut self.lease else { return None };
        let acknowledged = held.acknowledged?;
        let asked = std::mem::replace(&mut held.asked, true);
        (!asked).then(|| acknowledged.until.since(now))
    }

    /// There was a linearizable answer, to what was sent when `acknowledged` waited for its confirmation.
    pub fn heard(
        &mut self,
        fx: &mut Effects,
        setup: &Setup,
        acknowledged: Option<Acknowledged>,
        origin: Origin,
    ) -> Option<Change> {
        self.latest = Some(origin);
        let acknowledged = acknowledged?;
        if acknowledged.origin != origin {
            let why = format!("raft term {}, then {}", acknowledged.origin.term, origin.term);
            return self.not_confirmed(fx, setup, acknowledged, &why);
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
        held.next = held.after(acknowledged.sent, fx, self.relied_on);
        fx.push(Action::Deadline { lease: held.id, until: held.deadline });
        let was_late = std::mem::take(&mut held.late);
        let change = self.renew_if_due(fx, setup);
        (was_late || awaited).then_some(Change::Renewed).or(change)
    }

    /// What should have confirmed a renewal does not: another one is sent at once. What is still on its way may
    /// confirm it yet.
    pub fn not_confirmed(
        &mut self,
        fx: &mut Effects,
        setup: &Setup,
        acknowledged: Acknowledged,
        why: &str,
    ) -> Option<Change> {
        let Lease::Held(held) = &mut self.lease else { return None };
        if held.acknowledged != Some(acknowledged) {
            return None;
        }
        held.acknowledged = None;
        let change = self.doubt(fx, why);
        change.or(self.renew_if_due(fx, setup))
    }

    /// A renewal was acknowledged, and does not count.
    fn doubt(&mut self, fx: &mut Effects, why: &str) -> Option<Change> {
        let Lease::Held(held) = &mut self.lease else { return None };
        self.unconfirmed += 1;
        held.next = held.next.min(held.sent + RENEWAL_PAUSE);
        // Without a primary nothing has been lost but a moment.
        let first = self.relied_on && !std::mem::replace(&mut held.late, true);
        let level = if first { Level::Warn } else { Level::Debug };
        let text = format!("lease {}: a renewal was acknowledged, but is not confirmed: {why}", held.id);
        fx.log(level, None, text);
        first.then_some(Change::Late)
    }

    /// Sends the next renewal, if it is time to; beside those that are not answered, since an answer to any of them
    /// serves until its own deadline. Also after each answer: after a pause the next may be due when the last is read.
    pub(super) fn renew_if_due(&mut self, fx: &mut Effects, setup: &Setup) -> Option<Change> {
        let Lease::Held(held) = &mut self.lease else { return None };
        if held.next > fx.now {
            return None;
        }
        let unconfirmed = held.acknowledged.filter(|_| self.relied_on).map(|acknowledged| acknowledged.sent);
        let waiting = held.under_way.iter().map(|sent| sent.at).chain(unconfirmed).min();
        let late = waiting.is_some_and(|sent| fx.now.since(sent) >= held.late_after(fx));
        let first = late && !std::mem::replace(&mut held.late, true);
        let serves = setup.ours_until(fx.now, held.ttl).map_or(Duration::ZERO, |until| until.since(fx.now));
        let what = Request::KeepAlive { lease: held.id };
        held.under_way.push(Sent { request: fx.send(Purpose::Renew, None, serves, what), at: fx.now });
        held.sent = fx.now;
        held.next = fx.now + held.patience(fx, self.relied_on);
        first.then_some(Change::Late)
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
                let change = self.doubt(fx, &format!("raft term {} is over", origin.term));
                change.or(self.renew_if_due(fx, setup))
            }
            (Ok(Answer::Renewed { ttl, origin }), Some(until)) => {
                held.ttl = *ttl;
                held.heard = sent;
                held.under_way.retain(|other| other.at > sent); // those before it do not matter any more
                held.kept = until;
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
                held.next = held.after(sent, fx, self.relied_on);
                if self.relied_on {
                    held.next = held.next.min(fx.now + held.patience(fx, self.relied_on));
                }
                let change = self.renew_if_due(fx, setup);
                renewed.then_some(Change::Renewed).or(change)
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
                if sent < held.sent {
                    return None; // another one is under way, or was answered
                }
                let first = !std::mem::replace(&mut held.late, true);
                held.next = sent + RENEWAL_PAUSE;
                let change = self.renew_if_due(fx, setup);
                first.then_some(Change::Late).or(change)
            }
        }
    }
}

/// Whether `origin` is a member that stands behind the one of `latest`, in the same cluster.
fn is_older(origin: Origin, latest: Origin) -> bool {
    origin.cluster == latest.cluster && origin.term < latest.term
}
