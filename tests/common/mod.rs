//! What several test programs share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

pub mod between;
pub mod etcd;
