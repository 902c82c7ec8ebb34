//! What comes out of a queue, as plain values.

use std::borrow::Cow;

use primacy::engine::{
    Call, Callback, ElectionState, Holder, LostReason, Notice, Obstacle, Primary, SessionState,
};
use primacy::log::Level;
use primacy::queue;
use primacy::store::{KeyValue, TxnAnswer};
use pyo3::prelude::*;

/// Server id, address, lease, token.
type Holding = (i64, String, i64, i64);

/// Server id, address, token, whether it is ready.
pub type Seen = (i64, String, i64, bool);

/// For each get, what it found: key, value, create_revision, mod_revision, version, lease.
pub type Reads = Vec<Vec<(Cow<'static, [u8]>, Cow<'static, [u8]>, i64, i64, i64, i64)>>;

/// What an event is.
#[pyclass(eq, frozen, module = "primacy._primacy")]
#[derive(Clone, Copy, Default, PartialEq)]
pub enum Kind {
    Standby,
    Warmup,
    Primary,
    Lost,
    Cancelled,
    Suspended,
    Resumed,
    Ready,
    Holder,
    Stopped,
    Observed,
    Line,
    #[default]
    Woken,
}

/// One event; what does not apply is 0, empty or None.
#[pyclass(frozen, get_all, module = "primacy._primacy")]
#[derive(Default)]
pub struct Event {
    tag: u64,
    kind: Kind,
    call: u64,
    token: i64,
    lease: i64,
    reason: &'static str,
    holder: Option<Holding>,
    primary: Option<Seen>,
    /// As `logging` counts.
    level: u8,
    text: String,
}

impl From<queue::Event> for Event {
    fn from(event: queue::Event) -> Event {
        let base = Event { tag: event.tag, ..Event::default() };
        match event.what {
            queue::What::Call(call, what) => {
                let base = Event { call: call.0, ..base };
                match what {
                    Call::Standby { holder } => {
                        Event { kind: Kind::Standby, holder: holder.map(holding), ..base }
                    }
                    Call::Warmup => Event { kind: Kind::Warmup, ..base },
                    Call::Primary { token, lease } => {
                        Event { kind: Kind::Primary, token: token.0, lease: lease.0, ..base }
                    }
                    Call::Lost { token, lease, reason } => Event {
                        kind: Kind::Lost,
                        token: token.0,
                        lease: lease.0,
                        reason: reason.name(),
                        ..base
                    },
                }
            }
            queue::What::Cancelled(call) => Event { kind: Kind::Cancelled, call: call.0, ..base },
            queue::What::Notice(Notice::Suspended { token }) => {
                Event { kind: Kind::Suspended, token: token.0, ..base }
            }
            queue::What::Notice(Notice::Resumed { token }) => {
                Event { kind: Kind::Resumed, token: token.0, ..base }
            }
            queue::What::Notice(Notice::Ready { token }) => {
                Event { kind: Kind::Ready, token: token.0, ..base }
            }
            queue::What::Notice(Notice::Holder(holder)) => {
                Event { kind: Kind::Holder, holder: holder.map(holding), ..base }
            }
            queue::What::Stopped => Event { kind: Kind::Stopped, ..base },
            queue::What::Observed(primary) => {
                Event { kind: Kind::Observed, primary: primary.map(seen), ..base }
            }
            queue::What::Line(level, text) => Event { kind: Kind::Line, level: number(level), text, ..base },
            queue::What::Woken => Event { kind: Kind::Woken, ..base },
        }
    }
}

fn holding(holder: Holder) -> Holding {
    (holder.server_id, holder.address, holder.lease.0, holder.revision.0)
}

/// A primary as an observer tells it.
pub fn seen(primary: Primary) -> Seen {
    (primary.server_id, primary.address, primary.token.0, primary.ready)
}

/// What a transaction answered: etcd's revision, and what it read.
pub fn found(answer: &TxnAnswer) -> (i64, Reads) {
    let plain = |kv: &KeyValue| {
        let (key, value) = (kv.key.as_bytes().to_vec(), kv.value.as_bytes().to_vec());
        (key.into(), value.into(), kv.create_revision.0, kv.mod_revision.0, kv.version, kv.lease.0)
    };
    let reads = answer.reads.iter().map(|found| found.iter().map(plain).collect()).collect();
    (answer.revision.0, reads)
}

fn number(level: Level) -> u8 {
    match level {
        Level::Error => 40,
        Level::Warn => 30,
        Level::Info => 20,
        Level::Debug => 10,
    }
}

/// All names of what sessions, elections and their callbacks can be, in the order of their numbers.
#[pyfunction]
pub fn names() -> [(&'static str, Vec<&'static str>); 5] {
    [
        ("SessionState", SessionState::ALL.map(SessionState::name).into()),
        ("ElectionState", ElectionState::ALL.map(ElectionState::name).into()),
        ("CallKind", Callback::ALL.map(Callback::name).into()),
        ("LostReason", LostReason::ALL.map(LostReason::name).into()),
        ("Obstacle", Obstacle::ALL.map(Obstacle::name).into()),
    ]
}
