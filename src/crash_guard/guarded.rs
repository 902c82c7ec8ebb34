//! A store whose leases a crash guard knows.

use std::sync::Arc;
use std::time::Duration;

use super::link::Link;
use super::message::Message;
use crate::host::{Answering, Asker, Store};
use crate::store::{Answer, Failure, LeaseId, Range, Request};

/// See the module. What becomes of a lease the guard is told before the session hears of it: nothing hangs on a lease
/// that it does not know, and one that is gone it does not revoke again.
///
/// (Not before it is granted: what stands under that id then may be somebody else's.)
pub(crate) struct Guarded {
    store: Arc<dyn Store>,
    link: Link,
}

impl Guarded {
    pub(crate) fn new(store: Arc<dyn Store>, link: Link) -> Guarded {
        Guarded { store, link }
    }
}

impl Store for Guarded {
    fn call(&self, asker: Asker, request: Request, timeout: Duration) -> Answering<'_> {
        let news = news(&request);
        let answering = self.store.call(asker, request, timeout);
        match news {
            None => answering,
            Some(news) => Box::pin(async move {
                let result = answering.await;
                if let Some(message) = news(&result) {
                    self.link.tell(&message);
                }
                result
            }),
        }
    }

    fn watch(&self, watch: u64, ranges: Vec<Range>) {
        self.store.watch(watch, ranges);
    }

    fn unwatch(&self, watch: u64) {
        self.store.unwatch(watch);
    }

    fn warnings(&self) -> Vec<String> {
        self.store.warnings().into_iter().chain(self.link.warning()).collect()
    }
}

type News = Box<dyn FnOnce(&Result<Answer, Failure>) -> Option<Message> + Send>;

/// What an answer to this will be worth to a guard.
fn news(request: &Request) -> Option<News> {
    match *request {
        Request::Grant { lease: LeaseId(lease), .. } => Some(Box::new(move |result| match result {
            Ok(Answer::Granted { ttl }) => {
                let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
                Some(Message::Granted { lease, ttl_ms })
            }
            _ => None,
        })),
        Request::Revoke { lease: LeaseId(lease) } => Some(Box::new(move |result| match result {
            Ok(_) | Err(Failure::LeaseNotFound) => Some(Message::Revoked { lease }),
            Err(_) => None,
        })),
        Request::KeepAlive { .. } | Request::Txn(_) => None,
    }
}
