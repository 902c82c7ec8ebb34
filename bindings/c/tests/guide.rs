//! `docs/c.md` is a program told in pieces: put together they compile without a warning, and run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod cc;
#[path = "../../../tests/common/etcd.rs"]
mod etcd;

use std::fs;
use std::path::Path;

#[test]
fn the_guide_in_c_is_a_program_that_runs() {
    let guide = fs::read_to_string(cc::root().join("docs/c.md")).unwrap();
    // Everything between "```c" and "```"; blank lines for the rest, so that the compiler names the guide's lines.
    let mut inside = false;
    let pieces = guide.lines().map(|line| {
        let was_inside = inside;
        inside = if inside { line != "```" } else { line == "```c" };
        if was_inside && inside { line } else { "" }
    });
    let program = format!("#line 1 \"docs/c.md\"\n{}\n", pieces.collect::<Vec<_>>().join("\n"));
    let source = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guide.c");
    fs::write(&source, program).unwrap();
    let server = etcd::EtcdServer::start();
    let said = cc::run_program(&cc::program(source.to_str().unwrap(), true), &[&server.endpoint()]);
    assert!(said.contains("127.0.0.1:53100 is primary\n1 key to compare: "), "{said}");
    assert!(said.contains("no longer primary: stopped"), "{said}");
}
