//! What elections are held on: the store, as this layer asks it.

use std::pin::Pin;
use std::time::Duration;

use crate::store::{Answer, Failure, KeyEvent, Range, Request};

/// An answer, in a while.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send + 'a>>;

/// For whom a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// What the lease of a session stands on.
    Lease,
    /// An election.
    Election,
    /// The host, for itself.
    Host,
}

/// A store that performs requests and keeps watches, within their time, whatever the network does. It decides nothing
/// about elections, keeps no lease alive by itself and opens no watch anew. What becomes of watches it reports to
/// whoever made it: a [`WatchReport`] each.
///
/// How many requests are under way at a time, and whose go first, is seen to before they get here.
pub trait Store: Send + Sync + 'static {
    /// Performs a request of `asker`, within `timeout`. One that writes is sent once; only where it certainly did not happen is it
    /// sent again. One that only reads never fails as [`Failure::Indefinite`].
    fn call(&self, asker: Asker, request: Request, timeout: Duration) -> Answering<'_>;
    /// Watches ranges from now on, without a start revision. `watch` is the caller's name for it, used once. Returns at
    /// once.
    fn watch(&self, watch: u64, ranges: Vec<Range>);
    /// Ends a watch. Returns at once; reports that are under way still arrive.
    fn unwatch(&self, watch: u64);
    /// What is known of the store that may end badly, for people.
    fn warnings(&self) -> Vec<String>;
}

/// What becomes of a watch. Nothing is reported after `Ended`, nor after [`Store::unwatch`] has taken effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchReport {
    /// All its ranges are watched, from now on. Comes first, once.
    Confirmed {
        /// The watch.
        watch: u64,
    },
    /// What happened, each key's events in the order of their revisions.
    Events {
        /// The watch.
        watch: u64,
        /// At least one.
        events: Vec<KeyEvent>,
    },
    /// It watches no more, or never did; events may have been missed since the last ones.
    Ended {
        /// The watch.
        watch: u64,
        /// For people.
        why: String,
    },
    /// A defect: nothing more is heard of any watch.
    Panicked {
        /// Where, and what was said.
        why: String,
    },
}
