//! Runs the transcripts in `tests/transcripts/`: events in, actions out, one file per rule.
//!
//! ```text
//! # What the rule is, for people.
//! setup ttl=10 margin=1              (before the first event; see `setup` below for the names)
//! given standby                      (first the events of tests/transcripts/given/standby.txt)
//! at 10.000 renewal due              (a timer's name asserts that it is due exactly now; `tick` does not)
//!     -> #5 renew lease=7 in 1.000   (exactly these actions, in this order; of the log, errors only)
//! at 10.002 #5 renewed ttl=10
//!     -> (nothing)
//! log info                           (from here on, of the log, also what is only told)
//! look rootcoord                     (what status shows of that election)
//!     -> primary token=6
//! guard e1 token=6                   (what a guarded write under that token compares)
//!     -> if rev(session/rootcoord)=6, lease(session/rootcoord)=7
//! ```
//!
//! The host takes each call as soon as it is called. With `setup taken=told` it does so by lines such as `taken c3`.
//!
//! The format is that of the flight recorder (`crates/engine/src/text/`), so that a recording that begins with its session runs
//! as it is. Two abbreviations make what is written by hand shorter:
//!
//! - Keys are written without the root: `session/rootcoord` is `by-dev/meta/session/rootcoord`.
//! - `#5 done rev=9 sees KEY@REV lease=8, KEY@REV` answers a transaction with all keys that there are; each of its
//!   reads finds those in its range. Without `sees` there are none.
//!
//! `PRIMACY_BLESS=1 cargo test --package primacy-engine --test transcripts` rewrites the actions, and the times of timers; read the difference
//! before you keep it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod contract_of_the_driver;
#[path = "transcripts/player.rs"]
mod player;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use player::Player;

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Plays one; from which state to which its elections went.
fn run(path: &Path) -> BTreeSet<(&'static str, &'static str)> {
    let folder = Path::new(REPOSITORY).join("tests/transcripts");
    let bless = std::env::var_os("PRIMACY_BLESS").is_some();
    let mut player = Player::new(&folder, bless);
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.starts_with("# "), "{path:?}: begin with what the rule is");
    let name = path.strip_prefix(&folder).unwrap().display().to_string();
    let blessed = player.play(&name, &text);
    player.keep(path, &text, &blessed);
    player.ways
}

/// The diagram in ARCHITECTURE.md has the ways that elections go in all transcripts, and no others. A stop, which leads to the end
/// from everywhere, is drawn once.
fn the_diagram_draws_every_way_from_state_to_state(paths: &[PathBuf]) {
    let ways: BTreeSet<_> = paths.iter().flat_map(|path| run(path)).collect();
    let page = std::fs::read_to_string(Path::new(REPOSITORY).join("ARCHITECTURE.md")).unwrap();
    let (_, diagram) = page.split_once("stateDiagram-v2\n").unwrap();
    let (diagram, _) = diagram.split_once("```").unwrap();
    let drawn = diagram.lines().filter_map(|line| {
        let (from, rest) = line.trim().split_once(" --> ")?;
        Some((from, rest.split_once(':').map_or(rest, |(to, _)| to)))
    });
    let drawn: BTreeSet<_> = drawn.filter(|(from, to)| from != to).collect();
    let ends = |to: &str| matches!(to, "stopping" | "stopped" | "[*]");
    let missing: Vec<_> = ways.difference(&drawn).filter(|(_, to)| !ends(to)).collect();
    let wrong: Vec<_> = drawn.difference(&ways).collect();
    assert!(missing.is_empty() && wrong.is_empty(), "missing: {missing:?}; that nobody goes: {wrong:?}");
}

fn main() {
    let mut args = libtest_mimic::Arguments::from_args();
    if std::env::var_os("PRIMACY_BLESS").is_some() {
        // What several transcripts begin with is rewritten by each of them.
        args.test_threads = Some(1);
    }
    let folder = Path::new(REPOSITORY).join("tests/transcripts");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .collect();
    paths.sort();
    let all = paths.clone();
    let diagram = libtest_mimic::Trial::test("the_diagram_draws_every_way_from_state_to_state", move || {
        the_diagram_draws_every_way_from_state_to_state(&all);
        Ok(())
    });
    let trials = paths.into_iter().map(|path| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        libtest_mimic::Trial::test(name, move || {
            run(&path);
            Ok(())
        })
    });
    libtest_mimic::run(&args, trials.chain([diagram]).collect()).exit();
}
