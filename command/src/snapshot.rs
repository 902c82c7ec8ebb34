//! Reads a cluster: its keys at one revision, and how their leases stand just after.

use std::collections::BTreeSet;

use primacy::etcd::Etcd;
use primacy::milvus::{Role, Root};
use primacy::store::{Failure, KeyValue, LeaseId, Range, Revision};
use tokio::task::JoinSet;

use crate::cluster::{Cluster, Leases, ranges_of, ranges_of_all};
use crate::exit::Failed;
use crate::reach::{ANSWERED_WITHIN, read};

/// A lease may end between both reads: then they are done again, so often.
const TIMES: usize = 3;

/// Of what to read: all elections, or those of these roles.
pub fn ranges(root: &Root, roles: &[Role]) -> Vec<Range> {
    if roles.is_empty() { ranges_of_all(root) } else { ranges_of(root, roles) }
}

/// The keys, and the revision at which they were so.
pub async fn keys(etcd: &Etcd, root: &Root, roles: &[Role]) -> Result<(Revision, Vec<KeyValue>), Failed> {
    let answer = read(etcd, &ranges(root, roles)).await.map_err(|failure| denied(failure, root, roles))?;
    Ok((answer.revision, answer.reads.into_iter().flatten().collect()))
}

/// Keys and leases.
pub async fn cluster(etcd: &Etcd, root: &Root, roles: &[Role]) -> Result<Cluster, Failed> {
    let mut tried = 0;
    loop {
        let (revision, keys) = keys(etcd, root, roles).await?;
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
            return Ok(Cluster { leases, ..cluster });
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

/// etcd says no more than "permission denied".
fn denied(failure: Failure, root: &Root, roles: &[Role]) -> Failed {
    let mut failed = Failed::from(failure);
    if failed.why.contains("permission denied") {
        failed.why += &if roles.is_empty() {
            format!(
                "; etcd's user needs read on the prefixes {root}/session/ and {root}/election/; or name the roles to look at"
            )
        } else {
            "; `primacy doctor` tells which rights are missing".to_owned()
        };
    }
    failed
}
