//! Who else stands by for the role, as a primary sees it: whom it could hand over to.
//!
//! Only a primary watches the records of the other candidates, from when it is ready. Standbys would tell each other of
//! every change of any of them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Election;
use super::phase::Win;
use crate::claim::Claim;
use crate::effects::Effects;
use crate::milvus::Record;
use crate::store::{Key, KeyValue, Revision};
use crate::watch::Watch;

#[derive(Clone, Debug, Hash)]
pub(super) struct Line {
    pub(super) watch: Watch,
    /// All records were read since the watch was confirmed.
    pub(super) known: bool,
}

impl Line {
    pub(super) fn new() -> Self {
        Line { watch: Watch::new(), known: false }
    }

    pub(super) fn confirmed(&mut self, fx: &Effects) {
        self.watch.confirmed(fx);
        self.known = false;
    }
}

impl Election {
    /// Watches the others while one of them may be needed.
    pub(super) fn watch_line(&mut self, fx: &mut Effects) {
        let Some(claim) = &self.claim else { return };
        if self.phase.win().is_some_and(Win::is_ready) || self.handover.is_some() {
            self.line.watch.open(fx, std::slice::from_ref(claim.candidates()));
        } else if self.line.watch.id().is_some() {
            self.line.watch.close(fx);
            self.line.known = false;
            self.view.forget(claim.candidates(), claim.own_key());
        }
    }

    /// Whether all others are to be read.
    pub(super) fn asks_for_line(&self) -> bool {
        self.line.watch.is_open() && !self.line.known
    }

    /// The newest record of each address, this election's own among them, by when it was put.
    fn newest_of_each_address(&self, claim: &Claim) -> BTreeMap<String, Revision> {
        let mut newest = BTreeMap::new();
        for kv in self.view.all(claim.candidates()) {
            if let Ok(record) = Record::parse(&kv.value) {
                let at: &mut Revision = newest.entry(record.address).or_default();
                *at = (*at).max(kv.create_revision);
            }
        }
        newest
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
