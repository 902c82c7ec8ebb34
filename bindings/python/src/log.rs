//! One log for the whole process: a thread of Python's hands its lines to `logging`.

use std::sync::{Once, OnceLock};

use primacy::log::Log;
use pyo3::prelude::*;

use crate::fault::Fault;
use crate::queue::Queue;

static LINES: OnceLock<primacy::queue::Queue> = OnceLock::new();

fn lines() -> Result<&'static primacy::queue::Queue, Fault> {
    if let Some(lines) = LINES.get() {
        return Ok(lines);
    }
    let made = primacy::queue::Queue::new()?;
    Ok(LINES.get_or_init(|| made))
}

/// The log that sessions and observers write.
pub fn log() -> Result<Log, Fault> {
    Ok(lines()?.log(0))
}

/// The queue of its lines.
#[pyfunction]
pub fn log_queue() -> PyResult<Queue> {
    Ok(Queue::new(lines()?.clone()))
}

/// Takes the place of the default hook, which would write to the host's stderr. This module has a standard library of
/// its own, so it is no hook of a host written in Rust.
pub fn keep_panics_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            if let Some(lines) = LINES.get() {
                lines.log(0).line(primacy::log::Level::Error, &format!("a defect of primacy: {info}"));
            }
        }));
    });
}
