//! One election of a session: the role of this process for one key set.
//!
//! Facts come in (answers, events, completions, the lease's fate) and are written down; then [`Election::advance`]
//! looks at all that is known and does what is due next. It never asks which way a fact came in, so that an
//! answer that was lost and is read again later leads to the same place.

use std::time::Duration;

use super::Setup;
use super::action::{Action, Call, Holder, LostReason, Notice, Purpose};
use super::backoff::Backoff;
use super::calls::{Calls, Kind};
use super::claim::{Claim, Says};
use super::effects::Effects;
use super::event::Outcome;
use super::identity::Identity;
use super::ids::{CallId, ElectionId, RequestId, Token, WatchId};
use super::lease::Keeper;
use super::state::State;
use super::view::View;
use super::watch::Watch;
use crate::clock::Time;
use crate::log::Level;
use crate::milvus::{Facts, Record, Role};
use crate::store::{Answer, Compare, Failure, KeyEvent, KeyValue, LeaseId, Range, Request, Revision, Txn};

/// The longest that a transaction is waited for at first.
const ATTEMPT: Duration = Duration::from_secs(1);
/// After "warm", warm-ups come at a tenth of the pace.
const WARM_PACE: u32 = 10;

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
    retry: Option<Time>,
    backoff: Backoff,
    /// Writes refused in a row.
    refusals: u32,
    win: Option<Win>,
    drain: Option<Drain>,
    standby: Option<Standby>,
    /// Others first: no campaign before this time, or before another holder was seen.
    yielding: Option<Time>,
    calls: Calls,
    /// Asked for inside a call, done when it is completed.
    deferred: Vec<(CallId, Deferred)>,
    last_token: Token,
    /// What its record says, as far as is known.
    told: Says,
    told_holder: Option<Revision>,
    trouble: Option<String>,
    /// What it can do nothing about.
    obstacle: Option<String>,
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

/// What writes that got no answer leave open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Doubt {
    Nothing,
    /// One may have happened. The next answer tells: every transaction reads all keys.
    Write,
    /// A campaign may have won, and may still win, until the own record, which it compares, is rewritten or deleted.
    Campaign,
}

#[derive(Clone, Debug, Hash)]
enum Deferred {
    Resign,
    /// Begun at `begin` at the latest: a call that hangs does not put off the end.
    Withdraw {
        begin: Time,
        until: Time,
    },
}

/// The one store operation that is under way; the next one waits for its answer.
#[derive(Clone, Debug, Hash)]
struct Operation {
    request: RequestId,
    purpose: Purpose,
    txn: Txn,
    lease: LeaseId,
    /// What it puts into the own record, if it puts that.
    says: Says,
    /// Sent to a store that has gone back since.
    void: bool,
}

/// The key set is ours.
#[derive(Clone, Debug, Hash)]
struct Win {
    token: Token,
    lease: LeaseId,
    stage: Stage,
    suspended: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// Callbacks of the standby period are still running; given back if they do not end in time.
    Won { give_back: Time },
    /// `on_primary` is running.
    Activating,
    /// `on_primary` has succeeded.
    Ready,
}

/// A win that is over, until its callbacks have ended and its keys are released.
#[derive(Clone, Debug, Hash)]
struct Drain {
    token: Token,
    lease: LeaseId,
    /// The keys are released now even if callbacks still run.
    until: Time,
    /// Once its keys are gone, others first.
    yields: bool,
}

#[derive(Clone, Debug, Hash)]
struct Standby {
    announced: bool,
    warm: bool,
    next_warmup: Time,
}

/// What the session knows that an election needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ground<'a> {
    pub setup: &'a Setup,
    pub keeper: &'a Keeper,
    pub server_id: Option<i64>,
    /// An election was registered under that id, so that it is kept.
    pub id_in_use: bool,
    /// The host is going to stop.
    pub stopping: bool,
}

impl<'a> Ground<'a> {
    pub fn new(setup: &'a Setup, keeper: &'a Keeper, identity: &Identity, stopping: bool) -> Self {
        Ground { setup, keeper, server_id: identity.known(), id_in_use: identity.is_in_use(), stopping }
    }

    fn lease(self) -> Option<LeaseId> {
        self.keeper.held().map(|held| held.id)
    }

    fn is_lease(self, lease: LeaseId) -> bool {
        self.lease() == Some(lease)
    }

    fn ttl(self) -> Duration {
        self.keeper.held().map_or(self.setup.ttl, |held| held.ttl)
    }
}

/// What an election asks of its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// Read all keys again now.
    pub reread: bool,
    /// The record's key is somebody else's: another server id.
    pub another_id: bool,
    /// A win needs re-reads at the primary's pace.
    pub won: bool,
    /// The store does not know this lease.
    pub not_found: Option<LeaseId>,
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
            retry: None,
            backoff: Backoff::default(),
            refusals: 0,
            win: None,
            drain: None,
            standby: None,
            yielding: None,
            calls: Calls::default(),
            deferred: Vec::new(),
            last_token: Token(0),
            told: Says::default(),
            told_holder: None,
            trouble: None,
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
            Some(call) => self.deferred.push((call, Deferred::Resign)),
            None => self.lose(fx, setup, LostReason::Resigned),
        }
    }

    pub fn withdraw(&mut self, fx: &mut Effects, setup: &Setup, timeout: Duration, within: Option<CallId>) {
        let until = fx.now + timeout;
        match within.filter(|call| self.calls.is_running(*call)) {
            Some(call) => {
                let begin = until - reserve(timeout);
                self.deferred.push((call, Deferred::Withdraw { begin, until }));
            }
            None => self.withdraw_by(fx, setup, until),
        }
    }

    fn withdraw_by(&mut self, fx: &mut Effects, setup: &Setup, until: Time) {
        self.want = match self.want {
            Want::Nothing { until: earlier } => Want::Nothing { until: earlier.min(until) },
            _ => Want::Nothing { until },
        };
        self.lose(fx, setup, LostReason::Stopped);
        if let Some(drain) = &mut self.drain {
            drain.until = drain.until.min(until);
        }
        self.calls.cancel_all(fx, self.id);
    }

    pub fn completed(&mut self, fx: &mut Effects, setup: &Setup, call: CallId, outcome: Outcome) -> bool {
        let Some(ended) = self.calls.end(fx, call) else { return false };
        if let Outcome::Failed(why) = &outcome {
            let text = format!("{}: {} failed: {why}", self.role, ended.kind.name());
            fx.log(Level::Warn, Some(self.id), text);
        }
        match (ended.kind, &outcome) {
            (Kind::Warmup, _) => self.warmed(fx, setup, outcome == Outcome::Warm),
            (Kind::Primary(token), _) => {
                self.activated(fx, setup, token, !matches!(outcome, Outcome::Failed(_)))
            }
            _ => {}
        }
        true
    }

    /// Does what was asked for inside calls that have ended since, or whose time is up.
    fn do_deferred(&mut self, fx: &mut Effects, setup: &Setup) {
        for (within, what) in std::mem::take(&mut self.deferred) {
            let waits = self.calls.is_running(within);
            match what {
                Deferred::Resign if !waits => self.lose(fx, setup, LostReason::Resigned),
                Deferred::Withdraw { begin, until } if !waits || begin <= fx.now => {
                    self.withdraw_by(fx, setup, until);
                }
                what => self.deferred.push((within, what)),
            }
        }
    }

    fn warmed(&mut self, fx: &mut Effects, setup: &Setup, warm: bool) {
        if let Some(standby) = &mut self.standby {
            standby.warm |= warm;
            let pace = if standby.warm { WARM_PACE } else { 1 };
            standby.next_warmup = fx.now + setup.warmup_interval * pace;
        }
    }

    fn activated(&mut self, fx: &mut Effects, setup: &Setup, token: Token, well: bool) {
        match &mut self.win {
            Some(win) if win.token == token && well => {
                win.stage = Stage::Ready;
                fx.push(Action::Notice { election: self.id, what: Notice::Ready { token } });
            }
            Some(win) if win.token == token => self.lose(fx, setup, LostReason::ActivationFailed),
            _ => {}
        }
    }

    // What the store says.

    pub fn watching(&mut self, fx: &Effects) -> Wish {
        Wish { reread: self.watch.confirmed(fx), ..Wish::default() }
    }

    pub fn has_watch(&self, watch: WatchId) -> bool {
        self.watch.is(watch)
    }

    pub fn watched(&mut self, events: Vec<KeyEvent>) {
        for event in events {
            self.view.watched(event);
        }
        // The store is there, and something has changed: no reason to wait for a second try.
        self.retry = None;
    }

    pub fn watch_ended(&mut self, fx: &mut Effects, why: &str) {
        fx.log(Level::Debug, Some(self.id), format!("{}: watch ended: {why}; opened again", self.role));
        self.watch.ended(fx);
    }

    pub fn reread(&mut self, revision: Revision, reads: &[Vec<KeyValue>]) {
        if let Some(claim) = &self.claim {
            for (range, found) in claim.ranges().iter().zip(reads) {
                self.view.read(range, revision, found);
            }
        }
    }

    pub fn answered(
        &mut self,
        fx: &mut Effects,
        ground: Ground<'_>,
        request: RequestId,
        result: Result<Answer, Failure>,
    ) -> Wish {
        let Some(operation) = self.operation.take_if(|op| op.request == request) else {
            return Wish::default();
        };
        if operation.void {
            return Wish::default();
        }
        match result {
            Ok(Answer::Txn(answer)) => {
                self.trouble = None;
                if self.doubt == Doubt::Write {
                    self.doubt = Doubt::Nothing;
                }
                self.view.ran(&operation.txn, &answer);
                self.pace(fx, operation.purpose, answer.succeeded);
                self.ran(fx, ground, &operation, answer.succeeded, answer.revision)
            }
            Ok(_) => Wish::default(),
            Err(failure) => {
                let text = format!("{} got no good answer: {failure}", operation.purpose);
                fx.log(Level::Debug, Some(self.id), format!("{}: {text}", self.role));
                self.trouble = Some(text);
                if matches!(failure, Failure::Indefinite(_)) {
                    let campaign = operation.purpose == Purpose::Campaign;
                    self.doubt = self.doubt.max(if campaign { Doubt::Campaign } else { Doubt::Write });
                }
                if failure == Failure::LeaseNotFound {
                    // Tried again under another lease, as soon as there is one.
                    return Wish { not_found: Some(operation.lease), ..Wish::default() };
                }
                self.retry = Some(self.backoff.after(&failure, fx));
                Wish::default()
            }
        }
    }

    /// A write that is refused is tried again at once, on what was read along. One that is refused again and again
    /// finds something that we do not understand: more slowly each time.
    fn pace(&mut self, fx: &mut Effects, purpose: Purpose, succeeded: bool) {
        let refused = !succeeded && purpose != Purpose::Campaign;
        self.refusals = if refused { self.refusals + 1 } else { 0 };
        if self.refusals > 1 {
            self.retry = Some(self.backoff.pass(fx));
        } else {
            self.backoff.reset();
        }
    }

    fn ran(
        &mut self,
        fx: &mut Effects,
        ground: Ground<'_>,
        operation: &Operation,
        succeeded: bool,
        at: Revision,
    ) -> Wish {
        match operation.purpose {
            Purpose::Campaign if succeeded => {
                self.take_win(fx, ground, Token(at.0), operation.lease);
                return Wish { won: self.win.is_some(), ..Wish::default() };
            }
            Purpose::Campaign => {
                self.unchecked = false;
                self.refused(fx);
            }
            // Whichever branch ran, the record is not what a campaign in doubt compared: that one is decided now.
            Purpose::Register | Purpose::Move | Purpose::Settle | Purpose::Update | Purpose::Unregister => {
                self.doubt = Doubt::Nothing;
                if succeeded {
                    self.told = operation.says;
                }
            }
            _ => {}
        }
        Wish::default()
    }

    /// A campaign that the store refused: somebody holds the set, or something changed under it.
    fn refused(&mut self, fx: &mut Effects) {
        let Some(claim) = &self.claim else { return };
        if self.standby.is_none() && self.win.is_none() && self.drain.is_none() {
            self.standby = Some(Standby::new(fx.now));
        }
        match claim.in_the_way(&self.view) {
            None => self.retry = Some(self.backoff.pass(fx)),
            Some(KeyValue { key, lease, .. }) => {
                let text = format!("{}: standby: {key} is held under lease {lease}", self.role);
                fx.log(Level::Info, Some(self.id), text);
            }
        }
    }

    fn take_win(&mut self, fx: &mut Effects, ground: Ground<'_>, token: Token, lease: LeaseId) {
        let wanted = self.want == Want::Primacy && self.drain.is_none() && token > self.last_token;
        if !wanted || !ground.is_lease(lease) {
            return;
        }
        self.last_token = token;
        self.unchecked = false;
        self.yielding = None;
        let give_back = fx.now + ground.setup.activation_timeout;
        self.win = Some(Win { token, lease, stage: Stage::Won { give_back }, suspended: false });
        self.calls.cancel_all(fx, self.id);
        fx.log(Level::Info, Some(self.id), format!("{}: won, token {token}, lease {lease}", self.role));
    }

    /// There is a new lease: what failed under the old one is tried again now.
    pub fn lease_granted(&mut self) {
        self.retry = None;
    }

    /// The lease is gone: whatever was won under it is lost.
    pub fn lease_lost(&mut self, fx: &mut Effects, setup: &Setup, lease: LeaseId) {
        if self.win.as_ref().is_some_and(|win| win.lease == lease) {
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
        self.unchecked = true;
        self.view = View::default();
        self.claim = None;
        self.doubt = Doubt::Nothing;
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
    pub fn advance(&mut self, fx: &mut Effects, ground: Ground<'_>) -> Wish {
        if let (None, Some(id)) = (&self.claim, ground.server_id) {
            self.claim = Some(Claim::new(ground.setup, &self.role, id));
        }
        self.do_deferred(fx, ground.setup);
        self.look_at_win(fx, ground);
        self.look_at_drain(fx, ground);
        self.look_at_holder(fx, ground);
        self.look_at_obstacle(fx, ground);
        self.open_watch(fx);
        let won = self.adopt(fx, ground);
        // A campaign is sent before the standby is called: it may be over before it has begun.
        self.start_operation(fx, ground);
        self.start_calls(fx, ground);
        self.look_at_lease(fx, ground);
        self.finish(fx, ground);
        let another_id = !ground.id_in_use && self.others_record(ground).is_some();
        Wish { won, another_id, ..Wish::default() }
    }

    fn look_at_win(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        let (Some(win), Some(claim)) = (&self.win, &self.claim) else { return };
        if let Some((key, now)) = claim.broken(&self.view, win.token, win.lease) {
            let (reason, text) = match now {
                None => (LostReason::KeyDeleted, format!("{}: {key} was deleted", self.role)),
                Some(kv) => (
                    LostReason::KeyTaken,
                    format!(
                        "{}: {key} was overwritten at revision {}, lease {}",
                        self.role, kv.mod_revision, kv.lease
                    ),
                ),
            };
            fx.log(Level::Warn, Some(self.id), text);
            self.lose(fx, ground.setup, reason);
        } else if matches!(win.stage, Stage::Won { give_back } if give_back <= fx.now) {
            let text = format!(
                "{}: given back: callbacks of the standby did not end within primacy.activation_timeout_ms",
                self.role
            );
            fx.log(Level::Error, Some(self.id), text);
            self.lose(fx, ground.setup, LostReason::ActivationFailed);
        }
    }

    /// Ends the win, if there is one. `on_lost` is called at once, whatever else is running.
    fn lose(&mut self, fx: &mut Effects, setup: &Setup, reason: LostReason) {
        let Some(win) = self.win.take() else { return };
        let (token, lease) = (win.token, win.lease);
        if !matches!(win.stage, Stage::Won { .. }) {
            fx.push(Action::Primacy { election: self.id, win: None });
            self.calls.cancel_all(fx, self.id);
            self.calls.start(fx, self.id, Kind::Lost(token), Call::Lost { token, lease, reason });
            let text = format!("{}: lost, token {token}, lease {lease}: {reason}", self.role);
            fx.log(Level::Info, Some(self.id), text);
        }
        let yields = matches!(reason, LostReason::Resigned | LostReason::ActivationFailed);
        self.drain = Some(Drain { token, lease, until: fx.now + setup.drain_timeout, yields });
        self.standby.get_or_insert_with(|| Standby::new(fx.now));
    }

    /// Whether the lease's renewal is late: primary until the deadline, and no longer unless it comes.
    fn look_at_lease(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        let late = ground.keeper.held().is_some_and(|held| held.late);
        if let Some(win) = &mut self.win
            && !matches!(win.stage, Stage::Won { .. })
            && win.suspended != late
        {
            win.suspended = late;
            let token = win.token;
            let what = if late { Notice::Suspended { token } } else { Notice::Resumed { token } };
            fx.push(Action::Notice { election: self.id, what });
        }
    }

    fn look_at_drain(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        let (Some(drain), Some(claim)) = (&mut self.drain, &self.claim) else {
            // Without a claim there are no keys of this store to wait for.
            if self.drain.as_ref().is_some_and(|drain| !self.calls.of(drain.token)) {
                self.drain = None;
            }
            return;
        };
        let on_lease = ground.is_lease(drain.lease);
        let keys = on_lease
            && !(claim.held(&self.view, drain.lease).is_empty()
                && claim.published(&self.view, drain.lease).is_empty());
        if keys {
            return;
        }
        if std::mem::take(&mut drain.yields) {
            self.yielding = Some(fx.now + ground.ttl());
        }
        if !self.calls.of(drain.token) {
            self.drain = None;
        }
    }

    fn look_at_holder(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        let revision = self.others_lock(ground).map(|kv| kv.mod_revision);
        if self.yielding.is_some_and(|until| until <= fx.now || revision.is_some()) {
            self.yielding = None;
        }
        let announced = self.standby.as_ref().is_some_and(|standby| standby.announced);
        if announced && self.want == Want::Primacy && self.win.is_none() && self.told_holder != revision {
            self.told_holder = revision;
            let holder = self.others_lock(ground).and_then(holder);
            fx.push(Action::Notice { election: self.id, what: Notice::Holder(holder) });
        }
    }

    /// The lock, if another session holds it; one that we have lost may still be there under our former lease.
    fn others_lock(&self, ground: Ground<'_>) -> Option<&KeyValue> {
        self.lock().filter(|kv| !ground.keeper.is_own(kv.lease))
    }

    fn lock(&self) -> Option<&KeyValue> {
        self.claim.as_ref()?.lock(&self.view)
    }

    /// Who holds the lock, itself included, if it is known and the lock can be read.
    pub fn holder(&self) -> Option<Holder> {
        self.lock().and_then(holder)
    }

    /// What it can do nothing about is said once, by name.
    fn look_at_obstacle(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        let obstacle = self.find_obstacle(ground);
        if let Some(text) = &obstacle {
            if self.obstacle != obstacle {
                fx.log(Level::Error, Some(self.id), format!("{}: {text}", self.role));
            }
            if self.is_idle() {
                self.standby.get_or_insert_with(|| Standby::new(fx.now));
            }
        }
        self.obstacle = obstacle;
    }

    fn find_obstacle(&self, ground: Ground<'_>) -> Option<String> {
        let claim = self.claim.as_ref()?;
        match self.others_record(ground) {
            // It takes another id.
            Some(_) if !ground.id_in_use => None,
            Some(kv) => {
                Some(format!("{} is there already, on lease {}; waiting until it is gone", kv.key, kv.lease))
            }
            None if self.is_idle() => {
                let why = claim.outdated(&self.view, ground.setup)?;
                Some(format!("does not campaign: {why}"))
            }
            None => None,
        }
    }

    /// The record under its own key, if somebody else registered it.
    fn others_record(&self, ground: Ground<'_>) -> Option<&KeyValue> {
        let record = self.claim.as_ref()?.record(&self.view);
        record.filter(|kv| !ground.keeper.is_own(kv.lease) && !matches!(self.want, Want::Nothing { .. }))
    }

    /// Whether it wants primacy, and neither has it nor is losing it.
    fn is_idle(&self) -> bool {
        self.want == Want::Primacy && self.win.is_none() && self.drain.is_none()
    }

    fn start_calls(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        if !self.calls.is_empty() || self.drain.is_some() {
            return;
        }
        if let Some(win) = &mut self.win {
            if matches!(win.stage, Stage::Won { .. }) {
                let (token, lease) = (win.token, win.lease);
                win.stage = Stage::Activating;
                self.standby = None;
                fx.push(Action::Primacy { election: self.id, win: Some((token, lease)) });
                self.calls.start(fx, self.id, Kind::Primary(token), Call::Primary { token, lease });
            }
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
            let (revision, holder) = (other.map(|kv| kv.mod_revision), other.and_then(holder));
            self.told_holder = revision;
            self.calls.start(fx, self.id, Kind::Standby, Call::Standby { holder });
        } else if standby.next_warmup <= fx.now {
            self.calls.start(fx, self.id, Kind::Warmup, Call::Warmup);
        }
    }

    fn open_watch(&mut self, fx: &mut Effects) {
        if let Some(claim) = &self.claim
            && !matches!(self.want, Want::Nothing { .. })
        {
            self.watch.open(fx, claim.ranges());
        }
    }

    /// A campaign that got no answer had won after all.
    fn adopt(&mut self, fx: &mut Effects, ground: Ground<'_>) -> bool {
        if self.operation.is_some() || self.doubt == Doubt::Campaign || self.win.is_some() {
            return false;
        }
        let (Some(claim), Some(lease)) = (&self.claim, ground.lease()) else { return false };
        if let Some(token) = claim.won(&self.view, lease)
            && self.may_campaign()
        {
            self.take_win(fx, ground, token, lease);
        }
        self.win.is_some()
    }

    /// Whether the host and its callbacks allow a win now.
    fn may_campaign(&self) -> bool {
        self.want == Want::Primacy
            && self.drain.is_none()
            && self.yielding.is_none()
            && !self.calls.any_cancelled()
    }

    /// What its record should say.
    fn says(&self, ground: Ground<'_>) -> Says {
        Says { facts: self.facts(), stopping: ground.stopping }
    }

    fn facts(&self) -> Facts {
        Facts {
            warm: self.standby.as_ref().is_some_and(|standby| standby.warm),
            ready: self.win.as_ref().is_some_and(|win| win.stage == Stage::Ready),
        }
    }

    fn start_operation(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        if self.retry.is_some_and(|at| at <= fx.now) {
            self.retry = None;
        }
        let Some(lease) = ground.lease() else { return };
        if self.operation.is_some() || self.retry.is_some() {
            return;
        }
        let Some((purpose, txn)) = self.next_operation(fx.now, ground, lease) else { return };
        let patience = self.backoff.patience(ATTEMPT, ground.setup.request_timeout);
        let request = fx.send(purpose, Some(self.id), patience, Request::Txn(txn.clone()));
        let says = self.says(ground);
        self.operation = Some(Operation { request, purpose, txn, lease, says, void: false });
    }

    /// The next thing to do in the store; the order is one of urgency.
    fn next_operation(&self, now: Time, ground: Ground<'_>, lease: LeaseId) -> Option<(Purpose, Txn)> {
        let claim = self.claim.as_ref()?;
        let view = &self.view;
        let record = claim.record(view);
        let is_own = record.is_some_and(|kv| ground.keeper.is_own(kv.lease));
        let campaign_in_doubt = self.doubt == Doubt::Campaign;

        if self.win.is_none() {
            // The service's record goes before the drain, the lock after it.
            let published = claim.published(view, lease);
            if !published.is_empty() {
                return Some((Purpose::Unpublish, claim.release(&published)));
            }
            let held = claim.held(view, lease);
            if !held.is_empty() && !campaign_in_doubt && !self.is_draining(now) {
                return Some((Purpose::Release, claim.release(&held)));
            }
        }
        let rewrite =
            |purpose| Some((purpose, claim.write_record(view, ground.setup, self.says(ground), lease)));
        if matches!(self.want, Want::Nothing { .. }) {
            return match record {
                _ if self.is_draining(now) => None,
                // One on a former lease goes with that.
                Some(kv) if kv.lease == lease || (is_own && campaign_in_doubt) => {
                    Some((Purpose::Unregister, claim.delete_record(kv)))
                }
                _ => (self.doubt != Doubt::Nothing).then(|| (Purpose::Settle, claim.look())),
            };
        }
        match record {
            None => return rewrite(Purpose::Register),
            Some(kv) if is_own && kv.lease != lease => return rewrite(Purpose::Move),
            Some(_) if is_own && campaign_in_doubt => return rewrite(Purpose::Settle),
            // It is somebody else's by now, so that the campaign can not win any more; whether it has is the question.
            Some(_) if campaign_in_doubt => return Some((Purpose::Settle, claim.look())),
            Some(_) => {}
        }
        match (&self.win, record) {
            (None, Some(own)) if is_own && self.may_campaign() && self.watch.is_open() => {
                let free = self.unchecked || claim.in_the_way(view).is_none();
                if free && self.obstacle.is_none() {
                    return Some((Purpose::Campaign, claim.campaign(view, ground.setup, own)));
                }
            }
            (Some(win), _)
                if win.stage == Stage::Ready
                    && claim.unpublished(view, lease)
                    && claim.publishable(view, lease) =>
            {
                return Some((Purpose::Publish, claim.publish(view, ground.setup, win.token, lease)));
            }
            _ => {}
        }
        // Not while a win begins or ends: what follows must not wait for this.
        let settled = self.drain.is_none() && self.win.as_ref().is_none_or(|win| win.stage == Stage::Ready);
        if is_own && settled && self.told != self.says(ground) { rewrite(Purpose::Update) } else { None }
    }

    /// Whether callbacks of a win that is over still hold its keys.
    fn is_draining(&self, now: Time) -> bool {
        self.drain.as_ref().is_some_and(|drain| now < drain.until && self.calls.of(drain.token))
    }

    /// Tells the host that the election has ended: nothing of it is left in the store, or there is no more time to see
    /// to that, and no callback runs. What is left is cleaned up behind the host's back, since the lease lives on.
    fn finish(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        if !self.withdrawn && self.is_settled(fx.now, ground) && self.calls.is_empty() {
            self.watch.close(fx);
            self.withdrawn = true;
            fx.push(Action::Withdrawn { election: self.id });
        }
    }

    /// Whether it has been ended and nothing of it is left in the store, or there is no more time to see to it.
    pub fn is_settled(&self, now: Time, ground: Ground<'_>) -> bool {
        let Want::Nothing { until } = self.want else { return false };
        now >= until || self.withdrawn || self.leaves_nothing(now, ground)
    }

    fn leaves_nothing(&self, now: Time, ground: Ground<'_>) -> bool {
        let nothing = match (&self.claim, ground.lease()) {
            (Some(claim), Some(lease)) => {
                claim.record(&self.view).is_none_or(|kv| kv.lease != lease)
                    && claim.held(&self.view, lease).is_empty()
                    && claim.published(&self.view, lease).is_empty()
            }
            _ => true,
        };
        nothing && !self.may_have_written() && !self.is_draining(now)
    }

    /// Whether the host has been told that it is over.
    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn
    }

    /// Whether it can be forgotten.
    pub fn is_over(&self, now: Time, ground: Ground<'_>) -> bool {
        self.withdrawn && self.leaves_nothing(now, ground)
    }

    /// Whether a write of its own may still happen, or may have happened.
    pub fn may_have_written(&self) -> bool {
        self.operation.is_some() || self.doubt != Doubt::Nothing
    }

    /// Whether callbacks of a win on this lease still need its keys.
    pub fn needs(&self, lease: LeaseId, now: Time) -> bool {
        self.is_draining(now) && self.drain.as_ref().is_some_and(|drain| drain.lease == lease)
    }

    pub fn is_running(&self, call: CallId) -> bool {
        self.calls.is_running(call)
    }

    pub fn has_win(&self) -> bool {
        self.win.is_some()
    }

    /// All keys that it wants to know of, once it has any.
    pub fn ranges(&self) -> &[Range] {
        self.claim.as_ref().filter(|_| !self.withdrawn).map_or(&[], Claim::ranges)
    }

    /// Whether its record stands in the store, on the present lease or a former one.
    pub fn is_registered(&self, keeper: &Keeper) -> bool {
        let record = self.claim.as_ref().and_then(|claim| claim.record(&self.view));
        record.is_some_and(|kv| keeper.is_own(kv.lease))
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
        if let Some(Win { stage: Stage::Won { give_back }, .. }) = self.win {
            due(give_back, "activation over");
        }
        if let Some(drain) = self.drain.as_ref().filter(|drain| self.calls.of(drain.token)) {
            due(drain.until, "drain over");
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
            && self.drain.is_none()
            && self.win.is_none()
            && self.want == Want::Primacy
        {
            due(standby.next_warmup, "warmup due");
        }
    }

    /// Its record, if that stands in the store under the present lease.
    pub fn record(&self, keeper: &Keeper) -> Option<&KeyValue> {
        let lease = keeper.held()?.id;
        self.claim.as_ref()?.record(&self.view).filter(|kv| kv.lease == lease)
    }

    /// Where it stands.
    pub fn state(&self, now: Time, keeper: &Keeper) -> State {
        if self.withdrawn {
            return State::Stopped;
        }
        if let Some(drain) = &self.drain {
            return if now >= drain.until && self.calls.of(drain.token) {
                State::Stuck
            } else {
                State::Resigning
            };
        }
        match (&self.win, self.want) {
            (_, Want::Nothing { .. }) => State::Stopping,
            (Some(win), _) if win.suspended => State::Suspended,
            (Some(win), _) if win.stage == Stage::Ready => State::Primary,
            (Some(_), _) => State::Activating,
            (None, _) if self.standby.is_some() => State::Standby,
            (None, Want::Primacy) => State::Campaigning,
            (None, _) if self.record(keeper).is_some() => State::Registered,
            (None, _) => State::Registering,
        }
    }

    /// The token of the win, or of the one that is draining.
    pub fn token(&self) -> Option<Token> {
        self.win.as_ref().map(|win| win.token).or(self.drain.as_ref().map(|drain| drain.token))
    }

    /// What a write under `token` compares, if that is the token of a win that has not been released yet.
    pub fn guard(&self, token: Token) -> Option<Vec<Compare>> {
        let win = self.win.as_ref().filter(|win| !matches!(win.stage, Stage::Won { .. }));
        let win = win.map(|win| (win.token, win.lease));
        let draining = self.drain.as_ref().map(|drain| (drain.token, drain.lease));
        let (token, lease) = [win, draining].into_iter().flatten().find(|(t, _)| *t == token)?;
        Some(self.claim.as_ref()?.guard(token, lease))
    }

    /// What troubles it, for people.
    pub fn trouble(&self) -> Option<&str> {
        self.obstacle.as_deref().or(self.trouble.as_deref())
    }

    pub fn is_warm(&self) -> bool {
        self.facts().warm
    }

    /// The callbacks that are running, by name.
    pub fn running(&self) -> Vec<&'static str> {
        self.calls.names().collect()
    }
}

/// What is kept of a stop's time for its last steps.
pub(super) fn reserve(left: Duration) -> Duration {
    (left / 4).min(Duration::from_secs(1))
}

fn holder(lock: &KeyValue) -> Option<Holder> {
    let record = Record::parse(&lock.value).ok()?;
    Some(Holder {
        server_id: record.server_id,
        address: record.address,
        lease: lock.lease,
        revision: lock.mod_revision,
    })
}

impl Standby {
    fn new(now: Time) -> Self {
        Standby { announced: false, warm: false, next_warmup: now }
    }
}
