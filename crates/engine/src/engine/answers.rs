//! What the store's answers mean: for the store itself, for the lease, the server id, the elections.

use super::{Engine, Life};
use crate::Level;
use crate::action::{Action, Purpose};
use crate::election::{Ground, Wish};
use crate::ids::RequestId;
use crate::lease::Change;
use crate::store::{Answer, Failure, KeyValue};

impl Engine {
    pub(super) fn answered(&mut self, request: RequestId, result: Result<Answer, Failure>) {
        let Some(asked) = self.asked.remove(&request) else { return };
        // Not of what etcd has to write down first.
        let is_quick = matches!(asked.purpose, Purpose::Renew | Purpose::Confirm | Purpose::Reread);
        if is_quick && result.is_ok() {
            let took = self.fx.now.since(asked.sent);
            self.fx.round_trips.took(took);
        }
        let went_back = match (&result, asked.floor) {
            (Ok(Answer::Txn(answer)), Some(floor)) => self.history.answered(answer, floor),
            _ => false,
        };
        if went_back {
            self.store_rolled_back();
        }
        let change = match (&result, asked.confirms) {
            (Ok(Answer::Txn(answer)), confirms) => {
                self.keeper.heard(&mut self.fx, &self.setup, confirms, answer.origin)
            }
            (Err(failure), Some(confirms)) if asked.purpose == Purpose::Confirm => {
                self.keeper.not_confirmed(&mut self.fx, &self.setup, confirms, &failure.to_string())
            }
            _ => None,
        };
        self.lease_changed(change);
        let Engine { setup, fx, .. } = self;
        match (asked.purpose, asked.election) {
            (Purpose::Grant | Purpose::Renew | Purpose::Revoke, _) => {
                if let (Purpose::Grant, Err(failure)) = (asked.purpose, &result) {
                    self.open_failed(failure.clone());
                }
                let change = self.keeper.answered(&mut self.fx, &self.setup, request, &result);
                self.lease_changed(change);
            }
            (Purpose::TakeId, _) => {
                let answer = match &result {
                    Ok(Answer::Txn(answer)) => Ok(answer),
                    Ok(_) => return,
                    Err(failure) => Err(failure),
                };
                match self.identity.answered(fx, setup, request, answer) {
                    Ok(true) => self.elections.touch_all(),
                    Ok(false) => {}
                    Err(failure) => self.open_failed(failure),
                }
            }
            (Purpose::Reread | Purpose::Confirm, _) => {
                let Engine { elections, former, keeper, .. } = self;
                let lease = keeper.held().map(|held| held.id);
                let is_former = |kv: &KeyValue| {
                    Some(kv.lease) == lease && former.values().flatten().any(|range| range.contains(&kv.key))
                };
                let mut back = false;
                self.reread.answered(fx, request, &result, |election, revision, reads| match election {
                    Some(election) => {
                        if let Some(e) = elections.change(election) {
                            e.reread(revision, reads);
                        }
                    }
                    None => back |= reads.iter().flatten().any(is_former),
                });
                if back {
                    self.store_rolled_back();
                }
            }
            (_, Some(election)) => {
                let ground = Ground::new(setup, &self.keeper, &self.identity, self.stopping);
                if let Some(e) = self.elections.change(election) {
                    let wish = e.answered(fx, ground, request, result);
                    let registered = e.is_registered(&self.keeper);
                    self.elections.note(election, fx.now, ground);
                    if !self.identity.is_in_use() {
                        // Those whose record is somebody else's wait for one of ours, to keep the id, or for none
                        // that may be on its way, to take another one.
                        self.elections.touch_displaced();
                    }
                    if registered {
                        self.identity.use_it();
                    }
                    self.grant(wish);
                }
            }
            _ => {}
        }
    }

    pub(super) fn open_failed(&mut self, failure: Failure) {
        if self.life == Life::Opening && !failure.may_pass() && failure != Failure::LeaseExists {
            self.fx.push(Action::OpenFailed { failure });
        }
    }

    pub(super) fn lease_changed(&mut self, change: Option<Change>) {
        let Some(change) = change else { return };
        for election in self.elections.change_all() {
            match change {
                Change::Lost(lease) => election.lease_lost(&mut self.fx, &self.setup, lease),
                Change::Granted => election.lease_granted(),
                // They see for themselves.
                Change::Late | Change::Renewed => {}
            }
        }
        if matches!(change, Change::Lost(_)) {
            self.former.clear();
        }
    }

    /// The store was put back to an older state, or is another one: it hands out old revisions, ids and tokens
    /// again, and what we know of our keys says nothing about it. A new lease, a new server id.
    fn store_rolled_back(&mut self) {
        let text = "the store went back to an older state, or is another one; starting anew. After a restore, \
                    raise the revision (etcdutl snapshot restore --bump-revision --mark-compacted)";
        if self.went_back.wrong(self.fx.now) {
            self.fx.log(Level::Error, None, text);
        }
        for election in self.elections.change_all() {
            election.store_rolled_back(&mut self.fx, &self.setup);
        }
        self.reread.forget();
        self.asked.values_mut().for_each(|asked| asked.floor = None);
        let change = self.keeper.replace(&mut self.fx, &self.setup);
        self.lease_changed(change);
        self.take_another_id();
    }

    pub(super) fn take_another_id(&mut self) {
        if matches!(self.life, Life::Opening | Life::Open | Life::StopAsked { .. }) {
            self.identity.take_another(&mut self.fx, &self.setup);
        }
        self.elections.touch_all();
    }

    pub(super) fn grant(&mut self, wish: Wish) {
        if wish.reread {
            self.reread.wish(self.fx.now);
        }
        if wish.won {
            // Its record was there for that, whatever has become of it since.
            self.identity.use_it();
            self.reread.at_latest(self.fx.now + self.ttl() / 2);
        }
        if let Some(lease) = wish.not_found {
            let change = self.keeper.not_found(&mut self.fx, &self.setup, lease);
            self.lease_changed(change);
        }
        // Not while the record of another election may be on its way under this id.
        if wish.another_id && !self.identity.is_in_use() && !self.elections.any_writes() {
            self.fx.log(
                Level::Warn,
                None,
                "somebody else is registered under the server id; taking another one",
            );
            self.reread.forget();
            for e in self.elections.change_all() {
                e.forget(&mut self.fx);
            }
            self.take_another_id();
        }
    }
}
