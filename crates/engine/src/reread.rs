//! The re-read: a linearizable look at all keys of all elections, so that an event that got lost, however it got
//! lost, is found out about within a TTL; by a primary within half of one.
//!
//! What confirms a primary's renewal is such a look as well, at its own keys at least. Where all keys fit into one
//! transaction it is the whole re-read, and while renewals are confirmed there is no other.
//!
//! A few transactions of gets serve all elections of a session. It does not read the whole prefix, which holds
//! every node of the cluster. The locks of elections that have ended are read as well: a store that went back may
//! hold them again, on the lease that the session still renews.

use std::time::Duration;

use super::Setup;
use super::action::Purpose;
use super::backoff::Backoff;
use super::effects::Effects;
use super::ids::{ElectionId, RequestId};
use super::rights;
use crate::Level;
use crate::spell::Spell;
use crate::store::{Answer, Failure, KeyValue, Op, Range, Request, Revision, Txn};
use crate::time::Time;

/// etcd refuses transactions of more than 128 operations (`--max-txn-ops`).
const MOST_GETS: usize = 126;
/// As many gets are named when a re-read is denied: enough for any one election.
const SAMPLE: usize = 12;

#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Reread {
    /// `None`: as soon as there is something to read.
    due: Option<Time>,
    /// When all keys were asked for last.
    last: Time,
    under_way: Vec<Batch>,
    /// Those that are to confirm a renewal; they wait for no others, since what was sent before confirms nothing.
    confirming: Vec<Batch>,
    /// Asked for while one was under way.
    again: bool,
    backoff: Backoff,
    /// The store answers none.
    blind: Spell<Time>,
}

/// One transaction, and how many of its gets are whose.
#[derive(Clone, Debug, Hash)]
struct Batch {
    request: RequestId,
    parts: Vec<(Option<ElectionId>, usize)>,
    /// The first of its gets, for people.
    sample: Txn,
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
        self.confirming.clear();
        self.due = None;
    }

    pub fn timers(&self, mut due: impl FnMut(Time, &'static str)) {
        if let (Some(at), true) = (self.due, self.under_way.is_empty()) {
            due(at, "reread due");
        }
    }

    /// Sends the reads of `all` if it is time to; the next time is a `period` later. `None` stands for elections that
    /// have ended.
    pub fn start_if_due<'a>(
        &mut self,
        fx: &mut Effects,
        setup: &Setup,
        period: Duration,
        all: impl Iterator<Item = (Option<ElectionId>, &'a [Range])>,
    ) {
        let due = *self.due.get_or_insert(fx.now + period);
        if due > fx.now || !self.under_way.is_empty() {
            return;
        }
        (self.due, self.last) = (Some(fx.now + period), fx.now);
        // One that is lost must not put the next one off for longer than a period.
        let patience = self.backoff.patience(setup.request_timeout.min(period));
        self.under_way = batches(fx, Purpose::Reread, patience, all);
    }

    /// Sends what confirms a renewal, now: reads of `all` if one transaction can do it, else of what the primaries
    /// among them hold, their `own`. The next re-read is a `period` away then, or two periods from the last one of all.
    pub fn confirm<'a>(
        &mut self,
        fx: &mut Effects,
        patience: Duration,
        period: Duration,
        all: impl Iterator<Item = (Option<ElectionId>, &'a [Range])> + Clone,
        own: impl Iterator<Item = (Option<ElectionId>, &'a [Range])>,
    ) {
        let mut room = MOST_GETS;
        let fits = all.clone().all(|(_, ranges)| {
            let left = room.checked_sub(ranges.len());
            room = left.unwrap_or_default();
            left.is_some()
        });
        self.confirming = if fits {
            self.last = fx.now;
            batches(fx, Purpose::Confirm, patience, all)
        } else {
            batches(fx, Purpose::Confirm, patience, own)
        };
        self.due = Some((fx.now + period).min(self.last + period * 2));
    }

    /// Hands what was read to `each` election.
    pub fn answered(
        &mut self,
        fx: &mut Effects,
        request: RequestId,
        result: &Result<Answer, Failure>,
        mut each: impl FnMut(Option<ElectionId>, Revision, &[Vec<KeyValue>]),
    ) {
        let find = |batches: &[Batch]| batches.iter().position(|batch| batch.request == request);
        let (batch, confirms) = match (find(&self.under_way), find(&self.confirming)) {
            (Some(at), _) => (self.under_way.swap_remove(at), false),
            (None, Some(at)) => (self.confirming.swap_remove(at), true),
            (None, None) => return,
        };
        match result {
            Ok(Answer::Txn(answer)) => {
                self.backoff.reset();
                if self.blind.well() {
                    fx.log(Level::Info, None, "re-reads are answered again");
                }
                let mut reads = answer.reads.as_slice();
                for (election, count) in batch.parts {
                    let Some((own, rest)) = reads.split_at_checked(count) else { break };
                    each(election, answer.revision, own);
                    reads = rest;
                }
            }
            Ok(_) => {}
            Err(failure) => {
                let failure = rights::named(failure, &batch.sample);
                let said = failure.wants_help() && self.blind.wrong(fx.now);
                let level = if said { Level::Error } else { Level::Debug };
                fx.log(level, None, format!("re-read got no good answer: {failure}; tried again"));
                if !confirms {
                    self.due = Some(self.backoff.after(&failure, fx));
                } // else the renewal is sent again, and this with it
            }
        }
        if self.under_way.is_empty() && std::mem::take(&mut self.again) {
            self.due = Some(fx.now);
        }
    }
}

/// Sends reads of these ranges, as many in each transaction as etcd takes.
fn batches<'a>(
    fx: &mut Effects,
    purpose: Purpose,
    patience: Duration,
    all: impl Iterator<Item = (Option<ElectionId>, &'a [Range])>,
) -> Vec<Batch> {
    let mut sent = Vec::new();
    let (mut gets, mut parts) = (Vec::new(), Vec::new());
    let mut send = |gets: &mut Vec<Op>, parts: &mut Vec<(Option<ElectionId>, usize)>| {
        if !gets.is_empty() {
            let txn = Txn { then: std::mem::take(gets), ..Txn::default() };
            let sample = Txn { then: txn.then.iter().take(SAMPLE).cloned().collect(), ..Txn::default() };
            let request = fx.send(purpose, None, patience, Request::Txn(txn));
            sent.push(Batch { request, parts: std::mem::take(parts), sample });
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
    sent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Action;
    use crate::milvus::{Candidate, Layout, Root};
    use crate::store::{LeaseId, TxnAnswer};
    use crate::time::Time;

    fn setup() -> Setup {
        Setup {
            root: Root::join("by-dev", "meta").unwrap(),
            layout: Layout::Milvus,
            candidate: Candidate::new("a:1", "host", semver::Version::new(3, 0, 0)).unwrap(),
            ttl: Duration::from_secs(10),
            margin: None,
            priority: 1,
            warmup_interval: Duration::from_secs(1),
            activation_timeout: Duration::from_secs(10),
            liveness_timeout: None,
            drain_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(10),
            first_lease: LeaseId(1),
            seed: 0,
        }
    }

    /// 100 elections, three keys each: more than one transaction can read.
    fn elections() -> Vec<(ElectionId, Vec<Range>)> {
        let keys = |e: u32| (0..3).map(|k| Range::Key(format!("{e}/{k}").into())).collect();
        (0..100).map(|e| (ElectionId(e), keys(e))).collect()
    }

    fn sent(fx: &mut Effects) -> Vec<(RequestId, Txn)> {
        let txn = |action| match action {
            Action::Send { request, what: Request::Txn(txn), .. } => Some((request, txn)),
            _ => None,
        };
        fx.take().into_iter().filter_map(txn).collect()
    }

    fn ask(reread: &mut Reread, fx: &mut Effects, all: &[(ElectionId, Vec<Range>)]) -> Vec<(RequestId, Txn)> {
        reread.wish(fx.now);
        let all = all.iter().map(|(election, ranges)| (Some(*election), ranges.as_slice()));
        reread.start_if_due(fx, &setup(), Duration::from_secs(5), all);
        sent(fx)
    }

    #[test]
    fn a_batch_has_no_more_reads_than_etcd_takes_and_each_election_finds_its_own() {
        let (mut reread, mut fx, all) = (Reread::default(), Effects::new(0), elections());
        let batches = ask(&mut reread, &mut fx, &all);
        assert_eq!(batches.iter().map(|(_, txn)| txn.then.len()).collect::<Vec<_>>(), [126, 126, 48]);
        let mut found = Vec::new();
        for (request, txn) in batches.into_iter().rev() {
            let read = |op: &Op| match op {
                Op::Get(Range::Key(key)) => vec![KeyValue {
                    key: key.clone(),
                    value: "".into(),
                    create_revision: Revision(1),
                    mod_revision: Revision(1),
                    version: 1,
                    lease: LeaseId::NONE,
                }],
                _ => Vec::new(),
            };
            let answer = TxnAnswer { reads: txn.then.iter().map(read).collect(), ..TxnAnswer::default() };
            reread.answered(&mut fx, request, &Ok(Answer::Txn(answer)), |election, _, reads| {
                let keys = reads.iter().flatten().map(|kv| kv.key.to_string());
                found.push((election.unwrap(), keys.collect::<Vec<_>>()));
            });
        }
        found.sort();
        let own = |e: u32| (ElectionId(e), (0..3).map(|k| format!("{e}/{k}")).collect::<Vec<_>>());
        assert_eq!(found, (0..100).map(own).collect::<Vec<_>>());
    }

    #[test]
    fn what_confirms_reads_everything_once_it_fits_and_only_what_is_held_otherwise() {
        let (mut reread, mut fx, all) = (Reread::default(), Effects::new(0), elections());
        let (patience, period) = (Duration::from_secs(1), Duration::from_secs(5));
        fn parts(
            some: &[(ElectionId, Vec<Range>)],
        ) -> impl Iterator<Item = (Option<ElectionId>, &[Range])> + Clone {
            some.iter().map(|(election, ranges)| (Some(*election), ranges.as_slice()))
        }
        let gets =
            |sent: Vec<(RequestId, Txn)>| sent.iter().map(|(_, txn)| txn.then.len()).collect::<Vec<_>>();
        reread.confirm(&mut fx, patience, period, parts(&all[..42]), parts(&all[..1]));
        assert_eq!(gets(sent(&mut fx)), [126], "all of them, in one");
        reread.confirm(&mut fx, patience, period, parts(&all), parts(&all[..2]));
        assert_eq!(gets(sent(&mut fx)), [6], "two of a hundred are won");
        // Those that were not read then wait for two periods at most, since all were read at 0.
        fx.now = Time::ZERO + period + Duration::from_secs(4);
        reread.confirm(&mut fx, patience, period, parts(&all), parts(&all[..2]));
        sent(&mut fx);
        fx.now = Time::ZERO + period * 2;
        reread.start_if_due(&mut fx, &setup(), period, parts(&all));
        assert_eq!(gets(sent(&mut fx)), [126, 126, 48]);
    }

    #[test]
    fn one_that_is_asked_for_while_another_is_under_way_follows_it() {
        let (mut reread, mut fx, all) = (Reread::default(), Effects::new(0), elections());
        fx.now = Time::ZERO + Duration::from_secs(1);
        let first = ask(&mut reread, &mut fx, &all);
        assert!(ask(&mut reread, &mut fx, &all).is_empty());
        for (request, _) in first {
            reread.answered(&mut fx, request, &Ok(Answer::Txn(TxnAnswer::default())), |_, _, _| ());
        }
        let all = all.iter().map(|(election, ranges)| (Some(*election), ranges.as_slice()));
        reread.start_if_due(&mut fx, &setup(), Duration::from_secs(5), all);
        assert_eq!(sent(&mut fx).len(), 3);
    }
}
