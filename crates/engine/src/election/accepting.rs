//! What a standby does with the offers of the holder of the lock, which are written into its own record.
//!
//! It accepts one by rewriting the record. From then on the key set may be put on its lease at any time: then it has won,
//! as by a campaign. It is bound to nothing: whatever else it writes into its record, or a lost lease, ends what it has
//! agreed to.

use super::Election;
use super::ground::Ground;
use super::writes::Doubt;
use crate::effects::Effects;
use crate::milvus::Record;
use crate::store::{LeaseId, Revision};

/// Of the holder of the lock at which revision the own record has an offer, and whose this election has accepted.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(super) struct Offers {
    /// The record that was looked at.
    seen: Revision,
    pub(super) got: Option<Revision>,
    pub(super) accepted: Option<Revision>,
}

impl Election {
    /// Looks what the own record says, and decides whether to accept what is offered.
    pub(super) fn look_at_offer(&mut self, fx: &Effects, ground: Ground<'_>) {
        let record = self.claim.as_ref().and_then(|claim| claim.record(&self.view));
        let seen = record.map(|kv| kv.mod_revision).unwrap_or_default();
        let got = if seen == self.offers.seen {
            self.offers.got
        } else {
            record.and_then(|kv| Record::parse(&kv.value).ok()?.facts?.offer)
        };
        // One that is on our lease has been put there: whether that is a win is decided elsewhere.
        let is_ours = self.lock().is_some_and(|kv| ground.is_lease(kv.lease));
        let holder = self.others_lock(ground).map(|kv| kv.mod_revision);
        // That of a former holder may still be there.
        let stands = |of: &Revision| holder == Some(*of) && self.would_take_over(ground);
        let accepted = got.or(self.offers.accepted).filter(stands);
        if let Some(standby) = &mut self.standby
            && got.is_some()
            && accepted.is_some()
        {
            // A warm-up that runs when the key set comes would be waited for. The holder drains for about as long as we would.
            standby.next_warmup = standby.next_warmup.max(fx.now + ground.setup.drain_timeout);
        }
        self.offers = Offers { seen, got, accepted: if is_ours { self.offers.accepted } else { accepted } };
    }

    /// Whether the key set has been put on its lease by another, and a part of that is not known yet. It need not have agreed
    /// to that, as far as it knows: what it wrote to take it back may not have arrived. Then, too, it waits for the whole,
    /// which it releases as one.
    pub(super) fn is_being_given(&self, lease: LeaseId) -> bool {
        let by_itself = self.is_deciding() || self.has_win();
        !by_itself && self.claim.as_ref().is_some_and(|claim| claim.is_coming(&self.view, lease))
    }

    /// Whether it could begin to be primary now.
    fn would_take_over(&self, ground: Ground<'_>) -> bool {
        let record = self.claim.as_ref().and_then(|claim| claim.record(&self.view));
        self.is_warm()
            && self.may_campaign()
            && self.obstacle.is_none()
            && self.doubt != Doubt::Campaign
            && self.watch.is_open()
            && !ground.stopping
            && record.is_some_and(|kv| ground.is_lease(kv.lease))
    }
}
