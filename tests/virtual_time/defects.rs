//! Panics in our own code: primacy ends, and nobody hangs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use primacy::clock::Clock;
use primacy::engine::LostReason;
use primacy::log::{Level, Log};
use primacy::session::RegisterError;
use tokio::time::sleep;

use crate::world::{Diary, Lines, STEP, TTL, World, is_over, ms, story};

#[test]
fn a_defect_ends_primacy_and_the_log_says_what_it_was() {
    story(|| async {
        let world = World::new(0).await;
        let (lines, defect) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (written, panics) = (lines.clone(), defect.clone());
        // The driver's own log: whatever panics there takes the driver along, as a defect in the engine would.
        let log = Log::new(move |level, text| {
            written.lock().unwrap().push((level, text.to_owned()));
            assert!(!panics.swap(false, Ordering::SeqCst), "a defect on demand");
        });
        let candidate = world.candidate(Clock::of_tokio(), 1, TTL, 1, log).await;
        sleep(TTL).await;
        assert!(candidate.election.token().is_some());
        defect.store(true, Ordering::SeqCst);
        let second = candidate.session.register("datacoord", Arc::new(Diary::default())).unwrap();
        second.campaign();
        sleep(ms(500)).await;
        assert!(candidate.election.token().is_none() && second.token().is_none());
        let reasons: Vec<_> = candidate.diary.losses().into_iter().map(|(_, reason)| reason).collect();
        assert_eq!(reasons, [LostReason::InternalError]);
        assert!(is_over(&candidate.session));
        let again = candidate.session.register("querycoord", Arc::new(Diary::default()));
        assert!(matches!(again, Err(RegisterError::Stopped)), "it would never end");
        let lines = lines.lock().unwrap();
        let (level, text) = lines.last().unwrap();
        assert!(*level == Level::Error && text.ends_with("a defect on demand"), "{level:?} {text}");
    });
}

/// A log that panics at lines with `panics_at` in them, wherever they are written, and keeps all others.
fn log_with_a_defect(panics_at: &'static str) -> (Log, Lines) {
    let lines = Lines::default();
    let written = lines.clone();
    let log = Log::new(move |level, text: &str| {
        assert!(level == Level::Error || !text.contains(panics_at), "a defect on demand");
        written.lock().unwrap().push((level, text.to_owned()));
    });
    (log, lines)
}

#[test]
fn a_request_that_panics_has_no_answer_and_is_made_again() {
    story(|| async {
        let (log, lines) = log_with_a_defect("etcd endpoint virtual:1: no answer within");
        let mut world = World::new(0).await;
        let candidate = world.candidate(Clock::of_tokio(), 1, TTL, 1, log).await;
        world.candidates.push(candidate);
        sleep(TTL).await;
        for _ in 0..3 {
            // Longer than the way to the next renewal and the wait for its answer, and no longer than primacy lasts.
            world.candidates[0].cable().silence(true);
            sleep(TTL * 5 / 9).await;
            world.candidates[0].cable().silence(false);
            sleep(TTL).await;
        }
        assert_eq!(world.primaries(), [0]);
        assert_eq!(world.candidates[0].diary.losses(), []);
        let defect =
            |(level, text): &(Level, String)| *level == Level::Error && text.ends_with("a defect on demand");
        assert!(lines.lock().unwrap().iter().any(defect));
        world.end().await;
    });
}

#[test]
fn watches_that_panic_end_primacy_as_an_engine_that_does() {
    story(|| async {
        let (log, _) = log_with_a_defect("a new watch was not confirmed");
        let world = World::new(0).await;
        let candidate = world.candidate(Clock::of_tokio(), 1, TTL, 1, log).await;
        sleep(TTL).await;
        // No renewal is due before the watch is.
        while candidate.election.remaining() < TTL * 17 / 20 {
            sleep(STEP).await;
        }
        candidate.cable().deafen(true);
        candidate.session.register("datacoord", Arc::new(Diary::default())).unwrap().campaign();
        sleep(ms(2500)).await;
        let reasons: Vec<_> = candidate.diary.losses().into_iter().map(|(_, reason)| reason).collect();
        assert_eq!(reasons, [LostReason::InternalError]);
        assert!(is_over(&candidate.session));
    });
}
