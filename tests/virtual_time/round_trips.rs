//! How often who starts has to wait for an answer: what a store that is far away costs.

use std::time::Duration;

use primacy::clock::Clock;
use primacy::log::Log;
use tokio::time::{Instant, sleep};

use crate::cable::Cable;
use crate::world::{Diary, TTL, World, ms, story};

const ROUND_TRIP: Duration = Duration::from_millis(400);

#[test]
fn from_connected_to_on_primary_are_four_round_trips() {
    story(|| async {
        let (world, cable) = (World::new(0).await, Cable::default());
        cable.lengthen(ROUND_TRIP / 2);
        let began = Instant::now();
        let (_, opening) =
            world.opening(Clock::of_tokio(), 1, TTL, std::slice::from_ref(&cable), Log::none());
        let diary = Diary::default();
        let session = opening.finish_later(|ended| ended.unwrap());
        let election = session.register("rootcoord", std::sync::Arc::new(diary.clone())).unwrap();
        election.campaign();
        while diary.primaries().is_empty() {
            sleep(ms(1)).await;
        }
        // The server speaks first, and is half of one away.
        let connected = ROUND_TRIP / 2;
        // The lease, and the next server id; that is taken; the record, and the watch; the lock.
        assert_eq!(began.elapsed().saturating_sub(connected).as_millis() / ROUND_TRIP.as_millis(), 4);
        session.stop(ms(1000));
        sleep(ms(1000)).await;
    });
}
