//! What a candidate may write, and under which guards: every transaction of an election is built here.
//!
//! No key is put, deleted or overwritten but under the lease or the revision that the decision was based on, and
//! each transaction reads all keys of the election as well, in whichever branch runs, so that its answer alone
//! says where the election stands.

use super::Setup;
use super::ids::Token;
use super::view::View;
use semver::Version;

use crate::milvus::{self, Facts, Keys, Record, Reply, Role};
use crate::store::{Compare, Condition, Key, KeyValue, LeaseId, Op, Range, Revision, Txn};

/// The keys of one candidate, under one server id.
#[derive(Clone, Debug, Hash)]
pub(super) struct Claim {
    role: Role,
    server_id: i64,
    keys: Keys,
    ranges: Vec<Range>,
}

/// What the own record says that may change while it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Says {
    pub facts: Facts,
    /// Of Milvus: the server is going to stop.
    pub stopping: bool,
    /// Of a primary: to what was asked of it last.
    pub reply: Option<Reply>,
}

fn compare(key: &Key, condition: Condition) -> Compare {
    Compare { range: Range::Key(key.clone()), condition }
}

/// A key of ours, as it was when we last wrote it: by revision, and by lease as well, since a store that went back
/// hands out the same revisions again.
fn unchanged(key: &Key, revision: Revision, lease: LeaseId) -> [Compare; 2] {
    [compare(key, Condition::ModRevision(revision)), compare(key, Condition::Lease(lease))]
}

impl Claim {
    pub fn new(setup: &Setup, role: &Role, server_id: i64) -> Self {
        let keys = Keys::new(&setup.root, role, setup.layout, server_id);
        let mut ranges = vec![Range::Key(keys.record.clone())];
        ranges.extend(keys.locks.iter().map(|lock| Range::Key(lock.key.clone())));
        ranges.extend(keys.rivals.iter().cloned());
        ranges.extend(keys.version.iter().map(|key| Range::Key(key.clone())));
        Claim { role: role.clone(), server_id, keys, ranges }
    }

    /// All that the election watches and reads.
    pub fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    /// Of all that, its own record and the locks.
    pub fn own_ranges(&self) -> &[Range] {
        self.ranges.get(..=self.keys.locks.len()).unwrap_or(&self.ranges)
    }

    /// Where the win's keys lie; all of them are written under a guard, so that none can come after it was given up.
    pub fn locks(&self) -> Vec<Range> {
        self.keys.locks.iter().chain(&self.keys.services).map(|key| Range::Key(key.key.clone())).collect()
    }

    /// Where the records of all candidates of the role lie, its own among them.
    pub fn candidates(&self) -> &Range {
        &self.keys.candidates
    }

    /// Under which its own record is.
    pub fn server_id(&self) -> i64 {
        self.server_id
    }

    /// The key of its own record.
    pub fn own_key(&self) -> &Key {
        &self.keys.record
    }

    /// The candidate's own record.
    pub fn record<'v>(&self, view: &'v View) -> Option<&'v KeyValue> {
        view.get(&self.keys.record)
    }

    /// The lock, whoever holds it.
    pub fn lock<'v>(&self, view: &'v View) -> Option<&'v KeyValue> {
        view.get(&self.keys.locks.first()?.key)
    }

    /// The keys of the key set that hang on `lease`.
    pub fn held<'v>(&self, view: &'v View, lease: LeaseId) -> Vec<&'v KeyValue> {
        let there = self.keys.locks.iter().filter_map(|lock| view.get(&lock.key));
        there.filter(|kv| kv.lease == lease).collect()
    }

    /// The service's records that hang on `lease` (layout `after_start`).
    pub fn published<'v>(&self, view: &'v View, lease: LeaseId) -> Vec<&'v KeyValue> {
        let there = self.keys.services.iter().filter_map(|service| view.get(&service.key));
        there.filter(|kv| kv.lease == lease).collect()
    }

    /// Whether the layout has service records, and not all of them are ours.
    pub fn unpublished(&self, view: &View, lease: LeaseId) -> bool {
        self.published(view, lease).len() < self.keys.services.len()
    }

    /// Whether service records can be put: none of them is anybody else's.
    pub fn publishable(&self, view: &View, lease: LeaseId) -> bool {
        self.keys.services.iter().all(|s| view.get(&s.key).is_none_or(|kv| kv.lease == lease))
    }

    /// A key of the set that no longer stands as the win put it, with what is there instead.
    pub fn broken<'v>(
        &'v self,
        view: &'v View,
        token: Token,
        lease: LeaseId,
    ) -> Option<(&'v Key, Option<&'v KeyValue>)> {
        self.keys
            .locks
            .iter()
            .map(|lock| (&lock.key, view.get(&lock.key)))
            .find(|(_, now)| !now.is_some_and(|kv| kv.mod_revision == Revision(token.0) && kv.lease == lease))
    }

    /// The token under which the whole key set hangs on `lease`, if it does.
    pub fn won(&self, view: &View, lease: LeaseId) -> Option<Token> {
        let token = Token(self.lock(view)?.mod_revision.0);
        self.broken(view, token, lease).is_none().then_some(token)
    }

    /// Whether the key set has been put on `lease`, and some of that is not known yet: each key is told of by itself.
    pub fn is_coming(&self, view: &View, lease: LeaseId) -> bool {
        let put = self.held(view, lease).iter().map(|kv| kv.mod_revision).max();
        put.is_some_and(|at| self.keys.locks.iter().any(|lock| view.known(&lock.key) < at))
    }

    /// A key that must be absent for a win, and is there as far as is known: somebody's lock, or that or the record of
    /// an older kind of coordinator.
    pub fn in_the_way<'v>(&'v self, view: &'v View) -> Option<&'v KeyValue> {
        let locks = self.keys.locks.iter().filter_map(|lock| view.get(&lock.key));
        locks.chain(self.keys.rivals.iter().filter_map(|range| view.first(range))).next()
    }

    /// Why the candidate is too old to campaign, if it is: the cluster has seen a newer version.
    pub fn outdated(&self, view: &View, setup: &Setup) -> Option<String> {
        self.may_lead(view, Some(setup.candidate.version())).err()
    }

    /// Whether a candidate of that version may be primary, as far as the cluster has seen.
    pub fn may_lead(&self, view: &View, version: Option<&Version>) -> Result<(), String> {
        let Some(key) = &self.keys.version else { return Ok(()) };
        let Some(version) = version else { return Err("its record has no version".into()) };
        let Some(stored) = view.get(key) else { return Ok(()) };
        milvus::may_lead(&stored.value, version).map_err(|refused| format!("{key}: {refused}"))
    }

    /// Whether whoever a record is of may be primary, now that the key set is to be put on its lease.
    pub fn may_take(&self, view: &View, record: &KeyValue) -> bool {
        let parsed = self.keys.version.as_ref().map(|_| Record::parse(&record.value));
        parsed.is_none_or(|parsed| {
            parsed.is_ok_and(|record| self.may_lead(view, record.version.as_ref()).is_ok())
        })
    }

    /// `If` nobody holds a key of the set or stands in its way, and the own record is as it is known `Then` take the
    /// set, on its lease.
    pub fn campaign(&self, view: &View, setup: &Setup, own: &KeyValue) -> Txn {
        let mut when: Vec<Compare> =
            self.keys.locks.iter().map(|lock| compare(&lock.key, Condition::Absent)).collect();
        when.extend(
            self.keys.rivals.iter().map(|r| Compare { range: r.clone(), condition: Condition::Absent }),
        );
        when.extend(unchanged(&own.key, own.mod_revision, own.lease));
        let mut then: Vec<Op> = self.puts(&self.keys.locks, setup, own.lease);
        self.raise_version(view, setup.candidate.version(), &mut when, &mut then);
        Txn { when, then, otherwise: self.reads() }
    }

    /// The next primary's version becomes the newest that has been primary.
    fn raise_version(&self, view: &View, version: &Version, when: &mut Vec<Compare>, then: &mut Vec<Op>) {
        if let Some(key) = &self.keys.version {
            // By revision: one that was deleted and put anew has been written as often as before.
            let revision = view.get(key).map_or_else(Revision::default, |kv| kv.mod_revision);
            when.push(compare(key, Condition::ModRevision(revision)));
            then.push(Op::Put(key.clone(), milvus::version_value(version), LeaseId::NONE));
        }
    }

    /// Reads the records of all candidates.
    pub fn look_at_candidates(&self) -> Txn {
        Txn { then: vec![Op::Get(self.keys.candidates.clone())], ..Txn::default() }
    }

    /// `If` the key set is ours and a standby's record as it is known `Then` write an offer into that.
    pub fn offer(&self, token: Token, lease: LeaseId, to: &KeyValue) -> Option<Txn> {
        let value = milvus::with_offer(&to.value, Revision(token.0))?;
        let then = vec![Op::Put(to.key.clone(), value, to.lease)];
        Some(self.of_holder(token, lease, to, then))
    }

    /// `If` the key set is ours and the heir's record as it is known `Then` put the key set with that
    /// record, on that lease.
    pub fn hand_over(&self, view: &View, token: Token, lease: LeaseId, heir: &KeyValue) -> Option<Txn> {
        let put = |lock: &milvus::Claimed| {
            let value = milvus::as_lock(&heir.value, &lock.role)?;
            Some(Op::Put(lock.key.clone(), value, heir.lease))
        };
        let then = self.keys.locks.iter().map(put).collect::<Option<_>>()?;
        let mut txn = self.of_holder(token, lease, heir, then);
        // A record of the service that was still to be put would be of the next primary, and too early.
        let services = self.keys.services.iter().filter(|service| view.get(&service.key).is_none());
        txn.when.extend(services.map(|service| compare(&service.key, Condition::Absent)));
        if let Some(version) = Record::parse(&heir.value).ok()?.version {
            self.raise_version(view, &version, &mut txn.when, &mut txn.then);
        }
        Some(txn)
    }

    /// What the holder does with another candidate, if both are as they are known; otherwise it looks at all of them.
    fn of_holder(&self, token: Token, lease: LeaseId, other: &KeyValue, then: Vec<Op>) -> Txn {
        let mut when = self.guard(token, lease);
        when.extend(unchanged(&other.key, other.mod_revision, other.lease));
        let mut otherwise = self.reads();
        otherwise.push(Op::Get(self.keys.candidates.clone()));
        Txn { when, then, otherwise }
    }

    /// Puts the own record, over what is known of it.
    pub fn write_record(&self, view: &View, setup: &Setup, says: Says, lease: LeaseId) -> Txn {
        let mut candidate = setup.candidate.clone();
        candidate.stopping = says.stopping;
        let facts = Facts { priority: setup.priority, ..says.facts };
        let value = milvus::encode(&candidate, &self.role, self.server_id, lease, Some(facts));
        let answered = says.reply.and_then(|reply| milvus::with_reply(&value, &reply));
        let value = answered.unwrap_or(value);
        let when = match self.record(view) {
            Some(kv) => unchanged(&kv.key, kv.mod_revision, kv.lease).into(),
            None => vec![compare(&self.keys.record, Condition::Absent)],
        };
        self.with_reads(when, vec![Op::Put(self.keys.record.clone(), value, lease)])
    }

    /// Deletes the own record, if it is as it is known.
    pub fn delete_record(&self, own: &KeyValue) -> Txn {
        self.release(&[own])
    }

    /// Reads all keys, and writes nothing.
    pub fn look(&self) -> Txn {
        Txn { then: self.reads(), ..Txn::default() }
    }

    /// Reads all keys, and the record of a candidate.
    pub fn look_at(&self, record: &Key) -> Txn {
        let mut txn = self.look();
        txn.then.push(Op::Get(Range::Key(record.clone())));
        txn
    }

    /// Deletes keys of ours, if all of them stand as they are known.
    pub fn release(&self, kvs: &[&KeyValue]) -> Txn {
        let when = kvs.iter().flat_map(|kv| unchanged(&kv.key, kv.mod_revision, kv.lease)).collect();
        self.with_reads(when, kvs.iter().map(|kv| Op::Delete(kv.key.clone())).collect())
    }

    /// Puts the service's records under the token, over none or our own.
    pub fn publish(&self, view: &View, setup: &Setup, token: Token, lease: LeaseId) -> Txn {
        let mut when = self.guard(token, lease);
        for service in &self.keys.services {
            match view.get(&service.key) {
                Some(kv) => when.extend(unchanged(&kv.key, kv.mod_revision, kv.lease)),
                None => when.push(compare(&service.key, Condition::Absent)),
            }
        }
        self.with_reads(when, self.puts(&self.keys.services, setup, lease))
    }

    /// What a write under `token` compares: the whole key set, by revision and by lease.
    pub fn guard(&self, token: Token, lease: LeaseId) -> Vec<Compare> {
        self.keys.locks.iter().flat_map(|lock| unchanged(&lock.key, Revision(token.0), lease)).collect()
    }

    fn puts(&self, keys: &[milvus::Claimed], setup: &Setup, lease: LeaseId) -> Vec<Op> {
        let put = |claimed: &milvus::Claimed| {
            let value = milvus::encode(&setup.candidate, &claimed.role, self.server_id, lease, None);
            Op::Put(claimed.key.clone(), value, lease)
        };
        keys.iter().map(put).collect()
    }

    fn with_reads(&self, when: Vec<Compare>, mut then: Vec<Op>) -> Txn {
        // Reads come last: inside a transaction they see what was written before them.
        then.extend(self.reads());
        Txn { when, then, otherwise: self.reads() }
    }

    fn reads(&self) -> Vec<Op> {
        self.ranges.iter().cloned().map(Op::Get).collect()
    }
}
