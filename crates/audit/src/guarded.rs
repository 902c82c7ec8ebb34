//! Data that only a primary may write: each write tells its token, which must be that of the lock.

use std::collections::BTreeMap;

use primacy_engine::plain::{BRIEF, plain};
use primacy_engine::store::Value;

use crate::finding::Kind;
use crate::history::Moment;
use crate::judge;
use crate::report::Report;

/// Data that only the primary of a role may write, under its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarded {
    /// The role, by its name.
    pub role: String,
    /// All keys that begin so. Each value begins with the token in decimal, or is a JSON object with the field `token`.
    pub prefix: String,
}

/// See the module.
pub struct Judge<'a> {
    guarded: &'a [Guarded],
    /// The highest token of each role that was written under.
    highest: BTreeMap<&'a str, i64>,
}

impl<'a> Judge<'a> {
    pub fn new(guarded: &'a [Guarded]) -> Judge<'a> {
        Judge { guarded, highest: BTreeMap::new() }
    }
}

impl judge::Judge for Judge<'_> {
    fn look(&mut self, moment: &Moment<'_>, report: &mut Report) {
        for kv in moment.events.iter().filter_map(|event| event.now.as_ref()).filter(|_| !moment.is_first) {
            let of = |guarded: &&Guarded| kv.key.as_bytes().starts_with(guarded.prefix.as_bytes());
            let Some(Guarded { role, .. }) = self.guarded.iter().find(of) else { continue };
            let mut found = |kind, what: String| report.found(kind, role, &kv.key, moment.when, what);
            let Some(token) = token(&kv.value) else {
                let value = kv.value.to_string();
                found(Kind::Unreadable, format!("tells no token: `{}`", plain(&value, BRIEF)));
                continue;
            };
            let highest = self.highest.entry(role).or_insert(token);
            if token < *highest {
                found(Kind::TokenWentBack, format!("was written under {token}, after one under {highest}"));
            }
            *highest = token.max(*highest);
            match report.present(role).map(|term| term.token) {
                Some(lock) if lock == token => {}
                Some(lock) => {
                    let what = format!("was written under {token}, while the lock's token was {lock}");
                    report.found(Kind::WrongToken, role, &kv.key, moment.when, what);
                }
                None => {
                    let what = format!("was written under {token}, while nobody held the lock");
                    report.found(Kind::Unguarded, role, &kv.key, moment.when, what);
                }
            }
        }
    }
}

/// What a value begins with, or its field `token`.
fn token(value: &Value) -> Option<i64> {
    let text = std::str::from_utf8(value.as_bytes()).ok()?;
    if let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(text) {
        let token = fields.get("token")?;
        return token.as_i64().or_else(|| token.as_str()?.parse().ok());
    }
    text.split_whitespace().next()?.parse().ok()
}
