//! The elections of a session, and what the session has to know of all of them without asking each.
//!
//! A step costs what it concerns, however many elections there are. Whoever changes an election takes it by one of the
//! `change`s here, which has it looked at in the same step; what is counted and found by key is brought up to date by
//! [`Elections::note`], after each look.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use super::election::{Election, Ground};
use super::ids::{CallId, ElectionId, WatchId};
use crate::milvus::Role;
use crate::store::LeaseId;
use crate::time::Time;

#[derive(Clone, Debug, Default)]
pub(super) struct Elections {
    all: BTreeMap<ElectionId, Entry>,
    roles: BTreeMap<Role, BTreeSet<ElectionId>>,
    /// Those that have something to do in this step.
    changed: Vec<ElectionId>,
    /// When each has something to do next by itself.
    timers: BTreeSet<(Time, ElectionId)>,
    watches: BTreeMap<WatchId, ElectionId>,
    calls: BTreeMap<CallId, ElectionId>,
    /// Those whose record somebody else has.
    displaced: BTreeSet<ElectionId>,
    /// The leases that are over and whose keys are still needed, and by whom.
    needs: BTreeSet<(LeaseId, ElectionId)>,
    won: BTreeSet<ElectionId>,
    primaries: usize,
    holders: usize,
    readers: usize,
    writers: usize,
    settled: usize,
    /// How many were looked at so far.
    looks: Looks,
}

#[derive(Clone, Debug)]
struct Entry {
    election: Election,
    noted: Noted,
}

/// What is known here of an election, as of the last look at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Noted {
    due: Option<Time>,
    watches: [Option<WatchId>; 2],
    needs: Option<LeaseId>,
    displaced: bool,
    has_win: bool,
    is_primary: bool,
    may_hold: bool,
    reads: bool,
    writes: bool,
    settled: bool,
}

impl Elections {
    /// Adds one, unless there is one of that name.
    pub fn add(&mut self, id: ElectionId, role: Role) {
        self.all.entry(id).or_insert_with(|| {
            self.roles.entry(role.clone()).or_default().insert(id);
            Entry { election: Election::new(id, role), noted: Noted::default() }
        });
        self.changed.push(id);
    }

    /// Removes one that is over.
    pub fn remove(&mut self, id: ElectionId) -> Option<Election> {
        let Entry { election, noted } = self.all.remove(&id)?;
        self.account(id, noted, Noted::default());
        if let Some(of_role) = self.roles.get_mut(&election.role) {
            of_role.remove(&id);
            if of_role.is_empty() {
                self.roles.remove(&election.role);
            }
        }
        Some(election)
    }

    /// Removes those that their hosts know to be over.
    pub fn remove_withdrawn(&mut self) {
        let over: Vec<_> = self.iter().filter(|election| election.is_withdrawn()).map(|e| e.id).collect();
        over.into_iter().for_each(|id| _ = self.remove(id));
    }

    pub fn get(&self, id: ElectionId) -> Option<&Election> {
        self.looked(1);
        self.all.get(&id).map(|entry| &entry.election)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Election> + Clone {
        self.all.values().map(|entry| &entry.election).inspect(|_| self.looked(1))
    }

    // To change one.

    pub fn change(&mut self, id: ElectionId) -> Option<&mut Election> {
        self.looked(1);
        let entry = self.all.get_mut(&id)?;
        self.changed.push(id);
        Some(&mut entry.election)
    }

    pub fn change_all(&mut self) -> impl Iterator<Item = &mut Election> {
        self.touch_all();
        self.looked(self.all.len());
        self.all.values_mut().map(|entry| &mut entry.election)
    }

    /// The one of whose present watches one has this name.
    pub fn change_of_watch(&mut self, watch: WatchId) -> Option<&mut Election> {
        let id = *self.watches.get(&watch)?;
        self.change(id)
    }

    /// The one whose call this is.
    pub fn change_of_running(&mut self, call: CallId) -> Option<&mut Election> {
        let id = *self.calls.get(&call)?;
        self.change(id)
    }

    /// The one whose call this is, which is over now.
    pub fn change_of_call(&mut self, call: CallId) -> Option<&mut Election> {
        let id = self.calls.remove(&call)?;
        self.change(id)
    }

    /// Something has changed that concerns all.
    pub fn touch_all(&mut self) {
        self.changed.extend(self.all.keys());
    }

    /// Something has changed that concerns those of these roles.
    pub fn touch_roles(&mut self, roles: &[Role]) {
        self.changed.extend(roles.iter().filter_map(|role| self.roles.get(role)).flatten());
    }

    /// Something has changed that concerns those whose record somebody else has.
    pub fn touch_displaced(&mut self) {
        self.changed.extend(&self.displaced);
    }

    /// Those whose timers are due have something to do.
    pub fn touch_due(&mut self, now: Time) {
        while let Some((at, id)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            self.changed.push(id);
        }
    }

    /// Those that have something to do, in their order; they have not any more.
    pub fn take_changed(&mut self) -> Vec<ElectionId> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// One that has something to do, to look at.
    pub fn look(&mut self, id: ElectionId) -> Option<&mut Election> {
        self.looked(1);
        self.all.get_mut(&id).map(|entry| &mut entry.election)
    }

    /// An election has been looked at, or has changed in a way that others ask for.
    pub fn note(&mut self, id: ElectionId, now: Time, ground: Ground<'_>) {
        let Some(Entry { election, noted }) = self.all.get_mut(&id) else { return };
        let mut due = None;
        // What was due has been looked at; it stays until something else happens.
        election.timers(|at, _| {
            if at > now && due.is_none_or(|earliest| at < earliest) {
                due = Some(at);
            }
        });
        let after = Noted {
            due,
            watches: election.watches(),
            needs: election.needs(now),
            displaced: election.others_record(ground).is_some(),
            has_win: election.has_win(),
            is_primary: election.is_primary(),
            may_hold: election.may_hold(ground),
            reads: !election.ranges().is_empty(),
            writes: election.may_have_written(),
            settled: election.is_settled(now, ground),
        };
        let before = std::mem::replace(noted, after);
        self.account(id, before, after);
    }

    fn account(&mut self, id: ElectionId, before: Noted, after: Noted) {
        if before == after {
            return;
        }
        if before.due != after.due {
            before.due.map(|at| self.timers.remove(&(at, id)));
            after.due.map(|at| self.timers.insert((at, id)));
        }
        if before.watches != after.watches {
            before.watches.iter().flatten().for_each(|watch| _ = self.watches.remove(watch));
            after.watches.iter().flatten().for_each(|watch| _ = self.watches.insert(*watch, id));
        }
        if before.needs != after.needs {
            before.needs.map(|lease| self.needs.remove(&(lease, id)));
            after.needs.map(|lease| self.needs.insert((lease, id)));
        }
        match (before.displaced, after.displaced) {
            (false, true) => _ = self.displaced.insert(id),
            (true, false) => _ = self.displaced.remove(&id),
            _ => {}
        }
        match (before.has_win, after.has_win) {
            (false, true) => _ = self.won.insert(id),
            (true, false) => _ = self.won.remove(&id),
            _ => {}
        }
        let count = |count: &mut usize, before: bool, after: bool| {
            *count = *count + usize::from(after) - usize::from(before);
        };
        count(&mut self.primaries, before.is_primary, after.is_primary);
        count(&mut self.holders, before.may_hold, after.may_hold);
        count(&mut self.readers, before.reads, after.reads);
        count(&mut self.writers, before.writes, after.writes);
        count(&mut self.settled, before.settled, after.settled);
    }

    /// A call of an election has been started.
    pub fn started(&mut self, call: CallId, election: ElectionId) {
        self.calls.insert(call, election);
    }

    // What is known of all.

    /// When the first one has something to do by itself, and what that is called.
    pub fn next_timer(&self) -> Option<(Time, &'static str)> {
        let (at, id) = *self.timers.first()?;
        let mut name = None;
        self.get(id)?.timers(|due, its| {
            if due == at {
                name.get_or_insert(its);
            }
        });
        Some((at, name?))
    }

    /// Whether this call is running.
    pub fn is_running(&self, call: CallId) -> bool {
        self.calls.contains_key(&call)
    }

    /// Whether there is one of these roles.
    pub fn any_of(&self, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.roles.contains_key(role))
    }

    /// Whether there is one of these roles that was added earlier than `id`.
    pub fn any_earlier(&self, id: ElectionId, roles: &[Role]) -> bool {
        roles
            .iter()
            .any(|role| self.roles.get(role).and_then(BTreeSet::first).is_some_and(|first| *first < id))
    }

    /// Whether any has won.
    pub fn any_win(&self) -> bool {
        !self.won.is_empty()
    }

    /// Whether the host of any may say that it is primary.
    pub fn any_primary(&self) -> bool {
        self.primaries > 0
    }

    /// Those that have won.
    pub fn won(&self) -> impl Iterator<Item = &Election> {
        self.won.iter().filter_map(|id| self.get(*id))
    }

    /// Whether any may have keys of its set in the store, or callbacks of a win that count on them.
    pub fn any_may_hold(&self) -> bool {
        self.holders > 0
    }

    /// Whether any has keys to read.
    pub fn any_reads(&self) -> bool {
        self.readers > 0
    }

    /// Whether a write of any may still happen, or may have happened.
    pub fn any_writes(&self) -> bool {
        self.writers > 0
    }

    /// Whether callbacks of any win on this lease still need its keys.
    pub fn any_needs(&self, lease: LeaseId) -> bool {
        self.needs.range((lease, ElectionId(0))..=(lease, ElectionId(u32::MAX))).next().is_some()
    }

    /// Whether all have been ended, and nothing of them is left in the store or there is no more time to see to it.
    pub fn all_settled(&self) -> bool {
        self.settled == self.all.len()
    }

    /// How many were looked at so far: what a step costs.
    pub fn looks(&self) -> u64 {
        self.looks.0.load(Ordering::Relaxed)
    }

    fn looked(&self, count: usize) {
        self.looks.0.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// Counted where an engine is only looked at; several threads may do that.
#[derive(Debug, Default)]
struct Looks(AtomicU64);

impl Clone for Looks {
    fn clone(&self) -> Self {
        Looks(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }
}

/// What is noted follows from the elections.
impl Hash for Elections {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.all.len().hash(hasher);
        self.all.iter().for_each(|(id, entry)| (id, &entry.election).hash(hasher));
    }
}
