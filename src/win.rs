//! What `is_primary` reads: no lock, no flag, a comparison of the clock with a deadline at each call.

use std::ops::Deref;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Clock, Time};
use crate::engine::Token;
use crate::platform;
use crate::runtime::lock;

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
    pub(crate) fn set(&self, win: Option<(Token, &'static AtomicU64)>) {
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
    pub fn read(&self, clock: &Clock) -> Option<(Token, Duration)> {
        let token = self.token.load(Ordering::SeqCst);
        if token == 0 {
            return None;
        }
        let until = platform::read_cell(&self.deadline);
        if self.token.load(Ordering::SeqCst) != token {
            // It has just changed; for this moment the answer is no.
            return None;
        }
        let (until, now) = (Time::from_nanos(until), clock.now());
        (until > now).then(|| (Token(token), until.since(now)))
    }
}

/// A cell that an election has for as long as it lives. The cell itself is never freed: whoever reads one that went
/// back reads no win, or that of the election that has it now, and must have a way to tell.
#[derive(Debug)]
pub(crate) struct Lent(&'static WinCell);

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
