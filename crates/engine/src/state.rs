//! Where an election can stand: what status, logs and bindings show of it.

/// Where an election stands, in the words that status and logs use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No record in the store yet.
    Registering,
    /// It has a record; the host has not asked it to campaign.
    Registered,
    /// Neither primary nor standby yet.
    Campaigning,
    /// Somebody else is primary, or will be.
    Standby,
    /// It has won, and `on_primary` has not succeeded yet.
    Activating,
    /// It is primary.
    Primary,
    /// It is primary, and its renewal is late.
    Suspended,
    /// It was primary; its callbacks or its keys are not done yet.
    Resigning,
    /// As before, and the drain timeout is over.
    Stuck,
    /// The host has ended it; it is not over yet.
    Stopping,
    /// It is over.
    Stopped,
}

impl State {
    /// The name that status, logs, C, Go and Python show.
    pub const fn name(self) -> &'static str {
        match self {
            State::Registering => "registering",
            State::Registered => "registered",
            State::Campaigning => "campaigning",
            State::Standby => "standby",
            State::Activating => "activating",
            State::Primary => "primary",
            State::Suspended => "suspended",
            State::Resigning => "resigning",
            State::Stuck => "stuck",
            State::Stopping => "stopping",
            State::Stopped => "stopped",
        }
    }
}
