//! Who comes next when a primary dies, and what that costs etcd: as much with two hundred standbys as with one.

use std::time::Duration;

use primacy::store::Request;
use tokio::time::{Instant, sleep};

use crate::world::{TTL, World, ms, story};

/// How far away the server is.
const WAY: Duration = Duration::from_millis(2);
/// How long the others wait for the first one at least.
const TURN: Duration = Duration::from_millis(20);

/// Of so many standbys, after the primary's lease has been revoked, together with so many who came next: how long it takes
/// until somebody is primary, who, and how often anybody has campaigned until then.
async fn succession(standbys: usize, dead: usize) -> (Duration, usize, usize) {
    let mut world = World::new(1 + standbys).await;
    assert_eq!(world.next_primary(None, ms(1000)).await, 0, "who came first");
    for candidate in &world.candidates {
        candidate.cable().lengthen(WAY);
        candidate.cable().cut();
    }
    world.pass(TTL * 2).await;
    assert_eq!(world.primaries(), [0]);
    let dies = |i: usize| world.candidates[i].session.snapshot().lease.parse().unwrap();
    let leases: Vec<i64> = (0..=dead).map(dies).collect();
    let mut lives = world.candidates.split_off(1 + dead);
    world.candidates.iter().for_each(|candidate| candidate.cable().silence(true));
    let campaigns =
        || lives.iter().map(|c| c.election.recording().matches(" campaign e").count()).sum::<usize>();
    let before = campaigns();
    let last = lives.last().unwrap().etcd.clone();
    for lease in leases.into_iter().rev() {
        last.call(Request::Revoke { lease: primacy::store::LeaseId(lease) }, ms(1000)).await.unwrap();
    }
    // The answer has been on its way for as long as the event.
    let began = Instant::now() - WAY;
    while lives.iter().all(|candidate| candidate.diary.primaries().is_empty()) {
        sleep(ms(1)).await;
        assert!(began.elapsed() < ms(1000), "nobody is primary");
    }
    let next = lives.iter().position(|candidate| !candidate.diary.primaries().is_empty()).unwrap();
    let took = lives[next].diary.primaries()[0].0 - began;
    let campaigns = campaigns() - before;
    world.candidates.append(&mut lives);
    world.end().await;
    (took, next, campaigns)
}

#[test]
fn of_two_hundred_standbys_one_campaigns_and_is_primary_as_soon_as_with_one_standby() {
    story(|| async {
        // The event's way; the campaign and its answer.
        assert_eq!(succession(1, 0).await, (WAY * 3, 0, 1));
        assert_eq!(succession(200, 0).await, (WAY * 3, 0, 1));
    });
}

#[test]
fn each_doubling_of_those_in_line_who_are_dead_as_well_takes_one_turn() {
    story(|| async {
        assert_eq!(succession(5, 1).await, (WAY * 3 + TURN, 0, 1));
        assert_eq!(succession(20, 3).await, (WAY * 3 + TURN * 2, 0, 1));
        let (took, _, campaigns) = succession(40, 8).await;
        assert!(WAY * 3 + TURN * 3 < took && took < TURN * 8, "{took:?}");
        assert!(campaigns < 10, "{campaigns}");
    });
}
