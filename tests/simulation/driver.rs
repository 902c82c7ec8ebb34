//! The driver of a process: hands events to its engine and performs what the engine decides.

use std::time::Duration;

use primacy_engine::milvus::{Candidate, Incarnation, Process};
use primacy_engine::store::{Answer, Failure, LeaseId};
use primacy_engine::time::Time;
use primacy_engine::{Action, Engine, Event, Notice, Purpose, RequestId, Setup};

use crate::liveness::Phase;
use crate::network::NOTICED;
use crate::process::{Election, Session, Watch};
use crate::random::{self, Draw};
use crate::world::{Happening, World};

/// By then it is looked again whether what is on its way has arrived.
const ON_ITS_WAY: Duration = Duration::from_millis(5);
/// When a session that is over takes one more step.
const AFTER_THE_END: Duration = Duration::from_secs(20);

/// The number of a process in a run of it. Some have it again.
fn number(process: usize, run: u32) -> u32 {
    u32::try_from(process).expect("few") * 4 + run % 4 + 1
}

impl World<'_> {
    /// A process starts; its host opens a session.
    pub fn start(&mut self, process: usize) {
        let (scenario, now) = (self.scenario, self.now);
        let plan = &scenario.processes[process];
        let p = &mut self.processes[process];
        if let Some(session) = &p.session {
            if session.closed.is_none() {
                return;
            }
            if session.elections.iter().any(Election::is_on_its_way) {
                return self.queue.push(now + ON_ITS_WAY, Happening::Start { process });
            }
            self.look_for_unpaired(process);
        }
        let p = &mut self.processes[process];
        p.life += 1;
        p.returns = false;
        let r = &mut random::of(&[scenario.seed, 2, process as u64, u64::from(p.life)]);
        let address = format!("p{process}:1");
        let version = plan.version();
        let mut candidate = Candidate::new(&address, "", version).expect("a candidate");
        // All on one machine count in one namespace, or each in its own.
        let luck = &mut random::of(&[scenario.seed, 8, process as u64]);
        candidate.incarnation = luck.permille(500).then(|| Incarnation {
            process: Some(Process {
                boot: "b".into(),
                namespace: if luck.bool() { "1".into() } else { format!("p{process}") },
                pid: number(process, p.run),
                start: u64::from(p.run),
            }),
            instance: None,
        });
        let setup = Setup {
            root: self.cluster.root.clone(),
            layout: plan.layout,
            candidate,
            ttl: Duration::from_secs(scenario.ttl),
            margin: scenario.margin,
            priority: plan.priority,
            warmup_interval: scenario.warmup_interval,
            activation_timeout: scenario.activation_timeout,
            liveness_timeout: scenario.liveness_timeout,
            drain_timeout: scenario.drain_timeout,
            request_timeout: scenario.request_timeout,
            first_lease: LeaseId(i64::from(p.life) * 1000 + 100_000 * (process as i64 + 1)),
            seed: r.u64(..),
        };
        p.session = Some(Session::new(Engine::new(setup), now));
        p.next_tick = Time::NEVER;
        let life = p.life;
        self.trace.note(now, format!("p{process}"), "starts");
        let patience = now + scenario.request_timeout * r.pick(&[1, 4]);
        self.queue.push(patience, Happening::Impatient { process, life });
        self.step(process, Event::Open);
    }

    /// The host registers a role.
    pub fn register(&mut self, process: usize, life: u32, role: usize, wants: bool) {
        if !self.is_alive(process, life) {
            return;
        }
        let layout = self.scenario.processes[process].layout;
        let lock = self.keys.of(role, layout).locks[0].key.clone();
        let Some(session) = &mut self.processes[process].session else { return };
        session.planned -= 1;
        if !session.goes_on() {
            return;
        }
        let id = primacy_engine::ElectionId(u32::try_from(session.elections.len()).expect("few"));
        session.elections.push(Election::new(id, role, lock, wants));
        self.step(process, Event::Register { election: id, role: self.keys.role(role).clone() });
        if wants {
            self.step(process, Event::Campaign { election: id });
        }
    }

    /// The host has waited long enough for its session to open.
    pub fn impatient(&mut self, process: usize, life: u32) {
        let open = |s: &Session| s.opened.is_some() || !s.goes_on();
        if self.is_alive(process, life) && !self.processes[process].session.as_ref().is_some_and(open) {
            self.stop(process, Duration::from_secs(1), Some(Duration::from_millis(500)));
        }
    }

    /// The host ends the session, and opens another one after `again`.
    pub fn stop(&mut self, process: usize, timeout: Duration, again: Option<Duration>) {
        let p = &mut self.processes[process];
        let now = p.clock.read(self.now);
        let Some(session) = &mut p.session else { return };
        if session.closed.is_some() {
            return;
        }
        // What is under way since the faults may have to be waited for longer than the stop takes.
        let nothing_old = session.open.iter().all(|open| open.calm);
        session.stopped_calmly = matches!(self.phase, Phase::Idle { .. } | Phase::Succession { .. })
            && session.goes_on()
            && nothing_old;
        session.will_stop(now, timeout);
        session.stop_began = true;
        session.again = session.again.or(again);
        p.returns |= session.again.is_some();
        self.step(process, Event::Stop { timeout, within: None });
    }

    /// One step of an engine; if its process is stopped, once that goes on.
    pub fn step(&mut self, process: usize, event: Event) {
        let p = &mut self.processes[process];
        if p.paused.is_some() {
            return p.inbox.push(Happening::Reaches { process, life: p.life, event });
        }
        let now = p.clock.read(self.now);
        let Some(session) = &mut p.session else { return };
        self.steps += 1;
        p.stepped = now;
        if self.trace.on {
            let name = match (&event, session.engine.next_timer()) {
                (Event::Tick, Some((at, name))) if at <= now => name.to_owned(),
                _ => event.to_string(),
            };
            self.trace.note(self.now, format!("p{process}"), format!("[{now}] {name}"));
        }
        self.before_step(process, &event);
        let p = &mut self.processes[process];
        let Some(session) = &mut p.session else { return };
        let actions = session.engine.step(now, event);
        let next = session.engine.next_deadline();
        p.next_tick = next.map_or(Time::NEVER, |at| p.clock.when(at));
        if self.scenario.network.late > 0 && !self.is_calm() {
            self.serve_late(process);
        }
        if self.processes[process].freeze.is_some() {
            self.freeze(process, actions);
            return;
        }
        for action in actions {
            self.perform(process, action);
        }
        self.after_step(process);
    }

    /// Timers are served late now and then.
    fn serve_late(&mut self, process: usize) {
        let r = &mut random::of(&[self.scenario.seed, 4, process as u64, self.steps]);
        let p = &mut self.processes[process];
        if p.next_tick < Time::NEVER && r.permille(self.scenario.network.late) {
            p.next_tick += r.stretched(Duration::from_millis(300));
        }
    }

    /// The process is stopped between what its engine decided and the doing of it.
    fn freeze(&mut self, process: usize, actions: Vec<Action>) {
        let p = &mut self.processes[process];
        let length = p.freeze.take().unwrap_or_default();
        p.frozen = actions;
        self.pause(process, length);
    }

    /// The process is stopped.
    pub fn pause(&mut self, process: usize, length: Duration) {
        let p = &mut self.processes[process];
        p.paused = Some(self.now + length);
        p.next_tick = Time::NEVER;
        self.disturb(process, self.now + length);
        self.trace.note(self.now, format!("p{process}"), format!("is stopped for {length:?}"));
        self.queue.push(self.now + length, Happening::Resumes { process });
    }

    /// The process goes on: what it was about to do, what has arrived, and its timers, in either order.
    pub fn resumes(&mut self, process: usize) {
        let p = &mut self.processes[process];
        if p.paused.is_none_or(|until| until > self.now) {
            return;
        }
        self.trace.note(self.now, format!("p{process}"), "goes on");
        p.paused = None;
        p.disturbed = self.now;
        let life = p.life;
        let (frozen, inbox) = (std::mem::take(&mut p.frozen), std::mem::take(&mut p.inbox));
        for action in frozen {
            self.perform(process, action);
        }
        self.after_step(process);
        let r = &mut random::of(&[self.scenario.seed, 5, process as u64, self.now.as_nanos()]);
        if r.bool() && self.is_alive(process, life) {
            self.step(process, Event::Tick);
        }
        // Each takes a moment, so that other processes may come in between.
        for (i, what) in inbox.into_iter().enumerate() {
            self.queue.push(self.now + Duration::from_micros(i as u64 * 20), what);
        }
        let p = &mut self.processes[process];
        if p.paused.is_some() {
            return;
        }
        let next = p.session.as_ref().and_then(|s| s.engine.next_timer()).map(|(at, _)| p.clock.when(at));
        p.next_tick = next.map_or(Time::NEVER, |at| at.max(self.now));
    }

    fn perform(&mut self, process: usize, action: Action) {
        self.trace.note(self.now, format!("p{process}"), format_args!("    -> {action}"));
        self.before_action(process, &action);
        let p = &mut self.processes[process];
        let (life, stepped) = (p.life, p.stepped);
        let Some(session) = &mut p.session else { return };
        match action {
            Action::Send { request, purpose, election, timeout, what } => {
                session.sent += 1;
                self.seen.sent[purpose as usize] += 1;
                // None of the election's own writes.
                let election = election.filter(|_| purpose != Purpose::Reclaim);
                self.send(process, request, purpose, election, timeout, what);
                self.strike(process, purpose, true);
                if let (Purpose::Campaign, Some(election)) = (purpose, election) {
                    self.somebody_campaigns(process, election);
                }
            }
            Action::Watch { watch, ranges } => {
                let election =
                    session.elections.iter().rev().find(|e| ranges.iter().any(|r| r.contains(&e.lock)));
                let of = election.map(|e| e.id);
                session.watches.push(Watch { id: watch, of, stream: None, confirmed: false, silent: false });
                self.open_watch(process, watch, ranges);
            }
            Action::Unwatch { watch } => {
                session.watches.retain(|w| w.id != watch);
                self.close_streams(|p, l, w| p == process && l == life && w == watch);
            }
            Action::Call { election, call, what } => self.call(process, election, call, &what),
            Action::Cancel { election, call } => self.cancel(process, election, call),
            Action::Deadline { lease, until } => {
                let before = match session.cells.iter_mut().find(|(id, _)| *id == lease) {
                    Some(cell) => std::mem::replace(&mut cell.1, until),
                    None => {
                        session.cells.push((lease, until));
                        Time::NEVER
                    }
                };
                if until > Time::ZERO {
                    self.look_at_deadline(process, lease, before, until);
                }
            }
            Action::Primacy { election, win } => self.publish(process, election, win),
            Action::Examine { election, pid, start } => {
                let is_it = |p: &crate::process::Process| {
                    p.session.is_some() && (number(p.index, p.run), u64::from(p.run)) == (pid, start)
                };
                let gone = !self.processes.iter().any(is_it);
                self.step(process, Event::Examined { election, pid, start, gone });
            }
            Action::Opened { .. } => {
                session.opened = Some(self.now);
                let plan = &self.scenario.processes[process];
                session.planned = u32::try_from(plan.roles.len()).expect("few");
                let r = &mut random::of(&[self.scenario.seed, 6, process as u64, u64::from(life)]);
                for (role, wants) in &plan.roles {
                    let at = self.now + r.stretched(Duration::from_millis(200));
                    let what = Happening::Register { process, life, role: *role, wants: *wants };
                    self.queue.push(at, what);
                }
            }
            Action::OpenFailed { .. } => {
                let what = Happening::Impatient { process, life };
                self.queue.push(self.now + Duration::from_millis(10), what);
            }
            Action::Withdrawn { election } => self.withdrawn(process, election),
            Action::Closed { clean } => self.closed(process, clean),
            Action::Notice { election, what: Notice::Ready { .. } } => {
                if let Some(e) = session.election(election) {
                    e.ready = true;
                    e.well = stepped;
                }
                self.leave_unread(process, election);
                self.will_report(process, election);
            }
            Action::Notice { .. } | Action::Log { .. } => {}
        }
    }

    fn withdrawn(&mut self, process: usize, election: primacy_engine::ElectionId) {
        let p = &mut self.processes[process];
        let life = p.life;
        let Some(session) = &mut p.session else { return };
        let goes_on = session.goes_on();
        let Some(e) = session.election(election) else { return };
        e.withdrawn = true;
        if let (Some(again), true) = (e.again, goes_on) {
            let what = Happening::Register { process, life, role: e.role, wants: e.wants };
            session.planned += 1;
            self.queue.push(self.now + again, what);
        }
    }

    /// The session is over. If it is clean, nothing that it wrote is left.
    fn closed(&mut self, process: usize, clean: bool) {
        let who = self.processes[process].who();
        self.settle_store();
        let cluster = &self.cluster;
        let holds = cluster.holders().any(|(_, win)| cluster.wins[win].who == who);
        // A backup brings back what hung on leases that were ended since.
        if clean && self.cluster.restored.is_none() {
            let keys = self.cluster.keys(self.now);
            let left =
                keys.iter().find(|kv| self.cluster.owner(&kv.key) == Some(who) && kv.lease != LeaseId::NONE);
            if let Some(kv) = left {
                self.violate("clean is clean", format!("p{process} leaves {}", kv.key));
            }
        }
        let p = &mut self.processes[process];
        let Some(session) = &mut p.session else { return };
        session.closed = Some(clean || !holds);
        // Whatever comes to it after its end, it asks for nothing more.
        let what = Happening::Reaches { process, life: p.life, event: Event::Tick };
        self.queue.push(self.now + AFTER_THE_END, what);
        if let Some(again) = session.again {
            self.queue.push(self.now + again, Happening::Start { process });
        }
    }

    /// Something arrives at the driver.
    pub fn reaches(&mut self, process: usize, life: u32, event: Event) {
        if !self.is_alive(process, life) {
            return;
        }
        let now = self.now;
        let p = &mut self.processes[process];
        let Some(session) = &mut p.session else { return };
        match event {
            Event::Answered { request, result } => {
                let Some(at) = session.open.iter().position(|open| open.request == request) else { return };
                let deadline = session.open[at].deadline;
                let cut = p.cut.is_some_and(|(until, _)| until > now);
                if cut && now < deadline {
                    // It waits in a buffer that nobody drains.
                    self.queue.push(deadline, Happening::TimesOut { process, life, request });
                    return;
                }
                session.open.swap_remove(at);
                let luck = &mut random::of(&[self.scenario.seed, 7, process as u64, request.0]);
                let given_up = now > deadline && luck.bool();
                let result = if given_up { Err(Failure::Indefinite("timeout".into())) } else { result };
                self.step(process, Event::Answered { request, result });
            }
            Event::Watching { watch } | Event::Watched { watch, .. } => {
                if let Some(known) = session.watches.iter_mut().find(|w| w.id == watch && !w.silent) {
                    if !std::mem::replace(&mut known.confirmed, true) {
                        let what = Happening::CaughtUp { process, life, watch, since: now };
                        self.queue.push(now + NOTICED, what);
                    }
                    self.step(process, event);
                }
            }
            Event::WatchEnded { watch, .. } => {
                if let Some(at) = session.watches.iter().position(|w| w.id == watch) {
                    session.watches.swap_remove(at);
                    self.close_streams(|p, l, w| p == process && l == life && w == watch);
                    self.step(process, event);
                }
            }
            event => self.step(process, event),
        }
    }

    /// A request gets no answer any more.
    pub fn times_out(&mut self, process: usize, life: u32, request: RequestId) {
        if self.is_alive(process, life)
            && let Some(session) = &mut self.processes[process].session
            && let Some(at) = session.open.iter().position(|open| open.request == request)
        {
            session.open.swap_remove(at);
            let (members, lone) = (self.scenario.members, self.scenario.processes[process].lone);
            let p = &mut self.processes[process];
            if !lone {
                p.member = (p.member + 1) % members;
            }
            p.disturbed = p.disturbed.max(self.now);
            let result: Result<Answer, Failure> = Err(Failure::Indefinite("timeout".into()));
            self.step(process, Event::Answered { request, result });
        }
    }
}
