//! Which callback the present thread is running, if any: what is asked for inside one takes effect when it is
//! completed, and nobody waits there for its own end.

use std::cell::Cell;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::panic;
use crate::engine::CallId;
use crate::log::{Level, Log};

/// Whose call runs here, and which; a notice has no call.
#[derive(Clone, Copy)]
struct Running {
    session: usize,
    call: Option<CallId>,
}

thread_local! {
    static CURRENT: Cell<Option<Running>> = const { Cell::new(None) };
}

/// Whether this thread runs a callback or a notice of any session.
pub(crate) fn is_inside() -> bool {
    CURRENT.get().is_some()
}

/// The call of `session` (an address) that this thread runs.
pub(crate) fn of(session: usize) -> Option<CallId> {
    CURRENT.get().filter(|running| running.session == session)?.call
}

/// Tells the host something that needs no answer. A panic of the host's goes into the log, as `what`'s.
pub(crate) fn tell(session: usize, log: &Log, what: impl Display, run: impl FnOnce()) {
    if let Err(payload) = within(session, None, || catch_unwind(AssertUnwindSafe(run))) {
        log.line(Level::Warn, &format!("{what} panicked: {}", panic::text(&*payload)));
    }
}

/// Runs a callback, or a notice without a call.
pub(crate) fn within<T>(session: usize, call: Option<CallId>, run: impl FnOnce() -> T) -> T {
    let before = CURRENT.replace(Some(Running { session, call }));
    let result = run();
    CURRENT.set(before);
    result
}
