//! A session.

use std::time::Duration;

use primacy::platform;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::candidate::Fields;
use crate::config::Config;
use crate::election::{Election, Within, inside};
use crate::event::found;
use crate::fault::Fault;
use crate::handle::Handle;
use crate::log::log;
use crate::operation::{Operation, Waker};
use crate::queue::Queue;
use crate::txn::Txn;
use crate::wait;

/// A session.
#[pyclass(frozen, module = "primacy._primacy")]
pub struct Session(Handle<primacy::session::Session>);

impl Session {
    /// Wraps one.
    pub fn new(session: primacy::session::Session) -> Session {
        Session(Handle::new(session))
    }
}

/// Opens a session: the operation ends with it.
#[pyfunction]
pub fn open_session(config: &Config, candidate: Fields, waker: Option<Waker>) -> PyResult<Operation> {
    if platform::is_child() {
        return Err(Fault::Forked.into());
    }
    let (settings, candidate, log) = (config.settings()?, candidate.check()?, log()?);
    let open = move || Ok(Session::new(primacy::session::Session::open(settings, candidate, log)?));
    Ok(Operation::start(waker, open)?)
}

#[pymethods]
impl Session {
    #[getter]
    fn server_id(&self) -> PyResult<i64> {
        Ok(self.0.get()?.server_id())
    }

    /// Adds an election whose events go to `queue` under `tag`.
    fn register(&self, role: &str, queue: &Queue, tag: u64) -> PyResult<Election> {
        let host = queue.inner()?.host(tag);
        let session = self.0.get()?;
        let election = session.register(role, host).map_err(Fault::from)?;
        Ok(Election::new(election, session.request_timeout()))
    }

    /// Reads what the transaction gets.
    #[pyo3(signature = (txn, timeout, waker))]
    fn read(&self, txn: &Txn, timeout: Option<f64>, waker: Option<Waker>) -> PyResult<Operation> {
        let session = self.0.get()?.clone();
        let timeout = match timeout {
            None => session.request_timeout(),
            given => wait::seconds(given)?,
        };
        let Some(ranges) = txn.ranges() else {
            let text = "a read takes a transaction of one or more gets; commit one that compares or writes";
            return Err(PyValueError::new_err(text));
        };
        Ok(Operation::start(waker, move || Ok(found(&session.read(ranges, timeout)?)))?)
    }

    /// As JSON.
    fn snapshot(&self, py: Python<'_>) -> PyResult<String> {
        let session = self.0.get()?;
        let snapshot = py.detach(|| session.snapshot());
        serde_json::to_string(&snapshot).map_err(|error| Fault::Internal(error.to_string()).into())
    }

    fn mark_stopping(&self) -> PyResult<()> {
        self.0.get()?.mark_stopping();
        Ok(())
    }

    fn stop(&self, timeout: Option<f64>, within: Option<Within>) -> PyResult<()> {
        let (session, timeout) = (self.0.get()?, wait::seconds(timeout)?);
        inside(within, || session.stop(timeout))
    }

    /// Waits for the end; whether it came in time.
    fn join(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let session = self.0.get()?;
        let joined = wait::in_slices(py, wait::seconds(timeout)?, |slice| wait::joined(session.join(slice)))?;
        Ok(joined.transpose()?.is_some())
    }

    /// An operation that ends when it is over: once for however many wait, since its thread stays until then.
    fn start_join(&self, waker: Waker) -> PyResult<Operation> {
        let session = self.0.get()?.clone();
        let wait = move || Ok(session.join(wait::LONGEST)?);
        Ok(Operation::start(Some(waker), wait)?)
    }

    /// Whether it is over.
    fn is_over(&self) -> PyResult<bool> {
        Ok(self.0.get()?.join(Duration::ZERO).is_ok())
    }
}
