//! An observer.

use primacy::engine::{Primary, Token};
use primacy::observer::WaitError;
use primacy::platform;
use std::time::Duration;

use pyo3::prelude::*;

use crate::config::Config;
use crate::event::{Seen, seen};
use crate::fault::Fault;
use crate::handle::Handle;
use crate::log::log;
use crate::operation::{Operation, Waker};
use crate::queue::Queue;
use crate::wait;

/// An observer.
#[pyclass(frozen, module = "primacy._primacy")]
pub struct Observer(Handle<primacy::observer::Observer>);

impl Observer {
    /// Wraps one.
    pub fn new(observer: primacy::observer::Observer) -> Observer {
        Observer(Handle::new(observer))
    }
}

/// Opens an observer: the operation ends with it. Its changes go to the queue of `changes`, under its tag.
#[pyfunction]
pub fn open_observer(
    config: &Config,
    role: String,
    changes: Option<(Py<Queue>, u64)>,
    waker: Option<Waker>,
) -> PyResult<Operation> {
    if platform::is_child() {
        return Err(Fault::Forked.into());
    }
    let (settings, log) = (config.settings()?, log()?);
    let on_change = match changes {
        Some((queue, tag)) => Some(queue.get().inner()?.on_change(tag)),
        None => None,
    };
    let open = move || Ok(Observer::new(primacy::observer::Observer::open(settings, &role, log, on_change)?));
    Ok(Operation::start(waker, open)?)
}

#[pymethods]
impl Observer {
    fn current(&self) -> PyResult<Option<Seen>> {
        Ok(self.0.get()?.current().map(seen))
    }

    /// Waits until there is a primary; None: not in time.
    fn wait_for_primary(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Seen>> {
        let observer = self.0.get()?;
        let wait = |slice| waited(observer.wait_for_primary(slice));
        let found = wait::in_slices(py, wait::seconds(timeout)?, wait)?;
        Ok(found.transpose()?.map(seen))
    }

    /// Waits until there is one that is ready; None: not in time.
    fn wait_until_ready(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Seen>> {
        let observer = self.0.get()?;
        let wait = |slice| waited(observer.wait_until_ready(slice));
        let found = wait::in_slices(py, wait::seconds(timeout)?, wait)?;
        Ok(found.transpose()?.map(seen))
    }

    /// Waits until it is another one than `known`; None: not in time.
    fn wait_for_change(
        &self,
        py: Python<'_>,
        known: Option<Seen>,
        timeout: Option<f64>,
    ) -> PyResult<Option<(Option<Seen>,)>> {
        let observer = self.0.get()?;
        let known = known.map(|(server_id, address, token, ready)| {
            let token = Token(token);
            Primary { server_id, address, token, ready }
        });
        let wait = |slice| waited(observer.wait_for_change(known.as_ref(), slice));
        let found = wait::in_slices(py, wait::seconds(timeout)?, wait)?;
        Ok(found.transpose()?.map(|primary| (primary.map(seen),)))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let observer = self.0.get()?;
        // A change is put into a queue, which does not block: nothing there takes as long as that.
        let _ = py.detach(|| observer.close(Some(Duration::from_secs(1))));
        Ok(())
    }
}

/// What a slice of a wait found out, if anything.
fn waited<T>(result: Result<T, WaitError>) -> Option<Result<T, Fault>> {
    match result {
        Err(WaitError::TimedOut) => None,
        ended => Some(ended.map_err(Fault::from)),
    }
}
