//! Whether etcd's user may do what a candidate does: the smallest role of `docs/etcd.md`, right by right.
//!
//! Each is tried by a transaction that can not write: etcd asks for the rights of both branches, whichever runs, and
//! the comparison of this one never holds.

use primacy::config::Settings;
use primacy::etcd::Etcd;
use primacy::milvus::{Keys, Role};
use primacy::store::{Compare, Condition, Failure, Key, LeaseId, Op, Range, Revision, Txn};

use crate::finding::Finding;
use crate::reach::{ANSWERED_WITHIN, transact};

/// What a candidate must be allowed.
struct Right {
    /// As etcdctl grants it.
    granted: String,
    tried: Txn,
}

/// What is missing.
pub async fn look(etcd: &Etcd, settings: &Settings, role: &Role) -> Result<Vec<Finding>, Failure> {
    let mut found = Vec::new();
    for Right { granted, tried } in rights(settings, role) {
        match transact(etcd, tried, ANSWERED_WITHIN).await {
            Ok(_) => {}
            Err(Failure::Denied(why)) if why.contains("permission denied") => found.push(Finding::wrong(
                "rights",
                format!("of etcd's user are too few for a candidate of {role}"),
                format!("`etcdctl role grant-permission NAME {granted}`"),
            )),
            Err(failure) => return Err(failure),
        }
    }
    Ok(found)
}

fn rights(settings: &Settings, role: &Role) -> Vec<Right> {
    let root = &settings.root;
    // No id is ever zero: it stands for all of them.
    let keys = Keys::new(root, role, settings.layout, 0);
    let written = keys.locks.iter().chain(&keys.services).map(|claimed| claimed.key.clone());
    let written = [root.id_key()].into_iter().chain(keys.version.clone()).chain(written);
    let mut rights: Vec<Right> =
        written.map(|key| Right { granted: format!("readwrite {key}"), tried: write(&key) }).collect();
    let mut candidates = write(&keys.record);
    candidates.otherwise = vec![Op::Get(keys.candidates.clone())];
    let granted = format!("--prefix=true readwrite {}", prefix(&keys.candidates));
    rights.push(Right { granted, tried: candidates });
    // Where they are written as well, that right was tried.
    let is_read =
        |range: &&Range| !matches!(range, Range::Key(key) if keys.services.iter().any(|c| c.key == *key));
    rights.extend(keys.rivals.iter().filter(is_read).map(|range| {
        let granted = match range {
            Range::Key(key) => format!("read {key}"),
            Range::Span { .. } => format!("--prefix=true read {}", prefix(range)),
        };
        Right { granted, tried: Txn { then: vec![Op::Get(range.clone())], ..Txn::default() } }
    }));
    rights
}

fn write(key: &Key) -> Txn {
    let never =
        Compare { range: Range::Key(key.clone()), condition: Condition::ModRevision(Revision(i64::MAX)) };
    Txn {
        when: vec![never],
        then: vec![Op::Put(key.clone(), "".into(), LeaseId::NONE)],
        otherwise: Vec::new(),
    }
}

fn prefix(range: &Range) -> &Key {
    match range {
        Range::Key(key) | Range::Span { from: key, .. } => key,
    }
}
