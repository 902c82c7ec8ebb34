//! Runs the C programs of `tests/c`: each checks the library from the outside and ends with 0.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod cc;
#[path = "../../../tests/common/etcd.rs"]
mod etcd;

use std::process::Command;

#[test]
fn misuse_is_a_status_and_nothing_else() {
    for shared in [false, true] {
        cc::run(&mut Command::new(cc::program("tests/c/misuse.c", shared)));
    }
}

#[test]
fn a_host_in_c_lives_with_its_elections() {
    let server = etcd::EtcdServer::start();
    cc::run(Command::new(cc::program("tests/c/elections.c", false)).arg(server.endpoint()));
}
