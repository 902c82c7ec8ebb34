//! Who was primary of what, from when to when.

use primacy_engine::store::LeaseId;
use serde::Serialize;

use crate::when::When;

/// How somebody became primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Before the history begins.
    Before,
    /// The lock was free.
    Won,
    /// The one before handed it over, and this one had accepted it.
    HandedOver,
    /// It was primary, and put its lock anew.
    Again,
    /// It was not free.
    Taken,
}

/// How primacy ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Its lease ended, and all keys with it: it ran out, or was revoked, by a stop or a crash guard.
    LeaseEnded,
    /// The lock alone was deleted: it resigned, or somebody deleted the lock by hand.
    LockDeleted,
    /// It handed over, to who had accepted.
    HandedOver,
    /// It was primary, and put its lock anew.
    Again,
    /// Somebody else took it.
    Taken,
    /// It said in its record that it leads no more.
    Released,
}

/// When and how primacy ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct End {
    /// At which revision.
    #[serde(flatten)]
    pub when: When,
    /// How.
    pub how: Ended,
    /// How many others were there who could become primary.
    pub candidates: usize,
}

/// One primary, from its win to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Term {
    /// The fencing token.
    pub token: i64,
    /// Who: a server id, or what else the layout calls a candidate.
    pub holder: String,
    /// `host:port`, if its record says it.
    pub address: Option<String>,
    /// That the lock hangs on; as text, since it exceeds what JavaScript has as numbers.
    pub lease: Option<String>,
    /// Since when. Of one from before the history: when the lock was written.
    #[serde(flatten)]
    pub since: When,
    /// How it became primary.
    pub how: How,
    /// `None`: it still is.
    pub ended: Option<End>,
}

/// A time without a primary, between two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Since the end of this one, and why.
    pub since: End,
    /// `None`: it goes on.
    pub until: Option<When>,
    /// How long, if it is known.
    pub ms: Option<i64>,
}

/// What became of one election.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Role {
    /// Its name: the role, prefix or key.
    pub name: String,
    /// In the order of their wins.
    pub terms: Vec<Term>,
    /// Between them.
    pub gaps: Vec<Gap>,
}

/// As [`Term::lease`] has it.
pub fn lease(lease: LeaseId) -> Option<String> {
    (lease != LeaseId::NONE).then(|| lease.to_string())
}
