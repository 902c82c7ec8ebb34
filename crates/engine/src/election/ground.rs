//! What passes between an election and its session, in both directions.

use std::time::Duration;

use crate::Setup;
use crate::identity::Identity;
use crate::lease::Keeper;
use crate::store::LeaseId;

/// What the session knows that an election needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground<'a> {
    pub setup: &'a Setup,
    pub keeper: &'a Keeper,
    pub server_id: Option<i64>,
    /// An election was registered under that id, so that it is kept.
    pub id_in_use: bool,
    /// The host is going to stop.
    pub stopping: bool,
    /// The session ends, and its lease with it.
    pub ending: bool,
}

impl<'a> Ground<'a> {
    pub fn new(setup: &'a Setup, keeper: &'a Keeper, identity: &Identity, stopping: bool) -> Self {
        Ground {
            setup,
            keeper,
            server_id: identity.known(),
            id_in_use: identity.is_in_use(),
            stopping,
            ending: false,
        }
    }

    pub(super) fn lease(self) -> Option<LeaseId> {
        self.keeper.held().map(|held| held.id)
    }

    pub(super) fn is_lease(self, lease: LeaseId) -> bool {
        self.lease() == Some(lease)
    }

    pub(super) fn ttl(self) -> Duration {
        self.keeper.held().map_or(self.setup.ttl, |held| held.ttl)
    }
}

/// What an election asks of its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Read all keys again now.
    pub reread: bool,
    /// The record's key is somebody else's: another server id.
    pub another_id: bool,
    /// A win needs re-reads at the primary's pace.
    pub won: bool,
    /// The store does not know this lease.
    pub not_found: Option<LeaseId>,
}
