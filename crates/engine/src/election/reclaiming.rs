//! How a server that is back gets the lock of its own dead predecessor without waiting for that one's lease to run out.
//!
//! Once, when it first sees who holds the lock, it reads that one's record. If that names a process of the same machine, the
//! host is asked whether that has ended; if it bears the name that the user has given to this server, and another server
//! id, the user has said so. Then exactly the lease of that record is revoked: it is of one session of one process, and
//! never used again. What follows is a campaign like any other. Where nothing is proved, nothing is done.

use super::ground::Ground;
use super::{Election, Want};
use crate::Level;
use crate::Setup;
use crate::action::{Action, Purpose};
use crate::claim::Claim;
use crate::effects::Effects;
use crate::ids::RequestId;
use crate::milvus::{Incarnation, Process, Record};
use crate::store::{Answer, Failure, Key, LeaseId, Range, Request, Revision, Txn};

/// What is known of whom this server may succeed.
#[derive(Clone, Debug, Default, Hash)]
pub(super) enum Predecessor {
    /// Nobody has been seen at the lock yet.
    #[default]
    Unknown,
    /// The holder's record is read.
    Read(Held),
    /// The host looks whether the process of that record has ended.
    Examined(Held, Process),
    /// It has: its lease is being revoked.
    Revoked(Held, RequestId),
    /// All that will be.
    Known,
}

/// Who holds the lock.
#[derive(Clone, Debug, Hash)]
pub(super) struct Held {
    record: Key,
    server_id: i64,
    lease: LeaseId,
    lock: Revision,
}

impl Predecessor {
    fn held(&self) -> Option<&Held> {
        match self {
            Predecessor::Read(held) | Predecessor::Examined(held, _) | Predecessor::Revoked(held, _) => {
                Some(held)
            }
            Predecessor::Unknown | Predecessor::Known => None,
        }
    }
}

/// What a holder's record proves.
#[derive(Debug)]
enum Proof {
    /// Its process has ended.
    Ended,
    /// It has, if there is no such process here.
    IfGone(Process),
    Nothing,
}

impl Election {
    /// Looks who holds the lock, the first time that somebody else does.
    pub(super) fn look_at_predecessor(&mut self, ground: Ground<'_>) {
        let Setup { root, candidate, .. } = ground.setup;
        if candidate.incarnation.is_none() || self.want != Want::Primacy {
            return;
        }
        let lock = self.others_lock(ground);
        if let Some(held) = self.predecessor.held() {
            // Whoever it was, that one is not waited for any more.
            if lock.is_none_or(|kv| (kv.lease, kv.mod_revision) != (held.lease, held.lock)) {
                self.predecessor = Predecessor::Known;
            }
        } else if let (Predecessor::Unknown, Some(kv)) = (&self.predecessor, lock) {
            let read = |record: Record| {
                let (server_id, key) = (record.server_id, root.record_key(&self.role, record.server_id));
                Predecessor::Read(Held { record: key, server_id, lease: kv.lease, lock: kv.mod_revision })
            };
            // After a win of its own it is no predecessor's.
            let first = (self.last_token.0 == 0).then(|| Record::parse(&kv.value).ok()).flatten();
            self.predecessor = first.map_or(Predecessor::Known, read);
        }
    }

    /// Whether it is still open who the holder is: until then others do not hear of it.
    pub(super) fn is_reclaiming(&self) -> bool {
        self.predecessor.held().is_some()
    }

    /// The read of the holder's record, and of all keys: what the watch has not told yet is known after it.
    pub(super) fn next_of_reclaim(&self, claim: &Claim) -> Option<(Purpose, Txn)> {
        let Predecessor::Read(held) = &self.predecessor else { return None };
        self.watch.is_open().then(|| (Purpose::Predecessor, claim.look_at(&held.record)))
    }

    /// The holder's record has been read.
    pub(super) fn predecessor_is_read(&mut self, fx: &mut Effects, setup: &Setup) {
        self.unchecked = false;
        let Some(claim) = &self.claim else { return };
        let Predecessor::Read(held) = self.predecessor.clone() else { return };
        let found = self.view.get(&held.record).filter(|kv| kv.lease == held.lease);
        let its = found.and_then(|kv| Record::parse(&kv.value).ok()?.incarnation);
        let is_same = self.server_is(held.server_id);
        let proof = match (&setup.candidate.incarnation, its) {
            (Some(own), Some(its)) => proof(own, its, is_same),
            _ => Proof::Nothing,
        };
        let is_held = claim.in_the_way(&self.view).is_some();
        // Nobody watches it.
        self.view.forget(&Range::Key(held.record.clone()), claim.own_key());
        self.predecessor = match proof {
            Proof::Ended => self.revoke(fx, setup, held),
            Proof::IfGone(process) => {
                let (pid, start) = (process.pid, process.start);
                fx.push(Action::Examine { election: self.id, pid, start });
                Predecessor::Examined(held, process)
            }
            Proof::Nothing => Predecessor::Known,
        };
        if is_held {
            self.refused(fx);
        }
    }

    fn server_is(&self, id: i64) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.server_id() == id)
    }

    /// The host has looked for a process: whether there is none. Were it another one's lock by now, nobody would ask any more.
    pub fn examined(&mut self, fx: &mut Effects, setup: &Setup, pid: u32, start: u64, gone: bool) {
        let Predecessor::Examined(held, process) = self.predecessor.clone() else { return };
        if (process.pid, process.start) != (pid, start) {
            return;
        }
        self.predecessor = if gone { self.revoke(fx, setup, held) } else { Predecessor::Known };
    }

    fn revoke(&self, fx: &mut Effects, setup: &Setup, held: Held) -> Predecessor {
        let Held { server_id, lease, .. } = held;
        let text = format!("{}: server {server_id}, this server's predecessor, has ended", self.role);
        fx.log(Level::Info, Some(self.id), format!("{text}; its lease {lease} is revoked"));
        let patience = self.backoff.patience(setup.request_timeout);
        let request = fx.send(Purpose::Reclaim, Some(self.id), patience, Request::Revoke { lease });
        Predecessor::Revoked(held, request)
    }

    /// The lease of the predecessor is revoked, or it is not known whether: then it runs out as any other. True if it was
    /// this that was answered.
    pub(super) fn reclaimed(
        &mut self,
        fx: &mut Effects,
        request: RequestId,
        result: &Result<Answer, Failure>,
    ) -> bool {
        let Predecessor::Revoked(held, _) = &self.predecessor else { return false };
        if !matches!(&self.predecessor, Predecessor::Revoked(_, asked) if *asked == request) {
            return false;
        }
        match result {
            // The lock went with it, whatever the watch has told so far.
            Ok(_) | Err(Failure::LeaseNotFound) => self.unchecked = true,
            Err(failure) => {
                let text = format!("{}: lease {} could not be revoked: {failure}", self.role, held.lease);
                fx.log(Level::Warn, Some(self.id), text);
            }
        }
        self.predecessor = Predecessor::Known;
        true
    }
}

/// What the record of a holder proves to who has come after it.
fn proof(own: &Incarnation, its: Incarnation, is_same_server: bool) -> Proof {
    match (&own.process, its.process) {
        // What can be seen counts more than what was said.
        (Some(ours), Some(process)) if ours.is_beside(&process) => Proof::IfGone(process),
        _ if own.instance.is_some() && own.instance == its.instance && !is_same_server => Proof::Ended,
        _ => Proof::Nothing,
    }
}
