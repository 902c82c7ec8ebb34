//! How long a stop takes: as long as keys of a win may be left, and no longer.

use std::slice;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use primacy::clock::Clock;
use primacy::log::Log;
use primacy::session::{OpenError, Session};
use tokio::time::{Instant, sleep};

use crate::cable::Cable;
use crate::world::{Diary, TTL, World, is_over, ms, story};

/// How long it takes from now on until it is over.
async fn ends_in(session: &Session, timeout: Duration) -> Duration {
    let began = Instant::now();
    session.stop(timeout);
    while !is_over(session) {
        assert!(began.elapsed() <= timeout + ms(20), "a stop takes longer than its timeout");
        sleep(ms(1)).await;
    }
    began.elapsed()
}

#[test]
fn who_holds_nothing_does_not_wait_for_a_store_that_is_silent_and_who_holds_something_does() {
    story(|| async {
        let world = World::new(3).await;
        let first = world.next_primary(None, ms(1000)).await;
        let standbys: Vec<_> = (0..3).filter(|i| *i != first).collect();
        world.candidates.iter().for_each(|candidate| candidate.cable().silence(true));
        assert_eq!(ends_in(&world.candidates[standbys[0]].session, ms(9000)).await, ms(81));
        let primary = &world.candidates[first];
        let began = Instant::now();
        assert_eq!(ends_in(&primary.session, ms(3000)).await, ms(3001));
        assert_eq!(primary.diary.losses().len(), 1, "told at once, {:?}", began.elapsed());
        // Another one that was cut off for so long that its lease is over.
        world.pass(TTL).await;
        assert_eq!(ends_in(&world.candidates[standbys[1]].session, ms(9000)).await, ms(81));
        world.candidates.iter().for_each(|candidate| candidate.cable().silence(false));
        // What is asked for late runs out.
        world.pass(TTL * 2).await;
        world.end().await;
    });
}

#[test]
fn a_standby_leaves_nothing_behind_and_needs_one_round_trip() {
    story(|| async {
        let world = World::new(2).await;
        let first = world.next_primary(None, ms(1000)).await;
        let standby = &world.candidates[1 - first];
        let leases = || world.server.with_model(|model, now| model.leases(now).len());
        assert_eq!(leases(), 2);
        assert!(ends_in(&standby.session, ms(9000)).await <= ms(1));
        assert_eq!(leases(), 1);
        world.end().await;
    });
}

#[test]
fn an_opening_that_is_stopped_ends_whatever_the_store_does() {
    story(|| async {
        let (world, cable) = (World::new(1).await, Cable::default());
        cable.silence(true);
        let open = |number| {
            let (_, opening) =
                world.opening(Clock::of_tokio(), number, TTL, slice::from_ref(&cable), Log::none());
            let ended = Arc::new(Mutex::new(None));
            let told = ended.clone();
            (opening.finish_later(move |end| *told.lock().unwrap() = Some(end)), ended)
        };
        let (session, ended) = open(2);
        let early = session.register("rootcoord", Arc::new(Diary::default())).unwrap();
        early.campaign();
        sleep(ms(500)).await;
        assert_eq!(ends_in(&session, ms(9000)).await, ms(81));
        sleep(ms(1)).await;
        assert!(matches!(*ended.lock().unwrap(), Some(Err(OpenError::Stopped))));

        // Left alone, it takes the time of a request, and cleans up in it.
        let (session, ended) = open(3);
        sleep(ms(9_790)).await;
        assert!(ended.lock().unwrap().is_none());
        sleep(ms(210)).await;
        assert!(matches!(*ended.lock().unwrap(), Some(Err(OpenError::Unavailable(_)))) && is_over(&session));

        // What is registered before it is open begins when it is.
        let (session, ended) = open(4);
        let diary = Diary::default();
        let election = session.register("datacoord", Arc::new(diary.clone())).unwrap();
        election.campaign();
        cable.silence(false);
        world.pass(ms(1000)).await;
        assert!(matches!(*ended.lock().unwrap(), Some(Ok(()))));
        assert!(session.server_id() > 0 && diary.primaries().len() == 1 && election.token().is_some());
        ends_in(&session, ms(1000)).await;
        world.end().await;
    });
}
