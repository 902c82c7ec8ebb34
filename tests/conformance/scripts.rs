//! Scripts written by hand: one for each rule that matters to an election, and for each odd corner.

use primacy::embedded::model::{
    Compare, Delete, Get, Keys, Op, Order, Put, Relation, SortBy, Target, Txn, Watch,
};
use primacy::store::LeaseId;

use crate::script::Operation::*;
use crate::script::{Operation, Script};

fn one(key: &str) -> Keys {
    Keys::One(key.into())
}

fn span(from: &str, to: &str) -> Keys {
    Keys::Span { from: from.into(), to: to.into() }
}

fn all() -> Keys {
    Keys::From("a".into())
}

fn get(keys: Keys) -> Operation {
    Get(Get::of(keys))
}

fn put(key: &str, value: &str) -> Operation {
    Put(Put::of(key, value))
}

fn put_on(key: &str, value: &str, lease: i64) -> Operation {
    Put(Put::of(key, value).on(LeaseId(lease)))
}

fn delete(keys: Keys) -> Operation {
    Delete(Delete { keys, previous: true })
}

fn op_put(key: &str, value: &str) -> Op {
    Op::Put(Put::of(key, value))
}

fn op_get(keys: Keys) -> Op {
    Op::Get(Get::of(keys))
}

fn op_delete(keys: Keys) -> Op {
    Op::Delete(Delete { keys, previous: true })
}

fn then(then: Vec<Op>) -> Operation {
    Txn(Txn { then, ..Txn::default() })
}

fn when(keys: Keys, relation: Relation, target: Target) -> Operation {
    Txn(Txn {
        when: vec![Compare { keys: keys.clone(), relation, target }],
        then: vec![op_get(keys.clone())],
        otherwise: vec![op_get(keys)],
    })
}

fn inner(when: Vec<Compare>, then: Vec<Op>, otherwise: Vec<Op>) -> Op {
    Op::Txn(Txn { when, then, otherwise })
}

/// Each with a name that says what it is about.
fn written() -> Vec<(&'static str, Vec<Operation>)> {
    let absent =
        |key: &str| Compare { keys: one(key), relation: Relation::Equal, target: Target::Version(0) };
    let mut scripts = vec![
        (
            "keys are created, written, deleted and created again",
            vec![
                get(one("a")),
                put("a", "1"),
                put("a", "2"),
                get(one("a")),
                delete(one("a")),
                delete(one("a")),
                put("a", "3"),
                get(one("a")),
                Put(Put { previous: true, ..Put::of("a", "4") }),
                Put(Put { previous: true, ..Put::of("b", "1") }),
                get(all()),
                delete(span("a", "b")),
                delete(all()),
                delete(span("z", "a")),
                delete(one("none")),
                put("", "empty key"),
                get(one("a")),
            ],
        ),
        (
            "the past is read at its revisions until it is compacted",
            vec![
                put("a", "1"),
                put("b", "1"),
                put("a", "2"),
                delete(one("b")),
                put("b", "2"),
                Get(Get { revision: 1, ..Get::of(all()) }),
                Get(Get { revision: 3, ..Get::of(all()) }),
                Get(Get { revision: 4, ..Get::of(all()) }),
                Get(Get { revision: 5, ..Get::of(all()) }),
                Get(Get { revision: 6, ..Get::of(all()) }),
                Get(Get { revision: 99, ..Get::of(one("a")) }),
                Get(Get { revision: 99, count_only: true, ..Get::of(one("a")) }),
                Compact(3),
                Compact(3),
                Compact(2),
                Compact(99),
                Get(Get { revision: 2, ..Get::of(all()) }),
                Get(Get { revision: 2, ..Get::of(one("none")) }),
                Get(Get { revision: 3, ..Get::of(all()) }),
                Get(Get { revision: 4, ..Get::of(all()) }),
                Compact(5),
                Get(Get { revision: 5, ..Get::of(all()) }),
                Get(Get { revision: 4, ..Get::of(all()) }),
                get(all()),
                then(vec![Op::Get(Get { revision: 4, ..Get::of(all()) }), op_put("c", "not written")]),
                then(vec![Op::Get(Get { revision: 99, ..Get::of(all()) })]),
                get(all()),
            ],
        ),
        (
            "a put keeps its value or its lease",
            vec![
                Grant(1, 100),
                Put(Put { keep_value: true, ..Put::of("a", "") }),
                Put(Put { keep_lease: true, ..Put::of("a", "x") }),
                put_on("a", "1", 1),
                Put(Put { keep_value: true, previous: true, ..Put::of("a", "") }),
                get(one("a")),
                put_on("a", "2", 1),
                Put(Put { keep_lease: true, ..Put::of("a", "3") }),
                get(one("a")),
                TimeToLive(1),
                Put(Put { keep_value: true, ..Put::of("a", "given") }),
                Put(Put { keep_lease: true, ..Put::of("a", "x").on(LeaseId(1)) }),
                put_on("a", "x", 9),
                Put(Put { keep_value: true, keep_lease: true, previous: true, ..Put::of("a", "") }),
                get(one("a")),
            ],
        ),
        (
            "a transaction sees its own writes, and all of it has one revision",
            vec![
                put("a", "1"),
                then(vec![
                    op_put("b", "2"),
                    op_get(all()),
                    op_delete(one("a")),
                    op_get(all()),
                    op_get(one("b")),
                ]),
                then(vec![op_get(all()), op_delete(one("none"))]),
                then(vec![op_delete(one("b")), op_delete(one("b")), op_delete(all())]),
                then(vec![]),
                Txn(Txn::default()),
                then(vec![
                    Op::Get(Get { revision: 1, ..Get::of(all()) }),
                    op_put("c", "1"),
                    Op::Get(Get { revision: 2, ..Get::of(all()) }),
                ]),
                then(vec![op_put("d", "1"), Op::Get(Get { revision: 4, ..Get::of(all()) })]),
                then(vec![op_put("d", "1"), Op::Get(Get { revision: 5, ..Get::of(all()) })]),
                get(all()),
            ],
        ),
        (
            "inner transactions compare with the store before the outer one",
            vec![
                then(vec![
                    op_put("a", "1"),
                    inner(
                        vec![absent("a")],
                        vec![op_put("b", "a was absent")],
                        vec![op_put("b", "a was there")],
                    ),
                    op_get(all()),
                ]),
                then(vec![
                    inner(
                        vec![absent("a")],
                        vec![],
                        vec![inner(
                            vec![absent("b")],
                            vec![op_get(one("a"))],
                            vec![op_get(one("b")), op_put("c", "1")],
                        )],
                    ),
                    inner(vec![], vec![op_put("d", "1")], vec![]),
                    op_get(all()),
                ]),
                Txn(Txn {
                    when: vec![absent("a")],
                    then: vec![inner(vec![], vec![op_put("x", "")], vec![])],
                    otherwise: vec![inner(vec![absent("z")], vec![op_put("y", "")], vec![])],
                }),
                get(all()),
            ],
        ),
        (
            "a key that may be written twice is refused",
            vec![
                then(vec![op_put("a", "1"), op_put("a", "2")]),
                then(vec![op_put("a", "1"), op_delete(one("a"))]),
                then(vec![op_delete(span("a", "c")), op_put("b", "1")]),
                then(vec![op_delete(span("a", "c")), op_put("c", "1"), op_delete(span("a", "d"))]),
                then(vec![op_delete(span("a", "c")), op_put("c", "1")]),
                then(vec![inner(vec![], vec![op_put("a", "1")], vec![op_put("a", "2")])]),
                then(vec![
                    inner(vec![], vec![op_put("a", "1")], vec![]),
                    inner(vec![], vec![], vec![op_put("a", "2")]),
                ]),
                then(vec![op_delete(one("a")), inner(vec![], vec![], vec![op_put("a", "2")])]),
                then(vec![inner(vec![], vec![op_delete(one("a"))], vec![]), op_put("a", "1")]),
                then(vec![inner(vec![], vec![op_delete(one("a"))], vec![op_put("a", "1")])]),
                Txn(Txn { when: vec![], then: vec![], otherwise: vec![op_put("a", "1"), op_put("a", "2")] }),
                Txn(Txn {
                    when: vec![absent("zz")],
                    then: vec![op_put("a", "1")],
                    otherwise: vec![op_put("a", "2")],
                }),
                get(all()),
            ],
        ),
        (
            "a transaction is not larger than 128",
            vec![
                then((0..128).map(|i| op_put(&format!("k{i}"), "")).collect()),
                then((0..129).map(|i| op_put(&format!("k{i}"), "")).collect()),
                Txn(Txn { when: vec![absent("none"); 129], ..Txn::default() }),
                Txn(Txn { when: vec![absent("none"); 128], ..Txn::default() }),
                then(vec![inner(vec![absent("none"); 127], vec![], vec![])]),
                then(vec![inner(vec![absent("none"); 128], vec![], vec![])]),
                Get(Get { count_only: true, ..Get::of(all()) }),
            ],
        ),
        (
            "leases are granted, renewed, listed and revoked",
            vec![
                Grant(1, 100),
                Grant(1, 50),
                Grant(2, 0),
                Grant(3, -5),
                Grant(0, 30),
                Grant(4, 9_000_000_000),
                Grant(5, 9_000_000_001),
                Leases,
                TimeToLive(1),
                TimeToLive(9),
                KeepAlive(1),
                KeepAlive(9),
                put_on("b", "1", 1),
                put_on("a", "1", 1),
                put_on("c", "1", 1),
                put("c", "no lease"),
                TimeToLive(1),
                put_on("d", "1", 2),
                put_on("d", "2", 1),
                TimeToLive(1),
                TimeToLive(2),
                Revoke(2),
                get(one("d")),
                Revoke(9),
                Revoke(1),
                get(all()),
                Leases,
                Revoke(1),
                put_on("a", "1", 1),
                then(vec![op_put("x", "1"), Op::Put(Put::of("y", "1").on(LeaseId(1)))]),
                get(all()),
                Grant(1, 5),
                TimeToLive(1),
                Revoke(1),
                Revoke(4),
            ],
        ),
        (
            "a campaign is won once, and again when the lease is gone",
            vec![
                Grant(1, 100),
                Grant(2, 100),
                Watch(0, Watch::of(one("lock"))),
                Txn(Txn {
                    when: vec![absent("lock")],
                    then: vec![Op::Put(Put::of("lock", "one").on(LeaseId(1)))],
                    otherwise: vec![op_get(one("lock"))],
                }),
                Txn(Txn {
                    when: vec![absent("lock")],
                    then: vec![Op::Put(Put::of("lock", "two").on(LeaseId(2)))],
                    otherwise: vec![op_get(one("lock"))],
                }),
                when(one("lock"), Relation::Equal, Target::Lease(1)),
                when(one("lock"), Relation::Equal, Target::Lease(2)),
                Revoke(1),
                Txn(Txn {
                    when: vec![absent("lock")],
                    then: vec![Op::Put(Put::of("lock", "two").on(LeaseId(2)))],
                    otherwise: vec![op_get(one("lock"))],
                }),
                when(one("lock"), Relation::Equal, Target::ModRevision(1)),
                when(one("lock"), Relation::Equal, Target::ModRevision(3)),
            ],
        ),
        (
            "a lease that is not renewed takes its keys with it",
            vec![
                Grant(1, 2),
                put_on("b", "1", 1),
                put_on("a", "1", 1),
                Watch(0, Watch { previous: true, ..Watch::of(all()) }),
                KeepAlive(1),
                Expired(1),
                get(all()),
                KeepAlive(1),
                TimeToLive(1),
                put_on("a", "1", 1),
                Revoke(1),
            ],
        ),
        (
            "a watch hears what happens from now on",
            vec![
                put("a", "1"),
                Watch(0, Watch::of(one("a"))),
                Watch(0, Watch { previous: true, ..Watch::of(span("a", "c")) }),
                Watch(0, Watch { no_put: true, ..Watch::of(all()) }),
                Watch(1, Watch { no_delete: true, ..Watch::of(all()) }),
                put("a", "2"),
                put("b", "1"),
                put("d", "1"),
                delete(one("a")),
                put("a", "3"),
                delete(all()),
                delete(all()),
                then(vec![op_put("a", "1"), op_put("b", "1"), op_delete(one("d"))]),
                Cancel(0, 1),
                put("a", "after the cancel"),
                Cancel(0, 1),
                Cancel(0, 55),
                Cancel(1, 0),
                put("a", "5"),
            ],
        ),
        (
            "watches of a stream have ids",
            vec![
                Watch(0, Watch { id: 1, ..Watch::of(one("a")) }),
                Watch(0, Watch::of(one("a"))),
                Watch(0, Watch::of(one("a"))),
                Watch(0, Watch { id: 1, ..Watch::of(one("a")) }),
                Watch(0, Watch::of(span("b", "a"))),
                Watch(0, Watch::of(span("a", "a"))),
                Cancel(0, 1),
                Watch(0, Watch { id: 1, ..Watch::of(one("b")) }),
                Watch(0, Watch { id: 1_000_000, ..Watch::of(one("b")) }),
                put("a", "1"),
                put("b", "1"),
            ],
        ),
        (
            "a watch that starts in the past hears of it",
            vec![
                put("a", "1"),
                put("a", "2"),
                put("b", "1"),
                delete(one("a")),
                Watch(0, Watch { start_revision: 1, previous: true, ..Watch::of(one("a")) }),
                Watch(0, Watch { start_revision: 3, ..Watch::of(all()) }),
                Watch(1, Watch { start_revision: 4, ..Watch::of(all()) }),
                put("a", "3"),
                put("b", "2"),
                Cancel(0, 0),
                put("a", "4"),
            ],
        ),
        (
            "a watch that starts in the future hears nothing earlier",
            vec![
                Watch(0, Watch { start_revision: 3, ..Watch::of(all()) }),
                put("a", "1"),
                put("a", "2"),
                put("a", "3"),
                put("a", "4"),
            ],
        ),
        (
            "a watch of what is compacted is created and then canceled",
            vec![
                put("a", "1"),
                put("a", "2"),
                put("a", "3"),
                put("a", "4"),
                Compact(3),
                Watch(0, Watch { start_revision: 2, ..Watch::of(one("a")) }),
                Watch(0, Watch { start_revision: 3, previous: true, ..Watch::of(one("a")) }),
                Watch(0, Watch::of(one("a"))),
                put("a", "5"),
                Cancel(0, 0),
                put("a", "6"),
                Watch(1, Watch { start_revision: -1, ..Watch::of(one("a")) }),
                put("a", "7"),
            ],
        ),
        (
            "a watch that starts where it is compacted hears a delete there",
            vec![
                put("a", "1"),
                delete(one("a")),
                put("b", "1"),
                Compact(2),
                Watch(0, Watch { start_revision: 2, ..Watch::of(all()) }),
                get(all()),
                Get(Get { revision: 2, ..Get::of(all()) }),
            ],
        ),
        (
            "a negative revision is the present to a read, and compacted to a watch and a transaction",
            vec![
                put("a", "1"),
                Get(Get { revision: -1_000_000, ..Get::of(one("a")) }),
                then(vec![Op::Get(Get { revision: -1_000_000, ..Get::of(one("a")) })]),
                Watch(0, Watch { start_revision: -1_000_000, ..Watch::of(one("a")) }),
                put("a", "2"),
                Compact(-1_000_000),
            ],
        ),
        (
            "no key is no key, but to a watch the smallest one",
            vec![
                get(one("")),
                get(Keys::From("".into())),
                get(span("", "z")),
                put("a", "1"),
                delete(one("")),
                delete(span("", "b")),
                then(vec![op_get(one(""))]),
                then(vec![op_delete(one(""))]),
                then(vec![op_put("", "1")]),
                Txn(Txn { when: vec![absent("")], ..Txn::default() }),
                Watch(0, Watch::of(one(""))),
                Watch(0, Watch::of(Keys::From("".into()))),
                Watch(0, Watch::of(span("", "b"))),
                put("a", "1"),
                put("b", "1"),
                delete(all()),
            ],
        ),
        (
            "an id that is taken is not chosen",
            vec![
                Watch(0, Watch { id: 1, ..Watch::of(one("a")) }),
                Watch(0, Watch { id: 2, ..Watch::of(one("a")) }),
                Watch(0, Watch::of(one("a"))),
                Watch(0, Watch::of(one("a"))),
                Cancel(0, 1),
                Watch(0, Watch::of(one("a"))),
            ],
        ),
        (
            "a watch that was canceled by a compaction hears nothing more",
            vec![
                put("a", "1"),
                put("a", "2"),
                Compact(2),
                Watch(0, Watch { start_revision: 1, ..Watch::of(one("a")) }),
                // The wait for what this says is long enough for the cancel.
                Cancel(0, 55),
                put("a", "3"),
                Watch(0, Watch { id: 5, ..Watch::of(one("a")) }),
                put("a", "4"),
                Cancel(0, 0),
                put("a", "5"),
            ],
        ),
        (
            "progress is told when it is asked for",
            vec![put("a", "1"), Watch(0, Watch::of(one("a"))), Progress(0), put("b", "1"), Progress(0)],
        ),
    ];
    // Every comparison, of a key that is there, of one that is not, and over ranges.
    let mut compares = vec![Grant(1, 100), put("a", "m"), put_on("a", "n", 1), put("b", "m")];
    for relation in [Relation::Equal, Relation::NotEqual, Relation::Greater, Relation::Less] {
        for keys in [one("a"), one("none"), span("a", "c"), span("x", "z"), span("c", "a"), all()] {
            for n in [0, 1, 2, 3] {
                for target in
                    [Target::Version(n), Target::CreateRevision(n), Target::ModRevision(n), Target::Lease(n)]
                {
                    compares.push(when(keys.clone(), relation, target));
                }
            }
            for value in ["", "m", "n", "z"] {
                compares.push(when(keys.clone(), relation, Target::Value(value.into())));
            }
        }
    }
    scripts.push(("every comparison", compares));
    // Every way to read a range.
    let mut reads: Vec<_> =
        [("b", "1"), ("a", "3"), ("c", "0"), ("b", "4"), ("d", "2"), ("a", "1"), ("e", "")]
            .iter()
            .map(|(k, v)| put(k, v))
            .collect();
    for sort_by in [SortBy::Key, SortBy::Version, SortBy::CreateRevision, SortBy::ModRevision, SortBy::Value]
    {
        for order in [Order::None, Order::Ascending, Order::Descending] {
            for limit in [0, 1, 2, 5, 6, -1] {
                reads.push(Get(Get { sort_by, order, limit, ..Get::of(all()) }));
                reads.push(Get(Get { sort_by, order, limit, min_mod_revision: 4, ..Get::of(all()) }));
            }
        }
    }
    for keys in
        [one("b"), span("b", "d"), span("d", "b"), span("b", "b"), Keys::From("c".into()), one("none")]
    {
        reads.push(Get(Get { keys_only: true, ..Get::of(keys.clone()) }));
        reads.push(Get(Get { count_only: true, ..Get::of(keys.clone()) }));
        reads.push(Get(Get { count_only: true, limit: 1, ..Get::of(keys.clone()) }));
        reads.push(Get(Get { keys_only: true, limit: 1, sort_by: SortBy::Value, ..Get::of(keys.clone()) }));
        reads.push(Get(Get { max_mod_revision: 4, ..Get::of(keys.clone()) }));
        reads.push(Get(Get {
            min_create_revision: 2,
            max_create_revision: 3,
            limit: 1,
            ..Get::of(keys.clone())
        }));
        reads.push(Get(Get { revision: 4, max_mod_revision: 2, ..Get::of(keys) }));
    }
    scripts.push(("every way to read a range", reads));
    scripts
}

pub fn named() -> impl Iterator<Item = (&'static str, Script)> {
    written().into_iter().map(|(name, operations)| (name, Script { operations }))
}
