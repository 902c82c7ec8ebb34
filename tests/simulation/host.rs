//! The host of a process: how its callbacks go, what it asks for, what it writes under its token.

use std::time::Duration;

use primacy_engine::store::{LeaseId, Op, Txn};
use primacy_engine::{Call, CallId, ElectionId, Event, Outcome, Token};

use crate::cluster::DATA;
use crate::process::{Deferred, Kind, Running, Session};
use crate::random::{self, Draw, Rng};
use crate::scenario::ROLES;
use crate::world::{Happening, World};

/// How one call goes.
enum Course {
    Ends(Duration),
    WhenCancelled,
    WhenFaultsEnd,
    Never,
}

impl World<'_> {
    /// The engine calls the host.
    pub fn call(&mut self, process: usize, election: ElectionId, call: CallId, what: &Call) {
        let life = self.processes[process].life;
        let r = &mut random::of(&[self.scenario.seed, 12, process as u64, u64::from(life), call.0]);
        let kind = match what {
            Call::Standby { .. } => Kind::Standby,
            Call::Warmup => Kind::Warmup,
            Call::Primary { token, lease } => Kind::Primary(*token, *lease),
            Call::Lost { token, lease, .. } => Kind::Lost(*token, *lease),
        };
        let course = self.course(kind, r);
        let outcome = self.outcome(kind, r);
        let asks = !self.is_calm() && r.permille(self.scenario.hosts.within);
        let lasts = if let Course::Ends(after) = course { after } else { Duration::from_secs(2) };
        let running = Running {
            call,
            kind,
            cancelled: false,
            ends: matches!(course, Course::Ends(_)) && !self.is_calm(),
            heeds: matches!(course, Course::WhenCancelled) || r.bool(),
            hangs: matches!(course, Course::WhenFaultsEnd),
            begun: false,
            heard: false,
        };
        let Some(e) = self.processes[process].session.as_mut().and_then(|s| s.election(election)) else {
            return;
        };
        e.running.push(running);
        e.hangs |= matches!(course, Course::Never);
        let left = self.left_for(r);
        let begins = self.now + left;
        match left {
            Duration::ZERO => self.takes(process, life, election, call),
            _ => self.queue.push(begins, Happening::Takes { process, life, election, call }),
        }
        if let Course::Ends(after) = course {
            let what = Happening::CallEnds { process, life, election, call, outcome };
            self.queue.push(begins + after, what);
        }
        if asks {
            let at = begins + lasts.mul_f64(r.f64());
            self.queue.push(at, Happening::Asks { process, life, election, call });
        }
        if let Kind::Primary(token, _) = kind {
            self.seen.primaries += 1;
            for _ in 0..r.u32(0..=self.scenario.hosts.writes) {
                let at = begins + r.stretched(self.scenario.granted() * 3);
                let slow =
                    if r.permille(300) { self.scenario.granted() * 2 } else { Duration::from_millis(5) };
                let slow = r.stretched(slow);
                self.queue.push(at, Happening::Writes { process, life, election, token, slow });
            }
        }
        if let Call::Lost { reason, .. } = what {
            self.seen.lost[*reason as usize] += 1;
        }
    }

    fn course(&self, kind: Kind, r: &mut Rng) -> Course {
        let hosts = &self.scenario.hosts;
        let quick = if r.permille(300) { Duration::ZERO } else { r.millis(0, 20) };
        if self.is_calm() {
            return Course::Ends(quick);
        }
        // An `on_lost` is never cancelled.
        let cancels = !matches!(kind, Kind::Lost(..));
        match () {
            () if r.permille(hosts.hang_for_ever) => Course::Never,
            () if r.permille(hosts.hang) => Course::WhenFaultsEnd,
            () if r.permille(hosts.until_cancelled) && cancels => Course::WhenCancelled,
            () if r.permille(hosts.slow) => Course::Ends(r.stretched(Duration::from_secs(10))),
            () => Course::Ends(quick),
        }
    }

    fn outcome(&self, kind: Kind, r: &mut Rng) -> Outcome {
        if !self.is_calm() && r.permille(self.scenario.hosts.fail) {
            return Outcome::Failed("no".into());
        }
        match kind {
            Kind::Warmup if self.is_calm() || r.bool() => Outcome::Warm,
            _ => Outcome::Done,
        }
    }

    /// How long the host leaves something that it is told.
    fn left_for(&self, r: &mut Rng) -> Duration {
        let leaves = !self.is_calm() && r.permille(self.scenario.hosts.left);
        if leaves { r.stretched(Duration::from_secs(15)) } else { Duration::ZERO }
    }

    /// The host begins a call. Its engine hears of that a little later, and may decide something else before.
    pub fn takes(&mut self, process: usize, life: u32, election: ElectionId, call: CallId) {
        if self.is_alive(process, life)
            && let Some(e) = self.processes[process].session.as_mut().and_then(|s| s.election(election))
            && let Some(running) = e.running.iter_mut().find(|r| r.call == call && !r.begun && !r.cancelled)
        {
            running.begun = true;
            let r = &mut random::of(&[self.scenario.seed, 16, process as u64, u64::from(life), call.0]);
            let at = self.now + if r.bool() { Duration::ZERO } else { r.stretched(Duration::from_millis(2)) };
            let event = Event::Taken { call };
            self.queue.push(at, Happening::Reaches { process, life, event });
        }
    }

    /// The host leaves news unread for a while.
    pub fn leave_unread(&mut self, process: usize, election: ElectionId) {
        let life = self.processes[process].life;
        let r = &mut random::of(&[self.scenario.seed, 17, process as u64, u64::from(life), self.steps]);
        let left = self.left_for(r);
        if !left.is_zero() {
            for (at, waits) in [(self.now, true), (self.now + left, false)] {
                let event = Event::Unread { election, waits };
                self.queue.push(at, Happening::Reaches { process, life, event });
            }
        }
    }

    /// The host of a primary says from time to time that it is well, until it hangs.
    pub fn will_report(&mut self, process: usize, election: ElectionId) {
        let Some(timeout) = self.scenario.liveness_timeout else { return };
        let calm = self.is_calm();
        let p = &mut self.processes[process];
        let life = p.life;
        let Some(e) = p.session.as_mut().and_then(|session| session.election(election)) else { return };
        let Some(token) = e.published.map(|published| published.token) else { return };
        let r = &mut random::of(&[self.scenario.seed, 22, process as u64, u64::from(life), self.steps]);
        if calm || !r.permille(4) {
            let at = self.now + if calm { timeout / 3 } else { r.stretched(timeout * 101 / 100) };
            self.queue.push(at, Happening::Reports { process, life, election, token });
        }
    }

    /// The host says that it is well; said too late, it brings nothing back.
    pub fn reports(&mut self, process: usize, life: u32, election: ElectionId, token: Token) {
        let Some(timeout) = self.scenario.liveness_timeout.filter(|_| self.is_alive(process, life)) else {
            return;
        };
        self.step(process, Event::Healthy { election });
        let p = &mut self.processes[process];
        let stepped = p.stepped;
        let Some(e) = p.session.as_mut().and_then(|session| session.election(election)) else { return };
        if e.ready && stepped < e.well + timeout {
            e.well = stepped;
        }
        // Whoever said so of an earlier win has ended with it.
        if e.published.is_some_and(|published| published.token == token) {
            self.will_report(process, election);
        }
    }

    /// The engine tells the host that a call should end.
    pub fn cancel(&mut self, process: usize, election: ElectionId, call: CallId) {
        let life = self.processes[process].life;
        let r = &mut random::of(&[self.scenario.seed, 13, process as u64, u64::from(life), call.0]);
        let Some(e) = self.processes[process].session.as_mut().and_then(|s| s.election(election)) else {
            return;
        };
        let Some(running) = e.running.iter_mut().find(|r| r.call == call) else { return };
        running.cancelled = true;
        if !running.begun {
            // It is taken back, as if it had never been called.
            e.called.0 -= u32::from(matches!(running.kind, Kind::Primary(..)));
            let event = Event::Completed { call, outcome: Outcome::Failed("taken back".into()) };
            self.queue.push(self.now, Happening::Reaches { process, life, event });
        } else if running.heeds {
            let outcome = if r.bool() { Outcome::Done } else { Outcome::Failed("cancelled".into()) };
            let at = self.now + r.stretched(Duration::from_millis(200));
            self.queue.push(at, Happening::CallEnds { process, life, election, call, outcome });
        }
    }

    /// A call of the host ends.
    pub fn call_ends(
        &mut self,
        process: usize,
        life: u32,
        election: ElectionId,
        call: CallId,
        outcome: Outcome,
    ) {
        if self.is_alive(process, life)
            && let Some(e) = self.processes[process].session.as_mut().and_then(|s| s.election(election))
            && e.running.iter().any(|r| r.call == call && r.begun)
        {
            // At the latest now it hears of the beginning.
            self.step(process, Event::Taken { call });
            self.step(process, Event::Completed { call, outcome });
        }
    }

    /// The host asks for something inside a call.
    pub fn asks(&mut self, process: usize, life: u32, election: ElectionId, call: CallId) {
        if !self.is_alive(process, life) || self.is_calm() {
            return;
        }
        let r = &mut random::of(&[self.scenario.seed, 14, process as u64, u64::from(life), call.0]);
        let timeout = r.stretched(Duration::from_secs(10));
        let again = (!r.permille(200)).then(|| r.stretched(Duration::from_secs(5)));
        let p = &mut self.processes[process];
        let now = p.clock.read(self.now);
        let Some(session) = &mut p.session else { return };
        let goes_on = session.goes_on();
        let Some(e) = session.election(election) else { return };
        if e.withdrawn || !goes_on || !e.running.iter().any(|r| r.call == call && r.begun) {
            return;
        }
        // Whoever asks for something inside a call lets that call end.
        let at = self.now + r.stretched(Duration::from_secs(2));
        let what = Happening::CallEnds { process, life, election, call, outcome: Outcome::Done };
        self.queue.push(at, what);
        let within = Some(call);
        match r.u32(0..5) {
            0 => {
                e.deferred.push((call, Deferred::Withdraw(now + timeout)));
                e.again = again;
                self.step(process, Event::Withdraw { election, timeout, within });
            }
            1 => {
                session.will_stop(now, timeout);
                session.again = again;
                p.returns = again.is_some();
                self.step(process, Event::Stop { timeout, within });
            }
            2 => self.step(process, Event::Transfer { election, to: None, within }),
            _ => self.step(process, Event::Resign { election, within }),
        }
    }

    /// The host writes under the token it was given, if it still may.
    pub fn writes(&mut self, process: usize, life: u32, election: ElectionId, token: Token, slow: Duration) {
        if !self.is_alive(process, life) {
            return;
        }
        let now = self.now;
        let p = &mut self.processes[process];
        let local = p.clock.read(now);
        let who = p.who();
        let Some(session) = &mut p.session else { return };
        let guard = session.engine.guard(election, token);
        let said = session.says_primary(election, local);
        let Some(e) = session.election(election) else { return };
        let (role, says) = (e.role, said.is_some_and(|p| p.token == token));
        let lease = match (&e.published, &e.lost) {
            (Some(published), _) if published.token == token => published.lease,
            (_, Some(lost)) if lost.token == token => lost.lease,
            _ => LeaseId::NONE,
        };
        let Some(guard) = guard else {
            if says {
                self.violate("guard", format!("p{process} is primary under {token} and has no guard"));
            }
            return;
        };
        if guard.is_empty() {
            self.violate("guard", format!("p{process}: the guard of {token} compares nothing"));
        }
        let Some(win) = self.cluster.win(who, role, token, lease) else { return };
        let data = format!("{DATA}{}", ROLES[role]);
        let put = Op::Put(data.as_str().into(), token.to_string().as_str().into(), LeaseId::NONE);
        let txn = Txn { when: guard, then: vec![put], otherwise: Vec::new() };
        self.queue.push(now + slow, Happening::WriteArrives { who, win, txn });
    }

    /// The faults end: what was left until now is taken and read, callbacks that hung until now end.
    pub fn hosts_behave(&mut self) {
        for p in &self.processes {
            let Some(session) = &p.session else { continue };
            for e in &session.elections {
                let (process, life, election) = (p.index, p.life, e.id);
                let event = Event::Unread { election, waits: false };
                self.queue.push(self.now, Happening::Reaches { process, life, event });
                if let Some(token) = e.published.map(|published| published.token) {
                    self.queue.push(self.now, Happening::Reports { process, life, election, token });
                }
                for running in e.running.iter().filter(|r| !r.begun) {
                    let call = running.call;
                    self.queue.push(self.now, Happening::Takes { process, life, election, call });
                }
                for running in e.running.iter().filter(|r| r.hangs) {
                    let call = running.call;
                    let r = &mut random::of(&[self.scenario.seed, 15, process as u64, call.0]);
                    let at = self.now + r.stretched(Duration::from_secs(1));
                    let what = Happening::CallEnds { process, life, election, call, outcome: Outcome::Done };
                    self.queue.push(at, what);
                }
            }
        }
    }
}

impl Session {
    /// The host has asked for the end, which has to come within `timeout` of `now`, by its own clock.
    pub fn will_stop(&mut self, now: primacy_engine::time::Time, timeout: Duration) {
        let until = now + timeout;
        self.stop = Some(self.stop.map_or(until, |earlier| earlier.min(until)));
        // What is kept of the time for the revoke shortens the drains.
        let reserve = (timeout / 4).min(Duration::from_secs(1));
        self.drains_until = self.drains_until.min(now + (timeout - reserve));
    }

    /// What `is_primary` says, asked at `now` by its own clock.
    pub fn says_primary(
        &self,
        election: ElectionId,
        now: primacy_engine::time::Time,
    ) -> Option<crate::process::Published> {
        let published = self.elections.get(election.0 as usize)?.published?;
        (self.cell(published.lease) > now).then_some(published)
    }
}
