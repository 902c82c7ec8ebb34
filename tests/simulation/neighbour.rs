//! A coordinator that runs Milvus's own session code, told as briefly as what it does to the store allows.
//!
//! A mixcoord is as in 3.0 or in 2.6.13, any other role as in 2.5: see the rolling upgrade's documentation for what each does.
//! Neither has a deadline; what they believe of themselves is not looked at, what they write is.

use std::time::Duration;

use primacy_engine::milvus::{self, Layout};
use primacy_engine::store::{
    Answer, Compare, Condition, Key, KeyValue, LeaseId, Op, Range, Request, Txn, TxnAnswer, Value,
};
use primacy_engine::time::Time;
use primacy_model::{Keys, StreamId, Watch, WatchResponse};

use crate::cluster::{Who, may_lead};
use crate::random::{self, Draw};
use crate::scenario::{MIXCOORD, NeighbourPlan, ROLES};
use crate::world::{Happening, Listener, World};

/// Its TTL, in seconds.
const TTL: Duration = Duration::from_secs(5);
/// How long it waits before it tries again, whatever went wrong.
const AGAIN: Duration = Duration::from_millis(100);

/// One neighbour.
#[derive(Debug)]
pub struct Neighbour {
    role: usize,
    /// As in 2.6.13.
    kill: bool,
    /// How far it is.
    pub state: State,
    lease: LeaseId,
    id: i64,
    stream: Option<StreamId>,
    tries: u64,
}

/// How far a neighbour is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Takes an id, a lease, its record.
    Starting,
    /// Tries to win.
    Campaigning,
    /// Waits for the lock to change.
    Waiting,
    /// It has won.
    Active,
    /// Waits for something that will not come, for ever; still renews its lease, if it has one.
    Stuck,
    /// Its process has ended.
    Ended,
}

impl Neighbour {
    /// One that has not started yet.
    pub fn new(plan: &NeighbourPlan) -> Self {
        let (state, lease) = (State::Starting, LeaseId::NONE);
        Neighbour { role: plan.role, kill: plan.kill, state, lease, id: 0, stream: None, tries: 0 }
    }

    fn is_new(&self) -> bool {
        self.role == MIXCOORD
    }

    /// Beside ours, of 3.x, either may lead in some runs and not in others.
    fn version(&self) -> semver::Version {
        semver::Version::new(3, u64::from(!self.kill), 0)
    }
}

impl World<'_> {
    /// A neighbour does its next thing.
    pub fn neighbour_goes_on(&mut self, index: usize) {
        let n = &mut self.neighbours[index];
        n.tries += 1;
        let r = &mut random::of(&[self.scenario.seed, 16, index as u64, n.tries]);
        let state = n.state;
        if matches!(state, State::Ended | State::Stuck | State::Active) {
            return;
        }
        self.settle_store();
        // It may fail, and then have happened all the same.
        let fails = self.now < self.cluster.down_until
            || (!self.is_calm() && r.permille(self.scenario.network.trouble / 4));
        let happens = !fails || (self.now >= self.cluster.down_until && r.bool());
        let next = if happens { self.neighbour_acts(index) } else { None };
        self.listen(Who::Neighbour(index));
        let n = &mut self.neighbours[index];
        let after = match (fails, next) {
            (false, Some(after)) => after,
            (false, None) => return,
            // 2.x tries again for ever; 3.0 ends while it starts, and on any error of its election.
            (true, _) if n.is_new() || matches!(n.state, State::Starting | State::Ended) => {
                n.state = State::Ended;
                return;
            }
            (true, _) => {
                n.state = State::Campaigning;
                AGAIN
            }
        };
        self.queue.push(self.now + after, Happening::Neighbour { index });
    }

    /// Does the next thing; after which time the one after that is due, if it is not waited for.
    fn neighbour_acts(&mut self, index: usize) -> Option<Duration> {
        match self.neighbours[index].state {
            State::Starting => self.neighbour_starts(index),
            _ if self.neighbours[index].is_new() => self.new_neighbour_campaigns(index),
            _ => self.old_neighbour_campaigns(index),
        }
    }

    fn neighbour_starts(&mut self, index: usize) -> Option<Duration> {
        let who = Who::Neighbour(index);
        let now = self.now;
        let id_key = self.cluster.root.id_key();
        let Some(counter) = self.cluster.key(now, &id_key) else {
            let put = Op::Put(id_key, "1".into(), LeaseId::NONE);
            let _ = self.cluster.perform(now, who, &txn(Vec::new(), vec![put]));
            return Some(AGAIN);
        };
        let Ok(id) = self.cluster.root.parse_id(&counter.value) else {
            self.neighbours[index].state = State::Ended;
            return None;
        };
        let put = Op::Put(id_key, (id + 1).to_string().into(), LeaseId::NONE);
        let _ = self.cluster.perform(now, who, &txn(Vec::new(), vec![put]));
        let n = &mut self.neighbours[index];
        let lease = LeaseId(50_000 + index as i64 * 100);
        (n.id, n.lease) = (id, lease);
        let role = n.role;
        let record = self.neighbour_record(index, role);
        let key: Key = format!("{}/session/{}-{id}", self.cluster.root, ROLES[role]).into();
        let granted = self.cluster.perform(now, who, &Request::Grant { lease, ttl: TTL });
        let absent = Compare { range: Range::Key(key.clone()), condition: Condition::Absent };
        let put = txn(vec![absent], vec![Op::Put(key, record, lease)]);
        let registered = self.cluster.perform(now, who, &put);
        let well = granted.is_ok() && matches!(registered, Ok(Answer::Txn(answer)) if answer.succeeded);
        self.neighbours[index].state = if well { State::Campaigning } else { State::Ended };
        self.queue.push(now + TTL / 3, Happening::NeighbourRenews { index });
        well.then_some(Duration::from_millis(5))
    }

    fn neighbour_record(&self, index: usize, role: usize) -> Value {
        let n = &self.neighbours[index];
        let address = format!("n{index}:1");
        let mut candidate = milvus::Candidate::new(&address, "", n.version()).expect("a candidate");
        candidate.trigger_kill = (!n.is_new() || n.kill).then_some(true);
        milvus::encode(&candidate, self.keys.role(role), n.id, n.lease, None)
    }

    /// 2.5: the lock alone; then a watch from the transaction's revision on.
    fn old_neighbour_campaigns(&mut self, index: usize) -> Option<Duration> {
        let (role, lease) = (self.neighbours[index].role, self.neighbours[index].lease);
        let lock = self.cluster.root.service_key(self.keys.role(role));
        let absent = Compare { range: Range::Key(lock.clone()), condition: Condition::Absent };
        let put = txn(vec![absent], vec![Op::Put(lock.clone(), self.neighbour_record(index, role), lease)]);
        match self.cluster.perform(self.now, Who::Neighbour(index), &put) {
            Ok(Answer::Txn(TxnAnswer { succeeded: true, revision, .. })) => {
                self.neighbour_has_won(index, lock, revision.0 + 1);
                None
            }
            Ok(Answer::Txn(TxnAnswer { revision, .. })) => {
                self.neighbours[index].state = State::Waiting;
                self.neighbour_watches(index, lock, revision.0);
                None
            }
            // Its lease is gone, and it goes on with it.
            _ => Some(Duration::from_secs(2)),
        }
    }

    /// 2.6.13, 3.0: waits by asking again and again until none of the three is there, then takes the four and the version.
    fn new_neighbour_campaigns(&mut self, index: usize) -> Option<Duration> {
        let now = self.now;
        let lease = self.neighbours[index].lease;
        let three = |kv: &KeyValue| {
            ROLES[1..4].iter().any(|role| kv.key.to_string().contains(&format!("/session/{role}")))
        };
        if self.cluster.keys(now).iter().any(three) {
            return Some(AGAIN * 5);
        }
        let keys = self.keys.of(MIXCOORD, Layout::Milvus);
        let version = self.cluster.root.version_key();
        let own = self.neighbours[index].version();
        let stored = self.cluster.key(now, &version);
        if stored.as_ref().is_some_and(|kv| !may_lead(&kv.value, &own)) {
            self.neighbours[index].state = State::Ended; // it panics
            return None;
        }
        let stored = stored.map_or(0, |kv| kv.version);
        let mut when: Vec<Compare> = keys
            .locks
            .iter()
            .map(|lock| Compare { range: Range::Key(lock.key.clone()), condition: Condition::Absent })
            .collect();
        when.push(Compare { range: Range::Key(version.clone()), condition: Condition::Version(stored) });
        let mut then: Vec<Op> = (0..4)
            .map(|role| Op::Put(keys.locks[role].key.clone(), self.neighbour_record(index, role), lease))
            .collect();
        then.push(Op::Put(version, own.to_string().into(), LeaseId::NONE));
        match self.cluster.perform(now, Who::Neighbour(index), &txn(when, then)) {
            Ok(Answer::Txn(TxnAnswer { succeeded: true, .. })) => {
                self.seen.neighbours += 1;
                self.neighbours[index].state = State::Active;
                None
            }
            Ok(_) => Some(AGAIN * 5),
            Err(_) => {
                self.neighbours[index].state = State::Ended;
                None
            }
        }
    }

    fn neighbour_has_won(&mut self, index: usize, lock: Key, from: i64) {
        self.seen.neighbours += 1;
        self.neighbours[index].state = State::Active;
        self.neighbour_watches(index, lock, from);
    }

    fn neighbour_watches(&mut self, index: usize, lock: Key, start_revision: i64) {
        let model = &mut self.cluster.model;
        if let Some(old) = self.neighbours[index].stream.take() {
            model.close_stream(old);
            self.streams.retain(|(stream, _)| *stream != old);
        }
        let stream = model.open_stream(self.now);
        model.watch(self.now, stream, Watch { start_revision, ..Watch::of(Keys::One(lock)) });
        self.neighbours[index].stream = Some(stream);
        self.streams.push((stream, Listener::Neighbour(index)));
    }

    /// A watch of a neighbour says something.
    pub fn neighbour_hears(&mut self, index: usize, response: &WatchResponse) {
        let n = &mut self.neighbours[index];
        match n.state {
            State::Waiting if response.canceled => n.state = State::Stuck,
            State::Waiting if !response.events.is_empty() => {
                n.state = State::Campaigning;
                self.queue.push(self.now + AGAIN, Happening::Neighbour { index });
            }
            // Its lock is gone: it ends.
            State::Active if response.events.iter().any(|e| e.event.now.is_none()) => n.state = State::Ended,
            _ => {}
        }
    }

    /// Its stream broke.
    pub fn neighbour_lost_watch(&mut self, index: usize) {
        let n = &mut self.neighbours[index];
        n.stream = None;
        if n.state == State::Waiting {
            n.state = State::Campaigning;
            self.queue.push(self.now + AGAIN, Happening::Neighbour { index });
        }
    }

    /// A neighbour renews its lease.
    pub fn neighbour_renews(&mut self, index: usize) {
        let (state, lease) = (self.neighbours[index].state, self.neighbours[index].lease);
        if state == State::Ended {
            return;
        }
        if self.now >= self.cluster.down_until {
            self.settle_store();
            let what = Request::KeepAlive { lease };
            let answer = self.cluster.perform(self.now, Who::Neighbour(index), &what);
            self.listen(Who::Neighbour(index));
            let n = &mut self.neighbours[index];
            if matches!(answer, Ok(Answer::Renewed { ttl: Duration::ZERO, .. })) {
                // 3.0 ends; 2.x ends as active, and goes on with the dead lease as standby.
                if n.is_new() || n.state == State::Active {
                    n.state = State::Ended;
                }
                return;
            }
        }
        self.queue.push(self.now + TTL / 3, Happening::NeighbourRenews { index });
    }

    /// A neighbour ends.
    pub fn neighbour_ends(&mut self, index: usize, orderly: bool) {
        let n = &mut self.neighbours[index];
        let lease = n.lease;
        if orderly && n.state != State::Ended && lease != LeaseId::NONE && self.now >= self.cluster.down_until
        {
            self.settle_store();
            let _ = self.cluster.perform(self.now, Who::Neighbour(index), &Request::Revoke { lease });
            self.listen(Who::Neighbour(index));
        }
        self.neighbours[index].state = State::Ended;
    }
}

fn txn(when: Vec<Compare>, then: Vec<Op>) -> Request {
    Request::Txn(Txn { when, then, otherwise: Vec::new() })
}

/// Whether a neighbour still keeps what it has in the store.
pub fn is_there(neighbour: &Neighbour, _now: Time) -> bool {
    neighbour.state != State::Ended
}
