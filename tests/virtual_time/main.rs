//! The whole stack but the kernel: real sessions, the real etcd client and its HTTP/2, the embedded server; in
//! virtual time, over cables that a test can silence and cut.
//!
//! An hour passes in well under a second, and what is true "within 50 ms" is exact.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod cable;
#[path = "../contract_of_the_driver.rs"]
mod contract_of_the_driver;
mod defects;
mod hosts;
mod links;
#[path = "../transcripts/player.rs"]
mod player;
mod recordings;
mod requests;
mod round_trips;
mod stops;
mod succession;
mod world;
