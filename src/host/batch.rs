//! A transaction as a host puts it together: comparisons, writes and reads of its own, in keys and values that are
//! whole. C and Python build theirs with it.

use crate::store::{Compare, Condition, Key, LeaseId, Op, Range, Txn, Value};

/// A transaction under construction: to be committed under a token, or, of reads alone, to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    when: Vec<Compare>,
    ops: Vec<Op>,
}

/// What can not be a part of a transaction, or not of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// etcd has no such key.
    #[error("the key is empty; etcd has no such key")]
    EmptyKey,
    /// It is to be read and does something else, or nothing.
    #[error("a read takes a transaction of one or more gets; commit one that compares or writes")]
    NoRead,
}

impl Batch {
    /// Compares: the condition must hold of the key.
    ///
    /// # Errors
    /// `EmptyKey`.
    pub fn compare(&mut self, key: &[u8], condition: Condition) -> Result<(), BatchError> {
        self.when.push(Compare { range: Range::Key(key_of(key)?), condition });
        Ok(())
    }

    /// Writes a key, on no lease. etcd refuses a transaction that writes a key twice.
    ///
    /// # Errors
    /// `EmptyKey`.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), BatchError> {
        self.ops.push(Op::Put(key_of(key)?, Value::from(value), LeaseId::NONE));
        Ok(())
    }

    /// Deletes a key, if it is there.
    ///
    /// # Errors
    /// `EmptyKey`.
    pub fn delete(&mut self, key: &[u8]) -> Result<(), BatchError> {
        self.ops.push(Op::Delete(key_of(key)?));
        Ok(())
    }

    /// Reads a key.
    ///
    /// # Errors
    /// `EmptyKey`.
    pub fn get(&mut self, key: &[u8]) -> Result<(), BatchError> {
        self.ops.push(Op::Get(Range::Key(key_of(key)?)));
        Ok(())
    }

    /// Reads all keys that begin with `prefix`, in the order of their bytes. Counts as one get.
    ///
    /// # Errors
    /// `EmptyKey`.
    pub fn get_prefix(&mut self, prefix: &[u8]) -> Result<(), BatchError> {
        self.ops.push(Op::Get(Range::below(&key_of(prefix)?)));
        Ok(())
    }

    /// The transaction. Its reads are done either way: whoever lost a race sees what he lost it to.
    pub fn txn(&self) -> Txn {
        let otherwise = self.ops.iter().filter(|op| matches!(op, Op::Get(_))).cloned().collect();
        Txn { when: self.when.clone(), then: self.ops.clone(), otherwise }
    }

    /// What it reads.
    ///
    /// # Errors
    /// `NoRead`.
    pub fn reads(&self) -> Result<Vec<Range>, BatchError> {
        let reads = self.ops.iter().map(|op| match op {
            Op::Get(range) => Some(range.clone()),
            Op::Put(..) | Op::Delete(_) => None,
        });
        let reads: Option<Vec<Range>> = reads.collect();
        reads.filter(|reads| self.when.is_empty() && !reads.is_empty()).ok_or(BatchError::NoRead)
    }
}

fn key_of(key: &[u8]) -> Result<Key, BatchError> {
    if key.is_empty() { Err(BatchError::EmptyKey) } else { Ok(key.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_done_either_way() {
        let mut batch = Batch::default();
        batch.compare(b"a", Condition::Absent).unwrap();
        batch.put(b"a", b"1").unwrap();
        batch.get_prefix(b"a/").unwrap();
        batch.get(b"b").unwrap();
        let txn = batch.txn();
        assert_eq!((txn.when.len(), txn.then.len()), (1, 3));
        assert_eq!(
            txn.otherwise,
            [Op::Get(Range::below(&b"a/"[..].into())), Op::Get(Range::Key(b"b"[..].into()))]
        );
    }

    #[test]
    fn only_gets_can_be_read() {
        let mut batch = Batch::default();
        assert_eq!(batch.reads(), Err(BatchError::NoRead));
        batch.get(b"a").unwrap();
        assert_eq!(batch.reads(), Ok(vec![Range::Key(b"a"[..].into())]));
        let mut compares = batch.clone();
        compares.compare(b"a", Condition::Version(1)).unwrap();
        batch.delete(b"a").unwrap();
        assert_eq!((batch.reads(), compares.reads()), (Err(BatchError::NoRead), Err(BatchError::NoRead)));
    }

    #[test]
    fn a_prefix_ends_before_the_next_higher_text() {
        let end = |prefix: &[u8]| match Range::below(&prefix.into()) {
            Range::Span { to, .. } => to.as_bytes().to_vec(),
            Range::Key(_) => vec![],
        };
        assert_eq!(end(b"a/"), b"a0");
        assert_eq!(end(b"a\xff\xff"), b"b");
        assert_eq!(end(b"\xff"), b"\0");
    }

    #[test]
    fn no_key_is_empty() {
        let mut batch = Batch::default();
        assert_eq!(batch.put(b"", b"1"), Err(BatchError::EmptyKey));
        assert_eq!(batch.get_prefix(b""), Err(BatchError::EmptyKey));
        assert_eq!(batch, Batch::default());
    }
}
