//! What clients of a coordinator need to know: who is primary of one role, now.
//!
//! Pure, as the engine is, and built from the same parts: a watch that is opened again whenever it ends, a read
//! after each opening and once in a while, and a view in which news never goes back. It needs no lease.
//! A primary is told only when its record and the lock hang on one lease: in the layout `after_start` a record may
//! outlive the lock for a moment, or the lock be there before the record. Whether it is ready stands in its own
//! `ROLE-ID` record, which is written again once `on_primary` has succeeded; in `after_start` the service's record
//! appears only then.

use std::time::Duration;

use super::action::{Action, Purpose};
use super::backoff::Backoff;
use super::effects::Effects;
use super::event::Event;
use super::history::History;
use super::ids::{RequestId, Token};
use super::rights;
use super::view::View;
use super::watch::Watch;
use crate::Level;
use crate::milvus::{Keys, Layout, Record, Role, Root};
use crate::spell::Spell;
use crate::store::{Answer, Failure, Key, KeyValue, Op, Range, Request, Revision, Txn, TxnAnswer};
use crate::time::Time;

/// The primary of a role, as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Primary {
    /// Its server id.
    pub server_id: i64,
    /// Where it serves.
    pub address: String,
    /// Its fencing token; a later primary has a higher one.
    pub token: Token,
    /// Its `on_primary` has succeeded under this token, so that it serves. One that does not say whether it has, as
    /// Milvus's own coordinators do not, counts as ready.
    pub ready: bool,
}

/// What an [`Observing`] is given once.
#[derive(Clone, Debug)]
pub struct ObserverSetup {
    /// Where the keys live.
    pub root: Root,
    /// Which keys are lock and record.
    pub layout: Layout,
    /// Whose primary.
    pub role: Role,
    /// How often all is read again, in case an event got lost.
    pub reread: Duration,
    /// The longest that one request is waited for.
    pub request_timeout: Duration,
    /// What jitter is drawn from.
    pub seed: u64,
}

/// Observes one role.
#[derive(Debug)]
pub struct Observing {
    setup: ObserverSetup,
    fx: Effects,
    lock: Key,
    record: Key,
    ranges: Vec<Range>,
    view: View,
    watch: Watch,
    reading: Option<Reading>,
    read_due: Time,
    backoff: Backoff,
    history: History,
    primary: Option<Primary>,
    changes: u64,
    unreadable: Option<Revision>,
    /// The store answers no read.
    blind: Spell<Time>,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    request: RequestId,
    floor: Revision,
}

impl Observing {
    /// Knows nothing yet; the first step starts it.
    pub fn new(setup: ObserverSetup) -> Self {
        let keys = Keys::new(&setup.root, &setup.role, setup.layout, 0);
        let record = setup.root.service_key(&setup.role);
        let lock = keys.locks.first().map_or_else(|| record.clone(), |lock| lock.key.clone());
        let mut ranges = vec![Range::Key(record.clone())];
        match setup.layout {
            Layout::Milvus => {
                ranges.extend(setup.role.holders().iter().map(|role| setup.root.candidates(role)))
            }
            Layout::AfterStart => ranges.push(Range::Key(lock.clone())),
        }
        Observing {
            fx: Effects::new(setup.seed),
            setup,
            lock,
            record,
            ranges,
            view: View::default(),
            watch: Watch::new(),
            reading: None,
            read_due: Time::ZERO,
            backoff: Backoff::default(),
            history: History::default(),
            primary: None,
            changes: 0,
            unreadable: None,
            blind: Spell::default(),
        }
    }

    /// Takes in one event, at `now`, and says what is to be done: requests and watches. [`Observing::seen`] tells what
    /// came of it.
    pub fn step(&mut self, now: Time, event: Event) -> Vec<Action> {
        self.fx.now = now.max(self.fx.now);
        match event {
            Event::Watching { watch } if self.watch.is(watch) => {
                self.watch.confirmed(&self.fx);
                self.read_due = self.fx.now;
            }
            Event::Watched { watch, events } if self.watch.is(watch) => {
                self.history.told(&events);
                events.into_iter().for_each(|event| self.view.watched(&self.ranges, event));
                self.watch.told();
            }
            Event::WatchEnded { watch, why } if self.watch.is(watch) => {
                self.fx.log(Level::Debug, None, format!("{}: watch ended: {why}", self.setup.role));
                self.watch.ended(&mut self.fx);
            }
            Event::Answered { request, result } => self.answered(request, result),
            _ => {}
        }
        self.watch.open(&mut self.fx, &self.ranges);
        self.read();
        self.conclude();
        self.fx.take()
    }

    /// Who is primary, and a count that grows with each change; 0: nothing is known yet.
    pub fn seen(&self) -> (u64, Option<&Primary>) {
        (self.changes, self.primary.as_ref())
    }

    /// When to call [`Observing::step`] with [`Event::Tick`] at the latest.
    pub fn next_deadline(&self) -> Option<Time> {
        let mut next = self.reading.is_none().then_some(self.read_due);
        self.watch.timers(|at, _| next = Some(next.map_or(at, |other| other.min(at))));
        next
    }

    fn read(&mut self) {
        // At once, for a quick first answer, and again when the watch is confirmed: what happened in between was
        // seen by neither.
        if self.reading.is_some() || self.read_due > self.fx.now {
            return;
        }
        self.read_due = self.fx.now + self.setup.reread;
        let txn = self.look_up();
        let patience = self.backoff.patience(self.setup.request_timeout.min(self.setup.reread));
        let request = self.fx.send(Purpose::Reread, None, patience, Request::Txn(txn));
        self.reading = Some(Reading { request, floor: self.history.floor() });
    }

    fn look_up(&self) -> Txn {
        Txn { then: self.ranges.iter().cloned().map(Op::Get).collect(), ..Txn::default() }
    }

    fn answered(&mut self, request: RequestId, result: Result<Answer, Failure>) {
        let Some(reading) = self.reading.take_if(|reading| reading.request == request) else { return };
        match result {
            Ok(Answer::Txn(answer)) => {
                self.backoff.reset();
                if self.blind.well() {
                    self.fx.log(Level::Info, None, format!("{}: is observed again", self.setup.role));
                }
                self.look(&answer, reading.floor);
            }
            Ok(_) => {}
            Err(failure) => {
                let failure = rights::named(&failure, &self.look_up());
                let said = failure.wants_help() && self.blind.wrong(self.fx.now);
                let level = if said { Level::Error } else { Level::Debug };
                let text = format!("{}: not observed: {failure}; tried again", self.setup.role);
                self.fx.log(level, None, text);
                self.read_due = self.backoff.after(&failure, &mut self.fx);
                if self.changes == 0 && !failure.may_pass() {
                    self.fx.push(Action::OpenFailed { failure });
                }
            }
        }
    }

    fn look(&mut self, answer: &TxnAnswer, floor: Revision) {
        if self.history.answered(answer, floor) {
            // Nothing that was seen of it counts.
            self.view = View::default();
            self.watch.replace(&mut self.fx);
        }
        let mut news = false;
        for (range, found) in self.ranges.iter().zip(&answer.reads) {
            news |= self.view.read(range, answer.revision, found);
        }
        self.watch.compared(news);
        self.changes = self.changes.max(1);
    }

    fn conclude(&mut self) {
        if self.changes == 0 {
            return;
        }
        let primary = self.primary();
        if self.primary != primary {
            self.primary = primary;
            self.changes += 1;
        }
    }

    fn primary(&mut self) -> Option<Primary> {
        let lock = self.view.get(&self.lock)?;
        let record = self.view.get(&self.record)?;
        if lock.lease != record.lease {
            return None;
        }
        match Record::parse(&record.value) {
            Ok(read) => Some(Primary {
                server_id: read.server_id,
                address: read.address,
                token: Token(lock.mod_revision.0),
                ready: self.is_ready(lock, read.server_id),
            }),
            Err(error) => {
                if self.unreadable.replace(record.mod_revision) != Some(record.mod_revision) {
                    let text = format!(
                        "{}: nobody, since {} can not be read: {error}",
                        self.setup.role, self.record
                    );
                    self.fx.log(Level::Error, None, text);
                }
                None
            }
        }
    }

    /// Whether the holder of the lock says of this very win that it serves: a record that is older than the win
    /// speaks of an earlier one.
    fn is_ready(&self, lock: &KeyValue, server_id: i64) -> bool {
        if self.setup.layout == Layout::AfterStart {
            return true;
        }
        let ObserverSetup { root, role, .. } = &self.setup;
        let own = |role: &Role| {
            self.view.get(&root.record_key(role, server_id)).filter(|kv| kv.lease == lock.lease)
        };
        let own = role.holders().iter().find_map(own);
        let facts = own.and_then(|kv| Record::parse(&kv.value).ok()?.facts.map(|facts| (kv, facts)));
        facts.is_none_or(|(kv, facts)| facts.ready && kv.mod_revision > lock.mod_revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WatchId;
    use crate::store::{KeyEvent, LeaseId, Origin};

    const RECORD: &str = "r/m/session/rootcoord";

    /// An observer in the layout of Milvus, where the record is the lock, with what it asked for last.
    struct Observer {
        observing: Observing,
        now: Time,
        watch: Option<WatchId>,
        request: Option<RequestId>,
        reads: usize,
        denied: usize,
    }

    impl Observer {
        fn new() -> Observer {
            let setup = ObserverSetup {
                root: Root::join("r", "m").unwrap(),
                layout: Layout::Milvus,
                role: Role::parse("rootcoord").unwrap(),
                reread: Duration::from_secs(10),
                request_timeout: Duration::from_secs(10),
                seed: 1,
            };
            let observing = Observing::new(setup);
            let (watch, request) = (None, None);
            let mut observer = Observer { observing, now: Time::ZERO, watch, request, reads: 0, denied: 0 };
            observer.hear(Event::Tick);
            observer
        }

        /// It has a confirmed watch, and has read since.
        fn settled() -> Observer {
            let mut observer = Observer::new();
            observer.confirm();
            observer.answer(1, None);
            observer.answer(1, None);
            observer
        }

        fn hear(&mut self, event: Event) {
            for action in self.observing.step(self.now, event) {
                match action {
                    Action::Watch { watch, .. } => self.watch = Some(watch),
                    Action::Unwatch { watch } if self.watch == Some(watch) => self.watch = None,
                    Action::Send { request, .. } => {
                        self.reads += 1;
                        assert!(self.request.replace(request).is_none(), "two reads at a time");
                    }
                    Action::OpenFailed { .. } => self.denied += 1,
                    _ => {}
                }
            }
        }

        fn confirm(&mut self) {
            let watch = self.watch.unwrap();
            self.hear(Event::Watching { watch });
        }

        fn answer(&mut self, revision: i64, found: Option<KeyValue>) {
            let answer = TxnAnswer {
                succeeded: true,
                revision: Revision(revision),
                reads: vec![found.into_iter().collect(), Vec::new(), Vec::new()],
                origin: Origin { cluster: 1, term: 1 },
            };
            let request = self.request.take().unwrap();
            self.hear(Event::Answered { request, result: Ok(Answer::Txn(answer)) });
        }

        fn fail(&mut self, failure: Failure) {
            let request = self.request.take().unwrap();
            self.hear(Event::Answered { request, result: Err(failure) });
        }

        fn watched(&mut self, watch: WatchId, revision: i64, now: Option<KeyValue>) {
            let key = now.as_ref().map_or_else(|| RECORD.into(), |kv| kv.key.clone());
            let event = KeyEvent { key, revision: Revision(revision), now };
            self.hear(Event::Watched { watch, events: vec![event] });
        }

        /// The candidate's own record is written, on a lease.
        fn says(&mut self, role: &str, at: i64, lease: i64, ours: &str) {
            let (key, value) = (format!("r/m/session/{role}-1"), format!(r#"{{"ServerID":1{ours}}}"#));
            let kv =
                KeyValue { key: key.as_str().into(), value: value.as_str().into(), ..record(at).unwrap() };
            self.watched(self.watch.unwrap(), at, Some(KeyValue { lease: LeaseId(lease), ..kv }));
        }

        /// At its next deadline.
        fn wait(&mut self) {
            self.now = self.observing.next_deadline().unwrap();
            self.hear(Event::Tick);
        }

        fn token(&self) -> Option<i64> {
            self.observing.seen().1.map(|primary| primary.token.0)
        }

        fn is_ready(&self) -> bool {
            self.observing.seen().1.unwrap().ready
        }
    }

    fn record(at: i64) -> Option<KeyValue> {
        Some(KeyValue {
            key: RECORD.into(),
            value: r#"{"ServerID":1,"Address":"a:1"}"#.into(),
            create_revision: Revision(at),
            mod_revision: Revision(at),
            version: 1,
            lease: LeaseId(7),
        })
    }

    #[test]
    fn it_reads_at_once_and_again_when_its_watch_is_confirmed() {
        let mut observer = Observer::new();
        assert_eq!((observer.reads, observer.observing.seen()), (1, (0, None)));
        observer.confirm();
        observer.answer(5, record(4));
        assert_eq!((observer.reads, observer.observing.seen().0, observer.token()), (2, 2, Some(4)));
        observer.answer(9, None);
        assert_eq!((observer.reads, observer.observing.seen()), (2, (3, None)));
    }

    #[test]
    fn an_event_is_seen_without_a_read_and_each_change_is_counted_once() {
        let mut observer = Observer::settled();
        let (watch, reads) = (observer.watch.unwrap(), observer.reads);
        observer.watched(watch, 4, record(4));
        assert_eq!((observer.observing.seen().0, observer.token()), (2, Some(4)));
        observer.watched(watch, 5, None);
        assert_eq!(observer.observing.seen(), (3, None));
        observer.watched(WatchId(watch.0 + 1), 6, record(6));
        assert_eq!((observer.observing.seen(), observer.reads), ((3, None), reads));
    }

    const WARM: &str = r#","Primacy":{"Protocol":1,"Warm":true,"Ready":false}"#;
    const READY: &str = r#","Primacy":{"Protocol":1,"Warm":true,"Ready":true}"#;

    #[test]
    fn a_primary_is_ready_when_its_own_record_says_so_of_this_win() {
        let mut observer = Observer::settled();
        let watch = observer.watch.unwrap();
        observer.says("rootcoord", 3, 7, READY);
        observer.watched(watch, 4, record(4));
        assert!(!observer.is_ready(), "that was said before the win");
        observer.says("rootcoord", 5, 7, WARM);
        assert!(!observer.is_ready());
        let before = observer.observing.seen().0;
        observer.says("rootcoord", 6, 7, READY);
        assert!(observer.is_ready());
        assert_eq!(observer.observing.seen().0, before + 1, "that it is ready is a change");
    }

    #[test]
    fn a_mixcoord_says_in_its_own_record_that_it_is_ready_also_as_one_of_its_roles() {
        let mut observer = Observer::settled();
        observer.says("mixcoord", 3, 7, WARM);
        observer.watched(observer.watch.unwrap(), 4, record(4));
        assert!(!observer.is_ready());
        observer.says("mixcoord", 5, 7, READY);
        assert!(observer.is_ready());
    }

    #[test]
    fn a_primary_that_does_not_say_whether_it_is_ready_counts_as_ready() {
        let mut observer = Observer::settled();
        observer.watched(observer.watch.unwrap(), 4, record(4));
        assert!(observer.is_ready(), "without a record of its own");
        observer.says("rootcoord", 5, 7, "");
        assert!(observer.is_ready(), "Milvus's own");
        observer.says("rootcoord", 6, 7, r#","Primacy":{"Protocol":2}"#);
        assert!(observer.is_ready(), "of another protocol");
        observer.says("rootcoord", 7, 8, WARM);
        assert!(observer.is_ready(), "somebody else's");
    }

    #[test]
    fn a_watch_that_ends_is_opened_again_and_all_is_read_anew() {
        let mut observer = Observer::settled();
        let (first, reads) = (observer.watch.unwrap(), observer.reads);
        observer.hear(Event::WatchEnded { watch: WatchId(first.0 + 1), why: String::new() });
        assert_eq!(observer.watch, Some(first), "another one has ended");
        observer.hear(Event::WatchEnded { watch: first, why: String::new() });
        observer.wait();
        assert_ne!(observer.watch, Some(first));
        observer.hear(Event::Watching { watch: first });
        assert_eq!(observer.reads, reads, "the old one is confirmed late");
        observer.confirm();
        assert_eq!(observer.reads, reads + 1);
    }

    #[test]
    fn only_a_refusal_before_the_first_answer_that_would_come_again_fails_the_opening() {
        let mut observer = Observer::new();
        observer.fail(Failure::Unreachable("away".into()));
        assert_eq!(observer.denied, 0);
        observer.wait();
        observer.fail(Failure::Denied("password".into()));
        assert_eq!(observer.denied, 1);
        observer.wait();
        observer.answer(1, None);
        observer.wait();
        observer.fail(Failure::Denied("password".into()));
        assert_eq!(observer.denied, 1);
    }

    #[test]
    fn a_store_that_goes_back_again_and_again_is_watched_more_slowly_each_time() {
        let mut observer = Observer::settled();
        let (mut confirmed, mut answers) = (observer.watch, 0);
        while answers < 40 {
            if observer.request.is_some() {
                answers += 1;
                observer.answer(1000 - answers, None);
            } else if observer.watch.is_some() && observer.watch != confirmed {
                confirmed = observer.watch;
                observer.confirm();
            } else {
                observer.wait();
            }
        }
        // Two re-reads until it goes back for the first time, then about one a second.
        let took = observer.now.since(Time::ZERO + Duration::from_secs(20));
        assert!(took > Duration::from_secs(20), "40 times in {took:?}");
    }

    #[test]
    fn an_answer_to_something_else_is_none() {
        let mut observer = Observer::new();
        let request = RequestId(observer.request.unwrap().0 + 1);
        observer.hear(Event::Answered { request, result: Err(Failure::Denied("password".into())) });
        assert_eq!((observer.denied, observer.reads), (0, 1));
    }

    #[test]
    fn a_watch_that_tells_nothing_of_what_is_read_is_replaced() {
        let mut observer = Observer::settled();
        let first = observer.watch;
        observer.wait();
        observer.answer(4, record(4));
        assert_eq!((observer.watch, observer.token()), (first, Some(4)));
        observer.wait();
        observer.answer(4, record(4));
        assert!(observer.watch.is_some() && observer.watch != first);
    }
}
