//! How a primary hands its key set to a standby, in one transaction, so that the lock is never absent.
//!
//! It offers: writes into the standby's record, which that watches anyway, the revision of its own lock. The standby takes
//! the offer by rewriting its record (`taking.rs`): it lives, it hears, it wants to. Only then does the primary let go:
//! `on_lost` is called and waited for, while the lease is renewed. Then *if* the key set is its own and the standby's
//! record unchanged *then* the key set is put with the standby's record, on the standby's lease.
//!
//! Each step compares what the step before it has written, by revision. So no offer of a former primary, no acceptance of
//! an earlier offer and no record of a session that is over can take part. Whatever does not work out until the win is
//! lost changes nothing; afterwards the next standby has its turn, then the primary itself, under a new token. Who resigns
//! or stops releases the key set instead.

use std::time::Duration;

use super::ending::Deferred;
use super::ground::Ground;
use super::line::accepts;
use super::phase::{Phase, Win};
use super::writes::Operation;
use super::{Election, Want};
use crate::Level;
use crate::Setup;
use crate::action::{LostReason, Purpose};
use crate::effects::Effects;
use crate::ids::{CallId, Token};
use crate::milvus::Record;
use crate::store::{Key, KeyValue, LeaseId, Op, Revision, Txn};
use crate::time::Time;

/// How long one that an offer was made to may take to answer, and how long a primary waits to hear who there is.
const PATIENCE: Duration = Duration::from_millis(500);
/// To so many the offer is made, one after the other.
const MOST_OFFERS: usize = 3;

/// A handover that has begun: somebody is sought, has an offer, or has taken it.
#[derive(Clone, Debug, Hash)]
pub(super) struct Handover {
    /// What the host is told.
    pub(super) why: LostReason,
    /// Whom the host has named.
    to: Option<i64>,
    /// Who has the offer.
    offer: Option<Offer>,
    /// Who did not take it.
    passed: Vec<Key>,
    /// Until then it is waited for who there is.
    until: Time,
}

#[derive(Clone, Debug, Hash)]
struct Offer {
    to: Key,
    lease: LeaseId,
    /// The revision at which it was written. What is accepted later is this offer, and no earlier one.
    made: Option<Revision>,
    /// Nobody is waited for any longer.
    until: Time,
}

impl Handover {
    fn new(why: LostReason, to: Option<i64>, until: Time) -> Self {
        Handover { why, to, offer: None, passed: Vec::new(), until }
    }
}

impl Election {
    pub fn transfer(&mut self, fx: &mut Effects, to: Option<i64>, within: Option<CallId>) {
        match within.filter(|call| self.calls.is_running(*call)) {
            Some(call) => self.defer(call, Deferred::Transfer { to }),
            None => self.begin_transfer(fx, to),
        }
    }

    pub(super) fn begin_transfer(&mut self, fx: &mut Effects, to: Option<i64>) {
        if self.handover.is_none() && self.phase.win().is_some_and(Win::is_called) {
            self.handover = Some(Handover::new(LostReason::Transferred, to, fx.now + PATIENCE));
        } else {
            let text = format!("{}: nothing to hand over, or it is being handed over already", self.role);
            fx.log(Level::Info, Some(self.id), text);
        }
    }

    /// Ends the win as the host wants: by a handover if somebody is there for it, otherwise at once.
    pub(super) fn give_up(&mut self, fx: &mut Effects, setup: &Setup, why: LostReason) {
        let by = fx.now + self.patience(fx.now);
        if let Some(handover) = &mut self.handover {
            handover.why = why;
            handover.to = None; // whoever is there will do
            handover.until = handover.until.min(by);
            handover.offer.iter_mut().for_each(|offer| offer.until = offer.until.min(by));
        } else if self.phase.win().is_some_and(Win::is_ready) && self.next_in_line(None, &[]).is_ok() {
            self.handover = Some(Handover::new(why, None, by));
        } else {
            self.lose(fx, setup, why);
        }
    }

    /// Takes the next step of a handover, if there is one: whom to offer to, when to let go, when to give it up.
    pub(super) fn look_at_handover(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        let Some(mut handover) = self.handover.take() else { return };
        // Otherwise it has been lost for another reason, or is handed over.
        let Some(token) = self.still_holds(ground) else { return };
        let mut is_asked = true;
        if let Some(offer) = &handover.offer
            && self.taker_of(offer, token).is_none()
            && (offer.until <= fx.now || self.is_declined(offer))
        {
            is_asked = offer.made.is_some() || self.is_declined(offer);
            if is_asked && !self.is_declined(offer) {
                // Perhaps it has answered, and the watch does not tell: the next one begins with a read.
                self.line.watch.replace(fx);
            }
            let what = if is_asked { "does not take over" } else { "could not be asked" };
            fx.log(Level::Info, Some(self.id), format!("{}: {} {what}", self.role, offer.to));
            handover.passed.extend(handover.offer.take().map(|offer| offer.to));
        }
        if handover.offer.is_none() {
            match self.next_offer(fx.now, &handover, is_asked) {
                Ok(offer) => handover.offer = Some(offer),
                // The others are being read, or callbacks run: somebody may turn up.
                Err(_) if !self.line.known && fx.now < handover.until || self.is_draining(fx.now) => {}
                Err(why_not) if self.has_win() && handover.why == LostReason::Transferred => {
                    let text = format!("{}: not handed over, still primary: {why_not}", self.role);
                    fx.log(Level::Warn, Some(self.id), text);
                    return;
                }
                Err(_) if self.has_win() => return self.lose(fx, ground.setup, handover.why),
                Err(_) => match self.back_to_itself(fx.now, token, ground, &handover) {
                    Some(offer) => handover.offer = Some(offer),
                    None => return,
                },
            }
        }
        if let Some(offer) = &handover.offer
            && self.has_win()
            && self.taker_of(offer, token).is_some()
        {
            self.lose(fx, ground.setup, handover.why);
        }
        self.handover = Some(handover);
    }

    /// The token of the key set, if it stands as it was won and can be handed over.
    fn still_holds(&self, ground: Ground<'_>) -> Option<Token> {
        let (token, lease) = match &self.phase {
            Phase::Free => return None,
            Phase::Holding(win) => (win.token, win.lease),
            Phase::Draining(drain) => (drain.token, drain.lease),
        };
        let whole = self.claim.as_ref()?.broken(&self.view, token, lease).is_none();
        (whole && ground.is_lease(lease)).then_some(token)
    }

    /// Whom to ask next. Where the last one could not be asked, since the store does not answer, nobody can.
    fn next_offer(&self, now: Time, handover: &Handover, last_is_asked: bool) -> Result<Offer, String> {
        if !last_is_asked {
            return Err("the store did not answer in time".into());
        }
        let passed = handover.passed.as_slice();
        let heir = self.next_in_line(handover.to, passed)?;
        let patience = self.patience(now);
        if passed.len() >= MOST_OFFERS || patience.is_zero() {
            return Err(format!("{} standbys did not take the offer", passed.len()));
        }
        Ok(Offer { to: heir.key.clone(), lease: heir.lease, made: None, until: now + patience })
    }

    /// How long somebody is waited for: at the end, for half of what is left of it each time.
    fn patience(&self, now: Time) -> Duration {
        match self.want {
            Want::Nothing { until } => PATIENCE.min(until.since(now) / 2),
            _ => PATIENCE,
        }
    }

    /// Nobody takes over from who has let go already: it takes the key set itself, under a new token.
    fn back_to_itself(
        &self,
        now: Time,
        token: Token,
        ground: Ground<'_>,
        handover: &Handover,
    ) -> Option<Offer> {
        let own = self.claim.as_ref()?.record(&self.view)?;
        let wants = handover.why == LostReason::Transferred && !ground.stopping;
        let able = ground.is_lease(own.lease) && !self.is_deaf && !self.calls.of(token);
        let reads = Record::parse(&own.value).is_ok() && self.may_take(own);
        (wants && able && reads && !handover.passed.contains(&own.key)).then(|| Offer {
            to: own.key.clone(),
            lease: own.lease,
            made: None,
            until: now + PATIENCE,
        })
    }

    /// The record of whom an offer was made to, once that has been taken: later than it was made, and by who is named.
    /// The primary itself needs no asking.
    fn taker_of(&self, offer: &Offer, token: Token) -> Option<&KeyValue> {
        let kv = self.view.get(&offer.to).filter(|kv| kv.lease == offer.lease && self.may_take(kv))?;
        let taken = |made: Revision| kv.mod_revision > made && accepts(kv, Revision(token.0));
        (self.is_own(&offer.to) || offer.made.is_some_and(taken)).then_some(kv)
    }

    /// Whether who has the offer has gone, has become too old for it, or has rewritten its record without taking it.
    fn is_declined(&self, offer: &Offer) -> bool {
        let kv = self.view.get(&offer.to).filter(|kv| kv.lease == offer.lease && self.may_take(kv));
        kv.is_none_or(|kv| offer.made.is_some_and(|made| kv.mod_revision > made))
    }

    /// The cluster may have seen a newer version since the offer was made.
    fn may_take(&self, record: &KeyValue) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.may_take(&self.view, record))
    }

    fn is_own(&self, key: &Key) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.own_key() == key)
    }

    /// What a handover has to write next.
    pub(super) fn next_of_handover(&self, now: Time, ground: Ground<'_>) -> Option<(Purpose, Txn)> {
        let (claim, offer) = (self.claim.as_ref()?, self.handover.as_ref()?.offer.as_ref()?);
        let (token, lease) = (self.still_holds(ground)?, ground.lease()?);
        if let Some(taker) = self.taker_of(offer, token) {
            // The service's record goes first, as at a release.
            let may =
                !self.has_win() && !self.is_draining(now) && claim.published(&self.view, lease).is_empty();
            return may.then_some((Purpose::HandOver, claim.hand_over(&self.view, token, lease, taker)?));
        }
        let to = self.view.get(&offer.to)?;
        offer.made.is_none().then_some((Purpose::Offer, claim.offer(token, lease, to)?))
    }

    /// An offer has been written.
    pub(super) fn offered(&mut self, now: Time, operation: &Operation, at: Revision) {
        let until = now + self.patience(now);
        if let Some(offer) = self.handover.as_mut().and_then(|handover| handover.offer.as_mut())
            && operation.txn.then.iter().any(|op| matches!(op, Op::Put(key, ..) if *key == offer.to))
        {
            (offer.made, offer.until) = (Some(at), until);
        }
    }

    /// The lease of who was to have the offer or the key set is gone: the next one has its turn.
    pub(super) fn heir_is_gone(&mut self, operation: &Operation) -> bool {
        let of_own = |op: &Op| matches!(op, Op::Put(_, _, lease) if *lease == operation.lease);
        let of_other = matches!(operation.purpose, Purpose::Offer | Purpose::HandOver)
            && !operation.txn.then.iter().any(of_own);
        if let Some(handover) = self.handover.as_mut().filter(|_| of_other) {
            let puts =
                |lease| operation.txn.then.iter().any(|op| matches!(op, Op::Put(_, _, on) if *on == lease));
            handover.passed.extend(handover.offer.take_if(|offer| puts(offer.lease)).map(|offer| offer.to));
        }
        of_other
    }

    /// The key set has been handed over; whether to this election itself.
    pub(super) fn handed_over(&mut self, fx: &mut Effects, operation: &Operation) -> bool {
        self.handover = None;
        let puts = |op: &Op| matches!(op, Op::Put(_, _, lease) if *lease == operation.lease);
        let itself = operation.txn.then.iter().any(puts);
        if itself {
            self.phase = Phase::Free;
        }
        let to = if itself { "itself" } else { "a standby" };
        fx.log(Level::Info, Some(self.id), format!("{}: handed over to {to}", self.role));
        itself
    }

    /// When one is not waited for any longer.
    pub(super) fn handover_due(&self) -> Option<Time> {
        let handover = self.handover.as_ref()?;
        let Some(offer) = &handover.offer else { return Some(handover.until) };
        self.taker_of(offer, self.token()?).is_none().then_some(offer.until)
    }
}
