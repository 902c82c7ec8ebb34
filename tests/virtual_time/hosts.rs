//! What hosts do and leave: callbacks that hang, queues that nobody reads, elections one after the other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use primacy::election::Election;
use primacy::engine::{Call, LostReason, Outcome};
use primacy::queue::{Queue, What};
use tokio::time::{Instant, sleep};

use crate::world::{Diary, Member, STEP, TTL, World, ms, story};

#[test]
fn an_election_that_is_over_does_not_pass_for_the_next_one_of_its_role() {
    story(|| async {
        let world = World::new(1).await;
        let Member { session, election: old, .. } = &world.candidates[0];
        old.stop(ms(1000));
        while old.join(Duration::ZERO).is_err() {
            sleep(STEP).await;
        }
        let new = session.register("rootcoord", Arc::new(Diary::default())).unwrap();
        while new.snapshot().is_none() {
            sleep(STEP).await;
        }
        assert_eq!(old.snapshot(), None);
        world.end().await;
    });
}

#[test]
fn a_loss_is_told_at_the_deadline_while_on_primary_still_runs() {
    story(|| async {
        let world = World::new(2).await;
        let first = world.next_primary(None, ms(1000)).await;
        let Member { diary, election, .. } = &world.candidates[first];
        // The call of on_primary that comes next does not end before its primacy does.
        election.resign();
        let second = world.next_primary(Some(first), ms(1000)).await;
        diary.hangs.store(true, Ordering::Relaxed);
        world.candidates[second].election.resign();
        world.next_primary(Some(second), ms(1000)).await;
        world.pass(ms(30_000)).await;
        assert_eq!(world.primaries(), [first], "renewals do not wait for it");
        let hanging = diary.hanging.lock().unwrap().take().unwrap();
        assert!(!election.is_cancelled(hanging));
        world.candidates[first].cable().silence(true);
        let deadline = Instant::now() + election.remaining();
        world.pass(TTL).await;
        let (lost, reason) = *diary.losses().last().unwrap();
        assert_eq!(reason, LostReason::LeaseExpired);
        let late = lost.saturating_duration_since(deadline);
        assert!(lost >= deadline && late < ms(50), "told {late:?} after the deadline");
        assert!(election.is_cancelled(hanging));
        election.complete(hanging, Outcome::Done).unwrap();
        world.end().await;
    });
}

/// The next call that waits in a queue, begun and completed.
fn serve(queue: &Queue, election: &Election) -> Option<Call> {
    loop {
        if let What::Call(id, call) = queue.next(Duration::ZERO)?.what {
            election.complete(id, Outcome::Done).unwrap();
            return Some(call);
        }
    }
}

#[test]
fn a_win_that_nobody_takes_from_its_queue_goes_to_somebody_who_does() {
    story(|| async {
        let world = World::new(2).await;
        let [first, second] = &world.candidates[..] else { unreachable!() };
        let queue = Queue::new().unwrap();
        let left = first.session.register("datacoord", queue.host(1)).unwrap();
        left.campaign();
        sleep(ms(100)).await;
        let diary = Diary::default();
        let other = second.session.register("datacoord", Arc::new(diary.clone())).unwrap();
        other.campaign();
        world.pass(ms(9_500)).await;
        assert!(first.session.snapshot().elections.iter().any(|e| e.role == "datacoord" && e.token > 0));
        assert_eq!((left.token(), other.token()), (None, None), "is_primary begins when on_primary is taken");
        world.pass(ms(1_500)).await;
        assert!(other.token().is_some());
        assert!(matches!(serve(&queue, &left), Some(Call::Standby { .. })), "on_primary was taken back");
        other.resign();
        world.pass(ms(500)).await;
        assert_eq!(left.token(), None);
        while !matches!(serve(&queue, &left), None | Some(Call::Primary { .. })) {}
        assert!(left.token().is_some());
        queue.close();
        world.end().await;
    });
}

#[test]
fn a_host_that_stops_reading_its_queue_loses_primacy() {
    story(|| async {
        let world = World::new(1).await;
        let queue = Queue::new().unwrap();
        let election = world.candidates[0].session.register("datacoord", queue.host(1)).unwrap();
        election.campaign();
        world.pass(ms(500)).await;
        assert!(matches!(serve(&queue, &election), Some(Call::Primary { .. })));
        world.pass(ms(9_000)).await;
        assert!(election.token().is_some());
        world.pass(ms(2_000)).await;
        assert_eq!(election.token(), None, "the news that it is ready waits for longer than on_primary may");
        assert_eq!(
            serve(&queue, &election)
                .map(|call| matches!(call, Call::Lost { reason: LostReason::HostUnresponsive, .. })),
            Some(true)
        );
        queue.close();
        world.end().await;
    });
}

#[test]
fn a_queue_that_is_read_keeps_primacy_for_as_long_as_one_likes() {
    story(|| async {
        let world = World::new(1).await;
        let queue = Queue::new().unwrap();
        let election = world.candidates[0].session.register("datacoord", queue.host(1)).unwrap();
        election.campaign();
        world.pass(ms(500)).await;
        while queue.next(Duration::ZERO).map(|event| event.what).is_some_and(|what| match what {
            What::Call(id, _) => election.complete(id, Outcome::Done).is_ok(),
            _ => true,
        }) {}
        world.pass(ms(500)).await;
        while queue.next(Duration::ZERO).is_some() {}
        world.pass(ms(60_000)).await;
        assert!(election.token().is_some());
        queue.close();
        world.end().await;
    });
}

#[test]
fn a_call_in_a_queue_that_is_closed_fails() {
    story(|| async {
        let world = World::new(1).await;
        let queue = Queue::new().unwrap();
        let election = world.candidates[0].session.register("datacoord", queue.host(1)).unwrap();
        election.campaign();
        world.pass(ms(500)).await;
        queue.close();
        world.pass(ms(100)).await;
        let state = world.candidates[0].session.snapshot();
        let of = state.elections.iter().find(|e| e.role == "datacoord").unwrap();
        assert!(of.token == 0 && of.running.is_empty(), "{of:?}");
        world.end().await;
    });
}

#[test]
fn a_close_is_through_half_a_second_after_the_earliest_stop_and_at_once_where_nobody_takes_calls() {
    story(|| async {
        let world = World::new(2).await;
        let first = world.next_primary(None, ms(1000)).await;
        let Member { diary, election, session, .. } = &world.candidates[first];
        // The call of on_primary that comes next does not end.
        election.resign();
        let second = world.next_primary(Some(first), ms(1000)).await;
        diary.hangs.store(true, Ordering::Relaxed);
        world.candidates[second].election.resign();
        world.next_primary(Some(second), ms(1000)).await;
        let (closing, began) = (election.begin_close(Some(ms(60_000)), true), Instant::now());
        let as_asked = election.begin_close(None, true);
        session.stop(ms(3000));
        let (sooner, later) =
            (election.begin_close(None, true), session.begin_close(Some(ms(9000)), |_| true));
        let mut ends = [None; 4];
        while ends.iter().any(Option::is_none) && began.elapsed() < ms(61_000) {
            sleep(STEP).await;
            let over = [
                closing.wait(Duration::ZERO).is_some(),
                as_asked.wait(Duration::ZERO).is_some(),
                sooner.wait(Duration::ZERO).is_some(),
                later.wait(Duration::ZERO).is_some(),
            ];
            let now = began.elapsed();
            ends.iter_mut().zip(over).for_each(|(end, over)| *end = end.or(over.then_some(now)));
        }
        assert_eq!(ends, [Some(ms(60_500)), Some(ms(60_500)), Some(ms(3500)), Some(ms(3500))]);
        election.complete(diary.hanging.lock().unwrap().take().unwrap(), Outcome::Done).unwrap();

        let queue = Queue::new().unwrap();
        let other = &world.candidates[second].session;
        let unread = other.register("datacoord", queue.host(1)).unwrap();
        unread.campaign();
        world.pass(ms(500)).await;
        assert!(matches!(serve(&queue, &unread), Some(Call::Primary { .. })));
        let closing = other.begin_close(None, |role| *role == *unread.role());
        world.pass(ms(500)).await;
        assert_eq!(closing.wait(Duration::ZERO), Some(Ok(())));
        world.end().await;
    });
}
