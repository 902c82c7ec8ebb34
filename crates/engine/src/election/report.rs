//! Where an election stands, for its session, its host and people.

use super::phase::{Phase, Win};
use super::{Election, Want};
use crate::action::{Callback, Holder};
use crate::claim::Claim;
use crate::ids::Token;
use crate::lease::Keeper;
use crate::milvus::Record;
use crate::obstacle::Trouble;
use crate::state::ElectionState;
use crate::store::{KeyValue, Range};
use crate::time::Time;

impl Election {
    pub(super) fn lock(&self) -> Option<&KeyValue> {
        self.claim.as_ref()?.lock(&self.view)
    }

    /// Who holds the lock, itself included, if it is known and the lock can be read.
    pub fn holder(&self) -> Option<Holder> {
        self.lock().and_then(holder)
    }

    /// Whether the host has been told that it is over.
    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn
    }

    /// Whether the key set is ours, whatever the host has been told.
    pub fn has_win(&self) -> bool {
        self.phase.win().is_some()
    }

    /// Whether `is_primary` may say yes.
    pub fn is_primary(&self) -> bool {
        self.phase.win().is_some_and(Win::is_called)
    }

    /// All keys that it wants to know of, once it has any.
    pub fn ranges(&self) -> &[Range] {
        let claim = self.claim.as_ref().filter(|_| !self.withdrawn);
        claim.map_or(&[], |claim| self.asks().unwrap_or_else(|| claim.ranges()))
    }

    /// Of these, its own record and the locks.
    pub fn own_ranges(&self) -> &[Range] {
        self.claim.as_ref().filter(|_| !self.withdrawn).map_or(&[], Claim::own_ranges)
    }

    /// Where the keys of its wins lie.
    pub fn locks(&self) -> Vec<Range> {
        self.claim.as_ref().map_or_else(Vec::new, Claim::locks)
    }

    /// Whether its record stands in the store, on the present lease or a former one.
    pub fn is_registered(&self, keeper: &Keeper) -> bool {
        let record = self.claim.as_ref().and_then(|claim| claim.record(&self.view));
        record.is_some_and(|kv| keeper.is_own(kv.lease))
    }

    /// Its record, if that stands in the store under the present lease.
    pub fn record(&self, keeper: &Keeper) -> Option<&KeyValue> {
        let lease = keeper.held()?.id;
        self.claim.as_ref()?.record(&self.view).filter(|kv| kv.lease == lease)
    }

    /// Where it stands.
    pub fn state(&self, now: Time, keeper: &Keeper) -> ElectionState {
        if self.withdrawn {
            return ElectionState::Stopped;
        }
        if let Phase::Draining(drain) = &self.phase {
            return if now >= drain.until && self.calls.of(drain.token) {
                ElectionState::Stuck
            } else {
                ElectionState::Resigning
            };
        }
        match (self.phase.win(), self.want) {
            (_, Want::Nothing { .. }) => ElectionState::Stopping,
            (Some(win), _) if win.suspended => ElectionState::Suspended,
            (Some(win), _) if win.is_ready() => ElectionState::Primary,
            (Some(_), _) => ElectionState::Activating,
            (None, _) if self.standby.is_some() => ElectionState::Standby,
            (None, Want::Primacy) => ElectionState::Campaigning,
            (None, _) if self.record(keeper).is_some() => ElectionState::Registered,
            (None, _) => ElectionState::Registering,
        }
    }

    /// The token of the win, or of the one that is draining.
    pub fn token(&self) -> Option<Token> {
        match &self.phase {
            Phase::Free => None,
            Phase::Holding(win) => Some(win.token),
            Phase::Draining(drain) => Some(drain.token),
        }
    }

    /// What keeps it from getting on.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.obstacle.as_ref().or(self.trouble.as_ref())
    }

    pub fn is_warm(&self) -> bool {
        self.standby.as_ref().is_some_and(|standby| standby.warm)
    }

    /// Whether changes of its keys are told.
    pub fn is_watching(&self) -> bool {
        self.watch.is_open()
    }

    /// The callbacks that are running.
    pub fn running(&self) -> Vec<Callback> {
        self.calls.running().collect()
    }
}

pub(super) fn holder(lock: &KeyValue) -> Option<Holder> {
    let record = Record::parse(&lock.value).ok()?;
    Some(Holder {
        server_id: record.server_id,
        address: record.address,
        lease: lock.lease,
        revision: lock.mod_revision,
    })
}
