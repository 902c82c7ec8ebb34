//! Every state of small clusters, up to a bound: the real engine's `step` on the embedded model, so that what is
//! checked is the code and not a copy of it. What may happen is in `world`.
//!
//! `make exhaustive` runs it. `SCENE=text` runs the scenes whose names contain it; `JOBS=n` uses so many cores. A scene
//! without a bound on its depth ends when no state is left that was not seen; the bounds that remain are those of the
//! scene: candidates, units of time, faults, writes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../contract_of_the_driver.rs"]
mod contract_of_the_driver;
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
            Property::always("what the driver is owed", |_, world: &World| {
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

use Fault::{Break, Clock, Crash, Deaf, Meddle, Pause, Restore, Slow, Watch};
const ALL: &[Fault] = &[Break, Slow, Pause, Clock, Watch, Crash, Meddle];

/// A primary and a standby; a lease lives for three of the units.
const TWO: Scene = Scene {
    name: "two candidates, one fault of any kind",
    candidates: 2,
    units: 4,
    faults: 1,
    kinds: ALL,
    asks: 0,
    writes: 1,
    fenced: true,
    settled: true,
};

/// What is walked through, and at most how many steps deep.
fn scenes() -> Vec<(Scene, Option<usize>)> {
    let resigns = Scene {
        name: "two candidates that begin, one resigns or stops",
        units: 6,
        faults: 0,
        asks: 1,
        settled: false,
        ..TWO
    };
    let begin = Scene { name: "two candidates that begin, one fault of any kind", settled: false, ..TWO };
    let deaf = Scene { name: "a host that takes no calls", kinds: &[Deaf], units: 6, settled: false, ..TWO };
    let paused =
        Scene { name: "a pause, and a clock that is behind", kinds: &[Pause, Clock], faults: 2, ..TWO };
    let three = Scene {
        name: "three candidates, a watch or a process ends",
        candidates: 3,
        kinds: &[Watch, Crash, Clock],
        ..TWO
    };
    let unfenced =
        Scene { name: "without fencing", kinds: &[Pause], units: 6, fenced: false, settled: false, ..TWO };
    vec![
        (TWO, None),
        (resigns, None),
        (Scene { name: "the store is put back", kinds: &[Restore], ..TWO }, None),
        (deaf, None),
        (three, None),
        (begin, Some(20)),
        (paused, Some(24)),
        (unfenced, None),
    ]
}

fn main() -> ExitCode {
    let only = std::env::var("SCENE").unwrap_or_default();
    let chosen: Vec<_> = scenes().into_iter().filter(|(scene, _)| scene.name.contains(&only)).collect();
    let (all, mut failed, mut states) = (chosen.len(), 0, 0);
    for (scene, deepest) in chosen {
        let (well, seen) = check(scene, deepest);
        failed += u32::from(!well);
        states += seen;
    }
    println!("exhaustive: {all} scenes, {states} states, {failed} scenes failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Walks through the states of a scene; whether it is as it should be, and how many states there are.
fn check(scene: Scene, deepest: Option<usize>) -> (bool, usize) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = std::env::var("JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(cores);
    let began = Instant::now();
    let mut checker = scene.clone().checker().threads(jobs).finish_when(HasDiscoveries::AnyFailures);
    if let Some(deepest) = deepest {
        checker = checker.target_max_depth(deepest);
    }
    let checker = checker.spawn_bfs().join();
    println!(
        "{}: {} candidates, {} units, {} faults of {:?}, {} asked, {} writes each: {}, {} states, {} steps, depth {}, \
         {:.1} s",
        scene.name,
        scene.candidates,
        scene.units,
        scene.faults,
        scene.kinds,
        scene.asks,
        scene.writes,
        deepest.map_or("all".to_owned(), |deepest| format!("those at most {deepest} steps away")),
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64()
    );
    let mut well = true;
    for property in scene.properties() {
        let found = checker.discovery(property.name);
        if property.expectation == stateright::Expectation::Sometimes {
            println!("  {}: {}", property.name, if found.is_some() { "yes" } else { "never" });
            continue;
        }
        // Without fencing the known counterexample must be found.
        if found.is_some() != (!scene.fenced && property.name == FENCING) {
            well = false;
            println!("  FAILED: {}", property.name);
        }
        if let Some(path) = found {
            println!("  {}: broken by", property.name);
            path.into_vec().iter().for_each(|(world, step)| println!("    {world:?}; {step:?}"));
        }
    }
    (well, checker.unique_state_count())
}
