//! Leases: granted by the clock that is handed in, never expired early, up to half a second late.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::Model;
use super::error::Error;
use primacy_engine::store::{Key, LeaseId};
use primacy_engine::time::Time;

/// The longest TTL that etcd grants, in seconds.
const MAX_TTL: i64 = 9_000_000_000;

/// What a leader adds to all leases when it takes over: the election timeout.
const EXTENSION: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(super) struct Lease {
    /// Whole seconds, as granted.
    pub ttl: i64,
    /// From here on it is expired: it can not be renewed.
    pub expiry: Time,
    /// Here it is revoked, if nothing happens: etcd looks for expired leases every half second.
    pub due: Time,
    /// The keys on it, in the order in which they are deleted.
    pub keys: BTreeSet<Key>,
}

/// What a lease has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeToLive {
    /// Whole seconds left, rounded down.
    pub ttl: i64,
    /// Whole seconds granted.
    pub granted: i64,
    /// The keys on it, in order.
    pub keys: Vec<Key>,
}

impl Model {
    /// Grants a lease for `ttl` seconds or the least that etcd grants, whichever is more; answers with its
    /// id and what was granted. Id 0: one is chosen.
    pub fn grant(&mut self, now: Time, id: LeaseId, ttl: i64) -> Result<(LeaseId, i64), Error> {
        self.advance(now);
        if ttl > MAX_TTL {
            return Err(Error::LeaseTtlTooLarge);
        }
        let id = if id == LeaseId::NONE { self.free_lease_id() } else { id };
        if self.data.leases.contains_key(&id) {
            return Err(Error::LeaseExists);
        }
        let ttl = ttl.max(self.min_ttl);
        let (expiry, due) = self.expiry(now, ttl, Duration::ZERO);
        Arc::make_mut(&mut self.data).leases.insert(id, Lease { ttl, expiry, due, keys: BTreeSet::new() });
        self.lease_due = self.lease_due.min(due);
        self.reckon();
        Ok((id, ttl))
    }

    /// Renews a lease for the TTL it was granted; answers with that TTL, or 0 if there is no such lease.
    ///
    /// One that is expired and not revoked yet is revoked first: etcd answers only once that is done.
    pub fn keep_alive(&mut self, now: Time, id: LeaseId) -> i64 {
        self.advance(now);
        let Some((ttl, expiry)) = self.data.leases.get(&id).map(|lease| (lease.ttl, lease.expiry)) else {
            return 0;
        };
        if expiry <= now {
            let _ = self.end_lease(id);
            return 0;
        }
        let (expiry, due) = self.expiry(now, ttl, Duration::ZERO);
        if let Some(lease) = Arc::make_mut(&mut self.data).leases.get_mut(&id) {
            lease.expiry = expiry;
            lease.due = due;
        }
        self.next_lease();
        ttl
    }

    /// Ends a lease, and deletes its keys at one revision.
    pub fn revoke(&mut self, now: Time, id: LeaseId) -> Result<(), Error> {
        self.advance(now);
        self.end_lease(id)
    }

    /// What a lease has left; `None`: there is no such lease.
    pub fn time_to_live(&mut self, now: Time, id: LeaseId) -> Option<TimeToLive> {
        self.advance(now);
        let lease = self.data.leases.get(&id)?;
        Some(TimeToLive {
            ttl: i64::try_from(lease.expiry.since(now).as_secs()).unwrap_or(i64::MAX),
            granted: lease.ttl,
            keys: lease.keys.iter().cloned().collect(),
        })
    }

    /// All leases, the one that expires first in front.
    pub fn leases(&mut self, now: Time) -> Vec<LeaseId> {
        self.advance(now);
        let mut leases: Vec<_> = self.data.leases.iter().map(|(id, lease)| (lease.expiry, *id)).collect();
        leases.sort();
        leases.into_iter().map(|(_, id)| id).collect()
    }

    /// A new leader: every lease starts again with its full TTL and an election timeout.
    pub fn leader_changed(&mut self, now: Time) {
        self.advance(now);
        self.term += 1;
        self.restart_leases(now);
    }

    pub(super) fn restart_leases(&mut self, now: Time) {
        let leases: Vec<_> = self.data.leases.iter().map(|(id, lease)| (*id, lease.ttl)).collect();
        for (id, ttl) in leases {
            let (expiry, due) = self.expiry(now, ttl, EXTENSION);
            if let Some(lease) = Arc::make_mut(&mut self.data).leases.get_mut(&id) {
                lease.expiry = expiry;
                lease.due = due;
            }
        }
        self.next_lease();
    }

    /// Revokes what is due at `now`, each lease at a revision of its own.
    pub(super) fn expire(&mut self, now: Time) {
        let mut due: Vec<_> = self
            .data
            .leases
            .iter()
            .filter(|(_, lease)| lease.due <= now)
            .map(|(id, lease)| (lease.due, *id))
            .collect();
        due.sort();
        for (_, id) in due {
            let _ = self.end_lease(id);
        }
        self.next_lease();
    }

    fn end_lease(&mut self, id: LeaseId) -> Result<(), Error> {
        if !self.data.leases.contains_key(&id) {
            return Err(Error::LeaseNotFound);
        }
        let mut write = Arc::make_mut(&mut self.data).write();
        write.revoke(id)?;
        let changes = write.finish();
        self.notify(changes);
        self.next_lease();
        Ok(())
    }

    /// When a lease that is renewed now expires, and when that is noticed.
    fn expiry(&mut self, now: Time, ttl: i64, extension: Duration) -> (Time, Time) {
        let ttl = Duration::from_secs(u64::try_from(ttl).unwrap_or(0));
        let expiry = now + ttl + extension;
        let latest = u64::try_from(self.max_lateness.as_nanos()).unwrap_or(u64::MAX);
        (expiry, expiry + Duration::from_nanos(self.random.u64(0..=latest)))
    }

    fn next_lease(&mut self) {
        self.lease_due = self.data.leases.values().map(|lease| lease.due).min().unwrap_or(Time::NEVER);
        self.reckon();
    }

    fn free_lease_id(&mut self) -> LeaseId {
        loop {
            let id = LeaseId(self.random.i64(1..));
            if !self.data.leases.contains_key(&id) {
                return id;
            }
        }
    }
}
