//! A candidate's record, rewritten by others: by the holder of the lock with an offer in it, and as the record of the lock;
//! by an operator with a request in it.
//!
//! They know of that candidate only what its record says. All of that stays as it was, byte for byte and in its
//! order, also what a newer version may have added.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::encode::{ACCEPTS, ASKED, Fields, OFFER, OURS, Quoted, REFUSED, RESIGN, TAKES, TO};
use super::{Asked, Asks, Reply, Role};
use crate::store::{Revision, Value};

/// A candidate's `record` with an offer of the holder of the lock at revision `lock`, in the place of any that it has
/// got or accepted before. `None`: it has no field of ours.
pub fn with_offer(record: &Value, lock: Revision) -> Option<Value> {
    rewritten(record, &[OFFER, ACCEPTS], |ours| ours.raw(OFFER, lock))
}

/// A primary's `record` with a request in it, in the place of an earlier one and of the answer to that. `None`: it has no
/// field of ours.
pub fn with_request(record: &Value, asked: Asked) -> Option<Value> {
    rewritten(record, &REQUEST, |ours| {
        ours.raw(ASKED, asked.lock);
        match asked.what {
            Asks::Resign => ours.raw(RESIGN, true),
            Asks::Transfer { to: Some(id) } => ours.raw(TO, id),
            Asks::Transfer { to: None } => {}
        }
    })
}

/// A primary's `record` without the request that stands there. `None`: it has no field of ours.
pub fn without_request(record: &Value) -> Option<Value> {
    rewritten(record, &REQUEST, |_| {})
}

/// A primary's own `record` with what it says to what was asked of it. `None`: it has no field of ours.
pub fn with_reply(record: &Value, reply: &Reply) -> Option<Value> {
    rewritten(record, &REQUEST, |ours| match reply {
        Reply::Takes(lock) => ours.raw(TAKES, lock),
        Reply::Refused(why) => ours.raw(REFUSED, Quoted(why)),
    })
}

const REQUEST: [&str; 5] = [ASKED, TO, RESIGN, TAKES, REFUSED];

/// With other facts of ours in the place of those of these names.
fn rewritten(record: &Value, without: &[&str], add: impl Fn(&mut Fields)) -> Option<Value> {
    let mut fields = Fields::new();
    let mut is_ours = false;
    for (name, value) in InOrder::read(record)?.0 {
        if name != OURS {
            fields.raw(&name, value);
            continue;
        }
        let mut ours = Fields::new();
        let facts: InOrder<'_> = serde_json::from_str(value.get()).ok()?;
        let stay = facts.0.iter().filter(|(name, _)| !without.contains(&name.as_str()));
        stay.for_each(|(name, value)| ours.raw(name, value));
        add(&mut ours);
        fields.raw(OURS, ours.end());
        is_ours = true;
    }
    is_ours.then(|| fields.end().into())
}

/// What a candidate's own `record` says, as the record under the lock of `role`: without the field of ours. `None`: it is
/// no record.
pub fn as_lock(record: &Value, role: &Role) -> Option<Value> {
    let mut fields = Fields::new();
    for (name, value) in InOrder::read(record)?.0 {
        match name.as_str() {
            OURS => {}
            "ServerName" => fields.raw(&name, Quoted(role.as_str())),
            _ => fields.raw(&name, value),
        }
    }
    Some(fields.end().into())
}

/// The fields of an object, each as it stands there.
struct InOrder<'a>(Vec<(String, &'a RawValue)>);

impl<'a> InOrder<'a> {
    fn read(value: &'a Value) -> Option<Self> {
        serde_json::from_slice(value.as_bytes()).ok()
    }
}

/// By hand, because a map would lose the order.
impl<'de: 'a, 'a> Deserialize<'de> for InOrder<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = InOrder<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InOrder<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(InOrder(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::milvus::{Candidate, Facts, Record, encode};
    use crate::store::LeaseId;

    fn written(facts: Option<Facts>) -> Value {
        let mut candidate = Candidate::new("h:1", "<&>", semver::Version::new(3, 0, 0)).unwrap();
        candidate.server_labels =
            [("b".to_owned(), "1".to_owned()), ("a".to_owned(), "\u{2028}".to_owned())].into();
        encode(&candidate, &Role::parse("mixcoord").unwrap(), 3, LeaseId(i64::MAX), facts)
    }

    #[test]
    fn an_offer_takes_the_place_of_what_was_offered_or_accepted_before() {
        let facts = Facts { warm: true, priority: 4, ..Facts::default() };
        let expected = written(Some(Facts { offer: Some(Revision(9)), ..facts }));
        for before in [
            facts,
            Facts { offer: Some(Revision(5)), ..facts },
            Facts { offer: Some(Revision(5)), accepts: Some(Revision(5)), ..facts },
        ] {
            assert_eq!(with_offer(&written(Some(before)), Revision(9)), Some(expected.clone()));
        }
        assert_eq!(with_offer(&written(None), Revision(9)), None, "an old coordinator's");
    }

    #[test]
    fn a_request_takes_the_place_of_an_earlier_one_and_of_its_answer() {
        let facts = Facts { warm: true, offer: Some(Revision(5)), ..Facts::default() };
        let (plain, lock) = (written(Some(facts)), Revision(9));
        let mut record = plain.clone();
        for what in [Asks::Transfer { to: Some(4) }, Asks::Resign, Asks::Transfer { to: None }] {
            let asked = Asked { lock, what };
            record = with_request(&record, asked).unwrap();
            let read = Record::parse(&record).unwrap();
            assert_eq!((read.asked, read.reply, read.facts), (Some(asked), None, Some(facts)));
            for reply in [Reply::Takes(lock), Reply::Refused("\"no\"".into())] {
                record = with_reply(&record, &reply).unwrap();
                let read = Record::parse(&record).unwrap();
                assert_eq!((read.asked, read.reply), (None, Some(reply)));
            }
        }
        assert_eq!(without_request(&record), Some(plain));
        assert_eq!(
            with_request(&written(None), Asked { lock, what: Asks::Resign }),
            None,
            "an old coordinator's"
        );
    }

    #[test]
    fn the_locks_record_is_the_one_that_its_holder_would_have_written() {
        let own = written(Some(Facts { warm: true, accepts: Some(Revision(9)), ..Facts::default() }));
        let lock = as_lock(&own, &Role::parse("mixcoord").unwrap()).unwrap();
        assert_eq!(lock, written(None));
        let other = as_lock(&own, &Role::parse("rootcoord").unwrap()).unwrap();
        assert_eq!(Record::parse(&other).unwrap().server_name, "rootcoord");
    }

    #[test]
    fn what_is_not_known_stays_as_it_is() {
        let record =
            r#"{"Zone":{"b" : 1.50,"a":[1e2]},"Primacy":{"Later":[ ],"Protocol":1},"ServerName":"a"}"#;
        assert_eq!(
            with_offer(&record.into(), Revision(7)).unwrap().to_string(),
            r#"{"Zone":{"b" : 1.50,"a":[1e2]},"Primacy":{"Later":[ ],"Protocol":1,"Offer":7},"ServerName":"a"}"#
        );
        assert_eq!(
            as_lock(&record.into(), &Role::parse("b").unwrap()).unwrap().to_string(),
            r#"{"Zone":{"b" : 1.50,"a":[1e2]},"ServerName":"b"}"#
        );
        for bad in ["", "[]", "7", r#"{"a":}"#, r#"{"Primacy":7}"#] {
            assert_eq!(with_offer(&bad.into(), Revision(7)), None, "{bad}");
        }
    }
}
