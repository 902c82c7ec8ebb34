//! One primary, warm standbys: a leader election on etcd, for coordinators in any language.
//!
//! Read from the inside out: [`store`] is the vocabulary in which the engine speaks to etcd, [`milvus`] knows the
//! keys and records that Milvus's own coordinators read and write, [`engine`] decides everything and does nothing,
//! [`host`] performs what it decided, with [`session`], [`election`] and [`observer`] as what a host holds, and [`etcd`]
//! is the store.
//!
//! Timers make two primaries at once rare; only the store makes them harmless. Whatever must never be
//! written by a former primary is written through a guarded transaction, under the fencing token of the win.
//!
//! The libraries for C and Python are made of this crate, and nothing else is meant to be: what they do not need, such
//! as [`host::Environment`], is public for the tests that stand beside it, in virtual time or on a store of their own.

pub use primacy_engine as engine;
pub use primacy_engine::{milvus, store};

pub mod clock;
pub mod config;
pub mod crash_guard;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod etcd;
pub mod host;
mod in_time;
pub mod lent;
pub mod log;
mod open;
mod pace;
pub mod platform;
pub mod process;
mod warning;

pub use host::{batch, election, observer, panic, queue, session, win};
