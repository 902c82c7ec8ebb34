//! What the engine is told.

use std::time::Duration;

use super::ids::{CallId, ElectionId, RequestId, WatchId};
use crate::milvus::Role;
use crate::store::{Answer, Failure, KeyEvent};

/// Something that happened. Handed to [`Engine::step`](super::Engine::step) with the time at which the driver
/// looked at it.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Nothing but time has passed: a timer may be due.
    Tick,
    /// The host starts the session: a lease and a server id are asked for.
    Open,
    /// The host adds an election; its candidate key is put, nothing else. One whose role an earlier election of the
    /// session still has, or that conflicts with it, waits until that one is over.
    Register {
        /// A name for it, never used before in this session.
        election: ElectionId,
        /// The role that it elects the primary of.
        role: Role,
    },
    /// The host wants this election to campaign from now on.
    Campaign {
        /// Which one.
        election: ElectionId,
    },
    /// The host gives its primacy up, if it has it, and goes on as standby.
    Resign {
        /// Which one.
        election: ElectionId,
        /// Asked for inside this call: takes effect when the call is completed.
        within: Option<CallId>,
    },
    /// The host hands its primacy over to a warm standby, if it has it, and goes on as standby. It stays primary until one
    /// has agreed, and if none does.
    Transfer {
        /// Which one.
        election: ElectionId,
        /// To the candidate with this server id; `None`: to the best one.
        to: Option<i64>,
        /// As in [`Event::Resign`].
        within: Option<CallId>,
    },
    /// The host says that it is going to stop: the records of its candidates tell so from now on, whatever they are
    /// rewritten for; the lock's does not. Nothing else changes.
    MarkStopping,
    /// The host ends one election; the session goes on.
    Withdraw {
        /// Which one.
        election: ElectionId,
        /// How long its callbacks may keep it.
        timeout: Duration,
        /// As in [`Event::Resign`].
        within: Option<CallId>,
    },
    /// The host ends the session and all its elections.
    Stop {
        /// When it has to be over.
        timeout: Duration,
        /// As in [`Event::Resign`].
        within: Option<CallId>,
    },
    /// The host has taken a call: its callback begins now. Comes before the call's end, unless the call is cancelled
    /// before: then it ends without having begun.
    Taken {
        /// Which one.
        call: CallId,
    },
    /// Something that an election has told its host waits to be read, or has been read; said again when something is
    /// read and more is left. Of hosts that read a queue.
    Unread {
        /// Which one.
        election: ElectionId,
        /// Whether something waits.
        waits: bool,
    },
    /// The host says that it is well, as a primary has to where `liveness_timeout` is set.
    Healthy {
        /// Of which election.
        election: ElectionId,
    },
    /// A call of the host has ended.
    Completed {
        /// Which one.
        call: CallId,
        /// How.
        outcome: Outcome,
    },
    /// The store answered a request, or it is clear that it will not.
    Answered {
        /// Which one.
        request: RequestId,
        /// What it said.
        result: Result<Answer, Failure>,
    },
    /// It has been looked for a process.
    Examined {
        /// For which election.
        election: ElectionId,
        /// Its number.
        pid: u32,
        /// When it started.
        start: u64,
        /// There is none, for sure.
        gone: bool,
    },
    /// A watch is confirmed by the store: from now on nothing is missed.
    Watching {
        /// Which one.
        watch: WatchId,
    },
    /// A watch saw something.
    Watched {
        /// Which one.
        watch: WatchId,
        /// What, in the order of revisions.
        events: Vec<KeyEvent>,
    },
    /// A watch has ended, for whatever reason, or could not be opened; it says nothing more.
    WatchEnded {
        /// Which one.
        watch: WatchId,
        /// Why, for people.
        why: String,
    },
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Well.
    Done,
    /// Well, and the standby is warm (of a warm-up; elsewhere the same as `Done`).
    Warm,
    /// Badly; the text is the host's.
    Failed(String),
}
