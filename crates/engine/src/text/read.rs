//! Events, read back from text.

use std::str::{CharIndices, FromStr};
use std::time::Duration;

use super::ParseError;
use crate::event::{Event, Outcome};
use crate::ids::{CallId, ElectionId, RequestId, WatchId};
use crate::milvus::Role;
use crate::store::{Answer, Failure, KeyEvent, KeyValue, LeaseId, Origin, Revision, TxnAnswer};

/// What [`Event::Tick`] is called where it is known which timer is due.
const TIMERS: &[&str] = &[
    "tick",
    "deadline",
    "renewal due",
    "grant due",
    "revoke due",
    "id due",
    "reread due",
    "retry due",
    "watch due",
    "warmup due",
    "activation over",
    "not said to be well",
    "unread too long",
    "drain over",
    "yield over",
    "offer over",
    "line due",
    "turn due",
    "stop due",
    "stop over",
];

impl FromStr for Event {
    type Err = ParseError;

    /// Reads an event back. A timer by any of its names is [`Event::Tick`].
    fn from_str(text: &str) -> Result<Self, ParseError> {
        if TIMERS.contains(&text) {
            return Ok(Event::Tick);
        }
        let mut r = Reader(text.trim());
        let event = match r.rest().chars().next() {
            Some('#') => Event::Answered { request: r.id('#').map(RequestId)?, result: r.result()? },
            Some('w')
                if r.rest().contains(|c: char| c.is_ascii_digit()) && !r.rest().starts_with("withdraw") =>
            {
                r.watch_event()?
            }
            _ => r.host_event()?,
        };
        r.end()?;
        Ok(event)
    }
}

/// What is left of a line.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.0
    }

    fn fail<T>(&self, expected: &'static str) -> Result<T, ParseError> {
        Err(ParseError { expected, at: self.0.to_owned() })
    }

    fn end(&self) -> Result<(), ParseError> {
        if self.0.is_empty() { Ok(()) } else { self.fail("the end of the line") }
    }

    /// Takes `literal` and the space after it, if it comes next.
    fn take(&mut self, literal: &str) -> bool {
        let Some(rest) = self.0.strip_prefix(literal) else { return false };
        self.0 = rest.trim_start();
        true
    }

    fn until(&mut self, stop: impl Fn(char) -> bool) -> &'a str {
        let (word, rest) = self.0.split_at(self.0.find(stop).unwrap_or(self.0.len()));
        self.0 = rest.trim_start();
        word
    }

    fn word(&mut self) -> &'a str {
        self.until(|c| c == ' ' || c == ',' || c == ']')
    }

    fn number<T: FromStr>(&mut self) -> Result<T, ParseError> {
        let before = self.0;
        self.word().parse().or(Err(ParseError { expected: "a number", at: before.to_owned() }))
    }

    fn id<T: FromStr>(&mut self, prefix: char) -> Result<T, ParseError> {
        match self.0.strip_prefix(prefix) {
            Some(rest) => {
                self.0 = rest;
                self.number()
            }
            None => self.fail("a name such as e1, c1, #1 or w1"),
        }
    }

    fn field<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, ParseError> {
        if self.take(name) { self.number().map(Some) } else { Ok(None) }
    }

    fn whole<T: FromStr>(&mut self, name: &str) -> Result<T, ParseError> {
        self.field(name)?.map_or_else(|| self.fail("a number with its name"), Ok)
    }

    fn seconds(&mut self, name: &str) -> Result<Duration, ParseError> {
        match self.field::<f64>(name)? {
            Some(s) if (0.0..1e9).contains(&s) => Ok(Duration::from_nanos((s * 1e9).round() as u64)),
            _ => self.fail("a number of seconds"),
        }
    }

    fn quoted(&mut self) -> Result<String, ParseError> {
        let before = self.0;
        let bytes = self.quoted_bytes()?;
        String::from_utf8(bytes).map_err(|_| ParseError { expected: "UTF-8", at: before.to_owned() })
    }

    fn quoted_bytes(&mut self) -> Result<Vec<u8>, ParseError> {
        let mut text = Vec::new();
        let mut chars = self.0.char_indices();
        if chars.next().is_none_or(|(_, c)| c != '\'') {
            return Ok(text);
        }
        let mut utf8 = [0; 4];
        let hex = |chars: &mut CharIndices<'_>| chars.next()?.1.to_digit(16);
        while let Some((at, c)) = chars.next() {
            match c {
                '\'' => {
                    self.0 = self.0.get(at + 1..).unwrap_or_default().trim_start();
                    return Ok(text);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push(b'\n'),
                    Some((_, 'x')) => match (hex(&mut chars), hex(&mut chars)) {
                        (Some(high), Some(low)) => text.extend(u8::try_from(high * 16 + low)),
                        _ => return self.fail("two hexadecimal digits"),
                    },
                    Some((_, c)) => text.extend(c.encode_utf8(&mut utf8).as_bytes()),
                    None => break,
                },
                c => text.extend(c.encode_utf8(&mut utf8).as_bytes()),
            }
        }
        self.fail("a closing quote")
    }

    fn call_in(&mut self) -> Result<Option<CallId>, ParseError> {
        if self.take("within=") { self.id('c').map(|id| Some(CallId(id))) } else { Ok(None) }
    }

    fn election(&mut self) -> Result<ElectionId, ParseError> {
        self.id('e').map(ElectionId)
    }

    fn host_event(&mut self) -> Result<Event, ParseError> {
        let before = self.0;
        Ok(match self.word() {
            "open" => Event::Open,
            "register" => {
                let election = self.election()?;
                let name = self.word();
                let Ok(role) = Role::parse(name) else { return self.fail("a role") };
                Event::Register { election, role }
            }
            "campaign" => Event::Campaign { election: self.election()? },
            "resign" => Event::Resign { election: self.election()?, within: self.call_in()? },
            "transfer" => {
                let election = self.election()?;
                Event::Transfer { election, to: self.field("to=")?, within: self.call_in()? }
            }
            "mark" if self.take("stopping") => Event::MarkStopping,
            "withdraw" => Event::Withdraw {
                election: self.election()?,
                timeout: self.seconds("timeout=")?,
                within: self.call_in()?,
            },
            "stop" => Event::Stop { timeout: self.seconds("timeout=")?, within: self.call_in()? },
            "taken" => Event::Taken { call: self.id('c').map(CallId)? },
            "healthy" => Event::Healthy { election: self.election()? },
            "examined" => Event::Examined {
                election: self.election()?,
                pid: self.whole("pid=")?,
                start: self.whole("start=")?,
                gone: match self.word() {
                    "gone" => true,
                    "there" => false,
                    _ => return self.fail("gone or there"),
                },
            },
            "unread" => Event::Unread { election: self.election()?, waits: true },
            "all" if self.take("read") => Event::Unread { election: self.election()?, waits: false },
            "completed" => {
                let call = self.id('c').map(CallId)?;
                let outcome = match self.word() {
                    "done" => Outcome::Done,
                    "warm" => Outcome::Warm,
                    "failed" => Outcome::Failed(self.quoted()?),
                    _ => return self.fail("done, warm or failed"),
                };
                Event::Completed { call, outcome }
            }
            _ => return Err(ParseError { expected: "an event", at: before.to_owned() }),
        })
    }

    fn result(&mut self) -> Result<Result<Answer, Failure>, ParseError> {
        for (name, failure) in [
            ("no answer", Failure::Indefinite as fn(String) -> Failure),
            ("unreachable", Failure::Unreachable),
            ("denied", Failure::Denied),
            ("no space", Failure::NoSpace),
            ("rejected", Failure::Refused),
        ] {
            if self.take(name) {
                return Ok(Err(failure(self.quoted()?)));
            }
        }
        if self.take("lease not found") {
            return Ok(Err(Failure::LeaseNotFound));
        }
        if self.take("lease exists") {
            return Ok(Err(Failure::LeaseExists));
        }
        Ok(Ok(match self.word() {
            "granted" => Answer::Granted { ttl: self.seconds("ttl=")? },
            "renewed" => Answer::Renewed { ttl: self.seconds("ttl=")?, origin: self.origin()? },
            "revoked" => Answer::Revoked,
            "done" => self.txn(true)?,
            "refused" => self.txn(false)?,
            _ => return self.fail("an answer"),
        }))
    }

    fn txn(&mut self, succeeded: bool) -> Result<Answer, ParseError> {
        let Some(revision) = self.field("rev=")? else { return self.fail("rev=") };
        let origin = self.origin()?;
        let mut reads = Vec::new();
        while self.take("[") {
            let mut found = Vec::new();
            while !self.take("]") {
                found.push(self.key_value()?);
                self.take(",");
            }
            reads.push(found);
        }
        Ok(Answer::Txn(TxnAnswer { succeeded, revision: Revision(revision), origin, reads }))
    }

    fn origin(&mut self) -> Result<Origin, ParseError> {
        let cluster = self.field("cluster=")?.unwrap_or(0);
        Ok(Origin { cluster, term: self.field("term=")?.unwrap_or(0) })
    }

    fn at_revision(&mut self) -> Result<(&'a str, i64), ParseError> {
        let key = self.until(|c| c == '@');
        let Some(rest) = self.0.strip_prefix('@') else { return self.fail("KEY@REVISION") };
        self.0 = rest;
        Ok((key, self.number()?))
    }

    fn key_value(&mut self) -> Result<KeyValue, ParseError> {
        let (key, revision) = self.at_revision()?;
        let created = self.field("created=")?.unwrap_or(revision);
        let version = self.field("version=")?.unwrap_or(1);
        let lease = LeaseId(self.field("lease=")?.unwrap_or(0));
        let value = self.quoted_bytes()?.as_slice().into();
        Ok(KeyValue {
            key: key.into(),
            value,
            create_revision: Revision(created),
            mod_revision: Revision(revision),
            version,
            lease,
        })
    }

    fn watch_event(&mut self) -> Result<Event, ParseError> {
        let watch = self.id('w').map(WatchId)?;
        Ok(match self.word() {
            "watching" => Event::Watching { watch },
            "ended" => Event::WatchEnded { watch, why: self.quoted()? },
            "saw" => {
                let mut events = Vec::new();
                while !self.0.is_empty() {
                    events.push(self.key_event()?);
                    self.take(",");
                }
                Event::Watched { watch, events }
            }
            _ => return self.fail("watching, ended or saw"),
        })
    }

    fn key_event(&mut self) -> Result<KeyEvent, ParseError> {
        if self.take("delete") {
            let (key, revision) = self.at_revision()?;
            return Ok(KeyEvent { key: key.into(), revision: Revision(revision), now: None });
        }
        if !self.take("put") {
            return self.fail("put or delete");
        }
        let kv = self.key_value()?;
        Ok(KeyEvent { key: kv.key.clone(), revision: kv.mod_revision, now: Some(kv) })
    }
}
