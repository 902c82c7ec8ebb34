//! Asking for a lease.

use super::{Change, Held, Keeper, Lease};
use crate::Level;
use crate::Setup;
use crate::action::{Action, Purpose};
use crate::effects::Effects;
use crate::store::{Answer, Failure, LeaseId, Request};
use crate::time::Time;

impl Keeper {
    /// That no endpoint serves is said of the endpoints.
    fn say_without(&mut self, fx: &mut Effects, failure: &Failure, remedy: &str) {
        let said = failure.wants_help() && self.without.wrong(fx.now);
        let level = if said { Level::Error } else { Level::Debug };
        fx.log(level, None, format!("no lease: {failure}{remedy}; asked for again"));
    }

    pub(super) fn ask(&mut self, fx: &mut Effects, setup: &Setup, again: bool) {
        let patience = self.backoff.patience(setup.request_timeout);
        let request =
            fx.send(Purpose::Grant, None, patience, Request::Grant { lease: self.next, ttl: setup.ttl });
        self.lease = Lease::Asking { request, sent: fx.now, again };
    }

    /// Asks for one under another id, more slowly each time while none is of use.
    pub(super) fn ask_anew(&mut self, fx: &mut Effects, setup: &Setup) {
        let at = self.useless.anew(fx);
        if at <= fx.now {
            self.ask(fx, setup, false);
        } else {
            self.lease = Lease::Waiting { at, again: false };
        }
    }

    pub(super) fn granted(
        &mut self,
        fx: &mut Effects,
        setup: &Setup,
        sent: Time,
        again: bool,
        result: &Result<Answer, Failure>,
    ) -> Option<Change> {
        let until = match result {
            Ok(Answer::Granted { ttl }) => setup.ours_until(sent, *ttl),
            _ => None,
        };
        match (result, until) {
            (Ok(Answer::Granted { ttl }), Some(deadline)) => {
                self.backoff.reset();
                if deadline <= fx.now {
                    // Read too late, after a pause: this one is over already.
                    self.retire_next();
                    self.ask_anew(fx, setup);
                    return None;
                }
                if self.without.well() {
                    fx.log(Level::Info, None, format!("lease {} is granted", self.next));
                }
                let id = self.next;
                self.next = LeaseId(id.0 + 1);
                self.lease = Lease::Held(Held {
                    id,
                    ttl: *ttl,
                    deadline,
                    kept: deadline,
                    late: false,
                    since: fx.now,
                    next: sent + *ttl / 3,
                    under_way: Vec::new(),
                    sent,
                    heard: sent,
                    acknowledged: None,
                    asked: false,
                    confirmed: sent,
                });
                fx.push(Action::Deadline { lease: id, until: deadline });
                self.renew_if_due(fx, setup);
                Some(Change::Granted)
            }
            (Err(failure @ Failure::Indefinite(_)), _) => {
                // The same id again: if the lost request did create it, the store says so.
                self.lease = Lease::Waiting { at: self.backoff.after(failure, fx), again: true };
                None
            }
            (Err(Failure::LeaseExists), _) => {
                // Ours, from a request whose answer was lost: since when, and for how long, is not known, so it
                // is undone. Without such a request it is somebody else's.
                if again {
                    self.retire_next();
                } else {
                    self.next = LeaseId(self.next.0 + 1);
                }
                self.ask_anew(fx, setup);
                None
            }
            (Err(failure), _) => {
                self.say_without(fx, failure, "");
                self.lease = Lease::Waiting { at: self.backoff.after(failure, fx), again };
                None
            }
            (Ok(_), _) => {
                let failure = Failure::Refused("the lease granted is not longer than the margin".into());
                self.say_without(fx, &failure, ": raise common.session.ttl or lower primacy.margin_ms");
                self.retire_next();
                self.lease = Lease::Waiting { at: self.backoff.after(&failure, fx), again: false };
                None
            }
        }
    }
}
