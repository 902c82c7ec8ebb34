//! The native half of the Python package `primacy`: handles on the engine, and nothing that decides.
//!
//! No thread of the engine's ever calls Python: at the interpreter's end that would end the process by a signal. What
//! happens goes into a queue whose descriptor a thread of Python's, or an asyncio loop, waits for. What waits runs on
//! a thread of its own, or in slices: the interpreter's lock is free meanwhile, and Ctrl-C is honoured.

mod candidate;
mod config;
mod election;
mod event;
mod fault;
mod handle;
mod log;
mod observer;
mod operation;
mod queue;
mod session;
mod txn;
mod wait;

use pyo3::prelude::*;

/// Whether this process was forked from one that had a session or an observer: it can use neither.
#[pyfunction]
fn is_child() -> bool {
    primacy::platform::is_child()
}

/// See `python/primacy/_primacy.pyi`.
#[pymodule]
fn _primacy(module: &Bound<'_, PyModule>) -> PyResult<()> {
    log::keep_panics_quiet();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<config::Config>()?;
    module.add_class::<election::Election>()?;
    module.add_class::<event::Event>()?;
    module.add_class::<event::Kind>()?;
    module.add_class::<observer::Observer>()?;
    module.add_class::<operation::Operation>()?;
    module.add_class::<queue::Queue>()?;
    module.add_class::<session::Session>()?;
    module.add_class::<txn::Txn>()?;
    module.add_function(wrap_pyfunction!(event::names, module)?)?;
    module.add_function(wrap_pyfunction!(is_child, module)?)?;
    module.add_function(wrap_pyfunction!(log::log_queue, module)?)?;
    module.add_function(wrap_pyfunction!(observer::open_observer, module)?)?;
    module.add_function(wrap_pyfunction!(session::open_session, module)?)?;
    Ok(())
}
