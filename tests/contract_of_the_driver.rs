//! What an engine and whoever drives it owe each other, as `Event` and `Action` say it: one answer to each request, one end
//! of each call, one `on_lost` for each `on_primary`, and nothing after the end.
//!
//! Transcripts, simulation, the walk through all states and the tests of the real driver have it look on. It knows what the
//! engine was told; what the host does meanwhile is not its affair.

use std::collections::{BTreeMap, BTreeSet};

use primacy_engine::store::LeaseId;
use primacy_engine::{Action, Call, CallId, Callback, ElectionId, Event, RequestId, Token};

/// A rule that was broken, and how.
pub type Broken = (&'static str, String);

const ONE_LOST: &str = "one lost for each primary";
const AFTER_THE_END: &str = "nothing after the end";

/// A win, as the host hears of it.
type Win = (Token, LeaseId);

/// What is open between an engine and its driver.
#[derive(Clone, Debug, Default, Hash)]
pub struct Contract {
    requests: BTreeSet<RequestId>,
    calls: BTreeMap<CallId, Open>,
    elections: BTreeMap<ElectionId, Standing>,
    closed: bool,
}

/// A call that has not ended.
#[derive(Clone, Copy, Debug, Hash)]
struct Open {
    election: ElectionId,
    callback: Callback,
    win: Option<Win>,
    taken: bool,
    cancelled: bool,
}

/// What an election has told its host.
#[derive(Clone, Copy, Debug, Default, Hash)]
struct Standing {
    /// What `is_primary` stands on.
    win: Option<Win>,
    /// `on_primary` of it has to be called in the same step.
    announced: bool,
    /// `on_primary` of this win was begun, and `on_lost` was not called.
    begun: Option<Win>,
    withdrawn: bool,
}

impl Contract {
    /// One step: an event, and what came of it.
    #[allow(dead_code, reason = "some let time pass in between")]
    pub fn step(&mut self, event: &Event, actions: &[Action]) -> Result<(), Broken> {
        self.event(event)?;
        actions.iter().try_for_each(|action| self.action(action))?;
        self.end_of_step()
    }

    /// The engine is told of something.
    pub fn event(&mut self, event: &Event) -> Result<(), Broken> {
        match event {
            Event::Answered { request, .. } if !self.requests.remove(request) => {
                Err(("one answer to each request", format!("{request} was not sent, or was answered before")))
            }
            Event::Completed { call, .. } if self.calls.remove(call).is_none() => {
                Err(("one end of each call", format!("{call} was not called, or has ended before")))
            }
            Event::Taken { call } => {
                if let Some(open) = self.calls.get_mut(call)
                    && !std::mem::replace(&mut open.taken, true)
                    && open.callback == Callback::Primary
                {
                    self.elections.entry(open.election).or_default().begun = open.win;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The engine wants something done.
    pub fn action(&mut self, action: &Action) -> Result<(), Broken> {
        match action {
            Action::Send { .. } | Action::Watch { .. } | Action::Opened { .. } | Action::Closed { .. }
                if self.closed =>
            {
                Err((AFTER_THE_END, "the session is closed".into()))
            }
            Action::Send { request, .. } if !self.requests.insert(*request) => {
                Err(("one answer to each request", format!("{request} is under way already")))
            }
            Action::Call { election, call, what } => self.call(*election, *call, what),
            Action::Cancel { call, .. } => match self.calls.get_mut(call) {
                Some(open) => {
                    open.cancelled = true;
                    Ok(())
                }
                None => Err(("calls", format!("{call} is cancelled, and does not run"))),
            },
            Action::Primacy { election, win } => {
                let standing = self.elections.entry(*election).or_default();
                (standing.win, standing.announced) = (*win, win.is_some());
                if win.is_some() && (self.closed || standing.withdrawn) {
                    return Err((AFTER_THE_END, format!("{election} is primary")));
                }
                Ok(())
            }
            Action::Withdrawn { election } => {
                let runs = self.calls.values().any(|open| open.election == *election);
                let standing = self.elections.entry(*election).or_default();
                let ends_twice = std::mem::replace(&mut standing.withdrawn, true);
                if ends_twice || runs || standing.win.is_some() || standing.begun.is_some() {
                    return Err(("an election ends once, with nothing running", format!("{election}")));
                }
                Ok(())
            }
            Action::Closed { .. } => {
                self.closed = true;
                match self.elections.iter().find(|(_, standing)| standing.win.is_some()) {
                    Some((election, _)) => Err((ONE_LOST, format!("{election} is primary at the end"))),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// All that a step wanted has been done.
    pub fn end_of_step(&self) -> Result<(), Broken> {
        for (election, standing) in &self.elections {
            if standing.announced {
                return Err(("primary is told", format!("{election}: on_primary was not called")));
            }
            if let (None, Some((token, _))) = (standing.win, standing.begun) {
                return Err((
                    ONE_LOST,
                    format!("{election}: no on_lost of {token}, whose on_primary was begun"),
                ));
            }
        }
        Ok(())
    }

    fn call(&mut self, election: ElectionId, call: CallId, what: &Call) -> Result<(), Broken> {
        let standing = self.elections.entry(election).or_default();
        let mut beside = self.calls.values().filter(|open| open.election == election);
        let mut win = None;
        let broken = match what {
            // As a session ends it may not be known yet that an on_primary was begun: then its on_lost comes later.
            _ if standing.withdrawn => Some((AFTER_THE_END, format!("{election} has ended"))),
            Call::Lost { token, lease, .. } => {
                let owed = standing.begun.take();
                if owed != Some((*token, *lease)) {
                    Some((ONE_LOST, format!("what was begun, and not lost, is {owed:?}")))
                } else if standing.win.is_some() {
                    Some(("is_primary ends before on_lost", format!("{election} is still primary")))
                } else {
                    let not_told = beside.any(|open| !open.cancelled);
                    not_told.then(|| {
                        ("cancelled before on_lost", "a callback runs that was not told to end".into())
                    })
                }
            }
            _ if self.closed => Some((AFTER_THE_END, "the session is closed".into())),
            _ if beside.next().is_some() => {
                Some(("one call at a time", format!("another one of {election} runs")))
            }
            Call::Primary { token, lease } => {
                win = Some((*token, *lease));
                let announced = std::mem::take(&mut standing.announced);
                (!announced || standing.win != win)
                    .then(|| ("is_primary begins with on_primary", format!("{election} is not primary")))
            }
            Call::Standby { .. } | Call::Warmup => {
                let primary = standing.win.is_some();
                primary.then(|| ("calls", format!("a standby's call of {election}, which is primary")))
            }
        };
        let open = Open { election, callback: what.callback(), win, taken: false, cancelled: false };
        let again = self.calls.insert(call, open).is_some();
        match broken {
            Some(broken) => Err(broken),
            None if again => Err(("calls", format!("{call} names two"))),
            None => Ok(()),
        }
    }
}
