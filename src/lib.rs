//! One primary, warm standbys: a leader election on etcd, for coordinators in any language.
//!
//! Read from the inside out: [`store`] is the vocabulary in which the engine speaks to etcd, [`milvus`] knows the
//! keys and records that Milvus's own coordinators read and write, [`engine`] decides everything and does nothing,
//! the driver performs what it decided, and [`session`], [`election`] and [`observer`] are what a host holds.
//!
//! Timers make two primaries at once rare; only the store makes them harmless. Whatever must never be
//! written by a former primary is written through a guarded transaction, under the fencing token of the win.

// What the library's own tests share with those outside of it calls it by its name.
#[cfg(test)]
extern crate self as primacy;

pub use primacy_engine as engine;
pub use primacy_engine::{milvus, store};

pub mod clock;
pub mod config;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod etcd;
pub mod host;
#[cfg(all(test, feature = "embedded"))]
mod in_virtual_time;
pub mod log;
pub mod platform;
#[cfg(all(test, feature = "embedded"))]
#[path = "../tests/transcripts/player.rs"]
mod player;
mod warning;

pub use host::{election, observer, panic, queue, session, win};
use host::{callback, closing, commands, commit, driver, in_order, recorder, runtime};
