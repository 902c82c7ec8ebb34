//! The engine, the model of etcd and what they stand on, without anything that does I/O: what transcripts and
//! simulation test, built in a fraction of the time that the whole takes. `run.py` makes it `src/lib.rs`.

#![allow(dead_code)]

mod address;
pub mod clock;
pub mod config;
pub mod engine;
pub mod milvus;
pub mod platform;
mod spell;
pub mod store;
mod warning;

pub mod embedded {
    pub mod model;
}

pub mod log {
    mod level;
    mod plain;

    pub use level::Level;
    pub(crate) use plain::{BRIEF, is_control, plain};
}
