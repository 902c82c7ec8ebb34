//! A queue of events with a descriptor that says whether something waits, for hosts that can not be called on a
//! thread of this library's: what would be a callback arrives as an event instead.
//!
//! The thread that adds an event never waits for the one that takes it. Calls, cancellations and ends are all kept:
//! the engine has only a few of them under way. Of what nobody needs to answer, the oldest goes when too many wait.
//!
//! A call begins when it is taken. Whoever leaves it in the queue has not been called: it is taken back when it is no
//! longer wanted. What an election's host leaves unread is told to its engine, which ends its primacy some time.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem::discriminant;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::election::{Host, Reader, Reply};
use crate::engine::{Call, CallId, Notice, Primary};
use crate::log::{Level, Log};
use crate::observer::OnChange;
use crate::platform::Doorbell;
use crate::runtime::lock;

/// Notices of one election that wait.
const NOTICES: usize = 64;
/// Lines of a log that wait.
const LINES: usize = 1024;
/// Why a call fails that nobody can take.
const CLOSED: &str = "the event queue is closed";

/// A queue of events. A clone is the same queue. Any number of elections, observers and logs may write to it, any
/// number of threads take from it.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

/// Something that happened, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What the host gave as a name for the election, observer or log.
    pub tag: u64,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A call of the host, which begins now: ended by [`Election::complete`](crate::election::Election::complete) with
    /// this id.
    Call(CallId, Call),
    /// That call should end soon; it must still be completed.
    Cancelled(CallId),
    /// Something that needs no answer.
    Notice(Notice),
    /// The election is over: nothing more comes under this tag.
    Stopped,
    /// An observer saw another primary, or none. Only the latest waits.
    Observed(Option<Primary>),
    /// A line of a log.
    Line(Level, String),
    /// [`Queue::wake`] was called.
    Woken,
}

struct Inner {
    state: Mutex<State>,
    changed: Condvar,
    /// Rings while something waits.
    bell: Doorbell,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Lines of the log that had to go.
    left_out: usize,
    closed: bool,
}

struct Waiting {
    event: Event,
    /// Of the election that it belongs to, if to one.
    of: Option<Arc<Unread>>,
}

/// What one election's host has not read yet. Changed under the queue's lock.
#[derive(Default)]
struct Unread {
    reader: OnceLock<Reader>,
    count: AtomicUsize,
}

impl Unread {
    fn more(&self) {
        if self.count.fetch_add(1, Ordering::Relaxed) == 0 {
            self.say(true);
        }
    }

    fn less(&self) {
        let left = self.count.fetch_sub(1, Ordering::Relaxed) - 1;
        self.say(left > 0);
    }

    fn say(&self, waits: bool) {
        if let Some(reader) = self.reader.get() {
            reader.unread(waits);
        }
    }
}

impl Queue {
    /// An empty queue.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn new() -> io::Result<Queue> {
        let bell = Doorbell::new()?;
        Ok(Queue(Arc::new(Inner { state: Mutex::default(), changed: Condvar::new(), bell })))
    }

    /// A host for [`Session::register`](crate::session::Session::register): whatever it is told becomes an event
    /// under `tag`. Its calls wait to be completed. Once the queue is closed, they fail.
    pub fn host(&self, tag: u64) -> Arc<dyn Host> {
        Arc::new(Teller { queue: self.clone(), tag, unread: Arc::default() })
    }

    /// For [`Observer::open`](crate::observer::Observer::open): each change becomes an event under `tag`.
    pub fn on_change(&self, tag: u64) -> OnChange {
        let queue = self.clone();
        Box::new(move |primary| {
            queue.push(Event { tag, what: What::Observed(primary.cloned()) }, 1, None);
        })
    }

    /// A log: each line becomes an event under `tag`.
    pub fn log(&self, tag: u64) -> Log {
        let queue = self.clone();
        Log::new(move |level, text| {
            queue.push(Event { tag, what: What::Line(level, text.to_owned()) }, LINES, None);
        })
    }

    /// Adds an event of the host's own: somebody who waits here has something else to look at. Any thread.
    pub fn wake(&self, tag: u64) {
        self.push(Event { tag, what: What::Woken }, usize::MAX, None);
    }

    /// Takes the next event, and waits for one for `timeout` at most; zero: does not wait. A call begins with it.
    /// `None`: there was none in time, or none is left and the queue is closed.
    pub fn next(&self, timeout: Duration) -> Option<Event> {
        let until = Instant::now().checked_add(timeout);
        loop {
            let left = until.map_or(timeout, |until| until.saturating_duration_since(Instant::now()));
            let Waiting { event, of } = self.pop(left)?;
            let reader = of.as_ref().and_then(|unread| unread.reader.get());
            match (&event.what, reader) {
                // It was taken back.
                (What::Call(call, _), Some(reader)) if !reader.takes(*call) => {}
                _ => return Some(event),
            }
        }
    }

    fn pop(&self, timeout: Duration) -> Option<Waiting> {
        let mut state = lock(&self.0.state);
        if state.waiting.is_empty() && !timeout.is_zero() {
            let idle = |state: &mut State| state.waiting.is_empty() && !state.closed;
            let waited = self.0.changed.wait_timeout_while(state, timeout, idle);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if let Some(Waiting { event: Event { tag, what: What::Line(..) }, .. }) = state.waiting.front()
            && state.left_out > 0
        {
            let tag = *tag;
            let text = format!("{} lines of the log were left out", std::mem::take(&mut state.left_out));
            return Some(Waiting { event: Event { tag, what: What::Line(Level::Warn, text) }, of: None });
        }
        let next = state.waiting.pop_front();
        if let Some(Waiting { of: Some(unread), .. }) = &next {
            unread.less();
        }
        if state.waiting.is_empty() && !state.closed {
            self.0.bell.silence();
        }
        next
    }

    /// No event comes any more, whoever waits is woken, the descriptor stays readable. Calls that wait fail; what else
    /// is in the queue can still be taken. Whoever closes a queue completes the calls that were taken from it.
    pub fn close(&self) {
        let refused: VecDeque<Waiting> = {
            let mut state = lock(&self.0.state);
            state.closed = true;
            let waiting = std::mem::take(&mut state.waiting).into_iter();
            let (calls, rest) = waiting.partition(|waiting| matches!(waiting.event.what, What::Call(..)));
            state.waiting = rest;
            calls
        };
        for Waiting { event, of } in refused {
            if let (What::Call(call, _), Some(reader)) =
                (event.what, of.as_ref().and_then(|of| of.reader.get()))
            {
                reader.refuses(call, CLOSED);
            }
        }
        self.0.bell.ring();
        self.0.changed.notify_all();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        lock(&self.0.state).closed
    }

    /// Adds an event, in place of the oldest of its kind and tag where `limit` of them wait. False: closed.
    fn push(&self, event: Event, limit: usize, of: Option<&Arc<Unread>>) -> bool {
        let mut state = lock(&self.0.state);
        if state.closed {
            return false;
        }
        if state.waiting.len() >= limit {
            let alike = |other: &Waiting| {
                other.event.tag == event.tag && discriminant(&other.event.what) == discriminant(&event.what)
            };
            if state.waiting.iter().filter(|other| alike(other)).count() >= limit
                && let Some(oldest) = state.waiting.iter().position(alike)
            {
                // Nobody has read it: the count stays as if it still waited, with the one that takes its place.
                let gone = state.waiting.remove(oldest).and_then(|gone| gone.of);
                if let Some(unread) = gone {
                    unread.count.fetch_sub(1, Ordering::Relaxed);
                }
                state.left_out += usize::from(matches!(event.what, What::Line(..)));
            }
        }
        if state.waiting.is_empty() {
            self.0.bell.ring();
        }
        if let Some(unread) = of {
            unread.more();
        }
        state.waiting.push_back(Waiting { event, of: of.cloned() });
        self.0.changed.notify_one();
        true
    }
}

/// A descriptor that is readable exactly while an event waits, or after a close. It is not to be read, written or
/// closed.
impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.bell.as_fd()
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queue({} waiting)", lock(&self.0.state).waiting.len())
    }
}

/// Tells a queue what an election tells its host.
struct Teller {
    queue: Queue,
    tag: u64,
    unread: Arc<Unread>,
}

impl Teller {
    fn tell(&self, what: What, limit: usize) -> bool {
        self.queue.push(Event { tag: self.tag, what }, limit, Some(&self.unread))
    }
}

impl Host for Teller {
    fn keeps(&self, reader: Reader) -> bool {
        self.unread.reader.set(reader).is_ok()
    }

    fn call(&self, call: CallId, what: &Call) -> Reply {
        if self.tell(What::Call(call, what.clone()), usize::MAX) {
            Reply::Pending
        } else {
            Reply::Failed(CLOSED.into())
        }
    }

    fn cancelled(&self, call: CallId) {
        self.tell(What::Cancelled(call), usize::MAX);
    }

    fn notice(&self, what: &Notice) {
        self.tell(What::Notice(what.clone()), NOTICES);
    }

    fn stopped(&self) {
        self.tell(What::Stopped, usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Token;
    use crate::platform::is_readable;
    use std::thread;

    const NOW: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(60);

    fn ready(n: i64) -> Notice {
        Notice::Ready { token: Token(n) }
    }

    #[test]
    fn what_a_host_is_told_comes_out_in_order_under_its_tag_and_calls_wait() {
        let queue = Queue::new().unwrap();
        let (a, b) = (queue.host(1), queue.host(2));
        assert_eq!(a.call(CallId(7), &Call::Warmup), Reply::Pending);
        b.notice(&ready(5));
        a.cancelled(CallId(7));
        a.stopped();
        let told: Vec<_> =
            std::iter::from_fn(|| queue.next(NOW)).map(|event| (event.tag, event.what)).collect();
        assert_eq!(
            told,
            [
                (1, What::Call(CallId(7), Call::Warmup)),
                (2, What::Notice(ready(5))),
                (1, What::Cancelled(CallId(7))),
                (1, What::Stopped),
            ]
        );
    }

    #[test]
    fn the_descriptor_is_readable_exactly_while_something_waits() {
        let queue = Queue::new().unwrap();
        assert!(!is_readable(queue.as_fd()));
        queue.wake(1);
        queue.wake(2);
        assert!(is_readable(queue.as_fd()));
        queue.next(NOW);
        assert!(is_readable(queue.as_fd()));
        queue.next(NOW);
        assert!(!is_readable(queue.as_fd()));
        queue.close();
        assert!(is_readable(queue.as_fd()));
    }

    #[test]
    fn a_waiter_is_woken_by_an_event_and_by_the_close() {
        let queue = Queue::new().unwrap();
        let waiter = thread::spawn({
            let queue = queue.clone();
            move || (queue.next(LONG), queue.next(LONG))
        });
        queue.wake(3);
        while is_readable(queue.as_fd()) {
            thread::yield_now();
        }
        queue.close();
        assert_eq!(waiter.join().unwrap(), (Some(Event { tag: 3, what: What::Woken }), None));
    }

    #[test]
    fn a_closed_queue_fails_calls_and_still_gives_what_it_has() {
        let queue = Queue::new().unwrap();
        let host = queue.host(1);
        host.notice(&ready(1));
        queue.close();
        assert!(matches!(host.call(CallId(1), &Call::Warmup), Reply::Failed(_)));
        assert_eq!(queue.next(LONG).map(|event| event.what), Some(What::Notice(ready(1))));
        assert_eq!(queue.next(LONG), None);
    }

    #[test]
    fn unread_notices_push_out_the_oldest_but_no_call() {
        let queue = Queue::new().unwrap();
        let (host, other) = (queue.host(1), queue.host(2));
        let calls = || (1..=100).map(CallId);
        calls().for_each(|call| drop(host.call(call, &Call::Warmup)));
        other.notice(&ready(-1));
        for n in 0..100 {
            host.notice(&ready(n));
        }
        for call in calls() {
            assert_eq!(queue.next(NOW).map(|event| event.what), Some(What::Call(call, Call::Warmup)));
        }
        assert_eq!(queue.next(NOW).map(|event| event.what), Some(What::Notice(ready(-1))));
        assert_eq!(queue.next(NOW).map(|event| event.what), Some(What::Notice(ready(36))));
        assert_eq!(std::iter::from_fn(|| queue.next(NOW)).count(), 63);
    }

    #[test]
    fn of_an_observers_changes_only_the_latest_waits() {
        let queue = Queue::new().unwrap();
        let on_change = queue.on_change(1);
        let primary = Primary { server_id: 1, address: "a:1".into(), token: Token(3), ready: true };
        on_change(Some(&primary));
        on_change(None);
        on_change(Some(&primary));
        assert_eq!(queue.next(NOW).map(|event| event.what), Some(What::Observed(Some(primary))));
        assert_eq!(queue.next(NOW), None);
    }

    #[test]
    fn a_log_that_nobody_reads_says_how_much_it_left_out() {
        let queue = Queue::new().unwrap();
        let log = queue.log(9);
        for n in 0..LINES + 3 {
            log.info(&n.to_string());
        }
        let line = |text: &str, level| Some(Event { tag: 9, what: What::Line(level, text.into()) });
        assert_eq!(queue.next(NOW), line("3 lines of the log were left out", Level::Warn));
        assert_eq!(queue.next(NOW), line("3", Level::Info));
    }
}
