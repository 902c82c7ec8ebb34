//! What can be asked of the model and what it answers, as plain data: all of etcd's key-value requests.
//!
//! [`primacy_engine::store`] is the part of this that the engine needs; it is translated into these words, so that
//! there is one truth about what a request does.

use primacy_engine::store::{self, Key, KeyEvent, KeyValue, LeaseId, Value};

/// The keys that a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Exactly this one.
    One(Key),
    /// `from <= key < to`; none if `to` is not after `from`.
    Span {
        /// First key of the span.
        from: Key,
        /// First key after the span.
        to: Key,
    },
    /// This key and all after it.
    From(Key),
}

/// By what a [`Get`] sorts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    /// The key.
    #[default]
    Key,
    /// How often it was written.
    Version,
    /// The revision that created it.
    CreateRevision,
    /// The revision that wrote it last.
    ModRevision,
    /// The value, as bytes.
    Value,
}

/// Which way a [`Get`] sorts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Not said: ascending.
    #[default]
    None,
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

/// Reads keys. In etcd's API: `Range`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Get {
    /// Which.
    pub keys: Keys,
    /// At most so many; 0: all.
    pub limit: i64,
    /// As they were at this revision; 0: as they are.
    pub revision: i64,
    /// Which way to sort.
    pub order: Order,
    /// By what to sort.
    pub sort_by: SortBy,
    /// Leaves the values out.
    pub keys_only: bool,
    /// Counts, and returns no keys.
    pub count_only: bool,
    /// Leaves out what was written last before this revision; 0: nothing.
    pub min_mod_revision: i64,
    /// Leaves out what was written last after this revision; 0: nothing.
    pub max_mod_revision: i64,
    /// Leaves out what was created before this revision; 0: nothing.
    pub min_create_revision: i64,
    /// Leaves out what was created after this revision; 0: nothing.
    pub max_create_revision: i64,
}

/// Writes one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Which.
    pub key: Key,
    /// Its value.
    pub value: Value,
    /// The lease that it hangs on from now on; 0: none.
    pub lease: LeaseId,
    /// Answers with what it was before.
    pub previous: bool,
    /// Keeps the value it has.
    pub keep_value: bool,
    /// Keeps the lease it hangs on.
    pub keep_lease: bool,
}

/// Deletes keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// Which.
    pub keys: Keys,
    /// Answers with what they were.
    pub previous: bool,
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Reads.
    Get(Get),
    /// Writes.
    Put(Put),
    /// Deletes.
    Delete(Delete),
    /// A transaction inside the transaction. Its comparisons look at the store as it was before the whole.
    Txn(Txn),
    /// Sent without content: refused.
    Empty,
}

/// What a comparison looks at, and what it compares that with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// How often the key was written; 0 if it is absent.
    Version(i64),
    /// The revision that created it; 0 if it is absent.
    CreateRevision(i64),
    /// The revision that wrote it last; 0 if it is absent.
    ModRevision(i64),
    /// Its value; no comparison holds of an absent key.
    Value(Value),
    /// The lease that it hangs on; 0 for none and if it is absent.
    Lease(i64),
}

/// How what is there relates to what is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `<`
    Less,
}

/// One comparison; it holds if it holds of every key. No key at all counts as one absent key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// Which keys.
    pub keys: Keys,
    /// How they relate.
    pub relation: Relation,
    /// To what.
    pub target: Target,
}

/// `If` all of `when` hold `Then` do `then` `Else` do `otherwise`, at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// The comparisons; an empty list holds.
    pub when: Vec<Compare>,
    /// Done if all of them hold.
    pub then: Vec<Op>,
    /// Done otherwise.
    pub otherwise: Vec<Op>,
}

/// What a [`Get`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetAnswer {
    /// The store's revision, not the one that was read at.
    pub revision: i64,
    /// What it found, in order.
    pub kvs: Vec<KeyValue>,
    /// The limit cut something off.
    pub more: bool,
    /// How many keys there are, whatever limit and revision bounds left out.
    pub count: i64,
}

/// What a [`Put`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutAnswer {
    /// The revision of the write.
    pub revision: i64,
    /// What it was before, if that was asked for and it was there.
    pub previous: Option<KeyValue>,
}

/// What a [`Delete`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteAnswer {
    /// The revision of the write, or the store's if there was nothing to delete.
    pub revision: i64,
    /// How many keys are gone.
    pub deleted: i64,
    /// What they were, if that was asked for.
    pub previous: Vec<KeyValue>,
}

/// What one [`Op`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpAnswer {
    /// Of a get.
    Get(GetAnswer),
    /// Of a put.
    Put(PutAnswer),
    /// Of a delete.
    Delete(DeleteAnswer),
    /// Of a transaction inside the transaction; its revision is 0, as in etcd.
    Txn(TxnAnswer),
}

/// What a [`Txn`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TxnAnswer {
    /// Whether all comparisons held.
    pub succeeded: bool,
    /// The revision of its writes, or the store's if it wrote nothing.
    pub revision: i64,
    /// What each operation of the branch that ran did.
    pub answers: Vec<OpAnswer>,
}

/// Opens a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Its id on its stream; 0: the store chooses one.
    pub id: i64,
    /// What is watched.
    pub keys: Keys,
    /// The first revision whose events are wanted; 0: whatever happens from now on.
    pub start_revision: i64,
    /// Events tell what the key was before.
    pub previous: bool,
    /// Leaves out writes.
    pub no_put: bool,
    /// Leaves out deletes.
    pub no_delete: bool,
    /// Wants to hear of progress every ten minutes without events.
    pub progress: bool,
}

/// One event of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub event: KeyEvent,
    /// What the key was before, if that was asked for, it was there, and is not compacted yet.
    pub previous: Option<KeyValue>,
}

/// What a watch stream says. The fields are those of etcd's `WatchResponse`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchResponse {
    /// Which watch; -1: none (one that could not be opened), or all of the stream (progress).
    pub id: i64,
    /// The store's revision; 0 when a watch ends because of a compaction.
    pub revision: i64,
    /// The watch is open.
    pub created: bool,
    /// The watch is over.
    pub canceled: bool,
    /// It is over because it asked for events older than this revision.
    pub compact_revision: i64,
    /// Why it could not be opened.
    pub reason: &'static str,
    /// What happened, in order.
    pub events: Vec<Event>,
}

impl Keys {
    /// Whether `key` is one of them.
    pub fn contains(&self, key: &Key) -> bool {
        match self {
            Keys::One(k) => k == key,
            Keys::Span { from, to } => from <= key && key < to,
            Keys::From(from) => from <= key,
        }
    }

    /// The key that a request names first; etcd refuses an empty one.
    pub(super) fn first(&self) -> &Key {
        match self {
            Keys::One(key) | Keys::From(key) => key,
            Keys::Span { from, .. } => from,
        }
    }
}

impl From<&store::Range> for Keys {
    fn from(range: &store::Range) -> Self {
        match range {
            store::Range::Key(key) => Keys::One(key.clone()),
            store::Range::Span { from, to } => Keys::Span { from: from.clone(), to: to.clone() },
        }
    }
}

impl Get {
    /// Reads `keys` as they are.
    pub fn of(keys: Keys) -> Self {
        Get {
            keys,
            limit: 0,
            revision: 0,
            order: Order::None,
            sort_by: SortBy::Key,
            keys_only: false,
            count_only: false,
            min_mod_revision: 0,
            max_mod_revision: 0,
            min_create_revision: 0,
            max_create_revision: 0,
        }
    }
}

impl Put {
    /// Writes `key`, on no lease.
    pub fn of(key: impl Into<Key>, value: impl Into<Value>) -> Self {
        Put {
            key: key.into(),
            value: value.into(),
            lease: LeaseId::NONE,
            previous: false,
            keep_value: false,
            keep_lease: false,
        }
    }

    /// The same on a lease.
    pub fn on(self, lease: LeaseId) -> Self {
        Put { lease, ..self }
    }
}

impl Watch {
    /// Watches `keys` from now on, under an id of the store's choice.
    pub fn of(keys: Keys) -> Self {
        Watch {
            id: 0,
            keys,
            start_revision: 0,
            previous: false,
            no_put: false,
            no_delete: false,
            progress: false,
        }
    }
}

impl From<&store::Compare> for Compare {
    fn from(compare: &store::Compare) -> Self {
        let target = match &compare.condition {
            store::Condition::Absent => Target::Version(0),
            store::Condition::Version(n) => Target::Version(*n),
            store::Condition::ModRevision(revision) => Target::ModRevision(revision.0),
            store::Condition::Lease(lease) => Target::Lease(lease.0),
            store::Condition::Value(value) => Target::Value(value.clone()),
        };
        Compare { keys: (&compare.range).into(), relation: Relation::Equal, target }
    }
}

impl From<&store::Op> for Op {
    fn from(op: &store::Op) -> Self {
        match op {
            store::Op::Get(range) => Op::Get(Get::of(range.into())),
            store::Op::Put(key, value, lease) => Op::Put(Put::of(key.clone(), value.clone()).on(*lease)),
            store::Op::Delete(key) => Op::Delete(Delete { keys: Keys::One(key.clone()), previous: false }),
        }
    }
}

impl From<&store::Txn> for Txn {
    fn from(txn: &store::Txn) -> Self {
        Txn {
            when: txn.when.iter().map(Compare::from).collect(),
            then: txn.then.iter().map(Op::from).collect(),
            otherwise: txn.otherwise.iter().map(Op::from).collect(),
        }
    }
}
