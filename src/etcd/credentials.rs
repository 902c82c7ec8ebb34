//! User and password, and the token that etcd gives for them: one for all endpoints and connections.
//!
//! When a token ends cannot be known: a simple one lives on with use and dies with its server, any of them
//! dies with a change of users. So it is renewed when a server refuses it, once per request and once for all
//! requests that meet the refusal together. Nothing of ours lives on an old one: renewals are streams of their
//! own, and a new watch that is refused goes to a new stream.

use super::AUTHENTICATED_WITHIN;
use super::connection::Connection;
use super::failure::Fault;
use crate::config::Auth;
use crate::in_time::timeout;
use crate::store::Failure;
use http::HeaderValue;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// When etcd has refused, and why; held by who asks.
pub(super) type LastRefusal = Arc<tokio::sync::Mutex<Option<(Instant, Fault)>>>;

/// Counts the tokens; the one that a request was sent with, or a later one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Generation(u64);

/// See the module.
pub struct Credentials {
    auth: Option<Auth>,
    token: Mutex<Token>,
}

#[derive(Default)]
struct Token {
    generation: Generation,
    header: Option<HeaderValue>,
}

impl Credentials {
    /// None given: no token is ever sent.
    pub fn new(auth: Option<Auth>) -> Credentials {
        Credentials { auth, token: Mutex::default() }
    }

    /// What goes with a request.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        self.token().header.clone()
    }

    /// Makes sure that there has been a token before the first request goes out.
    pub(super) async fn ready(self: &Arc<Self>, connection: &Connection) -> Result<Generation, Fault> {
        let generation = self.token().generation;
        if self.auth.is_none() || generation != Generation::default() {
            return Ok(generation);
        }
        self.renew(generation, connection).await?;
        Ok(self.token().generation)
    }

    /// Fetches a token, unless there is a later one than `stale` already. Every fault says that the request
    /// that needs the token did not happen.
    pub(super) async fn renew(
        self: &Arc<Self>,
        stale: Generation,
        connection: &Connection,
    ) -> Result<(), Fault> {
        let Some(auth) = &self.auth else {
            return Err(Fault::Answered(Failure::Denied(
                "the server wants a user and a password: set etcd.auth.enabled, etcd.auth.userName, etcd.auth.password"
                    .to_owned(),
            )));
        };
        let (credentials, auth) = (self.clone(), auth.clone());
        let (authenticating, mut client) = (connection.authenticating.clone(), connection.auth.clone());
        // A task of its own, which goes on when whoever waits gives up, and ends with its connection. Else an
        // answer that takes longer than a renewal may wait would be asked for anew for ever.
        let fetching = tokio::spawn(timeout(AUTHENTICATED_WITHIN, async move {
            // Whoever waits here finds it done. Not one for all connections: on a silent one it takes long.
            let began = Instant::now();
            let mut last_refusal = authenticating.lock().await;
            if credentials.token().generation > stale {
                return Ok(());
            }
            // Or refused: to check a password costs etcd too much to do it for each of those that wait together.
            if let Some((at, fault)) = &*last_refusal
                && *at >= began
            {
                return Err(fault.clone());
            }
            let header = match client.authenticate(auth.user_name, auth.password.reveal().to_owned()).await {
                Ok(answer) => Some(HeaderValue::from_str(answer.token()).map_err(|e| {
                    Fault::Answered(Failure::Refused(format!("the token cannot be sent: {e}")))
                })?),
                // Then no token is needed; should that change, the server says so.
                Err(e) if e.to_string().contains("authentication is not enabled") => None,
                Err(e) => {
                    let fault = match Fault::of(&e) {
                        Fault::Unknown(text) | Fault::Token(text) => Fault::NotServed(text),
                        other => other,
                    };
                    *last_refusal = Some((Instant::now(), fault.clone()));
                    return Err(fault);
                }
            };
            let mut token = credentials.token();
            token.header = header;
            token.generation = Generation(token.generation.0 + 1);
            Ok(())
        }));
        match fetching.await {
            Ok(Ok(fetched)) => fetched,
            Ok(Err(_)) => Err(Fault::unauthenticated()),
            Err(_) => Err(Fault::NotServed("shut down".to_owned())),
        }
    }

    fn token(&self) -> MutexGuard<'_, Token> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
