//! How a primary hands its key set to a standby, in one transaction, so that the lock is never absent.
//!
//! It makes an offer: writes into the standby's record, which that watches anyway, the revision of its own lock. The
//! standby, the heir from now on, accepts by rewriting its record (`accepting.rs`): it lives, it hears, it wants to. Only
//! then does the primary let go: `on_lost` is called and waited for, while the lease is renewed. Then *if* the key set is
//! its own and the heir's record unchanged *then* the key set is put with the heir's record, on the heir's lease.
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
use crate::claim::Claim;
use crate::effects::Effects;
use crate::ids::{CallId, Token};
use crate::milvus::Record;
use crate::patience;
use crate::store::{Key, KeyValue, LeaseId, Op, Revision, Txn};
use crate::time::Time;

/// To so many the offer is made, one after the other.
const MOST_OFFERS: usize = 3;

/// A handover that has begun.
#[derive(Clone, Debug, Hash)]
pub(super) struct Handover {
    /// What the host is told.
    why: LostReason,
    /// Whom the host has named.
    to: Option<i64>,
    step: Step,
    /// Who did not accept.
    passed: Vec<Key>,
    /// Until then it is waited for who there is.
    until: Time,
}

/// How far a handover is.
#[derive(Clone, Debug, Hash)]
enum Step {
    /// An heir is sought.
    Seeking,
    /// One is asked.
    Offering {
        heir: Heir,
        /// The revision at which the offer was written. What is accepted later is this offer, and no earlier one.
        made: Option<Revision>,
        /// It is waited for no longer.
        until: Time,
    },
    /// It has accepted.
    Agreed { heir: Heir, since: Time },
    /// There is none: who has let go already takes the key set itself, under a new token.
    TakingBack,
}

#[derive(Clone, Debug, Hash)]
struct Heir {
    record: Key,
    lease: LeaseId,
}

/// What an heir's record says to an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    None,
    Accepted,
    /// It has gone, has become too old for it, or was rewritten without a word of it.
    Declined,
}

impl Handover {
    fn new(why: LostReason, to: Option<i64>, until: Time) -> Self {
        Handover { why, to, step: Step::Seeking, passed: Vec::new(), until }
    }

    /// The heir has had its turn.
    fn pass(&mut self) {
        let step = std::mem::replace(&mut self.step, Step::Seeking);
        if let Step::Offering { heir, .. } | Step::Agreed { heir, .. } = step {
            self.passed.push(heir.record);
        }
    }

    /// Nobody is waited for any longer than until then.
    fn hurry(&mut self, by: Time) {
        self.until = self.until.min(by);
        if let Step::Offering { until, .. } = &mut self.step {
            *until = (*until).min(by);
        }
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
            let until = fx.now + self.patience(fx);
            self.handover = Some(Handover::new(LostReason::Transferred, to, until));
        } else {
            let text = format!("{}: nothing to hand over, or it is being handed over already", self.role);
            fx.log(Level::Info, Some(self.id), text);
        }
    }

    /// Ends the win as the host wants: by a handover if somebody is there for it, otherwise at once.
    pub(super) fn give_up(&mut self, fx: &mut Effects, setup: &Setup, why: LostReason) {
        let by = fx.now + self.patience(fx);
        if let Some(handover) = &mut self.handover {
            handover.why = why;
            handover.to = None; // whoever is there will do
            handover.hurry(by);
        } else if self.phase.win().is_some_and(Win::is_ready) && self.next_in_line(None, &[]).is_ok() {
            self.handover = Some(Handover::new(why, None, by));
        } else {
            self.lose(fx, setup, why);
        }
    }

    /// Takes the next step of a handover, if there is one: whom to offer to, when to let go, when to give it up.
    pub(super) fn look_at_handover(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        let Some(mut handover) = self.handover.take() else { return };
        let Some(token) = self.still_holds(ground) else { return self.look_what_came_of(handover, ground) };
        let mut is_asked = true;
        match handover.step.clone() {
            Step::Offering { heir, made, until } => match self.answer(&heir, made, token) {
                Answer::Accepted => {
                    handover.step = Step::Agreed { heir, since: fx.now };
                    self.lose(fx, ground.setup, handover.why);
                }
                Answer::None if fx.now < until => {}
                answer => {
                    let is_silent = answer == Answer::None;
                    is_asked = made.is_some() || !is_silent;
                    if is_asked && is_silent {
                        // Perhaps it has answered, and the watch does not tell: the next one begins with a read.
                        self.line.watch.replace(fx);
                    }
                    let what = if is_asked { "does not take over" } else { "could not be asked" };
                    fx.log(Level::Info, Some(self.id), format!("{}: {} {what}", self.role, heir.record));
                    handover.pass();
                }
            },
            Step::Agreed { heir, since } => {
                let patience = self.patience(fx);
                if self.answer(&heir, Some(Revision::default()), token) != Answer::Accepted {
                    fx.log(Level::Info, Some(self.id), format!("{}: {} has gone", self.role, heir.record));
                    handover.pass();
                } else if self.can_let_go(fx.now)
                    && !self.may_have_written()
                    && since + patience <= fx.now
                    && !patience.is_zero()
                {
                    // It may have died while callbacks ran, and its lease lives on: it is asked once more.
                    handover.step = Step::Offering { heir, made: None, until: fx.now + patience };
                }
            }
            Step::TakingBack if !self.may_take_back(&handover, token, ground) => return,
            Step::Seeking | Step::TakingBack => {}
        }
        if matches!(handover.step, Step::Seeking) {
            match self.next_heir(fx, &handover, is_asked) {
                Ok(heir) => {
                    let until = fx.now + self.patience(fx);
                    handover.step = Step::Offering { heir, made: None, until };
                }
                // Somebody may turn up.
                Err(_) if self.can_wait(&handover) && fx.now < handover.until || self.is_draining(fx.now) => {
                }
                Err(why_not) if self.has_win() && handover.why == LostReason::Transferred => {
                    let text = format!("{}: not handed over, still primary: {why_not}", self.role);
                    fx.log(Level::Warn, Some(self.id), text);
                    self.refuse_request(&why_not);
                    return;
                }
                Err(_) if self.has_win() => return self.lose(fx, ground.setup, handover.why),
                Err(_) if self.may_take_back(&handover, token, ground) => handover.step = Step::TakingBack,
                Err(_) => return,
            }
        }
        self.handover = Some(handover);
    }

    /// The key set does not stand as it was won: it was lost for another reason, or is handed over. If it has been taken
    /// back, by a write whose answer is still to come or never came, that is a win.
    fn look_what_came_of(&mut self, handover: Handover, ground: Ground<'_>) {
        if !matches!(handover.step, Step::TakingBack) {
            return;
        }
        if self.operation.is_some() {
            self.handover = Some(handover);
        } else if let (Some(claim), Some(drain)) = (&self.claim, self.phase.drain())
            && ground.is_lease(drain.lease)
            && claim.won(&self.view, drain.lease).is_some()
            && self.may_have_won
        {
            self.phase = Phase::Free;
        }
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

    /// Whether it is waited for who there is, if nobody can be asked: the others are being read; or a transfer has just been
    /// asked for, and the primary may hear a moment later that a standby is warm.
    fn can_wait(&self, handover: &Handover) -> bool {
        let has_begun = self.has_win() && handover.passed.is_empty();
        !self.line.known || (handover.why == LostReason::Transferred && has_begun)
    }

    /// Whom to ask next. Where the last one could not be asked, since the store does not answer, nobody can.
    fn next_heir(&self, fx: &Effects, handover: &Handover, last_is_asked: bool) -> Result<Heir, String> {
        if !last_is_asked {
            return Err("the store did not answer in time".into());
        }
        let passed = handover.passed.as_slice();
        let kv = self.next_in_line(handover.to, passed)?;
        if passed.len() >= MOST_OFFERS || self.patience(fx).is_zero() {
            return Err(format!("{} standbys did not accept", passed.len()));
        }
        Ok(Heir { record: kv.key.clone(), lease: kv.lease })
    }

    /// How long somebody is waited for: at the end, for half of what is left of it each time.
    fn patience(&self, fx: &Effects) -> Duration {
        let patience = fx.round_trips.late().unwrap_or_default().max(patience::OF_AN_HEIR);
        match self.want {
            Want::Nothing { until } => patience.min(until.since(fx.now) / 2),
            _ => patience,
        }
    }

    /// Whether nothing of the win is left but its keys: neither callbacks nor the service's record, which goes first, as at
    /// a release.
    fn can_let_go(&self, now: Time) -> bool {
        let is_published = |claim: &Claim, lease| !claim.published(&self.view, lease).is_empty();
        let drain = self.phase.drain().filter(|_| !self.is_draining(now));
        drain.is_some_and(|drain| !self.claim.as_ref().is_some_and(|claim| is_published(claim, drain.lease)))
    }

    /// Whether who has let go takes the key set itself: it wants to, and could begin anew.
    fn may_take_back(&self, handover: &Handover, token: Token, ground: Ground<'_>) -> bool {
        let wants = handover.why == LostReason::Transferred && !ground.stopping;
        let able = !self.has_win() && !self.is_deaf && !self.calls.of(token);
        let own = self.claim.as_ref().and_then(|claim| claim.record(&self.view));
        let reads = |kv: &KeyValue| {
            ground.is_lease(kv.lease) && Record::parse(&kv.value).is_ok() && self.may_take(kv)
        };
        wants && able && own.is_some_and(reads)
    }

    /// The heir's record, as long as the heir could take over.
    fn record_of(&self, heir: &Heir) -> Option<&KeyValue> {
        self.view.get(&heir.record).filter(|kv| kv.lease == heir.lease && self.may_take(kv))
    }

    /// What the heir says to the offer that was made at this revision.
    fn answer(&self, heir: &Heir, made: Option<Revision>, token: Token) -> Answer {
        match (self.record_of(heir), made) {
            (None, _) => Answer::Declined,
            (Some(kv), Some(made)) if kv.mod_revision > made => {
                if accepts(kv, Revision(token.0)) {
                    Answer::Accepted
                } else {
                    Answer::Declined
                }
            }
            _ => Answer::None,
        }
    }

    /// The cluster may have seen a newer version since the offer was made.
    fn may_take(&self, record: &KeyValue) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.may_take(&self.view, record))
    }

    /// What a handover has to write next.
    pub(super) fn next_of_handover(&self, now: Time, ground: Ground<'_>) -> Option<(Purpose, Txn)> {
        let (claim, handover) = (self.claim.as_ref()?, self.handover.as_ref()?);
        let (token, lease) = (self.still_holds(ground)?, ground.lease()?);
        let heirs = match &handover.step {
            Step::Offering { heir, made: None, .. } => {
                let offer = claim.offer(token, lease, self.view.get(&heir.record)?)?;
                return Some((Purpose::Offer, offer));
            }
            Step::Agreed { heir, .. } => self.record_of(heir)?,
            Step::TakingBack => claim.record(&self.view)?,
            Step::Seeking | Step::Offering { .. } => return None,
        };
        let hand_over = || claim.hand_over(&self.view, token, lease, heirs);
        self.can_let_go(now).then(hand_over)?.map(|txn| (Purpose::HandOver, txn))
    }

    /// An offer has been written.
    pub(super) fn offer_is_made(&mut self, fx: &Effects, operation: &Operation, at: Revision) {
        let by = fx.now + self.patience(fx);
        if let Some(Handover { step: Step::Offering { heir, made, until }, .. }) = &mut self.handover
            && operation.txn.then.iter().any(|op| matches!(op, Op::Put(key, ..) if *key == heir.record))
        {
            (*made, *until) = (Some(at), by);
        }
    }

    /// The lease of who was to have the offer or the key set is gone: the next one has its turn.
    pub(super) fn heir_is_gone(&mut self, operation: &Operation) -> bool {
        let is_of_heir =
            matches!(operation.purpose, Purpose::Offer | Purpose::HandOver) && !operation.takes_back();
        if let Some(handover) = self.handover.as_mut().filter(|_| is_of_heir)
            && let Step::Offering { heir, .. } | Step::Agreed { heir, .. } = &handover.step
            && operation.puts_on(heir.lease)
        {
            handover.pass();
        }
        is_of_heir
    }

    /// The key set has been handed over; whether this election has it back, and wants it.
    pub(super) fn handed_over(&mut self, fx: &mut Effects, operation: &Operation) -> bool {
        let wants = matches!(self.handover.take(), Some(Handover { step: Step::TakingBack, .. }));
        let is_back = operation.takes_back();
        let to = if is_back { "itself" } else { "a standby" };
        fx.log(Level::Info, Some(self.id), format!("{}: handed over to {to}", self.role));
        // Otherwise the host has changed its mind: what is there again is released.
        if wants && is_back {
            self.phase = Phase::Free;
        }
        wants && is_back
    }

    /// When one is not waited for any longer.
    pub(super) fn handover_due(&self) -> Option<Time> {
        let handover = self.handover.as_ref()?;
        match handover.step {
            Step::Seeking => Some(handover.until),
            Step::Offering { until, .. } => Some(until),
            Step::Agreed { .. } | Step::TakingBack => None,
        }
    }
}
