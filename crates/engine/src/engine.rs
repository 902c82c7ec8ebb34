//! One session: what a step is, and the order inside it.

mod snapshot;

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::Level;
use crate::action::{Action, Purpose};
use crate::effects::Effects;
use crate::election::{Ground, Wish, reserve};
use crate::elections::Elections;
use crate::event::{Event, Outcome};
use crate::identity::Identity;
use crate::ids::{CallId, ElectionId, RequestId, Token};
use crate::lease::{Acknowledged, Change, Keeper, renewal_patience};
use crate::milvus::Role;
use crate::reread::Reread;
use crate::setup::Setup;
use crate::spell::Spell;
use crate::store::{Answer, Compare, Failure, KeyValue, Range, Revision};
use crate::time::Time;

pub use self::snapshot::{ElectionSnapshot, Snapshot};

/// A session and its elections.
#[derive(Clone, Debug)]
pub struct Engine {
    setup: Setup,
    fx: Effects,
    keeper: Keeper,
    identity: Identity,
    elections: Elections,
    /// What elections that have ended held while the present lease was ours. None of it can be there again, unless in
    /// a store that went back: then nobody would ever be primary, since the lease is still renewed.
    former: BTreeMap<Role, Vec<Range>>,
    reread: Reread,
    asked: BTreeMap<RequestId, Asked>,
    /// The host is going to stop, and the candidates' records say so.
    stopping: bool,
    /// The highest revision that a linearizable answer or an event bore.
    floor: Revision,
    cluster: Option<u64>,
    life: Life,
    /// Said once in a while, where two clusters answer in turns.
    went_back: Spell<Time>,
}

/// A request that has not been answered yet.
#[derive(Clone, Debug, Hash)]
struct Asked {
    purpose: Purpose,
    election: Option<ElectionId>,
    /// The store had at least this revision when it was sent; an answer with a lower one comes from a store that
    /// went back. `None`: sent before it went back, so that the answer says nothing about the store as it is now.
    floor: Option<Revision>,
    /// The renewal that its answer may confirm: it was acknowledged before this was sent.
    confirms: Option<Acknowledged>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Life {
    New,
    Opening,
    Open,
    /// Asked for inside a call; begun when that is completed, or at `begin` at the latest.
    StopAsked {
        call: CallId,
        begin: Time,
        until: Time,
    },
    Stopping {
        until: Time,
    },
    Closed,
}

impl Engine {
    /// A session that has not been opened yet.
    pub fn new(setup: Setup) -> Self {
        Engine {
            fx: Effects::new(setup.seed),
            keeper: Keeper::new(setup.first_lease),
            identity: Identity::new(),
            elections: Elections::default(),
            former: BTreeMap::new(),
            reread: Reread::default(),
            asked: BTreeMap::new(),
            stopping: false,
            floor: Revision(0),
            cluster: None,
            life: Life::New,
            went_back: Spell::default(),
            setup,
        }
    }

    /// Takes in one event, at `now`, and says what is to be done. `now` must not go back.
    pub fn step(&mut self, now: Time, event: Event) -> Vec<Action> {
        self.fx.now = now.max(self.fx.now);
        self.look_at_timers();
        self.take_in(event);
        self.follow_up();
        let actions = self.fx.take();
        self.note_names(&actions);
        actions
    }

    /// When to call [`Engine::step`] with [`Event::Tick`] at the latest, if nothing else happens before.
    pub fn next_deadline(&self) -> Option<Time> {
        self.next_timer().map(|(at, _)| at)
    }

    /// The timer that is due next, and what it is called in transcripts.
    pub fn next_timer(&self) -> Option<(Time, &'static str)> {
        let now = self.fx.now;
        let mut next: Option<(Time, &'static str)> = None;
        // What was due at the last step has been looked at; it stays until something else happens.
        let mut due = |at: Time, name| {
            if at > now && next.is_none_or(|(earliest, _)| at < earliest) {
                next = Some((at, name));
            }
        };
        if self.life != Life::Closed {
            self.keeper.timers(&mut due);
        }
        self.identity.timers(&mut due);
        if self.can_reread() {
            self.reread.timers(&mut due);
        }
        if let Some((at, name)) = self.elections.next_timer() {
            due(at, name);
        }
        match self.life {
            Life::StopAsked { begin, .. } => due(begin, "stop due"),
            Life::Stopping { until } => due(until, "stop over"),
            _ => {}
        }
        next
    }

    /// What a write under `token` must compare: the whole key set of that win. `None`: no such win, or released.
    pub fn guard(&self, election: ElectionId, token: Token) -> Option<Vec<Compare>> {
        self.elections.get(election)?.guard(token)
    }

    /// At how many elections its steps have looked so far: what a step costs.
    pub fn looks(&self) -> u64 {
        self.elections.looks()
    }

    fn look_at_timers(&mut self) {
        let change = self.keeper.tick(&mut self.fx, &self.setup);
        self.lease_changed(change);
        self.identity.tick(&mut self.fx, &self.setup);
        let now = self.fx.now;
        self.elections.touch_due(now);
        if let Life::StopAsked { begin, until, .. } = self.life
            && begin <= now
        {
            self.begin_stop(until);
        }
    }

    fn take_in(&mut self, event: Event) {
        let Engine { setup, fx, .. } = self;
        match event {
            Event::Tick => {}
            Event::Open => {
                if self.life == Life::New {
                    self.life = Life::Opening;
                    self.keeper.open(fx, setup);
                    self.identity.take(fx, setup);
                }
            }
            Event::Register { election, role } => {
                role.excludes().iter().for_each(|role| _ = self.former.remove(role));
                self.elections.add(election, role);
                if matches!(self.life, Life::Stopping { .. } | Life::Closed) {
                    self.take_in(Event::Withdraw { election, timeout: Duration::ZERO, within: None });
                }
            }
            Event::Campaign { election } => {
                if let Some(e) = self.elections.change(election) {
                    e.campaign();
                }
            }
            Event::Resign { election, within } => {
                if let Some(e) = self.elections.change(election) {
                    e.resign(fx, setup, within);
                }
            }
            Event::MarkStopping => {
                self.stopping = true;
                self.elections.touch_all();
            }
            Event::Withdraw { election, timeout, within } => {
                if let Some(e) = self.elections.change(election) {
                    e.withdraw(fx, setup, timeout, within);
                }
            }
            Event::Stop { timeout, within } => self.stop(timeout, within),
            Event::Taken { call } => {
                if let Some(e) = self.elections.change_of_running(call) {
                    e.taken(fx, call);
                }
            }
            Event::Unread { election, waits } => {
                if let Some(e) = self.elections.change(election) {
                    e.unread(fx, setup, waits);
                }
            }
            Event::Completed { call, outcome } => self.completed(call, outcome),
            Event::Answered { request, result } => self.answered(request, result),
            Event::Watching { watch } => {
                if let Some(e) = self.elections.change_of_watch(watch) {
                    let wish = e.watching(fx);
                    self.grant(wish);
                }
            }
            Event::Watched { watch, events } => {
                if let Some(e) = self.elections.change_of_watch(watch) {
                    // What a member has told of is committed: a linearizable answer to what is sent from now on is
                    // no older.
                    let told = events.iter().map(|event| event.revision).max();
                    self.floor = self.floor.max(told.unwrap_or_default());
                    e.watched(events);
                }
            }
            Event::WatchEnded { watch, why } => {
                if let Some(e) = self.elections.change_of_watch(watch) {
                    e.watch_ended(fx, &why);
                }
            }
        }
    }

    fn completed(&mut self, call: CallId, outcome: Outcome) {
        let Engine { setup, fx, elections, .. } = self;
        if let Some(e) = elections.change_of_call(call) {
            e.completed(fx, setup, call, &outcome);
        }
        if let Life::StopAsked { call: within, until, .. } = self.life
            && within == call
        {
            self.begin_stop(until);
        }
    }

    fn answered(&mut self, request: RequestId, result: Result<Answer, Failure>) {
        let Some(asked) = self.asked.remove(&request) else { return };
        let went_back = match (&result, asked.floor) {
            (Ok(Answer::Txn(answer)), Some(floor)) => {
                let other = self.cluster.is_some_and(|cluster| cluster != answer.origin.cluster);
                let older = answer.revision < floor;
                self.cluster = Some(answer.origin.cluster);
                self.floor = if other || older { answer.revision } else { self.floor.max(answer.revision) };
                other || older
            }
            _ => false,
        };
        if went_back {
            self.store_rolled_back();
        }
        let change = match (&result, asked.confirms) {
            (Ok(Answer::Txn(answer)), confirms) => self.keeper.heard(&mut self.fx, confirms, answer.origin),
            (Err(failure), Some(confirms)) if asked.purpose == Purpose::Confirm => {
                self.keeper.not_confirmed(&mut self.fx, confirms, &failure.to_string())
            }
            _ => None,
        };
        self.lease_changed(change);
        let Engine { setup, fx, .. } = self;
        match (asked.purpose, asked.election) {
            (Purpose::Grant | Purpose::Renew | Purpose::Revoke, _) => {
                if let (Purpose::Grant, Err(failure)) = (asked.purpose, &result) {
                    self.open_failed(failure.clone());
                }
                let change = self.keeper.answered(&mut self.fx, &self.setup, request, &result);
                self.lease_changed(change);
            }
            (Purpose::TakeId, _) => {
                let answer = match &result {
                    Ok(Answer::Txn(answer)) => Ok(answer),
                    Ok(_) => return,
                    Err(failure) => Err(failure),
                };
                match self.identity.answered(fx, setup, request, answer) {
                    Ok(true) => self.elections.touch_all(),
                    Ok(false) => {}
                    Err(failure) => self.open_failed(failure),
                }
            }
            (Purpose::Reread | Purpose::Confirm, _) => {
                let Engine { elections, former, keeper, .. } = self;
                let lease = keeper.held().map(|held| held.id);
                let is_former = |kv: &KeyValue| {
                    Some(kv.lease) == lease && former.values().flatten().any(|range| range.contains(&kv.key))
                };
                let mut back = false;
                self.reread.answered(fx, request, &result, |election, revision, reads| match election {
                    Some(election) => {
                        if let Some(e) = elections.change(election) {
                            e.reread(revision, reads);
                        }
                    }
                    None => back |= reads.iter().flatten().any(is_former),
                });
                if back {
                    self.store_rolled_back();
                }
            }
            (_, Some(election)) => {
                let ground = Ground::new(setup, &self.keeper, &self.identity, self.stopping);
                if let Some(e) = self.elections.change(election) {
                    let wish = e.answered(fx, ground, request, result);
                    let registered = e.is_registered(&self.keeper);
                    self.elections.note(election, fx.now, ground);
                    if !self.identity.is_in_use() {
                        // Those whose record is somebody else's wait for one of ours, to keep the id, or for none
                        // that may be on its way, to take another one.
                        self.elections.touch_displaced();
                    }
                    if registered {
                        self.identity.use_it();
                    }
                    self.grant(wish);
                }
            }
            _ => {}
        }
    }

    fn open_failed(&mut self, failure: Failure) {
        if self.life == Life::Opening && !failure.may_pass() && failure != Failure::LeaseExists {
            self.fx.push(Action::OpenFailed { failure });
        }
    }

    fn lease_changed(&mut self, change: Option<Change>) {
        let Some(change) = change else { return };
        for election in self.elections.change_all() {
            match change {
                Change::Lost(lease) => election.lease_lost(&mut self.fx, &self.setup, lease),
                Change::Granted => election.lease_granted(),
                // They see for themselves.
                Change::Late | Change::Renewed => {}
            }
        }
        if matches!(change, Change::Lost(_)) {
            self.former.clear();
        }
    }

    /// The store was put back to an older state, or is another one: it hands out old revisions, ids and tokens
    /// again, and what we know of our keys says nothing about it. A new lease, a new server id.
    fn store_rolled_back(&mut self) {
        let text = "the store went back to an older state, or is another one; starting anew. After a restore, \
                    raise the revision (etcdutl snapshot restore --bump-revision --mark-compacted)";
        if self.went_back.wrong(self.fx.now) {
            self.fx.log(Level::Error, None, text);
        }
        for election in self.elections.change_all() {
            election.store_rolled_back(&mut self.fx, &self.setup);
        }
        self.reread.forget();
        self.asked.values_mut().for_each(|asked| asked.floor = None);
        let change = self.keeper.replace(&mut self.fx, &self.setup);
        self.lease_changed(change);
        self.take_another_id();
    }

    fn take_another_id(&mut self) {
        if matches!(self.life, Life::Opening | Life::Open | Life::StopAsked { .. }) {
            self.identity.take_another(&mut self.fx, &self.setup);
        }
        self.elections.touch_all();
    }

    fn grant(&mut self, wish: Wish) {
        if wish.reread {
            self.reread.wish(self.fx.now);
        }
        if wish.won {
            self.reread.at_latest(self.fx.now + self.ttl() / 2);
        }
        if let Some(lease) = wish.not_found {
            let change = self.keeper.not_found(&mut self.fx, &self.setup, lease);
            self.lease_changed(change);
        }
        // Not while the record of another election may be on its way under this id.
        if wish.another_id && !self.elections.any_writes() {
            self.fx.log(
                Level::Warn,
                None,
                "somebody else is registered under the server id; taking another one",
            );
            self.reread.forget();
            for e in self.elections.change_all() {
                e.forget(&mut self.fx);
            }
            self.take_another_id();
        }
    }

    fn ttl(&self) -> Duration {
        self.keeper.held().map_or(self.setup.ttl, |held| held.ttl)
    }

    fn follow_up(&mut self) {
        if self.life == Life::Opening
            && self.keeper.held().is_some()
            && let Some(server_id) = self.identity.known()
        {
            self.life = Life::Open;
            self.fx.push(Action::Opened { server_id });
        }
        loop {
            let changed = self.elections.take_changed();
            if changed.is_empty() {
                break;
            }
            changed.into_iter().for_each(|id| self.advance(id));
        }
        self.keeper.rely(self.elections.any_primary());
        self.confirm_renewal();
        self.look_again();
        if self.life != Life::Closed {
            self.end_leases();
            self.look_at_stop();
        }
    }

    fn advance(&mut self, id: ElectionId) {
        let barred = self.is_barred(id);
        let Engine { setup, fx, keeper, identity, elections, former, stopping, .. } = self;
        let Some(election) = elections.look(id) else { return };
        let mut ground = Ground::new(setup, keeper, identity, *stopping);
        ground.server_id = ground.server_id.filter(|_| !barred);
        let wish = election.advance(fx, ground);
        if election.is_over(fx.now, ground) || (election.is_withdrawn() && self.life == Life::Closed) {
            if let Some(ended) = elections.remove(id) {
                let excluded = ended.role.excludes();
                if keeper.held().is_some() && !elections.any_of(&excluded) {
                    former.insert(ended.role.clone(), ended.locks());
                }
                // What they waited for.
                elections.touch_roles(&excluded);
            }
        } else {
            elections.note(id, fx.now, ground);
        }
        self.grant(wish);
    }

    /// Whether an earlier election has not cleaned up the keys yet that this one would claim.
    fn is_barred(&self, id: ElectionId) -> bool {
        let Some(new) = self.elections.get(id).filter(|e| e.is_new()) else { return false };
        self.elections.any_earlier(id, &new.role.excludes())
    }

    fn can_reread(&self) -> bool {
        self.keeper.held().is_some() && (!self.former.is_empty() || self.elections.any_reads())
    }

    /// Sends what confirms the last renewal, if somebody needs that.
    fn confirm_renewal(&mut self) {
        if !self.elections.any_win() || !self.keeper.ask_for_confirmation() {
            return;
        }
        let (patience, period) = (renewal_patience(self.ttl()), self.period());
        let Engine { fx, elections, former, reread, .. } = self;
        let former = former.values().map(|locks| (None, locks.as_slice()));
        let all = elections.iter().map(|e| (Some(e.id), e.ranges())).chain(former);
        let own = elections.won().map(|e| (Some(e.id), e.own_ranges()));
        reread.confirm(fx, patience, period, all, own);
    }

    /// The longest between two looks at a key that a primary stands on, and otherwise at any.
    fn period(&self) -> Duration {
        if self.elections.any_win() { self.ttl() / 2 } else { self.ttl() }
    }

    fn look_again(&mut self) {
        if !self.can_reread() {
            return;
        }
        let period = self.period();
        let former = self.former.values().map(|locks| (None, locks.as_slice()));
        let all = self.elections.iter().map(|e| (Some(e.id), e.ranges())).chain(former);
        self.reread.start_if_due(&mut self.fx, &self.setup, period, all);
    }

    fn stop(&mut self, timeout: Duration, within: Option<CallId>) {
        let now = self.fx.now;
        let within = within.filter(|call| self.elections.is_running(*call));
        let (until, asked) = match self.life {
            Life::Closed => return,
            Life::Stopping { until } => (until.min(now + timeout), None),
            // The call in which it was asked for first still counts.
            Life::StopAsked { call, until, .. } => (until.min(now + timeout), within.and(Some(call))),
            _ => (now + timeout, within),
        };
        match asked {
            Some(call) => {
                self.life = Life::StopAsked { call, begin: until - reserve(until.since(now)), until };
            }
            None => self.begin_stop(until),
        }
    }

    fn begin_stop(&mut self, until: Time) {
        let left = until.since(self.fx.now);
        self.life = Life::Stopping { until };
        for election in self.elections.change_all() {
            election.withdraw(&mut self.fx, &self.setup, left - reserve(left), None);
        }
    }

    /// Revokes what is not needed any more; once a stop has settled all elections, that is the last lease.
    fn end_leases(&mut self) {
        let stopping = matches!(self.life, Life::Stopping { .. });
        if stopping && self.elections.all_settled() {
            self.keeper.close(&mut self.fx);
            self.identity.close();
        }
        let Engine { setup, fx, keeper, elections, .. } = self;
        keeper.revoke_retired(fx, setup, |lease| elections.any_needs(lease));
    }

    fn look_at_stop(&mut self) {
        let Life::Stopping { until } = self.life else { return };
        let clean = self.keeper.is_clean();
        if clean || self.fx.now >= until {
            self.life = Life::Closed;
            self.elections.remove_withdrawn();
            self.fx.push(Action::Closed { clean });
        }
    }

    /// Notes whose the requests and calls are that begin.
    fn note_names(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Send { request, purpose, election, .. } => {
                    let (floor, confirms) = (Some(self.floor), self.keeper.acknowledged());
                    let asked = Asked { purpose: *purpose, election: *election, floor, confirms };
                    self.asked.insert(*request, asked);
                }
                Action::Call { election, call, .. } => self.elections.started(*call, *election),
                _ => {}
            }
        }
    }
}

/// All that the next steps depend on, between two steps; the setup never changes. Whoever walks through the states that
/// engines can reach tells by it which ones were seen.
impl Hash for Engine {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Engine {
            setup: _,
            fx,
            keeper,
            identity,
            elections,
            former,
            reread,
            asked,
            stopping,
            floor,
            cluster,
            life,
            went_back,
        } = self;
        (fx, keeper, identity, elections, former, reread).hash(hasher);
        (asked, stopping, floor, cluster, life, went_back).hash(hasher);
        elections.iter().any(|e| e.leaves_unread()).then_some(&fx.host).hash(hasher);
    }
}
