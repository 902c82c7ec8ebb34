//! How many transactions are under way at a time, and whose wait for whose.

use crate::store::Request;
use tokio::sync::Semaphore;

/// Transactions of one asker that are under way at a time; more wait, unsent. All elections of a session that lost
/// its lease write at once: more than etcd answers in time would be given up, in doubt, and tried again, for ever.
const TRANSACTIONS_AT_A_TIME: usize = 128;

/// For whom a request is made.
#[derive(Clone, Copy)]
pub(super) enum Asker {
    /// What the lease of a session stands on.
    Lease,
    Election,
    Host,
}

/// Whose transactions wait for whose: each asker has turns of its own.
pub(super) struct Turns {
    elections: Semaphore,
    host: Semaphore,
}

impl Turns {
    pub(super) fn new() -> Turns {
        Turns {
            elections: Semaphore::new(TRANSACTIONS_AT_A_TIME),
            host: Semaphore::new(TRANSACTIONS_AT_A_TIME),
        }
    }

    /// Leases wait for nobody, and elections never for their host.
    pub(super) fn of(&self, request: &Request, asker: Asker) -> Option<&Semaphore> {
        match (request, asker) {
            (Request::Txn(_), Asker::Election) => Some(&self.elections),
            (Request::Txn(_), Asker::Host) => Some(&self.host),
            _ => None,
        }
    }
}
