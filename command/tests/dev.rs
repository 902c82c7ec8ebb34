//! `primacy dev` serves, and says what it is for. What it answers, tests/embedded_server.rs looks at.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use common::{primacy, ran};

#[test]
fn it_prints_its_address_and_serves_there() {
    let mut command = primacy(&["dev", "--listen", "127.0.0.1:0"]);
    let mut dev = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut address = String::new();
    BufReader::new(dev.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let status = ran(&mut primacy(&["status", "--etcd", address.trim()]));
    let taken = ran(&mut primacy(&["dev", "--listen", address.trim()]));
    dev.kill().unwrap();
    dev.wait().unwrap();
    let mut said = String::new();
    dev.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(
        (status.code, status.out.as_str()),
        (0, "no election below by-dev/meta/session/\n"),
        "{status:?}"
    );
    assert!(said.contains("for development and tests only"), "{said}");
    assert!(taken.code == 1 && taken.err.contains("can not listen on"), "{taken:?}");
}

#[test]
fn it_says_what_it_is_for_and_refuses_what_it_does_not_know() {
    let help = ran(&mut primacy(&["dev", "--help"])).out;
    assert!(help.contains("FOR DEVELOPMENT AND TESTS ONLY"), "{help}");
    for arguments in [&["--data-dir", "x"][..], &["--listen"]] {
        assert_eq!(ran(primacy(&["dev"]).args(arguments)).code, 2, "{arguments:?}");
    }
    assert_eq!(ran(&mut primacy(&["dev", "--listen", "nowhere"])).code, 1);
}
