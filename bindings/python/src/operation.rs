//! Something that ends later, and whom that wakes: whoever started it can be interrupted, or is an asyncio loop.

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

/// An operation that was started. It goes on whether or not anybody waits; what it opened for nobody ends.
#[pyclass(frozen, module = "primacy._primacy")]
pub struct Operation(Handle<Slot>);

/// The end of one: tells it, once.
pub struct End {
    slot: Slot,
    waker: Option<(primacy::queue::Queue, u64)>,
}

impl End {
    /// It ended so.
    pub fn is<T>(self, result: Result<T, Fault>)
    where
        T: for<'py> IntoPyObject<'py> + Send + 'static,
    {
        let result = result.map(|found| -> Ended { Box::new(|py| found.into_py_any(py)) });
        *self.slot.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        self.slot.1.notify_all();
        // Before the wake: whoever is woken finds the last of it.
        drop(self.slot);
        if let Some((queue, tag)) = self.waker {
            queue.wake(tag);
        }
    }
}

impl Operation {
    /// One that is under way already, or about to be.
    pub fn new(waker: Option<Waker>) -> Result<(Operation, End), Fault> {
        let waker = match waker {
            Some((queue, tag)) => Some((queue.get().inner()?.clone(), tag)),
            None => None,
        };
        let slot = Slot::default();
        Ok((Operation(Handle::new(slot.clone())), End { slot, waker }))
    }

    /// One that blocks: `work`, on a thread of its own.
    pub fn start<T>(
        waker: Option<Waker>,
        work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<Operation, Fault>
    where
        T: for<'py> IntoPyObject<'py> + Send + 'static,
    {
        let (operation, end) = Operation::new(waker)?;
        let run = move || {
            let result = catch_unwind(AssertUnwindSafe(work));
            end.is(result.unwrap_or_else(|_| Err(Fault::Internal("a panic; see the log".into()))));
        };
        let thread = thread::Builder::new().name("primacy-wait".into());
        with_signals_blocked(|| thread.spawn(run))?;
        Ok(operation)
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
