//! A session.

use std::time::Duration;

use primacy::platform;
use primacy::session::Closing;
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

    fn closing(
        &self,
        timeout: Option<f64>,
        unread: &[String],
    ) -> PyResult<Closing<primacy::session::Session>> {
        let timeout = wait::or_configured(timeout)?;
        Ok(self.0.get()?.begin_close(timeout, |role| unread.iter().any(|unread| unread == role.as_str())))
    }
}

/// Begins to open a session: the operation ends when it is open. Until then an end of the session ends that, too.
#[pyfunction]
pub fn open_session(
    config: &Config,
    candidate: Fields,
    waker: Option<Waker>,
) -> PyResult<(Session, Operation)> {
    if platform::is_child() {
        return Err(Fault::Forked.into());
    }
    let (settings, candidate, log) = (config.settings()?, candidate.check()?, log()?);
    let (operation, end) = Operation::new(waker)?;
    let session = primacy::session::Session::start_open(None, settings, candidate, log, |ended| {
        end.is(ended.map_err(Fault::from));
    });
    Ok((Session::new(session.map_err(Fault::from)?), operation))
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
        Ok(Election::new(election))
    }

    /// Reads what the transaction gets.
    #[pyo3(signature = (txn, timeout, waker))]
    fn read(&self, txn: &Txn, timeout: Option<f64>, waker: Option<Waker>) -> PyResult<Operation> {
        let session = self.0.get()?;
        let timeout = wait::or_configured(timeout)?.unwrap_or_else(|| session.request_timeout());
        let ranges = txn.reads()?;
        let (operation, end) = Operation::new(waker)?;
        session.start_read(ranges, timeout, |answer| {
            end.is(answer.map(|answer| found(&answer)).map_err(Fault::from));
        });
        Ok(operation)
    }

    /// As JSON.
    fn snapshot(&self, py: Python<'_>) -> PyResult<String> {
        let session = self.0.get()?;
        let snapshot = py.detach(|| session.snapshot());
        serde_json::to_string(&snapshot).map_err(|error| Fault::Internal(error.to_string()).into())
    }

    /// As JSON.
    fn health(&self, py: Python<'_>) -> PyResult<String> {
        let session = self.0.get()?;
        let health = py.detach(|| session.health());
        serde_json::to_string(&health).map_err(|error| Fault::Internal(error.to_string()).into())
    }

    fn mark_stopping(&self) -> PyResult<()> {
        self.0.get()?.mark_stopping();
        Ok(())
    }

    fn stop(&self, timeout: Option<f64>, within: Option<Within>) -> PyResult<()> {
        let (session, timeout) = (self.0.get()?, wait::or_configured(timeout)?);
        inside(within, || match timeout {
            Some(timeout) => session.stop(timeout),
            None => drop(session.begin_close(None, |_| false)),
        })
    }

    /// Stops it and waits until it is over. Nobody takes the events of elections for the roles `unread` any more.
    fn close(&self, py: Python<'_>, timeout: Option<f64>, unread: Vec<String>) -> PyResult<()> {
        let closing = self.closing(timeout, &unread)?;
        let over = |slice| closing.wait(slice).map(|ended| ended.map_err(Fault::from));
        match wait::in_slices(py, wait::LONGEST, over)? {
            Some(ended) => Ok(ended?),
            None => Err(Fault::TimedOut("it takes a year".into()).into()),
        }
    }

    /// The same as an operation.
    fn start_close(&self, timeout: Option<f64>, unread: Vec<String>, waker: Waker) -> PyResult<Operation> {
        let closing = self.closing(timeout, &unread)?;
        let wait = move || closing.wait(wait::LONGEST).unwrap_or(Ok(())).map_err(Fault::from);
        Ok(Operation::start(Some(waker), wait)?)
    }

    /// The same, and nobody waits.
    fn begin_close(&self, timeout: Option<f64>, unread: Vec<String>) -> PyResult<()> {
        self.closing(timeout, &unread).map(drop)
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
