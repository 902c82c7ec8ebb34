//! Something that waits for etcd, on a thread of its own: whoever started it can be interrupted, or is an asyncio
//! loop.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use engine::observer::Observer as EngineObserver;
use engine::platform::with_signals_blocked;
use engine::session::Session as EngineSession;
use engine::store::TxnAnswer;
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;

use crate::event::{Reads, reads};
use crate::fault::Fault;
use crate::handle::Handle;
use crate::observer::Observer;
use crate::queue::Queue;
use crate::session::Session;
use crate::wait;

/// What one ends with.
pub enum Outcome {
    Session(EngineSession),
    Observer(EngineObserver),
    Answer(TxnAnswer),
    Nothing,
}

/// Whom to wake, and by which tag.
pub type Waker = (Py<Queue>, u64);

type Slot = Arc<(Mutex<Option<Result<Outcome, Fault>>>, Condvar)>;

/// An operation that was started. Its thread goes on whether or not anybody waits; what it opened for nobody ends.
#[pyclass(frozen, module = "primacy._primacy")]
pub struct Operation(Handle<Slot>);

impl Operation {
    /// Runs `work`, then wakes.
    pub fn start(
        waker: Option<Waker>,
        work: impl FnOnce() -> Result<Outcome, Fault> + Send + 'static,
    ) -> Result<Operation, Fault> {
        let waker = match waker {
            Some((queue, tag)) => Some((queue.get().inner()?.clone(), tag)),
            None => None,
        };
        let slot = Slot::default();
        let filled = slot.clone();
        let run = move || {
            let result = catch_unwind(AssertUnwindSafe(work));
            let result = result.unwrap_or_else(|_| Err(Fault::Internal("a panic; see the log".into())));
            *filled.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            filled.1.notify_all();
            // Before the wake: whoever is woken finds the last of it.
            drop(filled);
            if let Some((queue, tag)) = waker {
                queue.wake(tag);
            }
        };
        let thread = thread::Builder::new().name("primacy-wait".into());
        with_signals_blocked(|| thread.spawn(run))?;
        Ok(Operation(Handle::new(slot)))
    }

    fn take(slot: &Slot, timeout: Duration) -> Option<Result<Outcome, Fault>> {
        let state = slot.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = slot.1.wait_timeout_while(state, timeout, |state| state.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.take()
    }
}

#[pymethods]
impl Operation {
    /// Waits for the end and takes the result.
    fn wait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let slot = self.0.get()?;
        match wait::in_slices(py, wait::seconds(None)?, |slice| Operation::take(slot, slice))? {
            Some(result) => show(py, result?),
            None => Err(Fault::TimedOut("it takes a year".into()).into()),
        }
    }

    /// Takes the result of one that has ended.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match Operation::take(self.0.get()?, Duration::ZERO) {
            Some(result) => show(py, result?),
            None => Err(Fault::Internal("asked for a result that is not there".into()).into()),
        }
    }
}

fn show(py: Python<'_>, outcome: Outcome) -> PyResult<Py<PyAny>> {
    match outcome {
        Outcome::Session(session) => Session::new(session).into_py_any(py),
        Outcome::Observer(observer) => Observer::new(observer).into_py_any(py),
        Outcome::Answer(answer) => {
            let found: (i64, Reads) = (answer.revision.0, reads(&answer));
            found.into_py_any(py)
        }
        Outcome::Nothing => Ok(py.None()),
    }
}
