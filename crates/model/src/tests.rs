//! The model's rules, one sentence each. That real etcd has the same ones, the conformance test shows.

use super::*;
use primacy_engine::store::{Key, KeyEvent, LeaseId, Value};

const TTL: i64 = 10;

fn model() -> Model {
    Model::new(Options { max_lateness: Duration::ZERO, ..Options::default() })
}

fn at(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

fn one(key: &str) -> Keys {
    Keys::One(key.into())
}

fn span(from: &str, to: &str) -> Keys {
    Keys::Span { from: from.into(), to: to.into() }
}

fn put(model: &mut Model, key: &str, value: &str) -> i64 {
    model.put(at(0), &Put::of(key, value)).unwrap().revision
}

fn values(model: &mut Model, get: &Get) -> Vec<String> {
    model.get(at(0), get).unwrap().kvs.iter().map(|kv| kv.value.to_string()).collect()
}

fn compare(key: &str, relation: Relation, target: Target) -> Compare {
    Compare { keys: one(key), relation, target }
}

/// The responses of a stream, in short: `created`, `canceled`, or what happened to which key.
fn heard(model: &mut Model, stream: StreamId) -> Vec<String> {
    let mut heard = Vec::new();
    for (of, response) in model.take_responses() {
        assert_eq!(of, stream);
        if response.created {
            heard.push(format!("{} created", response.id));
        }
        for Event { event: KeyEvent { key, revision, now }, previous } in response.events {
            let what = now.map_or("deleted".to_owned(), |kv| format!("is {}", kv.value));
            let before = previous.map_or(String::new(), |kv| format!(", was {}", kv.value));
            heard.push(format!("{} {key} {what} at {revision}{before}", response.id));
        }
        if response.canceled {
            let compacted = response.compact_revision;
            heard.push(format!("{} canceled {compacted} {}", response.id, response.reason));
        }
    }
    heard
}

#[test]
fn a_key_remembers_when_it_was_created_and_how_often_it_was_written() {
    let mut model = model();
    assert_eq!(put(&mut model, "a", "1"), 2);
    assert_eq!(put(&mut model, "a", "2"), 3);
    let kv = model.get(at(0), &Get::of(one("a"))).unwrap().kvs.remove(0);
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (Revision(2), Revision(3), 2));
    model.delete(at(0), &Delete { keys: one("a"), previous: false }).unwrap();
    put(&mut model, "a", "3");
    let kv = model.get(at(0), &Get::of(one("a"))).unwrap().kvs.remove(0);
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (Revision(5), Revision(5), 1));
}

#[test]
fn the_past_can_be_read_until_it_is_compacted() {
    let mut model = model();
    for value in ["1", "2", "3"] {
        put(&mut model, "a", value);
    }
    model.delete(at(0), &Delete { keys: one("a"), previous: false }).unwrap();
    let then = |revision| Get { revision, ..Get::of(one("a")) };
    assert_eq!(values(&mut model, &then(2)), ["1"]);
    assert_eq!(values(&mut model, &then(4)), ["3"]);
    assert!(values(&mut model, &then(5)).is_empty());
    assert_eq!(model.get(at(0), &then(6)), Err(Error::FutureRevision));
    model.compact(at(0), 3).unwrap();
    assert_eq!(model.get(at(0), &then(2)), Err(Error::Compacted));
    assert_eq!(values(&mut model, &then(3)), ["2"]);
    assert_eq!(model.compact(at(0), 3), Err(Error::Compacted));
    assert_eq!(model.compact(at(0), 6), Err(Error::FutureRevision));
}

#[test]
fn a_range_is_sorted_limited_and_counted() {
    let mut model = model();
    for (key, value) in [("b", "1"), ("a", "2"), ("c", "0"), ("b", "3")] {
        put(&mut model, key, value);
    }
    let all = Get::of(span("a", "z"));
    assert_eq!(values(&mut model, &all), ["2", "3", "0"]);
    let by_mod = Get { sort_by: SortBy::ModRevision, order: Order::Descending, limit: 2, ..all.clone() };
    assert_eq!(values(&mut model, &by_mod), ["3", "0"]);
    let answer = model.get(at(0), &Get { limit: 1, ..all.clone() }).unwrap();
    assert_eq!((answer.kvs.len(), answer.count, answer.more), (1, 3, true));
    let answer = model.get(at(0), &Get { count_only: true, ..all.clone() }).unwrap();
    assert_eq!((answer.kvs.len(), answer.count, answer.more), (0, 3, false));
    assert_eq!(values(&mut model, &Get { min_mod_revision: 4, ..all.clone() }), ["3", "0"]);
    assert_eq!(values(&mut model, &Get { max_create_revision: 2, ..all.clone() }), ["3"]);
    assert_eq!(values(&mut model, &Get { keys_only: true, ..all }), ["", "", ""]);
    assert_eq!(values(&mut model, &Get::of(Keys::From("b".into()))), ["3", "0"]);
    assert!(values(&mut model, &Get::of(span("z", "a"))).is_empty());
}

#[test]
fn a_transaction_writes_at_one_revision_and_reads_what_it_wrote() {
    let mut model = model();
    let answer = model
        .txn(
            at(0),
            &Txn {
                when: vec![compare("a", Relation::Equal, Target::Version(0))],
                then: vec![
                    Op::Put(Put::of("a", "1")),
                    Op::Put(Put::of("b", "2")),
                    Op::Get(Get::of(span("a", "z"))),
                ],
                otherwise: vec![],
            },
        )
        .unwrap();
    assert!(answer.succeeded);
    assert_eq!(answer.revision, 2);
    let Some(OpAnswer::Get(get)) = answer.answers.last() else { panic!("{answer:?}") };
    assert!(get.kvs.iter().all(|kv| kv.mod_revision == Revision(2)));
    assert_eq!((get.kvs.len(), get.revision), (2, 2));
    assert_eq!(model.revision(), 2);
}

#[test]
fn every_comparison_holds_as_it_says() {
    let mut model = model();
    model.grant(at(0), LeaseId(7), TTL).unwrap();
    put(&mut model, "a", "x");
    model.put(at(0), &Put::of("a", "m").on(LeaseId(7))).unwrap();
    let mut holds = |key: &str, relation, target| {
        let when = vec![compare(key, relation, target)];
        model.txn(at(0), &Txn { when, ..Txn::default() }).unwrap().succeeded
    };
    use Relation::*;
    for (present, absent) in [
        (Target::Version(2), Target::Version(0)),
        (Target::CreateRevision(2), Target::CreateRevision(0)),
        (Target::ModRevision(3), Target::ModRevision(0)),
        (Target::Lease(7), Target::Lease(0)),
    ] {
        for (key, target) in [("a", present), ("none", absent)] {
            assert!(holds(key, Equal, target.clone()));
            assert!(!holds(key, NotEqual, target.clone()));
            assert!(!holds(key, Greater, target.clone()));
            assert!(!holds(key, Less, target));
        }
    }
    assert!(holds("a", Greater, Target::Version(1)));
    assert!(holds("a", Less, Target::ModRevision(4)));
    assert!(holds("a", Greater, Target::Value("l".into())));
    assert!(!holds("none", NotEqual, Target::Value("".into())), "an absent key has no value");
}

#[test]
fn a_comparison_over_a_range_holds_only_of_all_keys() {
    let mut model = model();
    put(&mut model, "a", "1");
    put(&mut model, "b", "2");
    let mut holds = |keys: Keys, target| {
        let when = vec![Compare { keys, relation: Relation::Greater, target }];
        model.txn(at(0), &Txn { when, ..Txn::default() }).unwrap().succeeded
    };
    assert!(holds(span("a", "z"), Target::CreateRevision(1)));
    assert!(!holds(span("a", "z"), Target::CreateRevision(2)));
    assert!(!holds(span("x", "z"), Target::CreateRevision(0)), "no key counts as an absent one");
}

#[test]
fn an_inner_transaction_compares_with_the_store_as_it_was_before_the_outer_one() {
    let mut model = model();
    let inner = Txn {
        when: vec![compare("a", Relation::Equal, Target::Version(0))],
        then: vec![Op::Put(Put::of("b", "absent"))],
        otherwise: vec![Op::Put(Put::of("b", "present"))],
    };
    let outer = Txn { then: vec![Op::Put(Put::of("a", "1")), Op::Txn(inner)], ..Txn::default() };
    model.txn(at(0), &outer).unwrap();
    assert_eq!(values(&mut model, &Get::of(one("b"))), ["absent"]);
}

#[test]
fn a_transaction_that_may_write_a_key_twice_is_refused() {
    let mut model = model();
    let a = || Op::Put(Put::of("a", "1"));
    let delete = Op::Delete(Delete { keys: span("a", "c"), previous: false });
    let inner = |then: Vec<Op>, otherwise: Vec<Op>| Op::Txn(Txn { when: vec![], then, otherwise });
    for then in [
        vec![a(), a()],
        vec![a(), delete.clone()],
        vec![a(), inner(vec![], vec![a()])],
        vec![inner(vec![delete.clone()], vec![]), a()],
        vec![inner(vec![a()], vec![]), inner(vec![a()], vec![])],
    ] {
        let refused = model.txn(at(0), &Txn { then, ..Txn::default() });
        assert_eq!(refused, Err(Error::DuplicateKey));
    }
    assert_eq!(model.revision(), 1);
    let branches = Txn { then: vec![inner(vec![a()], vec![a()])], ..Txn::default() };
    assert!(model.txn(at(0), &branches).is_ok(), "only one of two branches runs");
}

#[test]
fn a_transaction_of_more_than_128_operations_is_refused() {
    let mut model = model();
    let many = |n: usize| (0..n).map(|i| Op::Put(Put::of(format!("k{i}"), ""))).collect::<Vec<_>>();
    assert!(model.txn(at(0), &Txn { then: many(128), ..Txn::default() }).is_ok());
    assert_eq!(model.txn(at(0), &Txn { then: many(129), ..Txn::default() }), Err(Error::TooManyOps));
    let inner = Op::Txn(Txn { then: many(128), ..Txn::default() });
    let outer = Txn { then: vec![inner], ..Txn::default() };
    assert_eq!(model.txn(at(0), &outer), Err(Error::TooManyOps), "the outer one used one of them");
}

#[test]
fn a_refused_transaction_changes_nothing() {
    let mut model = model();
    let then = vec![Op::Put(Put::of("a", "1")), Op::Put(Put::of("b", "1").on(LeaseId(9)))];
    assert_eq!(model.txn(at(0), &Txn { then, ..Txn::default() }), Err(Error::LeaseNotFound));
    let then = vec![Op::Put(Put::of("a", "1")), Op::Get(Get { revision: 2, ..Get::of(one("a")) })];
    assert_eq!(model.txn(at(0), &Txn { then, ..Txn::default() }), Err(Error::FutureRevision));
    assert_eq!(model.get(at(0), &Get::of(one("a"))).unwrap().count, 0);
    assert_eq!(model.revision(), 1);
}

#[test]
fn a_put_can_keep_the_value_or_the_lease() {
    let mut model = model();
    model.grant(at(0), LeaseId(7), TTL).unwrap();
    let keep_value = Put { keep_value: true, ..Put::of("a", "") };
    assert_eq!(model.put(at(0), &keep_value), Err(Error::KeyNotFound));
    model.put(at(0), &Put::of("a", "1").on(LeaseId(7))).unwrap();
    let answer = model.put(at(0), &Put { keep_lease: true, previous: true, ..Put::of("a", "2") }).unwrap();
    assert_eq!(answer.previous.unwrap().value, Value::from("1"));
    let kv = model.get(at(0), &Get::of(one("a"))).unwrap().kvs.remove(0);
    assert_eq!((kv.value, kv.lease), (Value::from("2"), LeaseId(7)));
    model.put(at(0), &keep_value).unwrap();
    let kv = model.get(at(0), &Get::of(one("a"))).unwrap().kvs.remove(0);
    assert_eq!((kv.value, kv.lease), (Value::from("2"), LeaseId::NONE));
    assert_eq!(model.put(at(0), &Put { value: "x".into(), ..keep_value }), Err(Error::ValueProvided));
}

#[test]
fn a_lease_takes_its_keys_with_it_at_one_revision() {
    let mut model = model();
    model.grant(at(0), LeaseId(7), TTL).unwrap();
    model.put(at(0), &Put::of("b", "").on(LeaseId(7))).unwrap();
    model.put(at(0), &Put::of("a", "").on(LeaseId(7))).unwrap();
    model.put(at(0), &Put::of("moved", "").on(LeaseId(7))).unwrap();
    put(&mut model, "moved", "");
    let stream = model.open_stream(at(0));
    model.watch(at(0), stream, Watch::of(Keys::From("a".into())));
    model.advance(at(9_999));
    assert_eq!(heard(&mut model, stream), ["0 created"]);
    assert_eq!(model.next_deadline(), at(10_000));
    model.advance(at(10_000));
    assert_eq!(heard(&mut model, stream), ["0 a deleted at 6", "0 b deleted at 6"]);
    assert_eq!(model.keep_alive(at(10_000), LeaseId(7)), 0);
    assert_eq!(model.revoke(at(10_000), LeaseId(7)), Err(Error::LeaseNotFound));
}

#[test]
fn a_lease_is_granted_for_two_seconds_at_least_and_under_a_free_id() {
    let mut model = model();
    assert_eq!(model.grant(at(0), LeaseId(7), 0), Ok((LeaseId(7), 2)));
    assert_eq!(model.grant(at(0), LeaseId(7), 9), Err(Error::LeaseExists));
    assert_eq!(model.grant(at(0), LeaseId(8), 9_000_000_001), Err(Error::LeaseTtlTooLarge));
    let (id, ttl) = model.grant(at(0), LeaseId::NONE, 9).unwrap();
    assert!(id.0 > 0);
    assert_eq!(ttl, 9);
    assert_eq!(model.leases(at(0)), [LeaseId(7), id]);
}

#[test]
fn a_renewed_lease_has_its_whole_ttl_again() {
    let mut model = model();
    model.grant(at(0), LeaseId(7), TTL).unwrap();
    model.put(at(0), &Put::of("a", "").on(LeaseId(7))).unwrap();
    assert_eq!(model.time_to_live(at(4_500), LeaseId(7)).unwrap().ttl, 5);
    assert_eq!(model.keep_alive(at(5_000), LeaseId(7)), TTL);
    let left = model.time_to_live(at(5_000), LeaseId(7)).unwrap();
    assert_eq!((left.ttl, left.granted, left.keys), (TTL, TTL, vec![Key::from("a")]));
    model.advance(at(14_999));
    assert_eq!(model.leases(at(14_999)).len(), 1);
    assert!(model.time_to_live(at(15_000), LeaseId(7)).is_none());
}

#[test]
fn a_lease_expires_never_early_and_up_to_half_a_second_late() {
    let mut latest = Duration::ZERO;
    let mut earliest = Duration::MAX;
    for seed in 0..100 {
        let mut model = Model::new(Options { seed, ..Options::default() });
        model.grant(at(0), LeaseId(7), TTL).unwrap();
        let late = model.next_deadline().since(at(10_000));
        assert!(model.next_deadline() >= at(10_000));
        latest = latest.max(late);
        earliest = earliest.min(late);
    }
    assert!(earliest < Duration::from_millis(50), "{earliest:?}");
    assert!(latest > Duration::from_millis(450) && latest <= Duration::from_millis(500), "{latest:?}");
}

#[test]
fn an_expired_lease_that_is_still_there_takes_a_put_but_no_renewal() {
    let mut model = (0..).map(|seed| Model::new(Options { seed, ..Options::default() })).find_map(|mut m| {
        m.grant(at(0), LeaseId(7), TTL).unwrap();
        (m.next_deadline() > at(10_100)).then_some(m)
    });
    let model = model.as_mut().unwrap();
    model.put(at(10_050), &Put::of("a", "").on(LeaseId(7))).unwrap();
    assert_eq!(model.keep_alive(at(10_060), LeaseId(7)), 0);
    assert_eq!(model.get(at(10_060), &Get::of(one("a"))).unwrap().count, 0, "renewal waits for its end");
}

#[test]
fn a_restart_or_a_new_leader_prolongs_every_lease() {
    let mut model = model();
    model.grant(at(0), LeaseId(7), TTL).unwrap();
    let stream = model.open_stream(at(0));
    model.watch(at(0), stream, Watch::of(one("a")));
    model.leader_changed(at(9_000));
    assert_eq!(model.next_deadline(), at(20_000), "and an election timeout");
    put(&mut model, "a", "1");
    assert_eq!(model.take_responses().len(), 2);
    model.restart(at(19_000));
    assert_eq!(model.next_deadline(), at(30_000));
    put(&mut model, "a", "2");
    assert!(model.take_responses().is_empty(), "its streams are gone");
}

#[test]
fn a_restored_store_hands_out_old_revisions_again_and_keeps_its_leases() {
    let mut model = model();
    model.grant(at(0), LeaseId(7), TTL).unwrap();
    put(&mut model, "a", "1");
    let snapshot = model.snapshot();
    put(&mut model, "a", "2");
    model.revoke(at(1), LeaseId(7)).unwrap();
    model.restore(at(50_000), &snapshot);
    assert_eq!(model.revision(), 2);
    assert_eq!(model.keep_alive(at(50_000), LeaseId(7)), TTL);
    assert_eq!(model.put(at(50_000), &Put::of("a", "3")).unwrap().revision, 3);
    model.restore(at(50_001), &snapshot);
    model.bump_revision(1000);
    assert_eq!(model.put(at(50_001), &Put::of("a", "3")).unwrap().revision, 1003);
    let old = Get { revision: 2, ..Get::of(one("a")) };
    assert_eq!(model.get(at(50_001), &old), Err(Error::Compacted));
}

#[test]
fn a_watch_hears_what_happens_from_now_on() {
    let mut model = model();
    put(&mut model, "a", "1");
    let stream = model.open_stream(at(0));
    model.watch(at(0), stream, Watch { previous: true, ..Watch::of(span("a", "c")) });
    put(&mut model, "a", "2");
    put(&mut model, "c", "not watched");
    model.delete(at(0), &Delete { keys: one("a"), previous: false }).unwrap();
    assert_eq!(heard(&mut model, stream), ["0 created", "0 a is 2 at 3, was 1", "0 a deleted at 5, was 2"]);
    model.cancel(at(0), stream, 0);
    put(&mut model, "a", "3");
    assert_eq!(heard(&mut model, stream), ["0 canceled 0 "]);
    model.cancel(at(0), stream, 0);
    assert!(model.take_responses().is_empty());
}

#[test]
fn a_watch_that_starts_in_the_past_waits_for_the_round() {
    let mut model = model();
    put(&mut model, "a", "1");
    put(&mut model, "a", "2");
    let stream = model.open_stream(at(0));
    model.watch(at(0), stream, Watch { start_revision: 2, ..Watch::of(one("a")) });
    put(&mut model, "a", "3");
    assert_eq!(heard(&mut model, stream), ["0 created"]);
    model.request_progress(at(0), stream);
    assert!(model.take_responses().is_empty(), "no progress while it lags");
    let round = model.next_deadline();
    assert!(round > at(0) && round <= at(100));
    model.advance(round);
    assert_eq!(heard(&mut model, stream), ["0 a is 1 at 2", "0 a is 2 at 3", "0 a is 3 at 4"]);
    put(&mut model, "a", "4");
    assert_eq!(heard(&mut model, stream), ["0 a is 4 at 5"]);
    model.request_progress(round, stream);
    let [(_, progress)] = &model.take_responses()[..] else { panic!("one response") };
    assert_eq!((progress.id, progress.revision), (-1, 5));
}

#[test]
fn a_watch_of_the_future_hears_nothing_earlier() {
    let mut model = model();
    let stream = model.open_stream(at(0));
    model.watch(at(0), stream, Watch { start_revision: 3, ..Watch::of(one("a")) });
    put(&mut model, "a", "1");
    put(&mut model, "a", "2");
    assert_eq!(heard(&mut model, stream), ["0 created", "0 a is 2 at 3"]);
}

#[test]
fn a_watch_of_what_is_compacted_is_created_and_then_canceled() {
    let mut model = model();
    put(&mut model, "a", "1");
    put(&mut model, "a", "2");
    put(&mut model, "a", "3");
    model.compact(at(0), 3).unwrap();
    let stream = model.open_stream(at(0));
    model.watch(at(0), stream, Watch { start_revision: 2, ..Watch::of(one("a")) });
    model.watch(at(0), stream, Watch { start_revision: 3, previous: true, ..Watch::of(one("a")) });
    assert_eq!(heard(&mut model, stream), ["0 created", "1 created"]);
    model.advance(at(100));
    let responses = model.take_responses();
    assert_eq!((responses[0].1.canceled, responses[0].1.compact_revision), (true, 3));
    assert_eq!(responses[0].1.revision, 0);
    assert_eq!(responses[1].1.events.len(), 2, "the compacted revision itself is still there");
    assert!(responses[1].1.events[0].previous.is_none(), "what was before it is not");
    assert!(responses[1].1.events[1].previous.is_some());
}

#[test]
fn watches_of_one_stream_have_their_own_ids() {
    let mut model = model();
    let stream = model.open_stream(at(0));
    model.watch(at(0), stream, Watch { id: 1, ..Watch::of(one("a")) });
    model.watch(at(0), stream, Watch::of(one("b")));
    model.watch(at(0), stream, Watch::of(one("b")));
    model.watch(at(0), stream, Watch { id: 1, ..Watch::of(one("c")) });
    model.watch(at(0), stream, Watch::of(span("z", "a")));
    assert_eq!(
        heard(&mut model, stream),
        [
            "1 created",
            "0 created",
            "2 created",
            "-1 created",
            "-1 canceled 0 mvcc: duplicate watch ID provided on the WatchStream",
            "-1 created",
            "-1 canceled 0 mvcc: watcher range is empty",
        ]
    );
    put(&mut model, "b", "1");
    assert_eq!(heard(&mut model, stream), ["0 b is 1 at 2", "2 b is 1 at 2"]);
}

#[test]
fn a_filtered_watch_hears_the_rest() {
    let mut model = model();
    let stream = model.open_stream(at(0));
    model.watch(at(0), stream, Watch { no_put: true, ..Watch::of(one("a")) });
    model.watch(at(0), stream, Watch { no_delete: true, ..Watch::of(one("a")) });
    put(&mut model, "a", "1");
    model.delete(at(0), &Delete { keys: one("a"), previous: false }).unwrap();
    assert_eq!(heard(&mut model, stream)[2..], ["1 a is 1 at 2", "0 a deleted at 3"]);
}

#[test]
fn a_quiet_watch_that_asked_for_it_hears_of_progress_every_ten_minutes() {
    let mut model = model();
    let stream = model.open_stream(at(0));
    model.watch(at(0), stream, Watch { progress: true, ..Watch::of(one("a")) });
    model.watch(at(0), stream, Watch::of(one("a")));
    model.take_responses();
    model.advance(at(599_999));
    assert!(model.take_responses().is_empty());
    model.advance(at(600_000));
    let [(_, progress)] = &model.take_responses()[..] else { panic!("one response") };
    assert_eq!((progress.id, progress.revision, progress.events.len()), (0, 1, 0));
}

#[test]
fn the_engines_requests_are_answered_in_its_own_words() {
    let mut model = model();
    let lease = LeaseId(7);
    let ttl = Duration::from_secs(10);
    let lock = store::Range::Key("lock".into());
    let campaign = store::Request::Txn(store::Txn {
        when: vec![store::Compare { range: lock.clone(), condition: store::Condition::Absent }],
        then: vec![store::Op::Put("lock".into(), "me".into(), lease)],
        otherwise: vec![store::Op::Get(lock)],
    });
    assert_eq!(model.perform(at(0), &campaign), Err(store::Failure::LeaseNotFound));
    let grant = store::Request::Grant { lease, ttl };
    assert_eq!(model.perform(at(0), &grant), Ok(store::Answer::Granted { ttl }));
    assert_eq!(model.perform(at(0), &grant), Err(store::Failure::LeaseExists));
    let Ok(store::Answer::Txn(won)) = model.perform(at(0), &campaign) else { panic!() };
    assert_eq!((won.succeeded, won.revision, won.origin.cluster, won.reads.len()), (true, Revision(2), 1, 0));
    let Ok(store::Answer::Txn(lost)) = model.perform(at(0), &campaign) else { panic!() };
    assert!(!lost.succeeded);
    assert_eq!(lost.reads[0][0].lease, lease);
    let renew = store::Request::KeepAlive { lease };
    assert_eq!(model.perform(at(1), &renew), Ok(store::Answer::Renewed { ttl, origin: model.origin() }));
    assert_eq!(model.perform(at(1), &store::Request::Revoke { lease }), Ok(store::Answer::Revoked));
    assert_eq!(
        model.perform(at(1), &renew),
        Ok(store::Answer::Renewed { ttl: Duration::ZERO, origin: model.origin() })
    );
    let Ok(store::Answer::Txn(won)) = model.perform(at(1), &grant).and(model.perform(at(1), &campaign))
    else {
        panic!()
    };
    assert_eq!(won.revision, Revision(4), "the revoke took the key at revision 3");
}

#[test]
fn a_leader_that_stood_still_acknowledges_what_its_successor_never_sees() {
    let mut model = model();
    let (known, later) = (LeaseId(7), LeaseId(8));
    let ttl = Duration::from_secs(10);
    let renew = |lease| store::Request::KeepAlive { lease };
    model.grant(at(0), known, 10).unwrap();
    let before = model.origin();
    model.leader_stands_still(at(1000));
    assert_eq!(model.origin(), store::Origin { term: before.term + 1, ..before });
    model.grant(at(2000), later, 10).unwrap();

    // It knows what it knew, and answers under its own term; the successor's lease runs out all the same.
    let yes = Ok(store::Answer::Renewed { ttl, origin: before });
    assert_eq!(model.perform_at_former(at(9000), &renew(known)), yes);
    assert_eq!(model.perform_at_former(at(15000), &renew(known)), yes);
    assert_eq!(model.time_to_live(at(15000), known), None);
    let no = Ok(store::Answer::Renewed { ttl: Duration::ZERO, origin: before });
    assert_eq!(model.perform_at_former(at(10000), &renew(later)), no);
    // Whatever takes a quorum is not answered.
    let read = store::Request::Txn(store::Txn::default());
    assert!(matches!(model.perform_at_former(at(16000), &read), Err(store::Failure::Indefinite(_))));

    model.former_leader_steps_down();
    let answer = model.perform_at_former(at(16000), &renew(known));
    assert_eq!(answer, Ok(store::Answer::Renewed { ttl: Duration::ZERO, origin: model.origin() }));
}
