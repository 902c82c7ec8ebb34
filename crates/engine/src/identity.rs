//! The session's server id: given by the host, or taken from `ROOT/session/id` by compare-and-put, as Milvus does.
//!
//! An id whose taking was not answered is left alone: the counter moves on, nobody uses it.

use std::time::Duration;

use super::Setup;
use super::action::Purpose;
use super::backoff::Backoff;
use super::effects::Effects;
use super::ids::RequestId;
use super::rights;
use crate::Level;
use crate::spell::Spell;
use crate::store::{
    Compare, Condition, Failure, Key, KeyValue, LeaseId, Op, Range, Request, Txn, TxnAnswer, Value,
};
use crate::time::Time;

/// One that was known for so long is replaced at once when it is of no use any more.
const STEADY: Duration = Duration::from_secs(1);

/// Takes one id.
#[derive(Clone, Debug, Hash)]
pub(super) struct Identity {
    id: Id,
    /// An election was registered under it: it is kept from then on.
    in_use: bool,
    backoff: Backoff,
    /// Ids in a row that were of no use: of a store that went back, or somebody else's.
    useless: Backoff,
    /// None can be taken.
    without: Spell<Time>,
}

#[derive(Clone, Debug, Hash)]
enum Id {
    Closed,
    /// Tried again at this time.
    Waiting(Time),
    /// The counter is made if it is not there, and read.
    Reading(RequestId),
    /// The counter is moved on from this id, which is ours then.
    Taking(RequestId, i64),
    /// Since then.
    Known(i64, Time),
}

impl Identity {
    pub fn new() -> Self {
        Identity {
            id: Id::Closed,
            in_use: false,
            backoff: Backoff::default(),
            useless: Backoff::default(),
            without: Spell::default(),
        }
    }

    /// The id, once it is taken.
    pub fn known(&self) -> Option<i64> {
        match self.id {
            Id::Known(id, _) => Some(id),
            _ => None,
        }
    }

    /// An election is registered under it.
    pub fn use_it(&mut self) {
        self.in_use = true;
    }

    pub fn is_in_use(&self) -> bool {
        self.in_use
    }

    /// Takes another id, more slowly each time while none is of use.
    pub fn take_another(&mut self, fx: &mut Effects, setup: &Setup) {
        if matches!(self.id, Id::Known(_, since) if fx.now.since(since) >= STEADY) {
            self.useless.reset();
        }
        self.in_use = false;
        let at = self.useless.anew(fx);
        if at <= fx.now {
            self.take(fx, setup);
        } else {
            self.id = Id::Waiting(at);
        }
    }

    /// Takes an id. One that the host gave is kept: others know this server by it.
    pub fn take(&mut self, fx: &mut Effects, setup: &Setup) {
        if let Some(given) = setup.candidate.server_id {
            self.id = Id::Known(given, fx.now);
            self.use_it();
            return;
        }
        self.id = Id::Reading(self.send(fx, setup, make(setup.root.id_key())));
    }

    pub fn tick(&mut self, fx: &mut Effects, setup: &Setup) {
        if matches!(self.id, Id::Waiting(at) if at <= fx.now) {
            self.take(fx, setup);
        }
    }

    pub fn timers(&self, mut due: impl FnMut(Time, &'static str)) {
        if let Id::Waiting(at) = self.id {
            due(at, "id due");
        }
    }

    pub fn close(&mut self) {
        self.id = Id::Closed;
    }

    /// Takes in an answer; true if the id is known now and was not before.
    pub fn answered(
        &mut self,
        fx: &mut Effects,
        setup: &Setup,
        request: RequestId,
        result: Result<&TxnAnswer, &Failure>,
    ) -> Result<bool, Failure> {
        let taking = match self.id {
            Id::Reading(asked) if asked == request => None,
            Id::Taking(asked, id) if asked == request => Some(id),
            _ => return Ok(false),
        };
        let answer = match result {
            Ok(answer) => answer,
            Err(failure) => {
                let failure = rights::named(failure, &make(setup.root.id_key()));
                let text = format!("{}: {failure}; tried again", setup.root.id_key());
                self.say_without(fx, &failure, &text);
                self.id = Id::Waiting(self.backoff.after(&failure, fx));
                return Err(failure);
            }
        };
        match (taking, answer.succeeded) {
            (Some(id), true) => {
                self.backoff.reset();
                if self.without.well() {
                    fx.log(Level::Info, None, format!("server id {id} is taken"));
                }
                self.id = Id::Known(id, fx.now);
                Ok(true)
            }
            (None, true) => self.next(fx, setup, &Value::from("1")),
            (taken, false) => match answer.reads.first().and_then(|found| found.first()) {
                Some(KeyValue { value, .. })
                    if taken.is_none() || setup.root.parse_id(value).ok() != taken =>
                {
                    self.next(fx, setup, value)
                }
                // Deleted meanwhile, or a store that contradicts itself: not for ever without a pause.
                _ => {
                    self.id = Id::Waiting(self.backoff.pass(fx));
                    Ok(false)
                }
            },
        }
    }

    fn next(&mut self, fx: &mut Effects, setup: &Setup, value: &Value) -> Result<bool, Failure> {
        let key = setup.root.id_key();
        match setup.root.parse_id(value) {
            Ok(id) if id < i64::MAX => {
                let take = Txn {
                    when: vec![Compare {
                        range: Range::Key(key.clone()),
                        condition: Condition::Value(value.clone()),
                    }],
                    then: vec![Op::Put(key.clone(), (id + 1).to_string().into(), LeaseId::NONE)],
                    otherwise: vec![Op::Get(Range::Key(key))],
                };
                self.id = Id::Taking(self.send(fx, setup, take), id);
                Ok(false)
            }
            Ok(_) => Err(self.unusable(fx, format!("{key} holds {value}: no id is left"))),
            Err(error) => Err(self.unusable(fx, error.to_string())),
        }
    }

    fn unusable(&mut self, fx: &mut Effects, text: String) -> Failure {
        let failure = Failure::Refused(text.clone());
        self.say_without(fx, &failure, &text);
        self.id = Id::Waiting(self.backoff.after(&failure, fx));
        failure
    }

    /// That no endpoint serves is said of the endpoints.
    fn say_without(&mut self, fx: &mut Effects, failure: &Failure, why: &str) {
        let said = failure.wants_help() && self.without.wrong(fx.now);
        let level = if said { Level::Error } else { Level::Debug };
        fx.log(level, None, format!("no server id: {why}"));
    }

    fn send(&self, fx: &mut Effects, setup: &Setup, txn: Txn) -> RequestId {
        fx.send(Purpose::TakeId, None, self.backoff.patience(setup.request_timeout), Request::Txn(txn))
    }
}

/// Makes the counter, or reads it.
fn make(key: Key) -> Txn {
    Txn {
        when: vec![Compare { range: Range::Key(key.clone()), condition: Condition::Absent }],
        then: vec![Op::Put(key.clone(), "1".into(), LeaseId::NONE)],
        otherwise: vec![Op::Get(Range::Key(key))],
    }
}
