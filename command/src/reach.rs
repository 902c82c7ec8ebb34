//! The way to etcd: the library's own, with what it warns of on stderr.

use std::time::Duration;

use primacy::config::{EtcdSettings, Settings};
use primacy::etcd::{Etcd, Resolver, look_up};
use primacy::host::WatchReport;
use primacy::log::{Level, Log};
use primacy::store::{Answer, Failure, Op, Range, Request, Txn, TxnAnswer};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::exit::Failed;

/// For one question, as long as etcd does not show that it is at work on it.
pub const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// An etcd, and what becomes of watches.
pub struct Reached {
    pub etcd: Etcd,
    pub reports: UnboundedReceiver<WatchReport>,
}

/// Runs `what` to its end.
pub fn run<T>(what: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(what)
}

/// Must be called inside a runtime. Makes no connection yet.
pub fn reach(settings: &Settings) -> Result<Reached, Failed> {
    let resolver: Resolver = std::sync::Arc::new(look_up);
    let warn = Log::new(|level, text| {
        if level <= Level::Warn {
            anstream::eprintln!("primacy: {text}");
        }
    });
    reach_by(&settings.etcd, &resolver, warn)
}

/// The same, where names are looked up otherwise, and with another log.
pub fn reach_by(settings: &EtcdSettings, resolver: &Resolver, log: Log) -> Result<Reached, Failed> {
    let (report, reports) = unbounded_channel();
    let etcd = Etcd::resolving(settings, resolver, report, log).map_err(|failure| match failure {
        Failure::Refused(why) | Failure::Denied(why) => Failed::usage(why),
        other => other.into(),
    })?;
    Ok(Reached { etcd, reports })
}

/// Runs a transaction. Ends within `timeout`, or `etcd.requestTimeout` if etcd shows that it is at work on it.
pub async fn transact(etcd: &Etcd, txn: Txn, timeout: Duration) -> Result<TxnAnswer, Failure> {
    match etcd.call(Request::Txn(txn), timeout).await? {
        Answer::Txn(answer) => Ok(answer),
        other => Err(Failure::Refused(format!("not the answer to a transaction: {other:?}"))),
    }
}

/// Reads all of these at one revision.
pub async fn read(etcd: &Etcd, ranges: &[Range]) -> Result<TxnAnswer, Failure> {
    let then = ranges.iter().cloned().map(Op::Get).collect();
    transact(etcd, Txn { then, ..Txn::default() }, ANSWERED_WITHIN).await
}
