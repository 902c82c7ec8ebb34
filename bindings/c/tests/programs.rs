//! Runs the C programs of `tests/c`: each checks the library from the outside and ends with 0.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod cc;
#[path = "../../../tests/common/etcd.rs"]
mod etcd;

use std::path::Path;
use std::process::Command;

#[test]
fn misuse_is_a_status_and_nothing_else() {
    for shared in [false, true] {
        cc::run(&mut Command::new(cc::program("tests/c/misuse.c", shared)));
    }
}

#[test]
fn a_program_may_have_two_rust_libraries_in_it() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (second, alone, program) =
        (folder.join("libsecond.a"), folder.join("libprimacy-alone.a"), folder.join("two"));
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let source = cc::root().join("tests/c/second.rs");
    cc::run(
        Command::new(rustc).args(["--edition=2024", "--crate-type=staticlib", "-o"]).args([&second, &source]),
    );
    let (archive, _) = cc::libraries();
    cc::run(Command::new(cc::root().join("tests/tools/prelink")).args([archive, &alone]));
    let mut command = cc::cc();
    command.args(cc::STRICT).args(["-std=c11", "-o"]).arg(&program).arg(cc::root().join("tests/c/two.c"));
    cc::run(command.args([&alone, &second]).args(["-lgcc_s", "-lpthread", "-ldl", "-lm"]));
    cc::run(&mut Command::new(program));
}

#[test]
fn nothing_but_primacy_is_exported() {
    let (_, library) = cc::libraries();
    let said = cc::run(Command::new("nm").args(["-D", "--defined-only"]).arg(library));
    let foreign: Vec<&str> = said.lines().filter(|line| !line.contains(" primacy_")).collect();
    assert!(said.lines().count() > 30);
    assert_eq!(foreign, Vec::<&str>::new());
}

#[test]
fn a_host_in_c_lives_with_its_elections() {
    let server = etcd::EtcdServer::start();
    cc::run(Command::new(cc::program("tests/c/elections.c", false)).arg(server.endpoint()));
}
