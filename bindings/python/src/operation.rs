//! Something that waits for etcd, on a thread of its own: whoever started it can be interrupted, or is an asyncio
//! loop.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use primacy::platform::with_signals_blocked;
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;

use crate::fault::Fault;
use crate::handle::Handle;
use crate::queue::Queue;
use crate::wait;

/// What one ends with, to be made Python's where somebody asks for it.
type Ended = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// Whom to wake, and by which tag.
pub type Waker = (Py<Queue>, u64);

type Slot = Arc<(Mutex<Option<Result<Ended, Fault>>>, Condvar)>;

/// An operation that was started. Its thread goes on whether or not anybody waits; what it opened for nobody ends.
#[pyclass(frozen, module = "primacy._primacy")]
pub struct Operation(Handle<Slot>);

impl Operation {
    /// Runs `work`, then wakes.
    pub fn start<T>(
        waker: Option<Waker>,
        work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<Operation, Fault>
    where
        T: for<'py> IntoPyObject<'py> + Send + 'static,
    {
        let waker = match waker {
            Some((queue, tag)) => Some((queue.get().inner()?.clone(), tag)),
            None => None,
        };
        let slot = Slot::default();
        let filled = slot.clone();
        let run = move || {
            let result = catch_unwind(AssertUnwindSafe(work));
            let result = result.unwrap_or_else(|_| Err(Fault::Internal("a panic; see the log".into())));
            let result = result.map(|found| -> Ended { Box::new(|py| found.into_py_any(py)) });
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

    fn take(slot: &Slot, timeout: Duration) -> Option<Result<Ended, Fault>> {
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
            Some(result) => result?(py),
            None => Err(Fault::TimedOut("it takes a year".into()).into()),
        }
    }

    /// Takes the result of one that has ended.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match Operation::take(self.0.get()?, Duration::ZERO) {
            Some(result) => result?(py),
            None => Err(Fault::Internal("asked for a result that is not there".into()).into()),
        }
    }
}
