//! The flight recorder: what it hands out replays.

use std::path::Path;
use std::sync::Arc;

use primacy::clock::Clock;
use tokio::time::sleep;

use crate::player::Player;
use crate::world::{Diary, TTL, World, kept_log, ms, story};

/// The engine takes the steps of a recording again, and its driver has kept their contract.
pub fn replays(recording: &str) {
    assert!(recording.starts_with("# Every step"), "{recording}");
    Player::new(Path::new(""), false).play("recording", recording);
}

#[test]
fn what_led_to_a_loss_is_recorded_from_the_sessions_beginning_and_replays() {
    story(|| async {
        let mut world = World::new(1).await;
        let (log, lines) = kept_log();
        world.candidates.push(world.candidate(Clock::of_tokio(), 2, TTL, 1, log).await);
        let first = world.next_primary(None, ms(1000)).await;
        world.candidates[first].election.resign();
        let second = world.next_primary(Some(first), ms(1000)).await;
        assert_eq!(second, 1);
        let other =
            world.candidates[second].session.register("datacoord", Arc::new(Diary::default())).unwrap();
        other.campaign();
        world.pass(TTL * 100).await;
        world.candidates[second].cable().silence(true);
        world.next_primary(Some(second), TTL + ms(600)).await;
        world.pass(TTL).await;
        world.candidates[second].cable().silence(false);
        world.pass(TTL).await;
        for candidate in &world.candidates {
            replays(&candidate.election.recording());
        }
        let recording = world.candidates[second].election.recording();
        assert_eq!(recording, other.recording());
        assert_eq!(recording.matches("reason=lease_expired").count(), 2);
        world.end().await;
        let lines = lines.lock().unwrap();
        let (_, logged) = lines.iter().find(|(_, text)| text.starts_with("what led to")).unwrap();
        assert!(logged.contains("# The last ") && logged.contains("reason=lease_expired"), "{logged}");
        assert!(logged.len() < 20_000, "{}", logged.len());
    });
}

#[test]
fn a_loss_early_in_a_session_comes_into_the_log_as_a_transcript() {
    story(|| async {
        let world = World::new(0).await;
        let (log, lines) = kept_log();
        let candidate = world.candidate(Clock::of_tokio(), 1, TTL, 1, log).await;
        sleep(TTL).await;
        candidate.cable().silence(true);
        sleep(TTL * 2).await;
        let lines = lines.lock().unwrap();
        let (_, logged) = lines.iter().find(|(_, text)| text.starts_with("what led to")).unwrap();
        let (_, recording) = logged.split_once('\n').unwrap();
        replays(recording);
    });
}
