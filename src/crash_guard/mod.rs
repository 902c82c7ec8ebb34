//! The crash guard: a process beside the host that revokes the host's leases once the kernel says that it is dead.
//!
//! A lease outlives the process that renewed it by up to its TTL. The guard ends it in one round trip: it is told of
//! each lease by the host's library, holds a descriptor for the host's process (`pidfd`), and does nothing at all while
//! that process lives, paused or not. That a socket ends is never taken for death: a host may close all it has.
//!
//! Here is what both sides share, and the host's side: `message` is what is said, [`socket`] how, `link` finds the guard
//! that this process was started by, `helper` starts one beside it, and `guarded` is a store that tells it what becomes of
//! leases. The guard's side is
//! the program `primacy guard` (`command`).
//!
//! How they meet: the guard makes a pair of sockets and starts the host with one of them, whose number stands in the
//! environment; or it is the standard input of one that is started beside the host. Each session makes a pair of its own, and sends the guard one end of it through the inherited socket. So
//! several sessions, or a program that the host's script starts, never speak on one socket, and the kernel tells who is at
//! its other end: whoever made that pair (`SO_PEERCRED`), which no message could prove.

mod guarded;
mod helper;
mod link;
mod message;
pub mod socket;

pub(crate) use guarded::Guarded;
pub(crate) use link::Link;
pub use message::{Message, VERSION};

/// The environment variable in which the host finds the guard's socket: `NUMBER:INODE`. The inode tells whether the number
/// still means that socket, or the host has closed it and opened something else.
pub const VARIABLE: &str = "PRIMACY_GUARD";
