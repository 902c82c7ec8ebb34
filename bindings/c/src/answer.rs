//! How a callback of an election may answer, and a call that was put off may end.

use primacy::engine::Outcome;

use crate::error::Fault;
use crate::status::PRIMACY_E_ARGUMENT;

/// A callback's answer: well.
pub const PRIMACY_DONE: i32 = 0;
/// A warm-up's answer: well, and this standby is ready to take over. It is asked again, at a tenth of the
/// pace.
pub const PRIMACY_WARM: i32 = 1;
/// Not over yet: `primacy_election_complete` will end the call, from any thread.
pub const PRIMACY_PENDING: i32 = 2;
/// It failed. To say why, complete the call with a message and answer `PRIMACY_PENDING`.
pub const PRIMACY_FAILED: i32 = 3;

/// How a call ended, as C says it; `None`: not yet.
pub(crate) fn outcome(answer: i32, message: Option<&str>) -> Result<Option<Outcome>, Fault> {
    match answer {
        PRIMACY_DONE => Ok(Some(Outcome::Done)),
        PRIMACY_WARM => Ok(Some(Outcome::Warm)),
        PRIMACY_PENDING => Ok(None),
        PRIMACY_FAILED => Ok(Some(Outcome::Failed(message.unwrap_or("the host gave no reason").into()))),
        other => Err(Fault::new(
            PRIMACY_E_ARGUMENT,
            format!("{other} is none of PRIMACY_DONE, _WARM, _PENDING, _FAILED"),
        )),
    }
}
