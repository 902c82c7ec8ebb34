//! The session's lease: asked for, renewed, lost, replaced; and the ends of those that came before.
//!
//! A lease is ours until `when the acknowledged request was sent + the TTL granted - margin`, no matter what
//! anybody says later. One that is lost is never renewed or used again: it is retired, and revoked as soon as no
//! callback of a win on it runs any more.

use std::time::Duration;

use super::Setup;
use super::action::{Action, Purpose};
use super::backoff::Backoff;
use super::effects::Effects;
use super::ids::RequestId;
use crate::clock::Time;
use crate::log::Level;
use crate::spell::Spell;
use crate::store::{Answer, Failure, LeaseId, Request};

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
    /// From here on it is lost.
    pub deadline: Time,
    /// The last renewal got no answer in time.
    pub late: bool,
    since: Time,
    renewal: Renewal,
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
    /// The late renewal came.
    Renewed,
}

impl Keeper {
    pub fn new(first: LeaseId) -> Self {
        Keeper {
            state: State::Closed,
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
            State::Held(held) if held.deadline <= fx.now => self.ran_out(fx, setup),
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
                due(held.deadline, "deadline");
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
                self.state =
                    State::Held(Held { id, ttl: *ttl, deadline, late: false, since: fx.now, renewal });
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
            let patience = RENEWAL_ATTEMPT.min(held.ttl / 6);
            let what = Request::KeepAlive { lease: held.id, new_stream: held.late };
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
            Ok(Answer::Renewed { ttl }) if *ttl > setup.margin(*ttl) => {
                let was_late = std::mem::take(&mut held.late);
                held.ttl = *ttl;
                // Earlier than before, if the store grants less than before.
                held.deadline = sent + (*ttl - setup.margin(*ttl));
                held.renewal = Renewal::Due(sent + *ttl / 3);
                if held.deadline <= fx.now {
                    return self.ran_out(fx, setup);
                }
                fx.push(Action::Deadline { lease: held.id, until: held.deadline });
                if self.without.well() {
                    fx.log(Level::Info, None, format!("lease {} is renewed again", held.id));
                }
                self.renew_if_due(fx);
                was_late.then_some(Change::Renewed)
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
