//! What an operator asks of a primary, in that one's own record, and what that says to it.

use std::sync::Arc;

use crate::store::Revision;

/// A request of somebody who is no candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    /// At which the lock stands whose holder is asked; a later win is not meant.
    pub lock: Revision,
    /// What for.
    pub what: Asks,
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asks {
    /// To hand over, and to stay primary if that can not be.
    Transfer {
        /// To the candidate with this server id; `None`: to the best one.
        to: Option<i64>,
    },
    /// To give primacy up.
    Resign,
}

/// What a primary's record says to what was asked of it last.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// The holder of the lock at this revision has taken it, and is at work on it.
    Takes(Revision),
    /// It comes to nothing; why, for people.
    Refused(Arc<str>),
}
