//! Where a real etcd may answer otherwise than the embedded one, and why that is accepted.
//!
//! The embedded one follows 3.7. What no script does is not here: a delete that is open to the right
//! (`range_end` zero) beside a put, in one transaction. etcd compares that end as if it were a key, and
//! finds no overlap where there is one; the embedded server refuses it.

struct Difference {
    /// The versions that begin so.
    versions: &'static [&'static str],
    reason: &'static str,
    /// Whether this is it: the operation (`heard` for what a watch heard), the embedded answer, the real one.
    is_it: fn(&str, &str, &str) -> bool,
}

const ACCEPTED: [Difference; 4] = [
    Difference {
        versions: &["3.4.", "3.5.", "3.6."],
        reason: "of two reasons in the store to refuse a transaction, another one was told",
        is_it: |operation, embedded, real| {
            let reasons = [
                "requested lease not found",
                "key not found",
                "required revision has been compacted",
                "required revision is a future revision",
            ];
            let is_reason = |answer: &str| reasons.iter().any(|reason| answer.ends_with(reason));
            operation.starts_with("Txn(") && is_reason(embedded) && is_reason(real)
        },
    },
    Difference {
        versions: &["3.4.", "3.5.", "3.6."],
        reason: "a read of keys only told their leases as well; 3.7 reads its index, which has none",
        is_it: |operation, embedded, real| {
            operation.contains("keys_only: true") && without_leases(embedded) == without_leases(real)
        },
    },
    Difference {
        versions: &["3.4.", "3.5.1"], // not 3.5.35
        reason: "before 3.4.36, a compaction took the deletes of the compacted revision itself",
        is_it: |operation, embedded, real| {
            let fewer = real.matches("DELETE ").count() < embedded.matches("DELETE ").count();
            operation == "heard" && fewer && without_deletes(embedded) == without_deletes(real)
        },
    },
    Difference {
        versions: &["3.4.", "3.5.1"], // not 3.5.35
        reason: "a watch from a negative revision was created first, and then found to be compacted",
        is_it: |operation, embedded, real| {
            let refused = embedded
                .ends_with("id=-1 canceled=true etcdserver: mvcc: required revision has been compacted");
            operation.contains("start_revision: -") && refused && real.ends_with("canceled=false ")
                || operation == "heard"
                    && embedded.ends_with("{}")
                    && real.contains("[\"at 0 canceled +0 \"]")
        },
    },
];

/// The reason why this difference is accepted, if it is.
pub fn accepted(version: &str, operation: &str, embedded: &str, real: &str) -> Option<&'static str> {
    ACCEPTED
        .iter()
        .filter(|difference| difference.versions.iter().any(|start| version.starts_with(start)))
        .find(|difference| (difference.is_it)(operation, embedded, real))
        .map(|difference| difference.reason)
}

fn without_leases(line: &str) -> String {
    let mut parts = line.split("lease=");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |line, part| line + part.trim_start_matches(char::is_alphanumeric))
}

fn without_deletes(line: &str) -> Vec<&str> {
    line.split(['"', ',', '[', ']'])
        .filter(|part| !part.trim().is_empty() && !part.starts_with("DELETE "))
        .collect()
}
