//! What the engine decides.

use std::time::Duration;

use super::ids::{CallId, ElectionId, RequestId, Token, WatchId};
use crate::Level;
use crate::numbered::numbered;
use crate::store::{Failure, LeaseId, Range, Request, Revision};
use crate::time::Time;

/// Something for the driver to do, in the order given.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send a request. Exactly one [`Event::Answered`](super::Event::Answered) must follow. A transaction may wait for
    /// others before it is sent; what concerns the lease must be answered at the latest after `timeout`.
    Send {
        /// Its name.
        request: RequestId,
        /// What it is for.
        purpose: Purpose,
        /// Of which election, if of one.
        election: Option<ElectionId>,
        /// How long to wait for an answer once it is sent, a wait for the connection included.
        timeout: Duration,
        /// The request.
        what: Request,
    },
    /// Open a watch from now on, without a start revision (one that starts in the past waits for etcd's round of
    /// 100 ms). [`Event::Watching`](super::Event::Watching) follows once all ranges are confirmed, or `WatchEnded`.
    Watch {
        /// Its name.
        watch: WatchId,
        /// What it watches.
        ranges: Vec<Range>,
    },
    /// Close a watch; nothing follows.
    Unwatch {
        /// Its name.
        watch: WatchId,
    },
    /// Call the host. Exactly one [`Event::Completed`](super::Event::Completed) must follow, whenever it may be, and
    /// before it [`Event::Taken`](super::Event::Taken) once the host begins.
    Call {
        /// Of which election.
        election: ElectionId,
        /// The call's name.
        call: CallId,
        /// Which callback, with what.
        what: Call,
    },
    /// Tell the host that a call which is still running should end; it must still be completed. One that it has not
    /// taken yet is taken back: it ends at once, and the host never hears of it.
    Cancel {
        /// Of which election.
        election: ElectionId,
        /// Which one.
        call: CallId,
    },
    /// Set the deadline of a lease: whoever won under it is primary before `until` at the most.
    Deadline {
        /// Its own cell, never used for another lease.
        lease: LeaseId,
        /// [`Time::ZERO`]: never again.
        until: Time,
    },
    /// Set what `is_primary` stands on: the win, from when the host takes the `on_primary` that follows; or none.
    Primacy {
        /// Of which election.
        election: ElectionId,
        /// The token and the lease whose deadline counts.
        win: Option<(Token, LeaseId)>,
    },
    /// Tell the host something that needs no answer.
    Notice {
        /// Of which election.
        election: ElectionId,
        /// What.
        what: Notice,
    },
    /// Look whether there is a process of this number and start, as this process counts them. One [`Event::Examined`] must
    /// follow.
    ///
    /// [`Event::Examined`]: super::Event::Examined
    Examine {
        /// For which election.
        election: ElectionId,
        /// Its number.
        pid: u32,
        /// When it started, in ticks of the kernel.
        start: u64,
    },
    /// The session has its lease and its server id, for the first time.
    Opened {
        /// The server id.
        server_id: i64,
    },
    /// The session can not open, and trying again will not help until somebody changes something.
    OpenFailed {
        /// Why.
        failure: Failure,
    },
    /// An election has ended: no call of it runs, none will.
    Withdrawn {
        /// Which one.
        election: ElectionId,
    },
    /// The session has ended, as far as the store is concerned; calls of the host may still run.
    Closed {
        /// Whether everything that was ours is known to be gone from the store.
        clean: bool,
    },
    /// Say something to the operator.
    Log {
        /// How urgent.
        level: Level,
        /// Of which election, if of one.
        election: Option<ElectionId>,
        /// What.
        text: String,
    },
}

/// A callback, with what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// `on_standby`: somebody else is primary, or it is not clear yet who is. Once per standby period.
    Standby {
        /// The primary, if it is known.
        holder: Option<Holder>,
    },
    /// `on_warmup`: get ready to take over.
    Warmup,
    /// `on_primary`: this process is the primary.
    Primary {
        /// The fencing token of the win.
        token: Token,
        /// The lease that it stands on.
        lease: LeaseId,
    },
    /// `on_lost`: it is not any more. Exactly one for each `on_primary`.
    Lost {
        /// The token of the win that is over.
        token: Token,
        /// The lease that it stood on.
        lease: LeaseId,
        /// Why; the first reason observed.
        reason: LostReason,
    },
}

/// What the host is told without being asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Primary, but the renewal is late: lost at the deadline unless it comes.
    Suspended {
        /// The win's token.
        token: Token,
    },
    /// The late renewal came.
    Resumed {
        /// The win's token.
        token: Token,
    },
    /// `on_primary` has succeeded.
    Ready {
        /// The win's token.
        token: Token,
    },
    /// Another holder of the lock, or none.
    Holder(Option<Holder>),
}

/// Who holds the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its server id.
    pub server_id: i64,
    /// Where it serves.
    pub address: String,
    /// The lease that the lock hangs on.
    pub lease: LeaseId,
    /// The lock's `mod_revision`: its fencing token.
    pub revision: Revision,
}

numbered! {
    /// Which callback a call is.
    Callback {
        /// See [`Call::Standby`].
        Standby = 1, "on_standby";
        /// See [`Call::Warmup`].
        Warmup = 2, "on_warmup";
        /// See [`Call::Primary`].
        Primary = 3, "on_primary";
        /// See [`Call::Lost`].
        Lost = 4, "on_lost";
    }
}

numbered! {
    /// Why primacy ended.
    LostReason {
        /// The lease ran out, or the store no longer knows it.
        LeaseExpired = 1, "lease_expired";
        /// A key of the key set was deleted.
        KeyDeleted = 2, "key_deleted";
        /// A key of the key set was overwritten.
        KeyTaken = 3, "key_taken";
        /// The host resigned.
        Resigned = 4, "resigned";
        /// Handed to another candidate.
        Transferred = 5, "transferred";
        /// `on_primary` failed.
        ActivationFailed = 6, "activation_failed";
        /// The store was put back to an older state, or replaced.
        StoreRolledBack = 7, "store_rolled_back";
        /// The host stopped the election or the session.
        Stopped = 8, "stopped";
        /// The engine itself can not go on.
        InternalError = 9, "internal_error";
        /// The host did not take what waited for it.
        HostUnresponsive = 10, "host_unresponsive";
        /// The host did not say that it is well.
        LivenessExpired = 11, "liveness_expired";
    }
}

numbered! {
    /// What a request is for; logs and transcripts show it.
    Purpose {
        /// Ask for a lease.
        Grant = 1, "grant";
        /// Renew it.
        Renew = 2, "renew";
        /// End one that is not used any more.
        Revoke = 3, "revoke";
        /// Take a server id.
        TakeId = 4, "take_id";
        /// Put the candidate's own record.
        Register = 5, "register";
        /// Move the own record from a lost lease to the present one.
        Move = 6, "move";
        /// Rewrite the own record after a campaign without an answer, so that this campaign can not win any more; or only
        /// look at all keys, where nothing is left to rewrite.
        Settle = 7, "settle";
        /// Tell others in the own record whether this candidate is warm, ready, or going to stop.
        Update = 8, "update";
        /// Take the key set.
        Campaign = 9, "campaign";
        /// Give the key set back.
        Release = 10, "release";
        /// Put the service's record once `on_primary` has succeeded (layout `after_start`).
        Publish = 11, "publish";
        /// Delete the service's record before the drain (layout `after_start`).
        Unpublish = 12, "unpublish";
        /// Delete the candidate's own record.
        Unregister = 13, "unregister";
        /// Look at all keys again, in case an event got lost.
        Reread = 14, "reread";
        /// The same, to confirm a renewal under which somebody is primary.
        Confirm = 15, "confirm";
        /// Look who else stands by; of a primary.
        Heirs = 16, "heirs";
        /// Offer primacy to a standby, in the standby's record; of a primary.
        Offer = 17, "offer";
        /// Accept an offer, in the own record.
        Accept = 18, "accept";
        /// Hand the key set over to who has accepted the offer.
        HandOver = 19, "hand_over";
        /// Look whose record is that of the holder of the lock, to reclaim what a dead predecessor has left.
        Predecessor = 20, "predecessor";
        /// End the lease of the dead predecessor.
        Reclaim = 21, "reclaim";
    }
}

impl Call {
    /// Which callback it is.
    pub const fn callback(&self) -> Callback {
        match self {
            Call::Standby { .. } => Callback::Standby,
            Call::Warmup => Callback::Warmup,
            Call::Primary { .. } => Callback::Primary,
            Call::Lost { .. } => Callback::Lost,
        }
    }
}

impl Action {
    /// The election that it is about; `None`: the session.
    pub fn election(&self) -> Option<ElectionId> {
        match self {
            Action::Send { election, .. } | Action::Log { election, .. } => *election,
            Action::Call { election, .. }
            | Action::Cancel { election, .. }
            | Action::Primacy { election, .. }
            | Action::Notice { election, .. }
            | Action::Examine { election, .. }
            | Action::Withdrawn { election } => Some(*election),
            _ => None,
        }
    }
}
