//! Leases that are not used any more, but perhaps still known to the store: revoked as soon as nobody needs them.

use crate::Setup;
use crate::action::Purpose;
use crate::backoff::Backoff;
use crate::effects::Effects;
use crate::ids::RequestId;
use crate::store::{Answer, Failure, LeaseId, Request};
use crate::time::Time;

#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Retired(Vec<Former>);

#[derive(Clone, Debug, Hash)]
struct Former {
    id: LeaseId,
    revoke: Revoke,
    backoff: Backoff,
}

#[derive(Clone, Debug, Hash)]
enum Revoke {
    /// Not before this request for the lease is answered: it could be granted after it was revoked.
    After(RequestId),
    Due(Time),
    Sent(RequestId),
}

impl Retired {
    pub fn add(&mut self, id: LeaseId) {
        self.push(id, Revoke::Due(Time::ZERO));
    }

    /// Adds one that was asked for and may be granted yet. It is revoked now as well: most likely behind the request, and
    /// there may be no time left when that is answered.
    pub fn add_after(&mut self, id: LeaseId, request: RequestId) {
        self.add(id);
        self.push(id, Revoke::After(request));
    }

    fn push(&mut self, id: LeaseId, revoke: Revoke) {
        self.0.push(Former { id, revoke, backoff: Backoff::default() });
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Revokes those that nobody `needs`.
    pub fn revoke(&mut self, fx: &mut Effects, setup: &Setup, needs: impl Fn(LeaseId) -> bool) {
        for lease in &mut self.0 {
            if matches!(lease.revoke, Revoke::Due(at) if at <= fx.now) && !needs(lease.id) {
                let patience = lease.backoff.patience(setup.request_timeout);
                let what = Request::Revoke { lease: lease.id };
                lease.revoke = Revoke::Sent(fx.send(Purpose::Revoke, None, patience, what));
            }
        }
    }

    pub fn timers(&self, mut due: impl FnMut(Time, &'static str)) {
        for lease in &self.0 {
            if let Revoke::Due(at) = lease.revoke {
                due(at, "revoke due");
            }
        }
    }

    /// Takes in an answer, if it is one to a request that a retired lease waits for; whether it was.
    pub fn answered(
        &mut self,
        fx: &mut Effects,
        request: RequestId,
        result: &Result<Answer, Failure>,
    ) -> bool {
        let waits = |lease: &Former| match lease.revoke {
            Revoke::After(asked) | Revoke::Sent(asked) => asked == request,
            Revoke::Due(_) => false,
        };
        let Some(at) = self.0.iter().position(waits) else { return false };
        let Some(lease) = self.0.get_mut(at) else { return false };
        match (&lease.revoke, result) {
            (Revoke::After(_), _) => lease.revoke = Revoke::Due(fx.now),
            (_, Err(failure)) if *failure != Failure::LeaseNotFound => {
                lease.revoke = Revoke::Due(lease.backoff.after(failure, fx));
            }
            _ => _ = self.0.swap_remove(at),
        }
        true
    }
}
