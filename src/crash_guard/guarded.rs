//! A store whose leases a crash guard knows.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::link::Link;
use super::message::Message;
use crate::host::{Answering, Asker, Store};
use crate::store::{Answer, Failure, LeaseId, Range, Request};

/// See the module. What becomes of a lease the guard is told before the session hears of it: nothing hangs on a lease
/// that it does not know, and one that is gone it does not revoke again.
///
/// (Not before it is granted: what stands under that id then may be somebody else's.) Where a guard is required there is
/// no lease before it says that it guards this process.
pub(crate) struct Guarded {
    store: Arc<dyn Store>,
    link: Link,
    required: bool,
}

impl Guarded {
    pub(crate) fn new(store: Arc<dyn Store>, link: Link, required: bool) -> Guarded {
        Guarded { store, link, required }
    }

    async fn guarding(&self, within: Duration) -> Result<(), Failure> {
        let unheard = || Failure::Unreachable("primacy.guard is required, and has not answered yet".into());
        timeout(within, self.link.guarding()).await.unwrap_or_else(|_| Err(unheard()))
    }
}

impl Store for Guarded {
    fn call(&self, asker: Asker, request: Request, within: Duration) -> Answering<'_> {
        let waits = self.required && matches!(request, Request::Grant { .. });
        match news(&request) {
            None => self.store.call(asker, request, within),
            Some(news) => Box::pin(async move {
                let began = Instant::now();
                if waits {
                    self.guarding(within).await?;
                }
                let result = self.store.call(asker, request, within.saturating_sub(began.elapsed())).await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::crash_guard::{VERSION, socket};
    use crate::log::Log;

    /// Grants whatever is asked for.
    struct Granting;

    impl Store for Granting {
        fn call(&self, _: Asker, _: Request, _: Duration) -> Answering<'_> {
            Box::pin(async { Ok(Answer::Granted { ttl: Duration::from_secs(10) }) })
        }
        fn watch(&self, _: u64, _: Vec<Range>) {}
        fn unwatch(&self, _: u64) {}
        fn warnings(&self) -> Vec<String> {
            Vec::new()
        }
    }

    /// On a guard, and that guard's end of its session.
    fn guarded(required: bool) -> (Guarded, std::os::fd::OwnedFd) {
        let (host, guard) = socket::pair().unwrap();
        let settings = Config::new().settings().unwrap();
        let link = Link::through(&host, None, &settings.etcd, &settings.root, &Log::none()).unwrap();
        let (hello, session) = socket::receive(&guard).unwrap().unwrap();
        assert!(hello == Message::Hello { version: VERSION });
        (Guarded::new(Arc::new(Granting), link, required), session.unwrap())
    }

    async fn grant(store: &Guarded, within: u64) -> Result<Answer, Failure> {
        let request = Request::Grant { lease: LeaseId(7), ttl: Duration::from_secs(10) };
        store.call(Asker::Lease, request, Duration::from_millis(within)).await
    }

    #[tokio::test]
    async fn where_a_guard_is_required_there_is_no_lease_before_it_guards() {
        let (store, guard) = guarded(true);
        assert!(matches!(grant(&store, 20).await, Err(Failure::Unreachable(_))));
        socket::send(&guard, &Message::Guarding {}, None).unwrap();
        grant(&store, 60_000).await.unwrap();
        // It has: what becomes of it later keeps no lost lease from being replaced.
        drop(guard);
        grant(&store, 60_000).await.unwrap();

        let (store, guard) = guarded(true);
        drop(guard);
        assert!(matches!(grant(&store, 60_000).await, Err(Failure::Refused(_))));
        let (store, _silent) = guarded(false);
        grant(&store, 60_000).await.unwrap();
    }
}
