//! `primacy run`: never two programs at once, whoever is killed, and none that outlives its lease.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{Cluster, SOON, primacy, ran};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value as Json;

/// A folder in which programs leave their traces.
struct Stage {
    cluster: Cluster,
    folder: tempfile::TempDir,
    started: usize,
}

/// It, which ends with its test, and its program with it.
struct Candidate(Child);

impl Drop for Candidate {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whoever has the lock on `witness` runs; the kernel gives it back when it is dead, however it died. What it starts
/// does not have it.
const SCRIPT: &str = r#"
exec 9>>witness
flock -n 9 || echo "overlap" >>log
trap "$ON_TERM" TERM
echo "start $PRIMACY_TOKEN $$ $PRIMACY_ROLE $PRIMACY_LOCK" >>log
while :; do sleep 0.02 9>&-; done
"#;

impl Stage {
    fn new() -> Stage {
        Stage { cluster: Cluster::start(), folder: tempfile::tempdir().unwrap(), started: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A candidate with the script. What it does on SIGTERM, in shell.
    fn candidate(&mut self, on_term: &str, more: &[&str]) -> Candidate {
        self.started += 1;
        let mut command = primacy(&["run", "worker"]);
        command.args(["--etcd", &format!("127.0.0.1:{}", self.cluster.server.port())]);
        command.args(["--set", "common.session.ttl=3"]).args(more).args(["--", "sh", "-c", SCRIPT]);
        command.current_dir(self.folder.path()).env("ON_TERM", on_term).stdout(Stdio::null());
        command.stderr(fs::File::create(self.path(&format!("stderr-{}", self.started))).unwrap());
        Candidate(command.spawn().unwrap())
    }

    fn log(&self) -> Vec<String> {
        fs::read_to_string(self.path("log")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Token and process of the program that was started as the n-th.
    fn start(&self, n: usize) -> (i64, Pid) {
        let begun = Instant::now();
        loop {
            if let Some(line) = self.log().get(n) {
                let words: Vec<_> = line.split(' ').collect();
                assert_eq!(words[0], "start", "{:?}", self.log());
                assert_eq!(words[3..], ["worker", "by-dev/meta/session/worker"]);
                return (words[1].parse().unwrap(), Pid::from_raw(words[2].parse().unwrap()).unwrap());
            }
            assert!(begun.elapsed() < SOON, "{:?} {}", self.log(), said(self.folder.path()));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn said(folder: &Path) -> String {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.to_string_lossy().contains("stderr"))
        .map(|path| format!("{}: {}\n", path.display(), fs::read_to_string(&path).unwrap()))
        .collect()
}

fn signal(child: &Candidate, signal: Signal) {
    kill_process(Pid::from_child(&child.0), signal).unwrap();
}

fn is_there(pid: Pid) -> bool {
    test_kill_process(pid).is_ok()
}

fn ends(child: &mut Candidate) -> i32 {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.0.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        assert!(begun.elapsed() < SOON, "it does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// KILLS=100 for more of them.
#[test]
fn whoever_is_killed_never_two_run_at_once_and_the_next_token_is_higher() {
    let kills: usize = std::env::var("KILLS").map_or(9, |kills| kills.parse().unwrap());
    let mut stage = Stage::new();
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut last = 0;
    for kill in 0..kills {
        while candidates.len() < 3 {
            candidates.push(stage.candidate("exit 0", &[]));
        }
        let (token, program) = stage.start(kill);
        assert!(token > last, "{:?}", stage.log());
        last = token;
        let children = |of: &Candidate| {
            let id = of.0.id();
            fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default()
        };
        let shown = program.as_raw_nonzero().to_string();
        let at = candidates.iter().position(|of| children(of).split(' ').any(|pid| pid == shown)).unwrap();
        let mut primary = candidates.swap_remove(at);
        // The command dies; it is ended; its program dies.
        match kill % 3 {
            0 => {
                signal(&primary, Signal::KILL);
                ends(&mut primary);
                let begun = Instant::now();
                while is_there(program) {
                    assert!(begun.elapsed() < Duration::from_secs(2), "the kernel kills it with its parent");
                }
            }
            1 => {
                signal(&primary, Signal::TERM);
                assert_eq!(ends(&mut primary), 0, "{}", said(stage.folder.path()));
            }
            _ => {
                kill_process(program, Signal::KILL).unwrap();
                assert_eq!(ends(&mut primary), 128 + 9, "{}", said(stage.folder.path()));
            }
        }
    }
    for mut candidate in candidates {
        signal(&candidate, Signal::TERM);
        ends(&mut candidate);
    }
    assert!(!stage.log().contains(&"overlap".to_owned()), "{:?}", stage.log());
    // And by etcd's own history: each that ran was primary, one after the other, and nothing else is to be said.
    let told = stage.cluster.run(&["audit", "--json"]);
    assert_eq!((told.code, &told.json()["findings"]), (0, &Json::Array(Vec::new())), "{told:?}");
    let roles = told.json()["roles"].as_array().unwrap().clone();
    let terms = roles[0]["terms"].as_array().unwrap();
    let tokens: Vec<i64> = terms.iter().map(|term| term["token"].as_i64().unwrap()).collect();
    assert!(tokens.is_sorted_by(|a, b| a < b) && tokens.len() >= kills, "{tokens:?}");
    for line in stage.log() {
        let token = line.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(tokens.contains(&token), "{line}: {tokens:?}");
    }
}

#[test]
fn a_program_that_does_not_heed_sigterm_is_dead_before_the_lease_ends_and_started_anew_later() {
    let mut stage = Stage::new();
    let mut candidate = stage.candidate("echo told >>told", &["--grace-ms", "1000"]);
    let (token, program) = stage.start(0);
    stage.cluster.server.pause();
    let stopped = Instant::now();
    while is_there(program) {
        assert!(stopped.elapsed() < SOON, "it lives on");
        std::thread::sleep(Duration::from_millis(5));
    }
    // The last renewal was sent before etcd stood still; the lease is of 3 s, and primacy ends 300 ms before it.
    let lived = stopped.elapsed();
    assert!(lived < Duration::from_millis(2700), "{lived:?}");
    assert_eq!(fs::read_to_string(stage.path("told")).unwrap().lines().count(), 1, "it was told before");
    assert!(candidate.0.try_wait().unwrap().is_none(), "it stands by");
    stage.cluster.server.resume();
    let (next, program) = stage.start(1);
    assert!(next > token);
    // And one that does not end when we are to is killed after the drain's time.
    signal(&candidate, Signal::TERM);
    kill_process(program, Signal::KILL).unwrap();
    assert_eq!(ends(&mut candidate), 128 + 9);
}

#[test]
fn a_program_that_takes_too_long_to_end_is_killed_when_the_drain_is_over() {
    let mut stage = Stage::new();
    let mut candidate = stage.candidate(":", &["--set", "primacy.drain_timeout_ms=700"]);
    let (_, program) = stage.start(0);
    let begun = Instant::now();
    signal(&candidate, Signal::TERM);
    assert_eq!(ends(&mut candidate), 128 + 9);
    assert!(begun.elapsed() >= Duration::from_millis(700) && !is_there(program));
    assert_eq!(stage.cluster.get("session/worker"), None, "and the lock is given back");
}

#[test]
fn when_the_lock_is_taken_away_the_program_is_killed_and_started_anew_under_a_new_token() {
    let mut stage = Stage::new();
    let mut candidate = stage.candidate("exit 0", &[]);
    let (token, program) = stage.start(0);
    stage.cluster.delete("session/worker");
    let (next, _) = stage.start(1);
    assert!(next > token && !is_there(program));
    signal(&candidate, Signal::INT);
    // A shell that dies of it.
    assert_eq!(ends(&mut candidate), 128 + 2);
}

#[test]
fn exit_codes_are_those_of_the_program_or_say_why_there_was_none() {
    let stage = Stage::new();
    let run = |program: &[&str], more: &[&str]| {
        let mut command = stage.cluster.command(&["run", "worker", "--set", "common.session.ttl=3"]);
        ran(command.args(more).arg("--").args(program))
    };
    assert_eq!(run(&["sh", "-c", "exit 7"], &[]).code, 7);
    assert_eq!(run(&["sh", "-c", "kill -9 $$"], &[]).code, 128 + 9);
    let none = run(&["/no/such/program"], &[]);
    assert!(none.code == 127 && none.err.contains("/no/such/program can not be started"), "{none:?}");
    assert_eq!(run(&["/dev/null"], &[]).code, 126);
    let grace = run(&["true"], &["--grace-ms", "1001"]);
    assert!(grace.code == 2 && grace.err.contains("at most a third of the TTL (1000)"), "{grace:?}");
    let address = run(&["sh", "-c", "exit 0"], &["--address", "nowhere"]);
    assert!(address.code == 2 && address.err.contains("`nowhere`"), "{address:?}");
    let nowhere = ran(&mut primacy(&[
        "run",
        "worker",
        "--etcd",
        "127.0.0.1:1",
        "--set",
        "etcd.requestTimeout=500",
        "--",
        "true",
    ]));
    assert!(nowhere.code == 125 && nowhere.err.contains("127.0.0.1:1"), "{nowhere:?}");
    assert_eq!(stage.cluster.get("session/worker"), None);
}

#[test]
fn one_that_stands_by_ends_when_it_is_told_and_what_it_says_of_itself_is_in_its_record() {
    let mut stage = Stage::new();
    let mut primary = stage.candidate("exit 0", &["--address", "10.0.0.5:80", "--program-version", "1.2.3"]);
    stage.start(0);
    let mut standby = stage.candidate("exit 0", &[]);
    let begun = Instant::now();
    let shown = loop {
        let shown = stage.cluster.run(&["status", "worker", "--json"]).json();
        if shown["roles"][0]["standbys"][0]["warm"] == true && shown["roles"][0]["primary"]["ready"] == true {
            break shown;
        }
        assert!(begun.elapsed() < SOON, "{shown}");
    };
    let record = &shown["roles"][0]["primary"];
    assert_eq!((&record["address"], &record["version"]), (&"10.0.0.5:80".into(), &"1.2.3".into()));
    signal(&standby, Signal::TERM);
    assert_eq!(ends(&mut standby), 0);
    signal(&primary, Signal::TERM);
    assert_eq!(ends(&mut primary), 0);
    assert_eq!(stage.log().len(), 1, "the standby has started nothing: {:?}", stage.log());
}
