//! `primacy version` writes what it says, and over nobody.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Cluster, of_3_0};

const KEY: &str = "session/version";

#[test]
fn it_is_printed_and_set_back_on_no_lease_and_told_what_it_was() {
    let cluster = Cluster::start();
    let none = cluster.run(&["version", "get"]);
    assert!(
        none.code == 1 && none.out.is_empty() && none.err.contains("there is no by-dev/meta/session/version"),
        "{none:?}"
    );
    let first = cluster.run(&["version", "set", "3.1.0"]);
    assert!(
        first.code == 0
            && first.out.starts_with("by-dev/meta/session/version: was nothing, is 3.1.0, revision "),
        "{first:?}"
    );
    let back = cluster.run(&["version", "set", "3.0.0-beta"]);
    assert!(back.out.contains("was 3.1.0, is 3.0.0-beta"), "{back:?}");
    let get = cluster.run(&["version", "get"]);
    assert_eq!((get.code, get.out.as_str()), (0, "3.0.0-beta\n"));
    cluster.put(&[(KEY, "v\u{1b}3", 0)]);
    let broken = cluster.run(&["version", "set", "3.0.0"]);
    assert!(broken.out.contains("was v\\u{1b}3, is 3.0.0"), "{broken:?}");
    let wrong = cluster.run(&["version", "set", "v3"]);
    assert_eq!((wrong.code, cluster.get(KEY).as_deref()), (2, Some("3.0.0")), "{wrong:?}");
}

#[test]
fn a_candidate_that_it_would_lock_out_is_named_and_nothing_written() {
    let cluster = Cluster::start();
    cluster.grant(7, 60);
    cluster.put(&[("session/mixcoord-1", &of_3_0(1, "mixcoord", 7), 7), (KEY, "3.0.0", 0)]);
    let refused = cluster.run(&["version", "set", "3.1.0"]);
    assert_eq!((refused.code, cluster.get(KEY).as_deref()), (1, Some("3.0.0")), "{refused:?}");
    assert!(refused.err.contains("session/mixcoord-1 is of version 3.0.0-beta"), "{refused:?}");
    let patch = cluster.run(&["version", "set", "3.0.9"]);
    assert_eq!(
        (patch.code, cluster.get(KEY).as_deref()),
        (0, Some("3.0.9")),
        "patches do not count: {patch:?}"
    );
    let forced = cluster.run(&["version", "set", "3.1.0", "--force"]);
    assert_eq!((forced.code, cluster.get(KEY).as_deref()), (0, Some("3.1.0")), "{forced:?}");
    // It is locked out already, so that nothing changes for it.
    assert_eq!(cluster.run(&["version", "set", "3.2.0"]).code, 0);
}

#[test]
fn of_those_that_set_it_at_once_each_writes_over_what_it_has_said() {
    let cluster = Cluster::start();
    cluster.put(&[(KEY, "1.0.0", 0)]);
    let commands = (2..14).map(|major| {
        let mut command = cluster.command(&["version", "set", &format!("{major}.0.0")]);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    });
    let done: Vec<_> =
        commands.collect::<Vec<_>>().into_iter().map(|c| c.wait_with_output().unwrap()).collect();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    // Those that were written follow each other: each was what the one before it is.
    let mut steps = Vec::new();
    for output in &done {
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        match output.status.code() {
            Some(0) => {
                let (was, is) = out.split_once("was ").unwrap().1.split_once(", is ").unwrap();
                let (is, revision) = is.trim().split_once(", revision ").unwrap();
                steps.push((revision.parse::<i64>().unwrap(), was.to_owned(), is.to_owned()));
            }
            code => {
                assert!(code == Some(1) && err.contains("by somebody else; nothing was written"), "{err}")
            }
        }
    }
    steps.sort();
    let mut now = "1.0.0".to_owned();
    for (_, was, is) in steps {
        assert_eq!(was, now);
        now = is;
    }
    assert_eq!(cluster.get(KEY), Some(now));
}
