//! What `is_primary` reads: no lock, no flag, a comparison of the clock with a deadline at each call.

use std::ops::Deref;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU64, Ordering};
use std::time::Duration;

use super::lock::lock;
use crate::clock::Time;
use crate::engine::Token;
use crate::platform;

/// A token, and the deadline of the lease that it was won under.
#[derive(Debug, Default)]
pub struct WinCell {
    /// 0: none.
    token: AtomicI64,
    /// The lease's own cell. Cells are never freed.
    deadline: AtomicPtr<AtomicU64>,
}

impl WinCell {
    /// Sets what is read from now on.
    pub(super) fn set(&self, win: Option<(Token, &'static AtomicU64)>) {
        // No token while the deadline changes: a reader that meets the change finds none, or another token.
        self.token.store(0, Ordering::SeqCst);
        if let Some((token, deadline)) = win {
            self.deadline.store(std::ptr::from_ref(deadline).cast_mut(), Ordering::SeqCst);
            self.token.store(token.0, Ordering::SeqCst);
        }
    }

    /// The token, and how long it is surely ours; `None`: not primary. Lock-free; the clock is read last, so that
    /// whatever paused this thread on the way has passed.
    #[inline]
    pub fn read(&self, clock: impl FnOnce() -> Time) -> Option<(Token, Duration)> {
        let token = self.token.load(Ordering::SeqCst);
        if token == 0 {
            return None;
        }
        let until = platform::read_cell(&self.deadline);
        if self.token.load(Ordering::SeqCst) != token {
            // It has just changed; for this moment the answer is no.
            return None;
        }
        let (until, now) = (Time::from_nanos(until), clock());
        (until > now).then(|| (Token(token), until.since(now)))
    }
}

/// A cell that an election has for as long as it lives. The cell itself is never freed: whoever reads one that went
/// back reads no win, or that of the election that has it now, and must have a way to tell.
#[derive(Debug)]
pub(super) struct Lent(&'static WinCell);

/// Cells that came back.
static POOL: Mutex<Vec<&'static WinCell>> = Mutex::new(Vec::new());
/// As many are made at once.
const MORE: usize = 64;

impl Lent {
    pub fn new() -> Lent {
        let mut pool = lock(&POOL);
        if pool.is_empty() {
            let more: Vec<WinCell> = (0..MORE).map(|_| WinCell::default()).collect();
            pool.extend(&*more.leak());
        }
        pool.pop().map_or_else(|| Lent(Box::leak(Box::default())), Lent)
    }

    /// The cell, for those that can tell whether the election still has it.
    pub fn cell(&self) -> &'static WinCell {
        self.0
    }
}

impl Deref for Lent {
    type Target = WinCell;
    fn deref(&self) -> &WinCell {
        self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.set(None);
        lock(&POOL).push(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::LazyLock;

    const fn second(n: u64) -> Time {
        Time::from_nanos(n * 1_000_000_000)
    }

    const fn cell(until: Time) -> AtomicU64 {
        AtomicU64::new(until.as_nanos())
    }

    /// The thread that asks is stopped right after it has read the clock. Its lease is renewed while it is, and has
    /// run out again when it goes on: a deadline that is read only then is compared with a time long past.
    #[test]
    fn the_clock_is_read_after_the_deadline() {
        static WIN: LazyLock<WinCell> = LazyLock::new(WinCell::default);
        static DEADLINE: AtomicU64 = cell(second(12));
        WIN.set(Some((Token(7), &DEADLINE)));
        let clock = || {
            DEADLINE.store(second(25).as_nanos(), Ordering::SeqCst);
            second(10)
        };
        assert_eq!(WIN.read(clock), Some((Token(7), Duration::from_secs(2))));
    }

    /// The same, and what comes meanwhile is a win.
    #[test]
    fn the_clock_is_read_after_the_win() {
        static WIN: LazyLock<WinCell> = LazyLock::new(WinCell::default);
        static DEADLINE: AtomicU64 = cell(second(25));
        let clock = || {
            WIN.set(Some((Token(7), &DEADLINE)));
            second(10)
        };
        assert_eq!(WIN.read(clock), None);
    }

    #[test]
    fn at_the_deadline_the_answer_is_no() {
        static DEADLINE: AtomicU64 = cell(second(12));
        let win = WinCell::default();
        win.set(Some((Token(7), &DEADLINE)));
        assert_eq!(win.read(|| second(12)), None);
    }

    /// One thread loses a win under a lease that has run out and wins another one, again and again; as in a store, no
    /// token comes twice.
    #[test]
    fn a_token_is_never_answered_with_the_deadline_of_another_one() {
        static OVER: AtomicU64 = cell(second(1));
        static GOOD: AtomicU64 = cell(Time::NEVER);
        let win = WinCell::default();
        std::thread::scope(|s| {
            let reader = s.spawn(|| {
                (0..2_000_000).filter_map(|_| win.read(|| second(10))).all(|(token, _)| token.0 % 2 == 0)
            });
            for token in (1..).step_by(2).take_while(|_| !reader.is_finished()) {
                win.set(Some((Token(token), &OVER)));
                win.set(Some((Token(token + 1), &GOOD)));
            }
            assert!(reader.join().unwrap());
        });
    }
}
