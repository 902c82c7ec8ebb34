//! One request, from the choice of a connection to its answer, within its time.
//!
//! A request is tried again here only when it is certain that it did not happen, or when it may happen twice: on
//! another endpoint, or with a fresh token. Such a one is also sent a second time, to another endpoint, when the first
//! takes longer to answer than it does; nothing that was sent is given up meanwhile, and the first good answer counts.
//! Whether anything else is tried again is the caller's to decide.

use super::connection::Connection;
use super::credentials::{Credentials, Generation};
use super::endpoint::{self, Use};
use super::endpoints::Endpoints;
use super::failure::Fault;
use super::translate;
use crate::in_time::timeout_at;
use crate::store::{Answer, Failure, Request};
use etcd_client::LeaseGrantOptions;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What became of a request that was sent, or not sent for want of a connection.
type Tried = Result<(Arc<Connection>, Result<Answer, Fault>), Failure>;

/// A request, and what it is sent with.
#[derive(Clone, Copy)]
struct Caller<'a> {
    endpoints: &'a Endpoints,
    credentials: &'a Arc<Credentials>,
    request: &'a Request,
    what: Use,
    time: Time,
    /// It may be sent twice.
    repeatable: bool,
}

/// Until when an answer is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    /// In any case.
    pub(super) soon: Instant,
    /// From a server that shows that it is there, and has a leader: one that is slow is not to be asked anew for ever.
    pub(super) late: Instant,
}

/// See [`super::Etcd::call`].
pub(super) async fn call(
    endpoints: &Endpoints,
    credentials: &Arc<Credentials>,
    request: &Request,
    what: Use,
    time: Time,
) -> Result<Answer, Failure> {
    let only_reads = matches!(request, Request::Txn(txn) if txn.only_reads());
    // A lease is not asked for again under an id that is revoked: twice is as good as once.
    let repeatable = only_reads || matches!(request, Request::KeepAlive { .. } | Request::Revoke { .. });
    let caller = Caller { endpoints, credentials, request, what, time, repeatable };
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut slow = Vec::new();
    let mut turned_away = 0;
    let mut tries = FuturesUnordered::new();
    tries.push(caller.attempt(Vec::new(), tell.clone()));
    loop {
        let tried = tokio::select! {
            biased;
            Some(tried) = tries.next() => tried,
            Some(endpoint) = told.recv() => {
                slow.push(endpoint);
                if repeatable && endpoints.is_other_than(&slow) {
                    tries.push(caller.attempt(slow.clone(), tell.clone()));
                }
                continue;
            }
        };
        let (connection, fault) = match tried {
            Ok((connection, Ok(answer))) => {
                endpoints.served(&connection);
                slow.iter().filter(|id| **id != connection.endpoint).for_each(|id| endpoints.overtaken(*id));
                return Ok(answer);
            }
            Ok((connection, Err(fault))) => (connection, fault),
            Err(failure) if tries.is_empty() => return Err(failure),
            Err(_) => continue,
        };
        let elsewhere = match &fault {
            Fault::Unknown(why) if Instant::now() >= time.soon => {
                endpoints.failed(&connection, why);
                endpoints.doubt(&connection, why);
                false
            }
            Fault::NotServed(why) | Fault::Silent(why) | Fault::Unknown(why) => {
                if matches!(fault, Fault::Silent(_)) {
                    endpoints.doubt(&connection, why);
                }
                endpoints.failed(&connection, why);
                // Once more than there are: the first connection may have been lost while nobody looked. Not more
                // often: a proxy whose servers are gone says so at once, as often as it is asked.
                turned_away += 1;
                let may_repeat = repeatable || !matches!(fault, Fault::Unknown(_));
                may_repeat && turned_away <= endpoints.count() && Instant::now() < time.soon
            }
            Fault::Token(_) | Fault::Answered(_) => false,
        };
        if elsewhere {
            tries.push(caller.attempt(Vec::new(), tell.clone()));
        } else if tries.is_empty() || matches!(fault, Fault::Token(_) | Fault::Answered(_)) {
            return Err(named(fault, &connection).into_failure(only_reads));
        }
    }
}

impl Caller<'_> {
    /// Sends the request to another endpoint than those, and a second time if the token was the reason for a refusal.
    /// Says so if the answer takes longer than that endpoint does.
    async fn attempt(self, others: Vec<usize>, slow: mpsc::UnboundedSender<usize>) -> Tried {
        let Caller { endpoints, credentials, request, what, time, repeatable } = self;
        let used = endpoints.connection_beside(&others, what, time.soon).await?;
        if Instant::now() >= time.soon {
            return Err(Failure::Unreachable("not sent: there was no time left".to_owned()));
        }
        let connection = used.clone();
        let sent = Instant::now();
        let send = || send(&connection, request);
        let mut answered = std::pin::pin!(with_token(&connection, credentials, time.late, send));
        let patience = endpoints.patience(&connection);
        let mut until = (sent + patience).min(time.late);
        let mut doubted = None;
        let result = loop {
            if let Ok(result) = timeout_at(until, answered.as_mut()).await {
                break result;
            }
            let words = connection.words();
            let is_silent = doubted.is_some_and(|(_, before)| before == words) || connection.has_no_leader();
            if Instant::now() >= time.late || (Instant::now() >= time.soon && is_silent) {
                break Err(Fault::Unknown("no answer in time".to_owned()));
            }
            if doubted.is_none() {
                let _ = slow.send(connection.endpoint);
            }
            if !is_silent {
                endpoints.doubt(&connection, &format!("no answer within {} ms", sent.elapsed().as_millis()));
            }
            let since = match doubted {
                Some((since, before)) if before == words => since,
                _ => Instant::now(),
            };
            doubted = Some((since, words));
            // Once it has had the time to show that it is there; in the end it has no more of it.
            until = (since + patience).max(time.soon).min(time.late);
        };
        // Also of what was not answered in time that is the least that it takes.
        let writes = matches!(request, Request::Revoke { .. });
        if repeatable && !writes && (result.is_ok() || Instant::now() >= time.soon) {
            endpoints.took(&connection, sent.elapsed());
        }
        Ok((used, result))
    }
}

/// Sends what `send` does with a token, and once more with a fresh one if the token was the reason for a refusal.
pub(super) async fn with_token<T, F>(
    connection: &Connection,
    credentials: &Arc<Credentials>,
    until: Instant,
    send: impl Fn() -> F,
) -> Result<T, Fault>
where
    F: Future<Output = Result<T, Fault>>,
{
    match sent_once(connection, credentials, until, &send).await {
        Err((Fault::Token(_), generation)) => {
            match timeout_at(until, credentials.renew(generation, connection)).await {
                Ok(Ok(())) => {
                    let again = sent_once(connection, credentials, until, &send).await;
                    again.map_err(|(fault, _)| fault)
                }
                Ok(Err(fault)) => Err(fault),
                Err(_) => Err(no_token_yet()),
            }
        }
        result => result.map_err(|(fault, _)| fault),
    }
}

async fn sent_once<T, F>(
    connection: &Connection,
    credentials: &Arc<Credentials>,
    until: Instant,
    send: &impl Fn() -> F,
) -> Result<T, (Fault, Generation)>
where
    F: Future<Output = Result<T, Fault>>,
{
    let generation = match timeout_at(until, credentials.ready(connection)).await {
        Ok(ready) => ready.map_err(|fault| (fault, Generation::default()))?,
        Err(_) => return Err((no_token_yet(), Generation::default())),
    };
    let answer = timeout_at(until, send()).await;
    answer
        .unwrap_or_else(|_| Err(Fault::Unknown("no answer in time".to_owned())))
        .map_err(|f| (f, generation))
}

async fn send(connection: &Connection, request: &Request) -> Result<Answer, Fault> {
    match request {
        Request::Grant { lease, ttl } => {
            let options = LeaseGrantOptions::new().with_id(lease.0);
            let answer = connection.lease.clone().grant(translate::seconds(*ttl), Some(options)).await;
            let answer = answer.map_err(|e| Fault::of(&e))?;
            if answer.error().is_empty() && answer.id() == lease.0 && answer.ttl() > 0 {
                Ok(Answer::Granted { ttl: translate::ttl(answer.ttl()) })
            } else {
                let what = format!("granted {} for {} s: {}", answer.id(), answer.ttl(), answer.error());
                Err(Fault::Unknown(what))
            }
        }
        // Each renewal is on a stream of its own: etcd serves one stream one request at a time, so that behind one that
        // hangs it would hang as well.
        Request::KeepAlive { lease } => {
            let answer = connection.keep_alive(lease.0).await.map_err(|e| Fault::of(&e.into()))?;
            match &answer.header {
                Some(header) if answer.id == lease.0 => {
                    Ok(Answer::Renewed { ttl: translate::ttl(answer.ttl), origin: translate::origin(header) })
                }
                Some(_) => Err(Fault::Unknown(format!("an answer for lease {}", answer.id))),
                None => Err(Fault::Unknown("an answer without a header".to_owned())),
            }
        }
        Request::Revoke { lease } => match connection.lease.clone().revoke(lease.0).await {
            Ok(_) => Ok(Answer::Revoked),
            Err(e) => Err(Fault::of(&e)),
        },
        Request::Txn(txn) => {
            let request = translate::txn(txn).map_err(Fault::Answered)?;
            let answer = connection.kv.clone().txn(request).await.map_err(|e| Fault::of(&e))?;
            translate::txn_answer(txn, answer).map_err(Fault::Unknown)
        }
    }
}

/// The token is still being fetched, and may come in time for the next request.
fn no_token_yet() -> Fault {
    Fault::NotServed("no answer to authentication yet".to_owned())
}

/// Says whose word it was.
pub(super) fn named(fault: Fault, connection: &Connection) -> Fault {
    let name = &connection.name;
    let of = |text: String| endpoint::of(name, &text);
    match fault {
        Fault::NotServed(text) => Fault::NotServed(of(text)),
        Fault::Silent(text) => Fault::Silent(of(text)),
        Fault::Token(text) => Fault::Token(of(text)),
        Fault::Unknown(text) => Fault::Unknown(of(text)),
        Fault::Answered(failure) => Fault::Answered(failure),
    }
}
