//! The simulation: engines, the model of etcd, a network, clocks, hosts and everything that can go wrong with
//! them, without I/O and in virtual time. A seed decides all of it.
//!
//! ```text
//! cargo test -p primacy-model --test simulation            a few hundred seeds
//! SEEDS=20000 cargo test --profile sim -p primacy-model --test simulation  that many, optimised, on all cores
//! SEED=17 cargo test --profile sim -p primacy-model --test simulation      one, with all that happens; if it fails, made smaller first
//! ```
//!
//! `CLEAN=n` looks at so many histories with `primacy audit`; `FIRST=n` begins at another seed than 1, `JOBS=n` uses so many cores, `SHRINK=0` shows a failing seed as it is,
//! `STOP=1` ends with the first violation.
//! The last line of many seeds is `simulation: n seeds, S steps, V violations, R steps/s`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

/// A fifth of the time goes into allocating.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod audit;
mod clock;
mod cluster;
#[path = "../contract_of_the_driver.rs"]
mod contract_of_the_driver;
mod driver;
mod faults;
mod host;
mod invariants;
mod keys;
mod liveness;
mod neighbour;
mod network;
mod observer;
mod process;
mod queue;
mod random;
mod scenario;
mod shrink;
mod succession;
mod trace;
mod world;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use scenario::Scenario;
use world::{Report, Seen};

/// Seeds of a plain `cargo test`.
const FEW: u64 = 300;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

fn main() -> ExitCode {
    clock::check();
    match number("SEED") {
        Some(seed) => replay(seed),
        None if run_many() == ExitCode::FAILURE => ExitCode::FAILURE,
        None => audit_some(),
    }
}

/// Runs one seed and shows what happens.
fn replay(seed: u64) -> ExitCode {
    let mut scenario = Scenario::of(seed);
    quietly(true);
    let report = world::run(&scenario, false);
    if let (Some(violation), true) = (&report.violation, number("SHRINK") != Some(0)) {
        scenario = shrink::shrink(&scenario, violation);
    }
    let report = world::run(&scenario, true);
    println!("{scenario}");
    report.trace.iter().for_each(|line| println!("{line}"));
    match report.violation {
        Some(violation) => {
            println!("seed {seed}: {}: {}", violation.rule, violation.text);
            ExitCode::FAILURE
        }
        None => {
            println!("seed {seed}: {} steps, no violation", report.steps);
            ExitCode::SUCCESS
        }
    }
}

/// What the audit says of clean histories, and of such with a fault.
fn audit_some() -> ExitCode {
    let wrong = audit::check();
    wrong.iter().for_each(|text| println!("{text}"));
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A panic of the engine is a violation like any other; its message is part of that.
fn quietly(quiet: bool) {
    if quiet {
        std::panic::set_hook(Box::new(|_| {}));
    }
}

#[derive(Default)]
struct Sum {
    steps: u64,
    longest: (u64, u64),
    violations: Vec<(u64, &'static str, String)>,
    seen: Seen,
}

impl Sum {
    fn add(&mut self, seed: u64, report: Report) {
        self.steps += report.steps;
        self.longest = self.longest.max((report.steps, seed));
        self.seen.add(&report.seen);
        if let Some(violation) = report.violation {
            self.violations.push((seed, violation.rule, violation.text));
        }
    }
}

/// Runs many seeds on all cores.
fn run_many() -> ExitCode {
    let seeds = number("SEEDS").unwrap_or(FEW);
    let first = number("FIRST").unwrap_or(1);
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let jobs = number("JOBS").unwrap_or(cores);
    let stop = number("STOP") == Some(1);
    quietly(true);
    let began = Instant::now();
    let (next, sum) = (AtomicU64::new(first), Mutex::new(Sum::default()));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                let mut own = Sum::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        break;
                    }
                    let scenario = Scenario::of(seed);
                    let mut report = world::run(&scenario, false);
                    if seed % 1000 == 0 && world::run(&scenario, false).fingerprint != report.fingerprint {
                        let text = "run again, it went otherwise".to_owned();
                        report.violation.get_or_insert(world::Violation { rule: "a seed says all", text });
                    }
                    if stop && report.violation.is_some() {
                        next.store(first + seeds, Ordering::Relaxed);
                    }
                    own.add(seed, report);
                }
                sum.lock().expect("nobody panics with it").merge(own);
            });
        }
    });
    let mut sum = sum.into_inner().expect("nobody panics with it");
    sum.violations.sort();
    for (seed, rule, text) in &sum.violations {
        println!("seed {seed}: {rule}: {text}");
    }
    if let Some((seed, ..)) = sum.violations.first() {
        println!("replay: SEED={seed} cargo test --profile sim -p primacy-model --test simulation");
    }
    let (steps, seed) = sum.longest;
    println!("seen: {}; the longest: {steps} steps, seed {seed}", sum.seen);
    let rate = sum.steps as f64 / began.elapsed().as_secs_f64();
    println!(
        "simulation: {seeds} seeds, {} steps, {} violations, {rate:.0} steps/s",
        sum.steps,
        sum.violations.len()
    );
    if sum.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Sum {
    fn merge(&mut self, other: Sum) {
        self.steps += other.steps;
        self.longest = self.longest.max(other.longest);
        self.violations.extend(other.violations);
        self.seen.add(&other.seen);
    }
}
