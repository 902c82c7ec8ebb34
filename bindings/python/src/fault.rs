//! What went wrong, as the exception of `primacy._errors` that says so. Faults are made on threads that know nothing
//! of Python, and become exceptions where somebody asks.

use std::io;

use primacy::batch::BatchError;
use primacy::config::ConfigError as BadConfig;
use primacy::election::{CommitError, CompleteError};
use primacy::milvus::{CandidateError as BadCandidate, IndexVersionsError};
use primacy::observer::WaitError;
use primacy::session::{CloseError, JoinError, OpenError, RegisterError};
use primacy::store::{Failure, TxnAnswer};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::event::found;

mod python {
    pyo3::import_exception!(primacy._errors, CallOver);
    pyo3::import_exception!(primacy._errors, CandidateError);
    pyo3::import_exception!(primacy._errors, ConfigError);
    pyo3::import_exception!(primacy._errors, Conflict);
    pyo3::import_exception!(primacy._errors, Denied);
    pyo3::import_exception!(primacy._errors, Exhausted);
    pyo3::import_exception!(primacy._errors, Forked);
    pyo3::import_exception!(primacy._errors, InCallback);
    pyo3::import_exception!(primacy._errors, InternalError);
    pyo3::import_exception!(primacy._errors, NotPrimary);
    pyo3::import_exception!(primacy._errors, Refused);
    pyo3::import_exception!(primacy._errors, RoleError);
    pyo3::import_exception!(primacy._errors, RoleTaken);
    pyo3::import_exception!(primacy._errors, Stopped);
    pyo3::import_exception!(primacy._errors, TimedOut);
    pyo3::import_exception!(primacy._errors, Unavailable);
    pyo3::import_exception!(primacy._errors, Unknown);
}

/// See `primacy._errors`; the names are the same.
#[derive(Clone, Debug)]
pub enum Fault {
    /// `ValueError`.
    Argument(String),
    CallOver(String),
    Candidate(String),
    Config(String),
    Conflict(TxnAnswer),
    Denied(String),
    Exhausted(String),
    Forked,
    InCallback(String),
    Internal(String),
    NotPrimary(String),
    Refused(String),
    Role(String),
    RoleTaken(String),
    Stopped(String),
    TimedOut(String),
    Unavailable(String),
    Unknown(String),
}

impl From<Fault> for PyErr {
    fn from(fault: Fault) -> PyErr {
        match fault {
            Fault::Argument(text) => PyValueError::new_err(text),
            Fault::CallOver(text) => python::CallOver::new_err(text),
            Fault::Candidate(text) => python::CandidateError::new_err(text),
            Fault::Config(text) => python::ConfigError::new_err(text),
            Fault::Conflict(answer) => {
                let text = CommitError::Conflict(answer.clone()).to_string();
                python::Conflict::new_err((text, found(&answer)))
            }
            Fault::Denied(text) => python::Denied::new_err(text),
            Fault::Exhausted(text) => python::Exhausted::new_err(text),
            Fault::Forked => python::Forked::new_err(
                "this process was forked while primacy was in use, and has none of its threads: use it in the \
                 parent, or start children by spawn",
            ),
            Fault::InCallback(text) => python::InCallback::new_err(text),
            Fault::Internal(text) => python::InternalError::new_err(format!("a defect of primacy: {text}")),
            Fault::NotPrimary(text) => python::NotPrimary::new_err(text),
            Fault::Refused(text) => python::Refused::new_err(text),
            Fault::Role(text) => python::RoleError::new_err(text),
            Fault::RoleTaken(text) => python::RoleTaken::new_err(text),
            Fault::Stopped(text) => python::Stopped::new_err(text),
            Fault::TimedOut(text) => python::TimedOut::new_err(text),
            Fault::Unavailable(text) => python::Unavailable::new_err(text),
            Fault::Unknown(text) => python::Unknown::new_err(text),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Exhausted(format!("no thread, descriptor or memory left: {error}"))
    }
}

impl From<BadConfig> for Fault {
    fn from(error: BadConfig) -> Fault {
        Fault::Config(error.to_string())
    }
}

impl From<BadCandidate> for Fault {
    fn from(error: BadCandidate) -> Fault {
        Fault::Candidate(error.to_string())
    }
}

impl From<IndexVersionsError> for Fault {
    fn from(error: IndexVersionsError) -> Fault {
        Fault::Candidate(error.to_string())
    }
}

impl From<OpenError> for Fault {
    fn from(error: OpenError) -> Fault {
        let text = error.to_string();
        match error {
            OpenError::Unavailable(_) => Fault::Unavailable(text),
            OpenError::Refused(Failure::Denied(_)) => Fault::Denied(text),
            OpenError::Refused(_) => Fault::Refused(text),
            OpenError::Stopped => Fault::Stopped(text),
            OpenError::System(_) => Fault::Exhausted(text),
        }
    }
}

impl From<RegisterError> for Fault {
    fn from(error: RegisterError) -> Fault {
        let text = error.to_string();
        match error {
            RegisterError::Role(_) => Fault::Role(text),
            RegisterError::Again(_) | RegisterError::Beside(..) => Fault::RoleTaken(text),
            RegisterError::Stopped => Fault::Stopped(text),
        }
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Fault {
        let text = failure.to_string();
        match failure {
            Failure::Indefinite(_) => Fault::Unknown(text),
            Failure::Unreachable(_) | Failure::NoSpace(_) => Fault::Unavailable(text),
            Failure::Denied(_) => Fault::Denied(text),
            Failure::Refused(_) | Failure::LeaseNotFound | Failure::LeaseExists => Fault::Refused(text),
        }
    }
}

impl From<CommitError> for Fault {
    fn from(error: CommitError) -> Fault {
        let text = error.to_string();
        match error {
            CommitError::NotPrimary(_) => Fault::NotPrimary(text),
            CommitError::Failed(failure) => failure.into(),
            CommitError::Unknown(_) => Fault::Unknown(text),
            CommitError::OwnLock(_) => Fault::Argument(text),
            CommitError::Conflict(answer) => Fault::Conflict(answer),
        }
    }
}

impl From<BatchError> for Fault {
    fn from(error: BatchError) -> Fault {
        Fault::Argument(error.to_string())
    }
}

impl From<CloseError> for Fault {
    fn from(error: CloseError) -> Fault {
        let text = error.to_string();
        match error {
            CloseError::TimedOut(_) => Fault::TimedOut(text),
            CloseError::InCallback => Fault::InCallback(text),
        }
    }
}

impl From<JoinError> for Fault {
    fn from(error: JoinError) -> Fault {
        let text = error.to_string();
        match error {
            JoinError::TimedOut => Fault::TimedOut(text),
            JoinError::InCallback => Fault::InCallback(text),
        }
    }
}

impl From<WaitError> for Fault {
    fn from(error: WaitError) -> Fault {
        let text = error.to_string();
        match error {
            WaitError::TimedOut => Fault::TimedOut(text),
            WaitError::Closed => Fault::Stopped(text),
            WaitError::InCallback => Fault::InCallback(text),
        }
    }
}

impl From<CompleteError> for Fault {
    fn from(error: CompleteError) -> Fault {
        Fault::CallOver(error.to_string())
    }
}
