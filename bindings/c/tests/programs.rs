//! Runs the C programs of `tests/c`: each checks the library from the outside and ends with 0.

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
