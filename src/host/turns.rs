//! How many transactions are under way at a time, and whose wait for whose.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::store::Asker;
use crate::in_time::timeout_at;
use crate::store::{Failure, Request};

/// Transactions of one asker that are under way at a time; more wait, unsent. All elections of a session that lost
/// its lease write at once: more than a store answers in time would be given up, in doubt, and tried again, for ever.
const TRANSACTIONS_AT_A_TIME: usize = 128;
/// The same of those with which elections only read: each reads for many of them.
const READS_AT_A_TIME: usize = 32;

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

    /// Waits for a turn, for as long as what is returned is kept; with it comes how long the request
    /// may take. A host's time begins with its call. An election's begins with its turn: until then it is sent to
    /// nobody, and nobody is to be doubted for not answering it.
    pub(super) async fn take(
        &self,
        request: &Request,
        asker: Asker,
        limit: Duration,
    ) -> Result<(Option<SemaphorePermit<'_>>, Duration), Failure> {
        let until = Instant::now() + limit;
        let not_sent = |why: &str| Failure::Unreachable(format!("not sent: {why}"));
        match (request, asker) {
            (Request::Txn(_), Asker::Host) => match timeout_at(until, self.host.acquire()).await {
                Ok(Ok(turn)) => Ok((Some(turn), until.saturating_duration_since(Instant::now()))),
                _ => Err(not_sent("too many are waiting for their answers")),
            },
            (Request::Txn(txn), Asker::Election) => {
                let turns = if txn.only_reads() { &self.reads } else { &self.writes };
                let turn = turns.acquire().await.map_err(|_| not_sent("the session has ended"))?;
                Ok((Some(turn), limit))
            }
            _ => Ok((None, limit)),
        }
    }

    /// Elections get no turn any more.
    pub(super) fn end(&self) {
        self.writes.close();
        self.reads.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{LeaseId, Op, Txn};

    fn put() -> Request {
        let put = Op::Put("key".into(), "value".into(), LeaseId::NONE);
        Request::Txn(Txn { then: vec![put], ..Txn::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_writes_that_get_no_answer_only_so_many_are_in_doubt_and_elections_and_leases_wait_for_none()
     {
        let (turns, put, limit) = (Turns::new(), put(), Duration::from_secs(1));
        let mut sent = Vec::new();
        let mut not_sent = 0;
        for _ in 0..200 {
            match turns.take(&put, Asker::Host, limit).await {
                Ok(turn) => sent.push(turn),
                Err(Failure::Unreachable(_)) => not_sent += 1,
                other => unreachable!("{other:?}"),
            }
        }
        assert_eq!((sent.len(), not_sent), (128, 72));
        let began = Instant::now();
        assert_eq!(turns.take(&put, Asker::Election, limit).await.unwrap().1, limit);
        assert_eq!(turns.take(&put, Asker::Lease, limit).await.unwrap().1, limit);
        assert_eq!(Instant::now(), began);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_a_host_begins_with_its_call_and_that_of_an_election_with_its_turn() {
        let (turns, put, limit) = (Turns::new(), put(), Duration::from_secs(10));
        for (asker, left) in [(Asker::Host, Duration::from_secs(7)), (Asker::Election, limit)] {
            let mut held = Vec::new();
            while held.len() < TRANSACTIONS_AT_A_TIME {
                held.push(turns.take(&put, asker, limit).await.unwrap());
            }
            let (next, _) = tokio::join!(turns.take(&put, asker, limit), async {
                tokio::time::sleep(Duration::from_secs(3)).await;
                held.clear();
            });
            assert_eq!(next.unwrap().1, left);
        }
    }
}
