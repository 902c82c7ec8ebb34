//! Where an election stands with the key set: it has none, holds it, or is giving it back.

use crate::action::LostReason;
use crate::ids::Token;
use crate::store::LeaseId;
use crate::time::Time;

/// Either a win or what is left of one: as long as callbacks or keys of an older win are there, there is no newer one.
#[derive(Clone, Debug, Default, Hash)]
pub(super) enum Phase {
    /// It has no win, and of earlier ones nothing is left.
    #[default]
    Free,
    /// The key set is ours.
    Holding(Win),
    /// A win is over; its callbacks run, or its keys are there.
    Draining(Drain),
}

/// The key set is ours.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Win {
    pub(super) token: Token,
    pub(super) lease: LeaseId,
    pub(super) stage: Stage,
    pub(super) suspended: bool,
    /// The host has to say that it is well before then.
    pub(super) unwell_at: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// Callbacks of the standby period are still running, or the lease is not confirmed; given back if that takes too
    /// long.
    Won { give_back: Time },
    /// `on_primary` waits to be taken by the host; given back if that does not happen in time.
    Called { give_back: Time },
    /// `on_primary` is running.
    Activating,
    /// `on_primary` has succeeded.
    Ready,
}

/// A win that is over, until its callbacks have ended and its keys are released.
#[derive(Clone, Debug, Hash)]
pub(super) struct Drain {
    pub(super) token: Token,
    pub(super) lease: LeaseId,
    /// The keys are released now even if callbacks still run.
    pub(super) until: Time,
    /// Once its keys are gone, others first.
    pub(super) yields: bool,
    /// `on_primary` had not been taken as far as was known. Should it turn out to have been, `on_lost` follows.
    pub(super) owed: Option<LostReason>,
}

impl Phase {
    pub(super) fn is_free(&self) -> bool {
        matches!(self, Phase::Free)
    }

    pub(super) fn win(&self) -> Option<&Win> {
        match self {
            Phase::Holding(win) => Some(win),
            _ => None,
        }
    }

    pub(super) fn drain(&self) -> Option<&Drain> {
        match self {
            Phase::Draining(drain) => Some(drain),
            _ => None,
        }
    }
}

impl Win {
    /// Whether `on_primary` was called, so that `is_primary` may say yes.
    pub(super) fn is_called(&self) -> bool {
        !matches!(self.stage, Stage::Won { .. })
    }

    /// Whether the host has taken `on_primary`.
    pub(super) fn has_begun(&self) -> bool {
        matches!(self.stage, Stage::Activating | Stage::Ready)
    }

    /// Whether `on_primary` has succeeded.
    pub(super) fn is_ready(&self) -> bool {
        self.stage == Stage::Ready
    }
}
