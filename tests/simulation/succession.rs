//! Who comes next when a primary dies and everybody else is well: the first in line, and nobody else asks.

use std::time::Duration;

use primacy_engine::milvus::Record;
use primacy_engine::store::{KeyValue, LeaseId, Revision};
use primacy_engine::{ElectionId, WatchId};

use crate::cluster::{self, Who};
use crate::neighbour;
use crate::process::{Election, Process, Session};
use crate::scenario::ROLES;
use crate::world::{Listener, World};

/// The longest usual way of a network, in milliseconds, in which the first one is heard of before the second has its turn.
const NEAR: u64 = 5;
/// By then there is another primary.
pub const SOON: Duration = Duration::from_secs(3);

/// A lock that went with its holder, and who has to come next.
#[derive(Clone, Copy, Debug)]
pub struct Succession {
    role: usize,
    first: usize,
    /// Who campaigned since.
    campaigns: u32,
    over: bool,
}

impl World<'_> {
    /// One primary dies, and its lease with it, as its crash guard sees to; whether there was one.
    pub fn begin_succession(&mut self) -> bool {
        let keys = self.cluster.keys(self.now);
        let mut primaries = (0..self.processes.len()).map(|p| (p, self.successors(p, &keys)));
        let Some((process, successions)) = primaries.find(|(_, of)| !of.is_empty()) else { return false };
        self.successions = successions;
        let p = &self.processes[process];
        let lease =
            p.session.as_ref().and_then(|s| s.engine.snapshot(p.clock.read(self.now)).lease.parse().ok());
        self.trace.note(self.now, "PHASE", format_args!("p{process} dies: {:?}", self.successions));
        self.crash(process, None);
        if let Some(lease) = lease.map(LeaseId) {
            self.cluster.revoked_by_hand(self.now, lease);
            let _ = self.cluster.model.revoke(self.now, lease);
        }
        self.listen(Who::Operator);
        true
    }

    /// Who has to come next in each role of which a process is primary, where all know that.
    fn successors(&self, process: usize, keys: &[KeyValue]) -> Vec<Succession> {
        let session = self.processes[process].session.as_ref();
        let elections = session.map_or(&[][..], |session| &session.elections);
        elections.iter().filter_map(|e| self.successor(process, e, keys)).collect()
    }

    fn successor(&self, process: usize, of: &Election, keys: &[KeyValue]) -> Option<Succession> {
        let (token, role, who) = (self.says(process, of.id)?.token, of.role, self.processes[process].who());
        let mut records = keys.iter().filter(|kv| self.keys.records(role).contains(&kv.key));
        let own = records.find(|kv| self.cluster.owner(&kv.key) == Some(who))?;
        // Told before the idle time began: all have had the time to hear of it, or to read it.
        let told = own.mod_revision > Revision(token.0) && own.mod_revision <= self.rests_since;
        let first = Record::parse(&own.value).ok()?.facts?.line.ids().next().filter(|_| told)?;
        let layout = self.scenario.processes[process].layout;
        let alike = self.scenario.processes.iter().all(|p| p.layout == layout);
        let old = self.neighbours.iter().any(|n| neighbour::is_there(n, self.now));
        if self.scenario.network.usual > NEAR || !alike || old {
            return None;
        }
        let others = || self.processes.iter().filter(|p| p.index != process);
        let live = |p: &&Process| p.session.as_ref().is_some_and(|s| s.closed.is_none());
        // Whoever is not registered, or hears nothing, knows of no line, or of no lock that is gone.
        let disturbed = others().filter(live).any(|p| {
            let Some(s) = &p.session else { return false };
            let rivals =
                |e: &Election| cluster::roles_of(e.role) & cluster::roles_of(role) != 0 && e.role != role;
            let mut there = s.elections.iter().filter(|e| !e.withdrawn);
            s.watches.iter().any(|w| w.silent || !w.confirmed || !self.is_told(p, w.id))
                || there.any(|e| e.hangs || rivals(e) || !self.is_registered(p, s, e, keys))
        });
        // Two may take themselves for who is named, where the store has gone back.
        let first = self.cluster.owner(&self.cluster.root.record_key(self.keys.role(role), first))?;
        let wants = |s: &Session| s.elections.iter().any(|e| e.role == role && e.wants && !e.withdrawn);
        let first =
            others().find(|p| live(p) && p.who() == first && p.session.as_ref().is_some_and(wants))?;
        (!disturbed).then_some(Succession { role, first: first.index, campaigns: 0, over: false })
    }

    /// Whether the store still tells a watch anything; that its stream broke may not have been noticed yet.
    fn is_told(&self, p: &Process, of: WatchId) -> bool {
        let mut listeners = self.streams.iter().map(|(_, listener)| listener);
        listeners.any(|listener| {
            matches!(listener, Listener::Session { process, life, watch }
                if (*process, *life, *watch) == (p.index, p.life, of))
        })
    }

    /// A candidate campaigns.
    pub fn somebody_campaigns(&mut self, process: usize, election: ElectionId) {
        let session = self.processes[process].session.as_ref();
        let Some(role) = session.and_then(|s| s.elections.get(election.0 as usize)).map(|e| e.role) else {
            return;
        };
        if self.scenario.processes[process].priority == 0 {
            self.violate("never with priority 0", format!("p{process} campaigns for {}", ROLES[role]));
        }
        for succession in self.successions.iter_mut().filter(|s| s.role == role && !s.over) {
            succession.campaigns += 1;
        }
    }

    /// Somebody has won.
    pub fn somebody_succeeds(&mut self, process: usize, role: usize) {
        let Some(at) = self.successions.iter().position(|s| s.role == role && !s.over) else { return };
        self.successions[at].over = true;
        self.seen.successions += 1;
        let Succession { first, campaigns, .. } = self.successions[at];
        if (first, campaigns) != (process, 1) {
            let text = format!("p{process} won {}, not p{first}, after {campaigns} campaigns", ROLES[role]);
            self.violate("the first in line comes next", text);
        }
    }

    /// By now each lock is in other hands.
    pub fn end_succession(&mut self) {
        if let Some(left) = self.successions.iter().find(|s| !s.over) {
            let text = format!("p{} has not won {}", left.first, ROLES[left.role]);
            self.violate("the first in line comes next", text);
        }
        self.successions.clear();
    }
}
