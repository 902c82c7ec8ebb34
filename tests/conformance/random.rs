//! Random scripts, shrunk to the shortest one on which the servers still differ.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use tokio::runtime::Runtime;

use primacy::embedded::model::{
    Compare, Delete, Get, Keys, Op, Order, Put, Relation, SortBy, Target, Txn, Watch,
};
use primacy::store::{Key, LeaseId, Value};

use crate::script::{Operation, Script};
use crate::{Difference, Pair};

/// Runs `cases` random scripts; how many ran, and the shortest that failed, with what it found.
pub fn run(
    runtime: &Runtime,
    pair: &mut Pair,
    cases: u64,
    seed: u64,
) -> (usize, Option<(Script, Vec<Difference>)>) {
    let config = Config {
        cases: u32::try_from(cases).unwrap(),
        failure_persistence: None,
        max_shrink_iters: 300,
        // A script may take a second, and several when a watch lags.
        max_shrink_time: 60_000,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let ran = std::cell::Cell::new(0);
    let pair = std::cell::RefCell::new(pair);
    let found = std::cell::RefCell::new(Vec::new());
    let result = runner.run(&script(), |script| {
        ran.set(ran.get() + 1);
        let differences = runtime.block_on(pair.borrow_mut().run(&script));
        if differences.is_empty() {
            return Ok(());
        }
        if found.replace(differences).is_empty() {
            println!(
                "random script {} makes a difference; it is made smaller, for a minute at most",
                ran.get()
            );
        }
        Err(TestCaseError::fail("the servers differ"))
    });
    match result {
        Ok(()) => (ran.get(), None),
        Err(TestError::Fail(_, script)) => (ran.get(), Some((script, found.into_inner()))),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

fn key() -> impl Strategy<Value = Key> {
    select(vec!["a", "b", "c", "ab", "b/x"]).prop_map(Key::from)
}

fn value() -> impl Strategy<Value = Value> {
    select(vec!["", "1", "2", "long enough"]).prop_map(Value::from)
}

fn keys() -> impl Strategy<Value = Keys> {
    prop_oneof![
        5 => key().prop_map(Keys::One),
        3 => (key(), key()).prop_map(|(from, to)| Keys::Span { from, to }),
        2 => key().prop_map(Keys::From),
    ]
}

/// None, or one near the script's start.
fn revision() -> impl Strategy<Value = i64> {
    prop_oneof![3 => Just(0), 1 => 1..12_i64]
}

fn lease() -> impl Strategy<Value = i64> {
    prop_oneof![2 => Just(0), 2 => 1..4_i64]
}

fn get() -> impl Strategy<Value = Get> {
    let order = select(vec![Order::None, Order::Ascending, Order::Descending]);
    let by = vec![SortBy::Key, SortBy::Version, SortBy::CreateRevision, SortBy::ModRevision, SortBy::Value];
    let bound = || prop_oneof![9 => Just(0), 1 => 1..12_i64];
    let rarely = || prop::bool::weighted(0.1);
    let bounds = (bound(), bound(), bound(), bound());
    (keys(), 0..4_i64, revision(), order, select(by), rarely(), rarely(), bounds).prop_map(
        |(keys, limit, revision, order, sort_by, keys_only, count_only, bounds)| Get {
            keys,
            limit,
            revision,
            order,
            sort_by,
            keys_only,
            count_only,
            min_mod_revision: bounds.0,
            max_mod_revision: bounds.1,
            min_create_revision: bounds.2,
            max_create_revision: bounds.3,
        },
    )
}

fn put() -> impl Strategy<Value = Put> {
    let rarely = || prop::bool::weighted(0.1);
    (key(), value(), lease(), any::<bool>(), rarely(), rarely()).prop_map(
        |(key, value, lease, previous, keep_value, keep_lease)| Put {
            key,
            value,
            lease: LeaseId(lease),
            previous,
            keep_value,
            keep_lease,
        },
    )
}

fn delete(keys: impl Strategy<Value = Keys>) -> impl Strategy<Value = Delete> {
    (keys, any::<bool>()).prop_map(|(keys, previous)| Delete { keys, previous })
}

fn compare() -> impl Strategy<Value = Compare> {
    let relation = select(vec![Relation::Equal, Relation::NotEqual, Relation::Greater, Relation::Less]);
    let target = prop_oneof![
        (0..4_i64).prop_map(Target::Version),
        revision().prop_map(Target::CreateRevision),
        revision().prop_map(Target::ModRevision),
        value().prop_map(Target::Value),
        lease().prop_map(Target::Lease),
    ];
    (keys(), relation, target).prop_map(|(keys, relation, target)| Compare { keys, relation, target })
}

fn txn() -> impl Strategy<Value = Txn> {
    // Deletes that are open to the right are left out: see `differences.rs`.
    let closed = keys().prop_map(|keys| match keys {
        Keys::From(key) => Keys::One(key),
        other => other,
    });
    let op = prop_oneof![
        3 => get().prop_map(Op::Get),
        4 => put().prop_map(Op::Put),
        2 => delete(closed).prop_map(Op::Delete),
    ];
    let of =
        |op: BoxedStrategy<Op>| {
            (vec(compare(), 0..3), vec(op.clone(), 0..4), vec(op, 0..4))
                .prop_map(|(when, then, otherwise)| Txn { when, then, otherwise })
        };
    let op = op.boxed();
    let nested = prop_oneof![5 => op.clone(), 1 => of(op).prop_map(Op::Txn)].boxed();
    of(prop_oneof![5 => nested.clone(), 1 => of(nested).prop_map(Op::Txn)].boxed())
}

fn watch() -> impl Strategy<Value = Watch> {
    let rarely = || prop::bool::weighted(0.1);
    // Most from now on: one that lags costs the run a wait.
    let start = prop_oneof![5 => Just(0), 1 => 1..20_i64];
    let id = prop_oneof![4 => Just(0), 1 => 1..4_i64];
    (id, keys(), start, any::<bool>(), rarely(), rarely()).prop_map(
        |(id, keys, start_revision, previous, no_put, no_delete)| Watch {
            id,
            keys,
            start_revision,
            previous,
            no_put,
            no_delete,
            progress: false,
        },
    )
}

fn script() -> impl Strategy<Value = Script> {
    let some_lease = || 1..4_i64;
    let operation = prop_oneof![
        6 => get().prop_map(Operation::Get),
        8 => put().prop_map(Operation::Put),
        3 => delete(keys()).prop_map(Operation::Delete),
        8 => txn().prop_map(Operation::Txn),
        1 => (1..12_i64).prop_map(Operation::Compact),
        4 => (some_lease(), 50..100_i64).prop_map(|(lease, ttl)| Operation::Grant(lease, ttl)),
        1 => some_lease().prop_map(Operation::Revoke),
        1 => some_lease().prop_map(Operation::KeepAlive),
        1 => some_lease().prop_map(Operation::TimeToLive),
        1 => Just(Operation::Leases),
        2 => (0..2_usize, watch()).prop_map(|(stream, watch)| Operation::Watch(stream, watch)),
        1 => (0..2_usize, 0..4_i64).prop_map(|(stream, id)| Operation::Cancel(stream, id)),
    ];
    vec(operation, 1..30).prop_map(|operations| Script { operations })
}
