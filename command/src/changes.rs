//! What has changed between two looks at a cluster. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use primacy::engine::plain::{BRIEF, plain};
use primacy::milvus::Role;
use serde::Serialize;

use crate::cluster::{Cluster, Election, Entry};

/// A change of one role, or of the cluster.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `None`: of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    #[serde(flatten)]
    pub what: What,
}

/// What it is. Whom it is about, a server id says.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum What {
    /// The lock was won, or handed over.
    Primary {
        server_id: Option<i64>,
        address: Option<String>,
        token: i64,
        lease: String,
    },
    /// The lock is free.
    NoPrimary {
        token: i64,
    },
    /// In the layout `after_start`: clients find the primary, or do not any more.
    Service {
        is_there: bool,
    },
    Registered {
        server_id: i64,
        address: Option<String>,
        version: Option<String>,
        lease: String,
    },
    Gone {
        server_id: i64,
    },
    /// Its record hangs on another lease: it had lost the one before.
    Lease {
        server_id: i64,
        lease: String,
    },
    Warm {
        server_id: i64,
        is_warm: bool,
    },
    Ready {
        server_id: i64,
        is_ready: bool,
    },
    Stopping {
        server_id: i64,
    },
    /// A primary would hand over to who accepts it.
    Offers {
        server_id: i64,
        token: i64,
    },
    Accepts {
        server_id: i64,
        token: i64,
    },
    Unreadable {
        key: String,
        why: String,
    },
    /// The newest version that has been primary as mixcoord.
    Version {
        version: Option<String>,
    },
}

/// In the order in which they are told: who is primary first. Without an earlier look: all that there is.
pub fn changes<'a>(before: Option<&'a Cluster>, now: &'a Cluster) -> Vec<Change> {
    let mut changes = Vec::new();
    let version = |cluster: &Cluster| {
        cluster.version.as_ref().map(|kv| plain(&kv.value.to_string(), BRIEF).into_owned())
    };
    if before.and_then(version) != version(now) {
        changes.push(Change { role: None, what: What::Version { version: version(now) } });
    }
    let elections = |cluster: Option<&'a Cluster>| -> BTreeMap<&'a Role, &'a Election> {
        let elections = cluster.map_or(&[][..], |cluster| &cluster.elections);
        elections.iter().map(|election| (&election.role, election)).collect()
    };
    let (earlier, later) = (elections(before), elections(Some(now)));
    let roles: BTreeSet<&Role> = earlier.keys().chain(later.keys()).copied().collect();
    for role in roles {
        let (was, is) = (earlier.get(role).copied(), later.get(role).copied());
        let of_role = |what| Change { role: Some(role.to_string()), what };
        changes.extend(of_lock(was, is).into_iter().chain(of_candidates(was, is)).map(of_role));
    }
    changes
}

fn of_lock(was: Option<&Election>, is: Option<&Election>) -> Vec<What> {
    let lock = |election: Option<&Election>| election.and_then(Election::lock).map(|lock| lock.modified);
    let mut changes = Vec::new();
    match (lock(was), is.and_then(Election::lock)) {
        (Some(token), None) => changes.push(What::NoPrimary { token: token.0 }),
        (token, Some(lock)) if token != Some(lock.modified) => {
            let record = lock.record.as_ref().ok();
            changes.push(What::Primary {
                server_id: record.map(|record| record.server_id),
                address: address(lock),
                token: lock.modified.0,
                lease: lock.lease.to_string(),
            });
            changes.extend(unreadable(lock));
        }
        _ => {}
    }
    let is_service = |election: &Election| election.election.is_some() && election.service.is_some();
    let (before, now) = (was.is_some_and(is_service), is.is_some_and(is_service));
    if before != now {
        changes.push(What::Service { is_there: now });
    }
    changes
}

fn of_candidates<'a>(was: Option<&'a Election>, is: Option<&'a Election>) -> Vec<What> {
    let by_id = |election: Option<&'a Election>| -> BTreeMap<i64, &'a Entry> {
        let candidates = election.map_or(&[][..], |election| &election.candidates);
        candidates.iter().filter_map(|entry| Some((entry.id?, entry))).collect()
    };
    let (earlier, later) = (by_id(was), by_id(is));
    let gone = earlier.keys().filter(|id| !later.contains_key(id));
    let mut changes: Vec<What> = gone.map(|id| What::Gone { server_id: *id }).collect();
    for (id, now) in later {
        changes.extend(of_candidate(id, earlier.get(&id).copied(), now));
    }
    changes
}

fn of_candidate(server_id: i64, before: Option<&Entry>, now: &Entry) -> Vec<What> {
    let mut changes = Vec::new();
    if before.is_some_and(|before| before.modified == now.modified) {
        return changes;
    }
    let lease = now.lease.to_string();
    match before {
        // Deleted and put anew between two looks.
        Some(before) if before.created == now.created => {
            if before.lease != now.lease {
                changes.push(What::Lease { server_id, lease });
            }
        }
        _ => {
            let version = now.record.as_ref().ok().and_then(|record| record.version.as_ref());
            let version = version.map(ToString::to_string);
            changes.push(What::Registered { server_id, address: address(now), version, lease });
        }
    }
    changes.extend(unreadable(now));
    let stopping = |entry: &Entry| entry.record.as_ref().is_ok_and(|record| record.stopping);
    if stopping(now) && !before.is_some_and(stopping) {
        changes.push(What::Stopping { server_id });
    }
    let facts = |entry: Option<&Entry>| entry.and_then(Entry::facts).unwrap_or_default();
    let (was, is) = (facts(before), facts(Some(now)));
    if was.warm != is.warm {
        changes.push(What::Warm { server_id, is_warm: is.warm });
    }
    if was.ready != is.ready {
        changes.push(What::Ready { server_id, is_ready: is.ready });
    }
    if let Some(lock) = is.offer.filter(|offer| was.offer != Some(*offer)) {
        changes.push(What::Offers { server_id, token: lock.0 });
    }
    if let Some(lock) = is.accepts.filter(|lock| was.accepts != Some(*lock)) {
        changes.push(What::Accepts { server_id, token: lock.0 });
    }
    changes
}

fn unreadable(entry: &Entry) -> Option<What> {
    let why = entry.record.as_ref().err()?.to_string();
    Some(What::Unreadable { key: entry.key.to_string(), why })
}

fn address(entry: &Entry) -> Option<String> {
    let address = &entry.record.as_ref().ok()?.address;
    (!address.is_empty()).then(|| plain(address, BRIEF).into_owned())
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(role) = &self.role {
            write!(f, "{role}: ")?;
        }
        let at =
            |address: &Option<String>| address.as_ref().map_or_else(String::new, |at| format!(" at {at}"));
        match &self.what {
            What::Primary { server_id, address, token, lease } => {
                let who = server_id.map_or_else(|| "somebody".into(), |id| id.to_string());
                write!(f, "primary is {who}{}, token {token}, lease {lease}", at(address))
            }
            What::NoPrimary { token } => {
                write!(f, "no primary: that with token {token} holds the lock no more")
            }
            What::Service { is_there: true } => f.write_str("clients find the primary"),
            What::Service { is_there: false } => f.write_str("clients find no primary"),
            What::Registered { server_id, address, version, lease } => {
                let version =
                    version.as_ref().map_or_else(String::new, |version| format!(", version {version}"));
                write!(f, "{server_id} has registered{}{version}, lease {lease}", at(address))
            }
            What::Gone { server_id } => write!(f, "{server_id} is gone"),
            What::Lease { server_id, lease } => write!(f, "{server_id} is on another lease, {lease}"),
            What::Warm { server_id, is_warm: true } => write!(f, "{server_id} is warm"),
            What::Warm { server_id, is_warm: false } => write!(f, "{server_id} is not warm any more"),
            What::Ready { server_id, is_ready: true } => write!(f, "{server_id} is ready"),
            What::Ready { server_id, is_ready: false } => write!(f, "{server_id} is not ready any more"),
            What::Stopping { server_id } => write!(f, "{server_id} is going to stop"),
            What::Offers { server_id, token } => write!(f, "{server_id} would hand over, token {token}"),
            What::Accepts { server_id, token } => {
                write!(f, "{server_id} would take over from that with token {token}")
            }
            What::Unreadable { key, why } => write!(f, "{key} is no record: {why}"),
            What::Version { version: Some(version) } => {
                write!(f, "newest mixcoord that has been primary: {version}")
            }
            What::Version { version: None } => {
                f.write_str("no mixcoord has been primary: the version key is gone")
            }
        }
    }
}
