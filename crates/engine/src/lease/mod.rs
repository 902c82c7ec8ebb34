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

mod grant;
mod renewal;
mod retired;

use std::time::Duration;

pub(super) use self::renewal::Acknowledged;
use self::renewal::Sent;
use self::retired::Retired;
use crate::Level;
use crate::Setup;
use crate::action::Action;
use crate::backoff::Backoff;
use crate::effects::Effects;
use crate::ids::RequestId;
use crate::spell::Spell;
use crate::store::{Answer, Failure, LeaseId, Origin};
use crate::time::Time;

/// One that was held for so long is replaced at once when it is lost.
const STEADY: Duration = Duration::from_secs(1);

/// Keeps one lease alive.
#[derive(Clone, Debug, Hash)]
pub(super) struct Keeper {
    lease: Lease,
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
    retired: Retired,
}

#[derive(Clone, Debug, Hash)]
enum Lease {
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
    /// When the next renewal is sent. Until then the last one has time to be answered, and confirmed.
    next: Time,
    /// Renewals that are not answered yet, the latest one last. A good answer to any counts, from its own sending.
    under_way: Vec<Sent>,
    /// When the last one was sent.
    sent: Time,
    /// When the last one that was acknowledged was sent.
    heard: Time,
    /// What waits for its confirmation.
    acknowledged: Option<Acknowledged>,
    /// A read that could confirm it is under way.
    asked: bool,
    /// When the renewal that the deadline counts from was sent.
    confirmed: Time,
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

impl Keeper {
    pub fn new(first: LeaseId) -> Self {
        Keeper {
            lease: Lease::Closed,
            relied_on: false,
            latest: None,
            unconfirmed: 0,
            backoff: Backoff::default(),
            useless: Backoff::default(),
            without: Spell::default(),
            losing: Spell::default(),
            first,
            next: first,
            retired: Retired::default(),
        }
    }

    /// The lease, if there is one.
    pub fn held(&self) -> Option<&Held> {
        match &self.lease {
            Lease::Held(held) => Some(held),
            _ => None,
        }
    }

    /// Until when the lease is ours, for what stands on it now.
    pub fn held_until(&self) -> Option<Time> {
        self.held().map(|held| held.until(self.relied_on))
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

    /// Whether `lease` is one that this session has asked for, now or before.
    pub fn is_own(&self, lease: LeaseId) -> bool {
        self.first <= lease && lease <= self.next
    }

    /// Whether there is none, and none is wanted.
    pub fn is_closed(&self) -> bool {
        matches!(self.lease, Lease::Closed)
    }

    /// Whether nothing of ours is left in the store that we know of.
    pub fn is_clean(&self) -> bool {
        self.is_closed() && self.retired.is_empty()
    }

    /// Asks for a lease.
    pub fn open(&mut self, fx: &mut Effects, setup: &Setup) {
        if matches!(self.lease, Lease::Closed) {
            self.ask(fx, setup, false);
        }
    }

    /// Gives up the lease, if there is one, for good.
    pub fn close(&mut self, fx: &mut Effects) {
        match self.lease {
            Lease::Held(_) => {
                self.lose(fx);
            }
            // It may have been granted, or may be granted later; a revoke of an unknown lease does no harm.
            Lease::Asking { request, .. } => self.retired.add_after(self.next, request),
            Lease::Waiting { again: true, .. } => self.retire_next(),
            Lease::Closed | Lease::Waiting { .. } => {}
        }
        self.lease = Lease::Closed;
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

    /// Looks at the timers.
    pub fn tick(&mut self, fx: &mut Effects, setup: &Setup) -> Option<Change> {
        match &self.lease {
            Lease::Waiting { at, again } if *at <= fx.now => {
                let again = *again;
                self.ask(fx, setup, again);
                None
            }
            Lease::Held(_) if self.held_until().is_some_and(|until| until <= fx.now) => {
                self.ran_out(fx, setup)
            }
            Lease::Held(_) => self.renew_if_due(fx, setup),
            _ => None,
        }
    }

    /// Revokes what is retired, unless somebody still `needs` it.
    pub fn revoke_retired(&mut self, fx: &mut Effects, setup: &Setup, needs: impl Fn(LeaseId) -> bool) {
        self.retired.revoke(fx, setup, needs);
    }

    /// When something is due, and what it is called.
    pub fn timers(&self, mut due: impl FnMut(Time, &'static str)) {
        match &self.lease {
            Lease::Waiting { at, .. } => due(*at, "grant due"),
            Lease::Held(held) => {
                due(held.until(self.relied_on), "deadline");
                due(held.next, "renewal due");
            }
            _ => {}
        }
        self.retired.timers(due);
    }

    /// Takes in the answer to a grant, a renewal or a revoke; not one of a request that is forgotten.
    pub fn answered(
        &mut self,
        fx: &mut Effects,
        setup: &Setup,
        request: RequestId,
        result: &Result<Answer, Failure>,
    ) -> Option<Change> {
        if self.retired.answered(fx, request, result) {
            return None;
        }
        match &mut self.lease {
            Lease::Asking { request: asked, sent, again } if *asked == request => {
                let (sent, again) = (*sent, *again);
                self.granted(fx, setup, sent, again, result)
            }
            Lease::Held(held) => {
                let at = held.under_way.iter().position(|sent| sent.request == request)?;
                let sent = held.under_way.remove(at).at;
                self.renewed(fx, setup, sent, result)
            }
            _ => None,
        }
    }

    fn lose(&mut self, fx: &mut Effects) -> Option<LeaseId> {
        let id = self.held()?.id;
        fx.push(Action::Deadline { lease: id, until: Time::ZERO });
        self.retired.add(id);
        self.lease = Lease::Closed;
        Some(id)
    }

    /// The lease that was asked for is not wanted any more, and may be there.
    fn retire_next(&mut self) {
        self.retired.add(self.next);
        self.next = LeaseId(self.next.0 + 1);
    }
}
