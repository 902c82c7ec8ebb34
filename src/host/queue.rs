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
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::lock::lock;
use super::unread::Unread;
use crate::engine::{Call, CallId, Notice, Primary};
use crate::log::Level;
use crate::platform::Doorbell;

/// Why a call fails that nobody can take.
pub(super) const CLOSED: &str = "the event queue is closed";

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
    /// A call of the host, which begins now: ended by [`Election::complete`](super::election::Election::complete) with
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

impl Queue {
    /// An empty queue.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn new() -> io::Result<Queue> {
        let bell = Doorbell::new()?;
        Ok(Queue(Arc::new(Inner { state: Mutex::default(), changed: Condvar::new(), bell })))
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
            match (&event.what, of.as_ref().and_then(|unread| unread.reader())) {
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
                (event.what, of.as_ref().and_then(|unread| unread.reader()))
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
    pub(super) fn push(&self, event: Event, limit: usize, of: Option<&Arc<Unread>>) -> bool {
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
                    unread.replaced();
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
