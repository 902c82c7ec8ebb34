//! What breaks between candidates and the store, and in the store, and what never comes of it.

use primacy::engine::LostReason;
use tokio::time::{Instant, sleep};

use crate::world::{Member, STEP, TTL, World, is_over, ms, story};

#[test]
fn a_primary_that_is_cut_off_says_no_before_the_next_one_says_yes_and_comes_back_as_standby() {
    story(|| async {
        let world = World::new(3).await;
        let first = world.next_primary(None, ms(1000)).await;
        world.pass(TTL).await;
        let cut = Instant::now();
        world.candidates[first].cable().silence(true);
        let second = world.next_primary(Some(first), TTL + ms(600)).await;
        let (lost, reason) = world.candidates[first].diary.losses()[0];
        let (won, _) = world.candidates[second].diary.primaries()[0];
        assert_eq!(reason, LostReason::LeaseExpired);
        assert!(lost < won && won - cut <= TTL + ms(600));
        world.pass(TTL).await;
        world.candidates[first].cable().silence(false);
        world.pass(TTL).await;
        assert_eq!(world.primaries(), [second]);
        assert_eq!(world.candidates[first].diary.primaries().len(), 1);
        world.end().await;
    });
}

#[test]
fn a_link_that_is_away_for_a_moment_again_and_again_costs_no_primacy() {
    story(|| async {
        let world = World::new(2).await;
        let first = world.next_primary(None, ms(1000)).await;
        for _ in 0..200 {
            world.candidates[first].cable().silence(true);
            world.pass(ms(1200)).await;
            world.candidates[first].cable().silence(false);
            world.pass(ms(1500)).await;
        }
        assert_eq!(world.primaries(), [first]);
        assert_eq!(world.candidates[first].diary.losses(), []);
        world.end().await;
    });
}

#[test]
fn connections_that_are_reset_every_second_cost_no_primacy_and_no_takeover() {
    story(|| async {
        let world = World::new(2).await;
        let first = world.next_primary(None, ms(1000)).await;
        for _ in 0..60 {
            world.candidates.iter().for_each(|candidate| candidate.cable().cut());
            world.pass(ms(1000)).await;
        }
        assert_eq!(world.primaries(), [first]);
        world.candidates[first].election.resign();
        let second = world.next_primary(Some(first), ms(100)).await;
        world.pass(TTL * 2).await;
        assert_eq!(world.primaries(), [second]);
        world.end().await;
    });
}

#[test]
fn a_server_that_restarts_with_all_connections_reset_costs_no_primacy() {
    story(|| async {
        let world = World::new(3).await;
        let first = world.next_primary(None, ms(1000)).await;
        for _ in 0..10 {
            world.server.with_model(|model, now| model.restart(now));
            world.server.disconnect();
            world.pass(ms(2500)).await;
        }
        assert_eq!(world.primaries(), [first]);
        world.end().await;
    });
}

#[test]
fn a_server_that_sends_goaway_every_second_costs_no_primacy_and_no_takeover() {
    story(|| async {
        let world = World::new(2).await;
        let first = world.next_primary(None, ms(1000)).await;
        for _ in 0..30 {
            world.server.leave();
            world.pass(ms(1000)).await;
        }
        assert_eq!(world.primaries(), [first]);
        assert_eq!(world.candidates[first].diary.losses(), []);
        world.candidates[first].election.resign();
        let second = world.next_primary(Some(first), ms(100)).await;
        world.pass(TTL * 2).await;
        assert_eq!(world.primaries(), [second]);
        world.end().await;
    });
}

#[test]
fn a_primary_that_hears_no_answer_says_no_though_its_renewals_arrive() {
    story(|| async {
        let world = World::new(2).await;
        let first = world.next_primary(None, ms(1000)).await;
        world.pass(TTL).await;
        world.candidates[first].cable().deafen(true);
        world.pass(TTL).await;
        assert_eq!(world.candidates[first].diary.losses()[0].1, LostReason::LeaseExpired);
        // Its connection is given up, and with it the renewals end.
        let second = world.next_primary(Some(first), TTL * 4).await;
        world.candidates[first].cable().deafen(false);
        world.pass(TTL * 2).await;
        assert_eq!(world.primaries(), [second]);
        world.end().await;
    });
}

#[test]
fn who_is_cut_off_for_good_stops_in_time() {
    story(|| async {
        let world = World::new(2).await;
        let first = world.next_primary(None, ms(1000)).await;
        world.candidates[first].cable().silence(true);
        world.pass(TTL * 2).await;
        let (asked, candidate) = (Instant::now(), &world.candidates[first]);
        candidate.session.stop(ms(3000));
        while !is_over(&candidate.session) {
            assert!(asked.elapsed() <= ms(3100), "a stop takes longer than its timeout");
            sleep(STEP).await;
        }
        world.pass(TTL).await;
        assert_eq!(world.primaries(), [1 - first]);
    });
}

#[test]
fn a_store_put_back_to_an_older_copy_is_noticed_within_half_a_ttl() {
    story(|| async {
        let world = World::new(2).await;
        let copy = world.server.with_model(|model, _| model.snapshot());
        let first = world.next_primary(None, ms(1000)).await;
        world.pass(TTL * 2).await;
        world.server.with_model(|model, now| model.restore(now, &copy));
        world.server.disconnect();
        let back = Instant::now();
        world.pass(TTL / 2 + ms(500)).await;
        let (lost, reason) = world.candidates[first].diary.losses()[0];
        assert_eq!(reason, LostReason::StoreRolledBack);
        assert!(lost - back <= TTL / 2 + ms(100), "noticed after {:?}", lost - back);
        // Leases of the copy's time stand in the way until they run out.
        world.next_primary(None, TTL * 3).await;
    });
}

#[test]
fn whatever_happens_to_the_links_there_is_never_a_second_primary_and_in_the_end_there_is_one() {
    for seed in 0..20 {
        story(|| async {
            let mut random = fastrand::Rng::with_seed(seed);
            let world = World::with(3, TTL, 2).await;
            let writers = world.candidates.iter().enumerate().map(|(number, candidate)| {
                tokio::spawn(Member::write(candidate.etcd.clone(), candidate.election.clone(), number))
            });
            let writers: Vec<_> = writers.collect();
            for _ in 0..40 {
                let cable = &world.candidates[random.usize(..3)].cables[random.usize(..2)];
                match random.u8(..5) {
                    0 | 1 => cable.silence(true),
                    2 | 3 => cable.silence(false),
                    _ => cable.cut(),
                }
                if random.u8(..10) == 0 {
                    world.server.disconnect();
                }
                world.pass(ms(random.u64(..3000))).await;
            }
            for cable in world.candidates.iter().flat_map(|candidate| &candidate.cables) {
                cable.silence(false);
            }
            world.pass(TTL * 3).await;
            assert_eq!(world.primaries().len(), 1, "seed {seed}");
            writers.iter().for_each(|writer| writer.abort());
            let written = world.written().await;
            assert!(written.len() > 100, "seed {seed}: only {} writes", written.len());
            assert!(written.is_sorted(), "seed {seed}: a write of an older win came later: {written:?}");
            world.end().await;
        });
    }
}
