//! What `is_primary` reads: no lock, no flag, a comparison of the clock with a deadline at each call.

use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Clock, Time};
use crate::engine::Token;
use crate::platform;

/// A token, and the deadline of the lease that it was won under.
#[derive(Debug, Default)]
pub(crate) struct WinCell {
    /// 0: none.
    token: AtomicI64,
    /// The lease's own cell. Cells are never freed.
    deadline: AtomicPtr<AtomicU64>,
}

impl WinCell {
    /// Sets what is read from now on.
    pub fn set(&self, win: Option<(Token, &'static AtomicU64)>) {
        // No token while the deadline changes: a reader that meets the change finds none, or another token.
        self.token.store(0, Ordering::SeqCst);
        if let Some((token, deadline)) = win {
            self.deadline.store(std::ptr::from_ref(deadline).cast_mut(), Ordering::SeqCst);
            self.token.store(token.0, Ordering::SeqCst);
        }
    }

    /// The token, and how long it is surely ours; `None`: not primary. Lock-free; the clock is read last, so that
    /// whatever paused this thread on the way has passed.
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
        let left = Time::from_nanos(until).since(clock.now());
        (left > Duration::ZERO).then_some((Token(token), left))
    }
}
