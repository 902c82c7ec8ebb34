//! What docs/command.md shows runs, and what is made from the command is whole.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use common::{EtcdServer, primacy, ran};

const PAGE: &str = include_str!("../../docs/command.md");

fn subcommands() -> Vec<String> {
    let help = ran(&mut primacy(&["--help"])).out;
    let listed =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<String> = listed.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect();
    names.into_iter().filter(|name| name != "help").collect()
}

#[test]
fn each_line_of_the_page_runs() {
    let etcd = EtcdServer::start();
    let folder = Path::new(env!("CARGO_BIN_EXE_primacy")).parent().unwrap();
    let path = std::env::join_paths(
        [folder.to_owned()].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let path = path.unwrap();
    // Where they may write files.
    let place = tempfile::tempdir().unwrap();
    let lines = PAGE.split("```sh\n").skip(1).flat_map(|rest| rest.split("```").next().unwrap().lines());
    let mut count = 0;
    for line in lines.filter(|line| line.starts_with("primacy ")) {
        // There may be no `man` to show it.
        let line = line.split(" | ").next().unwrap();
        // What goes on for ever is ended.
        let mut shell = Command::new("timeout");
        shell.args(["2", "sh", "-c", line]).env("PATH", &path).stdin(Stdio::null());
        shell.current_dir(place.path()).env("PRIMACY_ETCD_ENDPOINTS", format!("127.0.0.1:{}", etcd.port()));
        let done = ran(&mut shell);
        assert!(![2, 3, 127].contains(&done.code), "{line}: {done:?}");
        count += 1;
    }
    assert!(count >= 5, "{count}");
}

#[test]
fn each_subcommand_is_on_the_page_in_the_completions_and_in_the_manual() {
    let names = subcommands();
    assert!(names.len() >= 5, "{names:?}");
    let completions = ran(&mut primacy(&["completions", "bash"]));
    let manual = ran(&mut primacy(&["man"]));
    for name in names {
        assert!(PAGE.contains(&format!("primacy {name}")), "the page has no {name}");
        assert!(completions.out.contains(&format!("primacy,{name}")), "no completion of {name}");
        assert!(manual.out.contains(&format!("primacy\\-{name}")), "the manual names no {name}");
        let page = ran(&mut primacy(&["man", &name]));
        assert!(page.code == 0 && page.out.contains(&format!("primacy\\-{name}")), "{page:?}");
    }
    assert_eq!(ran(&mut primacy(&["man", "nothing"])).code, 2);
}

#[test]
fn the_exit_codes_on_the_page_are_those_of_the_help() {
    let help = ran(&mut primacy(&["status", "--help"])).out;
    let codes = help.split("Exit codes:\n").nth(1).unwrap();
    for line in codes.lines().filter(|line| !line.trim().is_empty()) {
        let (code, what) = line.trim().split_once("  ").unwrap();
        assert!(PAGE.contains(&format!("| {code} | {what} |")), "{line}");
    }
}
