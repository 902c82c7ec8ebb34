//! The store's vocabulary in etcd's words, and back.
//!
//! Answers are read through their public fields: the crate's own accessors panic on what they do not know.

use crate::store::{
    Answer, Compare, Condition, Failure, Key, KeyEvent, KeyValue, LeaseId, Op, Origin, Range, Revision, Txn,
    TxnAnswer, Value,
};
use etcd_client::proto::{PbEvent, PbKeyValue, PbResponseHeader, PbTxnOpResponse};
use etcd_client::{CompareOp, GetOptions, PutOptions, TxnOp};
use std::time::Duration;

/// A range as etcd wants it: a first key, and the first one after the span if it is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) from: Vec<u8>,
    pub(super) to: Option<Vec<u8>>,
}

impl Bounds {
    pub(super) fn of(range: &Range) -> Result<Bounds, Failure> {
        range.check()?;
        let (from, to) = match range {
            Range::Key(key) => (key, None),
            Range::Span { from, to } => (from, Some(to)),
        };
        Ok(Bounds { from: from.as_bytes().to_vec(), to: to.map(|k| k.as_bytes().to_vec()) })
    }

    /// Whether `key` lies within.
    pub(super) fn contain(&self, key: &Key) -> bool {
        let key = key.as_bytes();
        match &self.to {
            None => key == self.from,
            Some(to) => *self.from <= *key && *key < **to,
        }
    }
}

/// Seconds, as etcd counts a time to live; never less than asked.
pub(super) fn seconds(ttl: Duration) -> i64 {
    let whole = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
    i64::try_from(whole).unwrap_or(i64::MAX)
}

/// The answer's time to live; nothing negative.
pub(super) fn ttl(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// The transaction for etcd.
pub(super) fn txn(txn: &Txn) -> Result<etcd_client::Txn, Failure> {
    let compares = txn.when.iter().map(compare).collect::<Result<Vec<_>, _>>()?;
    let then = txn.then.iter().map(op).collect::<Result<Vec<_>, _>>()?;
    let otherwise = txn.otherwise.iter().map(op).collect::<Result<Vec<_>, _>>()?;
    // The builder asserts this order, each once.
    Ok(etcd_client::Txn::new().when(compares).and_then(then).or_else(otherwise))
}

fn compare(compare: &Compare) -> Result<etcd_client::Compare, Failure> {
    let Bounds { from, to } = Bounds::of(&compare.range)?;
    let equal = CompareOp::Equal;
    let one = match &compare.condition {
        Condition::Absent => etcd_client::Compare::version(from, equal, 0),
        Condition::Version(n) => etcd_client::Compare::version(from, equal, *n),
        Condition::ModRevision(revision) => etcd_client::Compare::mod_revision(from, equal, revision.0),
        Condition::Lease(lease) => etcd_client::Compare::lease(from, equal, lease.0),
        Condition::Value(value) => etcd_client::Compare::value(from, equal, value.as_bytes()),
    };
    Ok(match to {
        Some(to) => one.with_range(to),
        None => one,
    })
}

fn op(op: &Op) -> Result<TxnOp, Failure> {
    Ok(match op {
        Op::Get(range) => {
            let Bounds { from, to } = Bounds::of(range)?;
            TxnOp::get(from, to.map(|to| GetOptions::new().with_range(to)))
        }
        Op::Put(key, value, lease) => {
            TxnOp::put(key.as_bytes(), value.as_bytes(), Some(PutOptions::new().with_lease(lease.0)))
        }
        Op::Delete(key) => TxnOp::delete(key.as_bytes(), None),
    })
}

/// The answer to `asked`. The error is a text: the transaction ran, but what it answered cannot be read.
pub(super) fn txn_answer(asked: &Txn, answer: etcd_client::TxnResponse) -> Result<Answer, String> {
    let answer = answer.0;
    let header = answer.header.ok_or("an answer without a header")?;
    let branch = if answer.succeeded { &asked.then } else { &asked.otherwise };
    if branch.len() != answer.responses.len() {
        return Err(format!("{} answers to {} operations", answer.responses.len(), branch.len()));
    }
    let mut reads = Vec::new();
    for (op, response) in branch.iter().zip(answer.responses) {
        match (op, response.response) {
            (Op::Get(range), Some(PbTxnOpResponse::ResponseRange(answer))) => {
                let found: Vec<KeyValue> = answer.kvs.into_iter().map(key_value).collect();
                if let Some(other) = found.iter().find(|kv| !range.contains(&kv.key)) {
                    return Err(format!("a read found {}, which was not asked for", other.key));
                }
                reads.push(found);
            }
            (Op::Get(_), _) => return Err("a read was not answered with what it found".to_owned()),
            (Op::Put(..) | Op::Delete(_), _) => {}
        }
    }
    Ok(Answer::Txn(TxnAnswer {
        succeeded: answer.succeeded,
        revision: Revision(header.revision),
        origin: origin(&header),
        reads,
    }))
}

/// Whose word it is.
pub(super) fn origin(header: &PbResponseHeader) -> Origin {
    Origin { cluster: header.cluster_id, term: header.raft_term }
}

pub(super) fn key_value(kv: PbKeyValue) -> KeyValue {
    KeyValue {
        key: Key::from(kv.key.as_slice()),
        value: Value::from(kv.value.as_slice()),
        create_revision: Revision(kv.create_revision),
        mod_revision: Revision(kv.mod_revision),
        version: kv.version,
        lease: LeaseId(kv.lease),
    }
}

/// What a watch saw. The error is a text.
pub(super) fn event(event: PbEvent) -> Result<KeyEvent, String> {
    let kv = event.kv.ok_or("an event without a key")?;
    let (key, revision) = (Key::from(kv.key.as_slice()), Revision(kv.mod_revision));
    match event.r#type {
        0 => Ok(KeyEvent { key, revision, now: Some(key_value(kv)) }),
        1 => Ok(KeyEvent { key, revision, now: None }),
        other => Err(format!("an event of unknown kind {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcd_client::proto::{PbPutResponse, PbRangeResponse, PbResponseOp, PbTxnResponse};

    fn span(from: &str, to: &str) -> Range {
        Range::Span { from: from.into(), to: to.into() }
    }

    fn key(key: &str) -> Range {
        Range::Key(key.into())
    }

    // The request can be looked into only with the messages of the embedded server.
    #[cfg(feature = "embedded")]
    #[test]
    fn a_transaction_keeps_its_comparisons_and_the_order_of_its_operations() {
        let asked = Txn {
            when: vec![
                Compare { range: span("r-", "r."), condition: Condition::Absent },
                Compare { range: key("a"), condition: Condition::ModRevision(Revision(7)) },
                Compare { range: key("a"), condition: Condition::Lease(LeaseId(9)) },
                Compare { range: key("a"), condition: Condition::Value("x".into()) },
                Compare { range: key("a"), condition: Condition::Version(3) },
            ],
            then: vec![Op::Put("a".into(), "x".into(), LeaseId(9)), Op::Get(span("b", "c"))],
            otherwise: vec![Op::Get(key("a")), Op::Delete("d".into())],
        };
        use etcd_client::proto::{PbTargetUnion, PbTxnRequest};
        let sent = PbTxnRequest::from(txn(&asked).unwrap());
        assert_eq!(sent.compare[0].range_end, b"r.");
        assert_eq!(sent.compare[0].target_union, Some(PbTargetUnion::Version(0)));
        assert_eq!(sent.compare[1].range_end, b"");
        assert_eq!(sent.compare[1].target_union, Some(PbTargetUnion::ModRevision(7)));
        assert_eq!(sent.compare[2].target_union, Some(PbTargetUnion::Lease(9)));
        assert_eq!(sent.compare[3].target_union, Some(PbTargetUnion::Value(b"x".to_vec())));
        assert_eq!(sent.compare[4].target_union, Some(PbTargetUnion::Version(3)));
        assert!(sent.compare.iter().all(|c| c.result == CompareOp::Equal as i32));
        assert_eq!((sent.success.len(), sent.failure.len()), (2, 2));
        assert!(!asked.only_reads());
        assert!(Txn { then: vec![Op::Get(key("a"))], ..Txn::default() }.only_reads());
    }

    #[test]
    fn ranges_that_etcd_reads_as_something_else_are_refused() {
        for range in [key(""), span("", "b"), span("a", ""), span("a", "\0"), span("b", "a"), span("a", "a")]
        {
            assert!(matches!(Bounds::of(&range), Err(Failure::Refused(_))), "{range:?}");
        }
        assert_eq!(Bounds::of(&span("a", "b")).unwrap().to, Some(b"b".to_vec()));
    }

    fn response(succeeded: bool, responses: Vec<Option<PbTxnOpResponse>>) -> etcd_client::TxnResponse {
        etcd_client::TxnResponse(PbTxnResponse {
            header: Some(PbResponseHeader {
                cluster_id: 5,
                raft_term: 3,
                revision: 42,
                ..Default::default()
            }),
            succeeded,
            responses: responses.into_iter().map(|response| PbResponseOp { response }).collect(),
        })
    }

    fn found(keys: &[&str]) -> Option<PbTxnOpResponse> {
        let kvs = keys
            .iter()
            .map(|k| PbKeyValue { key: k.as_bytes().to_vec(), mod_revision: 3, ..Default::default() })
            .collect();
        Some(PbTxnOpResponse::ResponseRange(PbRangeResponse { kvs, ..Default::default() }))
    }

    #[test]
    fn reads_come_back_one_per_get_of_the_branch_that_ran() {
        let asked = Txn {
            when: vec![],
            then: vec![
                Op::Get(key("a")),
                Op::Put("b".into(), "".into(), LeaseId::NONE),
                Op::Get(span("c", "d")),
            ],
            otherwise: vec![Op::Get(key("e"))],
        };
        let put = Some(PbTxnOpResponse::ResponsePut(PbPutResponse::default()));
        let Ok(Answer::Txn(answer)) =
            txn_answer(&asked, response(true, vec![found(&["a"]), put, found(&["c1", "c2"])]))
        else {
            panic!()
        };
        assert_eq!((answer.succeeded, answer.revision), (true, Revision(42)));
        assert_eq!(answer.origin, Origin { cluster: 5, term: 3 });
        let keys: Vec<Vec<String>> =
            answer.reads.iter().map(|r| r.iter().map(|kv| kv.key.to_string()).collect()).collect();
        assert_eq!(keys, [vec!["a"], vec!["c1", "c2"]]);

        let Ok(Answer::Txn(answer)) = txn_answer(&asked, response(false, vec![found(&[])])) else { panic!() };
        assert_eq!((answer.succeeded, answer.reads), (false, vec![vec![]]));
    }

    #[test]
    fn an_answer_that_does_not_fit_the_question_is_an_error_not_a_panic() {
        let asked = Txn { then: vec![Op::Get(key("a"))], ..Txn::default() };
        for responses in [vec![], vec![None], vec![found(&[]), found(&[])], vec![found(&["b"])]] {
            assert!(txn_answer(&asked, response(true, responses)).is_err());
        }
        let headless = etcd_client::TxnResponse(PbTxnResponse::default());
        assert!(txn_answer(&asked, headless).is_err());
    }

    #[test]
    fn an_event_of_unknown_kind_is_an_error_not_a_panic() {
        let kv = || Some(PbKeyValue { key: b"a".to_vec(), mod_revision: 8, ..Default::default() });
        let deleted = event(PbEvent { r#type: 1, kv: kv(), prev_kv: None }).unwrap();
        assert_eq!((deleted.revision, deleted.now), (Revision(8), None));
        assert!(event(PbEvent { r#type: 0, kv: kv(), prev_kv: None }).unwrap().now.is_some());
        assert!(event(PbEvent { r#type: 2, kv: kv(), prev_kv: None }).is_err());
        assert!(event(PbEvent { r#type: 0, kv: None, prev_kv: None }).is_err());
    }

    #[test]
    fn a_time_to_live_is_never_cut_short() {
        assert_eq!(seconds(Duration::from_millis(4001)), 5);
        assert_eq!(seconds(Duration::from_secs(5)), 5);
        assert_eq!(ttl(-1), Duration::ZERO);
    }
}
