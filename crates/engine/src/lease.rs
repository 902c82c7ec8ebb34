//! The session's lease: asked for, renewed, lost, replaced; and the ends of those that came before.
//!
//! A lease is ours until `when the acknowledged request was sent + the TTL granted - margin`, no matter what
//! anybody says later. One that is lost is never renewed or used again: it is retired, and revoked as soon as no
//! callback of a win on it runs any more.
//!
//! For whoever is primary under it a renewal counts only once it is *confirmed*. A leader of etcd that stood still and
//! goes on acknowledges renewals that its successor never sees (etcd since 3.5.16), so an acknowledgement alone proves
//! nothing. A linearizable answer to what was sent after it does, if it bears the same raft term: that leader was
//! still the leader after it had acknowledged. A grant is a write, and its own proof; a lease that nobody is primary
//! under is kept for as long as it was acknowledged.

use std::time::Duration;

use super::Setup;
use super::action::{Action, Purpose};
use super::backoff::Backoff;
use super::effects::Effects;
use super::ids::RequestId;
use crate::Level;
use crate::spell::Spell;
use crate::store::{Answer, Failure, LeaseId, Origin, Request};
use crate::time::Time;

/// The longest that one renewal is waited for; a sixth of the TTL if that is less.
const RENEWAL_ATTEMPT: Duration = Duration::from_secs(1);
/// The shortest time between the starts of two renewals, when the first failed at once.
const RENEWAL_PAUSE: Duration = Duration::from_millis(100);
/// The longest that a grant or a revoke is waited for at first.
const ATTEMPT: Duration = Duration::from_secs(1);
/// One that was held for so long is replaced at once when it is lost.
const STEADY: Duration = Duration::from_secs(1);

/// Keeps one lease alive.
#[derive(Clone, Debug, Hash)]
pub(super) struct Keeper {
    state: State,
    /// Somebody is primary under the lease: only what is confirmed counts.
    relied_on: bool,
    /// Whose word the last linearizable answer was.
    latest: Option<Origin>,
    /// Renewals that were acknowledged, and not confirmed.
    unconfirmed: u64,
    backoff: Backoff,
    /// Leases in a row that were of no use: somebody else's, or lost as soon as they were there.
    useless: Backoff,
    /// None is granted, or the one that there is not renewed.
    without: Spell<Time>,
    /// What is granted does not last.
    losing: Spell<Time>,
    first: LeaseId,
    /// The one to ask for next, or that is being asked for. Ids count up, so that what hangs on any from `first` on is
    /// known to be ours.
    next: LeaseId,
    retired: Vec<Retired>,
}

#[derive(Clone, Debug, Hash)]
enum State {
    /// None, and none wanted.
    Closed,
    /// Wanted, asked for again at `at`. `again`: an earlier request for the same id was not answered.
    Waiting { at: Time, again: bool },
    /// Asked for.
    Asking { request: RequestId, sent: Time, again: bool },
    /// Ours, until its deadline.
    Held(Held),
}

/// A lease that is ours.
#[derive(Clone, Debug, Hash)]
pub(super) struct Held {
    /// Its id.
    pub id: LeaseId,
    /// As granted.
    pub ttl: Duration,
    /// From here on nobody is primary under it.
    pub deadline: Time,
    /// Until here the store has said that it keeps it; never before the deadline.
    kept: Time,
    /// The last renewal was not confirmed in time; while nobody is primary: not acknowledged.
    pub late: bool,
    since: Time,
    renewal: Renewal,
    /// What waits for its confirmation.
    acknowledged: Option<Acknowledged>,
    /// A read that could confirm it is under way.
    asked: bool,
    /// When the renewal that the deadline counts from was sent.
    confirmed: Time,
}

/// An acknowledged renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Acknowledged {
    lease: LeaseId,
    sent: Time,
    /// The deadline, once it is confirmed.
    until: Time,
    origin: Origin,
}

#[derive(Clone, Debug, Hash)]
enum Renewal {
    Due(Time),
    Sent { request: RequestId, at: Time },
}

/// A lease that is not used any more, but perhaps still known to the store.
#[derive(Clone, Debug, Hash)]
struct Retired {
    id: LeaseId,
    revoke: Revoke,
    backoff: Backoff,
}

#[derive(Clone, Debug, Hash)]
enum Revoke {
    /// Not before this request for the lease is answered: it could be granted after it was revoked.
    After(RequestId),
    Due(Time),
    Sent(RequestId),
}

/// What a step did to the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// There is a new lease.
    Granted,
    /// It is gone.
    Lost(LeaseId),
    /// Its renewal is late.
    Late,
    /// The late renewal came, or one that a win has waited for.
    Renewed,
}

/// The deadline and the patience of a renewal, and of what confirms it.
pub(super) fn renewal_patience(ttl: Duration) -> Duration {
    RENEWAL_ATTEMPT.min(ttl / 6)
}

impl Keeper {
    pub fn new(first: LeaseId) -> Self {
        Keeper {
            state: State::Closed,
            relied_on: false,
            latest: None,
            unconfirmed: 0,
            backoff: Backoff::default(),
            useless: Backoff::default(),
            without: Spell::default(),
            losing: Spell::default(),
            first,
            next: first,
            retired: Vec::new(),
        }
    }

    /// The lease, if there is one.
    pub fn held(&self) -> Option<&Held> {
        match &self.state {
            State::Held(held) => Some(held),
            _ => None,
        }
    }

    /// Until when the lease is ours, for what stands on it now.
    pub fn held_until(&self) -> Option<Time> {
        self.held().map(|held| if self.relied_on { held.deadline } else { held.kept })
    }

    /// Whether somebody may begin to be primary under `lease`.
    pub fn is_confirmed(&self, lease: LeaseId, now: Time) -> bool {
        self.held().is_some_and(|held| held.id == lease && now < held.deadline)
    }

    /// How many renewals were acknowledged, and not confirmed.
    pub fn unconfirmed(&self) -> u64 {
        self.unconfirmed
    }

    /// Somebody is primary under the lease, or nobody is any more.
    pub fn rely(&mut self, relied_on: bool) {
        self.relied_on = relied_on;
    }

    /// What a linearizable answer to what is sent from now on would confirm.
    pub fn acknowledged(&self) -> Option<Acknowledged> {
        self.held()?.acknowledged
    }

    /// Whether something has to be asked now to confirm the last renewal; it is assumed that it will be.
    pub fn ask_for_confirmation(&mut self) -> bool {
        match &mut self.state {
            State::Held(held) => held.acknowledged.is_some() && !std::mem::replace(&mut held.asked, true),
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
        let State::Held(held) = &mut self.state else { return None };
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
        let State::Held(held) = &mut self.state else { return None };
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
        let State::Held(held) = &mut self.state else { return None };
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

    /// Whether `lease` is one that this session has asked for, now or before.
    pub fn is_own(&self, lease: LeaseId) -> bool {
        self.first <= lease && lease <= self.next
    }

    /// Whether nothing of ours is left in the store that we know of.
    pub fn is_clean(&self) -> bool {
        matches!(self.state, State::Closed) && self.retired.is_empty()
    }

    /// Asks for a lease.
    pub fn open(&mut self, fx: &mut Effects, setup: &Setup) {
        if matches!(self.state, State::Closed) {
            self.ask(fx, setup, false);
        }
    }

    /// Gives up the lease, if there is one, for good.
    pub fn close(&mut self, fx: &mut Effects) {
        match self.state {
            State::Held(_) => {
                self.lose(fx);
            }
            // It may have been granted, or may be granted later; a revoke of an unknown lease does no harm.
            State::Asking { request, .. } => self.retire(self.next, Revoke::After(request)),
            State::Waiting { again: true, .. } => self.retire_next(),
            State::Closed | State::Waiting { .. } => {}
        }
        self.state = State::Closed;
    }

    /// Gives up the lease and asks for another one.
    pub fn replace(&mut self, fx: &mut Effects, setup: &Setup) -> Option<Change> {
        let since = self.held()?.since;
        let lost = self.lose(fx).map(Change::Lost);
        if fx.now.since(since) >= STEADY {
            self.useless.reset();
        }
        self.ask_anew(fx, setup);
        lost
    }

    /// The store does not know the lease any more.
    pub fn not_found(&mut self, fx: &mut Effects, setup: &Setup, lease: LeaseId) -> Option<Change> {
        if self.held()?.id != lease {
            return None;
        }
        self.say_lost(fx, lease, "the store does not know it any more");
        self.replace(fx, setup)
    }

    /// The lease was not renewed in time.
    fn ran_out(&mut self, fx: &mut Effects, setup: &Setup) -> Option<Change> {
        let lease = self.held()?.id;
        self.say_lost(fx, lease, "it was not renewed in time");
        self.replace(fx, setup)
    }

    fn say_lost(&mut self, fx: &mut Effects, lease: LeaseId, why: &str) {
        let level = if self.losing.wrong(fx.now) { Level::Warn } else { Level::Debug };
        fx.log(level, None, format!("lease {lease} is lost: {why}; another one is asked for"));
    }

    /// That no endpoint serves is said of the endpoints.
    fn say_without(&mut self, fx: &mut Effects, failure: &Failure, remedy: &str) {
        let said = failure.wants_help() && self.without.wrong(fx.now);
        let level = if said { Level::Error } else { Level::Debug };
        fx.log(level, None, format!("no lease: {failure}{remedy}; asked for again"));
    }

    /// Looks at the timers.
    pub fn tick(&mut self, fx: &mut Effects, setup: &Setup) -> Option<Change> {
        match &self.state {
            State::Waiting { at, again } if *at <= fx.now => {
                let again = *again;
                self.ask(fx, setup, again);
                None
            }
            State::Held(_) if self.held_until().is_some_and(|until| until <= fx.now) => {
                self.ran_out(fx, setup)
            }
            State::Held(_) => {
                self.renew_if_due(fx);
                None
            }
            _ => None,
        }
    }

    /// Revokes what is retired, unless somebody still `needs` it.
    pub fn revoke_retired(&mut self, fx: &mut Effects, setup: &Setup, needs: impl Fn(LeaseId) -> bool) {
        for lease in &mut self.retired {
            if matches!(lease.revoke, Revoke::Due(at) if at <= fx.now) && !needs(lease.id) {
                let patience = lease.backoff.patience(ATTEMPT, setup.request_timeout);
                let what = Request::Revoke { lease: lease.id };
                lease.revoke = Revoke::Sent(fx.send(Purpose::Revoke, None, patience, what));
            }
        }
    }

    /// When something is due, and what it is called.
    pub fn timers(&self, mut due: impl FnMut(Time, &'static str)) {
        match &self.state {
            State::Waiting { at, .. } => due(*at, "grant due"),
            State::Held(held) => {
                due(if self.relied_on { held.deadline } else { held.kept }, "deadline");
                if let Renewal::Due(at) = held.renewal {
                    due(at, "renewal due");
                }
            }
            _ => {}
        }
        for lease in &self.retired {
            if let Revoke::Due(at) = lease.revoke {
                due(at, "revoke due");
            }
        }
    }

    /// Takes in the answer to a grant, a renewal or a revoke; not one of a request that is forgotten.
    pub fn answered(
        &mut self,
        fx: &mut Effects,
        setup: &Setup,
        request: RequestId,
        result: &Result<Answer, Failure>,
    ) -> Option<Change> {
        for (at, lease) in self.retired.iter_mut().enumerate() {
            match lease.revoke {
                Revoke::After(asked) if asked == request => lease.revoke = Revoke::Due(fx.now),
                Revoke::Sent(asked) if asked == request => match result {
                    Err(failure) if *failure != Failure::LeaseNotFound => {
                        lease.revoke = Revoke::Due(lease.backoff.after(failure, fx));
                    }
                    _ => {
                        self.retired.swap_remove(at);
                    }
                },
                _ => continue,
            }
            return None;
        }
        match &mut self.state {
            State::Asking { request: asked, sent, again } if *asked == request => {
                let (sent, again) = (*sent, *again);
                self.granted(fx, setup, sent, again, result)
            }
            State::Held(Held { renewal: Renewal::Sent { request: asked, at }, .. }) if *asked == request => {
                let sent = *at;
                self.renewed(fx, setup, sent, result)
            }
            _ => None,
        }
    }

    fn ask(&mut self, fx: &mut Effects, setup: &Setup, again: bool) {
        let patience = self.backoff.patience(ATTEMPT, setup.request_timeout);
        let request =
            fx.send(Purpose::Grant, None, patience, Request::Grant { lease: self.next, ttl: setup.ttl });
        self.state = State::Asking { request, sent: fx.now, again };
    }

    /// Asks for one under another id, more slowly each time while none is of use.
    fn ask_anew(&mut self, fx: &mut Effects, setup: &Setup) {
        let at = self.useless.anew(fx);
        if at <= fx.now {
            self.ask(fx, setup, false);
        } else {
            self.state = State::Waiting { at, again: false };
        }
    }

    fn granted(
        &mut self,
        fx: &mut Effects,
        setup: &Setup,
        sent: Time,
        again: bool,
        result: &Result<Answer, Failure>,
    ) -> Option<Change> {
        match result {
            Ok(Answer::Granted { ttl }) if *ttl > setup.margin(*ttl) => {
                self.backoff.reset();
                let deadline = sent + (*ttl - setup.margin(*ttl));
                if deadline <= fx.now {
                    // Read too late, after a pause: this one is over already.
                    self.retire_next();
                    self.ask_anew(fx, setup);
                    return None;
                }
                if self.without.well() {
                    fx.log(Level::Info, None, format!("lease {} is granted", self.next));
                }
                let id = self.next;
                self.next = LeaseId(id.0 + 1);
                let renewal = Renewal::Due(sent + *ttl / 3);
                self.state = State::Held(Held {
                    id,
                    ttl: *ttl,
                    deadline,
                    kept: deadline,
                    late: false,
                    since: fx.now,
                    renewal,
                    acknowledged: None,
                    asked: false,
                    confirmed: sent,
                });
                fx.push(Action::Deadline { lease: id, until: deadline });
                self.renew_if_due(fx);
                Some(Change::Granted)
            }
            Err(failure @ Failure::Indefinite(_)) => {
                // The same id again: if the lost request did create it, the store says so.
                self.state = State::Waiting { at: self.backoff.after(failure, fx), again: true };
                None
            }
            Err(Failure::LeaseExists) => {
                // Ours, from a request whose answer was lost: since when, and for how long, is not known, so it
                // is undone. Without such a request it is somebody else's.
                if again {
                    self.retire_next();
                } else {
                    self.next = LeaseId(self.next.0 + 1);
                }
                self.ask_anew(fx, setup);
                None
            }
            Err(failure) => {
                self.say_without(fx, failure, "");
                self.state = State::Waiting { at: self.backoff.after(failure, fx), again };
                None
            }
            Ok(_) => {
                let failure = Failure::Refused("the lease granted is not longer than the margin".into());
                self.say_without(fx, &failure, ": raise common.session.ttl or lower primacy.margin_ms");
                self.retire_next();
                self.state = State::Waiting { at: self.backoff.after(&failure, fx), again: false };
                None
            }
        }
    }

    /// Also after each answer: after a pause the next renewal may be due when the last one is read.
    fn renew_if_due(&mut self, fx: &mut Effects) {
        if let State::Held(held) = &mut self.state
            && matches!(held.renewal, Renewal::Due(at) if at <= fx.now)
        {
            let patience = renewal_patience(held.ttl);
            let what = Request::KeepAlive { lease: held.id };
            held.renewal =
                Renewal::Sent { request: fx.send(Purpose::Renew, None, patience, what), at: fx.now };
        }
    }

    fn renewed(
        &mut self,
        fx: &mut Effects,
        setup: &Setup,
        sent: Time,
        result: &Result<Answer, Failure>,
    ) -> Option<Change> {
        let State::Held(held) = &mut self.state else { return None };
        match result {
            // Of a member that has not heard yet of the leader that answered us before: neither its yes counts nor
            // its no.
            Ok(Answer::Renewed { origin, .. })
                if self.latest.is_some_and(|latest| is_older(*origin, latest)) =>
            {
                held.renewal = Renewal::Due(sent + held.ttl / 3);
                let change = self.doubt(fx, sent, &format!("raft term {} is over", origin.term));
                self.renew_if_due(fx);
                change
            }
            Ok(Answer::Renewed { ttl, origin }) if *ttl > setup.margin(*ttl) => {
                held.ttl = *ttl;
                held.kept = sent + (*ttl - setup.margin(*ttl));
                held.renewal = Renewal::Due(sent + *ttl / 3);
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
            Ok(_) | Err(Failure::LeaseNotFound) => {
                let lease = held.id;
                self.not_found(fx, setup, lease)
            }
            Err(failure) => {
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

    fn lose(&mut self, fx: &mut Effects) -> Option<LeaseId> {
        let id = self.held()?.id;
        fx.push(Action::Deadline { lease: id, until: Time::ZERO });
        self.retire(id, Revoke::Due(Time::ZERO));
        self.state = State::Closed;
        Some(id)
    }

    fn retire_next(&mut self) {
        self.retire(self.next, Revoke::Due(Time::ZERO));
        self.next = LeaseId(self.next.0 + 1);
    }

    fn retire(&mut self, id: LeaseId, revoke: Revoke) {
        self.retired.push(Retired { id, revoke, backoff: Backoff::default() });
    }
}

/// Whether `origin` is a member that stands behind the one of `latest`, in the same cluster.
fn is_older(origin: Origin, latest: Origin) -> bool {
    origin.cluster == latest.cluster && origin.term < latest.term
}
