//! What etcd would answer, as pure code: no I/O, no clock; the time is handed in.
//!
//! Each request first brings the model to its instant: leases that are due expire, watches that lag catch
//! up. What watches hear is collected, and taken with [`Model::take_responses`]. The model answers at once
//! and in order; to delay, lose and reorder is left to those who use it.
//!
//! It follows etcd 3.7. What earlier versions do differently, and what this model leaves out, the
//! conformance test lists.

mod data;
mod error;
mod former;
mod lease;
mod request;
mod txn;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use self::data::Data;
use self::watch::Stream;
use primacy_engine::store::{self, Origin, Revision};
use primacy_engine::time::Time;

pub use self::error::{Code, Error};
use self::former::Former;
pub use self::lease::TimeToLive;
pub use self::request::{
    Compare, Delete, DeleteAnswer, Event, Get, GetAnswer, Keys, Op, OpAnswer, Order, Put, PutAnswer,
    Relation, SortBy, Target, Txn, TxnAnswer, Watch, WatchResponse,
};
pub use self::txn::MAX_TXN_OPS;
pub use self::watch::StreamId;

/// What is decided once for a model.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster's id, told with each answer.
    pub cluster: u64,
    /// Decides how late each lease expires, when the rounds for lagging watches come, and free lease ids.
    pub seed: u64,
    /// The least TTL that is granted, in seconds. etcd: one and a half election timeouts, rounded up.
    pub min_ttl: i64,
    /// How late a lease may expire. etcd looks every half second.
    pub max_lateness: Duration,
}

/// A copy of the data, to restore a store from.
#[derive(Clone, Debug)]
pub struct Snapshot(Arc<Data>);

/// The store. Cheap to clone: copies share the data until one of them writes.
#[derive(Clone, Debug)]
pub struct Model {
    data: Arc<Data>,
    cluster: u64,
    /// Of raft: one more with each leader.
    term: u64,
    /// A leader that stood still, and takes itself for the leader all the same.
    former: Option<Former>,
    min_ttl: i64,
    max_lateness: Duration,
    random: fastrand::Rng,
    streams: BTreeMap<StreamId, Stream>,
    next_stream: u64,
    outbox: Vec<(StreamId, WatchResponse)>,
    round_phase: u64,
    lease_due: Time,
    round_due: Time,
    progress_due: Time,
    /// The earliest of the three.
    due: Time,
}

impl Default for Options {
    fn default() -> Self {
        Options { cluster: 1, seed: 0, min_ttl: 2, max_lateness: Duration::from_millis(500) }
    }
}

impl Model {
    /// An empty store at revision 1.
    pub fn new(options: Options) -> Self {
        let mut random = fastrand::Rng::with_seed(options.seed);
        let round_phase = random.u64(0..100_000_000);
        Model {
            data: Arc::new(Data::new()),
            cluster: options.cluster,
            term: 2,
            former: None,
            min_ttl: options.min_ttl,
            max_lateness: options.max_lateness,
            random,
            streams: BTreeMap::new(),
            next_stream: 0,
            outbox: Vec::new(),
            round_phase,
            lease_due: Time::NEVER,
            round_due: Time::NEVER,
            progress_due: Time::NEVER,
            due: Time::NEVER,
        }
    }

    /// The revision of the last write.
    pub fn revision(&self) -> i64 {
        self.data.revision
    }

    /// What is older than this revision is gone; -1: nothing is.
    pub fn compacted(&self) -> i64 {
        self.data.compacted
    }

    /// The cluster's id.
    pub fn cluster(&self) -> u64 {
        self.cluster
    }

    /// Whose word its answers are.
    pub fn origin(&self) -> Origin {
        Origin { cluster: self.cluster, term: self.term }
    }

    /// When something happens by itself next; [`Time::NEVER`] if nothing will.
    pub fn next_deadline(&self) -> Time {
        self.due
    }

    /// Lets happen what happens by itself until `now`, in the order of its time. An instant that lies
    /// behind one given earlier changes nothing.
    pub fn advance(&mut self, now: Time) {
        while self.due <= now && self.due < Time::NEVER {
            let at = self.due;
            if self.lease_due <= at {
                self.expire(at);
            }
            if self.round_due <= at {
                self.round();
            }
            if self.progress_due <= at {
                self.progress(at);
            }
        }
    }

    /// Reads keys.
    pub fn get(&mut self, now: Time, get: &Get) -> Result<GetAnswer, Error> {
        self.advance(now);
        txn::check_get(get)?;
        self.data.get(get)
    }

    /// Writes a key.
    pub fn put(&mut self, now: Time, put: &Put) -> Result<PutAnswer, Error> {
        self.advance(now);
        txn::check_put(put)?;
        txn::can_put(&self.data, put)?;
        let mut write = Arc::make_mut(&mut self.data).write();
        let answer = txn::run_put(&mut write, put);
        let changes = write.finish();
        self.notify(changes);
        Ok(answer)
    }

    /// Deletes keys.
    pub fn delete(&mut self, now: Time, delete: &Delete) -> Result<DeleteAnswer, Error> {
        self.advance(now);
        txn::check_delete(delete)?;
        let mut write = Arc::make_mut(&mut self.data).write();
        let answer = txn::run_delete(&mut write, delete);
        let changes = write.finish();
        self.notify(changes);
        Ok(answer)
    }

    /// Runs a transaction: all its writes at one revision, or none.
    pub fn txn(&mut self, now: Time, txn: &Txn) -> Result<TxnAnswer, Error> {
        self.advance(now);
        txn::check_txn(txn)?;
        let mut path = Vec::with_capacity(1);
        txn::decide(&self.data, txn, &mut path);
        txn::check_branches(&self.data, txn, &mut path.iter().copied())?;
        let mut write = Arc::make_mut(&mut self.data).write();
        let mut answer = txn::run(&mut write, txn, &mut path.iter().copied())?;
        answer.revision = write.revision();
        let changes = write.finish();
        self.notify(changes);
        Ok(answer)
    }

    /// Forgets what is older than `revision`.
    pub fn compact(&mut self, now: Time, revision: i64) -> Result<(), Error> {
        self.advance(now);
        Arc::make_mut(&mut self.data).compact(revision)
    }

    /// Answers a request of the engine.
    pub fn perform(&mut self, now: Time, request: &store::Request) -> Result<store::Answer, store::Failure> {
        match request {
            store::Request::Grant { lease, ttl } => {
                let ttl = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
                let (_, granted) = self.grant(now, *lease, ttl)?;
                Ok(store::Answer::Granted { ttl: seconds(granted) })
            }
            store::Request::KeepAlive { lease } => {
                let ttl = seconds(self.keep_alive(now, *lease));
                Ok(store::Answer::Renewed { ttl, origin: self.origin() })
            }
            store::Request::Revoke { lease } => {
                self.revoke(now, *lease)?;
                Ok(store::Answer::Revoked)
            }
            store::Request::Txn(txn) => {
                let answer = self.txn(now, &txn.into())?;
                Ok(store::Answer::Txn(store::TxnAnswer {
                    succeeded: answer.succeeded,
                    revision: Revision(answer.revision),
                    origin: self.origin(),
                    reads: answer
                        .answers
                        .into_iter()
                        .filter_map(|answer| match answer {
                            OpAnswer::Get(get) => Some(get.kvs),
                            _ => None,
                        })
                        .collect(),
                }))
            }
        }
    }

    /// The server stops and starts again: all streams end, and every lease starts again with its full TTL.
    pub fn restart(&mut self, now: Time) {
        self.leader_changed(now);
        self.end_streams();
    }

    /// A copy of the data as it is.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.data.clone())
    }

    /// Puts the store back to an older copy of its data, and restarts it. The cluster's id stays.
    pub fn restore(&mut self, now: Time, snapshot: &Snapshot) {
        self.advance(now);
        self.data = snapshot.0.clone();
        // What was due in the old data must not happen to the new: the leases start again.
        self.lease_due = Time::NEVER;
        self.end_streams();
        self.restart_leases(now);
    }

    /// Raises the revision by `by` and compacts what is older, as `etcdutl snapshot restore --bump-revision
    /// --mark-compacted` does, so that no revision is handed out twice.
    pub fn bump_revision(&mut self, by: i64) {
        let data = Arc::make_mut(&mut self.data);
        data.revision += by;
        data.compacted = data.revision;
        data.history.clear();
    }

    /// From now on this is another cluster.
    pub fn set_cluster(&mut self, cluster: u64) {
        self.cluster = cluster;
    }

    fn reckon(&mut self) {
        self.due = self.lease_due.min(self.round_due).min(self.progress_due);
    }
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}
