//! Every state of small clusters, up to a bound: the real engine's `step` on the embedded model, so that what is
//! checked is the code and not a copy of it. What may happen is in `world`.
//!
//! ```text
//! cargo test --test exhaustive                      small bounds
//! LARGE=1 cargo test --profile sim --test exhaustive  larger ones (`make exhaustive`)
//! ```
//!
//! `SCENE=text` runs the scenes whose names contain it; `JOBS=n` uses so many cores.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod process;
mod store;
mod world;

use std::process::ExitCode;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Property};

use world::{Fault, Scene, Step, World};

impl Model for Scene {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::begin(self)]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        world.steps(self, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        next.take(step, self);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one primary", |_, world: &World| world.primaries() <= 1),
            Property::always("who is primary holds the lock", |_, world: &World| {
                world.primaries_hold_the_lock()
            }),
            Property::always(FENCING, |_, world: &World| world.store().truth().broken.is_none()),
            Property::always("one on_lost for each on_primary", |_, world: &World| {
                world.processes().all(|p| p.broken.is_none())
            }),
            // Every state leads to one that is over.
            Property::always("somebody is primary in the end", |scene, world: &World| {
                !world.is_over(scene) || world.ends_well(scene)
            }),
            Property::sometimes(OVERTAKEN, |_, world: &World| world.store().truth().overtaken),
            Property::sometimes(REFUSED, |_, world: &World| world.store().truth().refused),
        ]
    }
}

const FENCING: &str = "no write of an old primary after a newer one's";
const OVERTAKEN: &str = "two primaries have written, one after the other";
const REFUSED: &str = "a write is refused";

use Fault::{Break, Clock, Crash, Meddle, Pause, Restore, Slow, Watch};
const NETWORK: &[Fault] = &[Break, Slow, Watch];
const ALL: &[Fault] = &[Break, Slow, Pause, Clock, Watch, Crash, Meddle];

const TWO: Scene = Scene {
    name: "two candidates",
    candidates: 2,
    units: 6,
    faults: 1,
    kinds: ALL,
    asks: 0,
    writes: 1,
    fenced: true,
    settled: false,
};

/// What is walked through; how deep is decided by what takes about a minute.
fn scenes() -> Vec<(Scene, usize)> {
    let depth = |scene, deepest| (scene, deepest);
    vec![
        depth(TWO, 30),
        depth(Scene { name: "two candidates, one resigns or stops", asks: 1, faults: 0, ..TWO }, 40),
        depth(Scene { name: "the store is put back", kinds: &[Restore], units: 5, ..TWO }, 40),
        depth(
            Scene { name: "a pause, and a clock that is behind", kinds: &[Pause, Clock], faults: 2, ..TWO },
            40,
        ),
        depth(Scene { name: "two faults of the network", kinds: NETWORK, faults: 2, units: 4, ..TWO }, 25),
        depth(Scene { name: "three candidates", candidates: 3, writes: 0, units: 5, ..TWO }, 25),
        depth(Scene { name: "without fencing", kinds: &[Pause], fenced: false, ..TWO }, 60),
    ]
}

fn main() -> ExitCode {
    let only = std::env::var("SCENE").unwrap_or_default();
    let mut failed = 0;
    for (scene, deepest) in scenes().into_iter().filter(|(scene, _)| scene.name.contains(&only)) {
        failed += u32::from(!check(scene, deepest));
    }
    println!("exhaustive: {failed} scenes failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Walks through the states of a scene that at most `deepest` steps lead to; whether it is as it should be.
fn check(scene: Scene, deepest: usize) -> bool {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = std::env::var("JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(cores);
    let began = Instant::now();
    let checker = scene.clone().checker().threads(jobs).finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.target_max_depth(deepest).spawn_bfs().join();
    println!(
        "{}: {} candidates, {} units, {} faults of {:?}, {} asked: {} states, {} steps, depth {}, {:.1} s",
        scene.name,
        scene.candidates,
        scene.units,
        scene.faults,
        scene.kinds,
        scene.asks,
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64()
    );
    let mut well = true;
    for property in scene.properties() {
        let found = checker.discovery(property.name);
        let expected = match property.expectation {
            stateright::Expectation::Sometimes => scene.writes > 0,
            _ => !scene.fenced && property.name == FENCING,
        };
        let matters = property.expectation != stateright::Expectation::Sometimes || scene.fenced;
        if found.is_some() != expected && matters {
            well = false;
            println!("  FAILED: {}", property.name);
        }
        if let Some(path) = found
            && property.expectation != stateright::Expectation::Sometimes
        {
            println!("  {}: broken by", property.name);
            path.into_vec().iter().for_each(|(world, step)| println!("    {world:?}; {step:?}"));
        }
    }
    well
}
