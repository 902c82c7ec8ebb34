//! What `primacy audit` says of the simulation's histories: nothing of clean ones, and of each fault that is put into
//! one what it is and where.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use primacy_audit::{Audit, Change, Guarded, History, How, Kind, Layout, Options, Role, Term, audit};
use primacy_engine::store::{Key, KeyEvent, KeyValue, LeaseId, Revision, Value};
use primacy_engine::time::Time;

use crate::cluster::DATA;
use crate::keys::TABLE;
use crate::number;
use crate::random::{self, Rng};
use crate::scenario::{Fault, ROLES, Scenario};
use crate::world;

/// Clean histories that are looked at, and must be without a finding.
const CLEAN: u64 = 1000;
/// Faults that are put into some, and must be found.
const SEEDED: usize = 50;
/// A lease of nobody's.
const STRANGE: LeaseId = LeaseId(987_654_321);

/// Looks at both; returns what went wrong.
pub fn check() -> Vec<String> {
    let (clean, first) = (number("CLEAN").unwrap_or(CLEAN), number("FIRST").unwrap_or(1));
    let (mut wrong, mut terms, mut seeded) = (Vec::new(), 0, 0);
    // Each kind of fault goes into the next history that has a place for it, those first that were least often.
    let mut kinds: Vec<(usize, &str, PutIn)> =
        faults().into_iter().map(|(name, put_in)| (0, name, put_in)).collect();
    for seed in first..first + clean {
        let Some(history) = clean_history(seed) else { continue };
        let told = judge(&history);
        terms += told.roles.iter().map(|role| role.terms.len()).sum::<usize>();
        wrong.extend(
            told.findings.iter().map(|finding| format!("audit: seed {seed}: a false alarm: {finding:?}")),
        );
        kinds.sort_by_key(|(times, ..)| *times);
        for (times, name, put_in) in kinds.iter_mut().filter(|_| seeded < SEEDED) {
            let random = random::of(&[seed, 77]);
            let mut faulty = Faulty { history: history.clone(), told: told.clone(), random };
            let Some((kind, role, revision)) = put_in(&mut faulty) else { continue };
            let found = judge(&faulty.history).findings;
            if !found.iter().any(|f| f.kind == kind && f.role == role && f.when.revision == revision) {
                wrong.push(format!(
                    "audit: seed {seed}: {name} of {role} at {revision} not found; but: {found:?}"
                ));
            }
            (*times, seeded) = (*times + 1, seeded + 1);
            break;
        }
    }
    if clean >= CLEAN {
        let without = kinds.iter().filter(|(times, ..)| *times == 0);
        wrong.extend(without.map(|(_, name, _)| format!("audit: no history has a place for {name}")));
        if seeded < SEEDED {
            wrong.push(format!("audit: only {seeded} faults had a place"));
        }
    }
    println!(
        "audit: {clean} clean histories, {terms} terms, {seeded} faults of {} kinds, {} wrong",
        kinds.len(),
        wrong.len()
    );
    wrong
}

/// A seed's history in which nobody does by hand what the guarantees exclude.
fn clean_history(seed: u64) -> Option<History> {
    let by_hand =
        |fault: &Fault| matches!(fault, Fault::Operator { .. } | Fault::Gap { .. } | Fault::Restore { .. });
    let mut scenario = Scenario::of(seed);
    scenario.faults.retain(|(_, fault)| !by_hand(fault));
    scenario.strikes.retain(|strike| !by_hand(&strike.fault));
    let mut written = None;
    world::run_written(&scenario, |events, keys, now| written = Some((events, keys, now)));
    let (events, keys, now) = written?;
    let ms = |at: Time| Some(i64::try_from(at.as_nanos() / 1_000_000).expect("a run is short"));
    let changes: Vec<Change> = events.into_iter().map(|(at, event)| Change { event, at: ms(at) }).collect();
    let mut there = BTreeMap::new();
    for Change { event, .. } in &changes {
        match &event.now {
            Some(kv) => _ = there.insert(event.key.clone(), kv.clone()),
            None => _ = there.remove(&event.key),
        }
    }
    assert!(there.into_values().eq(keys), "seed {seed}: the history is whole");
    let until = changes.last().map_or(Revision(1), |change| change.event.revision);
    Some(History { from: Revision(1), base: Vec::new(), changes, until, until_at: ms(now) })
}

fn options() -> Options {
    let guarded = ROLES.iter().map(|role| Guarded { role: (*role).into(), prefix: format!("{DATA}{role}") });
    Options { guarded: guarded.collect(), longest_gap: Some(Duration::from_secs(600)), ..Options::default() }
}

fn judge(history: &History) -> Audit {
    audit(history, &Layout::Milvus(TABLE.root.clone()), &options())
}

/// A clean history, and what was said of it.
struct Faulty {
    history: History,
    told: Audit,
    random: Rng,
}

/// Where a fault has to be found: its kind, the role, and the revision.
type Place = (Kind, String, i64);
type PutIn = fn(&mut Faulty) -> Option<Place>;

fn faults() -> Vec<(&'static str, PutIn)> {
    vec![
        ("a lock put over one whose lease lives", |f| {
            let (role, term) = f.term(|_, _| true)?;
            let at = f.within(&term)?;
            let lock = f.lock(&role, &term)?;
            f.put(at, &KeyValue { lease: STRANGE, ..lock });
            Some((Kind::LockTaken, role, at))
        }),
        ("a transfer to who has not accepted it", |f| {
            let (role, term) = f.term(|_, term| term.how == How::HandedOver)?;
            for kv in f.history.changes.iter_mut().filter_map(|change| change.event.now.as_mut()) {
                kv.value = kv.value.to_string().replace("\"Accepts\":", "\"Accepts\":1").into();
            }
            Some((Kind::LockTaken, role, term.since.revision))
        }),
        ("a transfer to another one than the heir", |f| {
            let (role, term) = f.term(|_, term| term.how == How::HandedOver)?;
            f.lock_at(&role, &term)?.lease = STRANGE;
            Some((Kind::LockTaken, role, term.since.revision))
        }),
        ("a lock without a lease", |f| {
            let (role, term) = f.term(|_, term| term.how == How::Won)?;
            f.lock_at(&role, &term)?.lease = LeaseId::NONE;
            Some((Kind::NoLease, role, term.since.revision))
        }),
        ("a record without a lease", |f| {
            let at = f.pick(|kv| is_record(&kv.key) && kv.version == 1)?;
            let kv = f.kv(at)?;
            kv.lease = LeaseId::NONE;
            Some((Kind::NoLease, role_of(&kv.key), kv.mod_revision.0))
        }),
        ("a guarded write under an old token", |f| {
            let at = f.pick(|kv| is_data(&kv.key))?;
            let kv = f.kv(at)?;
            let token: i64 = kv.value.to_string().parse().ok()?;
            kv.value = (token - 1).to_string().into();
            Some((Kind::WrongToken, role_of(&kv.key), kv.mod_revision.0))
        }),
        ("a token that goes back", |f| {
            let at = f.pick(|kv| is_data(&kv.key) && kv.version > 1)?;
            let kv = f.kv(at)?;
            kv.value = "1".into();
            Some((Kind::TokenWentBack, role_of(&kv.key), kv.mod_revision.0))
        }),
        ("a guarded write while nobody holds the lock", |f| {
            let (role, at) = f.in_a_gap()?;
            f.put(at, &data(&role, at, at));
            Some((Kind::Unguarded, role, at))
        }),
        ("guarded data without a token", |f| {
            let at = f.pick(|kv| is_data(&kv.key))?;
            let kv = f.kv(at)?;
            kv.value = "nobody".into();
            Some((Kind::Unreadable, role_of(&kv.key), kv.mod_revision.0))
        }),
        ("two locks of one role, in two layouts", |f| {
            let (role, term) = f.term(|_, _| true)?;
            let lock = f.lock(&role, &term)?;
            let at = f.within(&term)?;
            let other = lock.key.to_string().replace("/session/", "/election/");
            (other != lock.key.to_string()).then_some(())?;
            f.put(at, &KeyValue { key: other.into(), lease: STRANGE, ..lock });
            Some((Kind::TwoLocks, role, at))
        }),
        ("a part of a mixcoord's key set taken", |f| {
            let (role, term) = f.term(|role, term| role == "mixcoord" && term.how == How::Won)?;
            let lock = f.lock(&role, &term)?.key;
            f.drop_change(term.since.revision, &lock.to_string().replace("mixcoord", "querycoord"))?;
            Some((Kind::PartialKeySet, role, term.since.revision))
        }),
        ("a part of a mixcoord's key set given up", |f| {
            let (role, term) = f.term(|role, _| role == "mixcoord")?;
            let lock = f.lock(&role, &term)?.key;
            let ended = term.ended?.when.revision;
            f.drop_change(ended, &lock.to_string().replace("mixcoord", "datacoord"))?;
            Some((Kind::PartialKeySet, role, ended))
        }),
        ("a lock deleted under its service", |f| {
            let (role, term) = f.term(|_, _| true)?;
            let lock = f.lock(&role, &term)?;
            let service = lock.key.to_string().replace("/election/", "/session/");
            let at = f
                .revisions(&term)
                .into_iter()
                .find(|at| f.is_there(&service, *at, lock.lease) && service != lock.key.to_string())?;
            f.delete(at, &lock.key);
            let service: Key = service.into();
            f.history.changes.retain(|c| c.event.key != service || c.event.revision.0 <= at);
            Some((Kind::ServiceOutlived, role, at))
        }),
        ("a win of who has not registered", |f| {
            let (role, term) = f.term(|_, term| term.how == How::Won)?;
            f.lock_at(&role, &term)?.lease = STRANGE;
            Some((Kind::NoRecord, role, term.since.revision))
        }),
        ("a lock that names another one", |f| {
            let (role, term) = f.term(|_, term| term.how == How::Won)?;
            let kv = f.lock_at(&role, &term)?;
            kv.value = kv.value.to_string().replace("\"ServerID\":", "\"ServerID\":9").into();
            Some((Kind::OtherRecord, role, term.since.revision))
        }),
        ("a lock that nobody can parse", |f| {
            let (role, term) = f.term(|_, term| term.how == How::Won)?;
            f.lock_at(&role, &term)?.value = "{".into();
            Some((Kind::Unreadable, role, term.since.revision))
        }),
        ("a record put over by another candidate", |f| {
            let at = f.pick(|kv| is_record(&kv.key) && kv.version > 1)?;
            let kv = f.kv(at)?;
            kv.lease = STRANGE;
            kv.value = kv.value.to_string().replace("\"Address\":\"", "\"Address\":\"other-").into();
            Some((Kind::RecordTaken, role_of(&kv.key), kv.mod_revision.0))
        }),
        ("an outdated mixcoord that wins", |f| {
            let (role, term) = f.term(|role, term| role == "mixcoord" && term.how == How::Won)?;
            let at = f.revisions_before(term.since.revision)?;
            f.put(at, &KeyValue { key: TABLE.version.clone(), value: "99.0.0".into(), ..data(&role, at, 0) });
            Some((Kind::Outdated, role, term.since.revision))
        }),
        ("a mixcoord that does not tell its version", |f| {
            let (role, term) = f.term(|role, term| role == "mixcoord" && term.how == How::Won)?;
            f.drop_change(term.since.revision, &TABLE.version.to_string())?;
            Some((Kind::VersionNotTold, role, term.since.revision))
        }),
        ("a lock that outlives its lease", |f| {
            let (role, term) =
                f.term(|_, term| term.ended.is_some_and(|end| end.how == primacy_audit::Ended::LeaseEnded))?;
            let lock = f.lock(&role, &term)?.key;
            let ended = term.ended?.when.revision;
            f.drop_change(ended, &lock.to_string())?;
            // Of one of a mixcoord's, the record is the mixcoord's.
            let own = format!("/session/{role}-");
            f.history
                .changes
                .iter()
                .any(|c| c.event.revision.0 == ended && c.event.key.to_string().contains(&own))
                .then_some((Kind::LockOutlived, role, ended))
        }),
        ("a server id that goes back", |f| {
            let at = f.pick(|kv| kv.key == TABLE.id && kv.version > 2)?;
            let kv = f.kv(at)?;
            kv.value = "1".into();
            Some((Kind::IdWentBack, String::new(), kv.mod_revision.0))
        }),
        ("a time without a primary, far longer than a lease", |f| {
            let gap = |role: &Role| {
                let gap = role.gaps.iter().find(|gap| gap.until.is_some() && gap.since.candidates > 0)?;
                Some((role.name.clone(), gap.clone()))
            };
            let (role, gap) = f.told.roles.iter().find_map(gap)?;
            let until = gap.until?.revision;
            for change in f.history.changes.iter_mut().filter(|change| change.event.revision.0 >= until) {
                change.at = change.at.map(|at| at + 1_000_000);
            }
            f.history.until_at = f.history.until_at.map(|at| at + 1_000_000);
            Some((Kind::LongGap, role, gap.since.when.revision))
        }),
    ]
}

fn is_data(key: &Key) -> bool {
    key.as_bytes().starts_with(DATA.as_bytes())
}

fn is_record(key: &Key) -> bool {
    ROLES.iter().enumerate().any(|(role, _)| TABLE.records(role).contains(key))
}

/// Of a record or of data.
fn role_of(key: &Key) -> String {
    let text = key.to_string();
    let name = text.rsplit('/').next().unwrap_or_default();
    name.split('-').next().unwrap_or_default().to_owned()
}

fn data(role: &str, revision: i64, token: i64) -> KeyValue {
    KeyValue {
        key: format!("{DATA}{role}").into(),
        value: Value::from(token.to_string()),
        create_revision: Revision(revision),
        mod_revision: Revision(revision),
        version: 1,
        lease: LeaseId::NONE,
    }
}

impl Faulty {
    /// A role and one of its terms.
    fn term(&mut self, is_one: impl Fn(&str, &Term) -> bool) -> Option<(String, Term)> {
        let terms = self.told.roles.iter().flat_map(|role| role.terms.iter().map(|term| (&role.name, term)));
        let fit: Vec<_> = terms.filter(|(role, term)| is_one(role, term)).collect();
        let (role, term) = fit.get(self.random.usize(0..fit.len().max(1)))?;
        Some(((*role).clone(), (*term).clone()))
    }

    /// A change that writes such a key.
    fn pick(&mut self, is_one: impl Fn(&KeyValue) -> bool) -> Option<usize> {
        let fits =
            |(at, change): (usize, &Change)| change.event.now.as_ref().is_some_and(&is_one).then_some(at);
        let fit: Vec<usize> = self.history.changes.iter().enumerate().filter_map(fits).collect();
        fit.get(self.random.usize(0..fit.len().max(1))).copied()
    }

    fn kv(&mut self, at: usize) -> Option<&mut KeyValue> {
        self.history.changes.get_mut(at)?.event.now.as_mut()
    }

    /// The put of a term's lock.
    fn lock_at(&mut self, role: &str, term: &Term) -> Option<&mut KeyValue> {
        let [session, election] =
            ["session", "election"].map(|folder| Key::from(format!("{}/{folder}/{role}", TABLE.root)));
        let is_lock =
            |kv: &&mut KeyValue| kv.mod_revision.0 == term.token && (kv.key == session || kv.key == election);
        self.history.changes.iter_mut().filter_map(|change| change.event.now.as_mut()).find(is_lock)
    }

    fn lock(&mut self, role: &str, term: &Term) -> Option<KeyValue> {
        self.lock_at(role, term).map(|kv| kv.clone())
    }

    /// All revisions within a term, in which its keys are not touched.
    fn revisions(&self, term: &Term) -> Vec<i64> {
        let end = term.ended.map_or(self.history.until.0 + 1, |end| end.when.revision);
        let all: BTreeSet<i64> = self.history.changes.iter().map(|change| change.event.revision.0).collect();
        all.range(term.since.revision + 1..end.max(term.since.revision + 1)).copied().collect()
    }

    fn within(&mut self, term: &Term) -> Option<i64> {
        let revisions = self.revisions(term);
        revisions.get(self.random.usize(0..revisions.len().max(1))).copied()
    }

    fn revisions_before(&self, revision: i64) -> Option<i64> {
        let mut before = self.history.changes.iter().map(|change| change.event.revision.0);
        before.rfind(|at| *at < revision)
    }

    /// A role, and a revision at which it has no primary.
    fn in_a_gap(&mut self) -> Option<(String, i64)> {
        for role in &self.told.roles {
            for gap in &role.gaps {
                let until = gap.until.map_or(self.history.until.0, |until| until.revision - 1);
                let mut revisions = self.history.changes.iter().map(|change| change.event.revision.0);
                if let Some(at) = revisions.find(|at| *at > gap.since.when.revision && *at <= until) {
                    return Some((role.name.clone(), at));
                }
            }
        }
        None
    }

    /// Whether a key is there at a revision, on this lease, and not touched by it.
    fn is_there(&self, key: &str, revision: i64, lease: LeaseId) -> bool {
        let key: Key = key.into();
        let of = |change: &&Change| change.event.key == key && change.event.revision.0 <= revision;
        let last = self.history.changes.iter().rfind(of);
        last.is_some_and(|change| {
            change.event.revision.0 < revision
                && change.event.now.as_ref().is_some_and(|kv| kv.lease == lease)
        })
    }

    /// Somebody writes a key, as a part of a revision that is there.
    fn put(&mut self, revision: i64, kv: &KeyValue) {
        let now = KeyValue { mod_revision: Revision(revision), ..kv.clone() };
        self.insert(KeyEvent { key: kv.key.clone(), revision: Revision(revision), now: Some(now) });
    }

    /// Somebody deletes a key, as a part of a revision that is there.
    fn delete(&mut self, revision: i64, key: &Key) {
        self.insert(KeyEvent { key: key.clone(), revision: Revision(revision), now: None });
    }

    fn insert(&mut self, event: KeyEvent) {
        let changes = &mut self.history.changes;
        let at = changes.partition_point(|change| change.event.revision <= event.revision);
        let when = changes.get(at.saturating_sub(1)).and_then(|change| change.at);
        changes.insert(at, Change { event, at: when });
    }

    /// It never happened.
    fn drop_change(&mut self, revision: i64, key: &str) -> Option<()> {
        let key: Key = key.into();
        let is_it = |change: &Change| change.event.revision.0 == revision && change.event.key == key;
        let at = self.history.changes.iter().position(is_it)?;
        self.history.changes.remove(at);
        Some(())
    }
}
