//! etcd without etcd: its semantics as pure code, and a server of its real protocol around that.
//!
//! For development and tests: one node, nothing on disk. [`model`] decides what etcd would answer and does
//! nothing else, so that a simulation can hold it in one hand and the clock in the other. [`Server`] speaks
//! gRPC for it, on TCP or inside the process.

mod server;
mod services;
mod wire;

pub use primacy_model as model;

pub use self::server::{Server, VERSION};
