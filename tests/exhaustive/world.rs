//! All that can happen: candidates of one role, a store, a network, coarse time, and a few faults.
//!
//! What keeps the number of states down, and what it leaves out:
//! - Time passes in whole units (a lease lives for three, primacy ends one earlier), and only when nothing is under
//!   way that would not take so long. Within an instant things happen in every order; to outlast it is a fault.
//! - There are as many faults as the scene says. Writes of hosts are free: they may be under way for ever.
//! - Timers, warm-ups, the lease, re-reads, the server id and the own record meet nobody else's steps: they are served
//!   at once unless a fault strikes them. (The own record does meet a campaign that was given up and may still win.)
//! - A host starts a write as soon as it may, since that may be under way for any time. It is decided as it would be,
//!   but takes no revision, so that states which differ in nothing else stay one.
//! - A process is paused where it would do something, goes on as a unit begins, and people meddle while nothing is
//!   under way.
//! - All events of one revision reach a watch together; a step of an engine and what follows from it in its own
//!   process is one step.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use primacy_engine::store::Request;
use primacy_engine::time::Time;
use primacy_engine::{CallId, Event, Purpose, RequestId};

use crate::process::{ELECTION, Leg, Process, Says, TTL, UNIT};
use crate::store::{Store, role};

/// How long everything may take to be well again once nothing breaks any more, in units.
const SOON: u32 = 3 * TTL;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A connection breaks: a request gets no answer; it may be done now, later or never.
    Break,
    /// A request, an answer or a callback takes any time.
    Slow,
    /// A process is paused, for any time.
    Pause,
    /// A process's clock loses one unit, as much as the margin is for.
    Clock,
    /// A watch ends with what it had to say, or says nothing more.
    Watch,
    /// A process dies.
    Crash,
    /// Somebody revokes a candidate's lease, or deletes the lock, by hand.
    Meddle,
    /// The store is put back to how it was before the first campaign.
    Restore,
    /// A host takes no calls, for any time.
    Deaf,
}

/// What is tried.
#[derive(Clone, Debug)]
pub struct Scene {
    pub name: &'static str,
    pub candidates: usize,
    /// How many units pass.
    pub units: u32,
    /// How many faults, and which.
    pub faults: u8,
    pub kinds: &'static [Fault],
    /// How often a host asks to resign or stop.
    pub asks: u8,
    /// How many writes each host starts.
    pub writes: u8,
    /// Whether hosts write under the guard.
    pub fenced: bool,
    /// Begins with a primary and standbys, and not with campaigns under way.
    pub settled: bool,
}

/// Something that happens, mostly to the process of that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A unit passes.
    Wait,
    /// A unit passes, and a clock loses it.
    WaitBehind(usize),
    /// The engine looks at its timers.
    Tick(usize),
    /// A request arrives at the store.
    Arrives(usize, RequestId, Purpose),
    /// Its answer arrives.
    Answered(usize, RequestId, Purpose),
    /// The driver has waited long enough.
    TimesOut(usize, RequestId, Purpose),
    /// A watch opens.
    Opens(usize),
    /// A watch says something.
    Hears(usize),
    /// A callback ends.
    Completes(usize, CallId),
    /// The host resigns.
    Resigns(usize),
    /// The host stops its session.
    Stops(usize),
    /// The host sees that it is primary, and sends a write.
    Writes(usize),
    /// The write arrives.
    WriteArrives(usize),
    /// A unit passes, and a paused process goes on.
    GoesOn(usize),
    /// A host takes calls again.
    Takes(usize),
    // Faults.
    Breaks(usize, RequestId, Purpose),
    Slows(usize, RequestId, Purpose),
    SlowsCall(usize, CallId),
    Pauses(usize),
    FallsDeaf(usize),
    WatchEnds(usize),
    WatchFallsSilent(usize),
    Crashes(usize),
    LeaseRevoked(usize),
    LockDeleted,
    StoreRestored,
}

/// A state.
#[derive(Clone)]
pub struct World {
    now: Time,
    passed: u32,
    store: Arc<Store>,
    processes: Vec<Arc<Process>>,
    faults: u8,
    asks: u8,
    /// Of the store, and of each process.
    digests: Vec<u64>,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.now, self.faults, self.asks, &self.digests).hash(hasher);
    }
}

/// By what decides how they go on.
impl PartialEq for World {
    fn eq(&self, other: &World) -> bool {
        let what = |w: &World| (w.now, w.faults, w.asks);
        what(self) == what(other) && self.digests == other.digests
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{} lock {:?}", self.passed, self.store.truth().lock)?;
        for (i, p) in self.processes.iter().enumerate() {
            if let Some((token, lease)) = p.says_primary() {
                write!(f, ", p{i} is primary under {token}, lease {lease}")?;
            }
        }
        Ok(())
    }
}

impl World {
    /// Everybody has opened a session and registered; then all ask to campaign.
    pub fn begin(scene: &Scene) -> Self {
        let now = Time::ZERO + UNIT * 1000;
        let mut world = World {
            now,
            passed: 0,
            store: Arc::new(Store::new(now)),
            processes: (0..scene.candidates).map(|i| Arc::new(Process::new(i, now, scene.writes))).collect(),
            faults: 0,
            asks: 0,
            digests: vec![0; scene.candidates + 1],
        };
        let all = [Event::Open, Event::Register { election: ELECTION, role: role() }];
        for event in all.into_iter().chain([Event::Campaign { election: ELECTION }]) {
            if matches!(event, Event::Campaign { .. }) {
                world.of_store(|store, _| store.back_up());
            }
            for i in 0..scene.candidates {
                world.of(i, |p| p.step(event.clone()));
            }
            while let Some(step) = world.prompt().first().copied() {
                if matches!(event, Event::Campaign { .. }) && !scene.settled {
                    break;
                }
                world.take(step, scene);
            }
        }
        (world.faults, world.asks) = (scene.faults, scene.asks);
        world
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter().map(|p| &**p)
    }

    /// Who says that it is primary under a win that nobody meddled with.
    pub fn primaries(&self) -> usize {
        self.processes().filter(|p| p.claims().is_some()).count()
    }

    /// Whether everybody who says so holds the lock.
    pub fn primaries_hold_the_lock(&self) -> bool {
        let lock = self.store.truth().lock;
        self.processes().filter_map(Process::claims).all(|(token, lease)| lock == Some((lease, token)))
    }

    /// What can happen.
    pub fn steps(&self, scene: &Scene, steps: &mut Vec<Step>) {
        let faults = self.faults > 0;
        let has = |kind| faults && scene.kinds.contains(&kind);
        if let Some((step, i)) = self.meets_nobody() {
            steps.push(step);
            if has(Fault::Pause) && step.is_inside(i) {
                steps.push(Step::Pauses(i));
            }
            if let Step::Arrives(_, request, purpose) | Step::Answered(_, request, purpose) = step {
                if has(Fault::Break) {
                    steps.push(Step::Breaks(i, request, purpose));
                }
                if has(Fault::Slow) {
                    steps.push(Step::Slows(i, request, purpose));
                }
            }
            return;
        }
        let prompt = self.prompt();
        if prompt.is_empty() && self.passed < scene.units {
            steps.push(Step::Wait);
            for (i, p) in self.processes.iter().enumerate().filter(|(_, p)| has(Fault::Clock) && !p.behind) {
                if !p.crashed {
                    steps.push(Step::WaitBehind(i));
                }
            }
            let paused = self.processes.iter().enumerate().filter(|(_, p)| p.paused && !p.crashed);
            steps.extend(paused.map(|(i, _)| Step::GoesOn(i)));
        }
        if prompt.is_empty() {
            self.meddling(scene, steps);
        }
        let busy = |i| prompt.iter().any(|step| step.is_inside(i));
        let busy: Vec<bool> = (0..self.processes.len()).map(busy).collect();
        steps.extend(prompt);
        for (i, p) in self.processes.iter().enumerate() {
            self.whenever(i, p, steps);
            if p.crashed {
                continue;
            }
            for m in p.messages.iter().filter(|m| !m.slow && !m.given_up) {
                if has(Fault::Break) && p.runs() {
                    steps.push(Step::Breaks(i, m.request, m.purpose));
                }
                if has(Fault::Slow) {
                    steps.push(Step::Slows(i, m.request, m.purpose));
                }
            }
            if has(Fault::Slow) {
                steps.extend(p.calls.iter().filter(|c| !c.slow).map(|c| Step::SlowsCall(i, c.call)));
            }
            if has(Fault::Deaf) && !p.deaf {
                steps.push(Step::FallsDeaf(i));
            }
            if has(Fault::Pause) && busy[i] {
                steps.push(Step::Pauses(i));
            }
            if has(Fault::Watch) && p.watch.as_ref().is_some_and(|w| !w.silent) {
                steps.extend([Step::WatchEnds(i), Step::WatchFallsSilent(i)]);
            }
            if has(Fault::Crash) {
                steps.push(Step::Crashes(i));
            }
        }
    }

    /// What somebody does by hand, while nothing is under way.
    fn meddling(&self, scene: &Scene, steps: &mut Vec<Step>) {
        let has = |kind| self.faults > 0 && scene.kinds.contains(&kind);
        if has(Fault::Meddle) {
            let leases = self.processes.iter().enumerate().filter(|(_, p)| p.lease().is_some());
            steps.extend(leases.map(|(i, _)| Step::LeaseRevoked(i)));
            steps.extend(self.store.truth().lock.map(|_| Step::LockDeleted));
        }
        if has(Fault::Restore) {
            steps.push(Step::StoreRestored);
        }
    }

    /// A step that is due and that no other step of the same instant minds; and whose it is.
    fn meets_nobody(&self) -> Option<(Step, usize)> {
        self.processes.iter().enumerate().filter(|(_, p)| !p.crashed).find_map(|(i, p)| {
            if p.is_due() {
                return Some((Step::Tick(i), i));
            }
            if p.runs() && p.starts_writes() {
                return Some((Step::Writes(i), i));
            }
            if let Some(call) = p.calls.iter().find(|c| c.warmup && c.taken && p.runs()) {
                return Some((Step::Completes(i, call.call), i));
            }
            let meets_campaign = p.messages.iter().any(|m| m.slow || m.given_up);
            let hears = p.watch.as_ref().is_some_and(|w| !w.says.is_empty());
            let request = p.messages.iter().filter(|m| !m.slow && !m.given_up).find_map(|m| {
                let alone = match m.purpose {
                    Purpose::Grant
                    | Purpose::Renew
                    | Purpose::TakeId
                    | Purpose::Reread
                    | Purpose::Confirm => true,
                    Purpose::Campaign | Purpose::Release | Purpose::Revoke => false,
                    _ => !meets_campaign,
                };
                match &m.leg {
                    Leg::There(_) if alone => Some(Step::Arrives(i, m.request, m.purpose)),
                    Leg::Back(_) if (alone || m.purpose == Purpose::Revoke) && p.runs() && !hears => {
                        Some(Step::Answered(i, m.request, m.purpose))
                    }
                    _ => None,
                }
            });
            Some((request?, i))
        })
    }

    /// What happens before time passes.
    fn prompt(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (i, p) in self.processes.iter().enumerate().filter(|(_, p)| !p.crashed) {
            if p.is_due() {
                steps.push(Step::Tick(i));
            }
            for m in p.messages.iter().filter(|m| !m.given_up) {
                match &m.leg {
                    Leg::There(_) if !m.slow => steps.push(Step::Arrives(i, m.request, m.purpose)),
                    Leg::Back(_) if !m.slow && p.runs() => {
                        steps.push(Step::Answered(i, m.request, m.purpose));
                    }
                    _ => {}
                }
                if p.runs() && p.now >= m.until {
                    steps.push(Step::TimesOut(i, m.request, m.purpose));
                }
            }
            if let Some(watch) = p.watch.as_ref().filter(|w| !w.silent) {
                if !watch.open && watch.says.is_empty() {
                    steps.push(Step::Opens(i));
                }
                if !watch.says.is_empty() && p.runs() {
                    steps.push(Step::Hears(i));
                }
            }
            if p.runs() {
                steps.extend(
                    p.calls.iter().filter(|c| c.taken && !c.slow).map(|c| Step::Completes(i, c.call)),
                );
            }
        }
        steps
    }

    /// What may happen at any time, and need not.
    fn whenever(&self, i: usize, p: &Process, steps: &mut Vec<Step>) {
        for m in p.messages.iter() {
            match &m.leg {
                Leg::There(_) if m.slow || m.given_up => steps.push(Step::Arrives(i, m.request, m.purpose)),
                Leg::Back(_) if m.slow && p.runs() => steps.push(Step::Answered(i, m.request, m.purpose)),
                _ => {}
            }
        }
        if p.write.is_some() {
            steps.push(Step::WriteArrives(i));
        }
        if !p.runs() {
            return;
        }
        if p.deaf {
            steps.push(Step::Takes(i));
        }
        steps.extend(p.calls.iter().filter(|c| c.slow).map(|c| Step::Completes(i, c.call)));
        let primary = p.says_primary().is_some();
        if self.asks > 0 && primary {
            steps.push(Step::Resigns(i));
        }
        if self.asks > 0 && !p.ended {
            steps.push(Step::Stops(i));
        }
    }

    /// Lets it happen.
    pub fn take(&mut self, step: Step, scene: &Scene) {
        let now = self.now;
        if step.is_fault() {
            self.faults -= 1;
        }
        match step {
            Step::Wait => self.wait(None),
            Step::WaitBehind(i) => self.wait(Some(i)),
            Step::Tick(i) => self.of(i, |p| p.step(Event::Tick)),
            Step::Arrives(i, request, _) => self.arrives(i, request),
            Step::Answered(i, request, _) => self.of(i, |p| {
                if let Some(Leg::Back(result)) = p.take(request).map(|message| message.leg) {
                    p.step(Event::Answered { request, result });
                }
            }),
            Step::TimesOut(i, request, _) | Step::Breaks(i, request, _) => self.of(i, |p| p.give_up(request)),
            Step::Opens(i) => self.of(i, |p| {
                if let Some(watch) = &mut p.watch {
                    (watch.open, watch.says) = (true, vec![Says::Confirmed]);
                }
            }),
            Step::Hears(i) => self.of(i, Process::hears),
            Step::Completes(i, call) => self.of(i, |p| p.completes(call)),
            Step::Resigns(i) => {
                self.asks -= 1;
                self.of(i, |p| p.step(Event::Resign { election: ELECTION, within: None }));
            }
            Step::Stops(i) => {
                self.asks -= 1;
                self.of(i, |p| p.step(Event::Stop { timeout: UNIT * 2, within: None }));
            }
            Step::Writes(i) => self.of(i, |p| p.starts_write(scene.fenced)),
            Step::WriteArrives(i) => {
                let mut write = None;
                self.of(i, |p| write = p.write.take());
                self.of_store(|store, now| {
                    if let Some(write) = &write {
                        store.write(now, i, write);
                    }
                });
            }
            Step::GoesOn(i) => {
                self.of(i, |p| p.paused = false);
                self.wait(None);
            }
            Step::Pauses(i) => self.of(i, |p| p.paused = true),
            Step::FallsDeaf(i) => self.of(i, |p| p.deaf = true),
            Step::Takes(i) => self.of(i, |p| {
                p.deaf = false;
                p.takes();
            }),
            Step::Slows(i, request, _) => self.of(i, |p| {
                if let Some(message) = p.message(request) {
                    message.slow = true;
                }
            }),
            Step::SlowsCall(i, call) => self.of(i, |p| {
                p.calls.iter_mut().filter(|c| c.call == call).for_each(|c| c.slow = true);
            }),
            Step::WatchEnds(i) => self.of(i, |p| {
                if let Some(watch) = &mut p.watch {
                    (watch.open, watch.says) = (false, vec![Says::Ended]);
                }
            }),
            Step::WatchFallsSilent(i) => self.of(i, |p| {
                if let Some(watch) = &mut p.watch {
                    (watch.silent, watch.says) = (true, Vec::new());
                }
            }),
            Step::Crashes(i) => self.of(i, |p| {
                p.crashed = true;
                p.messages.retain(|m| matches!(m.leg, Leg::There(_)));
                p.messages.iter_mut().for_each(|m| m.given_up = true);
            }),
            Step::LeaseRevoked(i) => {
                let lease = self.processes[i].lease().expect("one to revoke");
                self.of(i, Process::excuse);
                self.of_store(|store, now| drop(store.perform(now, &Request::Revoke { lease })));
            }
            Step::LockDeleted => {
                (0..self.processes.len()).for_each(|i| self.of(i, Process::excuse));
                self.of_store(Store::delete_lock);
            }
            Step::StoreRestored => {
                for i in 0..self.processes.len() {
                    self.of(i, |p| {
                        p.excuse();
                        p.restored();
                    });
                }
                self.of_store(Store::restore);
            }
        }
        debug_assert!(now <= self.now);
    }

    fn wait(&mut self, behind: Option<usize>) {
        self.passed += 1;
        self.now += UNIT;
        for i in 0..self.processes.len() {
            if behind == Some(i) {
                self.of(i, |p| p.behind = true);
            } else {
                self.of(i, |p| p.now += UNIT);
            }
        }
        self.of_store(|_, _| {});
    }

    fn arrives(&mut self, i: usize, request: RequestId) {
        let Some(message) = self.processes[i].messages.iter().find(|m| m.request == request).cloned() else {
            return;
        };
        let Leg::There(what) = &message.leg else { return };
        let mut result = None;
        self.of_store(|store, now| result = Some(store.perform(now, what)));
        self.of(i, |p| {
            if message.given_up {
                p.take(request);
            } else if let (Some(message), Some(result)) = (p.message(request), result.take()) {
                message.leg = Leg::Back(result);
            }
        });
    }

    /// Something happens to a process.
    fn of(&mut self, i: usize, what: impl FnOnce(&mut Process)) {
        let process = Arc::make_mut(&mut self.processes[i]);
        what(process);
        let mut hasher = DefaultHasher::new();
        process.hash(&mut hasher);
        self.digests[i + 1] = hasher.finish();
    }

    /// Something happens to the store; the watches hear of it.
    fn of_store(&mut self, what: impl FnOnce(&mut Store, Time)) {
        let store = Arc::make_mut(&mut self.store);
        what(store, self.now);
        let events = store.written(self.now);
        self.digests[0] = store.digest(self.now);
        if events.is_empty() {
            return;
        }
        for i in 0..self.processes.len() {
            let Some(watch) = self.processes[i].watch.as_ref().filter(|w| w.open && !w.silent) else {
                continue;
            };
            let seen = |event: &&primacy_engine::store::KeyEvent| {
                watch.ranges.iter().any(|r| r.contains(&event.key))
            };
            let events: Vec<_> = events.iter().filter(seen).cloned().collect();
            if !events.is_empty() && !self.processes[i].crashed {
                self.of(i, |p| p.watch.iter_mut().for_each(|w| w.says.push(Says::Events(events.clone()))));
            }
        }
    }

    /// Whether somebody is primary soon if nothing breaks from here on; or nobody is left who wants to be.
    pub fn ends_well(&self, scene: &Scene) -> bool {
        let mut world = self.clone();
        for i in 0..world.processes.len() {
            world.of(i, |p| {
                p.paused = false;
                p.messages.retain(|m| !m.given_up);
                p.messages.iter_mut().for_each(|m| m.slow = false);
                p.calls.iter_mut().for_each(|c| c.slow = false);
                p.deaf = false;
                if !p.crashed {
                    p.takes();
                }
            });
        }
        let (end, mut busy) = (world.passed + SOON, 0);
        loop {
            if let Some(step) = world.prompt().first() {
                world.take(*step, scene);
                busy += 1;
            } else if world.processes().any(|p| p.ready && p.says_primary().is_some())
                || world.processes().all(|p| p.crashed || p.ended)
            {
                return true;
            } else if world.passed < end && busy < 2000 {
                world.take(Step::Wait, scene);
            } else {
                return false;
            }
        }
    }

    /// Whether nothing is left to happen but in longer scenes.
    pub fn is_over(&self, scene: &Scene) -> bool {
        self.passed >= scene.units && self.prompt().is_empty()
    }
}

impl Step {
    /// Whether it happens inside a process, so that a pause keeps it off.
    fn is_inside(self, i: usize) -> bool {
        match self {
            Step::Tick(at) | Step::Hears(at) | Step::Completes(at, _) => at == i,
            Step::Answered(at, ..) | Step::TimesOut(at, ..) => at == i,
            _ => false,
        }
    }

    fn is_fault(self) -> bool {
        matches!(
            self,
            Step::WaitBehind(_)
                | Step::Breaks(..)
                | Step::Slows(..)
                | Step::SlowsCall(..)
                | Step::Pauses(_)
                | Step::FallsDeaf(_)
                | Step::WatchEnds(_)
                | Step::WatchFallsSilent(_)
                | Step::Crashes(_)
                | Step::LeaseRevoked(_)
                | Step::LockDeleted
                | Step::StoreRestored
        )
    }
}
