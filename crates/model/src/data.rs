//! The keys, as they are and as they were.
//!
//! What is kept is the present and the list of changes, each with what it replaced. The past is read by
//! undoing changes from the present backwards: no index by revision, nothing to compact but the list.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use super::error::Error;
use super::lease::Lease;
use super::request::{Get, GetAnswer, Keys, Order, SortBy};
use primacy_engine::store::{Key, KeyEvent, KeyValue, LeaseId, Revision, Value};

/// One key written or deleted.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// What happened.
    pub event: KeyEvent,
    /// What it was before.
    pub before: Option<KeyValue>,
}

/// Everything that a restart keeps and a restore brings back.
#[derive(Clone, Debug)]
pub(super) struct Data {
    /// The revision of the last write.
    pub revision: i64,
    /// What is older is gone; -1: nothing is, as in etcd.
    pub compacted: i64,
    /// The keys that are there.
    pub live: BTreeMap<Key, KeyValue>,
    /// The changes at `compacted` and later, in order.
    pub history: VecDeque<Change>,
    /// The leases, each with the keys on it.
    pub leases: BTreeMap<LeaseId, Lease>,
}

impl Data {
    /// An empty store. Its revision is 1, as in etcd.
    pub fn new() -> Self {
        Data {
            revision: 1,
            compacted: -1,
            live: BTreeMap::new(),
            history: VecDeque::new(),
            leases: BTreeMap::new(),
        }
    }

    /// Begins to write at the next revision.
    pub fn write(&mut self) -> Write<'_> {
        Write { changed: false, data: self }
    }

    /// The keys of a range as they are.
    pub fn at_present<'a>(&'a self, keys: &'a Keys) -> Box<dyn Iterator<Item = &'a KeyValue> + 'a> {
        match keys {
            Keys::One(key) => Box::new(self.live.get(key).into_iter()),
            Keys::Span { from, to } if from >= to => Box::new(std::iter::empty()),
            Keys::Span { from, to } => {
                let bounds = (Bound::Included(from), Bound::Excluded(to));
                Box::new(self.live.range::<Key, _>(bounds).map(|(_, kv)| kv))
            }
            Keys::From(from) => Box::new(self.live.range::<Key, _>(from..).map(|(_, kv)| kv)),
        }
    }

    /// The changes from `revision` on.
    pub fn since(&self, revision: i64) -> impl Iterator<Item = &Change> {
        let first = self.history.partition_point(|change| change.event.revision.0 < revision);
        self.history.range(first..)
    }

    /// Reads, where `current` is the revision that the reader sees.
    fn read(&self, current: i64, get: &Get) -> Result<GetAnswer, Error> {
        if get.revision > current {
            return Err(Error::FutureRevision);
        }
        let revision = if get.revision <= 0 { current } else { get.revision };
        if revision < self.compacted {
            return Err(Error::Compacted);
        }
        if revision == current {
            return Ok(select(self.at_present(&get.keys), current, get));
        }
        let mut then: BTreeMap<&Key, &KeyValue> =
            self.at_present(&get.keys).map(|kv| (&kv.key, kv)).collect();
        for change in self.history.iter().rev().take_while(|change| change.event.revision.0 > revision) {
            if get.keys.contains(&change.event.key) {
                match &change.before {
                    Some(kv) => then.insert(&change.event.key, kv),
                    None => then.remove(&change.event.key),
                };
            }
        }
        Ok(select(then.into_values(), current, get))
    }

    /// Reads, outside of a transaction.
    pub fn get(&self, get: &Get) -> Result<GetAnswer, Error> {
        self.read(self.revision, get)
    }

    /// Forgets what is older than `revision`.
    pub fn compact(&mut self, revision: i64) -> Result<(), Error> {
        if revision <= self.compacted {
            return Err(Error::Compacted);
        }
        if revision > self.revision {
            return Err(Error::FutureRevision);
        }
        self.compacted = revision;
        // Changes of the compacted revision itself stay: a watch may start there.
        let kept = self.history.partition_point(|change| change.event.revision.0 < revision);
        self.history.drain(..kept);
        Ok(())
    }
}

/// Writes at one revision. Reads through it see what it wrote.
pub(super) struct Write<'a> {
    data: &'a mut Data,
    changed: bool,
}

impl Write<'_> {
    /// The revision that a read sees and an answer tells.
    pub fn revision(&self) -> i64 {
        if self.changed { self.data.revision + 1 } else { self.data.revision }
    }

    pub fn data(&self) -> &Data {
        self.data
    }

    pub fn get(&self, get: &Get) -> Result<GetAnswer, Error> {
        self.data.read(self.revision(), get)
    }

    pub fn put(&mut self, key: &Key, value: Value, lease: LeaseId) {
        let revision = Revision(self.data.revision + 1);
        let before = self.data.live.get(key).cloned();
        let (create_revision, version, old_lease) = match &before {
            Some(kv) => (kv.create_revision, kv.version + 1, kv.lease),
            None => (revision, 1, LeaseId::NONE),
        };
        let now =
            KeyValue { key: key.clone(), value, create_revision, mod_revision: revision, version, lease };
        if old_lease != lease {
            self.detach(old_lease, key);
            if let Some(lease) = self.data.leases.get_mut(&lease) {
                lease.keys.insert(key.clone());
            }
        }
        self.data.live.insert(key.clone(), now.clone());
        self.changed(KeyEvent { key: key.clone(), revision, now: Some(now) }, before);
    }

    pub fn delete(&mut self, key: &Key) -> Option<KeyValue> {
        let before = self.data.live.remove(key)?;
        self.detach(before.lease, key);
        let revision = Revision(self.data.revision + 1);
        self.changed(KeyEvent { key: key.clone(), revision, now: None }, Some(before.clone()));
        Some(before)
    }

    /// Deletes a lease, and its keys in their order.
    pub fn revoke(&mut self, lease: LeaseId) -> Result<(), Error> {
        let lease = self.data.leases.remove(&lease).ok_or(Error::LeaseNotFound)?;
        for key in &lease.keys {
            self.delete(key);
        }
        Ok(())
    }

    /// Ends the write; how many changes it made, the last ones of the history.
    pub fn finish(self) -> usize {
        if !self.changed {
            return 0;
        }
        self.data.revision += 1;
        let revision = self.data.revision;
        self.data.history.iter().rev().take_while(|change| change.event.revision.0 == revision).count()
    }

    fn changed(&mut self, event: KeyEvent, before: Option<KeyValue>) {
        self.changed = true;
        self.data.history.push_back(Change { event, before });
    }

    fn detach(&mut self, lease: LeaseId, key: &Key) {
        if lease != LeaseId::NONE
            && let Some(lease) = self.data.leases.get_mut(&lease)
        {
            lease.keys.remove(key);
        }
    }
}

/// Filters, sorts and cuts, in etcd's order: the limit is applied before the sort if no order is asked for.
fn select<'a>(found: impl Iterator<Item = &'a KeyValue>, revision: i64, get: &Get) -> GetAnswer {
    let bounded = get.min_mod_revision != 0
        || get.max_mod_revision != 0
        || get.min_create_revision != 0
        || get.max_create_revision != 0;
    let in_key_order =
        get.order == Order::None || (get.order == Order::Ascending && get.sort_by == SortBy::Key);
    let fetched = match usize::try_from(get.limit) {
        Ok(limit) if limit > 0 && in_key_order && !bounded => limit.saturating_add(1),
        _ => usize::MAX,
    };
    let mut count = 0;
    let mut kvs: Vec<&KeyValue> = Vec::new();
    for kv in found {
        count += 1;
        if !get.count_only && kvs.len() < fetched {
            kvs.push(kv);
        }
    }
    let mut answer = GetAnswer { revision, kvs: Vec::new(), more: false, count };
    if get.count_only {
        return answer;
    }
    if bounded {
        kvs.retain(|kv| {
            within(kv.mod_revision.0, get.min_mod_revision, get.max_mod_revision)
                && within(kv.create_revision.0, get.min_create_revision, get.max_create_revision)
        });
    }
    if get.sort_by != SortBy::Key || get.order == Order::Descending {
        kvs.sort_by(|a, b| {
            let order = match get.sort_by {
                SortBy::Key => a.key.cmp(&b.key),
                SortBy::Version => a.version.cmp(&b.version),
                SortBy::CreateRevision => a.create_revision.cmp(&b.create_revision),
                SortBy::ModRevision => a.mod_revision.cmp(&b.mod_revision),
                SortBy::Value => a.value.cmp(&b.value),
            };
            if get.order == Order::Descending { order.reverse() } else { order }
        });
    }
    if let Ok(limit) = usize::try_from(get.limit)
        && limit > 0
        && kvs.len() > limit
    {
        kvs.truncate(limit);
        answer.more = true;
    }
    answer.kvs = kvs.into_iter().cloned().collect();
    if get.keys_only {
        for kv in &mut answer.kvs {
            kv.value = Value::default();
            if get.sort_by != SortBy::Value {
                // etcd reads its index then, which has no leases.
                kv.lease = LeaseId::NONE;
            }
        }
    }
    answer
}

fn within(revision: i64, min: i64, max: i64) -> bool {
    (min == 0 || revision >= min) && (max == 0 || revision <= max)
}
