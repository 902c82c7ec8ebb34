//! How far the store's history is known, by which a store shows that it went back.
//!
//! Revisions only grow, and a linearizable answer is no older than what anybody had seen when its request was sent. One
//! that is older, or comes from another cluster, comes from a store that was put back to an older state, or replaced.

use crate::store::{KeyEvent, Revision, TxnAnswer};

#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct History {
    /// The highest revision that a linearizable answer or an event bore.
    floor: Revision,
    cluster: Option<u64>,
}

impl History {
    /// What a linearizable answer to what is sent from now on is not older than.
    pub fn floor(&self) -> Revision {
        self.floor
    }

    /// A watch has told something. What a member has told of is committed.
    pub fn told(&mut self, events: &[KeyEvent]) {
        let told = events.iter().map(|event| event.revision).max();
        self.floor = self.floor.max(told.unwrap_or_default());
    }

    /// There is a linearizable answer to what was sent when the store had at least `floor`; whether it comes from a store
    /// that went back. From then on that one's history counts.
    pub fn answered(&mut self, answer: &TxnAnswer, floor: Revision) -> bool {
        let other = self.cluster.is_some_and(|cluster| cluster != answer.origin.cluster);
        let older = answer.revision < floor;
        self.cluster = Some(answer.origin.cluster);
        self.floor = if other || older { answer.revision } else { self.floor.max(answer.revision) };
        other || older
    }
}
