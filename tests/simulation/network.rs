//! The way between a process and the store: how long it takes, what gets lost, what is done without an answer,
//! what arrives long after it was given up.

use std::time::Duration;

use primacy_engine::store::{Answer, Failure, Range, Request, Txn};
use primacy_engine::time::Time;
use primacy_engine::{ElectionId, Event, Purpose, RequestId, WatchId};
use primacy_model::{Keys, StreamId, Watch as Opening, WatchResponse};

use crate::cluster::{self, Who};
use crate::process::Open;
use crate::random::{self, Draw, Rng};
use crate::scenario::{Cut, Way};
use crate::world::{Happening, Listener, Sent, World};

/// How long a process that hears nothing from etcd takes to notice that its watches are dead (HTTP/2 pings).
const PINGS: Duration = Duration::from_secs(8);

/// How soon a process that nothing disturbs sees that its keys were taken away.
pub const NOTICED: Duration = Duration::from_secs(1);

impl World<'_> {
    /// A request leaves a process.
    pub fn send(
        &mut self,
        process: usize,
        request: RequestId,
        purpose: Purpose,
        election: Option<ElectionId>,
        timeout: Duration,
        what: Request,
    ) {
        let now = self.now;
        let r = &mut random::of(&[self.scenario.seed, 8, process as u64, self.life(process), request.0]);
        let (mut there, mut back) = (self.usual(r), Some(self.usual(r)));
        let (mut lost, mut breaks) = (false, false);
        match self.way(process, purpose, r) {
            None => {}
            Some(Way::Lost) => lost = true,
            Some(Way::Unanswered) => back = None,
            Some(Way::Late) => there = timeout + r.stretched(Duration::from_secs(60)),
            Some(Way::Slow) => {
                there = r.stretched(timeout * 2);
                back = Some(r.stretched(timeout));
            }
            Some(Way::Refused) => {
                let failure = Failure::Unreachable("connection refused".into());
                self.note_open(process, request, election, now + timeout);
                return self.answer(process, self.life32(process), request, Err(failure), there);
            }
            Some(Way::BrokenBefore) => {
                let failure = Failure::Indefinite("connection broke".into());
                self.note_open(process, request, election, now + timeout);
                return self.answer(process, self.life32(process), request, Err(failure), there);
            }
            Some(Way::BrokenAfter) => breaks = true,
        }
        let deadline = now + timeout;
        let p = &mut self.processes[process];
        let life = p.life;
        match p.cut.filter(|(until, _)| *until > now) {
            None => {}
            Some((_, Cut::Silent)) => lost = true,
            Some((until, Cut::Held)) => there += until.since(now),
            Some((_, Cut::OneWay)) => back = None,
            Some((_, how @ (Cut::Denied | Cut::Refused))) => {
                let failure = match how {
                    Cut::Denied => Failure::Denied("permission denied".into()),
                    _ => Failure::Unreachable("connection refused".into()),
                };
                self.note_open(process, request, election, deadline);
                let soon = self.usual(r);
                return self.answer(process, life, request, Err(failure), soon);
            }
        }
        let member = p.member;
        self.note_open(process, request, election, deadline);
        let timer = lost || back.is_none_or(|back| now + there + back > deadline);
        if timer {
            self.queue.push(deadline, Happening::TimesOut { process, life, request });
        }
        if !lost {
            let answer = back;
            let sent = Sent {
                process,
                life,
                request,
                purpose,
                election,
                what,
                member,
                deadline,
                timer,
                answer,
                breaks,
            };
            self.queue.push(now + there, Happening::Arrives(Box::new(sent)));
        }
    }

    /// Requests of a process, or the process itself, are held up until `at`.
    pub fn disturb(&mut self, process: usize, at: Time) {
        let p = &mut self.processes[process];
        p.disturbed = p.disturbed.max(at);
    }

    /// Watches of a process are held up until `at`.
    fn unsettle(&mut self, process: usize, at: Time) {
        let p = &mut self.processes[process];
        p.unsettled = p.unsettled.max(at);
    }

    fn life(&self, process: usize) -> u64 {
        u64::from(self.processes[process].life)
    }

    fn life32(&self, process: usize) -> u32 {
        self.processes[process].life
    }

    /// How long one way usually takes.
    pub fn usual(&self, r: &mut Rng) -> Duration {
        r.millis(0, self.scenario.network.usual)
    }

    fn note_open(
        &mut self,
        process: usize,
        request: RequestId,
        election: Option<ElectionId>,
        deadline: Time,
    ) {
        let calm = self.is_calm();
        if let Some(session) = &mut self.processes[process].session {
            session.open.push(Open { request, election, deadline, calm });
        }
    }

    fn answer(
        &mut self,
        process: usize,
        life: u32,
        request: RequestId,
        result: Result<Answer, Failure>,
        after: Duration,
    ) {
        let event = Event::Answered { request, result };
        self.queue.push(self.now + after, Happening::Reaches { process, life, event });
    }

    /// How a request fares badly, if it does.
    fn way(&mut self, process: usize, purpose: Purpose, r: &mut Rng) -> Option<Way> {
        let network = &self.scenario.network;
        if self.is_calm() {
            return None;
        }
        let way = match network.target {
            Some((target, way)) if target == purpose && r.bool() => Some(way),
            _ if r.permille(network.trouble) => Some(r.pick(&network.ways)),
            _ => None,
        };
        if way.is_some() {
            self.disturb(process, self.now);
            self.trace.note(self.now, format!("p{process}"), format_args!("    {purpose} will be {way:?}"));
        }
        way
    }

    /// A request arrives at the store.
    pub fn arrives(&mut self, mut sent: Sent) {
        let now = self.now;
        let open_until = self.cluster.down_until.max(self.stalled[sent.member]);
        if now < self.cluster.down_until || now < self.stalled[sent.member] {
            // A member that hangs does it afterwards; one that is down refuses it, or never knew of it.
            let hangs = now < self.stalled[sent.member];
            let refused = !hangs && sent.request.0.is_multiple_of(2);
            if refused {
                let failure = Failure::Unreachable("connection refused".into());
                return self.answer(
                    sent.process,
                    sent.life,
                    sent.request,
                    Err(failure),
                    Duration::from_micros(100),
                );
            }
            if !sent.timer {
                let (process, life, request) = (sent.process, sent.life, sent.request);
                self.queue.push(sent.deadline, Happening::TimesOut { process, life, request });
            }
            if hangs {
                sent.timer = true;
                self.queue.push(open_until, Happening::Arrives(Box::new(sent)));
            }
            return;
        }
        self.settle_store();
        let who = Who::Session(sent.process, sent.life);
        let result = match self.cluster.perform_at_former(now, sent.member, &sent.what) {
            // It can not, alone, and does not say so in time.
            Some(Err(_)) => {
                if !sent.timer {
                    let (process, life, request) = (sent.process, sent.life, sent.request);
                    self.queue.push(sent.deadline, Happening::TimesOut { process, life, request });
                }
                return;
            }
            Some(answer) => {
                self.trace.note(
                    now,
                    "store",
                    format_args!("{} at the former leader: {answer:?}", sent.request),
                );
                answer
            }
            None => self.cluster.perform(now, who, &sent.what),
        };
        // What goes with the lease of a dead one has gone as if that had run out.
        self.listen(if sent.purpose == Purpose::Reclaim { Who::Store } else { who });
        self.look_at_write(&sent, &result);
        self.strike(sent.process, sent.purpose, false);
        if self.trace.on && !matches!(sent.what, Request::KeepAlive { .. }) {
            let revision = self.cluster.model.revision();
            let text = format!("{} of p{}: {} at {revision}", sent.request, sent.process, sent.purpose);
            self.trace.note(now, "store", text);
        }
        if let Some(back) = sent.answer {
            let result =
                if sent.breaks { Err(Failure::Indefinite("connection broke".into())) } else { result };
            if now + back > sent.deadline && !sent.timer {
                let (process, life, request) = (sent.process, sent.life, sent.request);
                self.queue.push(sent.deadline, Happening::TimesOut { process, life, request });
            }
            self.answer(sent.process, sent.life, sent.request, result, back);
        }
    }

    /// The truth about a request that was done.
    fn look_at_write(&mut self, sent: &Sent, result: &Result<Answer, Failure>) {
        if let (true, Ok(answer), Some(_)) = (cluster::is_win(sent.purpose, result), result, sent.election)
            && let Request::Txn(txn) = &sent.what
            && let Some((role, keys)) = self.keys_of(sent.process, txn)
            && let Some(lock) = self.cluster.key(self.now, &keys.locks[0].key)
            && let Some(who @ Who::Session(process, _)) = self.cluster.lease_of(lock.lease)
        {
            let version = self.scenario.processes[process].version();
            self.cluster.won(self.now, who, role, keys, &version, answer);
            self.somebody_succeeds(process, role);
        }
        if sent.purpose == Purpose::Release && matches!(result, Ok(Answer::Txn(answer)) if answer.succeeded) {
            self.cluster.released(self.now, Who::Session(sent.process, sent.life));
        }
        if let Some((rule, text)) = self.cluster.broken.take() {
            self.violate(rule, format!("{text}, by {}", sent.purpose));
        }
    }

    /// The role and the keys that a campaign is about: what it puts says so.
    fn keys_of(&self, process: usize, txn: &Txn) -> Option<(usize, &'static primacy_engine::milvus::Keys)> {
        use primacy_engine::store::Op;
        let layout = self.scenario.processes[process].layout;
        let Some(Op::Put(first, ..)) = txn.then.first() else { return None };
        (0..crate::scenario::ROLES.len()).find_map(|role| {
            let keys = self.keys.of(role, layout);
            (keys.locks.first()?.key == *first).then_some((role, keys))
        })
    }

    /// A watch is asked for.
    pub fn open_watch(&mut self, process: usize, watch: WatchId, ranges: Vec<Range>) {
        let life = self.processes[process].life;
        let r = &mut random::of(&[self.scenario.seed, 9, process as u64, u64::from(life), watch.0]);
        let cut = self.processes[process].cut.filter(|(until, _)| *until > self.now);
        let lost = !self.is_calm() && (cut.is_some() || r.permille(self.scenario.network.trouble));
        if lost {
            let after = r.stretched(Duration::from_secs(4));
            self.end_watch(process, life, watch, after, "could not be opened");
        } else {
            let there = self.usual(r);
            self.queue.push(self.now + there, Happening::Opens { process, life, watch, ranges });
        }
    }

    fn end_watch(&mut self, process: usize, life: u32, watch: WatchId, after: Duration, why: &str) {
        let event = Event::WatchEnded { watch, why: why.into() };
        self.unsettle(process, self.now + after);
        self.queue.push(self.now + after, Happening::Reaches { process, life, event });
    }

    /// The opening of a watch arrives at the store.
    pub fn opens(&mut self, process: usize, life: u32, watch: WatchId, ranges: &[Range]) {
        if !self.is_alive(process, life) {
            return;
        }
        if self.now < self.cluster.down_until {
            return self.end_watch(process, life, watch, Duration::from_millis(1), "connection refused");
        }
        self.settle_store();
        let Some(session) = &mut self.processes[process].session else { return };
        let Some(known) = session.watches.iter_mut().find(|w| w.id == watch) else { return };
        let stream = self.cluster.model.open_stream(self.now);
        known.stream = Some(stream);
        self.streams.push((stream, Listener::Session { process, life, watch }));
        for range in ranges {
            self.cluster.model.watch(self.now, stream, Opening::of(Keys::from(range)));
        }
        let confirmed = Event::Watching { watch };
        self.along_stream(process, life, confirmed);
        self.listen(Who::Store);
    }

    /// Passes on what watches say; what has been written since the last time was written by `who`.
    pub fn listen(&mut self, who: Who) {
        for (stream, response) in self.cluster.note(self.now, who) {
            self.hears(stream, response);
        }
        for win in std::mem::take(&mut self.cluster.fresh) {
            self.queue.push(self.now + NOTICED, Happening::Noticed { win });
        }
        if let Some((rule, text)) = self.cluster.broken.take() {
            self.violate(rule, text);
        }
    }

    fn hears(&mut self, stream: StreamId, response: WatchResponse) {
        let Some((_, listener)) = self.streams.iter().find(|(id, _)| *id == stream).copied() else { return };
        match listener {
            Listener::Session { process, life, watch } => {
                if !response.events.is_empty() {
                    let events = response.events.into_iter().map(|event| event.event).collect();
                    self.along_stream(process, life, Event::Watched { watch, events });
                }
            }
            Listener::Neighbour(index) => self.neighbour_hears(index, &response),
            Listener::Observer { index, watch } => {
                if !response.events.is_empty() {
                    let events = response.events.into_iter().map(|event| event.event).collect();
                    let event = Event::Watched { watch, events };
                    self.queue.push(
                        self.now + Duration::from_micros(700),
                        Happening::ObserverHears { index, event },
                    );
                }
            }
        }
    }

    /// Something travels to a process along its stream of watches: in order.
    fn along_stream(&mut self, process: usize, life: u32, event: Event) {
        let r = &mut random::of(&[self.scenario.seed, 10, process as u64, self.now.as_nanos()]);
        let mut at = self.now + self.usual(r);
        if !self.is_calm() && r.permille(self.scenario.network.trouble) {
            at += r.stretched(Duration::from_secs(5));
            self.unsettle(process, at);
        }
        let p = &mut self.processes[process];
        if let Some((until, _)) = p.cut.filter(|(until, _)| *until > self.now) {
            at = at.max(until);
        }
        at = at.max(p.stream_at);
        p.stream_at = at;
        self.queue.push(at, Happening::Reaches { process, life, event });
    }

    /// Closes streams at the store; nobody is told.
    pub fn close_streams(&mut self, which: impl Fn(usize, u32, WatchId) -> bool) {
        let model = &mut self.cluster.model;
        self.streams.retain(|(stream, listener)| match listener {
            Listener::Session { process, life, watch } if which(*process, *life, *watch) => {
                model.close_stream(*stream);
                false
            }
            _ => true,
        });
    }

    /// All watches of a process end, and it notices after a while.
    pub fn break_watches(&mut self, process: usize, within: Duration) {
        let life = self.processes[process].life;
        let Some(session) = &self.processes[process].session else { return };
        let watches: Vec<WatchId> = session.watches.iter().map(|w| w.id).collect();
        for watch in watches {
            let r = &mut random::of(&[self.scenario.seed, 11, process as u64, watch.0, self.now.as_nanos()]);
            self.end_watch(process, life, watch, r.stretched(within), "stream broke");
        }
        self.close_streams(|p, l, _| p == process && l == life);
    }

    /// A process is cut off.
    pub fn cut(&mut self, process: usize, length: Duration, how: Cut) {
        self.processes[process].cut = Some((self.now + length, how));
        self.disturb(process, self.now + length);
        if length > PINGS {
            self.break_watches(process, PINGS);
        } else if matches!(how, Cut::Refused | Cut::Denied) {
            self.break_watches(process, Duration::from_millis(10));
        } else {
            let p = &mut self.processes[process];
            p.stream_at = p.stream_at.max(self.now + length);
        }
    }

    /// The store lost all its streams: it was restarted or put back.
    pub fn streams_are_gone(&mut self) {
        self.break_observers();
        for process in 0..self.processes.len() {
            self.break_watches(process, Duration::from_millis(500));
        }
        for index in 0..self.neighbours.len() {
            self.neighbour_lost_watch(index);
        }
    }

    /// A guarded write arrives at the store.
    pub fn write_arrives(&mut self, who: Who, win: usize, txn: Txn) {
        if self.now < self.cluster.down_until {
            return;
        }
        self.settle_store();
        let done = self.cluster.perform(self.now, who, &Request::Txn(txn));
        let succeeded = matches!(&done, Ok(Answer::Txn(answer)) if answer.succeeded);
        if succeeded {
            self.seen.committed += 1;
            self.cluster.committed(win);
        } else {
            self.seen.refused += 1;
        }
        let text =
            format!("write of {who:?} under win {win}: {}", if succeeded { "done" } else { "refused" });
        self.trace.note(self.now, "store", text);
        self.listen(who);
    }
}
