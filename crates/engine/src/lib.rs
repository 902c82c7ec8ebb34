//! The engine: `step(now, event) -> actions`, and nothing else.
//!
//! It decides everything and does nothing: no I/O, no clock, no threads; what happens next depends only on what it
//! was told and when. A bug that needs a socket to be reproduced sits in the wrong place. One [`Engine`] is one
//! session: a [`lease`], a server id ([`identity`]), the [`reread`] that finds out about lost events, and any number
//! of [`election`]s, each of which keeps a [`view`] of its keys and writes through its [`claim`]. One [`Observing`] is a
//! client that follows one role.
//!
//! [`store`] is the vocabulary in which it speaks to etcd, [`milvus`] knows the keys and records that Milvus's own
//! coordinators read and write.
//!
//! The order inside a step is the order of safety: timers first (after a pause the lease's deadline has passed,
//! whatever good news is queued behind it), then the event, then what follows from both.

#![forbid(unsafe_code)]

mod action;
pub mod address;
mod backoff;
mod calls;
mod claim;
mod effects;
mod election;
mod elections;
mod engine;
mod event;
mod history;
mod identity;
mod ids;
mod lease;
mod level;
pub mod milvus;
mod numbered;
mod observing;
mod obstacle;
mod patience;
pub mod plain;
mod reread;
mod rights;
mod setup;
pub mod spell;
mod state;
pub mod store;
mod text;
pub mod time;
mod view;
mod watch;

pub use action::{Action, Call, Callback, Holder, LostReason, Notice, Purpose};
pub use engine::{ElectionSnapshot, Engine, Health, Probes, Snapshot, Verdict};
pub use event::{Event, Outcome};
pub use ids::{CallId, ElectionId, RequestId, Token, WatchId};
pub use level::Level;
pub use observing::{ObserverSetup, Observing, Primary};
pub use obstacle::Obstacle;
pub use setup::Setup;
pub use state::{ElectionState, SessionState};
pub use text::ParseError;
