//! Where an election stands, for its session, its host and people.

use super::win::Stage;
use super::{Election, Want};
use crate::action::Holder;
use crate::claim::Claim;
use crate::ids::Token;
use crate::lease::Keeper;
use crate::milvus::Record;
use crate::state::State;
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
        self.win.is_some()
    }

    /// Whether `is_primary` may say yes.
    pub fn is_primary(&self) -> bool {
        self.win.as_ref().is_some_and(|win| !matches!(win.stage, Stage::Won { .. }))
    }

    /// All keys that it wants to know of, once it has any.
    pub fn ranges(&self) -> &[Range] {
        self.claim.as_ref().filter(|_| !self.withdrawn).map_or(&[], Claim::ranges)
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
    pub fn state(&self, now: Time, keeper: &Keeper) -> State {
        if self.withdrawn {
            return State::Stopped;
        }
        if let Some(drain) = &self.drain {
            return if now >= drain.until && self.calls.of(drain.token) {
                State::Stuck
            } else {
                State::Resigning
            };
        }
        match (&self.win, self.want) {
            (_, Want::Nothing { .. }) => State::Stopping,
            (Some(win), _) if win.suspended => State::Suspended,
            (Some(win), _) if win.stage == Stage::Ready => State::Primary,
            (Some(_), _) => State::Activating,
            (None, _) if self.standby.is_some() => State::Standby,
            (None, Want::Primacy) => State::Campaigning,
            (None, _) if self.record(keeper).is_some() => State::Registered,
            (None, _) => State::Registering,
        }
    }

    /// The token of the win, or of the one that is draining.
    pub fn token(&self) -> Option<Token> {
        self.win.as_ref().map(|win| win.token).or(self.drain.as_ref().map(|drain| drain.token))
    }

    /// What troubles it, for people.
    pub fn trouble(&self) -> Option<&str> {
        self.obstacle.as_deref().or(self.trouble.as_deref())
    }

    pub fn is_warm(&self) -> bool {
        self.facts().warm
    }

    /// The callbacks that are running, by name.
    pub fn running(&self) -> Vec<&'static str> {
        self.calls.names().collect()
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
