//! Each address of each endpoint: whether an etcd answers there, which one, and how fast.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use primacy::config::{Endpoint, EtcdSettings, Settings};
use primacy::etcd::{Etcd, Member, Resolver, look_up};
use primacy::log::{Level, Log};
use primacy::milvus::Root;
use primacy::store::{Failure, Range};
use serde::{Serialize, Serializer};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::exit::Failed;
use crate::finding::Finding;
use crate::reach::{ANSWERED_WITHIN, reach_by, read};

/// So many reads are timed, one after the other.
const READS: usize = 10;

/// An address, and who is there.
#[derive(Serialize)]
pub struct Address {
    /// As the settings have it.
    endpoint: String,
    /// One of the name's.
    address: Option<SocketAddr>,
    /// `None`: nobody has answered.
    #[serde(serialize_with = "of_member")]
    pub member: Option<Member>,
    /// How long linearizable reads took; `None`: none was allowed.
    #[serde(flatten)]
    took: Option<Took>,
}

#[derive(Clone, Copy, Serialize)]
struct Took {
    median_ms: f64,
    most_ms: f64,
}

/// The ids are texts, since they exceed what JavaScript has as numbers; as etcdctl has them.
fn of_member<S: Serializer>(member: &Option<Member>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Shown<'a> {
        version: &'a str,
        cluster: String,
        id: String,
        is_leader: bool,
        is_learner: bool,
    }
    let shown = member.as_ref().map(|member| Shown {
        version: &member.version,
        cluster: format!("{:x}", member.cluster),
        id: format!("{:x}", member.id),
        is_leader: member.id == member.leader,
        is_learner: member.is_learner,
    });
    shown.serialize(serializer)
}

impl Address {
    fn name(&self) -> String {
        match self.address {
            Some(address) if !self.endpoint.ends_with(&address.to_string()) => {
                format!("{} ({address})", self.endpoint)
            }
            _ => self.endpoint.clone(),
        }
    }

    /// What is well there, if somebody is.
    pub fn as_text(&self) -> Option<String> {
        let member = self.member.as_ref()?;
        let leads = if member.id == member.leader { ", the leader" } else { "" };
        let took = self.took.map_or_else(String::new, |took| {
            format!(": a read takes {:.1} ms, of {READS} at the most {:.1}", took.median_ms, took.most_ms)
        });
        Some(format!("{}: etcd {}{leads}{took}", self.name(), member.version))
    }

    /// What is wrong with who is there.
    fn findings(&self, ttl: Duration) -> Vec<Finding> {
        let Some(member) = &self.member else { return Vec::new() };
        let (name, mut found) = (self.name(), Vec::new());
        if member.leader == 0 {
            let advice = "most members of its cluster must run and reach each other: `etcdctl endpoint status --cluster`";
            found.push(Finding::wrong(&name, "knows of no leader", advice));
        }
        if member.is_learner {
            let advice = "promote it (`etcdctl member promote`), or leave it out of etcd.endpoints";
            found.push(Finding::note(&name, "is a learner, which serves no linearizable reads", advice));
        }
        found.extend(member.errors.iter().map(|error| {
            Finding::wrong(
                &name,
                format!("says: {error}"),
                "see `etcdctl alarm list`; of space: compact, defragment, disarm",
            )
        }));
        if let Some(warning) = &member.warning {
            // It names the endpoint.
            let what = warning.replacen(&format!(" at {}", self.endpoint), "", 1);
            found.push(Finding::wrong(
                &name,
                format!("is old: {what}"),
                "until then leases are not what guarantee 1 assumes",
            ));
        }
        if let Some(took) = self.took {
            let ttl_ms = ttl.as_secs_f64() * 1000.0;
            let (median, most) = (took.median_ms, took.most_ms);
            let beside = format!("of a TTL of {} s", ttl.as_secs());
            let advice = "a renewal of a primary takes two of them, and begins a third of the TTL after the one before: \
                          raise common.session.ttl, or find what is slow (a disk, a network, etcd itself)";
            if median * 4.0 > ttl_ms {
                let what = format!(
                    "takes {median:.0} ms for a read, more than a quarter {beside}: primacy will be lost"
                );
                found.push(Finding::wrong(&name, what, advice));
            } else if most * 8.0 > ttl_ms {
                let what =
                    format!("took {most:.0} ms for one of {READS} reads, more than an eighth {beside}");
                found.push(Finding::note(&name, what, advice));
            }
        }
        found
    }
}

/// Looks at all of them, each by itself.
pub async fn look(settings: &Settings) -> Result<(Vec<Address>, Vec<Finding>), Failed> {
    let (mut addresses, mut found) = (Vec::new(), Vec::new());
    let mut looks = JoinSet::new();
    for endpoint in &settings.etcd.endpoints {
        for address in addresses_of(endpoint, &mut found).await {
            let alone = EtcdSettings { endpoints: vec![endpoint.clone()], ..settings.etcd.clone() };
            let at = Address { endpoint: shown(endpoint), address, member: None, took: None };
            looks.spawn(look_at(at, alone, settings.root.clone()));
        }
    }
    for (address, failed) in looks.join_all().await {
        found.extend(failed);
        found.extend(address.findings(settings.ttl));
        addresses.push(address);
    }
    addresses.sort_by_key(|address| (address.endpoint.clone(), address.address));
    let clusters: BTreeSet<u64> =
        addresses.iter().filter_map(|address| address.member.as_ref()).map(|member| member.cluster).collect();
    if clusters.len() > 1 {
        let advice = "give etcd.endpoints of one cluster alone: each has a primary of its own";
        found.push(Finding::wrong("etcd.endpoints", format!("lead to {} clusters", clusters.len()), advice));
    }
    Ok((addresses, found))
}

fn shown(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Server { address, .. } => address.clone(),
        Endpoint::Memory { .. } => endpoint.to_string(),
    }
}

/// Those of the name, or the one that it is.
async fn addresses_of(endpoint: &Endpoint, found: &mut Vec<Finding>) -> Vec<Option<SocketAddr>> {
    let Endpoint::Server { address: name, .. } = endpoint else { return vec![None] };
    if let Ok(address) = name.parse() {
        return vec![Some(address)];
    }
    let why = match timeout(ANSWERED_WITHIN, look_up(name.clone())).await {
        Ok(Ok(known)) if !known.is_empty() => {
            return known.into_iter().collect::<BTreeSet<_>>().into_iter().map(Some).collect();
        }
        Ok(Ok(_)) => "it has no address".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    let advice = "look at the name in etcd.endpoints, and at this machine's resolver";
    found.push(Finding::wrong(name, format!("is not found: {why}"), advice));
    Vec::new()
}

async fn look_at(mut at: Address, settings: EtcdSettings, root: Root) -> (Address, Vec<Finding>) {
    let name = at.name();
    let found = match at.look(&settings, &root).await {
        Ok(()) => Vec::new(),
        Err(failed) => vec![Finding::wrong(&name, format!("is no etcd for us: {failed}"), advice(&failed))],
    };
    (at, found)
}

fn advice(failure: &Failure) -> &'static str {
    match failure {
        Failure::Denied(_) => "set etcd.auth.* and etcd.ssl.* as this etcd wants them",
        Failure::Refused(_) => "look at etcd.endpoints and etcd.ssl.*",
        _ => "look whether etcd runs there, at its --listen-client-urls, and at what is between",
    }
}

impl Address {
    async fn look(&mut self, settings: &EtcdSettings, root: &Root) -> Result<(), Failure> {
        let only = self.address;
        let resolver: Resolver = Arc::new(move |_| Box::pin(async move { Ok(only.into_iter().collect()) }));
        // What the library warns of meanwhile says more than that there was no answer.
        let said = Arc::new(Mutex::new(None));
        let keeps = said.clone();
        let log = Log::new(move |level, text| {
            if level <= Level::Warn {
                keeps.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| text.to_owned());
            }
        });
        let etcd = reach_by(settings, &resolver, log).map_err(|failed| Failure::Refused(failed.why))?.etcd;
        self.member = Some(etcd.member(ANSWERED_WITHIN).await?);
        self.took = timed(&etcd, root).await?;
        Ok(())
    }
}

/// `None`: it is denied to read the key that each candidate may read.
async fn timed(etcd: &Etcd, root: &Root) -> Result<Option<Took>, Failure> {
    let id = [Range::Key(root.id_key())];
    let mut times = Vec::new();
    // The first may wait for a token.
    for _ in 0..=READS {
        let began = Instant::now();
        match read(etcd, &id).await {
            Ok(_) => times.push(began.elapsed().as_secs_f64() * 1000.0),
            Err(Failure::Denied(why)) if why.contains("permission denied") => return Ok(None),
            Err(failure) => return Err(failure),
        }
    }
    times.remove(0);
    times.sort_by(f64::total_cmp);
    let at = |index: usize| times.get(index).copied().unwrap_or_default();
    let rounded = |ms: f64| (ms * 1000.0).round() / 1000.0;
    Ok(Some(Took { median_ms: rounded(at(READS / 2)), most_ms: rounded(at(READS - 1)) }))
}
