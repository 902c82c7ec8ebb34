//! The host layer: performs what the engine decides, and is what a host holds of it.
//!
//! From the bottom: `store` is the store as it is asked here, of which [`etcd`](crate::etcd) is one implementation, and
//! `turns` says whose requests wait for whose; `threads`, `runtime` and `in_order` are where things run. `contract` is
//! what a host implements, and a `lane` runs it for one election; [`win`] is what `is_primary` reads. `commands` is what
//! the host asks for, `inbox` all that the `driver` hears, and `shared` what the driver and the handles have in common.
//! [`session`], [`election`], [`observer`] and [`queue`] are those handles. Files import each other one way only.

pub mod batch;
mod callback;
mod closing;
mod commands;
mod commit;
mod contract;
mod driver;
pub mod election;
mod environment;
mod in_order;
mod inbox;
mod lane;
mod lanes;
mod lock;
pub mod observer;
mod open_error;
mod opening;
pub mod panic;
mod progress;
pub mod queue;
mod queued;
mod recorder;
mod requests;
mod runtime;
mod seen;
pub mod session;
mod shared;
mod store;
mod threads;
mod turns;
mod unread;
pub mod win;

pub use environment::Environment;
pub(crate) use in_order::InOrder;
pub(crate) use lock::lock;
pub use opening::Opening;
pub use runtime::Runtime;
pub use store::{Answering, Asker, Store, WatchReport};
pub(crate) use threads::{Callbacks, start_thread};
