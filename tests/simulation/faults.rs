//! What breaks, and what operators do by hand.

use std::time::Duration;

use primacy_engine::milvus::{self, Asked, Asks, Record};
use primacy_engine::store::{KeyValue, LeaseId, Revision, Value};
use primacy_engine::{ElectionId, Event, Purpose, Token};
use primacy_model::{Delete, Keys, Put};

use crate::cluster::Who;
use crate::scenario::{Fault, MIXCOORD, Operator, ROLES};
use crate::world::{Happening, World};

impl World<'_> {
    /// A request of a process is sent, or has been done: perhaps the moment for something to break.
    pub fn strike(&mut self, process: usize, purpose: Purpose, sent: bool) {
        if self.is_calm() {
            return;
        }
        for (i, strike) in self.scenario.strikes.iter().enumerate() {
            if strike.purpose == purpose && strike.sent == sent {
                self.struck[i] += 1;
                if self.struck[i] == strike.nth + 1 {
                    let mut fault = strike.fault.clone();
                    fault.process().into_iter().for_each(|of| *of = process);
                    self.queue.push(self.now, Happening::Breaks { fault });
                }
            }
        }
    }

    /// A fault of the scenario strikes.
    pub fn breaks(&mut self, fault: Fault) {
        // One that strikes at the last moment.
        if self.is_calm() {
            return;
        }
        self.trace.note(self.now, "FAULT", format_args!("{fault:?}"));
        match fault {
            Fault::Pause { process, length, within_step } => {
                let p = &mut self.processes[process];
                if p.paused.is_some() || p.session.is_none() {
                } else if within_step {
                    p.freeze = Some(length);
                } else {
                    self.pause(process, length);
                }
            }
            Fault::Crash { process, back } => self.crash(process, back),
            Fault::Cut { process, length, how } => self.cut(process, length, how),
            Fault::Stall { member, length } => {
                self.stalled[member] = self.now + length;
                (0..self.processes.len()).for_each(|process| self.disturb(process, self.now + length));
            }
            Fault::Restart { length } => {
                self.settle_store();
                let back = (self.now + length).min(self.scenario.faults_end);
                self.cluster.restart(self.now, back);
                (0..self.processes.len()).for_each(|process| self.disturb(process, back));
                self.streams_are_gone();
                self.queue.push(back, Happening::StoreIsBack);
            }
            Fault::LeaderStandsStill { member, length, astray } => {
                self.settle_store();
                let (awake, over) = (self.now + length, self.now + length + astray);
                self.cluster.leader_stands_still(self.now, member, over);
                self.stalled[member] = self.stalled[member].max(awake);
                (0..self.processes.len()).for_each(|process| self.disturb(process, over));
            }
            Fault::NewLeader => {
                self.settle_store();
                self.cluster.new_leader(self.now);
            }
            Fault::Backup => {
                self.settle_store();
                self.cluster.back_up();
            }
            Fault::Restore { bump, other_cluster } => {
                self.settle_store();
                if self.cluster.restore(self.now, bump, other_cluster) {
                    for session in self.processes.iter_mut().filter_map(|p| p.session.as_mut()) {
                        session.went_back = true;
                    }
                    self.streams_are_gone();
                }
            }
            Fault::Compact => {
                self.settle_store();
                let revision = self.cluster.model.revision();
                let _ = self.cluster.model.compact(self.now, revision);
                self.listen(Who::Store);
            }
            Fault::NoSpace { length } => self.cluster.no_space_until = self.now + length,
            Fault::BreakWatches { process } => self.break_watches(process, Duration::from_millis(100)),
            Fault::Gap { process, what, pick } => {
                self.break_watches(process, Duration::from_millis(100));
                self.by_hand(what, pick);
            }
            Fault::SilenceWatches { process } => {
                if let Some(session) = &mut self.processes[process].session {
                    // One that is not confirmed yet is waited for by the driver, and ended in the end.
                    session.watches.iter_mut().for_each(|watch| watch.silent = watch.confirmed);
                }
            }
            Fault::HoldWatches { process, length } => {
                let until = (self.now + length).min(self.scenario.faults_end);
                let p = &mut self.processes[process];
                p.stream_at = p.stream_at.max(until);
                p.unsettled = p.unsettled.max(until);
            }
            Fault::Operator { what, pick } => self.by_hand(what, pick),
            Fault::Ask { resign, to, past, pick } => {
                self.ask(if resign { Asks::Resign } else { Asks::Transfer { to } }, past, pick);
            }
            Fault::TakeBack { pick } => self.take_back(pick),
            Fault::Resign { process, election } => {
                if let Some(election) = self.election_at(process, election) {
                    self.tell_engine(process, Event::Resign { election, within: None });
                }
            }
            Fault::Transfer { process, election, to } => {
                if let Some(election) = self.election_at(process, election) {
                    self.tell_engine(process, Event::Transfer { election, to, within: None });
                }
            }
            Fault::Withdraw { process, election, timeout, again } => {
                if let Some(election) = self.election_at(process, election) {
                    let session = self.processes[process].session.as_mut();
                    if let Some(e) = session.and_then(|s| s.election(election)) {
                        e.again = again;
                    }
                    self.tell_engine(process, Event::Withdraw { election, timeout, within: None });
                }
            }
            Fault::Stop { process, timeout, again } => {
                if self.processes[process].paused.is_none() {
                    self.stop(process, timeout, again);
                }
            }
        }
    }

    /// An election of a process that has not been ended yet.
    fn election_at(&self, process: usize, nth: usize) -> Option<ElectionId> {
        let p = &self.processes[process];
        let session = p.session.as_ref().filter(|s| s.goes_on() && p.paused.is_none())?;
        let there: Vec<_> =
            session.elections.iter().filter(|e| e.withdraw.is_none() && !e.withdrawn).collect();
        Some(there.get(nth % there.len().max(1))?.id)
    }

    fn tell_engine(&mut self, process: usize, event: Event) {
        self.step(process, event);
    }

    /// A process dies, at whatever it was doing.
    pub fn crash(&mut self, process: usize, back: Option<Duration>) {
        let p = &mut self.processes[process];
        let life = p.life;
        if p.session.take().is_none() {
            return;
        }
        p.paused = None;
        p.freeze = None;
        p.frozen.clear();
        p.inbox.clear();
        p.next_tick = primacy_engine::time::Time::NEVER;
        p.returns = back.is_some();
        p.run = life + 1;
        self.close_streams(|p, l, _| p == process && l == life);
        if let Some(back) = back {
            self.queue.push(self.now + back, Happening::Start { process });
        }
    }

    fn by_hand(&mut self, what: Operator, pick: u64) {
        self.settle_store();
        let now = self.now;
        let keys = self.cluster.keys(now);
        let chosen = |wanted: &dyn Fn(&KeyValue) -> bool| {
            let found: Vec<&KeyValue> = keys.iter().filter(|kv| wanted(kv)).collect();
            let at = usize::try_from(pick).unwrap_or(0) % found.len().max(1);
            found.get(at).copied()
        };
        let (id, version) = (self.cluster.root.id_key(), self.cluster.root.version_key());
        let model = &mut self.cluster.model;
        let mut put = |key, value: &str| drop(model.put(now, &Put::of(key, value)));
        match what {
            Operator::OverwriteLock => {
                if let Some(kv) = chosen(&is_lock) {
                    put(kv.key.clone(), ["x", "{}", "{\"ServerID\":77}"][pick as usize % 3]);
                }
            }
            Operator::OverwriteRecord => {
                if let Some(kv) = chosen(&is_record) {
                    put(kv.key.clone(), ["x", "{}"][pick as usize % 2]);
                }
            }
            Operator::Stray => {
                let role = ROLES[pick as usize % ROLES.len()];
                put(format!("{}/session/{role}-99", self.cluster.root).into(), "{}");
            }
            Operator::Version => put(version, ["3.2.0", "2.9.0", "3.1.5", "new"][pick as usize % 4]),
            Operator::ServerId if !pick.is_multiple_of(3) => put(id, ["1", "2", "x", "0"][pick as usize % 4]),
            Operator::ServerId => self.delete_by_hand(&id),
            Operator::DeleteVersion => self.delete_by_hand(&version),
            Operator::DeleteLock => {
                if let Some(kv) = chosen(&is_lock) {
                    self.delete_by_hand(&kv.key);
                }
            }
            Operator::DeleteRecord => {
                if let Some(kv) = chosen(&is_record) {
                    self.delete_by_hand(&kv.key);
                }
            }
            Operator::Revoke => {
                if let Some(kv) = chosen(&|kv| kv.lease != LeaseId::NONE) {
                    self.cluster.revoked_by_hand(now, kv.lease);
                    let _ = self.cluster.model.revoke(now, kv.lease);
                }
            }
        }
        self.listen(Who::Operator);
    }

    /// As `primacy transfer` and `primacy resign` do.
    fn ask(&mut self, what: Asks, past: bool, pick: u64) {
        self.settle_store();
        let Some((lock, record)) = self.lock_and_record(pick) else { return };
        let token = Token(lock.mod_revision.0 - i64::from(past));
        let asked = Asked { lock: Revision(token.0), what };
        let Some(value) = milvus::with_request(&record.value, asked) else { return };
        *self.asked.entry(token).or_default() += 1;
        self.put_record(&record, value);
    }

    /// As they do when nothing has come of it in time: then nothing does.
    fn take_back(&mut self, pick: u64) {
        self.settle_store();
        let Some((_, record)) = self.lock_and_record(pick) else { return };
        let asked = Record::parse(&record.value).ok().and_then(|record| record.asked);
        let (Some(asked), Some(value)) = (asked, milvus::without_request(&record.value)) else { return };
        // Of several one may have been taken.
        let token = Token(asked.lock.0);
        if self.asked.get(&token) == Some(&1) {
            self.asked.remove(&token);
        }
        self.put_record(&record, value);
    }

    /// A lock, and the own record of its holder.
    fn lock_and_record(&mut self, pick: u64) -> Option<(KeyValue, KeyValue)> {
        let keys = self.cluster.keys(self.now);
        let locks: Vec<_> = keys.iter().filter(|kv| is_lock(kv) && kv.lease != LeaseId::NONE).collect();
        let lock = *locks.get(usize::try_from(pick).unwrap_or(0) % locks.len().max(1))?;
        // A mixcoord holds those of its three roles as well.
        let of = |role: &str| {
            let is_of = |kv: &&KeyValue| kv.lease == lock.lease && last_part(kv).starts_with(role);
            keys.iter().filter(|kv| is_record(kv)).find(is_of)
        };
        let record = of(&last_part(lock)).or_else(|| of(ROLES[MIXCOORD]))?;
        Some((lock.clone(), record.clone()))
    }

    fn put_record(&mut self, record: &KeyValue, value: Value) {
        let put = Put { lease: record.lease, value, ..Put::of(record.key.clone(), "") };
        let _ = self.cluster.model.put(self.now, &put);
        self.listen(Who::Operator);
    }

    fn delete_by_hand(&mut self, key: &primacy_engine::store::Key) {
        let delete = Delete { keys: Keys::One(key.clone()), previous: false };
        let _ = self.cluster.model.delete(self.now, &delete);
    }

    /// The faults end: what hangs goes on, and operators undo what they did by hand.
    pub fn faults_end(&mut self) {
        let now = self.now;
        self.settle_store();
        self.stalled.iter_mut().for_each(|until| *until = now);
        self.cluster.no_space_until = now;
        self.cluster.former_leader_steps_down();
        for process in 0..self.processes.len() {
            let p = &mut self.processes[process];
            p.cut = None;
            p.freeze = None;
            if p.paused.is_some() {
                p.paused = Some(now);
                self.queue.push(now, Happening::Resumes { process });
            }
        }
        self.hosts_behave();
        let id = self.cluster.root.id_key();
        let keys = self.cluster.keys(now);
        let used = keys.iter().filter_map(|kv| kv.key.to_string().rsplit_once('-')?.1.parse::<i64>().ok());
        let next = used.filter(|id| *id != 99).max().unwrap_or(0) + 1;
        for kv in &keys {
            if self.cluster.owner(&kv.key) != Some(Who::Operator) {
            } else if kv.key == id {
                let _ = self.cluster.model.put(now, &Put::of(id.clone(), next.to_string().as_str()));
            } else {
                self.delete_by_hand(&kv.key);
            }
        }
        self.listen(Who::Operator);
    }
}

fn last_part(kv: &KeyValue) -> String {
    kv.key.to_string().rsplit('/').next().unwrap_or_default().to_owned()
}

fn is_lock(kv: &KeyValue) -> bool {
    ROLES.contains(&last_part(kv).as_str()) && !kv.key.to_string().contains("/data/")
}

fn is_record(kv: &KeyValue) -> bool {
    last_part(kv).contains('-')
}
