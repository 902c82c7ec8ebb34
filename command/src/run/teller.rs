//! The session's callbacks, passed on to the thread that has the program.

use primacy::election::{Host, Reply};
use primacy::engine::{Call, CallId, LostReason, Notice, Token};
use tokio::sync::mpsc;

/// What the session's callbacks have said.
pub enum Told {
    Primary(CallId, Token),
    Lost(CallId, LostReason),
    Suspended,
}

/// Tells us, and is answered later where it waits for the program.
pub struct Teller(pub mpsc::UnboundedSender<Told>);

impl Host for Teller {
    fn call(&self, call: CallId, what: &Call) -> Reply {
        let told = match what {
            Call::Standby { .. } => return Reply::Done,
            // There is nothing to get ready.
            Call::Warmup => return Reply::Warm,
            Call::Primary { token, .. } => Told::Primary(call, *token),
            Call::Lost { reason, .. } => Told::Lost(call, *reason),
        };
        match (self.0.send(told), what) {
            (Ok(()), _) => Reply::Pending,
            // Nobody is there any more, and no program.
            (Err(_), Call::Lost { .. }) => Reply::Done,
            (Err(_), _) => Reply::Failed("primacy run ends".into()),
        }
    }
    fn cancelled(&self, _: CallId) {}
    fn notice(&self, what: &Notice) {
        if let Notice::Suspended { .. } = what {
            let _ = self.0.send(Told::Suspended);
        }
    }
    fn stopped(&self) {}
}
