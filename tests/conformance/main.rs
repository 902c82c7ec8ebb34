//! The embedded etcd and real ones give the same answers to the same operations.
//!
//! Scripts written by hand, one per rule, and random ones, which are shrunk when they find something. Both
//! servers are driven through the same real client. What must differ (lease ids that a server chooses, ids
//! of members, distances between revisions and zero) is taken out; what may differ is listed in
//! `differences.rs`, each with its reason.
//!
//! `PRIMACY_ETCDS` names the servers: paths, comma-separated. Without it: `PRIMACY_ETCD`, else every
//! `target/tools/etcd-*` and the `etcd` on the path. `PRIMACY_CONFORMANCE_CASES` and `..._SEED` decide the
//! random scripts.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../common/mod.rs"]
mod common;
mod differences;
mod perform;
mod random;
mod script;
mod scripts;
mod servers;

use std::process::ExitCode;

use common::etcd::EtcdServer;
use etcd_client::Client;
use primacy::embedded::Server;
use script::Script;

/// What one server said to one script, operation by operation, and what its watches heard in the end.
type Transcript = Vec<String>;

/// The same scripts, in the same order, on the embedded server and on one real one.
struct Pair {
    version: String,
    embedded: Client,
    real: Client,
    operations: usize,
    accepted: Vec<(String, usize)>,
}

/// One place where the two differ.
#[derive(Debug)]
struct Difference {
    operation: String,
    embedded: String,
    real: String,
}

impl Pair {
    /// Runs a script on both; what differs and is not accepted.
    async fn run(&mut self, script: &Script) -> Vec<Difference> {
        let (embedded, real) =
            tokio::join!(perform::run(&mut self.embedded, script), perform::run(&mut self.real, script));
        self.operations += script.operations.len();
        let mut differences = Vec::new();
        for i in 0..embedded.len().max(real.len()) {
            let line = |of: &Transcript| of.get(i).cloned().unwrap_or_default();
            let (embedded, real) = (line(&embedded), line(&real));
            if embedded == real {
                continue;
            }
            let operation = script.operations.get(i).map_or("heard".to_owned(), |op| format!("{op:?}"));
            match differences::accepted(&self.version, &operation, &embedded, &real) {
                Some(reason) => match self.accepted.iter_mut().find(|(r, _)| r == reason) {
                    Some((_, count)) => *count += 1,
                    None => self.accepted.push((reason.to_owned(), 1)),
                },
                None => differences.push(Difference { operation, embedded, real }),
            }
        }
        differences
    }
}

fn report(name: &str, script: &Script, differences: &[Difference]) {
    println!("\n{name}: {} differences", differences.len());
    for (i, operation) in script.operations.iter().enumerate() {
        println!("  {i:2} {operation:?}");
    }
    for Difference { operation, embedded, real } in differences {
        println!("  at {operation}\n    embedded: {embedded}\n    real:     {real}");
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|e| panic!("{name}: {e}")))
}

fn main() -> ExitCode {
    // `cargo test NAME` runs this as well; only its own name means it.
    if let Some(filter) = std::env::args().skip(1).find(|argument| !argument.starts_with('-'))
        && !"conformance".contains(&filter)
    {
        return ExitCode::SUCCESS;
    }
    if std::env::args().any(|argument| argument == "--list") {
        println!("conformance: test");
        return ExitCode::SUCCESS;
    }
    let programs = servers::programs();
    if programs.is_empty() {
        eprintln!("conformance: no etcd found; set PRIMACY_ETCDS, or put etcd on the path");
        return ExitCode::FAILURE;
    }
    let cases = number("PRIMACY_CONFORMANCE_CASES", 200);
    let seed = number("PRIMACY_CONFORMANCE_SEED", u64::from(std::process::id()));
    println!("conformance: {cases} random scripts, PRIMACY_CONFORMANCE_SEED={seed}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut table = Vec::new();
    let mut accepted = Vec::new();
    for program in &programs {
        let etcd = EtcdServer::start_program(program, &[]);
        let mut pair = runtime.block_on(async {
            let embedded = perform::embedded(&Server::default()).await;
            let mut real = Client::connect([etcd.endpoint()], None).await.unwrap();
            let version = real.status().await.unwrap().version().to_owned();
            Pair { version, embedded, real, operations: 0, accepted: Vec::new() }
        });
        let (mut scripts, mut differences) = (0, 0);
        for (name, script) in scripts::named() {
            let found = runtime.block_on(pair.run(&script));
            scripts += 1;
            differences += found.len();
            if !found.is_empty() {
                report(&format!("{} {name}", pair.version), &script, &found);
            }
        }
        let (run, failed) = random::run(&runtime, &mut pair, cases, seed);
        scripts += run;
        if let Some((script, found)) = failed {
            report(&format!("{} random script", pair.version), &script, &found);
            differences += found.len();
        }
        table.push((pair.version.clone(), scripts, pair.operations, differences));
        accepted.extend(pair.accepted.iter().map(|(reason, n)| (pair.version.clone(), reason.clone(), *n)));
    }
    println!("\nserver    scripts  operations  differences");
    for (version, scripts, operations, differences) in &table {
        println!("{version:8}  {scripts:7}  {operations:10}  {differences:11}");
    }
    for (version, reason, count) in &accepted {
        println!("accepted on {version}, {count} times: {reason}");
    }
    let operations: usize = table.iter().map(|row| row.2).sum();
    let differences: usize = table.iter().map(|row| row.3).sum();
    println!("conformance: {} versions, {operations} operations, {differences} differences", table.len());
    if differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
