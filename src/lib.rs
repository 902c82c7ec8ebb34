//! One primary, warm standbys: a leader election on etcd, for coordinators in any language.
//!
//! Read from the inside out: [`store`] is the vocabulary in which the engine speaks to etcd, [`engine`]
//! decides everything and does nothing, the driver performs what it decided, and [`milvus`] knows the keys
//! and the records that Milvus's own coordinators read and write.
//!
//! Timers make two primaries at once rare; only the store makes them harmless. Whatever must never be
//! written by a former primary is written through a guarded transaction, under the fencing token of the win.

mod address;
pub mod clock;
pub mod config;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod engine;
pub mod etcd;
pub mod log;
pub mod milvus;
pub mod store;
