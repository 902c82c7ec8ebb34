//! The vocabulary in which the engine speaks to a store: what it may ask, what comes back, what can go wrong.
//!
//! Plain data, the small part of etcd's API that an election needs. `etcd/` translates it for a real server,
//! the embedded model answers it without one. Nothing here decides anything.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use crate::plain::is_control;

/// A key, as bytes; shown as text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<[u8]>);

/// A value, as bytes; shown as text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Value(Arc<[u8]>);

/// An etcd lease id. Positive; 0 on a key-value means that it hangs on no lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

/// An etcd revision: a counter of the store's writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub i64);

/// A key with what the store knows of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyValue {
    /// The key.
    pub key: Key,
    /// Its value.
    pub value: Value,
    /// Revision of the write that created it.
    pub create_revision: Revision,
    /// Revision of the write that wrote it last.
    pub mod_revision: Revision,
    /// How often it was written since it was created; etcd's `version`.
    pub version: i64,
    /// The lease that it hangs on; 0 for none.
    pub lease: LeaseId,
}

/// One key, or all keys of a half-open span.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Range {
    /// Exactly this key.
    Key(Key),
    /// `from <= key < to`.
    Span {
        /// First key of the span.
        from: Key,
        /// First key after the span.
        to: Key,
    },
}

impl Range {
    /// The keys that begin with `prefix`: up to the prefix with its last byte one higher.
    pub fn below(prefix: &Key) -> Range {
        let mut end = prefix.as_bytes().to_vec();
        while end.last() == Some(&u8::MAX) {
            end.pop();
        }
        match end.last_mut() {
            Some(last) => *last += 1,
            // Nothing but 0xff: to the end of all keys, which etcd writes as one zero byte.
            None => end.push(0),
        }
        Range::Span { from: prefix.clone(), to: end.as_slice().into() }
    }

    /// What etcd would understand as something else is refused: an empty key means all keys there are to a watch, an
    /// empty end one key, a zero byte everything from the first key on.
    ///
    /// # Errors
    /// [`Failure::Refused`].
    pub fn check(&self) -> Result<(), Failure> {
        let (from, to) = match self {
            Range::Key(key) => (key, None),
            Range::Span { from, to } => (from, Some(to)),
        };
        if from.as_bytes().is_empty() {
            return Err(Failure::Refused("a key is empty".to_owned()));
        }
        if to.is_some_and(|to| to.as_bytes() == [0] || to <= from) {
            return Err(Failure::Refused(format!("a span that begins at {from} is empty")));
        }
        Ok(())
    }

    /// Whether `key` lies in this range.
    pub fn contains(&self, key: &Key) -> bool {
        match self {
            Range::Key(k) => k == key,
            Range::Span { from, to } => from <= key && key < to,
        }
    }
}

/// A comparison of a transaction: every key of the range meets the condition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Compare {
    /// What is looked at. As in etcd, an empty span is compared as if it held one key that is absent.
    pub range: Range,
    /// What must hold.
    pub condition: Condition,
}

impl Compare {
    /// Whether it holds of what a read of its range found.
    pub fn holds(&self, found: &[KeyValue]) -> bool {
        let absent = found.is_empty();
        let all = |check: &dyn Fn(&KeyValue) -> bool| found.iter().all(check);
        match &self.condition {
            Condition::Absent => absent,
            Condition::Version(n) => {
                if absent {
                    *n == 0
                } else {
                    all(&|kv| kv.version == *n)
                }
            }
            Condition::ModRevision(revision) => {
                if absent {
                    *revision == Revision(0)
                } else {
                    all(&|kv| kv.mod_revision == *revision)
                }
            }
            Condition::Lease(lease) => {
                if absent {
                    *lease == LeaseId::NONE
                } else {
                    all(&|kv| kv.lease == *lease)
                }
            }
            Condition::Value(value) => !absent && all(&|kv| kv.value == *value),
        }
    }
}

/// What a [`Compare`] asks of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// There is no such key (`version = 0`).
    Absent,
    /// It was written `n` times since it was created.
    Version(i64),
    /// It was last written at this revision; an absent key has revision 0.
    ModRevision(Revision),
    /// It hangs on this lease.
    Lease(LeaseId),
    /// It has this value; never true of an absent key.
    Value(Value),
}

/// One operation inside a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Reads a range.
    Get(Range),
    /// Writes a key, on a lease or (0) on none.
    Put(Key, Value, LeaseId),
    /// Deletes a key, if it is there.
    Delete(Key),
}

impl Op {
    /// What it reads, if it does.
    pub fn range_read(&self) -> Option<&Range> {
        match self {
            Op::Get(range) => Some(range),
            Op::Put(..) | Op::Delete(_) => None,
        }
    }
}

/// `If` all of `when` hold `Then` do `then` `Else` do `otherwise`, atomically.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Txn {
    /// The comparisons; an empty list holds.
    pub when: Vec<Compare>,
    /// Done if all of them hold.
    pub then: Vec<Op>,
    /// Done otherwise.
    pub otherwise: Vec<Op>,
}

impl Txn {
    /// Whether it writes in neither branch.
    pub fn only_reads(&self) -> bool {
        self.then.iter().chain(&self.otherwise).all(|op| matches!(op, Op::Get(_)))
    }
}

/// A request to the store. Each is answered exactly once, with an [`Answer`] or a [`Failure`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Creates a lease under an id of the caller's choice, so that a grant whose answer was lost can be undone.
    Grant {
        /// The id, positive.
        lease: LeaseId,
        /// Whole seconds; the store may grant more.
        ttl: Duration,
    },
    /// Renews a lease.
    KeepAlive {
        /// Which one.
        lease: LeaseId,
    },
    /// Ends a lease and deletes the keys on it, in one revision.
    Revoke {
        /// Which one.
        lease: LeaseId,
    },
    /// Runs a transaction. One without writes is a linearizable read.
    Txn(Txn),
}

/// What the store answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The lease was granted, for this long.
    Granted {
        /// Granted, not asked.
        ttl: Duration,
    },
    /// The lease was renewed, for this long; zero: there is no such lease any more (etcd says it this way,
    /// not as an error).
    Renewed {
        /// Granted again.
        ttl: Duration,
        /// Who says so. It proves nothing by itself: a member that stood still may take itself for the leader, and
        /// acknowledge what its successor never sees.
        origin: Origin,
    },
    /// The lease is gone, and its keys with it.
    Revoked,
    /// The transaction ran.
    Txn(TxnAnswer),
}

/// What a transaction answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TxnAnswer {
    /// Whether all comparisons held, so that `then` was done.
    pub succeeded: bool,
    /// The store's revision right after it; for one that wrote, the revision of its writes.
    pub revision: Revision,
    /// Who answered.
    pub origin: Origin,
    /// For each [`Op::Get`] of the branch that ran, in order, what it found.
    pub reads: Vec<Vec<KeyValue>>,
}

/// Whose word an answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The id of the cluster.
    pub cluster: u64,
    /// The raft term of the member that answered.
    pub term: u64,
}

/// Why there is no [`Answer`]. All but `Indefinite` are definite: the request did not happen.
///
/// The text is the store's own, with its cause, for people.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Failure {
    /// It may have happened, or may happen later: no answer in time, connection lost after it was sent.
    #[error("no answer, it may have happened: {0}")]
    Indefinite(String),
    /// It was never sent, or the server answers that it can not serve now: no connection, no leader.
    #[error("not reachable: {0}")]
    Unreachable(String),
    /// The lease that it names does not exist.
    #[error("lease not found")]
    LeaseNotFound,
    /// A grant named a lease that exists already.
    #[error("lease exists already")]
    LeaseExists,
    /// Wrong password, no permission, wrong certificate: until somebody changes something, it stays so.
    #[error("denied: {0}")]
    Denied(String),
    /// The server has no space for what is written (deletes and reads still work), until somebody frees some.
    #[error(
        "etcd has no space left: {0}; free some (compact, then defragment), then run `etcdctl alarm disarm`"
    )]
    NoSpace(String),
    /// The server refused it as such: too large, malformed.
    #[error("refused: {0}")]
    Refused(String),
}

impl Failure {
    /// Whether it stays so until somebody does something about it, who must be told.
    pub fn wants_help(&self) -> bool {
        matches!(self, Failure::Denied(_) | Failure::NoSpace(_) | Failure::Refused(_))
    }

    /// Whether the same request may succeed later: nobody has to change it, or what is configured, first.
    pub fn may_pass(&self) -> bool {
        matches!(self, Failure::Indefinite(_) | Failure::Unreachable(_) | Failure::NoSpace(_))
    }
}

/// What a watch saw: one key, written or deleted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyEvent {
    /// Which key.
    pub key: Key,
    /// The revision that did it.
    pub revision: Revision,
    /// The key as it is from this revision on; `None`: deleted.
    pub now: Option<KeyValue>,
}

impl Key {
    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Key(text.as_bytes().into())
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Key(text.into_bytes().into())
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        Key(bytes.into())
    }
}

impl Value {
    /// The value's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value(text.as_bytes().into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value(text.into_bytes().into())
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Value(bytes.into())
    }
}

/// Bytes as text on one line: `\xNN` for what is no character, or one that a terminal obeys.
pub(crate) struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |f: &mut fmt::Formatter<'_>, bytes: &[u8]| {
            bytes.iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
        };
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if is_control(c) {
                    bytes(f, c.encode_utf8(&mut [0; 4]).as_bytes())?;
                } else {
                    f.write_char(c)?;
                }
            }
            bytes(f, chunk.invalid())?;
        }
        Ok(())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(&self.0).fmt(f)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl LeaseId {
    /// The id of "no lease" on a key-value.
    pub const NONE: LeaseId = LeaseId(0);
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
