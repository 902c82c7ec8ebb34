//! What keeps an election from getting on: as a number for programs, with a text for people.

use crate::numbered::numbered;
use crate::store::Failure;

numbered! {
    /// What keeps an election from getting on. It goes on by itself once that is gone.
    Obstacle {
        /// Its record's key is somebody else's; it waits until that is gone.
        RecordTaken = 1, "record_taken";
        /// Its host takes nothing of what waits for it; it does not campaign until it does.
        HostUnresponsive = 2, "host_unresponsive";
        /// The cluster has seen a newer version, or the key that tells is no version: it does not campaign. Waiting does
        /// not help: somebody has to change the key, or this server.
        Outdated = 3, "outdated";
        /// The store's user may not do what the last write needs.
        Denied = 4, "denied";
        /// The store has no space for the last write.
        NoSpace = 5, "no_space";
        /// The store refused the last write, for another reason.
        Refused = 6, "refused";
        /// The last write was not sent.
        Unreachable = 7, "unreachable";
        /// The last write got no answer in time: it may have happened.
        Indefinite = 8, "indefinite";
        /// The lease of the last write was gone.
        LeaseLost = 9, "lease_lost";
        /// Nobody holds the lock, and another key that a win takes, or must find absent, is somebody else's; it waits until
        /// that is gone.
        KeyHeld = 10, "key_held";
        /// Its priority is 0: it never campaigns.
        NoPriority = 11, "no_priority";
    }
}

impl From<&Failure> for Obstacle {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Denied(_) => Obstacle::Denied,
            Failure::NoSpace(_) => Obstacle::NoSpace,
            Failure::Refused(_) => Obstacle::Refused,
            Failure::Unreachable(_) => Obstacle::Unreachable,
            Failure::Indefinite(_) => Obstacle::Indefinite,
            Failure::LeaseNotFound | Failure::LeaseExists => Obstacle::LeaseLost,
        }
    }
}

/// An obstacle, and what people want to know of it: which key, whose.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Trouble {
    pub obstacle: Obstacle,
    pub text: String,
}
