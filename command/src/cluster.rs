//! What the keys of a cluster say, taken together: the elections, who is primary, who stands by and in which order.
//!
//! Pure: it is given what was read. What is wrong with it, [`crate::finding`] says.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use primacy::etcd::LeaseLeft;
use primacy::milvus::{Facts, Keys, Layout, Meaning, Record, RecordError, Role, Root};
use primacy::store::{Key, KeyValue, LeaseId, Range, Revision};

/// How the leases stand; `None`: etcd knows of no such lease.
pub type Leases = BTreeMap<LeaseId, Option<LeaseLeft>>;

/// See the module.
pub struct Cluster {
    pub root: Root,
    /// At which it was so.
    pub revision: Revision,
    /// By the roles' names.
    pub elections: Vec<Election>,
    /// How many others have registered, by role: those that elect nobody, such as proxies.
    pub nodes: BTreeMap<String, usize>,
    /// The key of the next server id.
    pub next_id: Option<KeyValue>,
    /// The key of the newest version that has been primary as mixcoord.
    pub version: Option<KeyValue>,
    /// Keys that mean nothing here.
    pub strange: Vec<Key>,
    pub leases: Leases,
    /// All who may hold a lock are among them; else etcd denied to read the records of mixcoords.
    pub has_holders: bool,
}

/// An election.
pub struct Election {
    pub role: Role,
    /// `ROOT/session/ROLE`.
    pub service: Option<Entry>,
    /// `ROOT/election/ROLE`, which is the lock in the layout `after_start`.
    pub election: Option<Entry>,
    /// All that have registered, the primary among them: those that primacy would be handed over to first, then the
    /// others in the order in which they came.
    pub candidates: Vec<Entry>,
}

/// A key with a record.
pub struct Entry {
    pub key: Key,
    /// The server id in the key; `None`: it is a lock.
    pub id: Option<i64>,
    /// That the key hangs on.
    pub lease: LeaseId,
    pub created: Revision,
    pub modified: Revision,
    pub record: Result<Record, RecordError>,
}

/// All keys of a cluster.
pub fn ranges_of_all(root: &Root) -> Vec<Range> {
    ["session", "election"].map(|folder| Range::below(&format!("{root}/{folder}/").into())).into()
}

/// The keys of these roles: no more than the smallest role of etcd's may read.
pub fn ranges_of(root: &Root, roles: &[Role]) -> Vec<Range> {
    let mut ranges = BTreeSet::new();
    for role in roles {
        for layout in [Layout::Milvus, Layout::AfterStart] {
            let keys = Keys::new(root, role, layout, 0);
            ranges.extend(keys.locks.into_iter().map(|lock| Range::Key(lock.key)));
            ranges.extend(keys.version.map(Range::Key));
            ranges.extend(keys.rivals);
        }
        ranges.insert(root.candidates(role));
        ranges.insert(Range::Key(root.id_key()));
    }
    ranges.into_iter().collect()
}

/// And of who else may hold their locks: a mixcoord.
pub fn ranges_of_holders(root: &Root, roles: &[Role]) -> Vec<Range> {
    let others = roles.iter().flat_map(|role| role.holders().into_iter().skip(1));
    others.map(|holder| root.candidates(&holder)).collect::<BTreeSet<_>>().into_iter().collect()
}

impl Cluster {
    /// Of these keys; of all elections, or of these roles alone. A key that was read twice counts once.
    pub fn new(
        root: &Root,
        revision: Revision,
        keys: impl IntoIterator<Item = KeyValue>,
        roles: &[Role],
        leases: Leases,
    ) -> Cluster {
        let mut cluster = Cluster {
            root: root.clone(),
            revision,
            elections: Vec::new(),
            nodes: BTreeMap::new(),
            next_id: None,
            version: None,
            strange: Vec::new(),
            leases,
            has_holders: true,
        };
        let mut elections: BTreeMap<Role, Election> = BTreeMap::new();
        let keys: BTreeMap<Key, KeyValue> = keys.into_iter().map(|kv| (kv.key.clone(), kv)).collect();
        for kv in keys.into_values() {
            let Some((role, place)) = place(root, &kv, &mut cluster) else { continue };
            let election = elections.entry(role).or_insert_with_key(Election::new);
            match place {
                Place::Service => election.service = Some(Entry::new(kv, None)),
                Place::Election => election.election = Some(Entry::new(kv, None)),
                Place::Candidate(id) => election.candidates.push(Entry::new(kv, Some(id))),
            }
        }
        for role in roles {
            elections.entry(role.clone()).or_insert_with_key(Election::new);
        }
        for (role, mut election) in elections {
            if !election.is_one() && !roles.contains(&role) {
                *cluster.nodes.entry(role.to_string()).or_default() += election.candidates.len();
                continue;
            }
            election.candidates.sort_by_key(|entry| {
                (
                    Reverse(
                        entry.facts().map_or(0, |facts| u64::from(facts.priority) + 1)
                            * u64::from(entry.is_able()),
                    ),
                    entry.created,
                )
            });
            cluster.elections.push(election);
        }
        cluster
    }

    /// Those leases on which what is shown depends: of the elections' keys, and those that their records name.
    pub fn leases_needed(&self) -> BTreeSet<LeaseId> {
        let entries = self.elections.iter().flat_map(Election::entries);
        let of = |entry: &Entry| [Some(entry.lease), entry.record.as_ref().ok().map(|record| record.lease)];
        entries.flat_map(of).flatten().filter(|lease| *lease != LeaseId::NONE).collect()
    }

    /// The primary's own record, which may be that of a mixcoord.
    pub fn own_record(&self, election: &Election) -> Option<&Entry> {
        let lock = election.lock()?;
        let holders = election.role.holders();
        let candidates =
            self.elections.iter().filter(|e| holders.contains(&e.role)).flat_map(|e| &e.candidates);
        candidates.into_iter().find(|entry| entry.is_of(lock))
    }

    /// How the lease stands that a key hangs on. `None`: on none. `Some(None)`: etcd knows of no such lease.
    pub fn lease_of(&self, entry: &Entry) -> Option<Option<LeaseLeft>> {
        (entry.lease != LeaseId::NONE).then(|| self.leases.get(&entry.lease).copied().flatten())
    }
}

enum Place {
    Service,
    Election,
    Candidate(i64),
}

/// Where a key belongs; those that belong to no role are put into the cluster here.
fn place(root: &Root, kv: &KeyValue, cluster: &mut Cluster) -> Option<(Role, Place)> {
    match root.meaning(&kv.key) {
        Some(Meaning::Service(role)) => return Some((role, Place::Service)),
        Some(Meaning::Election(role)) => return Some((role, Place::Election)),
        Some(Meaning::Candidate(role, id)) => return Some((role, Place::Candidate(id))),
        Some(Meaning::NextId) => cluster.next_id = Some(kv.clone()),
        Some(Meaning::Version) => cluster.version = Some(kv.clone()),
        None => cluster.strange.push(kv.key.clone()),
    }
    None
}

impl Election {
    fn new(role: &Role) -> Election {
        Election { role: role.clone(), service: None, election: None, candidates: Vec::new() }
    }

    /// Whether anybody is elected here; else those that have registered are nodes of a kind that elects nobody.
    fn is_one(&self) -> bool {
        let stands = |entry: &Entry| match &entry.record {
            Ok(record) => record.exclusive || record.facts.is_some(),
            Err(_) => true,
        };
        self.service.is_some() || self.election.is_some() || self.candidates.iter().any(stands)
    }

    /// The key whose holder is primary, if there is one.
    pub fn lock(&self) -> Option<&Entry> {
        self.election.as_ref().or(self.service.as_ref())
    }

    /// Those candidates that do not hold the lock.
    pub fn standbys(&self) -> impl Iterator<Item = &Entry> {
        self.candidates.iter().filter(|entry| !self.lock().is_some_and(|lock| entry.is_of(lock)))
    }

    /// All its keys.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.service.iter().chain(&self.election).chain(&self.candidates)
    }
}

impl Entry {
    fn new(kv: KeyValue, id: Option<i64>) -> Entry {
        Entry {
            record: Record::parse(&kv.value),
            key: kv.key,
            id,
            lease: kv.lease,
            created: kv.create_revision,
            modified: kv.mod_revision,
        }
    }

    /// What it says beyond Milvus's fields; none from Milvus's own coordinators.
    pub fn facts(&self) -> Option<Facts> {
        self.record.as_ref().ok().and_then(|record| record.facts)
    }

    /// Whether primacy could be handed over to it, as a primary judges it.
    fn is_able(&self) -> bool {
        let stays = self.record.as_ref().is_ok_and(|r| !r.stopping && r.lease == self.lease);
        stays && self.facts().is_some_and(|facts| facts.warm && facts.priority > 0)
    }

    /// Whether this candidate holds that lock.
    pub fn is_of(&self, lock: &Entry) -> bool {
        let id = lock.record.as_ref().ok().map(|record| record.server_id);
        self.lease == lock.lease && self.id.is_some() && (id.is_none() || id == self.id)
    }
}
