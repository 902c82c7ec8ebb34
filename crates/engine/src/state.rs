//! Where sessions and elections can stand: what status, logs and bindings show of them.

use crate::numbered::numbered;

numbered! {
    /// Where a session stands.
    SessionState {
        /// It has its lease and its server id, or had them.
        Open = 1, "open";
        /// The host is ending it.
        Stopping = 2, "stopping";
        /// It is over.
        Closed = 3, "closed";
        /// The host has not opened it yet.
        New = 4, "new";
        /// It has no lease or no server id yet.
        Opening = 5, "opening";
    }
}

numbered! {
    /// Where an election stands.
    ElectionState {
        /// No record in the store yet.
        Registering = 1, "registering";
        /// It has a record; the host has not asked it to campaign.
        Registered = 2, "registered";
        /// Neither primary nor standby yet.
        Campaigning = 3, "campaigning";
        /// Somebody else is primary, or will be.
        Standby = 4, "standby";
        /// It has won, and `on_primary` has not succeeded yet.
        Activating = 5, "activating";
        /// It is primary.
        Primary = 6, "primary";
        /// It is primary, and its renewal is late.
        Suspended = 7, "suspended";
        /// It was primary; its callbacks or its keys are not done yet.
        Resigning = 8, "resigning";
        /// As before, and the drain timeout is over.
        Stuck = 9, "stuck";
        /// The host has ended it; it is not over yet.
        Stopping = 10, "stopping";
        /// It is over.
        Stopped = 11, "stopped";
    }
}
