//! A store that the host lends: its own etcd client does what elections need, and no connection of ours is opened.
//!
//! The host begins a request and says later, from wherever, what came of it. What it may do wrong is seen to here: each
//! request ends once and in time, whether it is answered, late, twice or never, and with an answer to what was asked; a
//! watch is confirmed first, and tells of its own keys alone. What it can not be known of such a store stays with the
//! host's client: which member serves, and whether one that is silent is dead. So an answer is waited for as long as
//! answers took lately, and nothing is sent again from here.
//!
//! The host is called one thing after the other, on the threads for callbacks, never on the one that keeps leases.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use crate::host::{Answering, Asker, Callbacks, InOrder, Store, WatchReport, lock};
use crate::in_time::timeout_at;
use crate::log::{BRIEF, plain};
use crate::pace::Pace;
use crate::store::{Answer, Failure, KeyEvent, Op, Origin, Range, Request, Txn, TxnAnswer};

/// A new watch that the host has not confirmed by then is given up.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(15);

/// A call of the host.
pub type Task = Box<dyn FnOnce() + Send>;

/// What a host lends.
///
/// Its methods call no host: they answer with how to, which is done elsewhere. What keeps the host's answers apart from
/// others, such as a number, is a `Box<dyn Send>`: it is dropped when nobody waits for them any more.
pub trait Lender: Send + Sync + 'static {
    /// How to begin a request, which is given up after `within`.
    ///
    /// # Errors
    /// It can not be begun; then it does not happen.
    fn request(
        self: Arc<Self>,
        what: &Request,
        within: Duration,
        answers: Answers,
    ) -> Result<(Task, Box<dyn Send>), Failure>;
    /// How to begin a watch, and how to end it.
    ///
    /// # Errors
    /// It can not be begun.
    fn watch(self: Arc<Self>, ranges: &[Range], told: Told) -> Result<(Task, Task, Box<dyn Send>), Failure>;
}

/// Takes what came of one request.
pub struct Answers {
    asked: Request,
    tell: Mutex<Option<oneshot::Sender<Result<Answer, Failure>>>>,
}

/// An answer that is none to what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(String);

impl Answers {
    /// What was asked.
    pub fn asked(&self) -> &Request {
        &self.asked
    }

    /// The request has ended. Whether anybody waited for that: again, or too late, it is nothing.
    ///
    /// # Errors
    /// The answer is none to this request, which goes on waiting for one.
    pub fn answer(&self, result: Result<Answer, Failure>) -> Result<bool, Unfit> {
        if let Ok(answer) = &result {
            fit(&self.asked, answer)?;
        }
        let waited = lock(&self.tell).take();
        Ok(waited.is_some_and(|tell| tell.send(result).is_ok()))
    }
}

/// Whether an answer is one to what was asked, and says whose it is: what can not be attributed confirms no lease.
fn fit(asked: &Request, answer: &Answer) -> Result<(), Unfit> {
    let known = |origin: &Origin| {
        let known = origin.cluster != 0 && origin.term != 0;
        if known { Ok(()) } else { Err(Unfit("an answer without cluster id or raft term".to_owned())) }
    };
    match (asked, answer) {
        (Request::Grant { .. }, Answer::Granted { ttl }) if !ttl.is_zero() => Ok(()),
        (Request::KeepAlive { .. }, Answer::Renewed { origin, .. }) => known(origin),
        (Request::Revoke { .. }, Answer::Revoked) => Ok(()),
        (Request::Txn(txn), Answer::Txn(answer)) => {
            known(&answer.origin)?;
            let found_all = answers_to(txn, answer);
            if answer.revision.0 > 0 {
                found_all
            } else {
                Err(Unfit("an answer without a revision".to_owned()))
            }
        }
        _ => Err(Unfit("an answer to something else".to_owned())),
    }
}

fn answers_to(txn: &Txn, answer: &TxnAnswer) -> Result<(), Unfit> {
    let branch = if answer.succeeded { &txn.then } else { &txn.otherwise };
    let ranges: Vec<&Range> = branch.iter().filter_map(Op::range_read).collect();
    if ranges.len() != answer.reads.len() {
        return Err(Unfit(format!("{} answers to {} gets", answer.reads.len(), ranges.len())));
    }
    let foreign = ranges
        .iter()
        .zip(&answer.reads)
        .find_map(|(range, found)| found.iter().map(|kv| &kv.key).find(|key| !range.contains(key)));
    foreign.map_or(Ok(()), |key| Err(Unfit(format!("a get found {key}, which was not asked for"))))
}

/// Takes what is told of one watch.
pub struct Told {
    watch: u64,
    watches: Weak<Watches>,
}

impl Told {
    /// All its ranges are watched. Again: nothing.
    pub fn confirmed(&self) {
        if let Some(watches) = self.watches.upgrade() {
            watches.confirmed(self.watch);
        }
    }

    /// What happened, each key's events in their order. Before it is confirmed: told when it is.
    pub fn events(&self, events: Vec<KeyEvent>) {
        if let Some(watches) = self.watches.upgrade() {
            watches.events(self.watch, events);
        }
    }

    /// It watches no more. Whether that was news: if it was, the host is not told to end it; if not, it has ended
    /// already, or the host is told to end it or soon will be.
    pub fn ended(&self, why: &str) -> bool {
        self.watches.upgrade().is_some_and(|watches| watches.ended(self.watch, why))
    }
}

/// The store on what a host lends.
pub struct Lent {
    lender: Arc<dyn Lender>,
    /// For a whole request of an election.
    longest: Duration,
    pace: Mutex<Pace>,
    host: Arc<InOrder>,
    watches: Arc<Watches>,
}

impl Lent {
    /// The host is called on these threads. What becomes of watches goes to `reports`.
    pub(crate) fn new(
        lender: Arc<dyn Lender>,
        longest: Duration,
        callbacks: Arc<Callbacks>,
        reports: mpsc::UnboundedSender<WatchReport>,
    ) -> Lent {
        let host = InOrder::new(Some(callbacks));
        let watches = Arc::new(Watches { open: Mutex::default(), reports, host: host.clone() });
        Lent { lender, longest, pace: Mutex::default(), host, watches }
    }

    async fn ask(&self, asker: Asker, asked: Request, timeout: Duration) -> Result<Answer, Failure> {
        let only_reads = matches!(&asked, Request::Txn(txn) if txn.only_reads());
        let tells_of_the_way = only_reads || matches!(asked, Request::KeepAlive { .. });
        let within = match asker {
            Asker::Host => timeout,
            Asker::Lease | Asker::Election => timeout.max(lock(&self.pace).patience().min(self.longest)),
        };
        if let Request::Txn(txn) = &asked {
            ranges(txn).try_for_each(Range::check)?;
        }
        let (tell, told) = oneshot::channel();
        let answers = Answers { asked: asked.clone(), tell: Mutex::new(Some(tell)) };
        let sent = Instant::now();
        let (begin, _until_here) = self.lender.clone().request(&asked, within, answers)?;
        let turn = Turn::default();
        let of_host = turn.clone();
        self.host.run(move || {
            if of_host.take() {
                begin();
            }
        });
        let _until_answered = GivenUp(&turn);
        let answered = timeout_at(sent + within, told).await;
        // Also of what was not answered in time that is the least that it takes.
        if tells_of_the_way && matches!(answered, Err(_) | Ok(Ok(Ok(_)))) {
            lock(&self.pace).took(sent.elapsed());
        }
        if answered.is_err() && turn.take() {
            return Err(Failure::Unreachable("not sent: calls of the lent store take too long".to_owned()));
        }
        let no_answer = || Err(Failure::Indefinite("no answer in time".to_owned()));
        let result = answered.map_or_else(|_| no_answer(), |told| told.unwrap_or_else(|_| no_answer()));
        result.map_err(|failure| match brief(failure) {
            Failure::Indefinite(why) if only_reads => Failure::Unreachable(why),
            failure => failure,
        })
    }
}

/// Whether a request that waits for the host is begun or given up: what comes first is all that happens.
#[derive(Clone, Default)]
struct Turn(Arc<AtomicBool>);

impl Turn {
    /// Whether it was still to be had.
    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }
}

/// Nobody waits for it any more, once this is dropped.
struct GivenUp<'a>(&'a Turn);

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        self.0.take();
    }
}

fn ranges(txn: &Txn) -> impl Iterator<Item = &Range> {
    let of_gets = txn.then.iter().chain(&txn.otherwise).filter_map(Op::range_read);
    txn.when.iter().map(|compare| &compare.range).chain(of_gets)
}

/// What a host says may be of any length.
fn brief(failure: Failure) -> Failure {
    let brief = |text: String| plain(&text, BRIEF * 4).into_owned();
    match failure {
        Failure::Indefinite(text) => Failure::Indefinite(brief(text)),
        Failure::Unreachable(text) => Failure::Unreachable(brief(text)),
        Failure::Denied(text) => Failure::Denied(brief(text)),
        Failure::NoSpace(text) => Failure::NoSpace(brief(text)),
        Failure::Refused(text) => Failure::Refused(brief(text)),
        Failure::LeaseNotFound | Failure::LeaseExists => failure,
    }
}

impl Store for Lent {
    fn call(&self, asker: Asker, request: Request, timeout: Duration) -> Answering<'_> {
        Box::pin(self.ask(asker, request, timeout))
    }

    fn watch(&self, watch: u64, ranges: Vec<Range>) {
        if ranges.is_empty() {
            return self.watches.report(WatchReport::Confirmed { watch });
        }
        let told = Told { watch, watches: Arc::downgrade(&self.watches) };
        match self.lender.clone().watch(&ranges, told) {
            Ok((begin, end, number)) => {
                self.watches.add(watch, ranges, end, number);
                self.host.run(begin);
            }
            Err(failure) => self.watches.report(WatchReport::Ended { watch, why: failure.to_string() }),
        }
    }

    fn unwatch(&self, watch: u64) {
        self.watches.end(watch);
    }

    /// Whatever there is to know of the server, the host's client knows.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lent")
    }
}

/// The host has nothing left to do, and hears so.
impl Drop for Lent {
    fn drop(&mut self) {
        let left: Vec<u64> = lock(&self.watches.open).keys().copied().collect();
        left.into_iter().for_each(|watch| self.watches.end(watch));
        // Not here, where leases are kept: it may be the last use of what the host lent.
        let lender = self.lender.clone();
        self.host.run(move || drop(lender));
    }
}

/// The watches that have not ended.
struct Watches {
    open: Mutex<HashMap<u64, Watch>>,
    reports: mpsc::UnboundedSender<WatchReport>,
    host: Arc<InOrder>,
}

struct Watch {
    ranges: Vec<Range>,
    /// What happened before all ranges were confirmed; `None`: they are.
    early: Option<Vec<KeyEvent>>,
    end: Task,
    /// Dropped with it.
    number: Box<dyn Send>,
    limit: AbortHandle,
}

impl Watches {
    fn add(self: &Arc<Self>, watch: u64, ranges: Vec<Range>, end: Task, number: Box<dyn Send>) {
        let watches = Arc::downgrade(self);
        let limit = tokio::spawn(async move {
            sleep(CONFIRMED_WITHIN).await;
            if let Some(watches) = watches.upgrade() {
                watches.unconfirmed(watch);
            }
        });
        let state = Watch { ranges, early: Some(Vec::new()), end, number, limit: limit.abort_handle() };
        lock(&self.open).insert(watch, state);
    }

    fn confirmed(&self, watch: u64) {
        let mut open = lock(&self.open);
        let Some(state) = open.get_mut(&watch) else { return };
        let Some(mut events) = state.early.take() else { return };
        state.limit.abort();
        // Of several ranges, each in order by itself.
        events.sort_by_key(|event| event.revision);
        self.report(WatchReport::Confirmed { watch });
        if !events.is_empty() {
            self.report(WatchReport::Events { watch, events });
        }
    }

    fn events(&self, watch: u64, mut events: Vec<KeyEvent>) {
        let mut open = lock(&self.open);
        let Some(state) = open.get_mut(&watch) else { return };
        // What it does not watch is nobody's: not passed on, and not kept.
        events.retain(|event| state.ranges.iter().any(|range| range.contains(&event.key)));
        match &mut state.early {
            Some(early) => early.append(&mut events),
            None if events.is_empty() => {}
            None => self.report(WatchReport::Events { watch, events }),
        }
    }

    /// The host says so: it need not be told. Whether it was open.
    fn ended(&self, watch: u64, why: &str) -> bool {
        let state = lock(&self.open).remove(&watch);
        let was_open = state.is_some();
        if let Some(state) = state {
            state.limit.abort();
            self.report(WatchReport::Ended { watch, why: plain(why, BRIEF).into_owned() });
        }
        was_open
    }

    fn unconfirmed(&self, watch: u64) {
        if lock(&self.open).get(&watch).is_some_and(|state| state.early.is_some()) {
            self.end(watch);
            self.report(WatchReport::Ended {
                watch,
                why: "a new watch was not confirmed in time".to_owned(),
            });
        }
    }

    fn end(&self, watch: u64) {
        let state = lock(&self.open).remove(&watch);
        if let Some(Watch { end, limit, number, .. }) = state {
            limit.abort();
            // Nothing that the host says from here on is heard.
            drop(number);
            self.host.run(end);
        }
    }

    fn report(&self, report: WatchReport) {
        let _ = self.reports.send(report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Key, KeyValue, LeaseId, Revision, Value};
    use std::sync::atomic::AtomicUsize;

    const SECOND: Duration = Duration::from_secs(1);
    const ORIGIN: Origin = Origin { cluster: 7, term: 3 };

    /// Keeps what it is to answer.
    #[derive(Default)]
    struct Host {
        begun: Mutex<Vec<(Duration, Arc<Answers>)>>,
        watches: Mutex<Vec<Told>>,
        ended: AtomicUsize,
        waited_for: Arc<AtomicUsize>,
    }

    struct Number(Arc<AtomicUsize>);
    impl Drop for Number {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    impl Host {
        fn number(&self) -> Box<dyn Send> {
            self.waited_for.fetch_add(1, Ordering::SeqCst);
            Box::new(Number(self.waited_for.clone()))
        }

        fn last(&self) -> (Duration, Arc<Answers>) {
            lock(&self.begun).last().unwrap().clone()
        }
    }

    impl Lender for Host {
        fn request(
            self: Arc<Self>,
            _: &Request,
            within: Duration,
            answers: Answers,
        ) -> Result<(Task, Box<dyn Send>), Failure> {
            let number = self.number();
            Ok((Box::new(move || lock(&self.begun).push((within, Arc::new(answers)))), number))
        }

        fn watch(self: Arc<Self>, _: &[Range], told: Told) -> Result<(Task, Task, Box<dyn Send>), Failure> {
            let (number, host) = (self.number(), self.clone());
            let end = Box::new(move || _ = host.ended.fetch_add(1, Ordering::SeqCst));
            Ok((Box::new(move || lock(&self.watches).push(told)), end, number))
        }
    }

    fn lent() -> (Arc<Host>, Arc<Lent>, mpsc::UnboundedReceiver<WatchReport>) {
        lent_on(Callbacks::as_tasks(tokio::runtime::Handle::current()))
    }

    fn lent_on(callbacks: Arc<Callbacks>) -> (Arc<Host>, Arc<Lent>, mpsc::UnboundedReceiver<WatchReport>) {
        let host = Arc::new(Host::default());
        let (report, reports) = mpsc::unbounded_channel();
        (host.clone(), Arc::new(Lent::new(host, SECOND * 10, callbacks, report)), reports)
    }

    fn get(key: &str) -> Request {
        Request::Txn(Txn { then: vec![Op::Get(Range::Key(key.into()))], ..Txn::default() })
    }

    fn put(key: &str) -> Request {
        let put = Op::Put(key.into(), "v".into(), LeaseId::NONE);
        Request::Txn(Txn { then: vec![put], ..Txn::default() })
    }

    fn found(reads: Vec<Vec<KeyValue>>) -> TxnAnswer {
        TxnAnswer { succeeded: true, revision: Revision(5), origin: ORIGIN, reads }
    }

    fn kv(key: &str) -> KeyValue {
        KeyValue {
            key: Key::from(key),
            value: Value::default(),
            create_revision: Revision(1),
            mod_revision: Revision(1),
            version: 1,
            lease: LeaseId::NONE,
        }
    }

    /// Asks, and lets the host begin it.
    async fn asked(lent: &Arc<Lent>, request: Request) -> tokio::task::JoinHandle<Result<Answer, Failure>> {
        let lent = lent.clone();
        let asking = tokio::spawn(async move { lent.call(Asker::Election, request, SECOND).await });
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        asking
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_answered_in_time_may_have_happened_if_it_writes_and_a_late_answer_is_nothing() {
        let (host, lent, _reports) = lent();
        let began = Instant::now();
        let asking = asked(&lent, put("a")).await;
        assert_eq!(host.waited_for.load(Ordering::SeqCst), 1);
        assert!(matches!(asking.await.unwrap(), Err(Failure::Indefinite(_))));
        assert_eq!((began.elapsed().as_secs(), host.waited_for.load(Ordering::SeqCst)), (1, 0));
        let (within, answers) = host.last();
        assert_eq!(within, SECOND);
        assert_eq!(answers.answer(Ok(Answer::Txn(found(vec![])))), Ok(false));
        assert_eq!(answers.answer(Err(Failure::LeaseNotFound)), Ok(false), "again neither");
        let asking = asked(&lent, get("a")).await;
        assert!(matches!(asking.await.unwrap(), Err(Failure::Unreachable(_))), "a read is just repeated");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_given_up_before_its_turn_is_never_begun() {
        let (host, lent, _reports) = lent_on(Callbacks::on_threads(tokio::runtime::Handle::current()));
        let (returns, waiting) = std::sync::mpsc::channel::<()>();
        // A call of the host that does not return.
        lent.host.run(move || _ = waiting.recv());
        let late = asked(&lent, put("a")).await;
        let dropped = asked(&lent, put("a")).await;
        dropped.abort();
        assert!(matches!(late.await.unwrap(), Err(Failure::Unreachable(_))), "it can not have happened");
        drop(returns);
        let (tell, all_had_their_turn) = oneshot::channel();
        lent.host.run(move || _ = tell.send(()));
        all_had_their_turn.await.unwrap();
        assert_eq!(lock(&host.begun).len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_answer_counts() {
        let (host, lent, _reports) = lent();
        let asking = asked(&lent, Request::Revoke { lease: LeaseId(1) }).await;
        let (_, answers) = host.last();
        assert_eq!(answers.answer(Ok(Answer::Revoked)), Ok(true));
        assert_eq!(answers.answer(Err(Failure::LeaseNotFound)), Ok(false));
        assert_eq!(asking.await.unwrap(), Ok(Answer::Revoked));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_fit_is_none() {
        let (host, lent, _reports) = lent();
        let (keep_alive, ttl) = (Request::KeepAlive { lease: LeaseId(1) }, SECOND);
        let nobodys = TxnAnswer { origin: Origin::default(), ..found(vec![vec![]]) };
        let timeless = TxnAnswer { revision: Revision(0), ..found(vec![vec![]]) };
        for (request, answer, why) in [
            (keep_alive.clone(), Answer::Granted { ttl }, "something else"),
            (
                keep_alive.clone(),
                Answer::Renewed { ttl, origin: Origin { cluster: 7, term: 0 } },
                "raft term",
            ),
            (keep_alive, Answer::Renewed { ttl, origin: Origin { cluster: 0, term: 3 } }, "cluster id"),
            (get("a"), Answer::Txn(nobodys), "raft term"),
            (get("a"), Answer::Txn(timeless), "revision"),
            (get("a"), Answer::Txn(found(vec![])), "0 answers to 1 gets"),
            (get("a"), Answer::Txn(found(vec![vec![kv("b")]])), "not asked for"),
            (put("a"), Answer::Txn(found(vec![vec![]])), "1 answers to 0 gets"),
            (Request::Grant { lease: LeaseId(1), ttl }, Answer::Granted { ttl: Duration::ZERO }, "else"),
        ] {
            let asking = asked(&lent, request).await;
            let told = host.last().1.answer(Ok(answer.clone())).unwrap_err().to_string();
            assert!(told.contains(why), "{answer:?}: {told}");
            assert!(matches!(asking.await.unwrap(), Err(Failure::Indefinite(_) | Failure::Unreachable(_))));
        }
        let asking = asked(&lent, get("a")).await;
        let fits = Answer::Txn(found(vec![vec![kv("a")]]));
        assert_eq!(host.last().1.answer(Ok(fits.clone())), Ok(true));
        assert_eq!(asking.await.unwrap(), Ok(fits));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_slow_is_waited_for() {
        let (host, lent, _reports) = lent();
        let mut answered = 0;
        for _ in 0..5 {
            let asking = asked(&lent, get("a")).await;
            sleep(SECOND * 3 / 2).await;
            let _ = host.last().1.answer(Ok(Answer::Txn(found(vec![vec![]]))));
            answered += usize::from(asking.await.unwrap().is_ok());
        }
        assert_eq!(answered, 4, "all but the first");
        let long = lent.call(Asker::Host, get("a"), SECOND / 2);
        let began = Instant::now();
        assert!(long.await.is_err() && began.elapsed() < SECOND, "a host says itself how long it waits");
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_is_confirmed_first_and_tells_of_its_own_keys_until_it_has_ended() {
        let (host, lent, mut reports) = lent();
        let event =
            |key: &str, revision| KeyEvent { key: key.into(), revision: Revision(revision), now: None };
        lent.watch(1, vec![Range::Key("a".into()), Range::Key("b".into())]);
        tokio::task::yield_now().await;
        let told = lock(&host.watches).pop().unwrap();
        told.events(vec![event("b", 9), event("c", 8)]);
        told.events(vec![event("a", 7)]);
        assert!(reports.try_recv().is_err());
        told.confirmed();
        told.confirmed();
        told.events(vec![event("c", 10)]);
        told.events(vec![event("a", 11)]);
        assert!(told.ended("why"));
        assert!(!told.ended("again"));
        told.events(vec![event("a", 12)]);
        let expected = [
            WatchReport::Confirmed { watch: 1 },
            WatchReport::Events { watch: 1, events: vec![event("a", 7), event("b", 9)] },
            WatchReport::Events { watch: 1, events: vec![event("a", 11)] },
            WatchReport::Ended { watch: 1, why: "why".into() },
        ];
        for report in expected {
            assert_eq!(reports.try_recv(), Ok(report));
        }
        assert!(reports.try_recv().is_err());
        assert_eq!(host.waited_for.load(Ordering::SeqCst), 0);
        lent.unwatch(1);
        sleep(CONFIRMED_WITHIN * 2).await;
        assert_eq!(host.ended.load(Ordering::SeqCst), 0, "the host ended it itself");
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_is_not_wanted_any_more_or_not_confirmed_is_ended_at_the_host() {
        let (host, lent, mut reports) = lent();
        let began = Instant::now();
        lent.watch(1, vec![Range::Key("a".into())]);
        let ended = WatchReport::Ended { watch: 1, why: "a new watch was not confirmed in time".into() };
        assert_eq!(reports.recv().await, Some(ended));
        assert_eq!(began.elapsed().as_secs(), CONFIRMED_WITHIN.as_secs());
        for watch in 2..4 {
            lent.watch(watch, vec![Range::Key("a".into())]);
            tokio::task::yield_now().await;
        }
        lock(&host.watches).iter().for_each(Told::confirmed);
        lent.unwatch(2);
        assert!(!lock(&host.watches)[1].ended("too late"), "the host is told to end it");
        sleep(CONFIRMED_WITHIN * 2).await;
        assert_eq!((host.ended.load(Ordering::SeqCst), host.waited_for.load(Ordering::SeqCst)), (2, 1));
        drop(lent);
        tokio::task::yield_now().await;
        assert_eq!((host.ended.load(Ordering::SeqCst), host.waited_for.load(Ordering::SeqCst)), (3, 0));
    }
}
