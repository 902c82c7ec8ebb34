//! Who else stands by for the role, as a primary sees it: whom it could hand over to.
//!
//! Only a primary watches the records of the other candidates, from when it is ready. Standbys would tell each other of
//! every change of any of them; they watch the record of the primary, where it tells who comes first (`turn.rs`).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::ground::Ground;
use super::phase::Win;
use super::report::holder;
use super::{Election, Want};
use crate::claim::Claim;
use crate::effects::Effects;
use crate::milvus::Record;
use crate::store::{Key, KeyValue, Range, Revision};
use crate::watch::Watch;

#[derive(Clone, Debug, Hash)]
pub(super) struct Line {
    pub(super) watch: Watch,
    of: Of,
    /// What it is on was read since the watch was confirmed.
    pub(super) known: bool,
    /// What re-reads read until then: the election's keys, and the holder's record.
    asks: Vec<Range>,
}

/// What the watch is on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Of {
    Nobody,
    /// The records of all candidates.
    All,
    /// The record of who holds the lock that stands at this revision, if that says who.
    Holder(Option<Key>, Revision),
}

impl Line {
    pub(super) fn new() -> Self {
        Line { watch: Watch::new(), of: Of::Nobody, known: false, asks: Vec::new() }
    }

    /// The key of the record of the lock's holder, as a standby watches it.
    pub(super) fn of_holder(&self) -> Option<&Key> {
        match &self.of {
            Of::Holder(record, _) => record.as_ref(),
            _ => None,
        }
    }

    pub(super) fn confirmed(&mut self, fx: &Effects) {
        self.watch.confirmed(fx);
        self.known = false;
    }
}

impl Election {
    /// Watches the others while one of them may be needed; as a standby, the holder of the lock.
    pub(super) fn watch_line(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        let of = self.of_line(ground);
        let Some(claim) = &self.claim else { return };
        if let Some(of) = of {
            self.line.watch.close(fx);
            self.view.forget(claim.candidates(), claim.own_key());
            self.line = Line { of, ..Line::new() };
        }
        match &self.line.of {
            Of::Nobody | Of::Holder(None, _) => {}
            Of::All => self.line.watch.open(fx, std::slice::from_ref(claim.candidates())),
            Of::Holder(Some(record), _) => self.line.watch.open(fx, &[Range::Key(record.clone())]),
        }
        let asked = self.line.of_holder().filter(|_| self.asks_for_line()).cloned();
        self.line.asks = asked.map_or_else(Vec::new, |record| {
            claim.ranges().iter().cloned().chain([Range::Key(record)]).collect()
        });
    }

    /// What the watch should be on; `None`: on what it is.
    fn of_line(&self, ground: Ground<'_>) -> Option<Of> {
        if self.phase.win().is_some_and(Win::is_ready) || self.handover.is_some() {
            return (self.line.of != Of::All).then_some(Of::All);
        }
        let lock = self.others_lock(ground).filter(|_| self.is_idle());
        match (&self.line.of, lock) {
            (Of::Holder(_, of), Some(kv)) if *of == kv.mod_revision => None,
            (_, Some(kv)) => {
                let record = holder(kv).map(|h| ground.setup.root.record_key(&self.role, h.server_id));
                let another =
                    record.filter(|record| record != self.claim.as_ref().map_or(record, Claim::own_key));
                Some(Of::Holder(another, kv.mod_revision))
            }
            // Between two holders, and while it begins to be primary itself.
            (Of::Holder(..), None) if self.want == Want::Primacy => None,
            (Of::Nobody, None) => None,
            _ => Some(Of::Nobody),
        }
    }

    /// Whether all others are to be read, or the record of the holder.
    fn asks_for_line(&self) -> bool {
        self.line.watch.is_open() && !self.line.known
    }

    /// The newest record of each address, this election's own among them, by when it was put.
    pub(super) fn newest_of_each_address(&self, claim: &Claim) -> BTreeMap<String, Revision> {
        let mut newest = BTreeMap::new();
        for kv in self.view.all(claim.candidates()) {
            if let Ok(record) = Record::parse(&kv.value) {
                let at: &mut Revision = newest.entry(record.address).or_default();
                *at = (*at).max(kv.create_revision);
            }
        }
        newest
    }

    /// Whether all others are to be read.
    pub(super) fn asks_for_others(&self) -> bool {
        self.asks_for_line() && self.line.of == Of::All
    }

    /// Whether all others are known, as a primary.
    pub(super) fn knows_others(&self) -> bool {
        self.line.known && self.line.of == Of::All
    }

    /// The watch has told something: of the holder that is all, of all others that is one.
    pub(super) fn line_is_told(&mut self) {
        self.line.known |= self.line.of != Of::All;
        self.in_line.news = true;
    }

    /// All others were read.
    pub(super) fn others_are_read(&mut self) {
        self.line.known = true;
        self.in_line.news = true;
    }

    /// What re-reads are to read, if that is more than the election's keys.
    pub(super) fn asks(&self) -> Option<&[Range]> {
        Some(self.line.asks.as_slice()).filter(|asks| !asks.is_empty())
    }

    /// What a re-read has found of what it read beyond the election's keys: the record of the holder, or of who was that. If
    /// there is none, whatever comes is told by the watch.
    pub(super) fn read_of_line(&mut self, revision: Revision, found: &[KeyValue]) {
        let Some(record) = self.line.of_holder() else { return };
        if found.iter().all(|kv| kv.key == *record) {
            found.iter().for_each(|kv| _ = self.view.read(&Range::Key(kv.key.clone()), revision, found));
            self.line.known = true;
        }
    }

    /// The best one to hand over to, or the one that is named, but for those that have passed; otherwise why there is none.
    pub(super) fn next_in_line(&self, to: Option<i64>, passed: &[Key]) -> Result<&KeyValue, String> {
        let Some(claim) = &self.claim else { return Err("nothing is known of the store".into()) };
        let mut best = None;
        let newest = self.newest_of_each_address(claim);
        let mut why_not = match to {
            Some(id) => format!("{} has no other candidate {id}", self.role),
            None => "no standby is warm".into(),
        };
        for kv in self.view.all(claim.candidates()).filter(|kv| kv.key != *claim.own_key()) {
            let Ok(record) = Record::parse(&kv.value) else { continue };
            if to.is_some_and(|id| id != record.server_id) {
                continue;
            }
            let able = priority(kv, &record).map_err(str::to_owned).and_then(|priority| {
                claim.may_lead(&self.view, record.version.as_ref())?;
                Ok(priority)
            });
            match able {
                Ok(_) if passed.contains(&kv.key) => why_not = format!("{} did not accept", kv.key),
                Ok(priority) => {
                    // One that was killed leaves its record until its lease ends, and may be back by then: no proof, since
                    // others may have that address as well, but who is not replaced is asked first.
                    let is_newest = newest.get(&record.address) == Some(&kv.create_revision);
                    best = best.max(Some(((priority, is_newest, Reverse(kv.create_revision)), &kv.key)));
                }
                Err(why) => why_not = format!("{}: {why}", kv.key),
            }
        }
        best.and_then(|(_, key)| self.view.get(key)).ok_or(why_not)
    }
}

/// How much the candidate of a record is preferred; why not at all, by what that says.
fn priority(kv: &KeyValue, record: &Record) -> Result<u32, &'static str> {
    match record.facts {
        None => Err("knows of no handover"),
        Some(facts) if facts.priority == 0 => Err("its priority is 0"),
        Some(facts) if !facts.warm => Err("is not warm"),
        Some(_) if record.stopping => Err("is going to stop"),
        Some(_) if record.lease != kv.lease => Err("is on another lease than it says"),
        Some(facts) => Ok(facts.priority),
    }
}

/// Whether the record's candidate has accepted the offer of the holder of the lock at revision `lock`.
pub(super) fn accepts(kv: &KeyValue, lock: Revision) -> bool {
    Record::parse(&kv.value).is_ok_and(|r| r.facts.is_some_and(|facts| facts.accepts == Some(lock)))
}
