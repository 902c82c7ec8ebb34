//! Another candidate's record, rewritten by the holder of the lock: with an offer in it, and as the record of the lock.
//!
//! The holder knows of that candidate only what its record says. All of that stays as it was, byte for byte and in its
//! order, also what a newer version may have added.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Role;
use super::encode::{ACCEPTS, Fields, OFFER, OURS, Quoted};
use crate::store::{Revision, Value};

/// A candidate's `record` with an offer of the holder of the lock at revision `lock`, in the place of any that it has
/// got or accepted before. `None`: it has no field of ours.
pub fn with_offer(record: &Value, lock: Revision) -> Option<Value> {
    let mut fields = Fields::new();
    let mut offered = false;
    for (name, value) in InOrder::read(record)?.0 {
        if name != OURS {
            fields.raw(&name, value);
            continue;
        }
        let mut ours = Fields::new();
        let facts: InOrder<'_> = serde_json::from_str(value.get()).ok()?;
        facts.0.iter().filter(|(name, _)| name != OFFER && name != ACCEPTS).for_each(|(n, v)| ours.raw(n, v));
        ours.raw(OFFER, lock);
        fields.raw(OURS, ours.end());
        offered = true;
    }
    offered.then(|| fields.end().into())
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
