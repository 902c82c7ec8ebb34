//! libprimacy: the C library. It decides nothing about elections; it checks what comes from C, calls the
//! engine, and maps what comes back.
//!
//! One file per noun of the header. What all of them stand on: [`ffi`] (pointers, panics), [`handle`] (the
//! numbers that C holds), [`versioned`] (structs that may grow), [`scope`] (which callback a thread is in).
//! The doc comments of exported items become the header's, so they are written for a reader of C;
//! what holds for every function is said once, in `cbindgen.toml`, which opens the header.

// The safety contract of every exported function is the header's own opening; repeating it would only let it
// drift.
#![allow(clippy::missing_safety_doc)]
// Exported types bear their C names, so that the header needs no table of renames.
#![allow(non_camel_case_types)]

pub mod answer;
pub mod call;
pub mod callbacks;
pub mod candidate;
pub mod config;
#[cfg(any(debug_assertions, feature = "defect"))]
pub mod defect;
pub mod duration;
pub mod election;
mod ending;
pub mod error;
mod ffi;
mod handle;
pub mod log;
mod names;
pub mod observer;
pub mod primary;
pub mod queue;
pub mod request;
pub mod result;
mod scope;
pub mod session;
pub mod state;
pub mod status;
pub mod store;
pub mod txn;
pub mod version;
mod versioned;
pub mod watch;
