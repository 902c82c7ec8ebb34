//! What a host implements to be called, and how it answers.

use std::sync::{Arc, Weak};

use crate::engine::{Call, CallId, Notice};

/// What the host does when it is called. All of it runs on threads of this library's that keep no lease, and may
/// block as long as it likes; a panic counts as "failed".
pub trait Host: Send + Sync + 'static {
    /// A callback: what is to be done, and how it ended. One at a time, in order, but for `on_lost`, which starts
    /// at once even while another one runs.
    fn call(&self, call: CallId, what: &Call) -> Reply;
    /// That call, which is still running, should end soon; it must still be answered or completed.
    fn cancelled(&self, call: CallId);
    /// Something that needs no answer. In order among themselves and with [`Host::cancelled`].
    fn notice(&self, what: &Notice);
    /// The election is over; the last use of the host.
    fn stopped(&self);
    /// Asked once, before all else: whether this host keeps what it is told until somebody reads it. Then none of the
    /// above may block, each call is answered with [`Reply::Pending`], and it begins when `reader` says so. Otherwise
    /// a callback begins when it is called.
    fn keeps(&self, reader: Reader) -> bool {
        let _ = reader;
        false
    }
}

/// How a callback ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Well.
    Done,
    /// Well, and the standby is warm (of a warm-up).
    Warm,
    /// Not yet: [`Election::complete`](super::election::Election::complete) will say so, from any thread, even before
    /// this callback has returned.
    Pending,
    /// Badly; the text is for people.
    Failed(String),
}

/// By which a host that keeps what it is told says what becomes of it.
#[derive(Clone)]
pub struct Reader(pub(super) Weak<dyn Kept>);

/// What is kept for a host to read.
pub(super) trait Kept: Send + Sync {
    fn take(self: Arc<Self>, call: CallId) -> bool;
    fn refuse(self: Arc<Self>, call: CallId, why: &str);
    fn unread(self: Arc<Self>, waits: bool);
}

impl Reader {
    /// The host begins a call. False: it was taken back meanwhile, and there is nothing to do.
    pub fn takes(&self, call: CallId) -> bool {
        self.0.upgrade().is_some_and(|kept| kept.take(call))
    }

    /// Nobody will begin a call.
    pub fn refuses(&self, call: CallId, why: &str) {
        if let Some(kept) = self.0.upgrade() {
            kept.refuse(call, why);
        }
    }

    /// Whether something waits to be read; said again when something is read and more is left.
    pub fn unread(&self, waits: bool) {
        if let Some(kept) = self.0.upgrade() {
            kept.unread(waits);
        }
    }
}
