//! How a session ends: its elections, then its leases, in time.

use std::time::Duration;

use super::{Engine, Life};
use crate::action::Action;
use crate::election::reserve;
use crate::ids::CallId;
use crate::time::Time;

/// How long a stop that has nothing to release waits for the store: its process ends within 100 ms.
const PARTING: Duration = Duration::from_millis(80);

impl Engine {
    pub(super) fn stop(&mut self, timeout: Duration, within: Option<CallId>) {
        let now = self.fx.now;
        let within = within.filter(|call| self.elections.is_running(*call));
        let (until, asked) = match self.life {
            Life::Closed => return,
            Life::Stopping { until } => (until.min(now + timeout), None),
            // The call in which it was asked for first still counts.
            Life::StopAsked { call, until, .. } => (until.min(now + timeout), within.and(Some(call))),
            _ => (now + timeout, within),
        };
        match asked {
            Some(call) => {
                self.life = Life::StopAsked { call, begin: until - reserve(until.since(now)), until };
            }
            None => self.begin_stop(until),
        }
    }

    pub(super) fn begin_stop(&mut self, until: Time) {
        let left = until.since(self.fx.now);
        self.life = Life::Stopping { until };
        for election in self.elections.change_all() {
            election.withdraw(&mut self.fx, &self.setup, left - reserve(left), None);
        }
    }

    /// Revokes what is not needed any more; once a stop has settled all elections, that is the last lease.
    pub(super) fn end_leases(&mut self) {
        if let Life::Stopping { until } = &mut self.life
            && self.elections.all_settled()
            && !self.keeper.is_closed()
        {
            // Nobody waits for what goes with the lease: whether that is revoked or runs out.
            if !self.elections.any_may_hold() {
                *until = (*until).min(self.fx.now + PARTING);
            }
            self.keeper.close(&mut self.fx);
            self.identity.close();
        }
        let Engine { setup, fx, keeper, elections, .. } = self;
        keeper.revoke_retired(fx, setup, |lease| elections.any_needs(lease));
    }

    pub(super) fn look_at_stop(&mut self) {
        let Life::Stopping { until } = self.life else { return };
        let clean = self.keeper.is_clean();
        if clean || self.fx.now >= until {
            self.life = Life::Closed;
            self.elections.remove_withdrawn();
            self.fx.push(Action::Closed { clean });
        }
    }
}
