//! Reads a cluster: its keys at one revision, and how their leases stand just after.

use std::collections::BTreeSet;

use primacy::etcd::Etcd;
use primacy::milvus::{Role, Root};
use primacy::store::{Failure, KeyValue, LeaseId, Range, Revision};
use tokio::task::JoinSet;

use crate::cluster::{Cluster, Leases, ranges_of, ranges_of_all, ranges_of_holders};
use crate::exit::Failed;
use crate::reach::{ANSWERED_WITHIN, read};

/// A lease may end between both reads: then they are done again, so often.
const TIMES: usize = 3;

/// What to read, and whether all who may hold a lock are in it.
pub struct Scope {
    pub ranges: Vec<Range>,
    has_holders: bool,
}

/// Of all elections, or of these roles; of those as much as etcd allows.
pub async fn scope(etcd: &Etcd, root: &Root, roles: &[Role]) -> Result<Scope, Failed> {
    if roles.is_empty() {
        return Ok(Scope { ranges: ranges_of_all(root), has_holders: true });
    }
    let (narrow, holders) = (ranges_of(root, roles), ranges_of_holders(root, roles));
    let has_holders = holders.is_empty() || !is_denied(&read(etcd, &holders).await);
    let ranges = if has_holders { [narrow, holders].concat() } else { narrow };
    Ok(Scope { ranges, has_holders })
}

fn is_denied<T>(read: &Result<T, Failure>) -> bool {
    matches!(read, Err(Failure::Denied(why)) if why.contains("permission denied"))
}

/// The keys, and the revision at which they were so.
pub async fn keys(etcd: &Etcd, scope: &Scope, root: &Root) -> Result<(Revision, Vec<KeyValue>), Failed> {
    let read = read(etcd, &scope.ranges).await;
    let is_denied = is_denied(&read);
    let answer = read.map_err(|failure| {
        let mut failed = Failed::from(failure);
        if is_denied && scope.ranges == ranges_of_all(root) {
            failed.why += &format!(
                "; etcd's user needs read on the prefixes {root}/session/ and {root}/election/; or name the roles to look at"
            );
        } else if is_denied {
            failed.why += "; etcd's user needs the rights of a candidate of each role that is named";
        }
        failed
    })?;
    Ok((answer.revision, answer.reads.into_iter().flatten().collect()))
}

/// Keys and leases.
pub async fn cluster(etcd: &Etcd, root: &Root, roles: &[Role]) -> Result<Cluster, Failed> {
    let scope = scope(etcd, root, roles).await?;
    let mut tried = 0;
    loop {
        let (revision, keys) = keys(etcd, &scope, root).await?;
        let cluster = Cluster::new(root, revision, keys, roles, Leases::new());
        let held: BTreeSet<LeaseId> = cluster
            .elections
            .iter()
            .flat_map(|election| election.entries())
            .map(|entry| entry.lease)
            .collect();
        let leases = leases(etcd, cluster.leases_needed()).await?;
        tried += 1;
        let is_gone = |lease: &LeaseId| matches!(leases.get(lease), Some(None));
        if tried == TIMES || !held.iter().any(is_gone) {
            return Ok(Cluster { leases, has_holders: scope.has_holders, ..cluster });
        }
    }
}

async fn leases(etcd: &Etcd, needed: BTreeSet<LeaseId>) -> Result<Leases, Failure> {
    let mut asked = JoinSet::new();
    for lease in needed {
        let etcd = etcd.clone();
        asked.spawn(async move { etcd.lease(lease, ANSWERED_WITHIN).await.map(|left| (lease, left)) });
    }
    asked.join_all().await.into_iter().collect()
}
