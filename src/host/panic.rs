//! What a panic said, for those that caught it and have to tell somebody.

use std::any::Any;
use std::cell::RefCell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Once;
use std::task::Poll;

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Takes the place of the default hook, which would write to stderr, and remembers where a panic came from.
///
/// For libraries that bring a standard library of their own, as those for C and Python do. A host that is written in
/// Rust keeps its own hook, and learns what a panic said, not where.
pub fn keep_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            // A thread that is ending has no thread-locals any more, and nobody to tell.
            let _ = LAST.try_with(|last| *last.borrow_mut() = Some(info.to_string()));
        }));
    });
}

/// The text of a panic that was caught on this thread, and where it came from, if that is known.
pub fn text(payload: &(dyn Any + Send)) -> String {
    let said = payload.downcast_ref::<&str>().copied();
    let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    // An earlier one may have been caught by somebody who did not ask.
    LAST.take().filter(|last| last.ends_with(said)).unwrap_or_else(|| said.to_owned())
}

/// What comes of `future`, or the text of its panic. Costs no task and no memory.
pub(crate) async fn caught<F: Future>(future: F) -> Result<F::Output, String> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        // It is not polled again.
        Err(payload) => Poll::Ready(Err(text(&*payload))),
    })
    .await
}
