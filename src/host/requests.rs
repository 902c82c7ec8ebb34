//! What the engine asks of the store, performed; and what became of it, as events.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::panic;
use super::store::{Asker, Store, WatchReport};
use super::turns::Turns;
use crate::engine::{Event, Purpose, RequestId, WatchId};
use crate::log::{Level, Log};
use crate::store::{Answer, Failure, Range, Request, Txn, TxnAnswer};

/// See the module. Must be used inside a tokio runtime.
pub(super) struct Requests {
    store: Arc<dyn Store>,
    turns: Arc<Turns>,
    answers: mpsc::UnboundedSender<Event>,
    log: Log,
}

impl Requests {
    /// With where the answers come.
    pub fn new(store: Arc<dyn Store>, log: Log) -> (Requests, mpsc::UnboundedReceiver<Event>) {
        let (tell, answers) = mpsc::unbounded_channel();
        (Requests { store, turns: Arc::new(Turns::new()), answers: tell, log }, answers)
    }

    /// Sends a request; the answer comes as an event, also when nobody answers, or what asks has a defect.
    pub fn send(&self, request: RequestId, purpose: Purpose, what: Request, timeout: Duration) {
        let asker = if purpose == Purpose::Confirm { Asker::Lease } else { Asker::Election };
        let (store, turns) = (self.store.clone(), self.turns.clone());
        let (answers, log) = (self.answers.clone(), self.log.clone());
        tokio::spawn(async move {
            let call = async {
                let (_turn, left) = turns.take(&what, asker, timeout).await?;
                store.call(asker, what, left).await
            };
            let result = panic::caught(call).await.unwrap_or_else(|why| {
                let why = format!("a defect: a request panicked: {why}");
                log.line(Level::Error, &why);
                Err(Failure::Indefinite(why))
            });
            let _ = answers.send(Event::Answered { request, result });
        });
    }

    /// Performs a host's own transaction. No election waits until many of these are answered.
    pub async fn of_host(&self, txn: Txn, timeout: Duration) -> Result<TxnAnswer, Failure> {
        let request = Request::Txn(txn);
        let (_turn, left) = self.turns.take(&request, Asker::Host, timeout).await?;
        match self.store.call(Asker::Host, request, left).await? {
            Answer::Txn(answer) => Ok(answer),
            _ => Err(Failure::Indefinite("an answer to something else".into())),
        }
    }

    pub fn watch(&self, watch: WatchId, ranges: Vec<Range>) {
        self.store.watch(watch.0, ranges);
    }

    pub fn unwatch(&self, watch: WatchId) {
        self.store.unwatch(watch.0);
    }

    pub fn warnings(&self) -> Vec<String> {
        self.store.warnings()
    }

    /// Requests that wait for their turn are not sent any more: there is nobody left to hear of them.
    pub fn end(&self) {
        self.turns.end();
    }
}

/// A report of the watches, as an event.
///
/// # Errors
/// The text of the panic that ended them all.
pub(super) fn heard(report: WatchReport) -> Result<Event, String> {
    Ok(match report {
        WatchReport::Confirmed { watch } => Event::Watching { watch: WatchId(watch) },
        WatchReport::Events { watch, events } => Event::Watched { watch: WatchId(watch), events },
        WatchReport::Ended { watch, why } => Event::WatchEnded { watch: WatchId(watch), why },
        WatchReport::Panicked { why } => return Err(why),
    })
}
