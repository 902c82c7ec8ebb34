//! Events and actions as text, one line each: what the flight recorder hands out and what transcript tests are
//! written in, so that a recording of a failure becomes a test by copying it.
//!
//! Events are read back; actions are only compared. What a transaction reads is shown as a count (the watch names
//! the keys), a record that it puts by its lease and what it says of itself beyond Milvus's fields.

use std::fmt::{self, Display, Formatter};
use std::str::{CharIndices, FromStr};
use std::time::Duration;

use super::Setup;
use super::action::{Action, Call, Holder, Notice};
use super::event::{Event, Outcome};
use super::ids::{CallId, ElectionId, RequestId, WatchId};
use crate::milvus::{Record, Role};
use crate::store::{
    Answer, Compare, Condition, Escaped, Failure, KeyEvent, KeyValue, LeaseId, Op, Origin, Range, Request,
    Revision, Txn, TxnAnswer,
};
use crate::time::Time;

/// A line that is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{expected} expected at: {at}")]
pub struct ParseError {
    expected: &'static str,
    at: String,
}

/// What [`Event::Tick`] is called where it is known which timer is due.
const TIMERS: [&str; 16] = [
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
    "unread too long",
    "drain over",
    "yield over",
    "stop due",
    "stop over",
];

/// A duration, in seconds.
struct Seconds(Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        (Time::ZERO + self.0).fmt(f)
    }
}

/// Text in single quotes, on one line.
struct Quoted<'a>(&'a [u8]);

impl<'a> Quoted<'a> {
    fn text(text: &'a str) -> Quoted<'a> {
        Quoted(text.as_bytes())
    }
}

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("'")?;
        for part in self.0.split_inclusive(|byte| matches!(byte, b'\'' | b'\\' | b'\n')) {
            match part.split_last() {
                Some((b'\n', before)) => write!(f, "{}\\n", Escaped(before))?,
                Some((last @ (b'\'' | b'\\'), before)) => {
                    write!(f, "{}\\{}", Escaped(before), char::from(*last))?;
                }
                _ => Escaped(part).fmt(f)?,
            }
        }
        f.write_str("'")
    }
}

/// Items with something between them.
struct List<'a, T>(&'a [T], &'static str);

impl<T: Display> Display for List<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, item) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(self.1)?;
            }
            item.fmt(f)?;
        }
        Ok(())
    }
}

fn within(f: &mut Formatter<'_>, call: Option<CallId>) -> fmt::Result {
    call.map_or(Ok(()), |call| write!(f, " within={call}"))
}

/// What a transcript begins with, so that the engine takes the same steps again. Of the candidate it has what the
/// engine decides by.
impl Display for Setup {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Setup { root, layout, candidate, ttl, margin, warmup_interval, .. } = self;
        write!(f, "setup root={root} layout={layout} address={} ", candidate.address())?;
        write!(f, "version={} ttl={}", candidate.version(), Seconds(*ttl))?;
        if let Some(margin) = margin {
            write!(f, " margin={}", Seconds(*margin))?;
        }
        let Setup { activation_timeout, drain_timeout, request_timeout, first_lease, seed, .. } = self;
        write!(f, " warmup={} activation={}", Seconds(*warmup_interval), Seconds(*activation_timeout))?;
        write!(f, " drain={} request={}", Seconds(*drain_timeout), Seconds(*request_timeout))?;
        write!(f, " lease={first_lease} seed={seed}")
    }
}

impl Display for Event {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Event::Tick => f.write_str("tick"),
            Event::Open => f.write_str("open"),
            Event::Register { election, role } => write!(f, "register {election} {role}"),
            Event::Campaign { election } => write!(f, "campaign {election}"),
            Event::Resign { election, within: call } => {
                write!(f, "resign {election}")?;
                within(f, *call)
            }
            Event::MarkStopping => f.write_str("mark stopping"),
            Event::Withdraw { election, timeout, within: call } => {
                write!(f, "withdraw {election} timeout={}", Seconds(*timeout))?;
                within(f, *call)
            }
            Event::Stop { timeout, within: call } => {
                write!(f, "stop timeout={}", Seconds(*timeout))?;
                within(f, *call)
            }
            Event::Taken { call } => write!(f, "taken {call}"),
            Event::Unread { election, waits: true } => write!(f, "unread {election}"),
            Event::Unread { election, waits: false } => write!(f, "all read {election}"),
            Event::Completed { call, outcome } => match outcome {
                Outcome::Done => write!(f, "completed {call} done"),
                Outcome::Warm => write!(f, "completed {call} warm"),
                Outcome::Failed(why) => write!(f, "completed {call} failed {}", Quoted::text(why)),
            },
            Event::Answered { request, result: Ok(answer) } => write!(f, "{request} {answer}"),
            Event::Answered { request, result: Err(failure) } => match failure {
                Failure::Indefinite(why) => write!(f, "{request} no answer {}", Quoted::text(why)),
                Failure::Unreachable(why) => write!(f, "{request} unreachable {}", Quoted::text(why)),
                Failure::LeaseNotFound => write!(f, "{request} lease not found"),
                Failure::LeaseExists => write!(f, "{request} lease exists"),
                Failure::Denied(why) => write!(f, "{request} denied {}", Quoted::text(why)),
                Failure::NoSpace(why) => write!(f, "{request} no space {}", Quoted::text(why)),
                Failure::Refused(why) => write!(f, "{request} rejected {}", Quoted::text(why)),
            },
            Event::Watching { watch } => write!(f, "{watch} watching"),
            Event::Watched { watch, events } => write!(f, "{watch} saw {}", List(events, ", ")),
            Event::WatchEnded { watch, why } => write!(f, "{watch} ended {}", Quoted::text(why)),
        }
    }
}

impl Display for Answer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Granted { ttl } => write!(f, "granted ttl={}", Seconds(*ttl)),
            Answer::Renewed { ttl, origin } => write!(f, "renewed ttl={}{origin}", Seconds(*ttl)),
            Answer::Revoked => f.write_str("revoked"),
            Answer::Txn(TxnAnswer { succeeded, revision, origin, reads }) => {
                write!(f, "{} rev={revision}{origin}", if *succeeded { "done" } else { "refused" })?;
                reads.iter().try_for_each(|found| write!(f, " [{}]", List(found, ", ")))
            }
        }
    }
}

impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Origin { cluster, term } = self;
        for (name, number) in [("cluster", cluster), ("term", term)] {
            if *number != 0 {
                write!(f, " {name}={number}")?;
            }
        }
        Ok(())
    }
}

impl Display for KeyValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.key, self.mod_revision)?;
        if self.create_revision != self.mod_revision || self.version != 1 {
            write!(f, " created={} version={}", self.create_revision, self.version)?;
        }
        if self.lease != LeaseId::NONE {
            write!(f, " lease={}", self.lease)?;
        }
        if self.value.as_bytes().is_empty() {
            Ok(())
        } else {
            write!(f, " {}", Quoted(self.value.as_bytes()))
        }
    }
}

impl Display for KeyEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.now {
            Some(kv) => write!(f, "put {kv}"),
            None => write!(f, "delete {}@{}", self.key, self.revision),
        }
    }
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Action::Send { request, purpose, election, timeout, what } => {
                write!(f, "{request} {purpose}")?;
                if let Some(election) = election {
                    write!(f, " {election}")?;
                }
                match what {
                    Request::Grant { lease, ttl } => write!(f, " lease={lease} ttl={}", Seconds(*ttl))?,
                    Request::KeepAlive { lease } | Request::Revoke { lease } => write!(f, " lease={lease}")?,
                    Request::Txn(txn) => write!(f, ": {txn}")?,
                }
                write!(f, " in {}", Seconds(*timeout))
            }
            Action::Watch { watch, ranges } => write!(f, "watch {watch} {}", List(ranges, ", ")),
            Action::Unwatch { watch } => write!(f, "unwatch {watch}"),
            Action::Call { election, call, what } => write!(f, "call {call} {election} {what}"),
            Action::Cancel { call, .. } => write!(f, "cancel {call}"),
            Action::Deadline { lease, until: Time::ZERO } => write!(f, "deadline lease={lease} never"),
            Action::Deadline { lease, until } => write!(f, "deadline lease={lease} {until}"),
            Action::Primacy { election, win: Some((token, lease)) } => {
                write!(f, "primary {election} token={token} lease={lease}")
            }
            Action::Primacy { election, win: None } => write!(f, "not primary {election}"),
            Action::Notice { election, what } => match what {
                Notice::Suspended { token } => write!(f, "suspended {election} token={token}"),
                Notice::Resumed { token } => write!(f, "resumed {election} token={token}"),
                Notice::Ready { token } => write!(f, "ready {election} token={token}"),
                Notice::Holder(Some(holder)) => write!(f, "holder {election} {holder}"),
                Notice::Holder(None) => write!(f, "holder {election} nobody"),
            },
            Action::Opened { server_id } => write!(f, "opened id={server_id}"),
            Action::OpenFailed { failure } => write!(f, "open failed: {failure}"),
            Action::Withdrawn { election } => write!(f, "withdrawn {election}"),
            Action::Closed { clean } => f.write_str(if *clean { "closed clean" } else { "closed unclean" }),
            Action::Log { level, text, .. } => write!(f, "log {} {}", level.name(), Quoted::text(text)),
        }
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Call::Standby { holder: Some(holder) } => write!(f, "on_standby holder={holder}"),
            Call::Standby { holder: None } => f.write_str("on_standby"),
            Call::Warmup => f.write_str("on_warmup"),
            Call::Primary { token, lease } => write!(f, "on_primary token={token} lease={lease}"),
            Call::Lost { token, lease, reason } => {
                write!(f, "on_lost token={token} lease={lease} reason={reason}")
            }
        }
    }
}

impl Display for Holder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{} lease={} {}", self.server_id, self.revision, self.lease, Quoted::text(&self.address))
    }
}

impl Display for Range {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Range::Key(key) => key.fmt(f),
            Range::Span { from, to } => write!(f, "{from}..{to}"),
        }
    }
}

impl Display for Compare {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let range = &self.range;
        match &self.condition {
            Condition::Absent => write!(f, "absent({range})"),
            Condition::Version(n) => write!(f, "version({range})={n}"),
            Condition::ModRevision(revision) => write!(f, "rev({range})={revision}"),
            Condition::Lease(lease) => write!(f, "lease({range})={lease}"),
            Condition::Value(value) => write!(f, "value({range})={}", Quoted(value.as_bytes())),
        }
    }
}

impl Display for Txn {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.when.is_empty() && self.otherwise.is_empty() {
            return f.write_str(&branch(&self.then));
        }
        write!(f, "if {} then {}", List(&self.when, ", "), branch(&self.then))?;
        if self.otherwise.is_empty() { Ok(()) } else { write!(f, " else {}", branch(&self.otherwise)) }
    }
}

fn branch(ops: &[Op]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut reads = 0;
    for op in ops {
        match op {
            Op::Get(_) => reads += 1,
            Op::Put(key, value, LeaseId::NONE) => {
                parts.push(format!("put({key} {})", Quoted(value.as_bytes())));
            }
            Op::Put(key, value, lease) => {
                let record = Record::parse(value).unwrap_or_default();
                let facts = record.facts.unwrap_or_default();
                let warm = if facts.warm { " warm" } else { "" };
                let ready = if facts.ready { " ready" } else { "" };
                let stopping = if record.stopping { " stopping" } else { "" };
                parts.push(format!("put({key} lease={lease}{warm}{ready}{stopping})"));
            }
            Op::Delete(key) => parts.push(format!("delete({key})")),
        }
    }
    if reads > 0 {
        parts.push(format!("read {reads}"));
    }
    parts.join(" ")
}

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
            "mark" if self.take("stopping") => Event::MarkStopping,
            "withdraw" => Event::Withdraw {
                election: self.election()?,
                timeout: self.seconds("timeout=")?,
                within: self.call_in()?,
            },
            "stop" => Event::Stop { timeout: self.seconds("timeout=")?, within: self.call_in()? },
            "taken" => Event::Taken { call: self.id('c').map(CallId)? },
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
