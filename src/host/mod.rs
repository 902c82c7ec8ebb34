//! The host layer: performs what the engine decides, and is what a host holds of it.

pub(crate) mod callback;
pub(crate) mod closing;
pub(crate) mod commands;
pub(crate) mod commit;
pub(crate) mod driver;
pub mod election;
pub(crate) mod in_order;
pub mod observer;
pub mod panic;
pub mod queue;
pub(crate) mod recorder;
pub(crate) mod runtime;
pub mod session;
pub mod win;
