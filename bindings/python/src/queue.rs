//! The queue that a thread of Python's, or an asyncio loop, waits for.

use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use primacy::platform::{is_child, mark_children};
use pyo3::prelude::*;

use crate::event::Event;
use crate::fault::Fault;
use crate::handle::Handle;
use crate::wait;

/// A queue of events.
#[pyclass(frozen, module = "primacy._primacy")]
pub struct Queue(Handle<primacy::queue::Queue>);

impl Queue {
    /// Wraps one.
    pub fn new(queue: primacy::queue::Queue) -> Queue {
        Queue(Handle::new(queue))
    }

    /// The engine's.
    pub fn inner(&self) -> Result<&primacy::queue::Queue, Fault> {
        self.0.get()
    }
}

#[pymethods]
impl Queue {
    #[new]
    fn make() -> PyResult<Queue> {
        if is_child() {
            return Err(Fault::Forked.into());
        }
        // Threads of Python's are about to wait for it, which a child does not have.
        mark_children();
        Ok(Queue::new(primacy::queue::Queue::new().map_err(Fault::from)?))
    }

    /// Readable exactly while an event waits.
    fn fileno(&self) -> PyResult<i32> {
        Ok(self.inner()?.as_fd().as_raw_fd())
    }

    /// The next event, if there is one.
    fn poll(&self) -> PyResult<Option<Event>> {
        Ok(self.inner()?.next(Duration::ZERO).map(Event::from))
    }

    /// The next event, waited for; None: not in time.
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Event>> {
        let queue = self.inner()?;
        let event = wait::in_slices(py, wait::seconds(timeout)?, |slice| queue.next(slice))?;
        Ok(event.map(Event::from))
    }

    /// Adds an event "woken".
    fn wake(&self, tag: u64) -> PyResult<()> {
        self.inner()?.wake(tag);
        Ok(())
    }
}
