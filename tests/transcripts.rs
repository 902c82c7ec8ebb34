//! Runs the transcripts in `tests/transcripts/`: events in, actions out, one file per rule.
//!
//! ```text
//! # What the rule is, for people.
//! setup ttl=10 margin=1 role=rootcoord
//! given standby                      (first the events of tests/transcripts/given/standby.txt)
//! at 10.000 renewal due              (a timer's name asserts that it is due exactly now; `tick` does not)
//!     -> #5 renew lease=7 in 1.000   (exactly these actions, in this order; the log is left out)
//! at 10.002 #5 renewed ttl=10
//!     -> (nothing)
//! ```
//!
//! `PRIMACY_BLESS=1 cargo test --test transcripts` rewrites the actions; read the difference before you keep it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use primacy::clock::Time;
use primacy::engine::{Action, Engine, Event, Setup};
use primacy::milvus::{Candidate, Layout, Root};
use primacy::store::LeaseId;

/// Replays one transcript.
struct Player {
    folder: PathBuf,
    settings: BTreeMap<String, String>,
    engine: Option<Engine>,
    bless: bool,
}

impl Player {
    /// Runs the lines of `text`; returns them as they should be.
    fn play(&mut self, name: &str, text: &str) -> String {
        let mut out = String::new();
        let mut lines = text.lines().enumerate().peekable();
        while let Some((number, line)) = lines.next() {
            let here = format!("{name}:{}", number + 1);
            writeln!(out, "{line}").unwrap();
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "" | "#" => {}
                "setup" => self.settings.extend(
                    rest.split_whitespace()
                        .map(|s| s.split_once('=').unwrap_or_else(|| panic!("{here}: {s}")))
                        .map(own),
                ),
                "given" => {
                    let path = self.folder.join("given").join(format!("{rest}.txt"));
                    let text =
                        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{here}: {path:?}: {e}"));
                    let blessed = self.play(&format!("given/{rest}.txt"), &text);
                    self.keep(&path, &text, &blessed);
                }
                "at" => {
                    let mut expected = Vec::new();
                    while let Some((_, next)) = lines.next_if(|(_, l)| l.trim_start().starts_with("->")) {
                        expected.push(next.trim_start().trim_start_matches("->").trim().to_owned());
                    }
                    let actual = self.step(&here, rest);
                    if !self.bless {
                        assert_eq!(actual, expected, "{here}: at {rest}\nactual:\n{}", shown(&actual));
                    }
                    out.push_str(&shown(&actual));
                }
                _ => panic!("{here}: a line begins with #, setup, given or at: {line}"),
            }
        }
        out
    }

    fn step(&mut self, here: &str, line: &str) -> Vec<String> {
        let (at, text) = line.trim().split_once(' ').unwrap_or_else(|| panic!("{here}: at TIME EVENT"));
        let seconds: f64 = at.parse().unwrap_or_else(|e| panic!("{here}: {at}: {e}"));
        let now = Time::from_nanos((seconds * 1e9).round() as u64);
        let event: Event = text.trim().parse().unwrap_or_else(|e| panic!("{here}: {e}"));
        let engine = self.engine.get_or_insert_with(|| Engine::new(setup(&self.settings)));
        if event == Event::Tick && text.trim() != "tick" {
            let next = engine.next_timer().map(|(at, name)| format!("{at} {name}"));
            assert_eq!(next, Some(format!("{now} {}", text.trim())), "{here}: another timer is due next");
        }
        let actions = engine.step(now, event);
        let lines: Vec<String> =
            actions.iter().filter(|a| !matches!(a, Action::Log { .. })).map(Action::to_string).collect();
        if lines.is_empty() { vec!["(nothing)".into()] } else { lines }
    }

    fn keep(&self, path: &Path, before: &str, blessed: &str) {
        if self.bless && before != blessed {
            std::fs::write(path, blessed).unwrap();
        }
    }
}

fn own((name, value): (&str, &str)) -> (String, String) {
    (name.into(), value.into())
}

fn shown(actions: &[String]) -> String {
    actions.iter().map(|a| format!("    -> {a}\n")).collect()
}

fn setup(settings: &BTreeMap<String, String>) -> Setup {
    let get = |name: &str, default: &str| settings.get(name).map_or(default, String::as_str).to_owned();
    let seconds = |name, default| Duration::from_secs_f64(get(name, default).parse().unwrap());
    let version = get("version", "3.0.0").parse().unwrap();
    Setup {
        root: Root::join("r", "m").unwrap(),
        layout: if get("layout", "milvus") == "milvus" { Layout::Milvus } else { Layout::AfterStart },
        candidate: Candidate::new("a:1", "host", version).unwrap(),
        ttl: seconds("ttl", "10"),
        margin: Some(seconds("margin", "1")),
        warmup_interval: seconds("warmup", "1"),
        activation_timeout: seconds("activation", "10"),
        drain_timeout: seconds("drain", "30"),
        request_timeout: seconds("request", "10"),
        first_lease: LeaseId(7),
        seed: 0,
    }
}

fn run(path: &Path) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let bless = std::env::var_os("PRIMACY_BLESS").is_some();
    let mut player = Player { folder: folder.clone(), settings: BTreeMap::new(), engine: None, bless };
    let text = std::fs::read_to_string(path).unwrap();
    let name = path.strip_prefix(&folder).unwrap().display().to_string();
    let blessed = player.play(&name, &text);
    player.keep(path, &text, &blessed);
}

fn main() {
    let args = libtest_mimic::Arguments::from_args();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .collect();
    paths.sort();
    let trials = paths.into_iter().map(|path| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        libtest_mimic::Trial::test(name, move || {
            run(&path);
            Ok(())
        })
    });
    libtest_mimic::run(&args, trials.collect()).exit();
}
