//! Whether the present thread is inside a callback of the host, and of which sort, so that a call that would
//! wait there for its own end, or hold up the library, is refused instead of hanging.
//!
//! What a resign or stop inside a callback means is the engine's business; this is only about waiting, and
//! covers the log too, which the engine does not know as a callback.

use std::cell::Cell;

use crate::error::Fault;
use crate::status::PRIMACY_E_DEADLOCK;

/// The innermost callback that runs on a thread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// None.
    Outside,
    /// A call of an election: it may take its time.
    Call,
    /// What must return soon: a notice, an observer's change, a line of the log.
    Telling,
}

thread_local! {
    static CURRENT: Cell<Scope> = const { Cell::new(Scope::Outside) };
}

/// Runs `f` as the inside of a callback.
pub(crate) fn run<R>(scope: Scope, f: impl FnOnce() -> R) -> R {
    /// Puts the outer scope back, also when `f` unwinds.
    struct Back(Scope);
    impl Drop for Back {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _back = Back(CURRENT.replace(scope));
    f()
}

/// Whether the thread is inside any callback.
pub(crate) fn is_inside() -> bool {
    CURRENT.get() != Scope::Outside
}

/// For functions that wait for callbacks to end: refused inside every callback, also of another session,
/// since two that wait for each other hang as surely as one that waits for itself.
pub(crate) fn may_join() -> Result<(), Fault> {
    if is_inside() { Err(PRIMACY_E_DEADLOCK.into()) } else { Ok(()) }
}

/// For functions that wait for etcd: refused only where they would hold up the library itself.
pub(crate) fn may_block() -> Result<(), Fault> {
    if CURRENT.get() == Scope::Telling { Err(PRIMACY_E_DEADLOCK.into()) } else { Ok(()) }
}
