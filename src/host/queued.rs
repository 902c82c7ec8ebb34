//! What elections, observers and logs tell a queue, where a host reads it.

use std::sync::Arc;

use super::contract::{Host, Reader, Reply};
use super::queue::{CLOSED, Event, Queue, What};
use super::seen::OnChange;
use super::unread::Unread;
use crate::engine::{Call, CallId, Notice};
use crate::log::Log;

/// Notices of one election that wait.
const NOTICES: usize = 64;
/// Lines of a log that wait.
const LINES: usize = 1024;

impl Queue {
    /// A host for [`Session::register`](super::session::Session::register): whatever it is told becomes an event
    /// under `tag`. Its calls wait to be completed. Once the queue is closed, they fail.
    pub fn host(&self, tag: u64) -> Arc<dyn Host> {
        Arc::new(Teller { queue: self.clone(), tag, unread: Arc::default() })
    }

    /// For [`Observer::open`](super::observer::Observer::open): each change becomes an event under `tag`.
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
        self.unread.is_for(reader)
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
    use crate::engine::{Primary, Token};
    use crate::log::Level;
    use crate::platform::is_readable;
    use std::os::fd::AsFd;
    use std::thread;
    use std::time::Duration;

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
