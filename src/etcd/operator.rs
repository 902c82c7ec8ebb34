//! What an operator asks of etcd and no election does: how a lease stands, and which member answers.
//!
//! Both only read. They are not among the requests of [`crate::store`], so that a store of another kind need not know them.

use super::connection::Connection;
use super::endpoint::Use;
use super::failure::Fault;
use super::{Etcd, Inner, call, translate};
use crate::store::{Failure, LeaseId};
use crate::warning;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How a lease stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseLeft {
    /// What was granted.
    pub granted: Duration,
    /// What is left of it by etcd's clock, in whole seconds, rounded down; zero: its end has come, and etcd has not
    /// revoked it yet.
    pub left: Duration,
}

/// The member of a cluster that has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The id of its cluster.
    pub cluster: u64,
    /// Its own.
    pub id: u64,
    /// Of its server.
    pub version: String,
    /// The member that it takes for the leader; 0: none.
    pub leader: u64,
    /// It does not vote.
    pub is_learner: bool,
    /// What it complains about, such as an alarm.
    pub errors: Vec<String>,
    /// What is known of its version and may end badly, for people.
    pub warning: Option<String>,
}

impl Etcd {
    /// How a lease stands; `None`: there is no such lease, or not any more. Ends within `timeout`. With authentication any
    /// user may ask it.
    ///
    /// # Errors
    /// See [`Failure`]; never as [`Failure::Indefinite`].
    pub async fn lease(&self, lease: LeaseId, timeout: Duration) -> Result<Option<LeaseLeft>, Failure> {
        let (_, answer) = self
            .ask(timeout, |connection| {
                let mut client = connection.lease.clone();
                async move { client.time_to_live(lease.0, None).await.map_err(|error| Fault::of(&error)) }
            })
            .await?;
        // etcd says it this way, not as an error.
        let is_there = answer.ttl() >= 0 || answer.granted_ttl() > 0;
        Ok(is_there.then(|| LeaseLeft {
            granted: translate::ttl(answer.granted_ttl()),
            left: translate::ttl(answer.ttl()),
        }))
    }

    /// The member that answers first. Ends within `timeout`.
    ///
    /// # Errors
    /// See [`Failure`]; never as [`Failure::Indefinite`].
    pub async fn member(&self, timeout: Duration) -> Result<Member, Failure> {
        let (name, answer) = self
            .ask(timeout, |connection| {
                let mut client = connection.maintenance.clone();
                async move { client.status().await.map_err(|error| Fault::of(&error)) }
            })
            .await?;
        let (cluster, id) =
            answer.header().map_or((0, 0), |header| (header.cluster_id(), header.member_id()));
        Ok(Member {
            cluster,
            id,
            version: answer.version().to_owned(),
            leader: answer.leader(),
            is_learner: answer.is_learner(),
            errors: answer.errors().to_vec(),
            warning: warning::of_server(&name, answer.version()),
        })
    }

    /// Asks what only reads, of one endpoint after the other; also tells which one has answered.
    pub(super) async fn ask<T, F>(
        &self,
        timeout: Duration,
        send: impl Fn(&Arc<Connection>) -> F,
    ) -> Result<(String, T), Failure>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let Inner { endpoints, credentials, .. } = &*self.0;
        let until = Instant::now() + timeout;
        let mut turned_away = 0;
        loop {
            let connection = endpoints.connection(Use::Leases, until).await?;
            let fault = match call::with_token(&connection, credentials, until, || send(&connection)).await {
                Ok(answer) => return Ok((connection.name.clone(), answer)),
                Err(fault) => fault,
            };
            let is_elsewhere = match &fault {
                Fault::NotServed(why) | Fault::Silent(why) | Fault::Unknown(why) => {
                    endpoints.failed(&connection, why);
                    turned_away += 1;
                    turned_away <= endpoints.count() && Instant::now() < until
                }
                Fault::Token(_) | Fault::Answered(_) => false,
            };
            if !is_elsewhere {
                return Err(call::named(fault, &connection).into_failure(true));
            }
        }
    }
}
