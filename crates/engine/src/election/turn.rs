//! In which order candidates campaign for a lock that is gone, so that a hundred of them do not all at once.
//!
//! A primary knows who stands by (`line.rs`). It tells in its own record who is to come first, so that all know the same
//! order; the lock's record is never rewritten. Each standby reads there at which place it is. Once the lock is gone the
//! first one campaigns at once, the others only if nobody was heard of meanwhile: with each time that this takes the line
//! doubles. Who is not named takes a place behind.
//!
//! All of this is advice, of which nothing depends but who asks etcd when. Who knows of no line campaigns at once.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use super::Election;
use super::ground::Ground;
use super::phase::Win;
use crate::claim::Claim;
use crate::effects::Effects;
use crate::milvus::{Places, Record};
use crate::store::{KeyValue, Revision};
use crate::time::Time;

/// What is new of the others is told after so long, with what follows meanwhile.
const GATHERED: Duration = Duration::from_secs(1);
/// Who is not named comes after those who are, in a line of so many. A line that is not full is short, and those who have
/// not been told of yet are few.
const FULL: u32 = 8;
const SHORT_LINE: u32 = 15;
const LONG_LINE: u32 = 255;

/// How much it is preferred; whether another one has its address since; whether it is not warm; since when it has been there.
/// The lowest is the first.
type Rank = (Reverse<u32>, bool, bool, Revision);

/// Whom a primary tells of.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(super) struct Told {
    pub(super) line: Places,
    /// Something is new of the others.
    pub(super) news: bool,
    /// It is told then.
    pub(super) due: Option<Time>,
}

/// When a standby campaigns.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(super) struct Turn {
    /// The lock that it saw last in other hands.
    lock: Revision,
    /// The record of that one's holder, as it was looked at last, and what it told.
    record: Revision,
    line: Places,
    /// The lock is gone, and nothing else in the way: from then on it campaigns.
    pub(super) at: Option<Time>,
}

impl Election {
    /// Decides, as a primary, whom to tell of. Not while it hands over: what that writes would wait for this.
    pub(super) fn look_at_line(&mut self, fx: &Effects) {
        if !self.phase.win().is_some_and(Win::is_ready) {
            self.in_line = Told::default();
            return;
        }
        if !self.knows_others() || self.handover.is_some() {
            return;
        }
        let news = std::mem::take(&mut self.in_line.news);
        if news && self.in_line.due.is_none() && self.order() != self.in_line.line {
            self.in_line.due = Some(fx.now + GATHERED);
        }
        if self.in_line.due.take_if(|due| *due <= fx.now).is_some() {
            self.in_line.line = self.order();
        }
    }

    /// The others who may be primary next: who is preferred, then who is warm, then who has been there for longest. Who is
    /// replaced at its address is dead, most likely, and comes after them.
    fn order(&self) -> Places {
        let Some(claim) = &self.claim else { return Places::NOBODY };
        let newest = self.newest_of_each_address(claim);
        let others = self.view.all(claim.candidates()).filter(|kv| kv.key != *claim.own_key());
        let mut line: Vec<_> = others.filter_map(|kv| self.rank(claim, &newest, kv)).collect();
        line.sort_unstable();
        Places::of(line.into_iter().map(|(_, id)| id))
    }

    fn rank(&self, claim: &Claim, newest: &BTreeMap<String, Revision>, kv: &KeyValue) -> Option<(Rank, i64)> {
        let record = Record::parse(&kv.value).ok()?;
        let lives = record.lease == kv.lease && !record.stopping;
        let facts = record.facts.filter(|facts| lives && facts.priority > 0)?;
        claim.may_lead(&self.view, record.version.as_ref()).ok()?;
        let is_newest = newest.get(&record.address) == Some(&kv.create_revision);
        Some(((Reverse(facts.priority), !is_newest, !facts.warm, kv.create_revision), record.server_id))
    }

    /// Notes, as a standby, what the holder of the lock tells; and once the lock is gone, when to campaign. Whatever is
    /// heard of the line after that changes nothing.
    pub(super) fn look_at_turn(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        if let Some(lock) = self.others_lock(ground) {
            let (lock, lease) = (lock.mod_revision, lock.lease);
            if self.turn.lock != lock {
                self.turn = Turn { lock, ..Turn::default() };
            }
            self.turn.at = None;
            // What is older than the lock, or on another lease, is of an earlier win, or of nobody who lives.
            let record = self.line.of_holder().and_then(|key| self.view.get(key));
            if let Some(kv) = record.filter(|kv| kv.mod_revision > lock && kv.lease == lease)
                && self.turn.record != kv.mod_revision
            {
                let facts = Record::parse(&kv.value).ok().and_then(|record| record.facts);
                self.turn.record = kv.mod_revision;
                self.turn.line =
                    facts.filter(|facts| facts.ready).map(|facts| facts.line).unwrap_or_default();
            }
        } else if self.turn.at.is_none()
            && self.claim.as_ref().is_some_and(|c| c.in_the_way(&self.view).is_none())
        {
            self.turn.at = Some(fx.now + wait(fx, self.turn.line, ground.server_id));
        }
    }

    /// Whether it may campaign, as far as others come first.
    pub(super) fn is_its_turn(&self, now: Time) -> bool {
        self.turn.at.is_none_or(|at| at <= now)
    }
}

/// For how long others come first.
fn wait(fx: &mut Effects, line: Places, own: Option<i64>) -> Duration {
    let named = u32::try_from(line.ids().count()).unwrap_or(FULL);
    if named == 0 {
        return Duration::ZERO;
    }
    let ahead = line.ids().position(|id| Some(id) == own).and_then(|ahead| u32::try_from(ahead).ok());
    let place = match ahead {
        Some(ahead) => ahead + 1,
        None => fx.drawn(named + 1..=if named < FULL { SHORT_LINE } else { LONG_LINE }),
    };
    // As many as have had their turn have theirs in the next such time, one after the other.
    let (turn, doubled) = (fx.round_trips.heard_of(), place.ilog2());
    turn * doubled + turn * (place - (1 << doubled)) / (1 << doubled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_doubles_with_each_time_in_which_others_would_have_been_heard_of() {
        let mut fx = Effects::new(7);
        let line = Places::of([11, 12, 13, 14, 15, 16, 17, 18]);
        let mut millis = |line, own| wait(&mut fx, line, Some(own)).as_millis();
        let named: Vec<_> = line.ids().map(|id| millis(line, id)).collect();
        assert_eq!(named, [0, 20, 30, 40, 45, 50, 55, 60]);
        assert_eq!(millis(Places::NOBODY, 11), 0, "nobody knows of a line");
        let mut behind: Vec<_> = (0..192).map(|_| millis(line, 99)).collect();
        behind.sort_unstable();
        assert!(behind[0] > 60 && behind[191] < 160, "{behind:?}");
        assert!(behind[20] > 80 && behind[60] > 110, "few come soon: {behind:?}");
        let short: Vec<_> = (0..100).map(|_| millis(Places::of([11]), 99)).collect();
        assert!(short.iter().all(|wait| (20..80).contains(wait)), "{short:?}");
    }
}
