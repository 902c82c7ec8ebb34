//! What happened to some keys, in order, and how they were before and after each of etcd's revisions.

use std::collections::BTreeMap;

use primacy_engine::store::{Key, KeyEvent, KeyValue, LeaseId, Revision};

use crate::when::When;

/// Some keys of an etcd, from one revision to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// At which [`History::base`] was so.
    pub from: Revision,
    /// All of the keys that were there.
    pub base: Vec<KeyValue>,
    /// What happened after that, by revision.
    pub changes: Vec<Change>,
    /// Up to which all is known.
    pub until: Revision,
    /// When that was, in milliseconds since 1970.
    pub until_at: Option<i64>,
}

/// A key that was written or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub event: KeyEvent,
    /// When it was heard of, in milliseconds since 1970, by the clock of who watched; etcd itself does not tell.
    pub at: Option<i64>,
}

/// The keys of a history around one revision.
pub struct Moment<'a> {
    /// Which one, and when.
    pub when: When,
    /// The keys that it wrote or deleted, as they are then.
    pub events: Vec<&'a KeyEvent>,
    /// This is the history's beginning: what is there was written at any time before.
    pub is_first: bool,
    now: &'a BTreeMap<Key, KeyValue>,
    replaced: BTreeMap<&'a Key, Option<KeyValue>>,
}

impl History {
    /// Shows all revisions, in order; first how it was at the beginning.
    pub(crate) fn replay(&self, mut look: impl FnMut(&Moment<'_>)) {
        let mut now: BTreeMap<Key, KeyValue> = BTreeMap::new();
        let base: Vec<KeyEvent> = self
            .base
            .iter()
            .map(|kv| KeyEvent { key: kv.key.clone(), revision: self.from, now: Some(kv.clone()) })
            .collect();
        let mut show = |when: When, events: Vec<&KeyEvent>, is_first| {
            let mut replaced = BTreeMap::new();
            for event in &events {
                let before = match &event.now {
                    Some(kv) => now.insert(event.key.clone(), kv.clone()),
                    None => now.remove(&event.key),
                };
                replaced.entry(&event.key).or_insert(before);
            }
            look(&Moment { when, events, is_first, now: &now, replaced });
        };
        show(When { revision: self.from.0, at_ms: None }, base.iter().collect(), true);
        for changes in self.changes.chunk_by(|a, b| a.event.revision == b.event.revision) {
            let at_ms = changes.iter().find_map(|change| change.at);
            let revision = changes.first().map_or(0, |change| change.event.revision.0);
            show(When { revision, at_ms }, changes.iter().map(|change| &change.event).collect(), false);
        }
    }
}

impl Moment<'_> {
    /// A key as it was before.
    pub fn was(&self, key: &Key) -> Option<&KeyValue> {
        self.replaced.get(key).map_or_else(|| self.now.get(key), Option::as_ref)
    }

    /// A key as it is from now on.
    pub fn is(&self, key: &Key) -> Option<&KeyValue> {
        self.now.get(key)
    }

    /// All keys as they are from now on.
    pub fn all(&self) -> impl Iterator<Item = &KeyValue> {
        self.now.values()
    }

    /// All keys on a lease: as they were before if they were written now, or else as they are.
    pub fn on_lease_before(&self, lease: LeaseId) -> impl Iterator<Item = &KeyValue> {
        let untouched = self.now.values().filter(|kv| !self.replaced.contains_key(&kv.key));
        self.replaced.values().flatten().chain(untouched).filter(move |kv| kv.lease == lease)
    }
}
