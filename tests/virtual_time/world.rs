//! A server, and candidates for one role that write down what they are called with.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use primacy::clock::Clock;
use primacy::election::{Election, Host, Reply};
use primacy::embedded::Server;
use primacy::embedded::model::Options;
use primacy::engine::{Call, CallId, LostReason, Notice, Setup, Token};
use primacy::etcd::{Credentials, Etcd};
use primacy::host::{Environment, Opening, Runtime};
use primacy::log::{Level, Log};
use primacy::milvus::{Candidate, Layout, Root};
use primacy::session::Session;
use primacy::store::{Answer, LeaseId, Op, Range, Request, Txn, TxnAnswer};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::cable::Cable;
use crate::recordings::replays;

pub const TTL: Duration = Duration::from_secs(6);
pub const STEP: Duration = Duration::from_millis(20);

/// What the callbacks of a candidate were told, and when.
#[derive(Clone, Default)]
pub struct Diary {
    pub entries: Arc<Mutex<Vec<(Instant, Call)>>>,
    /// Whether the next `on_primary` goes on until it is completed, and which one does.
    pub hangs: Arc<AtomicBool>,
    pub hanging: Arc<Mutex<Option<CallId>>>,
}

impl Host for Diary {
    fn call(&self, call: CallId, what: &Call) -> Reply {
        self.entries.lock().unwrap().push((Instant::now(), what.clone()));
        match what {
            Call::Warmup => Reply::Warm,
            Call::Primary { .. } if self.hangs.load(Ordering::Relaxed) => {
                *self.hanging.lock().unwrap() = Some(call);
                Reply::Pending
            }
            _ => Reply::Done,
        }
    }
    fn cancelled(&self, _: CallId) {}
    fn notice(&self, _: &Notice) {}
    fn stopped(&self) {}
}

impl Diary {
    pub fn primaries(&self) -> Vec<(Instant, Token)> {
        let entries = self.entries.lock().unwrap();
        let primary = |(at, call): &(Instant, Call)| match call {
            Call::Primary { token, .. } => Some((*at, *token)),
            _ => None,
        };
        entries.iter().filter_map(primary).collect()
    }

    pub fn losses(&self) -> Vec<(Instant, LostReason)> {
        let entries = self.entries.lock().unwrap();
        let lost = |(at, call): &(Instant, Call)| match call {
            Call::Lost { reason, .. } => Some((*at, *reason)),
            _ => None,
        };
        entries.iter().filter_map(lost).collect()
    }
}

pub struct Member {
    pub cables: Vec<Cable>,
    pub etcd: Etcd,
    pub diary: Diary,
    pub election: Election,
    pub session: Session,
}

impl Member {
    /// The only one, in most stories.
    pub fn cable(&self) -> &Cable {
        &self.cables[0]
    }

    /// Writes under its token for as long as it has one, each time to another key.
    pub async fn write(etcd: Etcd, election: Election, number: usize) {
        for write in 0.. {
            sleep(ms(70)).await;
            let Some(token) = election.token() else { continue };
            let Some(guard) = election.guard(token) else { continue };
            let key = format!("log/{number}/{write}").into();
            let put = Op::Put(key, token.0.to_string().into(), LeaseId::NONE);
            let txn = Txn { when: guard, then: vec![put], ..Txn::default() };
            let _ = etcd.call(Request::Txn(txn), ms(500)).await;
        }
    }
}

/// A server and its candidates for one role.
pub struct World {
    pub server: Server,
    pub candidates: Vec<Member>,
}

impl World {
    pub async fn new(candidates: usize) -> World {
        World::with_ttl(candidates, TTL).await
    }

    pub async fn with_ttl(candidates: usize, ttl: Duration) -> World {
        World::with(candidates, ttl, 1).await
    }

    /// Each candidate has so many `links`: endpoints, all of the same server.
    pub async fn with(candidates: usize, ttl: Duration, links: usize) -> World {
        let server = Server::new(Options { seed: 7, ..Options::default() });
        let clock = Clock::of_tokio();
        let mut world = World { server, candidates: Vec::new() };
        for number in 1..=candidates {
            let candidate = world.candidate(clock, number, ttl, links, Log::none()).await;
            world.candidates.push(candidate);
        }
        world
    }

    pub async fn candidate(
        &self,
        clock: Clock,
        number: usize,
        ttl: Duration,
        links: usize,
        log: Log,
    ) -> Member {
        let cables: Vec<_> = (0..links).map(|_| Cable::default()).collect();
        let (etcd, opening) = self.opening(clock, number, ttl, &cables, log);
        let session = loop {
            if let Some(session) = opening.opened() {
                break session;
            }
            sleep(STEP).await;
        };
        let diary = Diary::default();
        let election = session.register("rootcoord", Arc::new(diary.clone())).unwrap();
        election.campaign();
        Member { cables, etcd, diary, election, session }
    }

    /// Begins to open a session over these cables.
    pub fn opening(
        &self,
        clock: Clock,
        number: usize,
        ttl: Duration,
        cables: &[Cable],
        log: Log,
    ) -> (Etcd, Opening) {
        let (report, reports) = mpsc::unbounded_channel();
        let diallers = cables.iter().map(|cable| cable.dialler(&self.server)).collect();
        let etcd = Etcd::through(diallers, Credentials::new(None), report, log.clone()).unwrap();
        let setup = Setup {
            root: Root::join("r", "m").unwrap(),
            layout: Layout::Milvus,
            candidate: Candidate::new(&format!("a:{number}"), "host", "3.0.0".parse().unwrap()).unwrap(),
            ttl,
            margin: None,
            priority: 1,
            warmup_interval: ms(1000),
            activation_timeout: ms(10_000),
            liveness_timeout: None,
            drain_timeout: ms(30_000),
            request_timeout: ms(10_000),
            first_lease: LeaseId(i64::try_from(number).unwrap() << 20),
            seed: u64::try_from(number).unwrap(),
        };
        let (store, runtime) = (Arc::new(etcd.clone()), Runtime::here());
        let opening =
            Opening::begin(Environment { store, reports, clock, runtime, log }, setup, Vec::new()).unwrap();
        (etcd, opening)
    }

    /// Lets time pass; at every step at most one candidate says yes.
    pub async fn pass(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            sleep(STEP).await;
            assert!(self.primaries().len() <= 1, "two primaries: {:?}", self.primaries());
        }
    }

    /// Who says yes now.
    pub fn primaries(&self) -> Vec<usize> {
        (0..self.candidates.len()).filter(|&i| self.candidates[i].election.token().is_some()).collect()
    }

    /// The tokens under which it was written, in the order of the store's revisions.
    pub async fn written(&self) -> Vec<i64> {
        let log = Op::Get(Range::Span { from: "log/".into(), to: "log0".into() });
        let txn = Txn { then: vec![log], ..Txn::default() };
        let answer = self.candidates[0].etcd.call(Request::Txn(txn), ms(5000)).await.unwrap();
        let Answer::Txn(TxnAnswer { reads, .. }) = answer else { panic!("{answer:?}") };
        let mut found: Vec<_> = reads.into_iter().flatten().collect();
        found.sort_by_key(|kv| kv.create_revision);
        found.iter().map(|kv| String::from_utf8_lossy(kv.value.as_bytes()).parse().unwrap()).collect()
    }

    /// Waits until somebody other than `before` is primary.
    pub async fn next_primary(&self, before: Option<usize>, within: Duration) -> usize {
        let end = Instant::now() + within;
        loop {
            if let [only] = self.primaries()[..]
                && Some(only) != before
            {
                return only;
            }
            assert!(Instant::now() < end, "nobody else is primary within {within:?}");
            self.pass(STEP).await;
        }
    }

    /// Ends all sessions; what holds of every history holds of this one.
    pub async fn end(self) {
        for candidate in &self.candidates {
            candidate.cables.iter().for_each(|cable| cable.silence(false));
            candidate.session.stop(ms(5000));
        }
        let began = Instant::now();
        while !self.candidates.iter().all(|candidate| is_over(&candidate.session)) {
            assert!(began.elapsed() <= ms(5100), "a stop takes longer than its timeout");
            sleep(STEP).await;
        }
        let mut wins: Vec<(Instant, Token)> =
            self.candidates.iter().flat_map(|candidate| candidate.diary.primaries()).collect();
        wins.sort_by_key(|(at, _)| *at);
        assert!(wins.is_sorted_by(|a, b| a.1 < b.1), "tokens go back: {wins:?}");
        for candidate in &self.candidates {
            assert_eq!(
                candidate.diary.primaries().len(),
                candidate.diary.losses().len(),
                "one lost per primary"
            );
        }
        for candidate in &self.candidates {
            let recording = candidate.election.recording();
            // A long story's begins in the middle.
            if recording.starts_with("# Every step") {
                replays(&recording);
            }
        }
        let left = self.server.with_model(|model, now| model.leases(now).len());
        assert_eq!(left, 0, "leases are left over");
    }
}

/// Runs a story in virtual time.
pub fn story<F: Future<Output = ()>>(story: impl FnOnce() -> F) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(story());
}

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Whether nothing is left of a session.
pub fn is_over(session: &Session) -> bool {
    session.join(Duration::ZERO).is_ok()
}

pub type Lines = Arc<Mutex<Vec<(Level, String)>>>;

/// A log that keeps its lines.
pub fn kept_log() -> (Log, Lines) {
    let lines = Lines::default();
    let written = lines.clone();
    let log = Log::new(move |level, text: &str| written.lock().unwrap().push((level, text.to_owned())));
    (log, lines)
}
