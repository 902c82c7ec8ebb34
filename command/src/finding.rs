//! What is not as it should be in what the keys of a cluster say, and what to do about it.

use std::fmt;
use std::time::Duration;

use primacy::engine::plain::{BRIEF, plain};
use primacy::etcd::LeaseLeft;
use primacy::milvus::{Record, VersionError, may_lead};
use primacy::store::LeaseId;

use crate::cluster::{Cluster, Election, Entry};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Somebody has to do something: there is no primary, or none would follow, or clients fail.
    Wrong,
    /// To be known; it may pass, or be meant so.
    Note,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Finding {
    pub weight: Weight,
    /// The key, role, endpoint or setting that it is about.
    pub about: String,
    pub what: String,
    /// What to do.
    pub advice: String,
}

impl Finding {
    pub fn wrong(about: impl ToString, what: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { weight: Weight::Wrong, about: about.to_string(), what: what.into(), advice: advice.into() }
    }

    pub fn note(about: impl ToString, what: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { weight: Weight::Note, ..Finding::wrong(about, what, advice) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { about, what, advice, .. } = self;
        write!(f, "{} {}; {}", plain(about, BRIEF), plain(what, 4 * BRIEF), plain(advice, 4 * BRIEF))
    }
}

/// The roles that a mixcoord is besides.
const THREE: [&str; 3] = ["querycoord", "datacoord", "rootcoord"];

/// All that there is, the worst first.
pub fn findings(cluster: &Cluster) -> Vec<Finding> {
    let mut found = Vec::new();
    for election in &cluster.elections {
        found.extend(election.entries().flat_map(|entry| of_entry(cluster, election, entry)));
        found.extend(of_locks(cluster, election));
    }
    found.extend(of_mixcoord(cluster));
    found.extend(of_version(cluster));
    if let Some(kv) = &cluster.next_id
        && let Err(error) = cluster.root.parse_id(&kv.value)
    {
        let advice = "no session opens; put the next free server id there, above that of each candidate";
        found.push(Finding::wrong(&kv.key, error.to_string(), advice));
    }
    for key in &cluster.strange {
        let advice = "look who has written it; nothing of Milvus's or ours reads it";
        found.push(Finding::note(key, "is the key of no role", advice));
    }
    found.sort_by_key(|finding| finding.weight);
    found
}

fn of_entry(cluster: &Cluster, election: &Election, entry: &Entry) -> Vec<Finding> {
    let mut found = Vec::new();
    let key = &entry.key;
    match &entry.record {
        Err(error) => {
            let advice = format!(
                "Milvus's readers fail on all of {}: end the process that writes it; if it is dead, `etcdctl del {key}`",
                election.role
            );
            found.push(Finding::wrong(key, format!("is no record: {error}"), advice));
        }
        Ok(record) => found.extend(of_record(election, entry, record)),
    }
    match cluster.lease_of(entry) {
        None => found.push(without_lease(cluster, election, entry)),
        Some(None) => found.push(Finding::wrong(
            key,
            format!("hangs on lease {}, of which etcd knows nothing: it stays for ever", entry.lease),
            format!("make sure that its process is dead, then `etcdctl del {key}`"),
        )),
        Some(Some(lease)) => found.extend(of_lease(entry, lease)),
    }
    found
}

fn of_record(election: &Election, entry: &Entry, record: &Record) -> Vec<Finding> {
    let mut found = Vec::new();
    let key = &entry.key;
    if record.server_name != election.role.as_str() {
        let what = format!("says that its role is `{}`", record.server_name);
        found.push(Finding::note(key, what, "look who has written it"));
    }
    if entry.id.is_some_and(|id| id != record.server_id) {
        let what = format!("says that its server id is {}", record.server_id);
        found.push(Finding::note(key, what, "look who has written it"));
    }
    let differs = record.lease != entry.lease && record.lease != LeaseId::NONE;
    if differs && entry.lease != LeaseId::NONE {
        let what = format!("says lease {} and hangs on {}", record.lease, entry.lease);
        found.push(Finding::note(key, what, "what counts is the lease that it hangs on"));
    }
    found
}

/// It stays when its process dies.
fn without_lease(cluster: &Cluster, election: &Election, entry: &Entry) -> Finding {
    let key = &entry.key;
    let mut what = "hangs on no lease".to_owned();
    if let Ok(record) = &entry.record {
        let named = (record.lease != LeaseId::NONE).then(|| cluster.leases.get(&record.lease)).flatten();
        if matches!(named, Some(None)) {
            what += &format!(" and the one that it names, {}, is dead: it is a leftover", record.lease);
        }
    }
    what += match entry.id {
        None => ", so that nobody else becomes primary, ever",
        Some(_) if THREE.contains(&election.role.as_str()) => {
            ", so that each mixcoord waits for it, for ever"
        }
        Some(_) => ", so that it stays when its process is gone",
    };
    let who = entry.record.as_ref().ok().map(|record| record.address.as_str()).filter(|at| !at.is_empty());
    let who = who.map_or_else(|| "its process".into(), |at| format!("the process at {at}"));
    Finding::wrong(key, what, format!("make sure that {who} is dead, then `etcdctl del {key}`"))
}

/// A process renews its lease each third of it.
fn of_lease(entry: &Entry, LeaseLeft { granted, left }: LeaseLeft) -> Option<Finding> {
    // What is left was rounded down.
    let silent = granted.saturating_sub(left + Duration::from_secs(1));
    let (key, lease) = (&entry.key, entry.lease);
    if left.is_zero() {
        let what = format!("hangs on lease {lease}, whose end has come, and which etcd has not revoked yet");
        let advice = format!(
            "if it stays so, etcd's leader is in trouble; it goes by `etcdctl lease revoke {:x}` once its process is dead",
            lease.0
        );
        return Some(Finding::wrong(key, what, advice));
    }
    (silent > granted / 2).then(|| {
        let what = format!(
            "hangs on lease {lease}, which was not renewed for {} s: its process is dead, paused or cut off",
            silent.as_secs()
        );
        let advice = format!(
            "it goes in {} s, or at once by `etcdctl lease revoke {:x}`, if its process is dead",
            left.as_secs() + 1,
            lease.0
        );
        Finding::note(key, what, advice)
    })
}

fn of_locks(cluster: &Cluster, election: &Election) -> Vec<Finding> {
    let role = &election.role;
    let Some(lock) = election.lock() else {
        // Of one of its three, what there is to say is said of the mixcoord.
        let waiting = election.candidates.len();
        return if waiting == 0 {
            let advice = "start a coordinator, or look whether this is the right root";
            vec![Finding::wrong(role, "has no primary, and no candidate", advice)]
        } else {
            let advice = "look at their logs: a candidate says why it waits";
            vec![Finding::wrong(role, format!("has no primary; candidates: {waiting}"), advice)]
        };
    };
    let mut found = Vec::new();
    if let (Some(election), Some(service)) = (&election.election, &election.service)
        && election.lease != service.lease
    {
        found.push(Finding::wrong(
            role,
            format!("has two holders: {} on lease {}, {} on lease {}", election.key, election.lease, service.key,
                service.lease),
            "there may be two primaries: end one of them by SIGTERM, and set the same primacy.layout everywhere",
        ));
    }
    let is_registered = cluster.own_record(election).is_some();
    if !is_registered
        && cluster.has_holders
        && lock.record.is_ok()
        && matches!(cluster.lease_of(lock), Some(Some(_)))
    {
        let what = format!("is held on lease {} by nobody who has registered", lock.lease);
        let advice =
            "look at the process that its record names: its candidate's record was deleted, or never put";
        found.push(Finding::note(&lock.key, what, advice));
    }
    found
}

/// A mixcoord holds four locks on one lease; that of Milvus 2.6 in its older forms one.
fn of_mixcoord(cluster: &Cluster) -> Vec<Finding> {
    const END: &str =
        "nothing tells its process, which may go on serving: end it by SIGTERM, not by touching keys";
    let find = |name: &str| cluster.elections.iter().find(|election| election.role.as_str() == name);
    let Some(mixcoord) = find("mixcoord") else { return Vec::new() };
    let locks = THREE.map(|role| (role, find(role).and_then(Election::lock)));
    let Some(lock) = mixcoord.lock() else {
        let of_one = |(role, lock): &(&str, Option<&Entry>)| {
            let lock = (*lock)?;
            let holder = mixcoord.candidates.iter().find(|entry| entry.is_of(lock))?;
            let what = format!("is gone, while {} holds that of {role}", holder.key);
            Some(Finding::wrong("mixcoord's lock", what, END))
        };
        return locks.iter().filter_map(of_one).collect();
    };
    let mine = |other: &Entry| other.lease == lock.lease;
    let is_alone = locks.iter().all(|(_, lock)| lock.is_none_or(|lock| !mine(lock)));
    let is_old =
        lock.record.as_ref().is_ok_and(|record| record.trigger_kill.is_some() && record.facts.is_none());
    let ours = cluster.own_record(mixcoord).is_some_and(|own| own.facts().is_some());
    if is_alone && is_old && !ours {
        return Vec::new();
    }
    let of_one = |(role, other): &(&str, Option<&Entry>)| match other {
        Some(other) if mine(other) => None,
        Some(other) => Some(Finding::wrong(
            &other.key,
            format!(
                "hangs on lease {}, and mixcoord's on {}: there may be two primaries",
                other.lease, lock.lease
            ),
            "end one of both processes by SIGTERM",
        )),
        None => Some(Finding::wrong(*role, "has no lock beside that of mixcoord", END)),
    };
    locks.iter().filter_map(of_one).collect()
}

fn of_version(cluster: &Cluster) -> Vec<Finding> {
    let Some(kv) = &cluster.version else { return Vec::new() };
    let mixcoord = |election: &&Election| election.role.is_mixcoord();
    let mut found = Vec::new();
    for entry in cluster.elections.iter().filter(mixcoord).flat_map(|e| &e.candidates) {
        let version = entry.record.as_ref().ok().and_then(|record| record.version.as_ref());
        if let Some(version) = version
            && let Err(error @ VersionError::Older { .. }) = may_lead(&kv.value, version)
        {
            let what = format!("can not become primary: {error}");
            found.push(Finding::note(&entry.key, what, "`primacy version set` sets it back, if you mean to"));
        }
    }
    if let Err(error @ VersionError::Malformed(_)) = may_lead(&kv.value, &semver::Version::new(0, 0, 0)) {
        let what = format!("is read by each mixcoord, and none becomes primary: {error}");
        found.push(Finding::wrong(&kv.key, what, "`primacy version set` writes a version there"));
    }
    found
}
