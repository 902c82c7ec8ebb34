//! An election.

use primacy::engine::{CallId, Outcome, Token};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::event::found;
use crate::fault::Fault;
use crate::handle::Handle;
use crate::operation::{Operation, Waker};
use crate::txn::Txn;
use crate::wait;

/// The call that the caller runs in, if any: its election, and its id.
pub type Within = (Py<Election>, u64);

/// Runs `run` as a part of that call.
pub fn inside(within: Option<Within>, run: impl FnOnce()) -> PyResult<()> {
    match within {
        Some((election, call)) => election.get().0.get()?.inside(CallId(call), run),
        None => run(),
    }
    Ok(())
}

/// An election.
#[pyclass(frozen, module = "primacy._primacy")]
pub struct Election(Handle<primacy::election::Election>);

impl Election {
    /// Wraps one.
    pub fn new(election: primacy::election::Election) -> Election {
        Election(Handle::new(election))
    }
}

#[pymethods]
impl Election {
    fn campaign(&self) -> PyResult<()> {
        self.0.get()?.campaign();
        Ok(())
    }

    fn transfer(&self, to: Option<i64>, within: Option<Within>) -> PyResult<()> {
        let election = self.0.get()?;
        inside(within, || election.transfer(to))
    }

    fn healthy(&self) -> PyResult<()> {
        self.0.get()?.healthy();
        Ok(())
    }

    fn resign(&self, within: Option<Within>) -> PyResult<()> {
        let election = self.0.get()?;
        inside(within, || election.resign())
    }

    fn stop(&self, timeout: Option<f64>, within: Option<Within>) -> PyResult<()> {
        let (election, timeout) = (self.0.get()?, wait::or_configured(timeout)?);
        inside(within, || match timeout {
            Some(timeout) => election.stop(timeout),
            None => drop(election.begin_close(None, false)),
        })
    }

    fn join(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let election = self.0.get()?;
        let joined =
            wait::in_slices(py, wait::seconds(timeout)?, |slice| wait::joined(election.join(slice)))?;
        Ok(joined.transpose()?.is_some())
    }

    /// As of a session.
    fn start_join(&self, waker: Waker) -> PyResult<Operation> {
        let election = self.0.get()?.clone();
        let wait = move || Ok(election.join(wait::LONGEST)?);
        Ok(Operation::start(Some(waker), wait)?)
    }

    /// Also in a forked child, where the deadline's memory is wiped: None.
    fn token(&self) -> PyResult<Option<i64>> {
        Ok(self.0.in_any_process()?.token().map(|token| token.0))
    }

    /// As `token`.
    fn is_primary(&self) -> PyResult<bool> {
        Ok(self.0.in_any_process()?.token().is_some())
    }

    /// As `token`; seconds.
    fn remaining(&self) -> PyResult<f64> {
        Ok(self.0.in_any_process()?.remaining().as_secs_f64())
    }

    /// `outcome`: done, warm or failed.
    fn complete(&self, call: u64, outcome: &str, text: String) -> PyResult<()> {
        let outcome = match outcome {
            "done" => Outcome::Done,
            "warm" => Outcome::Warm,
            "failed" => Outcome::Failed(text),
            other => return Err(PyValueError::new_err(format!("`{other}` is no outcome"))),
        };
        Ok(self.0.get()?.complete(CallId(call), outcome).map_err(Fault::from)?)
    }

    fn is_cancelled(&self, call: u64) -> PyResult<bool> {
        Ok(self.0.get()?.is_cancelled(CallId(call)))
    }

    fn commit(
        &self,
        token: i64,
        txn: &Txn,
        timeout: Option<f64>,
        waker: Option<Waker>,
    ) -> PyResult<Operation> {
        let election = self.0.get()?;
        let timeout = wait::or_configured(timeout)?.unwrap_or_else(|| election.request_timeout());
        let (operation, end) = Operation::new(waker)?;
        election.start_commit(Token(token), txn.guarded(), timeout, |answer| {
            end.is(answer.map(|answer| found(&answer)).map_err(Fault::from));
        });
        Ok(operation)
    }

    fn recording(&self, py: Python<'_>) -> PyResult<String> {
        let election = self.0.get()?;
        Ok(py.detach(|| election.recording()))
    }
}
