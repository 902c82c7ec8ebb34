//! What etcd must allow its user for a transaction, in words: etcd itself says no more than "permission denied".
//!
//! etcd asks for the right to read what a transaction compares or reads, and to write what it puts or deletes, in
//! either branch, whichever runs.

use std::collections::BTreeSet;

use crate::store::{Failure, Op, Range, Txn};

/// `failure` of `txn`, with what must be allowed for that if it was denied.
pub(super) fn named(failure: &Failure, txn: &Txn) -> Failure {
    match failure {
        Failure::Denied(why) if why.contains("permission denied") => Failure::Denied(format!(
            "{why}; etcd's user needs {}: see `etcdctl role grant-permission`",
            needed(txn)
        )),
        other => other.clone(),
    }
}

fn needed(txn: &Txn) -> String {
    let (mut read, mut written) = (BTreeSet::new(), BTreeSet::new());
    read.extend(txn.when.iter().map(|compare| compare.range.clone()));
    for op in txn.then.iter().chain(&txn.otherwise) {
        match op {
            Op::Get(range) => read.insert(range.clone()),
            Op::Put(key, ..) | Op::Delete(key) => written.insert(Range::Key(key.clone())),
        };
    }
    let list = |right: &str, ranges: &BTreeSet<Range>| {
        let ranges: Vec<String> = ranges.iter().map(Range::to_string).collect();
        (!ranges.is_empty()).then(|| format!("{right} on {}", ranges.join(", ")))
    };
    let rights: Vec<String> = [list("read", &read), list("write", &written)].into_iter().flatten().collect();
    rights.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Compare, Condition, LeaseId};

    #[test]
    fn a_denial_names_what_is_compared_and_read_and_what_is_written() {
        let key = |key: &str| Range::Key(key.into());
        let txn = Txn {
            when: vec![Compare { range: key("election/a"), condition: Condition::Absent }],
            then: vec![Op::Put("a".into(), "x".into(), LeaseId::NONE), Op::Get(key("a"))],
            otherwise: vec![Op::Get(Range::Span { from: "b-".into(), to: "b.".into() }), Op::Get(key("a"))],
        };
        let told = named(&Failure::Denied("etcdserver: permission denied".into()), &txn).to_string();
        assert_eq!(
            told,
            "denied: etcdserver: permission denied; etcd's user needs read on a, election/a, b-..b. and write on a: \
             see `etcdctl role grant-permission`"
        );
        let other = Failure::Denied("authentication failed".into());
        assert_eq!(named(&other, &txn), other);
    }
}
