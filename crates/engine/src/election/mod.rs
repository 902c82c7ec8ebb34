//! One election of a session: the role of this process for one key set.
//!
//! Facts come in (answers, events, completions, the lease's fate) and are written down; then [`Election::advance`]
//! looks at all that is known and does what is due next. It never asks which way a fact came in, so that an
//! answer that was lost and is read again later leads to the same place.

mod accepting;
mod asked;
mod ending;
mod ground;
mod handover;
mod host;
mod line;
mod liveness;
mod phase;
mod reclaiming;
mod report;
mod standby;
mod turn;
mod win;
mod writes;

use self::accepting::Offers;
use self::asked::Requests;
use self::ending::Deferred;
pub(super) use self::ending::reserve;
pub(super) use self::ground::{Ground, Wish};
use self::handover::Handover;
use self::line::Line;
use self::phase::{Phase, Stage, Win};
use self::reclaiming::Predecessor;
use self::standby::Standby;
use self::turn::{Told, Turn};
use self::writes::{Doubt, Operation};
use super::Setup;
use super::action::{Action, Call, Callback, LostReason, Purpose};
use super::backoff::Backoff;
use super::calls::Calls;
use super::claim::{Claim, Says};
use super::effects::Effects;
use super::event::Outcome;
use super::ids::{CallId, ElectionId, Token, WatchId};
use super::obstacle::Trouble;
use super::view::View;
use super::watch::Watch;
use crate::Level;
use crate::milvus::Role;
use crate::spell::Spell;
use crate::store::{KeyEvent, KeyValue, LeaseId, Revision};
use crate::time::Time;

/// One election.
#[derive(Clone, Debug, Hash)]
pub(super) struct Election {
    pub id: ElectionId,
    pub role: Role,
    want: Want,
    claim: Option<Claim>,
    view: View,
    watch: Watch,
    /// No campaign has been answered since the first watch was confirmed: what the view says may be older than the
    /// watch, and what happened in between was seen by neither. Such a campaign is refused, and reads all keys.
    unchecked: bool,
    operation: Option<Operation>,
    doubt: Doubt,
    /// A campaign got no answer. Without that, a lock on our lease is none that this election took, but one that an
    /// earlier one gave up, in a store that went back.
    may_have_won: bool,
    retry: Option<Time>,
    backoff: Backoff,
    /// The last write that was answered.
    last_write: Option<(Purpose, Time)>,
    /// Writes in a row that changed nothing.
    vain: u32,
    phase: Phase,
    /// The key set is being handed to another candidate.
    handover: Option<Handover>,
    /// The other candidates, while it is primary; while it is standby, who is.
    line: Line,
    /// Whom it tells of as primary, and when it campaigns as standby.
    in_line: Told,
    turn: Turn,
    /// What the holder of the lock has offered, while it is standby.
    offers: Offers,
    /// What an operator has asked of it, while it is primary.
    requests: Requests,
    /// Whose lock it may reclaim.
    predecessor: Predecessor,
    standby: Option<Standby>,
    /// Others first: no campaign before this time, or before another holder was seen.
    yielding: Option<Time>,
    calls: Calls,
    /// Something waits in the host's queue, and has to be read by then.
    unread: Option<Time>,
    /// A win was given back because the host took nothing, and it has taken nothing since.
    is_deaf: bool,
    /// Asked for inside a call, done when it is completed.
    deferred: Vec<(CallId, Deferred)>,
    last_token: Token,
    /// What its record says, as far as is known.
    told: Says,
    told_holder: Option<Revision>,
    /// What became of the last write, if it was not good.
    trouble: Option<Trouble>,
    /// The store does not take its writes.
    turned_away: Spell<Time>,
    /// What it can do nothing about.
    obstacle: Option<Trouble>,
    withdrawn: bool,
}

/// What the host wants of the election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Want {
    /// A record, nothing else.
    Registered,
    /// To be primary, or to stand by.
    Primacy,
    /// To end; callbacks and keys may hold it up until then.
    Nothing { until: Time },
}

impl Election {
    pub fn new(id: ElectionId, role: Role) -> Self {
        Election {
            id,
            role,
            want: Want::Registered,
            claim: None,
            view: View::default(),
            watch: Watch::new(),
            unchecked: true,
            operation: None,
            doubt: Doubt::Nothing,
            may_have_won: false,
            retry: None,
            backoff: Backoff::default(),
            last_write: None,
            vain: 0,
            phase: Phase::Free,
            handover: None,
            line: Line::new(),
            in_line: Told::default(),
            turn: Turn::default(),
            offers: Offers::default(),
            requests: Requests::default(),
            predecessor: Predecessor::default(),
            standby: None,
            yielding: None,
            calls: Calls::default(),
            unread: None,
            is_deaf: false,
            deferred: Vec::new(),
            last_token: Token(0),
            told: Says::default(),
            told_holder: None,
            trouble: None,
            turned_away: Spell::default(),
            obstacle: None,
            withdrawn: false,
        }
    }

    // What the host asks for.

    pub fn campaign(&mut self) {
        if self.want == Want::Registered {
            self.want = Want::Primacy;
        }
    }

    pub fn resign(&mut self, fx: &mut Effects, setup: &Setup, within: Option<CallId>) {
        match within.filter(|call| self.calls.is_running(*call)) {
            Some(call) => self.defer(call, Deferred::Resign),
            None => self.give_up(fx, setup, LostReason::Resigned),
        }
    }

    pub fn completed(&mut self, fx: &mut Effects, setup: &Setup, call: CallId, outcome: &Outcome) {
        let Some(ended) = self.calls.end(fx, call) else { return };
        if ended.never_began() {
            return;
        }
        if let Outcome::Failed(why) = outcome {
            let text = format!("{}: {} failed: {why}", self.role, ended.callback);
            fx.log(Level::Warn, Some(self.id), text);
        }
        match (ended.callback, ended.token) {
            (Callback::Warmup, _) => self.warmed(fx, setup, *outcome == Outcome::Warm),
            (Callback::Primary, Some(token)) => {
                self.activated(fx, setup, token, !matches!(outcome, Outcome::Failed(_)));
            }
            _ => {}
        }
    }

    // What the store says.

    pub fn watching(&mut self, fx: &Effects, watch: WatchId) -> Wish {
        if self.line.watch.is(watch) {
            self.line.confirmed(fx);
            return Wish::default();
        }
        Wish { reread: self.watch.confirmed(fx), ..Wish::default() }
    }

    /// The names of its present watches: on its own keys, and on the other candidates.
    pub fn watches(&self) -> [Option<WatchId>; 2] {
        [self.watch.id(), self.line.watch.id()]
    }

    pub fn watched(&mut self, watch: WatchId, events: Vec<KeyEvent>) {
        if self.line.watch.is(watch) {
            let line = self.claim.as_ref().map_or(&[][..], |claim| std::slice::from_ref(claim.candidates()));
            events.into_iter().for_each(|event| self.view.watched(line, event));
            self.line_is_told();
            return;
        }
        let ranges = self.claim.as_ref().map_or(&[][..], Claim::ranges);
        for event in events {
            self.view.watched(ranges, event);
        }
        self.watch.told();
        // The store is there, and something has changed: no reason to wait for a second try.
        self.retry = None;
    }

    pub fn watch_ended(&mut self, fx: &mut Effects, watch: WatchId, why: &str) {
        fx.log(Level::Debug, Some(self.id), format!("{}: watch ended: {why}; opened again", self.role));
        if self.line.watch.is(watch) {
            self.line.watch.ended(fx);
            self.line.known = false;
        } else {
            self.watch.ended(fx);
        }
    }

    pub fn reread(&mut self, revision: Revision, reads: &[Vec<KeyValue>]) {
        if let Some(claim) = &self.claim {
            let mut news = false;
            for (range, found) in claim.ranges().iter().zip(reads) {
                news |= self.view.read(range, revision, found);
            }
            self.watch.compared(news);
            if let Some(beyond) = reads.get(claim.ranges().len()) {
                self.read_of_line(revision, beyond);
            }
        }
    }

    /// There is a new lease: what failed under the old one is tried again now.
    pub fn lease_granted(&mut self) {
        self.retry = None;
    }

    /// The lease is gone: whatever was won under it is lost.
    pub fn lease_lost(&mut self, fx: &mut Effects, setup: &Setup, lease: LeaseId) {
        if self.phase.win().is_some_and(|win| win.lease == lease) {
            self.lose(fx, setup, LostReason::LeaseExpired);
        }
    }

    /// The store went back to an older state: nothing known of it holds any more, the server id neither.
    pub fn store_rolled_back(&mut self, fx: &mut Effects, setup: &Setup) {
        self.lose(fx, setup, LostReason::StoreRolledBack);
        self.forget(fx);
        self.last_token = Token(0);
    }

    /// Forgets all that it knows of the keys under the present server id.
    pub fn forget(&mut self, fx: &mut Effects) {
        self.watch.close(fx);
        self.line.watch.close(fx);
        self.line = Line::new();
        self.turn = Turn::default();
        self.offers = Offers::default();
        self.predecessor = Predecessor::default();
        self.unchecked = true;
        self.view = View::default();
        self.claim = None;
        self.doubt = Doubt::Nothing;
        self.may_have_won = false;
        self.told = Says::default();
        if let Some(operation) = &mut self.operation {
            operation.void = true;
        }
    }

    // What follows.

    /// Whether it has not claimed its keys yet.
    pub fn is_new(&self) -> bool {
        self.claim.is_none()
    }

    /// Does what is due, from what is known.
    ///
    /// First what is over, then what begins; each step of it stands where it does for the reason that is given.
    pub fn advance(&mut self, fx: &mut Effects, ground: Ground<'_>) -> Wish {
        // Before all else: without a claim there are no keys to look at.
        if let (None, Some(id)) = (&self.claim, ground.server_id) {
            self.claim = Some(Claim::new(ground.setup, &self.role, id));
        }
        // What the host has asked for comes before what is found here: a resignation whose call has ended is what ends the
        // win, and not a key that is seen to be gone in the same moment; later, it would wait for the next step.
        self.do_deferred(fx, ground.setup);
        // Before the calls: a win that was lost before it was read would still call `on_primary`.
        self.look_at_win(fx, ground);
        // After the keys: the reason of a loss is the first one observed, and a win that is gone asks nothing of its host.
        self.look_at_host(fx, ground.setup);
        self.look_at_liveness(fx, ground.setup);
        // After all that ends a win for other reasons, which come first; before the handover that it may begin.
        self.look_at_requests(fx, ground);
        // After all that ends a win for other reasons, which leaves nothing to hand over; before the drain, that this ends.
        self.look_at_handover(fx, ground);
        // After all that ends a win, before the next operation: a win that ended without a key or a callback left would
        // count as draining for one more step, and keep the election from campaigning.
        self.look_at_drain(fx, ground);
        // After the drain, from whose end others come first until one of them is seen: it may be there already. Before the
        // calls: `on_standby` tells of the holder, and would be followed by a notice of the same one.
        self.look_at_holder(fx, ground);
        // Before the operation and the calls, which both wait for what it finds.
        self.look_at_predecessor(ground);
        // After the drain, since only who could campaign is kept from it; before the operation, which asks for it.
        self.look_at_obstacle(fx, ground);
        // After the obstacle, which keeps it from taking over; before the operation, which says what it accepts, and before the
        // lock on its own lease is adopted, which it may be because an offer was accepted.
        self.look_at_offer(fx, ground);
        // After the win, which it is told for; before the operation, which tells it, and asks whose turn it is.
        self.look_at_line(fx);
        self.look_at_turn(fx, ground);
        // Before the operation: the watch is on its way before the record is, and both are back after one round trip.
        self.open_watch(fx);
        self.watch_line(fx, ground);
        // Before the operation: a lock that was won in doubt would be released as one that belongs to nobody.
        let won = self.adopt(fx, ground);
        // Before the calls: a campaign that begins now puts `on_standby` off, since it may be over before it has begun.
        self.start_operation(fx, ground);
        self.start_calls(fx, ground);
        // After the calls: a win under a late renewal is suspended from the start, and that is said after the call of
        // `on_primary`.
        self.look_at_lease(fx, ground);
        // Last: what has just been started keeps it from being over.
        self.finish(fx, ground);
        let another_id = !ground.id_in_use && self.others_record(ground).is_some();
        // What the watch does not tell is read.
        let reread = ground.lease().is_some_and(|lease| self.is_being_given(lease));
        Wish { won, another_id, reread, ..Wish::default() }
    }

    fn start_calls(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        if !self.calls.is_empty() || self.phase.drain().is_some() {
            return;
        }
        if let Phase::Holding(win) = &mut self.phase {
            // A win counts only on a lease that is surely ours.
            if let Stage::Won { give_back } = win.stage
                && ground.keeper.is_confirmed(win.lease, fx.now)
            {
                let (token, lease) = (win.token, win.lease);
                win.stage = Stage::Called { give_back };
                self.standby = None;
                fx.push(Action::Primacy { election: self.id, win: Some((token, lease)) });
                self.calls.start(fx, self.id, Call::Primary { token, lease });
            }
            return;
        }
        if self.is_reclaiming() {
            return;
        }
        let campaigning = self.operation.as_ref().is_some_and(|op| op.purpose == Purpose::Campaign);
        if self.want != Want::Primacy || campaigning {
            return;
        }
        let Some(standby) = &mut self.standby else { return };
        if !standby.announced {
            standby.announced = true;
            let other = self.others_lock(ground);
            let (revision, holder) = (other.map(|kv| kv.mod_revision), other.and_then(report::holder));
            self.told_holder = revision;
            self.calls.start(fx, self.id, Call::Standby { holder });
        } else if standby.next_warmup <= fx.now {
            self.calls.start(fx, self.id, Call::Warmup);
        }
    }

    fn open_watch(&mut self, fx: &mut Effects) {
        if let Some(claim) = &self.claim
            && !matches!(self.want, Want::Nothing { .. })
        {
            self.watch.open(fx, claim.ranges());
        }
    }

    /// When something is due, and what it is called.
    pub fn timers(&self, mut due: impl FnMut(Time, &'static str)) {
        if let Some(at) = self.retry {
            due(at, "retry due");
        }
        if self.withdrawn {
            return;
        }
        self.watch.timers(&mut due);
        self.line.watch.timers(&mut due);
        if let Phase::Holding(Win { stage: Stage::Won { give_back } | Stage::Called { give_back }, .. }) =
            self.phase
        {
            due(give_back, "activation over");
        }
        if let Some(at) = self.deaf_at() {
            due(at, "unread too long");
        }
        if let Some(at) = self.unwell_at() {
            due(at, "not said to be well");
        }
        if let Some(drain) = self.phase.drain().filter(|drain| self.calls.of(drain.token)) {
            due(drain.until, "drain over");
        }
        if let Some(at) = self.handover_due() {
            due(at, "offer over");
        }
        if let Some(at) = self.in_line.due.filter(|_| self.handover.is_none()) {
            due(at, "line due");
        }
        if let Some(at) = self.turn.at.filter(|_| self.is_idle()) {
            due(at, "turn due");
        }
        if let Some(at) = self.yielding {
            due(at, "yield over");
        }
        if let Want::Nothing { until } = self.want {
            due(until, "stop over");
        }
        for (_, what) in &self.deferred {
            if let Deferred::Withdraw { begin, .. } = what {
                due(*begin, "stop due");
            }
        }
        if let Some(standby) = &self.standby
            && standby.announced
            && self.calls.is_empty()
            && self.is_idle()
        {
            due(standby.next_warmup, "warmup due");
        }
    }
}
