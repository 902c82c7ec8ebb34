//! What comes out of a queue, as plain values.

use std::borrow::Cow;

use primacy::engine::{Call, Holder, Notice, Primary};
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

/// One event; what does not apply is 0, empty or None.
#[pyclass(frozen, get_all, module = "primacy._primacy")]
#[derive(Default)]
pub struct Event {
    tag: u64,
    kind: &'static str,
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
                        Event { kind: "standby", holder: holder.map(holding), ..base }
                    }
                    Call::Warmup => Event { kind: "warmup", ..base },
                    Call::Primary { token, lease } => {
                        Event { kind: "primary", token: token.0, lease: lease.0, ..base }
                    }
                    Call::Lost { token, lease, reason } => {
                        Event { kind: "lost", token: token.0, lease: lease.0, reason: reason.name(), ..base }
                    }
                }
            }
            queue::What::Cancelled(call) => Event { kind: "cancelled", call: call.0, ..base },
            queue::What::Notice(Notice::Suspended { token }) => {
                Event { kind: "suspended", token: token.0, ..base }
            }
            queue::What::Notice(Notice::Resumed { token }) => {
                Event { kind: "resumed", token: token.0, ..base }
            }
            queue::What::Notice(Notice::Ready { token }) => Event { kind: "ready", token: token.0, ..base },
            queue::What::Notice(Notice::Holder(holder)) => {
                Event { kind: "holder", holder: holder.map(holding), ..base }
            }
            queue::What::Stopped => Event { kind: "stopped", ..base },
            queue::What::Observed(primary) => Event { kind: "observed", primary: primary.map(seen), ..base },
            queue::What::Line(level, text) => Event { kind: "line", level: number(level), text, ..base },
            queue::What::Woken => Event { kind: "woken", ..base },
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
