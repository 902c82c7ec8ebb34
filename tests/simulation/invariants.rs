//! The rules that hold at every moment, looked at with each step and each action of an engine.
//!
//! Their names are those of the guarantees in the README's words; a shrunk run must break the same one.

use std::collections::BTreeMap;
use std::time::Duration;

use primacy_engine::store::{Answer, Key, KeyValue, LeaseId, Op, Request};
use primacy_engine::time::Time;
use primacy_engine::{Action, Call, CallId, ElectionId, Event, LostReason, Purpose, Token, WatchId};

use crate::cluster::Who;
use crate::process::{Deferred, Election, Lost, Published, Session};
use crate::scenario::ROLES;
use crate::world::World;

/// More steps in a second than an engine needs that is not busy with itself, for each of its elections.
const BUSY: u32 = 400;

impl World<'_> {
    /// Before the engine sees an event.
    pub fn before_step(&mut self, process: usize, event: &Event) {
        let second = self.now.as_nanos() / 1_000_000_000;
        let p = &mut self.processes[process];
        let now = p.clock.read(self.now);
        let Some(session) = &mut p.session else { return };
        self.seen.busiest = self.seen.busiest.max(u64::from(session.steps.1));
        session.steps = if session.steps.0 == second { (second, session.steps.1 + 1) } else { (second, 1) };
        if session.steps.1 > BUSY {
            return self.violate("busy", format!("p{process} takes more than {BUSY} steps in a second"));
        }
        let kept = session.contract.event(event);
        match event {
            Event::Taken { call } => session.hears(*call),
            Event::Completed { call, .. } => {
                session.completes(*call);
            }
            Event::Withdraw { election, timeout, within: None } => {
                if let Some(e) = session.election(*election) {
                    e.will_end(now + *timeout);
                }
            }
            Event::Resign { election, .. } | Event::Transfer { election, .. } => {
                session.election(*election).into_iter().for_each(|e| e.asked = true);
            }
            Event::Answered { request, result: Ok(Answer::Txn(answer)) } => {
                session.sees(answer.reads.iter().flatten());
                let handed = session.elections.iter_mut().find(|e| e.hands_over == Some(*request));
                if let Some(lost) = handed.and_then(|e| e.lost.as_mut()).filter(|_| answer.succeeded) {
                    lost.seen_other = true;
                }
            }
            Event::Watched { events, .. } => session.sees(events.iter().filter_map(|e| e.now.as_ref())),
            _ => {}
        }
        if let Err((rule, text)) = kept {
            self.violate(rule, format!("p{process}: {event}: {text}"));
        }
    }

    /// Before the driver performs an action.
    pub fn before_action(&mut self, process: usize, action: &Action) {
        if let Action::Send { purpose: Purpose::Reclaim, what: Request::Revoke { lease }, .. } = action {
            self.look_for_the_living(process, *lease);
        }
        let p = &mut self.processes[process];
        let now = p.stepped;
        let Some(session) = &mut p.session else { return };
        let broken = session.contract.action(action).err();
        if let Action::Send { request, purpose: Purpose::HandOver, election: Some(of), .. } = action
            && let Some(e) = session.election(*of)
        {
            e.hands_over = Some(*request);
        }
        let broken = broken.or_else(|| match action {
            Action::Call { election, what, .. } => {
                session.may_call(*election, what, now, self.scenario.liveness_timeout, &self.asked)
            }
            Action::Send { purpose, election, what, .. } => session.may_send(
                *purpose,
                *election,
                what,
                now,
                Duration::from_secs(self.scenario.ttl).min(self.scenario.granted()),
                self.scenario.drain_timeout,
            ),
            _ => None,
        });
        if let Some((rule, text)) = broken {
            self.violate(rule, format!("p{process}: {action}: {text}"));
        }
    }

    /// A lease is reclaimed. Its number tells whose it was: see where sessions are made.
    fn look_for_the_living(&mut self, process: usize, lease: LeaseId) {
        let (of, life) = (lease.0 / 100_000 - 1, lease.0 % 100_000 / 1000);
        let has_ended = |p: &crate::process::Process| p.index as i64 == of && life < i64::from(p.run);
        if !self.processes.iter().any(has_ended) {
            self.violate(
                "only the dead are succeeded",
                format!("p{process}: of p{of}'s session {life}, lease {lease}"),
            );
        }
    }

    /// A session is over, and its engine has heard of all that the host has begun.
    pub fn look_for_unpaired(&mut self, process: usize) {
        let session = self.processes[process].session.as_ref();
        if let Some(e) = session.and_then(|s| s.elections.iter().find(|e| e.called.0 != e.called.1)) {
            let text = format!("p{process}: {} has ended without on_lost", e.id);
            self.violate("one lost for each primary", text);
        }
    }

    /// After all actions of a step.
    pub fn after_step(&mut self, process: usize) {
        let p = &self.processes[process];
        let now = p.stepped;
        let Some(session) = &p.session else { return };
        let mut broken = session.contract.end_of_step().err();
        for e in &session.elections {
            // A step looks at the time first; whatever it was about, a win whose deadline has passed is lost then.
            if e.published.is_some_and(|published| session.cell(published.lease) <= now) {
                broken = Some(("lost at the deadline", format!("{} is still primary", e.id)));
            }
        }
        let unwell = |e: &Election| {
            self.scenario.liveness_timeout.is_some_and(|timeout| e.ready && e.well + timeout <= now)
        };
        if let Some(e) = session.elections.iter().find(|e| unwell(e)) {
            broken = Some(("lost when not well", format!("{} is still primary", e.id)));
        }
        if session.stop.is_some_and(|until| now > until + Duration::from_millis(400))
            && session.closed.is_none()
        {
            broken = Some(("bounded stop", "the session is not closed in time".into()));
        }
        if let Some((rule, text)) = broken {
            self.violate(rule, format!("p{process}: {text}"));
        }
    }

    /// The engine says who is primary from now on.
    pub fn publish(&mut self, process: usize, election: ElectionId, win: Option<(Token, LeaseId)>) {
        let p = &mut self.processes[process];
        let who = p.who();
        let now = p.stepped;
        let Some(session) = &mut p.session else { return };
        let cell = win.map(|(_, lease)| session.cell(lease));
        let Some(e) = session.election(election) else { return };
        let Some((token, lease)) = win else {
            e.let_go = e.published.take().map(|published| (published.lease, false));
            e.ended = now;
            e.ready = false;
            return;
        };
        let role = e.role;
        let Some(win) = self.cluster.win(who, role, token, lease) else {
            let text = format!("p{process} says that it won {} under {token}, lease {lease}", ROLES[role]);
            return self.violate("a win is in the store", text);
        };
        e.published = Some(Published { token, lease, win });
        if cell.is_some_and(|until| until <= now) {
            let text = format!("p{process}: the deadline of lease {lease} has passed");
            self.violate("a win on a lease that is ours", text);
        }
        self.look_for_overlap(process, election);
    }

    /// The engine sets a deadline, for whoever is primary under the lease in place of one that has not passed: by then the
    /// store must still keep the lease.
    pub fn look_at_deadline(&mut self, process: usize, lease: LeaseId, before: Time, until: Time) {
        let p = &self.processes[process];
        let primary = |s: &Session| s.elections.iter().any(|e| e.published.is_some_and(|p| p.lease == lease));
        if before <= p.stepped && p.session.as_ref().is_some_and(primary) {
            let text =
                format!("p{process}: lease {lease} was lost at {before}, and is ours until {until} again");
            return self.violate("a lost lease is not revived", text);
        }
        let ends = p.clock.when(until);
        let kept = self.cluster.kept_until(lease);
        if kept.is_none_or(|kept| ends > kept) || self.cluster.lease_of(lease) != Some(p.who()) {
            let text = format!(
                "p{process}: lease {lease} is said to be ours until {ends}, it is kept until {kept:?}"
            );
            return self.violate("the deadline is before the lease's end", text);
        }
        let Some(session) = &p.session else { return };
        let on_it = session.elections.iter().filter(|e| e.published.is_some_and(|p| p.lease == lease));
        let on_it: Vec<ElectionId> = on_it.map(|e| e.id).collect();
        for election in on_it {
            self.look_for_overlap(process, election);
        }
    }

    /// What one process says of itself has changed: nobody else may say the same.
    fn look_for_overlap(&mut self, process: usize, election: ElectionId) {
        let Some(mine) = self.says(process, election) else { return };
        for other in 0..self.processes.len() {
            let Some(session) = &self.processes[other].session else { continue };
            for e in &session.elections {
                let Some(theirs) = self.says(other, e.id).filter(|_| (other, e.id) != (process, election))
                else {
                    continue;
                };
                let (a, b) = (&self.cluster.wins[mine.win], &self.cluster.wins[theirs.win]);
                if a.roles & b.roles != 0 && a.excused.is_none() && b.excused.is_none() {
                    let text = format!(
                        "p{process} is primary of {} under {}, and p{other} of {} under {}",
                        ROLES[a.role], a.token, ROLES[b.role], b.token
                    );
                    return self.violate("one primary", text);
                }
            }
        }
    }

    /// A win was taken away by hand a while ago: whoever had it has seen that, if nothing was in the way.
    pub fn look_whether_noticed(&mut self, win: usize) {
        let Who::Session(process, life) = self.cluster.wins[win].who else { return };
        let p = &self.processes[process];
        let Some(session) = p.session.as_ref().filter(|_| p.life == life) else { return };
        let long_ago = Duration::from_secs(8);
        let disturbed =
            p.disturbed.max(p.unsettled) + long_ago > self.now || session.began + long_ago > self.now;
        if disturbed || session.watches.iter().any(|watch| watch.silent || !watch.confirmed) {
            return;
        }
        self.seen.noticed += 1;
        let still = session.elections.iter().find(|e| {
            e.published.is_some_and(|published| published.win == win) && self.says(process, e.id).is_some()
        });
        if let Some(e) = still {
            let text = format!("p{process} {} is still primary under {}", e.id, self.cluster.wins[win].token);
            self.violate("what is taken away is noticed", text);
        }
    }

    /// A watch was confirmed a while ago: what had happened before that has been read since, if nothing was in the way.
    pub fn look_whether_caught_up(&mut self, process: usize, life: u32, watch: WatchId, since: Time) {
        let p = &self.processes[process];
        let Some(session) = p.session.as_ref().filter(|_| p.life == life) else { return };
        let disturbed = p.disturbed + Duration::from_secs(8) > self.now || session.went_back;
        let of = session.watches.iter().find(|w| w.id == watch).and_then(|w| w.of);
        let Some(e) = of.and_then(|id| session.elections.get(id.0 as usize)).filter(|_| !disturbed) else {
            return;
        };
        let Some(published) = e.published else { return };
        if let Some((at, _)) = self.cluster.wins[published.win].gone
            && at <= since
            && self.says(process, e.id).is_some()
        {
            let text = format!(
                "p{process} {} is still primary: its lock went at {at}, {watch} came at {since}",
                e.id
            );
            self.violate("what no watch told is read", text);
        }
    }

    /// What `is_primary` of a process says now.
    pub fn says(&self, process: usize, election: ElectionId) -> Option<Published> {
        let p = &self.processes[process];
        p.session.as_ref()?.says_primary(election, p.clock.read(self.now))
    }
}

type Broken = Option<(&'static str, String)>;

impl Session {
    fn hears(&mut self, call: CallId) {
        let running = self.elections.iter_mut().flat_map(|e| &mut e.running);
        running.filter(|r| r.call == call).for_each(|r| r.heard = true);
    }

    fn completes(&mut self, call: CallId) {
        for e in &mut self.elections {
            if let Some(at) = e.running.iter().position(|r| r.call == call) {
                e.running.remove(at);
                let asked = e.deferred.iter().position(|(within, _)| *within == call);
                if let Some((_, Deferred::Withdraw(until))) = asked.map(|at| e.deferred.swap_remove(at)) {
                    e.will_end(until);
                }
            }
        }
    }

    /// The engine sees these keys: perhaps the lock in somebody else's hands.
    fn sees<'k>(&mut self, keys: impl Iterator<Item = &'k KeyValue> + Clone) {
        for e in &mut self.elections {
            if let Some((lease, seen_other)) = &mut e.let_go {
                *seen_other |= keys.clone().any(|kv| kv.key == e.lock && kv.lease != *lease);
            }
            if let Some(lost) = &mut e.lost
                && !lost.seen_other
            {
                lost.seen_other = keys.clone().any(|kv| kv.key == e.lock && kv.lease != lost.lease);
            }
        }
    }

    fn may_call(
        &mut self,
        election: ElectionId,
        what: &Call,
        now: Time,
        liveness: Option<Duration>,
        asked: &BTreeMap<Token, u32>,
    ) -> Broken {
        let went_back = self.went_back;
        let Some(e) = self.election(election) else { return Some(("calls", "no such election".into())) };
        match what {
            Call::Lost { token, lease, reason } => {
                e.called.1 += 1;
                let voluntary = matches!(reason, LostReason::Resigned | LostReason::Transferred);
                e.resigned += u32::from(voluntary);
                if voluntary && !e.asked && !asked.contains_key(token) {
                    return Some(("nobody asked for it", format!("{token} ends as {reason}")));
                }
                let (token, lease, reason) = (*token, *lease, *reason);
                let seen_other = e.let_go.take().is_some_and(|(_, seen_other)| seen_other);
                e.lost = Some(Lost { token, lease, reason, at: e.ended, seen_other });
                let well = liveness.is_none_or(|timeout| now < e.well + timeout);
                (reason == LostReason::LivenessExpired && well)
                    .then(|| ("lost when not well", "its host has said that it is well".into()))
            }
            Call::Primary { token, .. } => {
                e.called.0 += 1;
                e.asked = false;
                // A store that went back hands out the same tokens again: then the last loss says so.
                let anew =
                    e.lost.as_ref().is_some_and(|l| l.reason == LostReason::StoreRolledBack) || went_back;
                let older = *token <= std::mem::replace(&mut e.last_token, *token);
                (older && !anew).then(|| ("tokens increase", "an older token".into()))
            }
            Call::Standby { .. } | Call::Warmup => e
                .withdraw
                .is_some()
                .then(|| ("nothing after the end", "a standby's call of one that ends".into())),
        }
    }

    fn may_send(
        &mut self,
        purpose: Purpose,
        election: Option<ElectionId>,
        what: &Request,
        now: Time,
        ttl: Duration,
        drain: Duration,
    ) -> Broken {
        if let Request::Revoke { lease } = what {
            let kept = self.elections.iter().find(|e| e.keeps(Some(*lease), now, drain, self.drains_until));
            return kept.map(|e| ("keys stay while callbacks run", format!("{} has {:?}", e.id, e.running)));
        }
        let drains_until = self.drains_until;
        let watched = self.watches.iter().any(|watch| watch.confirmed && watch.of == election);
        let stopping = self.stop.is_some() && self.stop_began;
        let busy = election.is_some_and(|id| self.open.iter().any(|open| open.election == Some(id)));
        let e = self.election(election?)?;
        if busy {
            return Some(("one operation at a time", "another one is under way".into()));
        }
        if matches!(purpose, Purpose::Release | Purpose::HandOver)
            && e.keeps(None, now, drain, drains_until)
            && writes(what, &e.lock)
        {
            return Some(("keys stay while callbacks run", format!("{:?}", e.running)));
        }
        if purpose != Purpose::Campaign {
            return None;
        }
        if !watched {
            return Some(("watch first, then campaign", "no watch of it is confirmed".into()));
        }
        if e.runs_of_a_win() || e.running.iter().any(|r| r.cancelled) {
            return Some(("no campaign while an older win's callbacks run", format!("{:?}", e.running)));
        }
        if stopping || e.withdraw.is_some() || e.published.is_some() || !e.wants {
            return Some(("no campaign unless asked to", String::new()));
        }
        let held_off = e.lost.as_ref().is_some_and(|lost| {
            let voluntary = matches!(
                lost.reason,
                LostReason::Resigned
                    | LostReason::Transferred
                    | LostReason::ActivationFailed
                    | LostReason::HostUnresponsive
                    | LostReason::LivenessExpired
            );
            voluntary && !lost.seen_other && now < lost.at + ttl
        });
        (held_off && !self.went_back)
            .then(|| ("others first", "it campaigns at once after it resigned".into()))
    }
}

impl Election {
    /// The host has ended it; it has to be over by then.
    pub fn will_end(&mut self, until: Time) {
        self.withdraw = Some(self.withdraw.map_or(until, |earlier| earlier.min(until)));
    }

    /// Whether callbacks of a win on `lease` (or any) keep its keys.
    fn keeps(&self, lease: Option<LeaseId>, now: Time, drain: Duration, drains_until: Time) -> bool {
        let Some(lost) = &self.lost else { return false };
        let asked = self.deferred.iter().map(|(_, Deferred::Withdraw(until))| *until);
        let ends = asked.chain(self.withdraw).min().unwrap_or(Time::NEVER);
        let until = (lost.at + drain).min(ends).min(drains_until);
        let runs = |r: &crate::process::Running| r.kind.win() == Some((lost.token, lost.lease));
        lease.is_none_or(|lease| lease == lost.lease) && now < until && self.running.iter().any(runs)
    }
}

fn writes(what: &Request, key: &Key) -> bool {
    let is_there = |op: &Op| matches!(op, Op::Delete(k) | Op::Put(k, ..) if k == key);
    matches!(what, Request::Txn(txn) if txn.then.iter().any(is_there))
}
