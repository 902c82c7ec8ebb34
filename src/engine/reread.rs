//! The re-read: a linearizable look at all keys of all elections, so that an event that got lost, however it got
//! lost, is found out about within a TTL; by a primary within half of one.
//!
//! A few transactions of gets serve all elections of a session. It does not read the whole prefix, which holds
//! every node of the cluster.

use std::time::Duration;

use super::Setup;
use super::action::Purpose;
use super::backoff::Backoff;
use super::effects::Effects;
use super::ids::{ElectionId, RequestId};
use crate::clock::Time;
use crate::log::Level;
use crate::store::{Answer, Failure, KeyValue, Op, Range, Request, Revision, Txn};

/// etcd refuses transactions of more than 128 operations (`--max-txn-ops`).
const MOST_GETS: usize = 126;
const ATTEMPT: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Reread {
    /// `None`: as soon as there is something to read.
    due: Option<Time>,
    under_way: Vec<Batch>,
    /// Asked for while one was under way.
    again: bool,
    backoff: Backoff,
}

/// One transaction, and how many of its gets are whose.
#[derive(Clone, Debug, Hash)]
struct Batch {
    request: RequestId,
    parts: Vec<(ElectionId, usize)>,
}

impl Reread {
    /// Asks for one now.
    pub fn wish(&mut self, now: Time) {
        if self.under_way.is_empty() {
            self.due = Some(now);
        } else {
            self.again = true;
        }
    }

    /// The next one is due at `at` or earlier.
    pub fn at_latest(&mut self, at: Time) {
        self.due = self.due.map(|due| due.min(at));
    }

    /// Forgets those that are under way: their answers say nothing about the store as it is now.
    pub fn forget(&mut self) {
        self.under_way.clear();
        self.due = None;
    }

    pub fn timers(&self, mut due: impl FnMut(Time, &'static str)) {
        if let (Some(at), true) = (self.due, self.under_way.is_empty()) {
            due(at, "reread due");
        }
    }

    /// Sends the reads of `all` if it is time to; the next time is a `period` later.
    pub fn start_if_due<'a>(
        &mut self,
        fx: &mut Effects,
        setup: &Setup,
        period: Duration,
        all: impl Iterator<Item = (ElectionId, &'a [Range])>,
    ) {
        let due = *self.due.get_or_insert(fx.now + period);
        if due > fx.now || !self.under_way.is_empty() {
            return;
        }
        self.due = Some(fx.now + period);
        let patience = self.backoff.patience(ATTEMPT, setup.request_timeout);
        let (mut gets, mut parts) = (Vec::new(), Vec::new());
        let mut send = |gets: &mut Vec<Op>, parts: &mut Vec<(ElectionId, usize)>| {
            if !gets.is_empty() {
                let txn = Txn { then: std::mem::take(gets), ..Txn::default() };
                let request = fx.send(Purpose::Reread, None, patience, Request::Txn(txn));
                self.under_way.push(Batch { request, parts: std::mem::take(parts) });
            }
        };
        for (election, ranges) in all.filter(|(_, ranges)| !ranges.is_empty()) {
            if gets.len() + ranges.len() > MOST_GETS {
                send(&mut gets, &mut parts);
            }
            gets.extend(ranges.iter().cloned().map(Op::Get));
            parts.push((election, ranges.len()));
        }
        send(&mut gets, &mut parts);
    }

    /// Hands what was read to `each` election.
    pub fn answered(
        &mut self,
        fx: &mut Effects,
        request: RequestId,
        result: &Result<Answer, Failure>,
        mut each: impl FnMut(ElectionId, Revision, &[Vec<KeyValue>]),
    ) {
        let Some(at) = self.under_way.iter().position(|batch| batch.request == request) else { return };
        let batch = self.under_way.swap_remove(at);
        match result {
            Ok(Answer::Txn(answer)) => {
                self.backoff.reset();
                let mut reads = answer.reads.as_slice();
                for (election, count) in batch.parts {
                    let Some((own, rest)) = reads.split_at_checked(count) else { break };
                    each(election, answer.revision, own);
                    reads = rest;
                }
            }
            Ok(_) => {}
            Err(failure) => {
                fx.log(Level::Debug, None, format!("re-read got no good answer: {failure}; tried again"));
                self.due = Some(self.backoff.after(failure, fx));
            }
        }
        if self.under_way.is_empty() && std::mem::take(&mut self.again) {
            self.due = Some(fx.now);
        }
    }
}
