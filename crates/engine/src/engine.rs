//! One session: what a step is, and the order inside it.

mod answers;
mod health;
mod snapshot;
mod stopping;

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::action::{Action, Purpose};
use crate::effects::Effects;
use crate::election::Ground;
use crate::elections::Elections;
use crate::event::{Event, Outcome};
use crate::history::History;
use crate::identity::Identity;
use crate::ids::{CallId, ElectionId, RequestId, Token};
use crate::lease::{Acknowledged, Keeper};
use crate::milvus::Role;
use crate::reread::Reread;
use crate::setup::Setup;
use crate::spell::Spell;
use crate::store::{Compare, Range, Revision};
use crate::time::Time;

pub use self::health::{Health, Probes, Verdict};
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
    history: History,
    life: Life,
    /// Said once in a while, where two clusters answer in turns.
    went_back: Spell<Time>,
}

/// A request that has not been answered yet.
#[derive(Clone, Debug, Hash)]
struct Asked {
    purpose: Purpose,
    election: Option<ElectionId>,
    sent: Time,
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
            history: History::default(),
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
            Event::Transfer { election, to, within } => {
                if let Some(e) = self.elections.change(election) {
                    e.transfer(fx, to, within);
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
            Event::Healthy { election } => {
                if let Some(e) = self.elections.change(election) {
                    e.healthy(fx, setup);
                }
            }
            Event::Completed { call, outcome } => self.completed(call, outcome),
            Event::Answered { request, result } => self.answered(request, result),
            Event::Examined { election, pid, start, gone } => {
                if let Some(e) = self.elections.change(election) {
                    e.examined(fx, setup, pid, start, gone);
                }
            }
            Event::Watching { watch } => {
                if let Some(e) = self.elections.change_of_watch(watch) {
                    let wish = e.watching(fx, watch);
                    self.grant(wish);
                }
            }
            Event::Watched { watch, events } => {
                if let Some(e) = self.elections.change_of_watch(watch) {
                    self.history.told(&events);
                    e.watched(watch, events);
                }
            }
            Event::WatchEnded { watch, why } => {
                if let Some(e) = self.elections.change_of_watch(watch) {
                    e.watch_ended(fx, watch, &why);
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
        let Engine { setup, fx, keeper, identity, elections, former, stopping, life, .. } = self;
        let Some(election) = elections.look(id) else { return };
        let mut ground = Ground::new(setup, keeper, identity, *stopping);
        ground.ending = matches!(life, Life::Stopping { .. });
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
        if !self.elections.any_win() {
            return;
        }
        let Some(patience) = self.keeper.ask_for_confirmation(self.fx.now) else { return };
        let period = self.period();
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

    /// Notes whose the requests and calls are that begin.
    fn note_names(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Send { request, purpose, election, .. } => {
                    let (floor, confirms) = (Some(self.history.floor()), self.keeper.acknowledged());
                    let sent = self.fx.now;
                    let asked = Asked { purpose: *purpose, election: *election, sent, floor, confirms };
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
            history,
            life,
            went_back,
        } = self;
        (fx, keeper, identity, elections, former, reread).hash(hasher);
        (asked, stopping, history, life, went_back).hash(hasher);
        elections.iter().any(|e| e.leaves_unread()).then_some(&fx.host).hash(hasher);
    }
}
