//! Where a session and its elections stand, for people and their tools.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{Engine, Life};
use crate::election::Election;
use crate::milvus::Record;
use crate::store::{KeyValue, LeaseId};
use crate::time::Time;
use crate::{Callback, ElectionId, ElectionState, Obstacle, SessionState};

/// A lease should outlast a change of etcd's leader; a renewal has been seen to take 2.8 s in one.
const SHORT_TTL: Duration = Duration::from_secs(5);

/// A session, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Where it stands.
    pub state: SessionState,
    /// 0: not taken yet.
    pub server_id: i64,
    /// The present lease, as text: ids exceed what a JSON reader in JavaScript can hold. Empty: none.
    pub lease: String,
    /// As granted, in milliseconds; 0 without a lease.
    pub ttl_ms: u64,
    /// How long the lease is surely ours, in milliseconds.
    pub remaining_ms: u64,
    /// The last renewal got no answer in time, or was not confirmed.
    pub suspended: bool,
    /// Renewals that etcd acknowledged and that did not count: nothing confirmed that its leader was still the leader.
    pub unconfirmed_renewals: u64,
    /// What works now and may yet end badly, such as a short TTL or an old etcd.
    pub warnings: Vec<String>,
    /// The store's highest revision seen.
    pub revision: i64,
    /// The elections, in the order in which they were registered.
    pub elections: Vec<ElectionSnapshot>,
}

/// An election, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ElectionSnapshot {
    /// Which one of this role: another may have been registered since.
    #[serde(skip)]
    pub id: ElectionId,
    /// Its role.
    pub role: String,
    /// Where it stands.
    pub state: ElectionState,
    /// The token of the win, also while it drains; 0: none.
    pub token: i64,
    /// The last warm-up said "warm".
    pub warm: bool,
    /// The callbacks that are running.
    pub running: Vec<Callback>,
    /// The revision at which its own record was written last; 0: it is not there under the present lease.
    pub record_revision: i64,
    /// Its own record says that the server is going to stop.
    pub stopping: bool,
    /// Its watch is open: changes of the lock are told at once.
    pub watching: bool,
    /// The lock's holder, if there is one whose record can be read.
    pub holder: Option<HolderSnapshot>,
    /// What keeps it from getting on, if anything does; in JSON its number, 0: nothing.
    #[serde(serialize_with = "by_number")]
    pub obstacle: Option<Obstacle>,
    /// The same, for people.
    pub trouble: Option<String>,
}

/// A lock's holder, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HolderSnapshot {
    /// Its server id.
    pub server_id: i64,
    /// Where it serves.
    pub address: String,
    /// Its lease, as text.
    pub lease: String,
    /// Its fencing token.
    pub token: i64,
}

impl ElectionSnapshot {
    /// Of one that the engine has not heard of yet.
    pub fn new(id: ElectionId, role: &str) -> ElectionSnapshot {
        ElectionSnapshot {
            id,
            role: role.to_owned(),
            state: ElectionState::Registering,
            token: 0,
            warm: false,
            running: Vec::new(),
            record_revision: 0,
            stopping: false,
            watching: false,
            holder: None,
            obstacle: None,
            trouble: None,
        }
    }
}

impl Engine {
    /// Where it stands, as of `now`.
    pub fn snapshot(&self, now: Time) -> Snapshot {
        let held = self.keeper.held();
        let millis = |d: std::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Snapshot {
            state: match self.life {
                Life::New => SessionState::New,
                Life::Opening => SessionState::Opening,
                Life::Open => SessionState::Open,
                Life::StopAsked { .. } | Life::Stopping { .. } => SessionState::Stopping,
                Life::Closed => SessionState::Closed,
            },
            server_id: self.identity.known().unwrap_or(0),
            lease: held.map(|held| text(held.id)).unwrap_or_default(),
            ttl_ms: held.map_or(0, |held| millis(held.ttl)),
            remaining_ms: self.keeper.held_until().map_or(0, |until| millis(until.since(now))),
            unconfirmed_renewals: self.keeper.unconfirmed(),
            suspended: held.is_some_and(|held| held.late),
            warnings: held.and_then(|held| too_short(held.ttl)).into_iter().collect(),
            revision: self.history.floor().0,
            elections: self.elections.iter().map(|e| self.of_election(now, e)).collect(),
        }
    }

    /// Where one election stands, as of `now`; `None`: it is over.
    pub fn election(&self, now: Time, id: ElectionId) -> Option<ElectionSnapshot> {
        self.elections.get(id).map(|e| self.of_election(now, e))
    }

    fn of_election(&self, now: Time, e: &Election) -> ElectionSnapshot {
        let record = e.record(&self.keeper);
        ElectionSnapshot {
            id: e.id,
            role: e.role.to_string(),
            state: e.state(now, &self.keeper),
            token: e.token().map_or(0, |token| token.0),
            warm: e.is_warm(),
            running: e.running(),
            record_revision: record.map_or(0, |kv| kv.mod_revision.0),
            stopping: record.is_some_and(says_stopping),
            watching: e.is_watching(),
            holder: e.holder().map(|holder| HolderSnapshot {
                server_id: holder.server_id,
                address: holder.address,
                lease: text(holder.lease),
                token: holder.revision.0,
            }),
            obstacle: e.trouble().map(|trouble| trouble.obstacle),
            trouble: e.trouble().map(|trouble| trouble.text.clone()),
        }
    }
}

fn by_number<S: Serializer>(obstacle: &Option<Obstacle>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i32(obstacle.map_or(0, Obstacle::number))
}

fn says_stopping(record: &KeyValue) -> bool {
    Record::parse(&record.value).is_ok_and(|record| record.stopping)
}

fn text(lease: LeaseId) -> String {
    lease.to_string()
}

/// The lease that was granted is a short one.
fn too_short(granted: Duration) -> Option<String> {
    (granted < SHORT_TTL).then(|| {
        format!(
            "a TTL of {} s does not outlast a change of etcd's leader: set common.session.ttl to {} or more",
            granted.as_secs(),
            SHORT_TTL.as_secs()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_below_five_seconds_is_short() {
        assert!(too_short(Duration::from_secs(4)).is_some());
        assert_eq!(too_short(Duration::from_secs(5)), None);
    }
}
