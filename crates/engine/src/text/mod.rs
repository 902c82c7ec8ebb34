//! Events and actions as text, one line each: what the flight recorder hands out and what transcript tests are
//! written in, so that a recording of a failure becomes a test by copying it.
//!
//! Events are read back; actions are only compared. What a transaction reads is shown as a count (the watch names
//! the keys), a record that it puts by its lease and what it says of itself beyond Milvus's fields.

mod read;
mod show;

/// A line that is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{expected} expected at: {at}")]
pub struct ParseError {
    expected: &'static str,
    at: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::event::{Event, Outcome};
    use crate::ids::{CallId, RequestId, WatchId};
    use crate::store::{Answer, Failure, KeyEvent, KeyValue, LeaseId, Origin, Revision, TxnAnswer};

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_value_and_any_reason_is_one_line_and_read_back(bytes in any::<Vec<u8>>(), why in any::<String>()) {
            let kv = KeyValue {
                key: "r/m/session/rootcoord".into(),
                value: bytes.as_slice().into(),
                create_revision: Revision(1),
                mod_revision: Revision(2),
                version: 3,
                lease: LeaseId(4),
            };
            let watch = WatchId(1);
            let seen = KeyEvent { key: kv.key.clone(), revision: kv.mod_revision, now: Some(kv.clone()) };
            let reads = vec![vec![kv], Vec::new()];
            let origin = Origin { cluster: 6, term: 7 };
            let answer = TxnAnswer { succeeded: false, revision: Revision(5), origin, reads };
            for event in [
                Event::Watched { watch, events: vec![seen.clone(), seen] },
                Event::WatchEnded { watch, why: why.clone() },
                Event::Completed { call: CallId(1), outcome: Outcome::Failed(why.clone()) },
                Event::Answered { request: RequestId(1), result: Ok(Answer::Txn(answer)) },
                Event::Answered { request: RequestId(1), result: Err(Failure::Refused(why)) },
            ] {
                let line = event.to_string();
                prop_assert!(!line.contains(char::is_control), "{}", line);
                prop_assert_eq!(line.parse(), Ok(event));
            }
        }
    }
}
