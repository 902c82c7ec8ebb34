//! A client of a coordinator: it wants to know who is primary, and nothing else.

use std::time::Duration;

use primacy_engine::milvus::{Layout, Record, Role};
use primacy_engine::store::{Failure, KeyValue, Request};
use primacy_engine::time::Time;
use primacy_engine::{Action, Event, ObserverSetup, Observing, RequestId, Token, WatchId};
use primacy_model::{Keys, Watch as Opening};

use crate::cluster::Who;
use crate::random::{self, Draw};
use crate::scenario::{ObserverPlan, ROLES, Way};
use crate::world::{Happening, Listener, World};

/// How often it reads all again.
const REREAD: Duration = Duration::from_secs(3);

/// One observer. Its clock is right; only the network troubles it.
#[derive(Debug)]
pub struct Observer {
    plan: ObserverPlan,
    observing: Observing,
    open: Vec<RequestId>,
    /// When its next timer is due; before its start, never.
    pub next_tick: Time,
    /// Who it said was primary last, and whether ready.
    told: Option<(Token, bool)>,
    /// The token it told last, and when.
    last: (Token, Time),
}

impl World<'_> {
    /// Gets the observers ready.
    pub fn hire_observers(&mut self) {
        for (index, plan) in self.scenario.observers.iter().enumerate() {
            let setup = ObserverSetup {
                root: self.keys.root.clone(),
                layout: plan.layout,
                role: self.keys.role(plan.role).clone(),
                reread: REREAD,
                request_timeout: self.scenario.request_timeout,
                seed: self.scenario.seed,
            };
            self.observers.push(Observer {
                plan: plan.clone(),
                observing: Observing::new(setup),
                open: Vec::new(),
                next_tick: Time::NEVER,
                told: None,
                last: (Token(0), Time::ZERO),
            });
            self.queue.push(plan.start, Happening::ObserverHears { index, event: Event::Tick });
        }
    }

    /// One step of an observer.
    pub fn observer_hears(&mut self, index: usize, event: Event) {
        let observer = &mut self.observers[index];
        if let Event::Answered { request, .. } = &event {
            let Some(at) = observer.open.iter().position(|open| open == request) else { return };
            observer.open.swap_remove(at);
        }
        self.steps += 1;
        self.trace.note(self.now, format!("o{index}"), &event);
        let actions = observer.observing.step(self.now, event);
        observer.next_tick = observer.observing.next_deadline().unwrap_or(Time::NEVER).max(self.now);
        for action in actions {
            self.trace.note(self.now, format!("o{index}"), format_args!("    -> {action}"));
            match action {
                Action::Send { request, timeout, what, .. } => {
                    self.observer_asks(index, request, timeout, what)
                }
                Action::Watch { watch, ranges } => {
                    let at = self.now + self.observer_luck(index, watch.0).1;
                    self.queue.push(at, Happening::ObserverWatches { index, watch, ranges });
                }
                Action::Unwatch { watch } => self.close_observer_streams(|i, w| i == index && w == watch),
                _ => {}
            }
        }
        self.look_at_observer(index);
    }

    fn observer_luck(&self, index: usize, of: u64) -> (Option<Way>, Duration) {
        let r = &mut random::of(&[self.scenario.seed, 17, index as u64, of, self.now.as_nanos()]);
        let network = &self.scenario.network;
        let bad = !self.is_calm() && r.permille(network.trouble);
        (bad.then(|| r.pick(&network.ways)), self.usual(r))
    }

    fn observer_asks(&mut self, index: usize, request: RequestId, timeout: Duration, what: Request) {
        self.observers[index].open.push(request);
        let (way, there) = self.observer_luck(index, request.0);
        match way {
            None => self.queue.push(self.now + there, Happening::ObserverAsks { index, request, what }),
            Some(_) => {
                let result = Err(Failure::Indefinite("timeout".into()));
                let event = Event::Answered { request, result };
                self.queue.push(self.now + timeout, Happening::ObserverHears { index, event });
            }
        }
    }

    /// A read of an observer arrives at the store.
    pub fn observer_reads(&mut self, index: usize, request: RequestId, what: &Request) {
        self.settle_store();
        let result = if self.now < self.cluster.down_until {
            Err(Failure::Unreachable("connection refused".into()))
        } else {
            self.cluster.perform(self.now, Who::Operator, what)
        };
        let back = self.observer_luck(index, request.0 + 1_000_000).1;
        let event = Event::Answered { request, result };
        self.queue.push(self.now + back, Happening::ObserverHears { index, event });
    }

    /// A watch of an observer is opened at the store.
    pub fn observer_watches(
        &mut self,
        index: usize,
        watch: WatchId,
        ranges: &[primacy_engine::store::Range],
    ) {
        let fails = self.now < self.cluster.down_until || self.observer_luck(index, watch.0).0.is_some();
        let event = if fails {
            Event::WatchEnded { watch, why: "could not be opened".into() }
        } else {
            self.settle_store();
            let stream = self.cluster.model.open_stream(self.now);
            for range in ranges {
                self.cluster.model.watch(self.now, stream, Opening::of(Keys::from(range)));
            }
            self.streams.push((stream, Listener::Observer { index, watch }));
            Event::Watching { watch }
        };
        self.queue.push(self.now + Duration::from_micros(500), Happening::ObserverHears { index, event });
    }

    /// Streams of observers end; those who had them are told, if they still want to know.
    pub fn break_observers(&mut self) {
        for (_, listener) in std::mem::take(&mut self.streams) {
            if let Listener::Observer { index, watch } = listener {
                let event = Event::WatchEnded { watch, why: "stream broke".into() };
                self.queue
                    .push(self.now + Duration::from_millis(10), Happening::ObserverHears { index, event });
            }
        }
    }

    fn close_observer_streams(&mut self, which: impl Fn(usize, WatchId) -> bool) {
        let model = &mut self.cluster.model;
        self.streams.retain(|(stream, listener)| match listener {
            Listener::Observer { index, watch } if which(*index, *watch) => {
                model.close_stream(*stream);
                false
            }
            _ => true,
        });
    }

    /// What it tells never goes back, but where the store does.
    fn look_at_observer(&mut self, index: usize) {
        let restored = self.cluster.restored;
        let observer = &mut self.observers[index];
        let told = observer.observing.seen().1.map(|primary| (primary.token, primary.ready));
        if told == observer.told {
            return;
        }
        observer.told = told;
        let Some((token, _)) = told else { return };
        let (last, at) = observer.last;
        // Since when it tells this one, ready or not.
        observer.last = (token, if token == last { at } else { self.now });
        // What it told just after a restore may have been on its way since before.
        let went_back = restored.is_some_and(|restored| at <= restored + Duration::from_millis(200));
        if token < last && !went_back {
            self.violate("an observer never goes back", format!("o{index} tells {token} after {last}"));
        }
    }

    /// Whether an observer tells what is the case.
    pub fn is_observer_right(&self, index: usize, keys: &[KeyValue]) -> Result<(), String> {
        let observer = &self.observers[index];
        if observer.plan.start > self.now {
            return Ok(());
        }
        let there = |key: &primacy_engine::store::Key| keys.iter().find(|kv| kv.key == *key);
        let lock = there(&self.keys.of(observer.plan.role, observer.plan.layout).locks[0].key);
        let record = there(&self.keys.root.service_key(self.keys.role(observer.plan.role)));
        let readable = |kv: &&KeyValue| Record::parse(&kv.value).is_ok();
        let is_ready = |lock: &KeyValue, record: &KeyValue| {
            let Ok(Record { server_id, .. }) = Record::parse(&record.value) else { return true };
            let owns = |role: &Role| there(&self.keys.root.record_key(role, server_id));
            let holders = self.keys.role(observer.plan.role).holders();
            let own = holders.iter().filter_map(owns).find(|own| own.lease == lock.lease);
            let facts = own.and_then(|own| Record::parse(&own.value).ok()?.facts);
            // An on_primary that hangs until the end leaves what an earlier win has said.
            let of_this_win = own.is_some_and(|own| own.mod_revision > lock.mod_revision);
            let ready = facts.is_none_or(|facts| facts.ready && of_this_win);
            observer.plan.layout == Layout::AfterStart || ready
        };
        let truth = match (lock, record.filter(readable)) {
            (Some(lock), Some(record)) if lock.lease == record.lease => {
                Some((Token(lock.mod_revision.0), is_ready(lock, record)))
            }
            _ => None,
        };
        if observer.told == truth {
            return Ok(());
        }
        let (told, role) = (observer.told, ROLES[observer.plan.role]);
        Err(format!("o{index} tells {told:?} of {role}, it is {truth:?}"))
    }
}
