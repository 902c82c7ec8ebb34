//! A forked child has our memory but none of our threads: nobody renews its lease, nobody answers its waits.
//! So it is told at once, by a flag that the C library sets in the child before `fork` returns there.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

static FORKED: AtomicBool = AtomicBool::new(false);

/// Whether this process is a child of the one that used the library. One load: `is_primary` asks it each
/// time, where asking the kernel for the process id would cost more than all the rest of it.
pub(crate) fn is_child() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// From here on, children of this process are marked. Called when the first threads are about to start, not
/// before: a daemon may configure, fork, and only then open.
pub(crate) fn mark_children() {
    extern "C" fn in_child() {
        FORKED.store(true, Ordering::Relaxed);
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler stores to an atomic, which is async-signal-safe. It can fail only for lack of
        // memory; then fork is as unsafe as without us, and nothing else is lost.
        let _ = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}
