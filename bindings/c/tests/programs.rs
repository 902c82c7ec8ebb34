//! Runs the C programs of `tests/c`: each checks the library from the outside and ends with 0.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod cc;
#[path = "../../../tests/common/etcd.rs"]
mod etcd;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

/// A number that is smaller where each takes longer: under valgrind.
fn number(variable: &str, otherwise: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| otherwise.to_owned())
}

/// Runs one of them: it ends well, and neither it nor the library says anything.
fn check(source: &str, shared: bool, arguments: &[&str]) {
    let output = cc::run_program(&cc::program(source, shared), arguments);
    assert_eq!(output, "", "{source} {arguments:?} wrote to stdout or stderr");
}

#[test]
fn misuse_is_a_status_and_nothing_else() {
    for shared in [false, true] {
        check("tests/c/misuse.c", shared, &[]);
    }
}

#[test]
fn every_function_may_be_called_in_every_callback() {
    check("tests/c/inside.c", false, &[]);
}

/// What the two above and the forked child of `elections.c` call is all that there is.
#[test]
fn the_table_of_calls_has_every_function_of_the_header() {
    let read = |path: &str| fs::read_to_string(cc::root().join(path)).unwrap();
    let (header, table) = (read("include/primacy.h"), read("tests/c/every_call.h"));
    let declared = header.match_indices("primacy_").filter_map(|(at, _)| {
        let rest = &header[at..];
        let end = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric())?;
        rest[end..].starts_with('(').then(|| &rest[..end])
    });
    let missing: Vec<&str> = declared.filter(|name| !table.contains(&format!("X({name},"))).collect();
    assert_eq!(missing, Vec::<&str>::new(), "add them to tests/c/every_call.h");
}

#[test]
fn a_hosts_unit_test_needs_no_server() {
    check("tests/c/memory.c", false, &[]);
}

#[test]
fn a_host_may_lend_its_own_store() {
    for shared in [false, true] {
        check("tests/c/lent.c", shared, &[]);
    }
}

#[test]
fn random_calls_crash_nothing() {
    // A failure, of whatever kind, shows the arguments.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().to_string();
    let (calls, seed) = (number("PRIMACY_RANDOM_CALLS", "1000000"), number("PRIMACY_SEED", &now));
    check("tests/c/random_calls.c", true, &[&calls, &seed]);
}

#[test]
fn a_thousand_of_everything_leaves_nothing_over() {
    let server = etcd::EtcdServer::start();
    check("tests/c/thousand.c", false, &[&server.endpoint(), &number("PRIMACY_ROUNDS", "1000")]);
}

#[test]
fn a_thousand_elections_cost_no_more_than_one_session() {
    let server = etcd::EtcdServer::start();
    check("tests/c/crowd.c", false, &[&server.endpoint()]);
}

#[test]
fn a_process_that_is_short_of_something_is_told_so_and_nothing_else_happens() {
    let server = etcd::EtcdServer::start();
    check("tests/c/short.c", true, &[&server.endpoint()]);
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
    cc::run(Command::new(cc::root().join("tools/prelink")).args([archive, &alone]));
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
    check("tests/c/elections.c", false, &[&server.endpoint()]);
}
