//! What an election writes into the store, one transaction at a time, and what comes of each.

use std::fmt;
use std::time::Duration;

use super::ground::{Ground, Wish};
use super::phase::Win;
use super::standby::Standby;
use super::{Election, Want};
use crate::Level;
use crate::action::Purpose;
use crate::claim::Says;
use crate::effects::Effects;
use crate::ids::{RequestId, Token};
use crate::milvus::Facts;
use crate::obstacle::Obstacle;
use crate::obstacle::Trouble;
use crate::rights;
use crate::store::{Answer, Failure, KeyValue, LeaseId, Op, Request, Revision, Txn};
use crate::time::Time;

/// One that is done again after less than this has changed nothing.
const REPEATED_WITHIN: Duration = Duration::from_secs(1);

/// What writes that got no answer leave open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Doubt {
    Nothing,
    /// One may have happened. The next answer tells: every transaction reads all keys.
    Write,
    /// A campaign may have won, and may still win, until the own record, which it compares, is rewritten or deleted.
    Campaign,
}

/// The one store operation that is under way; the next one waits for its answer.
#[derive(Clone, Debug, Hash)]
pub(super) struct Operation {
    pub(super) request: RequestId,
    pub(super) purpose: Purpose,
    pub(super) txn: Txn,
    pub(super) lease: LeaseId,
    /// What it puts into the own record, if it puts that.
    pub(super) says: Says,
    /// Sent to a store that has gone back since.
    pub(super) void: bool,
}

impl Operation {
    pub(super) fn puts_on(&self, lease: LeaseId) -> bool {
        self.txn.then.iter().any(|op| matches!(op, Op::Put(_, _, on) if *on == lease))
    }

    /// A handover to the election itself.
    pub(super) fn takes_back(&self) -> bool {
        self.purpose == Purpose::HandOver && self.puts_on(self.lease)
    }
}

/// What it is for, and the key that it writes first.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.txn.then.iter().find_map(|op| match op {
            Op::Put(key, ..) | Op::Delete(key) => Some(key),
            Op::Get(_) => None,
        });
        self.purpose.fmt(f)?;
        key.map_or(Ok(()), |key| write!(f, " of {key}"))
    }
}

impl Election {
    pub fn answered(
        &mut self,
        fx: &mut Effects,
        ground: Ground<'_>,
        request: RequestId,
        result: Result<Answer, Failure>,
    ) -> Wish {
        if self.reclaimed(fx, request, &result) {
            return Wish::default();
        }
        let Some(operation) = self.operation.take_if(|op| op.request == request) else {
            return Wish::default();
        };
        if operation.void {
            return Wish::default();
        }
        match result {
            Ok(Answer::Txn(answer)) => {
                self.trouble = None;
                let wrote = operation.txn.then.iter().any(|op| matches!(op, Op::Put(..)));
                if wrote && self.turned_away.well() {
                    let text =
                        format!("{}: {operation} is done: the store takes its writes again", self.role);
                    fx.log(Level::Info, Some(self.id), text);
                }
                if self.doubt == Doubt::Write {
                    self.doubt = Doubt::Nothing;
                }
                self.view.ran(&operation.txn, &answer);
                self.pace(fx, operation.purpose, answer.succeeded);
                self.ran(fx, ground, &operation, answer.succeeded, answer.revision)
            }
            Ok(_) => Wish::default(),
            Err(failure) => {
                self.turn_away(fx, &operation, &failure);
                if matches!(failure, Failure::Indefinite(_)) {
                    let campaign = operation.purpose == Purpose::Campaign;
                    self.doubt = self.doubt.max(if campaign { Doubt::Campaign } else { Doubt::Write });
                    self.may_have_won |= campaign || operation.takes_back();
                }
                if failure == Failure::LeaseNotFound && self.heir_is_gone(&operation) {
                    self.trouble = None;
                    return Wish::default();
                }
                if failure == Failure::LeaseNotFound {
                    // Tried again under another lease, as soon as there is one.
                    return Wish { not_found: Some(operation.lease), ..Wish::default() };
                }
                self.retry = Some(self.backoff.after(&failure, fx));
                Wish::default()
            }
        }
    }

    /// The store did not take a write. Where that needs somebody's help it is said, with what is needed.
    fn turn_away(&mut self, fx: &mut Effects, operation: &Operation, failure: &Failure) {
        let failure = rights::named(failure, &operation.txn);
        let text = format!("{operation} got no good answer: {failure}");
        let said = failure.wants_help()
            && self.turned_away.is_due(fx.now)
            && fx.may_complain()
            && self.turned_away.wrong(fx.now);
        let level = if said { Level::Error } else { Level::Debug };
        fx.log(level, Some(self.id), format!("{}: {text}; tried again", self.role));
        self.trouble = Some(Trouble { obstacle: (&failure).into(), text });
    }

    /// A write that is refused is tried again at once, on what was read along. One that is refused again and again, or
    /// done and yet to be done again, finds something that we do not understand: more slowly each time.
    pub(super) fn pace(&mut self, fx: &mut Effects, purpose: Purpose, succeeded: bool) {
        // The next one is another offer, and has another answer.
        let is_step = matches!(purpose, Purpose::Offer | Purpose::Accept | Purpose::HandOver);
        let again =
            |(last, at): (Purpose, Time)| last == purpose && !is_step && fx.now.since(at) < REPEATED_WITHIN;
        let in_vain = !succeeded || self.last_write.is_some_and(again);
        self.last_write = Some((purpose, fx.now));
        self.vain = if in_vain && purpose != Purpose::Campaign { self.vain + 1 } else { 0 };
        if self.vain > 1 {
            self.retry = Some(self.backoff.pass(fx));
        } else {
            self.backoff.reset();
        }
    }

    pub(super) fn ran(
        &mut self,
        fx: &mut Effects,
        ground: Ground<'_>,
        operation: &Operation,
        succeeded: bool,
        at: Revision,
    ) -> Wish {
        match operation.purpose {
            Purpose::Campaign if succeeded => {
                self.take_win(fx, ground, Token(at.0), operation.lease);
                return Wish { won: self.has_win(), ..Wish::default() };
            }
            Purpose::Campaign => {
                self.unchecked = false;
                self.refused(fx);
            }
            Purpose::Heirs => self.others_are_read(),
            Purpose::Predecessor => self.predecessor_is_read(fx, ground.setup),
            Purpose::Offer if succeeded => self.offer_is_made(fx, operation, at),
            Purpose::HandOver if succeeded => {
                if self.handed_over(fx, operation) {
                    self.take_win(fx, ground, Token(at.0), operation.lease);
                }
                return Wish { won: self.has_win(), ..Wish::default() };
            }
            // Whichever branch ran, the record is not what a campaign in doubt compared: that one is decided now.
            Purpose::Register
            | Purpose::Move
            | Purpose::Settle
            | Purpose::Update
            | Purpose::Accept
            | Purpose::Unregister => {
                self.doubt = Doubt::Nothing;
                if succeeded {
                    self.told = operation.says.clone();
                }
            }
            _ => {}
        }
        Wish::default()
    }

    /// A campaign that the store refused: somebody holds the set, or something changed under it.
    pub(super) fn refused(&mut self, fx: &mut Effects) {
        let Some(claim) = &self.claim else { return };
        if self.standby.is_none() && self.phase.is_free() {
            self.standby = Some(Standby::new(fx.now));
        }
        match claim.in_the_way(&self.view) {
            None => self.retry = Some(self.backoff.pass(fx)),
            Some(KeyValue { key, lease, .. }) => {
                let text = format!("{}: standby: {key} is held under lease {lease}", self.role);
                fx.log(Level::Info, Some(self.id), text);
            }
        }
    }

    pub(super) fn start_operation(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        if self.retry.is_some_and(|at| at <= fx.now) {
            self.retry = None;
        }
        let Some(lease) = ground.lease() else { return };
        if self.operation.is_some() || self.retry.is_some() {
            return;
        }
        let Some((purpose, txn)) = self.next_operation(fx.now, ground, lease) else { return };
        let patience = self.backoff.patience(ground.setup.request_timeout);
        let request = fx.send(purpose, Some(self.id), patience, Request::Txn(txn.clone()));
        let says = self.says(ground);
        self.operation = Some(Operation { request, purpose, txn, lease, says, void: false });
    }

    /// The next thing to do in the store; the order is one of urgency.
    pub(super) fn next_operation(
        &self,
        now: Time,
        ground: Ground<'_>,
        lease: LeaseId,
    ) -> Option<(Purpose, Txn)> {
        let claim = self.claim.as_ref()?;
        let view = &self.view;
        let record = claim.record(view);
        let is_own = record.is_some_and(|kv| ground.keeper.is_own(kv.lease));
        let campaign_in_doubt = self.doubt == Doubt::Campaign;

        // First of all: every other write of this election puts it off.
        if let Some(next) = self.next_of_handover(now, ground) {
            return Some(next);
        }
        if !self.has_win() {
            // The service's record goes before the drain, the lock after it.
            let published = claim.published(view, lease);
            if !published.is_empty() {
                return Some((Purpose::Unpublish, claim.release(&published)));
            }
            let held = claim.held(view, lease);
            // What is handed over stays until somebody has it.
            let stays = campaign_in_doubt
                || self.is_draining(now)
                || self.handover.is_some()
                || self.is_being_given(lease);
            if !held.is_empty() && !stays {
                return Some((Purpose::Release, claim.release(&held)));
            }
        }
        let rewrite =
            |purpose| Some((purpose, claim.write_record(view, ground.setup, self.says(ground), lease)));
        if matches!(self.want, Want::Nothing { .. }) {
            return match record {
                _ if self.handover.is_some() => {
                    self.asks_for_others().then(|| (Purpose::Heirs, claim.look_at_candidates()))
                }
                _ if self.is_draining(now) => None,
                _ if ground.ending && !campaign_in_doubt => None,
                // One on a former lease goes with that.
                Some(kv) if kv.lease == lease || (is_own && campaign_in_doubt) => {
                    Some((Purpose::Unregister, claim.delete_record(kv)))
                }
                _ => (self.doubt != Doubt::Nothing).then(|| (Purpose::Settle, claim.look())),
            };
        }
        match record {
            None => return rewrite(Purpose::Register),
            Some(kv) if is_own && kv.lease != lease => return rewrite(Purpose::Move),
            Some(_) if is_own && campaign_in_doubt => return rewrite(Purpose::Settle),
            // It is somebody else's by now, so that the campaign can not win any more; whether it has is the question.
            Some(_) if campaign_in_doubt => return Some((Purpose::Settle, claim.look())),
            Some(_) => {}
        }
        if let Some(next) = self.next_of_reclaim(claim) {
            return Some(next);
        }
        match (self.phase.win(), record) {
            (None, Some(own)) if is_own && self.may_campaign() && self.watch.is_open() => {
                let free = self.unchecked || claim.in_the_way(view).is_none();
                let barred = self.is_reclaiming()
                    || self.obstacle.as_ref().is_some_and(|trouble| trouble.obstacle != Obstacle::KeyHeld);
                if free && !barred && self.is_its_turn(now) {
                    return Some((Purpose::Campaign, claim.campaign(view, ground.setup, own)));
                }
            }
            (Some(win), _)
                if win.is_ready() && claim.unpublished(view, lease) && claim.publishable(view, lease) =>
            {
                return Some((Purpose::Publish, claim.publish(view, ground.setup, win.token, lease)));
            }
            _ => {}
        }
        // Not while a win begins or ends: what follows must not wait for this.
        let settled = self.phase.is_free() || self.phase.win().is_some_and(Win::is_ready);
        // That it is ready may still be there from an earlier win; clients believe it only if it is newer than this one.
        let of_an_earlier_win = match (self.phase.win(), record) {
            (Some(win), Some(own)) => own.mod_revision.0 < win.token.0,
            _ => false,
        };
        let is_offered = self.offers.got.is_some();
        let is_asked = self.requests.got.is_some();
        let news = of_an_earlier_win || is_offered || is_asked || self.told != self.says(ground);
        if is_own && (settled || is_asked) && news {
            let accepts = is_offered && self.offers.accepted.is_some();
            return rewrite(if accepts { Purpose::Accept } else { Purpose::Update });
        }
        self.asks_for_others().then(|| (Purpose::Heirs, claim.look_at_candidates()))
    }

    /// What its record should say.
    fn says(&self, ground: Ground<'_>) -> Says {
        Says { facts: self.facts(), stopping: ground.stopping, reply: self.reply() }
    }

    pub(super) fn facts(&self) -> Facts {
        Facts {
            warm: self.is_warm(),
            ready: self.phase.win().is_some_and(Win::is_ready),
            accepts: self.offers.accepted,
            line: self.in_line.line,
            ..Facts::default()
        }
    }

    /// Whether a write of its own may still happen, or may have happened.
    pub fn may_have_written(&self) -> bool {
        self.operation.is_some() || self.doubt != Doubt::Nothing
    }
}
