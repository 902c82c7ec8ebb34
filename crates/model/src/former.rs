//! A leader of etcd that stood still while another one was elected, and takes itself for the leader when it wakes up.
//!
//! Since 3.5.16 such a member acknowledges renewals alone, out of the leases that it knew, until it hears of its
//! successor: `ensureLeadership` trusts a tick that is younger than three heartbeats, and a tick is the first thing
//! that happens to a process that wakes up. Nothing else of what it is asked is answered, since that takes a quorum.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Model, seconds};
use primacy_engine::store::{self, LeaseId, Origin};
use primacy_engine::time::Time;

/// What it remembers.
#[derive(Clone, Debug)]
pub(super) struct Former {
    term: u64,
    /// Whole seconds, and until when it keeps them.
    leases: BTreeMap<LeaseId, (i64, Time)>,
}

impl Model {
    /// The leader stands still, and the others elect another one: all leases begin anew there.
    pub fn leader_stands_still(&mut self, now: Time) {
        self.advance(now);
        let leases = self.data.leases.iter().map(|(id, lease)| (*id, (lease.ttl, lease.expiry))).collect();
        self.former = Some(Former { term: self.term, leases });
        self.leader_changed(now);
    }

    /// The former leader hears of its successor, and is a member like any other.
    pub fn former_leader_steps_down(&mut self) {
        self.former = None;
    }

    /// Answers a request of the engine that reaches the former leader, if there is one that is awake.
    pub fn perform_at_former(
        &mut self,
        now: Time,
        request: &store::Request,
    ) -> Result<store::Answer, store::Failure> {
        self.advance(now);
        let Some(Former { term, leases }) = &mut self.former else { return self.perform(now, request) };
        let origin = Origin { cluster: self.cluster, term: *term };
        let no_quorum = Err(store::Failure::Indefinite("etcdserver: request timed out".into()));
        let store::Request::KeepAlive { lease } = request else { return no_quorum };
        match leases.get_mut(lease) {
            None => Ok(store::Answer::Renewed { ttl: Duration::ZERO, origin }),
            // It would revoke this one, which takes a quorum, before it answers.
            Some((_, until)) if *until <= now => no_quorum,
            Some((ttl, until)) => {
                *until = now + seconds(*ttl);
                Ok(store::Answer::Renewed { ttl: seconds(*ttl), origin })
            }
        }
    }
}
