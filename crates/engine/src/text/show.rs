//! Setups, events and actions as text.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::Setup;
use crate::action::{Action, Call, Holder, Notice};
use crate::event::{Event, Outcome};
use crate::ids::CallId;
use crate::milvus::{Incarnation, Record, Reply};
use crate::store::{
    Answer, Compare, Condition, Escaped, Failure, KeyEvent, KeyValue, LeaseId, Op, Origin, Range, Request,
    Revision, Txn, TxnAnswer,
};
use crate::time::Time;

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
        let Setup { root, layout, candidate, ttl, margin, priority, warmup_interval, .. } = self;
        write!(f, "setup root={root} layout={layout} address={} ", candidate.address())?;
        write!(f, "version={} ttl={}", candidate.version(), Seconds(*ttl))?;
        if let Some(margin) = margin {
            write!(f, " margin={}", Seconds(*margin))?;
        }
        let Setup { activation_timeout, drain_timeout, request_timeout, first_lease, seed, .. } = self;
        if *priority != 1 {
            write!(f, " priority={priority}")?;
        }
        write!(f, " warmup={} activation={}", Seconds(*warmup_interval), Seconds(*activation_timeout))?;
        if let Some(liveness) = self.liveness_timeout {
            write!(f, " liveness={}", Seconds(liveness))?;
        }
        write!(f, " drain={} request={}", Seconds(*drain_timeout), Seconds(*request_timeout))?;
        write!(f, " lease={first_lease} seed={seed}")?;
        let Some(Incarnation { process, instance }) = &candidate.incarnation else { return Ok(()) };
        process.as_ref().map_or(Ok(()), |process| write!(f, " process={process}"))?;
        instance.as_ref().map_or(Ok(()), |instance| write!(f, " instance={instance}"))
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
            Event::Transfer { election, to, within: call } => {
                write!(f, "transfer {election}")?;
                if let Some(id) = to {
                    write!(f, " to={id}")?;
                }
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
            Event::Healthy { election } => write!(f, "healthy {election}"),
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
            Event::Examined { election, pid, start, gone } => {
                write!(
                    f,
                    "examined {election} pid={pid} start={start} {}",
                    if *gone { "gone" } else { "there" }
                )
            }
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
            Action::Examine { election, pid, start } => {
                write!(f, "examine {election} pid={pid} start={start}")
            }
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
                let lock = |name, lock: Option<Revision>| {
                    lock.map(|lock| format!(" {name}={lock}")).unwrap_or_default()
                };
                let (offer, accepts) = (lock("offer", facts.offer), lock("accepts", facts.accepts));
                let line =
                    if facts.line.is_empty() { String::new() } else { format!(" line={}", facts.line) };
                let reply = match record.reply {
                    Some(Reply::Takes(lock)) => format!(" takes={lock}"),
                    Some(Reply::Refused(why)) => format!(" refused={}", Quoted::text(&why)),
                    None => String::new(),
                };
                parts.push(format!(
                    "put({key} lease={lease}{warm}{ready}{stopping}{offer}{accepts}{line}{reply})"
                ));
            }
            Op::Delete(key) => parts.push(format!("delete({key})")),
        }
    }
    if reads > 0 {
        parts.push(format!("read {reads}"));
    }
    parts.join(" ")
}
