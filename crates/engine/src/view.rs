//! What an election knows of its keys, and as of which revision.
//!
//! Answers and watch events reach the engine in any order: an event of revision 12 may overtake the answer of
//! revision 11, and be followed by a late event of revision 10. Each key therefore carries the revision up to
//! which it is known, and older news about it is dropped. All that the engine decides (lost, blocked, registered,
//! left over) is read off this view, so that it does not matter which way a fact came in.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included};

use crate::store::{Key, KeyEvent, KeyValue, LeaseId, Op, Range, Revision, Txn, TxnAnswer};

#[derive(Clone, Debug, Default, Hash)]
pub(super) struct View {
    keys: BTreeMap<Key, Seen>,
}

#[derive(Clone, Debug, Hash)]
struct Seen {
    known: Revision,
    /// `None`: absent as of `known`. Kept, so that an older event does not bring the key back.
    now: Option<KeyValue>,
}

impl View {
    /// The key as far as is known; `None`: absent, or never heard of.
    pub fn get(&self, key: &Key) -> Option<&KeyValue> {
        self.keys.get(key).and_then(|seen| seen.now.as_ref())
    }

    /// Up to which revision the key is known.
    pub fn known(&self, key: &Key) -> Revision {
        self.keys.get(key).map_or_else(Revision::default, |seen| seen.known)
    }

    /// The first key present in `range`.
    pub fn first(&self, range: &Range) -> Option<&KeyValue> {
        match range {
            Range::Key(key) => self.get(key),
            Range::Span { from, to } => {
                self.keys.range(from..).take_while(|(key, _)| *key < to).find_map(|(_, s)| s.now.as_ref())
            }
        }
    }

    /// All keys present in `range`.
    pub fn all<'v>(&'v self, range: &'v Range) -> impl Iterator<Item = &'v KeyValue> {
        let (from, to) = match range {
            Range::Key(key) => (key, Included(key)),
            Range::Span { from, to } => (from, Excluded(to)),
        };
        self.keys.range((Included(from), to)).filter_map(|(_, seen)| seen.now.as_ref())
    }

    /// Forgets what is known of `range`, but for one key.
    pub fn forget(&mut self, range: &Range, but: &Key) {
        self.keys.retain(|key, _| key == but || !range.contains(key));
    }

    /// Takes in one event of a watch on `ranges`. What is not in there is nobody's, and kept by nobody.
    pub fn watched(&mut self, ranges: &[Range], event: KeyEvent) {
        if ranges.iter().any(|range| range.contains(&event.key)) {
            self.set(event.key, event.revision, event.now);
        }
    }

    /// Takes in what a read of `range` found at `revision`. Whether that was news.
    pub fn read(&mut self, range: &Range, revision: Revision, found: &[KeyValue]) -> bool {
        match range {
            Range::Key(key) => self.set(key.clone(), revision, found.first().cloned()),
            Range::Span { from, to } => {
                let gone = |key: &Key, seen: &Seen| {
                    from <= key
                        && key < to
                        && seen.known <= revision
                        && !found.iter().any(|kv| kv.key == *key)
                };
                let mut news = self.keys.iter().any(|(key, seen)| seen.now.is_some() && gone(key, seen));
                self.keys.retain(|key, seen| !gone(key, seen));
                for kv in found {
                    news |= self.set(kv.key.clone(), revision, Some(kv.clone()));
                }
                news
            }
        }
    }

    /// Takes in what a transaction did and read, in the branch that ran.
    pub fn ran(&mut self, txn: &Txn, answer: &TxnAnswer) {
        let mut reads = answer.reads.iter();
        for op in if answer.succeeded { &txn.then } else { &txn.otherwise } {
            match op {
                Op::Get(range) => {
                    if let Some(found) = reads.next() {
                        self.read(range, answer.revision, found);
                    }
                }
                // The watch may have been faster than the answer, and knows better what was there before.
                Op::Put(key, ..) if self.keys.get(key).is_some_and(|s| s.known >= answer.revision) => {}
                Op::Put(key, value, lease) => {
                    let kv = self.written(key, value, *lease, answer.revision);
                    self.set(key.clone(), answer.revision, Some(kv));
                }
                Op::Delete(key) => {
                    self.set(key.clone(), answer.revision, None);
                }
            }
        }
    }

    fn written(&self, key: &Key, value: &crate::store::Value, lease: LeaseId, at: Revision) -> KeyValue {
        let before = self.get(key);
        KeyValue {
            key: key.clone(),
            value: value.clone(),
            create_revision: before.map_or(at, |kv| kv.create_revision),
            mod_revision: at,
            version: before.map_or(1, |kv| kv.version.saturating_add(1)),
            lease,
        }
    }

    /// Whether that was news.
    fn set(&mut self, key: Key, known: Revision, now: Option<KeyValue>) -> bool {
        let written = |kv: &Option<KeyValue>| kv.as_ref().map(|kv| kv.mod_revision);
        match self.keys.get_mut(&key) {
            Some(seen) if seen.known > known => false,
            Some(seen) => {
                let before = std::mem::replace(seen, Seen { known, now });
                written(&before.now) != written(&seen.now)
            }
            None => {
                let news = now.is_some();
                self.keys.insert(key, Seen { known, now });
                news
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kv(key: &str, at: i64) -> KeyValue {
        KeyValue {
            key: key.into(),
            value: "v".into(),
            create_revision: Revision(at),
            mod_revision: Revision(at),
            version: 1,
            lease: LeaseId(7),
        }
    }

    fn event(key: &str, at: i64, there: bool) -> KeyEvent {
        KeyEvent { key: key.into(), revision: Revision(at), now: there.then(|| kv(key, at)) }
    }

    fn watched() -> [Range; 3] {
        [
            Range::Key("lock".into()),
            Range::Key("version".into()),
            Range::Span { from: "a-".into(), to: "a.".into() },
        ]
    }

    #[test]
    fn of_keys_that_nobody_watches_nothing_is_kept() {
        let mut view = View::default();
        for key in ["lock-1", "loc", "a", "a.", "b-1"] {
            view.watched(&watched(), event(key, 5, true));
            view.watched(&watched(), event(key, 6, false));
        }
        assert!(view.keys.is_empty(), "{view:?}");
        view.watched(&watched(), event("a-1", 7, true));
        assert!(view.get(&"a-1".into()).is_some());
    }

    #[test]
    fn an_event_that_overtook_the_answer_is_kept() {
        let mut view = View::default();
        view.watched(&watched(), event("lock", 12, false));
        view.read(&Range::Key("lock".into()), Revision(11), &[kv("lock", 5)]);
        assert_eq!(view.get(&"lock".into()), None);
    }

    #[test]
    fn an_own_put_that_the_watch_saw_first_is_not_counted_twice() {
        let mut view = View::default();
        let written = KeyValue { version: 4, create_revision: Revision(2), ..kv("version", 9) };
        view.watched(
            &watched(),
            KeyEvent { key: "version".into(), revision: Revision(9), now: Some(written.clone()) },
        );
        let put = Op::Put("version".into(), "v".into(), LeaseId::NONE);
        let txn = Txn { then: vec![put], ..Txn::default() };
        view.ran(&txn, &TxnAnswer { succeeded: true, revision: Revision(9), ..TxnAnswer::default() });
        assert_eq!(view.get(&"version".into()), Some(&written));
    }

    #[test]
    fn a_version_that_can_not_grow_stays() {
        let mut view = View::default();
        let written = KeyValue { version: i64::MAX, ..kv("version", 9) };
        view.watched(
            &watched(),
            KeyEvent { key: "version".into(), revision: Revision(9), now: Some(written) },
        );
        let put = Op::Put("version".into(), "v".into(), LeaseId::NONE);
        let txn = Txn { then: vec![put], ..Txn::default() };
        view.ran(&txn, &TxnAnswer { succeeded: true, revision: Revision(10), ..TxnAnswer::default() });
        assert_eq!(view.get(&"version".into()).map(|kv| kv.version), Some(i64::MAX));
    }

    #[test]
    fn a_late_event_does_not_bring_a_key_back() {
        let mut view = View::default();
        view.read(&Range::Key("lock".into()), Revision(11), &[]);
        view.watched(&watched(), event("lock", 10, true));
        assert_eq!(view.get(&"lock".into()), None);
    }

    #[test]
    fn a_read_of_a_span_drops_what_it_did_not_find_and_keeps_what_is_newer() {
        let mut view = View::default();
        let span = Range::Span { from: "a-".into(), to: "a.".into() };
        view.watched(&watched(), event("a-1", 5, true));
        view.watched(&watched(), event("a-2", 9, true));
        view.read(&span, Revision(8), &[]);
        assert_eq!(view.first(&span).map(|kv| kv.key.clone()), Some("a-2".into()));
    }
}
