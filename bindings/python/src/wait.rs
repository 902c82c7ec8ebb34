//! Waiting without the interpreter's lock, so that Ctrl-C ends a wait: in slices on the main thread, the only one that
//! runs handlers of signals. Elsewhere a wait is one sleep.

use std::time::{Duration, Instant};

use primacy::session::JoinError;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::fault::Fault;

/// How long a Ctrl-C may go unnoticed.
const SLICE: Duration = Duration::from_millis(50);
/// "For ever" to the engine, which knows no such thing.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Seconds, as Python says them; `None`: for ever.
pub fn seconds(given: Option<f64>) -> PyResult<Duration> {
    match given {
        None => Ok(LONGEST),
        Some(given) if given >= 0.0 => Ok(Duration::try_from_secs_f64(given).unwrap_or(LONGEST).min(LONGEST)),
        Some(given) => {
            let text = format!("a timeout of {given} s is refused; give seconds from 0 on, or None");
            Err(PyValueError::new_err(text))
        }
    }
}

/// The same; `None`: what the configuration says.
pub fn or_configured(given: Option<f64>) -> PyResult<Option<Duration>> {
    given.map(|given| seconds(Some(given))).transpose()
}

/// Repeats `wait`, which takes at most as long as it is told to, until it has something or `timeout` is over.
pub fn in_slices<T: Send>(
    py: Python<'_>,
    timeout: Duration,
    wait: impl Fn(Duration) -> Option<T> + Sync,
) -> PyResult<Option<T>> {
    let longest = if runs_handlers(py)? { SLICE } else { LONGEST };
    let start = Instant::now();
    loop {
        let left = timeout.saturating_sub(start.elapsed());
        if let Some(found) = py.detach(|| wait(left.min(longest))) {
            return Ok(Some(found));
        }
        py.check_signals()?;
        if left.is_zero() {
            return Ok(None);
        }
    }
}

/// What a slice of a join found out, if anything.
pub fn joined(joined: Result<(), JoinError>) -> Option<Result<(), Fault>> {
    match joined {
        Err(JoinError::TimedOut) => None,
        ended => Some(ended.map_err(Fault::from)),
    }
}

/// Whether this is the thread on which Python runs the handlers of signals.
fn runs_handlers(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    threading.call_method0("get_ident")?.eq(main)
}
