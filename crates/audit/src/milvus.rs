//! Elections in Milvus's keys: ours in both layouts, and those of Milvus's coordinators of 2.5 to 3.0.
//!
//! Here a lock is `ROOT/election/ROLE` where that is there, else `ROOT/session/ROLE`; its token is the revision that
//! wrote it. What a form does not promise is not asked of it: before 3.0 a mixcoord takes its own lock alone and knows
//! no version.

use std::collections::{BTreeMap, BTreeSet};

use primacy_engine::milvus::{Keys, Layout, Meaning, Record, Role, Root, may_lead};
use primacy_engine::plain::{BRIEF, plain};
use primacy_engine::store::{Key, KeyEvent, KeyValue, LeaseId, Range, Value};

use crate::finding::Kind;
use crate::history::Moment;
use crate::judge;
use crate::report::Report;
use crate::term::{Ended, How, Term, lease};
use crate::when::When;

/// See the module.
pub struct Judge {
    root: Root,
    seats: BTreeMap<Role, Seat>,
    left: Vec<Left>,
}

/// A key that should go now: it does, in a moment, if its holder lives and could not do both at once.
struct Left {
    kind: Kind,
    role: Role,
    key: KeyValue,
    since: When,
    what: String,
}

/// How long it may stay, where that is known. Its holder tries for as long as its requests take.
const STAYS_MS: i64 = 60_000;

/// What is known of a role besides its terms.
#[derive(Default)]
struct Seat {
    /// The lock of whoever is primary.
    lock: Option<KeyValue>,
    /// Of a service that has outlived its lock: it is no lock.
    left: Option<LeaseId>,
    /// That two hold locks was said.
    two: bool,
}

/// What a role's two keys are at a moment.
struct Places {
    service: Key,
    election: Key,
}

impl Judge {
    pub fn new(root: Root) -> Judge {
        Judge { root, seats: BTreeMap::new(), left: Vec::new() }
    }

    fn places(&self, role: &Role) -> Places {
        let key = |layout| Keys::new(&self.root, role, layout, 0).locks.swap_remove(0).key;
        Places { service: key(Layout::Milvus), election: key(Layout::AfterStart) }
    }

    /// The record of a candidate of the role on this lease, as it was just before, or else as it is now.
    fn own_record<'a>(
        &self,
        moment: &'a Moment<'_>,
        role: &Role,
        lease: LeaseId,
    ) -> Option<(i64, &'a KeyValue)> {
        let holders = role.holders();
        let of = |kv: &'a KeyValue| match self.root.meaning(&kv.key) {
            Some(Meaning::Candidate(of, id)) if holders.contains(&of) => Some((id, kv)),
            _ => None,
        };
        let now = moment.all().filter(|kv| kv.lease == lease);
        if lease == LeaseId::NONE { None } else { moment.on_lease_before(lease).chain(now).find_map(of) }
    }

    /// How many candidates there are from now on, who do not hang on this lease.
    fn others(&self, moment: &Moment<'_>, role: &Role, lease: LeaseId) -> usize {
        let ranges: Vec<Range> = role.holders().iter().map(|role| self.root.candidates(role)).collect();
        let is_one = |kv: &&KeyValue| kv.lease != lease && ranges.iter().any(|range| range.contains(&kv.key));
        moment.all().filter(is_one).count()
    }

    fn look_at_role(&mut self, role: &Role, moment: &Moment<'_>, report: &mut Report) {
        let places = self.places(role);
        let (service, election) = (moment.is(&places.service), moment.is(&places.election));
        let mut seat = self.seats.remove(role).unwrap_or_default();
        let found = |report: &mut Report, kind, key: &Key, what: String| {
            report.found(kind, role.as_str(), key, moment.when, what);
        };
        match (moment.was(&places.election), election, service) {
            (Some(lock), None, Some(service)) if service.lease == lock.lease => {
                seat.left = Some(service.lease);
                let what = format!("stayed, although {}, under which it stood, went", places.election);
                self.leave(Kind::ServiceOutlived, role, service, moment.when, what);
            }
            (_, _, service) if service.map(|kv| kv.lease) != seat.left => seat.left = None,
            _ => {}
        }
        let lock = election.or(service.filter(|kv| seat.left != Some(kv.lease)));
        let two = self.rival(role, lock, election, service, moment);
        if let Some((key, rival)) = two.filter(|_| !seat.two) {
            let what = format!("hangs on lease {rival}, while another holds the lock of {role}");
            found(report, Kind::TwoLocks, key, what);
        }
        seat.two = two.is_some();
        let token = |lock: Option<&KeyValue>| lock.map(|kv| (kv.key.clone(), kv.mod_revision));
        if token(lock) != token(seat.lock.as_ref()) {
            let how = self.how(role, seat.lock.as_ref(), lock, moment);
            if let Some(before) = &seat.lock {
                report.end_term(role.as_str(), moment.when, how.1, self.others(moment, role, before.lease));
            }
            if let Some(lock) = lock {
                if how.0 == How::Taken {
                    let what = format!(
                        "was put on lease {} over that of lease {}, which lived, and nobody on it had accepted it",
                        lock.lease,
                        seat.lock.as_ref().map_or(LeaseId::NONE, |kv| kv.lease)
                    );
                    found(report, Kind::LockTaken, &lock.key, what);
                }
                self.look_at_win(role, lock, how.0, moment, report);
                report.begin(role.as_str(), self.term(role, lock, how.0, moment));
            }
            seat.lock = lock.cloned();
        }
        self.seats.insert(role.clone(), seat);
    }

    /// Another lock that excludes this one, on another lease.
    fn rival<'a>(
        &self,
        role: &Role,
        lock: Option<&KeyValue>,
        election: Option<&'a KeyValue>,
        service: Option<&'a KeyValue>,
        moment: &'a Moment<'_>,
    ) -> Option<(&'a Key, LeaseId)> {
        let lock = lock?;
        let other = |kv: &&KeyValue| kv.lease != lock.lease;
        let layouts = election.and(service).filter(other);
        let mixcoord = role.holders().into_iter().skip(1).find_map(|holder| {
            let places = self.places(&holder);
            moment.is(&places.election).or(moment.is(&places.service)).filter(other)
        });
        layouts.or(mixcoord).map(|kv| (&kv.key, kv.lease))
    }

    /// How the one won, and how the other ended.
    fn how(
        &self,
        role: &Role,
        before: Option<&KeyValue>,
        now: Option<&KeyValue>,
        moment: &Moment<'_>,
    ) -> (How, Ended) {
        match (before, now) {
            (None, _) if moment.is_first => (How::Before, Ended::Taken),
            (None, _) => (How::Won, Ended::Taken),
            (Some(before), None) => {
                let own = self.own_record(moment, role, before.lease);
                let is_left = own.is_some_and(|(_, kv)| moment.is(&kv.key).is_some());
                (How::Won, if is_left { Ended::LockDeleted } else { Ended::LeaseEnded })
            }
            (Some(before), Some(now)) if before.lease == now.lease && before.key == now.key => {
                (How::Again, Ended::Again)
            }
            (Some(before), Some(now)) => {
                let heir = self.own_record(moment, role, now.lease);
                let facts =
                    heir.and_then(|(_, kv)| Record::parse(&kv.value).ok()).and_then(|record| record.facts);
                if facts.is_some_and(|facts| facts.accepts == Some(before.mod_revision)) {
                    (How::HandedOver, Ended::HandedOver)
                } else {
                    (How::Taken, Ended::Taken)
                }
            }
        }
    }

    fn look_at_win(&self, role: &Role, lock: &KeyValue, how: How, moment: &Moment<'_>, report: &mut Report) {
        let key = &lock.key;
        let mut found = |kind, what: String| report.found(kind, role.as_str(), key, moment.when, what);
        if lock.lease == LeaseId::NONE {
            return found(Kind::NoLease, "was taken on no lease: it stays when its holder dies".into());
        }
        let record = match Record::parse(&lock.value) {
            Ok(record) => record,
            Err(error) => return found(Kind::Unreadable, format!("is no record: {error}")),
        };
        let Some((id, own)) = self.own_record(moment, role, lock.lease) else {
            return found(
                Kind::NoRecord,
                format!("was taken on lease {}, on which nobody registered", lock.lease),
            );
        };
        if id != record.server_id {
            let what = format!("says server id {}, and hangs on the lease of {}", record.server_id, own.key);
            found(Kind::OtherRecord, what);
        }
        if role.is_mixcoord() && matches!(how, How::Won | How::HandedOver) {
            self.look_at_key_set(role, lock, &record, own, moment, report);
        }
    }

    /// What a mixcoord of 3.0 or of ours takes at once, and its version.
    fn look_at_key_set(
        &self,
        role: &Role,
        lock: &KeyValue,
        record: &Record,
        own: &KeyValue,
        moment: &Moment<'_>,
        report: &mut Report,
    ) {
        let three: Vec<Key> = self.others_of_set(role, &lock.key);
        let is_taken = |key: &Key| {
            moment.is(key).is_some_and(|kv| kv.mod_revision == lock.mod_revision && kv.lease == lock.lease)
        };
        let taken = three.iter().filter(|key| is_taken(key)).count();
        let version = self.root.version_key();
        let written = moment.is(&version).filter(|kv| kv.mod_revision == lock.mod_revision);
        let is_ours = Record::parse(&own.value).is_ok_and(|record| record.facts.is_some());
        if taken == 0 && written.is_none() && !is_ours {
            return;
        }
        let mut found =
            |kind, key: &Key, what: String| report.found(kind, role.as_str(), key, moment.when, what);
        for key in three.iter().filter(|key| !is_taken(key)) {
            found(Kind::PartialKeySet, key, format!("was not taken with {}", lock.key));
        }
        let Some(own) = &record.version else { return };
        if let Some(Err(error)) = moment.was(&version).map(|kv| may_lead(&kv.value, own)) {
            found(Kind::Outdated, &lock.key, format!("was taken although {error}"));
        }
        if written.is_none_or(|kv| kv.value != Value::from(own.to_string())) {
            found(Kind::VersionNotTold, &version, format!("was not put, as {own} became primary"));
        }
    }

    /// The other locks of the key set that this lock is of, in the same layout.
    fn others_of_set(&self, role: &Role, lock: &Key) -> Vec<Key> {
        let sets = [Layout::Milvus, Layout::AfterStart].map(|layout| {
            Keys::new(&self.root, role, layout, 0)
                .locks
                .into_iter()
                .map(|claimed| claimed.key)
                .collect::<Vec<_>>()
        });
        let set = sets.into_iter().find(|set| set.contains(lock)).unwrap_or_default();
        set.into_iter().filter(|key| key != lock).collect()
    }

    /// A key set that was taken as one must go as one.
    fn look_at_rest(&self, before: &KeyValue, role: &Role, moment: &Moment<'_>, report: &mut Report) {
        let set = [vec![before.key.clone()], self.others_of_set(role, &before.key)].concat();
        let of_set = |kv: &&KeyValue| kv.mod_revision == before.mod_revision && kv.lease == before.lease;
        let were = set.iter().filter(|key| moment.was(key).filter(of_set).is_some());
        let (left, gone): (Vec<&Key>, Vec<&Key>) =
            were.partition(|key| moment.is(key).filter(of_set).is_some());
        if let (Some(left), false) = (left.first(), gone.is_empty()) {
            for key in &gone {
                let what = format!("went, and {left}, which was taken with it, stayed");
                report.found(Kind::PartialKeySet, role.as_str(), key, moment.when, what);
            }
        }
    }

    fn leave(&mut self, kind: Kind, role: &Role, key: &KeyValue, since: When, what: String) {
        self.left.push(Left { kind, role: role.clone(), key: key.clone(), since, what });
    }

    fn look_at_what_was_left(&mut self, moment: &Moment<'_>, report: &mut Report) {
        self.left.retain(|left| {
            let now = moment.is(&left.key.key);
            if now.is_some_and(|kv| kv.mod_revision == left.key.mod_revision) {
                return true;
            }
            let stayed = moment.when.at_ms.zip(left.since.at_ms).map_or(0, |(now, since)| now - since);
            if now.is_some() || stayed > STAYS_MS {
                left.tell(report);
            }
            false
        });
    }

    fn look_at_candidate(
        &mut self,
        role: &Role,
        id: i64,
        event: &KeyEvent,
        moment: &Moment<'_>,
        report: &mut Report,
    ) {
        let key = &event.key;
        let mut found = |kind, what: String| report.found(kind, role.as_str(), key, moment.when, what);
        let before = moment.was(key);
        let Some(now) = &event.now else {
            let Some(before) = before.filter(|kv| kv.lease != LeaseId::NONE) else { return };
            let locks: Vec<Key> = {
                let places = self.places(role);
                vec![places.election, places.service]
            };
            let outlives = |kv: &&KeyValue| kv.lease == before.lease;
            if let Some(lock) = locks.iter().find_map(|key| moment.is(key).filter(outlives)) {
                let what = format!("stayed on lease {}, although its holder's record went", lock.lease);
                self.leave(Kind::LockOutlived, role, lock, moment.when, what);
            }
            return;
        };
        if now.lease == LeaseId::NONE {
            found(Kind::NoLease, "was registered on no lease: it stays when its process dies".into());
        }
        let record = match Record::parse(&now.value) {
            Ok(record) => record,
            Err(error) => return found(Kind::Unreadable, format!("is no record: {error}")),
        };
        if record.server_id != id {
            found(Kind::OtherRecord, format!("says that its server id is {}", record.server_id));
        }
        let was = before.and_then(|kv| Some((kv.lease, Record::parse(&kv.value).ok()?)));
        if let Some((lease, was)) = was
            && lease != now.lease
            && was.address != record.address
        {
            let [old, new] = [&was.address, &record.address].map(|text| plain(text, BRIEF).into_owned());
            found(Kind::RecordTaken, format!("of {old} was put over by {new}, on lease {}", now.lease));
        }
    }

    fn look_at_next_id(&self, event: &KeyEvent, moment: &Moment<'_>, report: &mut Report) {
        let key = &event.key;
        let read = |kv: &KeyValue| self.root.parse_id(&kv.value).ok();
        let Some(before) = moment.was(key).filter(|_| !moment.is_first).and_then(read) else { return };
        let what = match event.now.as_ref().map(read) {
            None => format!("was deleted; it was {before}"),
            Some(None) => format!("is no next server id any more; it was {before}"),
            Some(Some(now)) if now < before => format!("became {now}; it was {before}"),
            Some(Some(_)) => return,
        };
        report.found(Kind::IdWentBack, "", key, moment.when, what);
    }

    fn term(&self, role: &Role, lock: &KeyValue, how: How, moment: &Moment<'_>) -> Term {
        let record = Record::parse(&lock.value).ok();
        let holder = record.as_ref().map_or_else(|| "?".to_owned(), |record| record.server_id.to_string());
        let _ = role;
        Term {
            token: lock.mod_revision.0,
            holder,
            address: record.map(|record| record.address).filter(|address| !address.is_empty()),
            lease: lease(lock.lease),
            since: When { revision: lock.mod_revision.0, at_ms: moment.when.at_ms },
            how,
            ended: None,
        }
    }
}

impl Left {
    fn tell(&self, report: &mut Report) {
        report.found(self.kind, self.role.as_str(), &self.key.key, self.since, self.what.clone());
    }
}

impl judge::Judge for Judge {
    fn end(&mut self, report: &mut Report) {
        self.left.drain(..).for_each(|left| left.tell(report));
    }

    fn look(&mut self, moment: &Moment<'_>, report: &mut Report) {
        self.look_at_what_was_left(moment, report);
        let mut roles = BTreeSet::new();
        for event in &moment.events {
            match self.root.meaning(&event.key) {
                Some(Meaning::Service(role) | Meaning::Election(role)) => _ = roles.insert(role),
                Some(Meaning::Candidate(role, id)) => {
                    self.look_at_candidate(&role, id, event, moment, report)
                }
                Some(Meaning::NextId) => self.look_at_next_id(event, moment, report),
                Some(Meaning::Version) | None => {}
            }
        }
        // A mixcoord's own lock first: the others' are part of its key set.
        let mut roles: Vec<Role> = roles.into_iter().collect();
        roles.sort_by_key(|role| !role.is_mixcoord());
        let set = Role::parse("mixcoord")
            .ok()
            .filter(|mixcoord| roles.iter().any(|role| role.holders().contains(mixcoord)));
        if let Some(mixcoord) = set
            && let Some(lock) = self.seats.get(&mixcoord).and_then(|seat| seat.lock.as_ref())
        {
            self.look_at_rest(lock, &mixcoord, moment, report);
        }
        for role in &roles {
            self.look_at_role(role, moment, report);
        }
    }
}
