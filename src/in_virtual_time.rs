//! The whole stack but the kernel: real sessions, the real etcd client and its HTTP/2, the embedded server; in
//! virtual time, over cables that a test can silence and cut.
//!
//! An hour passes in well under a second, and what is true "within 50 ms" is exact.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::HeaderMap;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tonic::{Status, body::Body};

use crate::clock::Clock;
use crate::config::{Auth, Password};
use crate::driver::{self, Shared};
use crate::election::{Election, Host, Reply};
use crate::embedded::Server;
use crate::embedded::model::Options;
use crate::engine::{Call, CallId, ElectionId, Event, LostReason, Notice, Outcome, RequestId, Setup, Token};
use crate::etcd::{Credentials, Dialler, Dialling, Etcd, WatchReport, boxed};
use crate::log::{Level, Log};
use crate::milvus::{Candidate, Layout, Root};
use crate::player::Player;
use crate::queue::{Queue, What};
use crate::runtime::{Runtime, lock};
use crate::session::{RegisterError, Session};
use crate::store::{Answer, Failure, LeaseId, Op, Range, Request, Txn, TxnAnswer};

const TTL: Duration = Duration::from_secs(6);
const STEP: Duration = Duration::from_millis(20);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The cable between one candidate and the server.
#[derive(Clone, Default)]
struct Cable(Arc<Mutex<Plug>>);

#[derive(Default)]
struct Plug {
    /// Nothing gets through, nobody is told; what is under way arrives later.
    silent: bool,
    /// What the server says does not get through; what it is told does.
    deaf: bool,
    /// Counts cuts: connections made before the last one are reset.
    cuts: u64,
    waiting: Vec<Waker>,
}

impl Cable {
    fn silence(&self, silent: bool) {
        let mut plug = lock(&self.0);
        plug.silent = silent;
        plug.waiting.drain(..).for_each(Waker::wake);
    }

    fn deafen(&self, deaf: bool) {
        let mut plug = lock(&self.0);
        plug.deaf = deaf;
        plug.waiting.drain(..).for_each(Waker::wake);
    }

    fn cut(&self) {
        let mut plug = lock(&self.0);
        plug.cuts += 1;
        plug.waiting.drain(..).for_each(Waker::wake);
    }

    fn dialler(&self, server: &Server) -> Dialler {
        let (cable, server) = (self.clone(), server.clone());
        Dialler {
            name: "virtual:1".into(),
            scheme: "http",
            dial: Box::new(move || {
                let (cable, server) = (cable.clone(), server.clone());
                Box::pin(async move {
                    while lock(&cable.0).silent {
                        sleep(STEP).await;
                    }
                    let made = lock(&cable.0).cuts;
                    Ok(Box::new(Wire { stream: server.connect(), cable, made }) as Box<_>)
                })
            }),
        }
    }
}

/// One connection over a cable.
struct Wire {
    stream: DuplexStream,
    cable: Cable,
    made: u64,
}

impl Wire {
    /// Whether bytes pass now, to the server or from it.
    fn pass(&self, cx: &Context<'_>, from_server: bool) -> Poll<io::Result<()>> {
        let mut plug = lock(&self.cable.0);
        if plug.cuts > self.made {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        plug.waiting.push(cx.waker().clone());
        if plug.silent || plug.deaf && from_server { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.pass(cx, true))?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.pass(cx, false))?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What the callbacks of a candidate were told, and when.
#[derive(Clone, Default)]
struct Diary {
    entries: Arc<Mutex<Vec<(Instant, Call)>>>,
    /// Whether the next `on_primary` goes on until it is completed, and which one does.
    hangs: Arc<AtomicBool>,
    hanging: Arc<Mutex<Option<CallId>>>,
}

impl Host for Diary {
    fn call(&self, call: CallId, what: &Call) -> Reply {
        lock(&self.entries).push((Instant::now(), what.clone()));
        match what {
            Call::Warmup => Reply::Warm,
            Call::Primary { .. } if self.hangs.load(Ordering::Relaxed) => {
                *lock(&self.hanging) = Some(call);
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
    fn primaries(&self) -> Vec<(Instant, Token)> {
        let entries = lock(&self.entries);
        let primary = |(at, call): &(Instant, Call)| match call {
            Call::Primary { token, .. } => Some((*at, *token)),
            _ => None,
        };
        entries.iter().filter_map(primary).collect()
    }

    fn losses(&self) -> Vec<(Instant, LostReason)> {
        let entries = lock(&self.entries);
        let lost = |(at, call): &(Instant, Call)| match call {
            Call::Lost { reason, .. } => Some((*at, *reason)),
            _ => None,
        };
        entries.iter().filter_map(lost).collect()
    }
}

struct Member {
    cables: Vec<Cable>,
    etcd: Etcd,
    diary: Diary,
    election: Election,
    session: Session,
    shared: Arc<Shared>,
}

impl Member {
    /// The only one, in most stories.
    fn cable(&self) -> &Cable {
        &self.cables[0]
    }

    /// Writes under its token for as long as it has one, each time to another key.
    async fn write(etcd: Etcd, election: Election, number: usize) {
        for write in 0.. {
            sleep(ms(70)).await;
            let Some(token) = election.token() else { continue };
            let Some(guard) = election.guard(token) else { continue };
            let key = format!("log/{number}/{write}").into();
            let put = Op::Put(key, token.0.to_string().into(), LeaseId::NONE);
            let txn = Txn { when: guard, then: vec![put], ..Txn::default() };
            let _ = etcd.call_for_host(txn, ms(500)).await;
        }
    }
}

/// A server and its candidates for one role.
struct World {
    server: Server,
    candidates: Vec<Member>,
}

impl World {
    async fn new(candidates: usize) -> World {
        World::with_ttl(candidates, TTL).await
    }

    async fn with_ttl(candidates: usize, ttl: Duration) -> World {
        World::with(candidates, ttl, 1).await
    }

    /// Each candidate has so many `links`: endpoints, all of the same server.
    async fn with(candidates: usize, ttl: Duration, links: usize) -> World {
        let server = Server::new(Options { seed: 7, ..Options::default() });
        let clock = Clock::Tokio(Instant::now());
        let mut world = World { server, candidates: Vec::new() };
        for number in 1..=candidates {
            let candidate = world.candidate(clock, number, ttl, links, Log::none()).await;
            world.candidates.push(candidate);
        }
        world
    }

    async fn candidate(&self, clock: Clock, number: usize, ttl: Duration, links: usize, log: Log) -> Member {
        let cables: Vec<_> = (0..links).map(|_| Cable::default()).collect();
        let (report, reports) = mpsc::unbounded_channel();
        let diallers = cables.iter().map(|cable| cable.dialler(&self.server)).collect();
        let etcd = Etcd::through(diallers, Credentials::new(None), report, log.clone()).unwrap();
        let setup = Setup {
            root: Root::join("r", "m").unwrap(),
            layout: Layout::Milvus,
            candidate: Candidate::new(&format!("a:{number}"), "host", "3.0.0".parse().unwrap()).unwrap(),
            ttl,
            margin: None,
            warmup_interval: ms(1000),
            activation_timeout: ms(10_000),
            drain_timeout: ms(30_000),
            request_timeout: ms(10_000),
            first_lease: LeaseId(i64::try_from(number).unwrap() << 20),
            seed: u64::try_from(number).unwrap(),
        };
        let shared = driver::start(clock, Runtime::inline(), etcd.clone(), reports, log, setup).unwrap();
        shared.tell(Event::Open);
        let server_id = loop {
            if let Some(id) = shared.progress().opened {
                break id;
            }
            sleep(STEP).await;
        };
        let session = Session::of(shared.clone(), server_id, ms(10_000), Vec::new());
        let diary = Diary::default();
        let election = session.register("rootcoord", Arc::new(diary.clone())).unwrap();
        election.campaign();
        Member { cables, etcd, diary, election, session, shared }
    }

    /// Lets time pass; at every step at most one candidate says yes.
    async fn pass(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            sleep(STEP).await;
            assert!(self.primaries().len() <= 1, "two primaries: {:?}", self.primaries());
        }
    }

    /// Who says yes now.
    fn primaries(&self) -> Vec<usize> {
        (0..self.candidates.len()).filter(|&i| self.candidates[i].election.token().is_some()).collect()
    }

    /// The tokens under which it was written, in the order of the store's revisions.
    async fn written(&self) -> Vec<i64> {
        let log = Op::Get(Range::Span { from: "log/".into(), to: "log0".into() });
        let txn = Txn { then: vec![log], ..Txn::default() };
        let answer = self.candidates[0].etcd.call_for_host(txn, ms(5000)).await.unwrap();
        let Answer::Txn(TxnAnswer { reads, .. }) = answer else { panic!("{answer:?}") };
        let mut found: Vec<_> = reads.into_iter().flatten().collect();
        found.sort_by_key(|kv| kv.create_revision);
        found.iter().map(|kv| String::from_utf8_lossy(kv.value.as_bytes()).parse().unwrap()).collect()
    }

    /// Waits until somebody other than `before` is primary.
    async fn next_primary(&self, before: Option<usize>, within: Duration) -> usize {
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
    async fn end(self) {
        for candidate in &self.candidates {
            candidate.cables.iter().for_each(|cable| cable.silence(false));
            candidate.session.stop(ms(5000));
        }
        let began = Instant::now();
        while !self.candidates.iter().all(|candidate| candidate.shared.progress().over) {
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
        let left = self.server.with_model(|model, now| model.leases(now).len());
        assert_eq!(left, 0, "leases are left over");
    }
}

/// Runs a story in virtual time.
fn story<F: Future<Output = ()>>(story: impl FnOnce() -> F) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(story());
}

/// Waits for what another thread does, in real time.
fn comes(true_soon: impl Fn() -> bool) -> bool {
    let began = std::time::Instant::now();
    while !true_soon() {
        if began.elapsed() > ms(10_000) {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

#[test]
fn a_session_that_closes_while_a_role_is_registered_leaves_no_election_behind() {
    story(|| async {
        let world = World::new(1).await;
        let Member { session, shared, .. } = &world.candidates[0];
        std::thread::scope(|threads| {
            // What the driver closes under.
            let progress = lock(&shared.progress);
            let registered = threads.spawn(|| session.register("datacoord", Arc::new(Diary::default())));
            let holds_the_elections = comes(|| shared.lanes.try_lock().is_err());
            drop(progress);
            assert!(
                holds_the_elections,
                "the driver may find no election, and end, before this one is there"
            );
            assert!(registered.join().unwrap().is_ok());
        });
        world.end().await;
    });
}

#[test]
fn a_defect_closes_the_session_before_it_ends_the_elections_that_there_are() {
    story(|| async {
        let world = World::new(1).await;
        let Member { session, shared, .. } = &world.candidates[0];
        let (of_thread, (held, holds)) = (shared.clone(), std::sync::mpsc::channel());
        let closed_first = std::thread::spawn(move || {
            let _lanes = lock(&of_thread.lanes);
            held.send(()).unwrap();
            comes(|| of_thread.progress().closed.is_some())
        });
        holds.recv().unwrap();
        session.panic();
        while !shared.progress().over {
            sleep(STEP).await;
        }
        assert!(closed_first.join().unwrap(), "one that is registered now would never end");
        let again = session.register("datacoord", Arc::new(Diary::default()));
        assert!(matches!(again, Err(RegisterError::Stopped)));
    });
}

#[test]
fn what_a_host_asks_for_in_a_loop_is_done_once_and_after_the_answers_that_are_there() {
    story(|| async {
        let world = World::new(1).await;
        world.next_primary(None, TTL).await;
        let Member { session, election, shared, .. } = &world.candidates[0];
        // The driver runs on this thread, when this is over.
        for _ in 0..100_000 {
            election.campaign();
            session.mark_stopping();
            election.resign();
        }
        let answer = Event::Answered { request: RequestId(1 << 40), result: Err(Failure::LeaseNotFound) };
        let expected = [answer.to_string(), "mark stopping".into(), format!("resign {}", ElectionId(1))];
        shared.answers.send(answer).unwrap();
        world.pass(ms(1000)).await;
        let recording = election.recording();
        let events = recording.lines().filter_map(|line| line.strip_prefix("at ")?.split_once(' '));
        let events: Vec<_> =
            events.map(|(_, event)| event).filter(|e| expected.iter().any(|x| x == e)).collect();
        assert_eq!(events, expected);
        world.end().await;
    });
}

#[test]
fn an_election_that_is_over_does_not_pass_for_the_next_one_of_its_role() {
    story(|| async {
        let world = World::new(1).await;
        let Member { session, election: old, .. } = &world.candidates[0];
        old.stop(ms(1000));
        while old.join(Duration::ZERO).is_err() {
            sleep(STEP).await;
        }
        let new = session.register("rootcoord", Arc::new(Diary::default())).unwrap();
        while new.snapshot().is_none() {
            sleep(STEP).await;
        }
        assert_eq!(old.snapshot(), None);
        world.end().await;
    });
}

#[test]
fn a_primary_that_is_cut_off_says_no_before_the_next_one_says_yes_and_comes_back_as_standby() {
    story(|| async {
        let world = World::new(3).await;
        let first = world.next_primary(None, ms(1000)).await;
        world.pass(TTL).await;
        let cut = Instant::now();
        world.candidates[first].cable().silence(true);
        let second = world.next_primary(Some(first), TTL + ms(600)).await;
        let (lost, reason) = world.candidates[first].diary.losses()[0];
        let (won, _) = world.candidates[second].diary.primaries()[0];
        assert_eq!(reason, LostReason::LeaseExpired);
        assert!(lost < won && won - cut <= TTL + ms(600));
        world.pass(TTL).await;
        world.candidates[first].cable().silence(false);
        world.pass(TTL).await;
        assert_eq!(world.primaries(), [second]);
        assert_eq!(world.candidates[first].diary.primaries().len(), 1);
        world.end().await;
    });
}

/// The engine takes the steps of a recording again.
fn replays(recording: &str) {
    assert!(recording.starts_with("# Every step"), "{recording}");
    Player::new(Path::new(""), false).play("recording", recording);
}

#[test]
fn what_led_to_a_loss_is_recorded_from_the_sessions_beginning_and_replays() {
    story(|| async {
        let mut world = World::new(1).await;
        let lines = Lines::default();
        let written = lines.clone();
        let log = Log::new(move |level, text: &str| lock(&written).push((level, text.to_owned())));
        world.candidates.push(world.candidate(Clock::Tokio(Instant::now()), 2, TTL, 1, log).await);
        let first = world.next_primary(None, ms(1000)).await;
        world.candidates[first].election.resign();
        let second = world.next_primary(Some(first), ms(1000)).await;
        assert_eq!(second, 1);
        let other =
            world.candidates[second].session.register("datacoord", Arc::new(Diary::default())).unwrap();
        other.campaign();
        world.pass(TTL * 100).await;
        world.candidates[second].cable().silence(true);
        world.next_primary(Some(second), TTL + ms(600)).await;
        world.pass(TTL).await;
        world.candidates[second].cable().silence(false);
        world.pass(TTL).await;
        for candidate in &world.candidates {
            replays(&candidate.election.recording());
        }
        let recording = world.candidates[second].election.recording();
        assert_eq!(recording, other.recording());
        assert_eq!(recording.matches("reason=lease_expired").count(), 2);
        world.end().await;
        let lines = lock(&lines);
        let (_, logged) = lines.iter().find(|(_, text)| text.starts_with("what led to")).unwrap();
        assert!(logged.contains("# The last ") && logged.contains("reason=lease_expired"), "{logged}");
        assert!(logged.len() < 20_000, "{}", logged.len());
    });
}

#[test]
fn a_loss_early_in_a_session_comes_into_the_log_as_a_transcript() {
    story(|| async {
        let world = World::new(0).await;
        let lines = Lines::default();
        let written = lines.clone();
        let log = Log::new(move |level, text: &str| lock(&written).push((level, text.to_owned())));
        let candidate = world.candidate(Clock::Tokio(Instant::now()), 1, TTL, 1, log).await;
        sleep(TTL).await;
        candidate.cable().silence(true);
        sleep(TTL * 2).await;
        let lines = lock(&lines);
        let (_, logged) = lines.iter().find(|(_, text)| text.starts_with("what led to")).unwrap();
        let (_, recording) = logged.split_once('\n').unwrap();
        replays(recording);
    });
}

#[test]
fn a_loss_is_told_at_the_deadline_while_on_primary_still_runs() {
    story(|| async {
        let world = World::new(2).await;
        let first = world.next_primary(None, ms(1000)).await;
        let Member { diary, election, .. } = &world.candidates[first];
        // The call of on_primary that comes next does not end before its primacy does.
        election.resign();
        let second = world.next_primary(Some(first), ms(1000)).await;
        diary.hangs.store(true, Ordering::Relaxed);
        world.candidates[second].election.resign();
        world.next_primary(Some(second), ms(1000)).await;
        world.pass(ms(30_000)).await;
        assert_eq!(world.primaries(), [first], "renewals do not wait for it");
        let hanging = lock(&diary.hanging).take().unwrap();
        assert!(!election.is_cancelled(hanging));
        world.candidates[first].cable().silence(true);
        let deadline = Instant::now() + election.remaining();
        world.pass(TTL).await;
        let (lost, reason) = *diary.losses().last().unwrap();
        assert_eq!(reason, LostReason::LeaseExpired);
        let late = lost.saturating_duration_since(deadline);
        assert!(lost >= deadline && late < ms(50), "told {late:?} after the deadline");
        assert!(election.is_cancelled(hanging));
        election.complete(hanging, Outcome::Done).unwrap();
        world.end().await;
    });
}

/// The next call that waits in a queue, begun and completed.
fn serve(queue: &Queue, election: &Election) -> Option<Call> {
    loop {
        if let What::Call(id, call) = queue.next(Duration::ZERO)?.what {
            election.complete(id, Outcome::Done).unwrap();
            return Some(call);
        }
    }
}

#[test]
fn a_win_that_nobody_takes_from_its_queue_goes_to_somebody_who_does() {
    story(|| async {
        let world = World::new(2).await;
        let [first, second] = &world.candidates[..] else { unreachable!() };
        let queue = Queue::new().unwrap();
        let left = first.session.register("datacoord", queue.host(1)).unwrap();
        left.campaign();
        sleep(ms(100)).await;
        let diary = Diary::default();
        let other = second.session.register("datacoord", Arc::new(diary.clone())).unwrap();
        other.campaign();
        world.pass(ms(9_500)).await;
        assert!(first.session.snapshot().elections.iter().any(|e| e.role == "datacoord" && e.token > 0));
        assert_eq!((left.token(), other.token()), (None, None), "is_primary begins when on_primary is taken");
        world.pass(ms(1_500)).await;
        assert!(other.token().is_some());
        assert!(matches!(serve(&queue, &left), Some(Call::Standby { .. })), "on_primary was taken back");
        other.resign();
        world.pass(ms(500)).await;
        assert_eq!(left.token(), None);
        while !matches!(serve(&queue, &left), None | Some(Call::Primary { .. })) {}
        assert!(left.token().is_some());
        queue.close();
        world.end().await;
    });
}

#[test]
fn a_host_that_stops_reading_its_queue_loses_primacy() {
    story(|| async {
        let world = World::new(1).await;
        let queue = Queue::new().unwrap();
        let election = world.candidates[0].session.register("datacoord", queue.host(1)).unwrap();
        election.campaign();
        world.pass(ms(500)).await;
        assert!(matches!(serve(&queue, &election), Some(Call::Primary { .. })));
        world.pass(ms(9_000)).await;
        assert!(election.token().is_some());
        world.pass(ms(2_000)).await;
        assert_eq!(election.token(), None, "the news that it is ready waits for longer than on_primary may");
        assert_eq!(
            serve(&queue, &election)
                .map(|call| matches!(call, Call::Lost { reason: LostReason::HostUnresponsive, .. })),
            Some(true)
        );
        queue.close();
        world.end().await;
    });
}

#[test]
fn a_queue_that_is_read_keeps_primacy_for_as_long_as_one_likes() {
    story(|| async {
        let world = World::new(1).await;
        let queue = Queue::new().unwrap();
        let election = world.candidates[0].session.register("datacoord", queue.host(1)).unwrap();
        election.campaign();
        world.pass(ms(500)).await;
        while queue.next(Duration::ZERO).map(|event| event.what).is_some_and(|what| match what {
            What::Call(id, _) => election.complete(id, Outcome::Done).is_ok(),
            _ => true,
        }) {}
        world.pass(ms(500)).await;
        while queue.next(Duration::ZERO).is_some() {}
        world.pass(ms(60_000)).await;
        assert!(election.token().is_some());
        queue.close();
        world.end().await;
    });
}

#[test]
fn a_call_in_a_queue_that_is_closed_fails() {
    story(|| async {
        let world = World::new(1).await;
        let queue = Queue::new().unwrap();
        let election = world.candidates[0].session.register("datacoord", queue.host(1)).unwrap();
        election.campaign();
        world.pass(ms(500)).await;
        queue.close();
        world.pass(ms(100)).await;
        let state = world.candidates[0].session.snapshot();
        let of = state.elections.iter().find(|e| e.role == "datacoord").unwrap();
        assert!(of.token == 0 && of.running.is_empty(), "{of:?}");
        world.end().await;
    });
}

#[test]
fn a_link_that_is_away_for_a_moment_again_and_again_costs_no_primacy() {
    story(|| async {
        let world = World::new(2).await;
        let first = world.next_primary(None, ms(1000)).await;
        for _ in 0..200 {
            world.candidates[first].cable().silence(true);
            world.pass(ms(1200)).await;
            world.candidates[first].cable().silence(false);
            world.pass(ms(1500)).await;
        }
        assert_eq!(world.primaries(), [first]);
        assert_eq!(world.candidates[first].diary.losses(), []);
        world.end().await;
    });
}

#[test]
fn connections_that_are_reset_every_second_cost_no_primacy_and_no_takeover() {
    story(|| async {
        let world = World::new(2).await;
        let first = world.next_primary(None, ms(1000)).await;
        for _ in 0..60 {
            world.candidates.iter().for_each(|candidate| candidate.cable().cut());
            world.pass(ms(1000)).await;
        }
        assert_eq!(world.primaries(), [first]);
        world.candidates[first].election.resign();
        let second = world.next_primary(Some(first), ms(100)).await;
        world.pass(TTL * 2).await;
        assert_eq!(world.primaries(), [second]);
        world.end().await;
    });
}

#[test]
fn a_server_that_restarts_with_all_connections_reset_costs_no_primacy() {
    story(|| async {
        let world = World::new(3).await;
        let first = world.next_primary(None, ms(1000)).await;
        for _ in 0..10 {
            world.server.with_model(|model, now| model.restart(now));
            world.server.disconnect();
            world.pass(ms(2500)).await;
        }
        assert_eq!(world.primaries(), [first]);
        world.end().await;
    });
}

#[test]
fn a_server_that_sends_goaway_every_second_costs_no_primacy_and_no_takeover() {
    story(|| async {
        let world = World::new(2).await;
        let first = world.next_primary(None, ms(1000)).await;
        for _ in 0..30 {
            world.server.leave();
            world.pass(ms(1000)).await;
        }
        assert_eq!(world.primaries(), [first]);
        assert_eq!(world.candidates[first].diary.losses(), []);
        world.candidates[first].election.resign();
        let second = world.next_primary(Some(first), ms(100)).await;
        world.pass(TTL * 2).await;
        assert_eq!(world.primaries(), [second]);
        world.end().await;
    });
}

#[test]
fn a_primary_that_hears_no_answer_says_no_though_its_renewals_arrive() {
    story(|| async {
        let world = World::new(2).await;
        let first = world.next_primary(None, ms(1000)).await;
        world.pass(TTL).await;
        world.candidates[first].cable().deafen(true);
        world.pass(TTL).await;
        assert_eq!(world.candidates[first].diary.losses()[0].1, LostReason::LeaseExpired);
        // Its connection is given up, and with it the renewals end.
        let second = world.next_primary(Some(first), TTL * 4).await;
        world.candidates[first].cable().deafen(false);
        world.pass(TTL * 2).await;
        assert_eq!(world.primaries(), [second]);
        world.end().await;
    });
}

#[test]
fn who_is_cut_off_for_good_stops_in_time() {
    story(|| async {
        let world = World::new(2).await;
        let first = world.next_primary(None, ms(1000)).await;
        world.candidates[first].cable().silence(true);
        world.pass(TTL * 2).await;
        let (asked, candidate) = (Instant::now(), &world.candidates[first]);
        candidate.session.stop(ms(3000));
        while !candidate.shared.progress().over {
            assert!(asked.elapsed() <= ms(3100), "a stop takes longer than its timeout");
            sleep(STEP).await;
        }
        world.pass(TTL).await;
        assert_eq!(world.primaries(), [1 - first]);
    });
}

#[test]
fn a_store_put_back_to_an_older_copy_is_noticed_within_half_a_ttl() {
    story(|| async {
        let world = World::new(2).await;
        let copy = world.server.with_model(|model, _| model.snapshot());
        let first = world.next_primary(None, ms(1000)).await;
        world.pass(TTL * 2).await;
        world.server.with_model(|model, now| model.restore(now, &copy));
        world.server.disconnect();
        let back = Instant::now();
        world.pass(TTL / 2 + ms(500)).await;
        let (lost, reason) = world.candidates[first].diary.losses()[0];
        assert_eq!(reason, LostReason::StoreRolledBack);
        assert!(lost - back <= TTL / 2 + ms(100), "noticed after {:?}", lost - back);
        // Leases of the copy's time stand in the way until they run out.
        world.next_primary(None, TTL * 3).await;
    });
}

#[test]
fn a_defect_ends_primacy_and_the_log_says_what_it_was() {
    story(|| async {
        let world = World::new(0).await;
        let (lines, defect) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (written, panics) = (lines.clone(), defect.clone());
        // The driver's own log: whatever panics there takes the driver along, as a defect in the engine would.
        let log = Log::new(move |level, text| {
            lock(&written).push((level, text.to_owned()));
            assert!(!panics.swap(false, Ordering::SeqCst), "a defect on demand");
        });
        let candidate = world.candidate(Clock::Tokio(Instant::now()), 1, TTL, 1, log).await;
        sleep(TTL).await;
        assert!(candidate.election.token().is_some());
        defect.store(true, Ordering::SeqCst);
        let second = candidate.session.register("datacoord", Arc::new(Diary::default())).unwrap();
        second.campaign();
        sleep(ms(500)).await;
        assert!(candidate.election.token().is_none() && second.token().is_none());
        let reasons: Vec<_> = candidate.diary.losses().into_iter().map(|(_, reason)| reason).collect();
        assert_eq!(reasons, [LostReason::InternalError]);
        assert!(candidate.shared.progress().over);
        let lines = lock(&lines);
        let (level, text) = lines.last().unwrap();
        assert!(*level == Level::Error && text.ends_with("a defect on demand"), "{level:?} {text}");
    });
}

type Lines = Arc<Mutex<Vec<(Level, String)>>>;

/// A log that panics at lines with `panics_at` in them, wherever they are written, and keeps all others.
fn log_with_a_defect(panics_at: &'static str) -> (Log, Lines) {
    let lines = Lines::default();
    let written = lines.clone();
    let log = Log::new(move |level, text: &str| {
        assert!(level == Level::Error || !text.contains(panics_at), "a defect on demand");
        lock(&written).push((level, text.to_owned()));
    });
    (log, lines)
}

#[test]
fn a_request_that_panics_has_no_answer_and_is_made_again() {
    story(|| async {
        let (log, lines) = log_with_a_defect("etcd endpoint virtual:1: no answer in time");
        let mut world = World::new(0).await;
        let candidate = world.candidate(Clock::Tokio(Instant::now()), 1, TTL, 1, log).await;
        world.candidates.push(candidate);
        sleep(TTL).await;
        for _ in 0..3 {
            // Longer than the way to the next renewal and the wait for its answer, and no longer than primacy lasts.
            world.candidates[0].cable().silence(true);
            sleep(TTL * 5 / 9).await;
            world.candidates[0].cable().silence(false);
            sleep(TTL).await;
        }
        assert_eq!(world.primaries(), [0]);
        assert_eq!(world.candidates[0].diary.losses(), []);
        let defect =
            |(level, text): &(Level, String)| *level == Level::Error && text.ends_with("a defect on demand");
        assert!(lock(&lines).iter().any(defect));
        world.end().await;
    });
}

#[test]
fn watches_that_panic_end_primacy_as_an_engine_that_does() {
    story(|| async {
        let (log, _) = log_with_a_defect("a new watch was not confirmed");
        let world = World::new(0).await;
        let candidate = world.candidate(Clock::Tokio(Instant::now()), 1, TTL, 1, log).await;
        sleep(TTL).await;
        // No renewal is due before the watch is.
        while candidate.election.remaining() < TTL * 17 / 20 {
            sleep(STEP).await;
        }
        candidate.cable().deafen(true);
        candidate.session.register("datacoord", Arc::new(Diary::default())).unwrap().campaign();
        sleep(ms(2500)).await;
        let reasons: Vec<_> = candidate.diary.losses().into_iter().map(|(_, reason)| reason).collect();
        assert_eq!(reasons, [LostReason::InternalError]);
        assert!(candidate.shared.progress().over);
    });
}

#[test]
fn whatever_happens_to_the_links_there_is_never_a_second_primary_and_in_the_end_there_is_one() {
    for seed in 0..20 {
        story(|| async {
            let mut random = fastrand::Rng::with_seed(seed);
            let world = World::with(3, TTL, 2).await;
            let writers = world.candidates.iter().enumerate().map(|(number, candidate)| {
                tokio::spawn(Member::write(candidate.etcd.clone(), candidate.election.clone(), number))
            });
            let writers: Vec<_> = writers.collect();
            for _ in 0..40 {
                let cable = &world.candidates[random.usize(..3)].cables[random.usize(..2)];
                match random.u8(..5) {
                    0 | 1 => cable.silence(true),
                    2 | 3 => cable.silence(false),
                    _ => cable.cut(),
                }
                if random.u8(..10) == 0 {
                    world.server.disconnect();
                }
                world.pass(ms(random.u64(..3000))).await;
            }
            for cable in world.candidates.iter().flat_map(|candidate| &candidate.cables) {
                cable.silence(false);
            }
            world.pass(TTL * 3).await;
            assert_eq!(world.primaries().len(), 1, "seed {seed}");
            writers.iter().for_each(|writer| writer.abort());
            let written = world.written().await;
            assert!(written.len() > 100, "seed {seed}: only {} writes", written.len());
            assert!(written.is_sorted(), "seed {seed}: a write of an older win came later: {written:?}");
            world.end().await;
        });
    }
}

#[test]
fn of_many_writes_that_get_no_answer_only_so_many_are_in_doubt_and_elections_and_leases_wait_for_none() {
    story(|| async {
        let (server, cable) = (Server::new(Options { seed: 7, ..Options::default() }), Cable::default());
        let (report, _reports) = mpsc::unbounded_channel();
        let diallers = vec![cable.dialler(&server)];
        let etcd = Etcd::through(diallers, Credentials::new(None), report, Log::none()).unwrap();
        let put = || {
            let write = Op::Put("key".into(), "value".into(), LeaseId::NONE);
            Txn { then: vec![write], ..Txn::default() }
        };
        etcd.call_for_host(put(), ms(1000)).await.unwrap();
        cable.silence(true);
        let calls = (0..200).map(|_| {
            let (etcd, put) = (etcd.clone(), put());
            tokio::spawn(async move { etcd.call_for_host(put, ms(1000)).await })
        });
        let calls: Vec<_> = calls.collect();
        sleep(STEP).await;
        let renewal = Request::KeepAlive { lease: LeaseId(1) };
        let (write, renewal) =
            tokio::join!(etcd.call(Request::Txn(put()), ms(500)), etcd.call(renewal, ms(500)));
        assert!(matches!(write, Err(Failure::Indefinite(_))), "{write:?}");
        assert!(matches!(renewal, Err(Failure::Indefinite(_))), "{renewal:?}");
        let (mut in_doubt, mut not_sent) = (0, 0);
        for call in calls {
            match call.await.unwrap() {
                Err(Failure::Indefinite(_)) => in_doubt += 1,
                Err(Failure::Unreachable(_)) => not_sent += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((in_doubt, not_sent), (128, 72));
    });
}

#[test]
fn a_write_that_is_not_answered_is_unknown_and_not_sent_again() {
    story(|| async {
        let (server, cable) = (Server::new(Options { seed: 7, ..Options::default() }), Cable::default());
        let (report, _reports) = mpsc::unbounded_channel();
        let diallers = vec![cable.dialler(&server), cable.dialler(&server)];
        let etcd = Etcd::through(diallers, Credentials::new(None), report, Log::none()).unwrap();
        for (key, broken) in [("in time", false), ("before the connection breaks", true)] {
            let range = || Range::Key(key.into());
            let read = || Txn { then: vec![Op::Get(range())], ..Txn::default() };
            etcd.call_for_host(read(), ms(1000)).await.unwrap();
            cable.deafen(true);
            let put = vec![Op::Put(key.into(), "value".into(), LeaseId::NONE)];
            let (of_task, put) = (etcd.clone(), Txn { then: put, ..Txn::default() });
            let write = tokio::spawn(async move { of_task.call_for_host(put, ms(1000)).await });
            sleep(STEP).await;
            if broken {
                cable.deafen(false);
                cable.cut();
            }
            let answer = write.await.unwrap();
            cable.deafen(false);
            assert!(matches!(answer, Err(Failure::Indefinite(_))), "not answered {key}: {answer:?}");
            sleep(TTL).await;
            let answer = etcd.call_for_host(read(), ms(1000)).await.unwrap();
            let Answer::Txn(TxnAnswer { reads, .. }) = answer else { panic!("{answer:?}") };
            let versions: Vec<_> = reads.into_iter().flatten().map(|kv| kv.version).collect();
            assert_eq!(versions, [1], "not answered {key}");
        }
    });
}

/// What a proxy was asked: path and headers of each request.
type Asked = Arc<Mutex<Vec<(String, HeaderMap)>>>;

/// A proxy whose servers are gone: it says so at once. Keeps what it is asked.
fn proxy_without_servers(asked: Asked) -> Dialler {
    let dial = move || {
        let (client, server) = tokio::io::duplex(1 << 16);
        let asked = asked.clone();
        let refuse = service_fn(move |request: tonic::codegen::http::Request<Incoming>| {
            lock(&asked).push((request.uri().path().to_owned(), request.headers().clone()));
            let refusal = Status::unavailable("no healthy upstream").into_http::<Body>();
            async { Ok::<_, Infallible>(refusal) }
        });
        let connection =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(server), refuse);
        tokio::spawn(connection);
        Box::pin(async { Ok(boxed(client)) }) as Dialling
    };
    Dialler { name: "proxy:1".into(), scheme: "http", dial: Box::new(dial) }
}

#[test]
fn those_that_wait_for_a_token_together_are_refused_together() {
    story(|| async {
        let asked = Asked::default();
        let (report, _reports) = mpsc::unbounded_channel();
        let auth = Auth { user_name: "user".into(), password: Password::new("password") };
        let diallers = vec![proxy_without_servers(asked.clone())];
        let etcd = Etcd::through(diallers, Credentials::new(Some(auth)), report, Log::none()).unwrap();
        let read = Txn { then: vec![Op::Get(Range::Key("key".into()))], ..Txn::default() };
        let calls = (0..100).map(|_| {
            let (etcd, read) = (etcd.clone(), read.clone());
            tokio::spawn(async move { etcd.call(Request::Txn(read), ms(1000)).await })
        });
        for call in calls.collect::<Vec<_>>() {
            assert!(matches!(call.await.unwrap(), Err(Failure::Unreachable(_))));
        }
        // Twice by each, all together; and by the connection itself, for the server's version.
        assert!(lock(&asked).len() <= 4, "{asked:?}");
    });
}

#[test]
fn a_proxy_that_refuses_at_once_is_not_asked_again_and_again_by_one_request() {
    story(|| async {
        let (asked, lines) = (Asked::default(), Arc::new(Mutex::new(Vec::new())));
        let written = lines.clone();
        let log = Log::new(move |level, text| lock(&written).push((level, text.to_owned())));
        let (report, _reports) = mpsc::unbounded_channel();
        let diallers = vec![proxy_without_servers(asked.clone())];
        let etcd = Etcd::through(diallers, Credentials::new(None), report, log).unwrap();
        let read = Txn { then: vec![Op::Get(Range::Key("key".into()))], ..Txn::default() };
        for _ in 0..10 {
            let answer = etcd.call(Request::Txn(read.clone()), ms(1000)).await;
            let refused = |why: &str| why.contains("no healthy upstream");
            assert!(matches!(&answer, Err(Failure::Unreachable(why)) if refused(why)), "{answer:?}");
        }
        // Twice by each, and once by the connection itself, for the server's version.
        assert!(lock(&asked).len() <= 10 * 2 + 1, "{asked:?}");
        let warnings = lock(&lines).iter().filter(|(level, _)| *level == Level::Warn).count();
        assert_eq!(warnings, 1, "{lines:?}");
    });
}

/// A member that is cut off from the others would else answer from what it knows, and keep watches open that tell
/// nothing.
#[test]
fn whatever_etcd_is_asked_it_is_asked_as_one_of_a_cluster_with_a_leader() {
    story(|| async {
        let asked = Asked::default();
        let (report, mut reports) = mpsc::unbounded_channel();
        let diallers = vec![proxy_without_servers(asked.clone())];
        let etcd = Etcd::through(diallers, Credentials::new(None), report, Log::none()).unwrap();
        etcd.watch(1, vec![Range::Key("key".into())]);
        assert!(matches!(reports.recv().await, Some(WatchReport::Ended { watch: 1, .. })));
        for request in [
            Request::Grant { lease: LeaseId(1), ttl: TTL },
            Request::KeepAlive { lease: LeaseId(1) },
            Request::Txn(Txn { then: vec![Op::Get(Range::Key("key".into()))], ..Txn::default() }),
        ] {
            assert!(etcd.call(request, ms(1000)).await.is_err());
        }
        let asked = lock(&asked);
        for path in ["Watch/Watch", "Lease/LeaseGrant", "Lease/LeaseKeepAlive", "KV/Txn"] {
            let mut of_path = asked.iter().filter(|(asked, _)| asked.ends_with(path)).peekable();
            assert!(of_path.peek().is_some(), "{path} was not asked: {asked:?}");
            assert!(
                of_path.all(|(_, headers)| headers.get("hasleader").is_some_and(|v| v == "true")),
                "{path}"
            );
        }
    });
}
