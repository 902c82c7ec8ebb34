//! The store, and the truth about it: who wrote what, who has won what, until when a lease is surely kept.
//!
//! The truth is read off the store's own history (a watch on everything), not off what anybody was told.

use std::collections::BTreeMap;
use std::time::Duration;

use primacy_engine::milvus::{self, Root};
use primacy_engine::store::{Answer, Failure, Key, KeyEvent, KeyValue, LeaseId, Request, Revision, Value};
use primacy_engine::time::Time;
use primacy_engine::{Purpose, Token};
use primacy_model::{Keys, Model, Options, StreamId, WatchResponse};
use semver::Version;

use crate::keys::TABLE;
use crate::scenario::{MIXCOORD, ROLES};

/// Who does something to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// A session of a process: the process, and its how-many-eth life.
    Session(usize, u32),
    /// A coordinator that runs Milvus's own code.
    Neighbour(usize),
    /// Somebody by hand.
    Operator,
    /// The store itself: a lease ran out.
    Store,
}

/// A key set that was taken by a campaign.
#[derive(Clone, Debug)]
pub struct Win {
    /// By whom.
    pub who: Who,
    /// Its role.
    pub role: usize,
    /// The roles that nobody else may be primary of.
    pub roles: u32,
    /// The fencing token.
    pub token: Token,
    /// The lease it stands on.
    pub lease: LeaseId,
    /// When one of its keys went first, and through whom.
    pub gone: Option<(Time, Who)>,
    /// When something was done to it that the guarantees exclude: by hand, or by putting the store back.
    pub excused: Option<Time>,
}

/// What the truth says about a moment in the store's life, kept with a backup.
#[derive(Clone, Debug, Default)]
struct Truth {
    owners: BTreeMap<Key, Who>,
    /// The win that each lock key belongs to.
    locks: BTreeMap<Key, usize>,
    /// The highest token under which a guarded write was committed, by role.
    committed: [i64; ROLES.len()],
}

/// The store and the truth about it.
#[derive(Debug)]
pub struct Cluster {
    /// The store.
    pub model: Model,
    /// Where everything lies.
    pub root: Root,
    /// All wins there ever were.
    pub wins: Vec<Win>,
    /// The member that took itself for the leader when it woke up, and until when.
    former: Option<(usize, Time)>,
    /// From here on the store does not answer, until then.
    pub down_until: Time,
    /// Puts are refused until then.
    pub no_space_until: Time,
    /// When the store was put back last.
    pub restored: Option<Time>,
    /// How often it was put back to revisions that it hands out again.
    pub incarnation: u32,
    truth: Truth,
    leases: BTreeMap<LeaseId, (Who, Time)>,
    /// What the version key held before it was written last.
    version_before: Option<Value>,
    backup: Option<(primacy_model::Snapshot, Truth)>,
    spy: StreamId,
    writes: Vec<primacy_model::Event>,
    /// All that was written, and when; kept where somebody wants it.
    pub history: Option<Vec<(Time, KeyEvent)>>,
    /// Wins that were excused since the last time somebody asked.
    pub fresh: Vec<usize>,
    /// A broken rule, found out about while something was written.
    pub broken: Option<(&'static str, String)>,
}

/// Where hosts write under their tokens.
pub const DATA: &str = "r/m/data/";

/// The bits of all roles that exclude each other with `role`.
pub fn roles_of(role: usize) -> u32 {
    if role == MIXCOORD { 0b1111 } else { 1 << role }
}

impl Cluster {
    /// An empty store.
    pub fn new(seed: u64, min_ttl: u64, now: Time) -> Self {
        let min_ttl = i64::try_from(min_ttl).expect("small");
        let mut model = Model::new(Options { seed, min_ttl, ..Options::default() });
        let spy = open_spy(&mut model, now);
        Cluster {
            model,
            root: TABLE.root.clone(),
            wins: Vec::new(),
            former: None,
            down_until: Time::ZERO,
            no_space_until: Time::ZERO,
            restored: None,
            incarnation: 0,
            truth: Truth::default(),
            leases: BTreeMap::new(),
            version_before: None,
            backup: None,
            spy,
            writes: Vec::new(),
            history: None,
            fresh: Vec::new(),
            broken: None,
        }
    }

    /// Answers a request; what watches have to say is left in the model.
    pub fn perform(&mut self, now: Time, who: Who, what: &Request) -> Result<Answer, Failure> {
        if now < self.no_space_until && takes_space(what) {
            return Err(Failure::NoSpace("etcdserver: mvcc: database space exceeded".into()));
        }
        let result = self.model.perform(now, what);
        match (what, &result) {
            (Request::Grant { lease, .. }, Ok(Answer::Granted { ttl })) => {
                self.leases.insert(*lease, (who, now + *ttl));
            }
            (Request::KeepAlive { lease }, Ok(Answer::Renewed { ttl, .. })) if *ttl > Duration::ZERO => {
                if let Some((_, until)) = self.leases.get_mut(lease) {
                    *until = (*until).max(now + *ttl);
                }
            }
            _ => {}
        }
        result
    }

    /// What the former leader answers alone, if it is the one that is asked; `None`: it is none, or no longer.
    pub fn perform_at_former(
        &mut self,
        now: Time,
        member: usize,
        what: &Request,
    ) -> Option<Result<Answer, Failure>> {
        let (former, until) = self.former?;
        if until <= now {
            self.former_leader_steps_down();
            return None;
        }
        (former == member).then(|| self.model.perform_at_former(now, what))
    }

    /// The leader stands still and another one is elected; until then it takes itself for the leader.
    pub fn leader_stands_still(&mut self, now: Time, member: usize, until: Time) {
        self.model.leader_stands_still(now);
        self.prolong(now);
        self.former = Some((member, until));
    }

    /// It hears of its successor.
    pub fn former_leader_steps_down(&mut self) {
        self.model.former_leader_steps_down();
        self.former = None;
    }

    /// Until when the store surely keeps a lease, unless somebody ends it.
    pub fn kept_until(&self, lease: LeaseId) -> Option<Time> {
        self.leases.get(&lease).map(|(_, until)| *until)
    }

    /// Whose lease it is.
    pub fn lease_of(&self, lease: LeaseId) -> Option<Who> {
        self.leases.get(&lease).map(|(who, _)| *who)
    }

    /// Who wrote a key last.
    pub fn owner(&self, key: &Key) -> Option<Who> {
        self.truth.owners.get(key).copied()
    }

    /// The wins that hold their locks now.
    pub fn holders(&self) -> impl Iterator<Item = (&Key, usize)> {
        self.truth.locks.iter().map(|(key, win)| (key, *win))
    }

    /// All keys that are there.
    pub fn keys(&mut self, now: Time) -> Vec<KeyValue> {
        let all = primacy_model::Get::of(Keys::From("\0".into()));
        self.model.get(now, &all).expect("a plain read").kvs
    }

    /// One key.
    pub fn key(&mut self, now: Time, key: &Key) -> Option<KeyValue> {
        self.model.get(now, &primacy_model::Get::of(Keys::One(key.clone()))).expect("a plain read").kvs.pop()
    }

    /// The win of a session under this token and lease.
    pub fn win(&self, who: Who, role: usize, token: Token, lease: LeaseId) -> Option<usize> {
        let found = |w: &Win| w.who == who && w.role == role && w.token == token && w.lease == lease;
        self.wins.iter().rposition(found)
    }

    /// Notes what has been written since the last time, by `who`; returns what the watches of others say.
    /// Writes of the store itself (leases that ran out) must have been noted before.
    pub fn note(&mut self, now: Time, who: Who) -> Vec<(StreamId, WatchResponse)> {
        let mut responses = self.model.take_responses();
        if responses.is_empty() {
            return responses;
        }
        self.writes.clear();
        let (spy, writes) = (self.spy, &mut self.writes);
        responses.retain_mut(|(stream, response)| {
            if *stream == spy {
                writes.append(&mut response.events);
            }
            *stream != spy
        });
        for write in std::mem::take(&mut self.writes) {
            self.written(now, who, &write);
        }
        responses
    }

    fn written(&mut self, now: Time, who: Who, write: &primacy_model::Event) {
        let key = &write.event.key;
        if let Some(history) = &mut self.history {
            history.push((now, write.event.clone()));
        }
        if write.previous.is_some() {
            let owner = self.owner(key);
            let shared =
                *key == TABLE.id || *key == TABLE.version || key.as_bytes().starts_with(DATA.as_bytes());
            if matches!(who, Who::Session(..)) && owner != Some(who) && !shared && !self.is_offer(who, write)
            {
                self.broken = Some(("somebody else's key", format!("{who:?} wrote {key} of {owner:?}")));
            }
            if let Some(at) = self.truth.locks.remove(key) {
                let win = &mut self.wins[at];
                win.gone.get_or_insert((now, who));
                let expected = who == win.who || who == Who::Store;
                if !expected {
                    win.excused.get_or_insert(now);
                    self.fresh.push(at);
                }
            }
        }
        if *key == TABLE.version {
            self.version_before = write.previous.as_ref().map(|kv| kv.value.clone());
        }
        if write.event.now.is_some() {
            // What hangs on somebody's lease is somebody's, whoever has put it there.
            let of_lease = write.event.now.as_ref().and_then(|kv| self.lease_of(kv.lease));
            self.truth.owners.insert(key.clone(), of_lease.unwrap_or(who));
        } else {
            self.truth.owners.remove(key);
        }
    }

    /// Whether the holder of a lock writes into a candidate's record that it would hand over, and nothing else.
    fn is_offer(&self, who: Who, write: &primacy_model::Event) -> bool {
        let (Some(before), Some(now)) = (&write.previous, &write.event.now) else { return false };
        let mut held = self.truth.locks.values().filter(|win| self.wins[**win].who == who);
        let offer = |win: &Win| milvus::with_offer(&before.value, Revision(win.token.0));
        let of_role = |win: &Win| TABLE.records(win.role).contains(&now.key);
        now.lease == before.lease
            && held.any(|at| of_role(&self.wins[*at]) && offer(&self.wins[*at]).as_ref() == Some(&now.value))
    }

    /// Notes a campaign or a handover of ours that has succeeded: the whole key set must stand under its revision.
    pub fn won(
        &mut self,
        now: Time,
        who: Who,
        role: usize,
        keys: &milvus::Keys,
        own: &Version,
        answer: &Answer,
    ) {
        let Answer::Txn(answer) = answer else { return };
        let lease = self.key(now, &keys.locks[0].key).map_or(LeaseId::NONE, |kv| kv.lease);
        for lock in &keys.locks {
            let there = self.key(now, &lock.key);
            if !there.is_some_and(|kv| kv.mod_revision == answer.revision && kv.lease == lease) {
                self.broken = Some(("whole key set", format!("{who:?} won without {}", lock.key)));
            }
            self.truth.locks.insert(lock.key.clone(), self.wins.len());
        }
        if role == MIXCOORD {
            let there = self.key(now, &TABLE.version);
            let before = self.version_before.as_ref();
            if !there.is_some_and(|kv| {
                kv.mod_revision == answer.revision && kv.value == own.to_string().as_str().into()
            }) {
                self.broken = Some(("a mixcoord's win tells its version", format!("{who:?} won without")));
            } else if let Some(newer) = before.filter(|before| !may_lead(before, own)) {
                self.broken = Some(("no outdated mixcoord", format!("{who:?}, {own}, won over {newer}")));
            }
        }
        self.wins.push(Win {
            who,
            role,
            roles: roles_of(role),
            token: Token(answer.revision.0),
            lease,
            gone: None,
            excused: None,
        });
    }

    /// A session of ours has released keys: of a win that nobody else had touched, none is left.
    pub fn released(&mut self, now: Time, who: Who) {
        let of = |win: &Win| win.who == who && win.gone == Some((now, who)) && win.excused.is_none();
        let left = self.truth.locks.iter().find(|(_, win)| of(&self.wins[**win]));
        if let (Some((key, _)), None) = (left, self.restored) {
            self.broken = Some(("whole key set", format!("{who:?} released all but {key}")));
        }
    }

    /// Notes a guarded write that was committed.
    pub fn committed(&mut self, win: usize) {
        let w = &self.wins[win];
        let holds = self.truth.locks.values().filter(|at| **at == win).count();
        let whole = if w.role == MIXCOORD { 4 } else { 1 };
        let highest = &mut self.truth.committed[w.role];
        if holds != whole {
            self.broken =
                Some(("fencing", format!("a write of {w:?} was committed, and it holds {holds} keys")));
        } else if w.token.0 < *highest {
            self.broken =
                Some(("fencing", format!("a write of {w:?} was committed after one under {highest}")));
        }
        *highest = w.token.0.max(*highest);
    }

    /// A lease is ended by hand.
    pub fn revoked_by_hand(&mut self, now: Time, lease: LeaseId) {
        for (at, win) in self.wins.iter_mut().enumerate().filter(|(_, win)| win.lease == lease) {
            win.excused.get_or_insert(now);
            self.fresh.push(at);
        }
    }

    /// Takes a backup.
    pub fn back_up(&mut self) {
        self.backup = Some((self.model.snapshot(), self.truth.clone()));
    }

    /// Puts the store back to the backup, if there is one.
    pub fn restore(&mut self, now: Time, bump: bool, other_cluster: bool) -> bool {
        let Some((snapshot, truth)) = &self.backup else { return false };
        self.model.restore(now, snapshot);
        self.truth = truth.clone();
        if bump {
            self.model.bump_revision(1_000_000);
        } else {
            self.incarnation += 1;
        }
        if other_cluster {
            self.model.set_cluster(self.model.cluster() + 1);
        }
        self.restored = Some(now);
        for (at, win) in self.wins.iter_mut().enumerate() {
            if self.truth.locks.values().any(|lock| *lock == at) {
                win.gone = None;
            } else if win.gone.is_none() {
                win.gone = Some((now, Who::Operator));
                win.excused.get_or_insert(now);
            }
        }
        self.prolong(now);
        self.spy = open_spy(&mut self.model, now);
        true
    }

    /// The store stops, and is back at `until`; its leases begin anew.
    pub fn restart(&mut self, now: Time, until: Time) {
        self.model.restart(now);
        self.prolong(now);
        self.down_until = until;
        self.spy = open_spy(&mut self.model, now);
    }

    /// Another leader: all leases begin anew.
    pub fn new_leader(&mut self, now: Time) {
        self.model.leader_changed(now);
        self.prolong(now);
    }

    fn prolong(&mut self, now: Time) {
        let kept = self.model.leases(now);
        for lease in kept {
            if let Some(ttl) = self.model.time_to_live(now, lease)
                && let Some((_, until)) = self.leases.get_mut(&lease)
            {
                *until = (*until).max(now + Duration::from_secs(ttl.granted.unsigned_abs()));
            }
        }
    }
}

/// Milvus's rule, as its documentation tells it: the newest major and minor may lead.
pub fn may_lead(stored: &Value, own: &Version) -> bool {
    let text = String::from_utf8_lossy(stored.as_bytes()).into_owned();
    let mut numbers = text.split('.').map(str::parse::<u64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (own.major, own.minor) >= (major, minor),
        _ => false,
    }
}

/// The purpose says that its success is a win, of whose lease the lock is on then.
pub fn is_win(purpose: Purpose, result: &Result<Answer, Failure>) -> bool {
    matches!(purpose, Purpose::Campaign | Purpose::HandOver)
        && matches!(result, Ok(Answer::Txn(answer)) if answer.succeeded)
}

fn open_spy(model: &mut Model, now: Time) -> StreamId {
    let spy = model.open_stream(now);
    let everything =
        primacy_model::Watch { previous: true, ..primacy_model::Watch::of(Keys::From("\0".into())) };
    model.watch(now, spy, everything);
    spy
}

fn takes_space(what: &Request) -> bool {
    use primacy_engine::store::Op;
    match what {
        Request::Grant { .. } => true,
        Request::Txn(txn) => txn.then.iter().chain(&txn.otherwise).any(|op| matches!(op, Op::Put(..))),
        _ => false,
    }
}
