//! Makes a failing scenario smaller while it breaks the same rule.

use primacy_engine::time::Time;

use crate::scenario::{HostPlan, NetworkPlan, Scenario};
use crate::world::{self, Violation};

/// The smallest scenario found that breaks the same rule.
pub fn shrink(scenario: &Scenario, violation: &Violation) -> Scenario {
    let mut best = scenario.clone();
    loop {
        let before = size(&best);
        for smaller in candidates(&best) {
            if breaks(&smaller, violation) {
                best = smaller;
                break;
            }
        }
        if size(&best) == before {
            return best;
        }
    }
}

fn breaks(scenario: &Scenario, violation: &Violation) -> bool {
    world::run(scenario, false).violation.is_some_and(|found| found.rule == violation.rule)
}

/// Something that gets smaller with each step, so that it ends.
fn size(s: &Scenario) -> (usize, usize, u64, u32, usize, usize) {
    let hosts = &s.hosts;
    let rates = hosts.slow
        + hosts.until_cancelled
        + hosts.hang
        + hosts.hang_for_ever
        + hosts.left
        + hosts.fail
        + hosts.within
        + hosts.writes;
    let here = s.processes.iter().filter(|p| p.start < Time::NEVER);
    let roles = here.clone().map(|p| p.roles.len() + usize::from(p.drift != 0)).sum::<usize>();
    let network = &s.network;
    (
        here.count() + s.neighbours.len() + s.observers.len(),
        s.faults.len() + s.strikes.len(),
        s.faults_end.as_nanos(),
        rates + network.trouble + network.late,
        roles,
        network.ways.len() + usize::from(network.target.is_some()),
    )
}

/// Smaller ones, the boldest first.
fn candidates(s: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Scenario)| {
        let mut smaller = s.clone();
        change(&mut smaller);
        if size(&smaller) != size(s) {
            all.push(smaller);
        }
    };
    with(&|s| s.faults.clear());
    with(&|s| s.strikes.clear());
    with(&|s| s.neighbours.clear());
    with(&|s| s.observers.clear());
    with(&|s| s.network = NetworkPlan { usual: s.network.usual, ..NetworkPlan::default() });
    with(&|s| s.hosts = HostPlan::default());
    for half in [0, 1] {
        with(&|s| {
            let middle = s.faults.len() / 2;
            let rest = s.faults.split_off(middle);
            if half == 0 {
                s.faults = rest;
            }
        });
    }
    for i in 0..s.processes.len() {
        with(&|s| s.processes[i].start = Time::NEVER);
    }
    for i in 0..s.neighbours.len() {
        with(&|s| _ = s.neighbours.remove(i));
    }
    for i in 0..s.strikes.len() {
        with(&|s| _ = s.strikes.remove(i));
    }
    for i in 0..s.faults.len() {
        with(&|s| _ = s.faults.remove(i));
    }
    for i in 0..s.processes.len() {
        for role in 0..s.processes[i].roles.len() {
            if s.processes[i].roles.len() > 1 {
                with(&|s| _ = s.processes[i].roles.remove(role));
            }
        }
        with(&|s| s.processes[i].drift = 0);
    }
    with(&|s| s.network.trouble = 0);
    with(&|s| s.network.target = None);
    with(&|s| s.network.late = 0);
    for i in 0..s.network.ways.len() {
        if s.network.ways.len() > 1 {
            with(&|s| _ = s.network.ways.remove(i));
        }
    }
    let rates: [fn(&mut HostPlan) -> &mut u32; 8] = [
        |h| &mut h.slow,
        |h| &mut h.until_cancelled,
        |h| &mut h.hang,
        |h| &mut h.hang_for_ever,
        |h| &mut h.left,
        |h| &mut h.fail,
        |h| &mut h.within,
        |h| &mut h.writes,
    ];
    for rate in rates {
        with(&|s| *rate(&mut s.hosts) = 0);
    }
    let last = s.faults.last().map_or(crate::clock::START, |(at, _)| *at);
    for end in [last, last + (s.faults_end.since(last) / 2)] {
        let end = end + std::time::Duration::from_millis(1);
        if end < s.faults_end {
            with(&|s| s.faults_end = end);
        }
    }
    all
}
