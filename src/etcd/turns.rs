//! How many transactions are under way at a time, and whose wait for whose.

use super::in_time::timeout_at;
use super::translate;
use crate::store::{Failure, Request};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Transactions of one asker that are under way at a time; more wait, unsent. All elections of a session that lost
/// its lease write at once: more than etcd answers in time would be given up, in doubt, and tried again, for ever.
const TRANSACTIONS_AT_A_TIME: usize = 128;
/// The same of those with which elections only read: each reads for many of them.
const READS_AT_A_TIME: usize = 32;

/// For whom a request is made.
#[derive(Clone, Copy)]
pub(super) enum Asker {
    /// What the lease of a session stands on.
    Lease,
    Election,
    Host,
}

/// Whose transactions wait for whose: each asker has turns of its own. Leases wait for nobody, elections never for
/// their host, and what shows that an event got lost not for those that write.
pub(super) struct Turns {
    writes: Semaphore,
    reads: Semaphore,
    host: Semaphore,
}

impl Turns {
    pub(super) fn new() -> Turns {
        Turns {
            writes: Semaphore::new(TRANSACTIONS_AT_A_TIME),
            reads: Semaphore::new(READS_AT_A_TIME),
            host: Semaphore::new(TRANSACTIONS_AT_A_TIME),
        }
    }

    /// Waits for a turn, for as long as what is returned is kept; with it comes the time by which the request must be
    /// answered. A host's time begins with its call. An election's begins with its turn: until then it is sent to
    /// nobody, and nobody is to be doubted for not answering it.
    pub(super) async fn take(
        &self,
        request: &Request,
        asker: Asker,
        limit: Duration,
    ) -> Result<(Option<SemaphorePermit<'_>>, Instant), Failure> {
        let until = Instant::now() + limit;
        let not_sent = |why: &str| Failure::Unreachable(format!("not sent: {why}"));
        match (request, asker) {
            (Request::Txn(_), Asker::Host) => match timeout_at(until, self.host.acquire()).await {
                Ok(Ok(turn)) => Ok((Some(turn), until)),
                _ => Err(not_sent("too many are waiting for their answers")),
            },
            (Request::Txn(txn), Asker::Election) => {
                let turns = if translate::only_reads(txn) { &self.reads } else { &self.writes };
                let turn = turns.acquire().await.map_err(|_| not_sent("the session has ended"))?;
                Ok((Some(turn), Instant::now() + limit))
            }
            _ => Ok((None, until)),
        }
    }

    /// Elections get no turn any more.
    pub(super) fn end(&self) {
        self.writes.close();
        self.reads.close();
    }
}
