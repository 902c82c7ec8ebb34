//! The store: the embedded model, with what really happened in it.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use primacy_engine::Token;
use primacy_engine::milvus::{Role, Root};
use primacy_engine::store::{Answer, Failure, Key, KeyEvent, LeaseId, Request, Txn};
use primacy_engine::time::Time;
use primacy_model::{Delete, Get, Keys, Model, Options, Put, Snapshot, StreamId, Watch};

/// The store. Leases expire at the first instant at which they may.
#[derive(Clone)]
pub struct Store {
    model: Model,
    /// Tells of every write.
    spy: StreamId,
    truth: Truth,
    /// What it is put back to.
    backup: Option<Snapshot>,
}

/// What really happened.
#[derive(Clone, Debug, Default, Hash)]
pub struct Truth {
    /// The lease and the token of the lock.
    pub lock: Option<(LeaseId, Token)>,
    /// The highest token under which a write was committed, and by whom.
    pub highest: Option<(Token, usize)>,
    /// Writes of two candidates were committed.
    pub overtaken: bool,
    /// A write was refused.
    pub refused: bool,
    /// A write was committed that should not have been.
    pub broken: Option<&'static str>,
}

/// A write of a host, between its look at `is_primary` and the store.
#[derive(Clone, Debug, Hash)]
pub struct Write {
    /// The win that it was meant under.
    pub token: Token,
    /// Its lease.
    pub lease: LeaseId,
    /// Sent with the guard of that win, or without any.
    pub txn: Txn,
}

/// The root of all keys.
pub fn root() -> Root {
    Root::join("r", "m").expect("a root")
}

/// The one role there is.
pub fn role() -> Role {
    Role::parse("rootcoord").expect("a role")
}

fn lock() -> Key {
    root().service_key(&role())
}

impl Store {
    pub fn new(now: Time) -> Self {
        let options = Options { max_lateness: std::time::Duration::ZERO, ..Options::default() };
        let mut model = Model::new(options);
        let spy = open_spy(&mut model, now);
        Store { model, spy, truth: Truth::default(), backup: None }
    }

    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// Two states with the same digest go on in the same way: past revisions are history.
    pub fn digest(&mut self, now: Time) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.model.revision().hash(&mut hasher);
        self.model.get(now, &Get::of(Keys::From("\0".into()))).expect("a plain read").kvs.hash(&mut hasher);
        for lease in self.model.leases(now) {
            (lease, self.model.time_to_live(now, lease).map(|left| left.ttl)).hash(&mut hasher);
        }
        self.truth.hash(&mut hasher);
        hasher.finish()
    }

    pub fn perform(&mut self, now: Time, request: &Request) -> Result<Answer, Failure> {
        self.model.perform(now, request)
    }

    /// What has been written since it was asked last.
    pub fn written(&mut self, now: Time) -> Vec<KeyEvent> {
        self.model.advance(now);
        let said = self.model.take_responses();
        let events: Vec<_> = said.into_iter().flat_map(|(_, said)| said.events).map(|e| e.event).collect();
        if !events.is_empty() {
            let found = self.model.get(now, &Get::of(Keys::One(lock()))).expect("a plain read").kvs.pop();
            self.truth.lock = found.map(|kv| (kv.lease, Token(kv.mod_revision.0)));
        }
        events
    }

    /// A host's write arrives.
    pub fn write(&mut self, now: Time, by: usize, write: &Write) {
        let done = self.model.perform(now, &Request::Txn(write.txn.clone()));
        if !matches!(done, Ok(Answer::Txn(answer)) if answer.succeeded) {
            self.truth.refused = true;
            return;
        }
        let newer = self.truth.highest.filter(|(token, _)| *token > write.token);
        if newer.is_some() {
            self.truth.broken = Some("an old primary's write was committed after a newer one's");
        } else if !write.txn.when.is_empty() && self.truth.lock != Some((write.lease, write.token)) {
            self.truth.broken = Some("a guarded write was committed for somebody who does not hold the lock");
        }
        self.truth.overtaken |= self.truth.highest.is_some_and(|(_, other)| other != by);
        self.truth.highest = self.truth.highest.max(Some((write.token, by)));
    }

    /// Somebody deletes the lock by hand.
    pub fn delete_lock(&mut self, now: Time) {
        let delete = Delete { keys: Keys::One(lock()), previous: false };
        self.model.delete(now, &delete).expect("a plain delete");
    }

    /// Somebody takes a backup.
    pub fn back_up(&mut self) {
        self.backup = Some(self.model.snapshot());
    }

    /// Somebody puts the store back; all watches end. What was committed before counts no more.
    pub fn restore(&mut self, now: Time) {
        let Some(backup) = self.backup.take() else { return };
        self.model.restore(now, &backup);
        self.spy = open_spy(&mut self.model, now);
        // A first write tells how things stand.
        self.model.put(now, &Put::of("restored", "")).expect("a plain put");
        self.truth.highest = None;
    }
}

fn open_spy(model: &mut Model, now: Time) -> StreamId {
    let spy = model.open_stream(now);
    model.watch(now, spy, Watch::of(Keys::From("\0".into())));
    spy
}
