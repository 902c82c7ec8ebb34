//! A session and its elections on a real etcd, in one process.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use common::etcd::EtcdServer;
use primacy::config::Config;
use primacy::election::{CommitError, Election, Host, Reply, guarded};
use primacy::engine::{Call, CallId, LostReason, Notice, Outcome, Primary, Token};
use primacy::etcd::Etcd;
use primacy::log::Log;
use primacy::milvus::Candidate;
use primacy::observer::Observer;
use primacy::queue::{Queue, What};
use primacy::session::{CloseError, JoinError, Session};
use primacy::store::{Answer, Compare, Condition, Failure, LeaseId, Op, Range, Request, Txn};

const SOON: Duration = Duration::from_secs(15);

/// A host that tells the test what it is called with, and answers at once.
struct Teller(std::sync::Mutex<Sender<Call>>);

impl Host for Teller {
    fn call(&self, _: CallId, what: &Call) -> Reply {
        self.0.lock().unwrap().send(what.clone()).unwrap();
        if *what == Call::Warmup { Reply::Warm } else { Reply::Done }
    }
    fn cancelled(&self, _: CallId) {}
    fn notice(&self, _: &Notice) {}
    fn stopped(&self) {}
}

fn config(endpoints: &str) -> Config {
    let mut config = Config::new();
    config.set("etcd.endpoints", endpoints).unwrap();
    config.set("primacy.allow_memory_store", "true").unwrap();
    config.set("common.session.ttl", "5").unwrap();
    config
}

fn session(config: &Config, port: u16) -> Session {
    let candidate = Candidate::new(&format!("127.0.0.1:{port}"), "host", "3.0.0".parse().unwrap()).unwrap();
    Session::open(config.settings().unwrap(), candidate, Log::none()).unwrap()
}

fn campaign(session: &Session, role: &str) -> (Election, Receiver<Call>) {
    let (tell, calls) = channel();
    let election = session.register(role, Arc::new(Teller(tell.into()))).unwrap();
    election.campaign();
    (election, calls)
}

/// The next call that is no warm-up.
fn next(calls: &Receiver<Call>) -> Call {
    loop {
        let call = calls.recv_timeout(SOON).unwrap();
        if call != Call::Warmup {
            return call;
        }
    }
}

fn token(call: &Call) -> Token {
    match call {
        Call::Primary { token, .. } => *token,
        other => unreachable!("on_primary expected: {other}"),
    }
}

/// A host whose `on_primary` takes two seconds; then it serves, under that token.
#[derive(Default)]
struct Slow(AtomicI64);

impl Host for Slow {
    fn call(&self, _: CallId, what: &Call) -> Reply {
        if let Call::Primary { token, .. } = what {
            std::thread::sleep(Duration::from_secs(2));
            self.0.store(token.0, Ordering::SeqCst);
        }
        if *what == Call::Warmup { Reply::Warm } else { Reply::Done }
    }
    fn cancelled(&self, _: CallId) {}
    fn notice(&self, _: &Notice) {}
    fn stopped(&self) {}
}

/// What a client does: `request` says whether it was served. The token of who served it.
fn call_primary(observer: &Observer, mut request: impl FnMut(&Primary) -> bool) -> Token {
    loop {
        let primary = observer.wait_until_ready(SOON).unwrap();
        if request(&primary) {
            return primary.token;
        }
        let _ = observer.wait_for_change(Some(&primary), Duration::from_millis(100));
    }
}

fn put(key: &str) -> Txn {
    Txn { then: vec![Op::Put(key.into(), "v".into(), LeaseId::NONE)], ..Txn::default() }
}

#[test]
fn a_standby_takes_over_when_the_primary_resigns_and_the_old_token_writes_nothing() {
    let etcd = EtcdServer::start();
    takes_over(&config(&etcd.endpoint()));
}

#[cfg(feature = "embedded")]
#[test]
fn a_standby_takes_over_in_a_store_inside_the_process() {
    takes_over(&config("mem://takes-over"));
}

fn takes_over(config: &Config) {
    let (a, b) = (session(config, 1001), session(config, 1002));
    let (first, first_calls) = campaign(&a, "rootcoord");
    let old = token(&next(&first_calls));
    assert_eq!(first.token(), Some(old));
    assert!(first.remaining() > Duration::from_secs(2));
    first.commit(old, put("x"), SOON).unwrap();

    let absent = Compare { range: Range::Key("x".into()), condition: Condition::Absent };
    let conflict = Txn { when: vec![absent], ..put("x") };
    assert!(matches!(first.commit(old, conflict, SOON), Err(CommitError::Conflict(_))));
    let unguarded = Txn { otherwise: put("x").then, ..Txn::default() };
    assert!(matches!(first.commit(old, unguarded, SOON), Err(CommitError::Failed(Failure::Refused(_)))));

    let (second, second_calls) = campaign(&b, "rootcoord");
    assert!(
        matches!(next(&second_calls), Call::Standby { holder: Some(holder) } if holder.server_id == a.server_id())
    );
    assert_eq!(second.commit(old, put("x"), SOON), Err(CommitError::NotPrimary(old)));

    let observer = Observer::open(config.settings().unwrap(), "rootcoord", Log::none(), None).unwrap();
    assert_eq!(observer.wait_for_primary(SOON).unwrap().address, "127.0.0.1:1001");

    first.resign();
    assert!(matches!(next(&first_calls), Call::Lost { reason: LostReason::Resigned, .. }));
    let new = token(&next(&second_calls));
    assert!(new > old);
    assert_eq!(first.token(), None);
    assert_eq!(first.commit(old, put("x"), SOON), Err(CommitError::NotPrimary(old)));
    second.commit(new, put("x"), SOON).unwrap();
    assert!(matches!(next(&first_calls), Call::Standby { .. }));
    let seen = observer.current();
    if seen.as_ref().is_none_or(|primary| primary.token != new) {
        let now = observer.wait_for_change(seen.as_ref(), SOON).unwrap();
        let now = now.or_else(|| observer.wait_for_primary(SOON).ok()).unwrap();
        assert_eq!((now.token, now.address.as_str()), (new, "127.0.0.1:1002"));
    }

    // Back to the one that is named, once that has said in its record that it is warm.
    let deadline = Instant::now() + SOON;
    while second.token() == Some(new) {
        assert!(Instant::now() < deadline, "{}", second.recording());
        second.transfer(Some(a.server_id()));
        thread::sleep(Duration::from_millis(20));
    }
    assert!(matches!(next(&second_calls), Call::Lost { reason: LostReason::Transferred, .. }));
    let newest = token(&next(&first_calls));
    assert!(newest > new);
    assert_eq!(second.commit(new, put("x"), SOON), Err(CommitError::NotPrimary(new)));
    first.commit(newest, put("x"), SOON).unwrap();
    assert!(
        matches!(next(&second_calls), Call::Standby { holder: Some(holder) } if holder.server_id == a.server_id())
    );

    for session in [&a, &b] {
        session.stop(SOON);
    }
    for session in [&a, &b] {
        session.join(SOON).unwrap();
    }
    assert!(matches!(next(&first_calls), Call::Lost { reason: LostReason::Stopped, .. }));
}

/// No process has a say here but the store: what was guarded while the lock was held arrives when it no longer is.
#[test]
fn a_guarded_write_that_arrives_late_is_refused_by_the_store() {
    let server = EtcdServer::start();
    let config = config(&server.endpoint());
    let session = session(&config, 1001);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let (reports, _) = tokio::sync::mpsc::unbounded_channel();
    let second = Etcd::new(&config.settings().unwrap().etcd, reports, Log::none()).unwrap();
    let commits = |txn: Txn| match runtime.block_on(second.call(Request::Txn(txn), SOON)).unwrap() {
        Answer::Txn(answer) => answer.succeeded,
        other => unreachable!("an answer to something else: {other:?}"),
    };
    let lock = "by-dev/meta/session/rootcoord";
    let losses: [Op; 2] = [Op::Put(lock.into(), "taken".into(), LeaseId::NONE), Op::Delete(lock.into())];
    let (election, calls) = campaign(&session, "rootcoord");
    for loss in losses {
        let token = loop {
            if let Call::Primary { token, .. } = next(&calls) {
                break token;
            }
        };
        let guard: Vec<Compare> = election.guard(token).unwrap();
        assert!(commits(guarded(&guard, put("x"))));
        let taken = matches!(loss, Op::Put(..));
        assert!(commits(Txn { then: vec![loss], ..Txn::default() }));
        assert!(!commits(guarded(&guard, put("x"))), "taken: {taken}");
        assert!(commits(put("x")));
        if taken {
            assert!(commits(Txn { then: vec![Op::Delete(lock.into())], ..Txn::default() }));
        }
    }
    session.stop(SOON);
    session.join(SOON).unwrap();
}

/// A way to a server on which, while it is `deaf`, what the server says is lost.
fn way_to(server: u16, deaf: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let pass = |mut from: TcpStream, mut to: TcpStream, lost: Arc<AtomicBool>| {
        thread::spawn(move || {
            let mut bytes = [0; 1 << 16];
            while let Ok(n @ 1..) = from.read(&mut bytes) {
                if !lost.load(Ordering::SeqCst) && to.write_all(&bytes[..n]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
    };
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
            pass(client.try_clone().unwrap(), server.try_clone().unwrap(), Arc::default());
            pass(server, client, deaf.clone());
        }
    });
    port
}

#[test]
fn a_guarded_write_that_nobody_answers_is_unknown_and_is_written_once() {
    let (server, deaf) = (EtcdServer::start(), Arc::new(AtomicBool::new(false)));
    let session = session(&config(&format!("127.0.0.1:{}", way_to(server.port(), deaf.clone()))), 1001);
    let (election, calls) = campaign(&session, "rootcoord");
    let token = token(&next(&calls));
    deaf.store(true, Ordering::SeqCst);
    let answer = election.commit(token, put("x"), Duration::from_secs(3));
    deaf.store(false, Ordering::SeqCst);
    assert!(matches!(answer, Err(CommitError::Unknown(_))), "{answer:?}");
    // Whatever was sent has been done when it is there, and something that came later as well.
    let others = self::session(&config(&server.endpoint()), 1002);
    let written = || {
        let answer = others.read(vec![Range::Key("x".into())], SOON).unwrap();
        answer.reads.into_iter().flatten().map(|kv| kv.version).next()
    };
    let versions: Vec<i64> =
        std::iter::from_fn(|| Some(written())).skip_while(Option::is_none).take(3).flatten().collect();
    assert_eq!(versions, [1, 1, 1]);
    for session in [session, others] {
        session.stop(SOON);
        session.join(SOON).unwrap();
    }
}

/// etcd counts comparisons, writes and reads each by itself, and takes 128; the guard is among them.
#[test]
fn a_guarded_write_has_room_for_as_many_comparisons_as_is_said_and_none_for_the_own_lock() {
    let etcd = EtcdServer::start();
    let config = config(&etcd.endpoint());
    for (role, room) in [("rootcoord", 126), ("mixcoord", 120)] {
        let session = session(&config, 1001);
        let (election, calls) = campaign(&session, role);
        let token = token(&next(&calls));
        let commit = |compares: usize, writes: usize, reads: usize| {
            let when = (0..compares).map(|i| absent(&format!("none/{i}"))).collect();
            let gets = (0..reads).map(|i| Op::Get(Range::Key(format!("none/{i}").into())));
            let puts = (0..writes).map(|i| Op::Put(format!("x/{i}").into(), "v".into(), LeaseId::NONE));
            let txn = Txn { when, then: puts.chain(gets.clone()).collect(), otherwise: gets.collect() };
            election.commit(token, txn, SOON).map(drop)
        };
        let too_many = |result: Result<(), CommitError>| match result {
            Err(CommitError::Failed(Failure::Refused(why))) => why.contains("make it smaller"),
            other => unreachable!("not refused: {other:?}"),
        };
        assert_eq!(commit(room, 128 - room, room), Ok(()));
        assert_eq!(commit(0, 128, 0), Ok(()));
        assert!(too_many(commit(room + 1, 1, 0)));
        assert!(too_many(commit(0, 0, room + 1)));
        assert!(too_many(commit(0, 129, 0)));

        for lock in election.guard(token).unwrap().iter().map(|own| own.range.clone()) {
            let Range::Key(lock) = lock else { unreachable!("a lock is one key") };
            let refused = election.commit(token, put(&lock.to_string()), SOON);
            assert_eq!(refused, Err(CommitError::OwnLock(lock)));
        }
        assert_eq!(election.token(), Some(token));
        session.stop(SOON);
        session.join(SOON).unwrap();
    }
}

#[test]
fn what_is_started_is_told_once_holds_no_thread_and_outlives_its_session() {
    let (server, deaf) = (EtcdServer::start(), Arc::new(AtomicBool::new(false)));
    let session = session(&config(&format!("127.0.0.1:{}", way_to(server.port(), deaf.clone()))), 1001);
    let (election, calls) = campaign(&session, "rootcoord");
    let token = token(&next(&calls));
    let (tell, told) = channel();
    let start = |txn: Txn, timeout| {
        let tell = tell.clone();
        election.start_commit(token, txn, timeout, move |answer| tell.send(answer).unwrap());
    };
    start(put("x"), SOON);
    told.recv_timeout(SOON).unwrap().unwrap();
    start(Txn { when: vec![absent("x")], ..put("x") }, SOON);
    assert!(matches!(told.recv_timeout(SOON).unwrap(), Err(CommitError::Conflict(_))));
    start(Txn { otherwise: put("x").then, ..Txn::default() }, SOON);
    assert!(matches!(told.recv_timeout(SOON).unwrap(), Err(CommitError::Failed(Failure::Refused(_)))));

    // Where it is told nobody waits for an end; and a host that panics there keeps nothing from the next one.
    let (of_session, tell_join) = (session.clone(), tell.clone());
    session.start_read(vec![Range::Key("x".into())], SOON, move |answer| {
        assert_eq!(answer.unwrap().reads.len(), 1);
        assert_eq!(of_session.join(Duration::ZERO), Err(JoinError::InCallback));
        tell_join.send(Err(CommitError::Unknown("read".into()))).unwrap();
        panic!("a host's own mistake");
    });
    assert_eq!(told.recv_timeout(SOON).unwrap(), Err(CommitError::Unknown("read".into())));

    deaf.store(true, Ordering::SeqCst);
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let (before, many) = (threads(), 400);
    (0..many).for_each(|_| start(put("y"), Duration::from_secs(3)));
    assert!(threads() < before + many / 2, "a thread for each");
    drop((session, election, tell));
    let answers: Vec<_> = std::iter::from_fn(|| told.recv_timeout(SOON).ok()).collect();
    assert_eq!(answers.len(), many);
    assert!(answers.iter().any(|answer| matches!(answer, Err(CommitError::Unknown(_)))), "{:?}", answers[0]);
}

#[cfg(feature = "embedded")]
#[test]
fn a_role_can_be_registered_again_as_soon_as_its_election_is_over() {
    let session = session(&config("mem://again"), 1001);
    for _ in 0..100 {
        let (election, _calls) = campaign(&session, "rootcoord");
        election.stop(SOON);
        election.join(SOON).unwrap();
    }
    session.close(Some(SOON), |_| false).unwrap();
}

/// A host that answers each call later, and tells the test which they are.
struct Later(std::sync::Mutex<Sender<(CallId, Call)>>);

impl Host for Later {
    fn call(&self, call: CallId, what: &Call) -> Reply {
        self.0.lock().unwrap().send((call, what.clone())).unwrap();
        Reply::Pending
    }
    fn cancelled(&self, _: CallId) {}
    fn notice(&self, _: &Notice) {}
    fn stopped(&self) {}
}

#[test]
fn a_close_names_who_hangs_and_is_through_when_that_is() {
    let etcd = EtcdServer::start();
    let session = session(&config(&etcd.endpoint()), 1001);
    let (tell, calls) = channel();
    let hangs = session.register("rootcoord", Arc::new(Later(tell.into()))).unwrap();
    hangs.campaign();
    let (_other, calls_of_other) = campaign(&session, "datacoord");
    token(&next(&calls_of_other));
    let primary = loop {
        match calls.recv_timeout(SOON).unwrap() {
            (call, Call::Primary { .. }) => break call,
            (call, _) => hangs.complete(call, Outcome::Done).unwrap(),
        }
    };
    // No call of a host that is called is left out: what hangs was begun.
    let closed = session.close(Some(Duration::from_millis(300)), |_| true);
    assert_eq!(closed, Err(CloseError::TimedOut(vec![hangs.role().clone()])));
    assert_eq!(hangs.close(None, false), Err(CloseError::TimedOut(vec![hangs.role().clone()])));
    let lost = calls.recv_timeout(SOON).unwrap().0;
    let of_session = session.clone();
    let inside = hangs.inside(lost, move || of_session.close(None, |_| false));
    assert_eq!(inside, Err(CloseError::InCallback));
    for call in [primary, lost] {
        hangs.complete(call, Outcome::Done).unwrap();
    }
    hangs.join(SOON).unwrap();
    session.join(SOON).unwrap();
    assert_eq!(session.close(None, |_| false), Ok(()));
    assert_eq!(hangs.close(None, false), Ok(()));
}

#[test]
fn a_close_does_not_wait_for_calls_that_nobody_takes() {
    let etcd = EtcdServer::start();
    for of_session in [true, false] {
        let session = session(&config(&etcd.endpoint()), 1001);
        let queue = Queue::new().unwrap();
        let election = session.register("rootcoord", queue.host(1)).unwrap();
        election.campaign();
        while election.token().is_none() {
            if let Some(What::Call(call, _)) = queue.next(SOON).map(|event| event.what) {
                election.complete(call, Outcome::Done).unwrap();
            }
        }
        let closed =
            if of_session { session.close(Some(SOON), |_| true) } else { election.close(Some(SOON), true) };
        assert_eq!(closed, Ok(()));
        assert!(
            std::iter::from_fn(|| queue.next(Duration::ZERO))
                .all(|event| !matches!(event.what, What::Call(..))),
            "a call began that has failed"
        );
        assert_eq!(session.close(None, |_| true), Ok(()));
    }
}

fn absent(key: &str) -> Compare {
    Compare { range: Range::Key(key.into()), condition: Condition::Absent }
}

#[test]
fn a_client_loses_no_term_of_a_primary_that_takes_two_seconds() {
    let server = EtcdServer::start();
    let config = config(&server.endpoint());
    let (first, second) = (session(&config, 53100), session(&config, 53101));
    let (_kept, calls) = campaign(&first, "rootcoord");
    let before = token(&next(&calls));
    let observer = Observer::open(config.settings().unwrap(), "rootcoord", Log::none(), None).unwrap();
    assert_eq!(call_primary(&observer, |primary| primary.token == before), before);

    let slow = Arc::new(Slow::default());
    second.register("rootcoord", slow.clone()).unwrap().campaign();
    first.stop(SOON);
    first.join(SOON).unwrap();
    let mut refused = 0;
    let mut request = |mut busy: i32| {
        let served = call_primary(&observer, |primary| {
            let serves = busy == 0 && slow.0.load(Ordering::SeqCst) == primary.token.0;
            (busy, refused) = ((busy - 1).max(0), refused + i32::from(!serves));
            serves
        });
        (served, refused)
    };
    let (served, refused) = request(0);
    assert!(served > before);
    assert_eq!(refused, 0, "a call was made before it was ready");
    assert_eq!(request(2), (served, 2), "the newest is asked again");
    second.stop(SOON);
    second.join(SOON).unwrap();
}
