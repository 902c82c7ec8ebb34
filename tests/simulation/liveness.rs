//! What has to come to pass once the faults have ended: somebody is primary wherever somebody wants to be, then
//! there is quiet, and whoever is told to stop stops and leaves nothing behind.

use std::time::Duration;

use primacy_engine::milvus::Layout;
use primacy_engine::store::{Key, KeyValue, Revision};
use primacy_engine::time::Time;

use crate::cluster::{self, Who};
use crate::keys::TABLE;
use crate::neighbour;
use crate::process::{Election, Process, Session};
use crate::scenario::{MIXCOORD, ROLES};
use crate::succession::SOON;
use crate::world::{Happening, World};

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(500);
/// How long a request may be on its way at most, after it was given up.
const LATE: Duration = Duration::from_secs(75);

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Things break.
    Faults,
    /// Everything works; until `until` it must have settled.
    Settling { until: Time },
    /// It has settled; nothing may happen until then.
    Idle { until: Time },
    /// A primary has died, and everything else works; until then there is another one.
    Succession { until: Time },
    /// All sessions were told to stop; until then they have time.
    Stopping { until: Time },
    /// Requests that are still on their way arrive until then.
    Draining { until: Time },
    /// The end.
    Over,
}

impl World<'_> {
    /// Looks at how far the run is.
    pub fn look(&mut self) {
        let now = self.now;
        let mut next = now + LOOK;
        match self.phase {
            Phase::Faults => {
                self.trace.note(now, "PHASE", "the faults have ended");
                self.phase = Phase::Settling { until: now + self.patience() };
                self.faults_end();
            }
            Phase::Settling { until } => match self.settled() {
                Ok(()) => {
                    self.trace.note(now, "PHASE", "settled");
                    let took = now.since(self.scenario.faults_end).as_secs();
                    self.seen.settled = self.seen.settled.max(took);
                    self.begin_idling();
                    next = now + self.scenario.granted() * 2;
                    self.phase = Phase::Idle { until: next };
                }
                Err(why) if now > until => self.violate("somebody is primary in the end", why),
                Err(_) => {}
            },
            Phase::Idle { .. } => {
                self.end_idling();
                if self.begin_succession() {
                    next = now + SOON;
                    self.phase = Phase::Succession { until: next };
                } else {
                    next = self.all_stop();
                }
            }
            Phase::Succession { .. } => {
                self.end_succession();
                next = self.all_stop();
            }
            Phase::Stopping { .. } => {
                self.look_at_stopped();
                for index in 0..self.neighbours.len() {
                    self.neighbour_ends(index, false);
                }
                next = now + LATE;
                self.phase = Phase::Draining { until: next };
            }
            Phase::Draining { .. } => {
                self.settle_store();
                self.look_for_leftovers();
                (0..self.processes.len()).for_each(|process| self.look_for_unpaired(process));
                self.phase = Phase::Over;
            }
            Phase::Over => {}
        }
        self.queue.push(next, Happening::Look);
    }

    fn all_stop(&mut self) -> Time {
        self.trace.note(self.now, "PHASE", "all stop");
        let timeout = Duration::from_secs(4);
        for process in 0..self.processes.len() {
            self.stop(process, timeout, None);
        }
        let until = self.now + timeout * 2;
        self.phase = Phase::Stopping { until };
        until
    }

    /// How long it may take to settle: leases of the dead run out, requests that were sent just before the end are
    /// waited for, whoever resigned lets others go first, a re-read finds out what watches never said.
    fn patience(&self) -> Duration {
        let s = self.scenario;
        let usual = s.granted() * 5 + s.request_timeout + Duration::from_secs(15);
        let hangs = |p: &Process| p.session.as_ref().is_some_and(|s| s.elections.iter().any(|e| e.hangs));
        let hanging = self.processes.iter().filter(|p| hangs(p)).count();
        match u32::try_from(hanging).unwrap_or(0) {
            0 => usual,
            n => usual + s.drain_timeout + (s.activation_timeout + s.granted()) * n,
        }
    }

    /// Whether everything is as it should be; otherwise what is not.
    fn settled(&mut self) -> Result<(), String> {
        self.settle_store();
        // A lease that was not renewed meanwhile runs out yet.
        if self.now < self.cluster.down_until + self.scenario.granted() {
            return Err("etcd is not back for long enough".into());
        }
        // A re-read finds out, once it is answered again.
        let noticed =
            |at: Time| at.max(self.scenario.faults_end) + self.scenario.granted() + Duration::from_secs(1);
        if self.cluster.restored.is_some_and(|at| self.now < noticed(at)) {
            return Err("the store was put back just now".into());
        }
        for p in &self.processes {
            if p.returns || p.paused.is_some() {
                return Err(format!("p{} is not back", p.index));
            }
        }
        let keys = self.cluster.keys(self.now);
        for p in &self.processes {
            let Some(session) = &p.session else { continue };
            if session.closed.is_some() {
                continue;
            }
            if !session.goes_on() {
                return Err(format!("p{} has not stopped", p.index));
            }
            if session.opened.is_none() || session.planned > 0 {
                return Err(format!("p{} has not opened and registered", p.index));
            }
            if session.open.iter().any(|open| !open.calm) {
                return Err(format!("p{} waits for an answer that will not come", p.index));
            }
            for e in &session.elections {
                self.is_election_settled(p, session, e, &keys)?;
            }
        }
        for role in 0..ROLES.len() {
            self.is_role_settled(role, &keys)?;
        }
        // Last, since it takes longest to ask.
        let suspended = |p: &&Process| {
            let session = p.session.as_ref().filter(|session| session.closed.is_none());
            session.is_some_and(|session| session.engine.snapshot(p.clock.read(self.now)).suspended)
        };
        if let Some(p) = self.processes.iter().find(suspended) {
            return Err(format!("p{} waits for a renewal", p.index));
        }
        (0..self.observers.len()).try_for_each(|index| self.is_observer_right(index, &keys))
    }

    fn is_election_settled(
        &self,
        p: &Process,
        session: &Session,
        e: &Election,
        keys: &[KeyValue],
    ) -> Result<(), String> {
        if e.running.iter().any(|r| r.ends || r.hangs) {
            return Err(format!("p{} {} has a callback that will end", p.index, e.id));
        }
        if e.withdrawn || e.hangs {
            return Ok(());
        }
        if e.withdraw.is_some() || !e.deferred.is_empty() {
            return Err(format!("p{} {} has not ended", p.index, e.id));
        }
        if !self.is_registered(p, session, e, keys) {
            let id = session.engine.snapshot(p.clock.read(self.now)).server_id;
            let record = format!("{}/session/{}-{id}", self.cluster.root, ROLES[e.role]);
            let taken = keys.iter().any(|kv| {
                kv.key.to_string() == record
                    && self
                        .cluster
                        .owner(&kv.key)
                        .is_some_and(|other| other != p.who() && self.is_live(other))
            });
            if !taken {
                return Err(format!("p{} {} has no record {record}", p.index, e.id));
            }
        }
        if let Some(published) = self.says(p.index, e.id) {
            let win = &self.cluster.wins[published.win];
            if win.gone.is_some() {
                return Err(format!("p{} {} is primary, and its win is gone", p.index, e.id));
            }
            let services = &self.keys.of(e.role, self.scenario.processes[p.index].layout).services;
            let missing = services.iter().find(|service| !keys.iter().any(|kv| kv.key == service.key));
            if let (true, Some(service)) = (e.ready, missing) {
                return Err(format!("p{} {} is ready without {}", p.index, e.id, service.key));
            }
        }
        Ok(())
    }

    /// Whether the record of a candidate stands, on a lease that it still has.
    pub fn is_registered(&self, p: &Process, session: &Session, e: &Election, keys: &[KeyValue]) -> bool {
        let of_role = self.keys.records(e.role);
        let lease = session.engine.snapshot(p.clock.read(self.now)).lease;
        keys.iter().any(|kv| {
            of_role.contains(&kv.key)
                && self.cluster.owner(&kv.key) == Some(p.who())
                && lease == kv.lease.to_string()
        })
    }

    fn is_live(&self, who: Who) -> bool {
        match who {
            Who::Session(process, life) => {
                let p = &self.processes[process];
                p.life == life && p.session.as_ref().is_some_and(|s| s.closed.is_none())
            }
            Who::Neighbour(index) => neighbour::is_there(&self.neighbours[index], self.now),
            Who::Operator | Who::Store => false,
        }
    }

    /// Somebody is primary of a role if somebody wants to be, and nobody stands in the way.
    fn is_role_settled(&self, role: usize, keys: &[KeyValue]) -> Result<(), String> {
        let version = keys.iter().find(|kv| kv.key == TABLE.version);
        let (mut willing, mut primary) = (None, false);
        for p in &self.processes {
            let Some(session) = p.session.as_ref().filter(|s| s.closed.is_none()) else { continue };
            let own = self.scenario.processes[p.index].version();
            let outdated = role == MIXCOORD && version.is_some_and(|kv| !cluster::may_lead(&kv.value, &own));
            let preferred = self.scenario.processes[p.index].priority > 0;
            for e in session.elections.iter().filter(|e| e.role == role && !e.withdrawn) {
                primary |= self.says(p.index, e.id).is_some();
                if e.wants && preferred && !e.hangs && !outdated && self.is_registered(p, session, e, keys) {
                    willing = Some((p.index, e.id));
                }
            }
        }
        let Some((process, election)) = willing.filter(|_| !primary) else { return Ok(()) };
        let in_the_way = keys.iter().find(|kv| {
            self.stands_in_the_way(role, &kv.key)
                && self.cluster.owner(&kv.key).is_some_and(|w| self.is_live(w))
        });
        match in_the_way {
            Some(kv) if self.cluster.owner(&kv.key) != Some(self.processes[process].who()) => {
                self.is_kept(&kv.key)
            }
            _ => Err(format!("nobody is primary of {}; p{process} {election} wants to be", ROLES[role])),
        }
    }

    /// Whether a key that stands in the way will stay: a lock, if its holder is primary; any other does.
    fn is_kept(&self, key: &Key) -> Result<(), String> {
        let Some((_, win)) = self.cluster.holders().find(|(lock, _)| *lock == key) else { return Ok(()) };
        let Who::Session(process, _) = self.cluster.wins[win].who else { return Ok(()) };
        let session = self.processes[process].session.as_ref();
        let is_primary = session.is_some_and(|s| {
            let mut of = s.elections.iter().filter(|e| e.published.is_some_and(|p| p.win == win));
            of.any(|e| self.says(process, e.id).is_some())
        });
        if is_primary { Ok(()) } else { Err(format!("p{process} holds {key} and is not primary")) }
    }

    /// Whether a key keeps candidates of a role from campaigning.
    fn stands_in_the_way(&self, role: usize, key: &Key) -> bool {
        [Layout::Milvus, Layout::AfterStart].into_iter().any(|layout| {
            let keys = self.keys.of(role, layout);
            keys.locks.iter().any(|lock| lock.key == *key)
                || keys.rivals.iter().any(|rival| rival.contains(key))
        })
    }

    fn begin_idling(&mut self) {
        self.rests_since = Revision(self.cluster.model.revision());
        for session in self.processes.iter_mut().filter_map(|p| p.session.as_mut()) {
            session.sent = 0;
            session.losses = session.losses_of_the_sound();
        }
    }

    /// While nothing happens, nobody loses anything, and the store is left in peace.
    fn end_idling(&mut self) {
        // A host that never returns may yet win, and gives that back only when its time is over.
        let hangs = |p: &Process| p.session.as_ref().is_some_and(|s| s.elections.iter().any(|e| e.hangs));
        if let Err(why) = self.settled()
            && !self.processes.iter().any(hangs)
        {
            self.violate("it stays settled", why);
        }
        for process in 0..self.processes.len() {
            let Some(session) = self.processes[process].session.as_ref().filter(|s| s.closed.is_none())
            else {
                continue;
            };
            // Two TTLs: six renewals, or a few more where answers have taken long until now; up to five re-reads, what
            // was just about to be done, and the facts told in each record.
            let most = 26 + 4 * u32::try_from(session.elections.len()).unwrap_or(0);
            let (sent, losses) = (session.sent, session.losses_of_the_sound());
            if sent > most {
                self.violate(
                    "an idle session is quiet",
                    format!("p{process} sent {sent} requests in two TTLs"),
                );
            } else if losses > session.losses {
                self.violate("nothing is lost without a fault", format!("p{process} lost primacy"));
            }
        }
    }

    fn look_at_stopped(&mut self) {
        for process in 0..self.processes.len() {
            let Some(session) = &self.processes[process].session else { continue };
            match session.closed {
                None => self.violate("bounded stop", format!("p{process} has not closed")),
                Some(false) => {
                    let asked_now = session.again.is_none() && session.stop.is_some();
                    if asked_now && session.stopped_calmly {
                        self.violate("a stop releases", format!("p{process} closed and left a lock"));
                    }
                }
                Some(true) => {}
            }
        }
    }

    /// In the end no key is left that a session wrote, but the counter and the version.
    fn look_for_leftovers(&mut self) {
        let (id, version) = (self.cluster.root.id_key(), self.cluster.root.version_key());
        for kv in self.cluster.keys(self.now) {
            let ours = matches!(self.cluster.owner(&kv.key), Some(Who::Session(..)));
            let data = kv.key.as_bytes().starts_with(cluster::DATA.as_bytes());
            if ours && !data && kv.key != id && kv.key != version {
                self.violate("nothing is left behind", format!("{} is still there", kv.key));
            }
        }
    }
}

impl Session {
    /// How often its elections have lost what they did not give away, but for those with a callback that never ends.
    fn losses_of_the_sound(&self) -> u32 {
        self.elections.iter().filter(|e| !e.hangs).map(|e| e.called.1 - e.resigned).sum()
    }
}
