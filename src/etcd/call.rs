//! One request, from the choice of a connection to its answer, within its time.
//!
//! A request is tried again here only when it is certain that it did not happen, or when it only reads: on
//! another endpoint, or with a fresh token. Whether anything else is tried again is the caller's to decide.

use super::connection::Connection;
use super::credentials::{Credentials, Generation};
use super::endpoints::{self, Endpoints};
use super::failure::Fault;
use super::in_time::timeout_at;
use super::{FIRST_ATTEMPT_WITHIN, translate};
use crate::store::{Answer, Failure, Request};
use etcd_client::LeaseGrantOptions;
use std::sync::Arc;
use tokio::time::Instant;

/// See [`super::Etcd::call`].
pub(super) async fn call(
    endpoints: &Endpoints,
    credentials: &Arc<Credentials>,
    request: &Request,
    deadline: Instant,
) -> Result<Answer, Failure> {
    let only_reads = matches!(request, Request::Txn(txn) if translate::only_reads(txn));
    let mut token_renewed = false;
    let mut turned_away = 0;
    let mut patience = FIRST_ATTEMPT_WITHIN;
    loop {
        let connection = endpoints.connection(deadline).await?;
        // A read may be sent again, so a member that does not answer it gets less than all the time.
        let until = if only_reads { deadline.min(Instant::now() + patience) } else { deadline };
        let fault = match attempt(&connection, credentials, request, until).await {
            Ok(answer) => {
                endpoints.served(&connection);
                return Ok(answer);
            }
            Err((Fault::Token(_), generation)) if !token_renewed => {
                token_renewed = true;
                let renewal = credentials.renew(generation, &connection);
                match timeout_at(deadline, renewal).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(fault)) => fault,
                    Err(_) => no_token_yet(&connection),
                }
            }
            Err((fault, _)) => fault,
        };
        let elsewhere = match &fault {
            Fault::Unknown(why) if Instant::now() >= until => {
                endpoints.silent(&connection, why);
                patience = patience.saturating_mul(2);
                only_reads
            }
            Fault::NotServed(why) | Fault::Silent(why) | Fault::Unknown(why) => {
                if matches!(fault, Fault::Silent(_)) {
                    endpoints.silent(&connection, why);
                } else {
                    endpoints.failed(&connection, why);
                }
                // Once more than there are: the first connection may have been lost while nobody looked. Not more
                // often: a proxy whose servers are gone says so at once, as often as it is asked.
                turned_away += 1;
                let may_repeat = only_reads || !matches!(fault, Fault::Unknown(_));
                may_repeat && turned_away <= endpoints.count()
            }
            Fault::Token(_) | Fault::Answered(_) => false,
        };
        if !elsewhere || Instant::now() >= deadline {
            return Err(named(fault, &connection).into_failure(only_reads));
        }
    }
}

/// Sends the request once.
async fn attempt(
    connection: &Connection,
    credentials: &Arc<Credentials>,
    request: &Request,
    until: Instant,
) -> Result<Answer, (Fault, Generation)> {
    let generation = match timeout_at(until, credentials.ready(connection)).await {
        Ok(ready) => ready.map_err(|fault| (fault, Generation::default()))?,
        Err(_) => return Err((no_token_yet(connection), Generation::default())),
    };
    let answer = timeout_at(until, send(connection, request)).await;
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

/// The token is still being fetched, and may come in time for the next request; so the connection is kept, unless
/// it shows no sign of life.
fn no_token_yet(connection: &Connection) -> Fault {
    connection.doubt();
    Fault::NotServed("no answer to authentication yet".to_owned())
}

/// Says whose word it was.
fn named(fault: Fault, connection: &Connection) -> Fault {
    let name = &connection.name;
    let of = |text: String| endpoints::of(name, &text);
    match fault {
        Fault::NotServed(text) => Fault::NotServed(of(text)),
        Fault::Silent(text) => Fault::Silent(of(text)),
        Fault::Token(text) => Fault::Token(of(text)),
        Fault::Unknown(text) => Fault::Unknown(of(text)),
        Fault::Answered(failure) => Fault::Answered(failure),
    }
}
