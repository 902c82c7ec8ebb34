//! Key-value requests: what is refused before anything happens, and what happens then.

use std::collections::BTreeSet;

use super::data::{Data, Write};
use super::error::Error;
use super::request::{
    Compare, Delete, DeleteAnswer, Get, Keys, Op, OpAnswer, Put, PutAnswer, Relation, Target, Txn, TxnAnswer,
};
use primacy_engine::store::{Key, KeyValue, LeaseId};

/// The most comparisons, or operations of one branch, that etcd takes in one transaction by default. What a
/// transaction uses of it, transactions inside it lack.
pub const MAX_TXN_OPS: usize = 128;

/// Refuses what is malformed, whatever the store holds.
pub(super) fn check_txn(txn: &Txn) -> Result<(), Error> {
    check_ops(txn, MAX_TXN_OPS)?;
    written(&txn.then)?;
    written(&txn.otherwise)?;
    Ok(())
}

pub(super) fn check_get(get: &Get) -> Result<(), Error> {
    not_empty(get.keys.first())
}

pub(super) fn check_put(put: &Put) -> Result<(), Error> {
    not_empty(&put.key)?;
    if put.keep_value && !put.value.as_bytes().is_empty() {
        return Err(Error::ValueProvided);
    }
    if put.keep_lease && put.lease != LeaseId::NONE {
        return Err(Error::LeaseProvided);
    }
    Ok(())
}

pub(super) fn check_delete(delete: &Delete) -> Result<(), Error> {
    not_empty(delete.keys.first())
}

fn not_empty(key: &Key) -> Result<(), Error> {
    if key.as_bytes().is_empty() { Err(Error::EmptyKey) } else { Ok(()) }
}

fn check_ops(txn: &Txn, max: usize) -> Result<(), Error> {
    let used = txn.when.len().max(txn.then.len()).max(txn.otherwise.len());
    let left = max.checked_sub(used).ok_or(Error::TooManyOps)?;
    for compare in &txn.when {
        not_empty(compare.keys.first())?;
    }
    for op in txn.then.iter().chain(&txn.otherwise) {
        match op {
            Op::Get(get) => check_get(get)?,
            Op::Put(put) => check_put(put)?,
            Op::Delete(delete) => check_delete(delete)?,
            Op::Txn(txn) => check_ops(txn, left)?,
            Op::Empty => return Err(Error::KeyNotFound),
        }
    }
    Ok(())
}

/// What a list of operations writes, whichever branches run; refused if one key may be written twice.
///
/// Deletes may overlap one another, as in etcd.
struct Written<'a> {
    puts: BTreeSet<&'a Key>,
    deletes: Vec<&'a Keys>,
}

impl<'a> Written<'a> {
    fn add_put(&mut self, key: &'a Key) -> Result<(), Error> {
        if self.deletes.iter().any(|keys| keys.contains(key)) || !self.puts.insert(key) {
            return Err(Error::DuplicateKey);
        }
        Ok(())
    }
}

fn written(ops: &[Op]) -> Result<Written<'_>, Error> {
    let mut all = Written { puts: BTreeSet::new(), deletes: Vec::new() };
    // This level's deletes first: a put below must not meet them.
    all.deletes.extend(ops.iter().filter_map(|op| match op {
        Op::Delete(delete) => Some(&delete.keys),
        _ => None,
    }));
    for op in ops {
        let Op::Txn(txn) = op else { continue };
        let (then, otherwise) = (written(&txn.then)?, written(&txn.otherwise)?);
        for key in &then.puts {
            all.add_put(key)?;
        }
        // Only one of two branches runs: both may write the same key.
        for key in otherwise.puts.iter().filter(|key| !then.puts.contains(*key)) {
            all.add_put(key)?;
        }
        all.deletes.extend(then.deletes);
        all.deletes.extend(otherwise.deletes);
    }
    for op in ops {
        if let Op::Put(put) = op {
            all.add_put(&put.key)?;
        }
    }
    Ok(all)
}

/// Which branch each transaction takes, the outer one first. All comparisons look at the store as it is
/// before the outermost transaction.
pub(super) fn decide(data: &Data, txn: &Txn, path: &mut Vec<bool>) {
    let holds = txn.when.iter().all(|compare| holds(data, compare));
    path.push(holds);
    for op in branch(txn, holds) {
        if let Op::Txn(inner) = op {
            decide(data, inner, path);
        }
    }
}

fn branch(txn: &Txn, holds: bool) -> &[Op] {
    if holds { &txn.then } else { &txn.otherwise }
}

fn holds(data: &Data, compare: &Compare) -> bool {
    let mut kvs = data.at_present(&compare.keys).peekable();
    if kvs.peek().is_none() {
        return holds_of(compare, None);
    }
    kvs.all(|kv| holds_of(compare, Some(kv)))
}

fn holds_of(compare: &Compare, kv: Option<&KeyValue>) -> bool {
    let order = match (&compare.target, kv) {
        (Target::Version(n), kv) => kv.map_or(0, |kv| kv.version).cmp(n),
        (Target::CreateRevision(n), kv) => kv.map_or(0, |kv| kv.create_revision.0).cmp(n),
        (Target::ModRevision(n), kv) => kv.map_or(0, |kv| kv.mod_revision.0).cmp(n),
        (Target::Lease(n), kv) => kv.map_or(0, |kv| kv.lease.0).cmp(n),
        (Target::Value(value), Some(kv)) => kv.value.cmp(value),
        (Target::Value(_), None) => return false,
    };
    match compare.relation {
        Relation::Equal => order.is_eq(),
        Relation::NotEqual => order.is_ne(),
        Relation::Greater => order.is_gt(),
        Relation::Less => order.is_lt(),
    }
}

/// Refuses what this store can not do, before anything is done.
pub(super) fn check_branches(
    data: &Data,
    txn: &Txn,
    path: &mut impl Iterator<Item = bool>,
) -> Result<(), Error> {
    for op in branch(txn, path.next().unwrap_or(false)) {
        match op {
            Op::Get(get) if get.revision > data.revision => return Err(Error::FutureRevision),
            Op::Get(get) if get.revision != 0 && get.revision < data.compacted => {
                return Err(Error::Compacted);
            }
            Op::Get(_) | Op::Delete(_) | Op::Empty => {}
            Op::Put(put) => can_put(data, put)?,
            Op::Txn(inner) => check_branches(data, inner, path)?,
        }
    }
    Ok(())
}

/// Refuses a put on a lease that is not there, and one that keeps what is not there.
pub(super) fn can_put(data: &Data, put: &Put) -> Result<(), Error> {
    if put.lease != LeaseId::NONE && !data.leases.contains_key(&put.lease) {
        return Err(Error::LeaseNotFound);
    }
    if (put.keep_value || put.keep_lease) && !data.live.contains_key(&put.key) {
        return Err(Error::KeyNotFound);
    }
    Ok(())
}

/// Does what was checked, along the branches that were decided.
pub(super) fn run(
    write: &mut Write<'_>,
    txn: &Txn,
    path: &mut impl Iterator<Item = bool>,
) -> Result<TxnAnswer, Error> {
    let succeeded = path.next().unwrap_or(false);
    let ops = branch(txn, succeeded);
    let mut answers = Vec::with_capacity(ops.len());
    for op in ops {
        answers.push(match op {
            Op::Get(get) => OpAnswer::Get(write.get(get)?),
            Op::Put(put) => OpAnswer::Put(run_put(write, put)),
            Op::Delete(delete) => OpAnswer::Delete(run_delete(write, delete)),
            Op::Txn(inner) => OpAnswer::Txn(run(write, inner, path)?),
            Op::Empty => return Err(Error::KeyNotFound),
        });
    }
    Ok(TxnAnswer { succeeded, revision: 0, answers })
}

pub(super) fn run_put(write: &mut Write<'_>, put: &Put) -> PutAnswer {
    let before = if put.keep_value || put.keep_lease || put.previous {
        write.data().live.get(&put.key).cloned()
    } else {
        None
    };
    let value = match &before {
        Some(kv) if put.keep_value => kv.value.clone(),
        _ => put.value.clone(),
    };
    let lease = match &before {
        Some(kv) if put.keep_lease => kv.lease,
        _ => put.lease,
    };
    write.put(&put.key, value, lease);
    PutAnswer { revision: write.revision(), previous: before.filter(|_| put.previous) }
}

pub(super) fn run_delete(write: &mut Write<'_>, delete: &Delete) -> DeleteAnswer {
    let keys: Vec<Key> = write.data().at_present(&delete.keys).map(|kv| kv.key.clone()).collect();
    let mut answer = DeleteAnswer::default();
    for key in &keys {
        if let Some(before) = write.delete(key) {
            answer.deleted += 1;
            if delete.previous {
                answer.previous.push(before);
            }
        }
    }
    answer.revision = write.revision();
    answer
}
