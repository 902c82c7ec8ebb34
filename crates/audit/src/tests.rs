//! What is found in small histories, and what is not. Whole ones, the simulation judges.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use primacy_engine::milvus::Root;
use primacy_engine::store::{KeyEvent, KeyValue, LeaseId, Revision};

use crate::{Audit, Change, Ended, Guarded, History, How, Kind, Layout, Options, audit};

/// A key, and what is put there on which lease; `None`: it is deleted.
type Put<'a> = (&'a str, Option<(&'a str, i64)>);
/// One revision.
type At<'a> = &'a [Put<'a>];

fn history(revisions: &[At<'_>]) -> History {
    let mut history = History { from: Revision(1), ..History::default() };
    let mut created = std::collections::BTreeMap::new();
    for (revision, keys) in (2..).zip(revisions) {
        for (key, put) in *keys {
            if put.is_none() {
                created.remove(key);
            }
            let now = put.map(|(value, lease)| KeyValue {
                key: (*key).into(),
                value: value.into(),
                create_revision: Revision(*created.entry(key).or_insert(revision)),
                mod_revision: Revision(revision),
                version: 1,
                lease: LeaseId(lease),
            });
            let event = KeyEvent { key: (*key).into(), revision: Revision(revision), now };
            history.changes.push(Change { event, at: Some(revision * 1000) });
        }
        history.until = Revision(revision);
    }
    history
}

fn found(told: &Audit) -> Vec<(Kind, &str, i64)> {
    told.findings.iter().map(|found| (found.kind, found.key.as_str(), found.when.revision)).collect()
}

fn terms(told: &Audit) -> Vec<(i64, &str, How, Option<Ended>)> {
    let terms = told.roles.iter().flat_map(|role| &role.terms);
    terms.map(|term| (term.token, term.holder.as_str(), term.how, term.ended.map(|end| end.how))).collect()
}

fn milvus(revisions: &[At<'_>], options: &Options) -> Audit {
    audit(&history(revisions), &Layout::Milvus(Root::join("r", "m").unwrap()), options)
}

fn record(id: i64, role: &str, rest: &str) -> String {
    format!(r#"{{"ServerID":{id},"ServerName":"{role}","Address":"h:{id}"{rest}}}"#)
}

#[test]
fn wins_transfers_and_losses_are_told_with_what_was_between_them() {
    let [one, two] = [1, 2].map(|id| record(id, "a", ""));
    let accepts = record(2, "a", r#","Primacy":{"Protocol":1,"Warm":true,"Accepts":3}"#);
    let told = milvus(
        &[
            &[("r/m/session/a-1", Some((&one, 7))), ("r/m/session/a-2", Some((&two, 8)))],
            &[("r/m/session/a", Some((&one, 7)))],
            &[("r/m/session/a-2", Some((&accepts, 8)))],
            &[("r/m/session/a", Some((&two, 8)))],
            &[("r/m/session/a", None)],
            &[("r/m/session/id", Some(("3", 0)))],
            &[("r/m/session/a", Some((&one, 7)))],
            &[("r/m/session/a", None), ("r/m/session/a-1", None)],
        ],
        &Options { longest_gap: Some(Duration::from_millis(1500)), ..Options::default() },
    );
    assert_eq!(
        terms(&told),
        [
            (3, "1", How::Won, Some(Ended::HandedOver)),
            (5, "2", How::HandedOver, Some(Ended::LockDeleted)),
            (8, "1", How::Won, Some(Ended::LeaseEnded)),
        ]
    );
    let gaps = &told.roles[0].gaps;
    assert_eq!(
        gaps.iter().map(|gap| (gap.since.when.revision, gap.ms)).collect::<Vec<_>>(),
        [(6, Some(2000)), (9, None)]
    );
    assert_eq!(found(&told), [(Kind::LongGap, "", 6)]);
}

#[test]
fn what_a_form_of_milvus_does_not_promise_is_not_asked_of_it() {
    // 2.6: the lock alone, whatever the version key says. 3.0: all four and the version.
    let [old, new] = [(1, "2.6.7"), (2, "3.0.0")]
        .map(|(id, version)| record(id, "mixcoord", &format!(r#","Version":"{version}""#)));
    let four = |put| {
        ["mixcoord", "querycoord", "datacoord", "rootcoord"].map(|role| (format!("r/m/session/{role}"), put))
    };
    let (won, gone) = (four(Some((new.as_str(), 8))), four(None));
    fn at<'a>(keys: &'a [(String, Option<(&'a str, i64)>); 4]) -> Vec<Put<'a>> {
        keys.iter().map(|(key, put)| (key.as_str(), *put)).collect()
    }
    let [mut won, gone] = [at(&won), at(&gone)];
    won.push(("r/m/session/version", Some(("3.0.0", 0))));
    let before: [At<'_>; 5] = [
        &[("r/m/session/version", Some(("3.0.0", 0)))],
        &[("r/m/session/mixcoord-1", Some((&old, 7))), ("r/m/session/mixcoord-2", Some((&new, 8)))],
        &[("r/m/session/mixcoord", Some((&old, 7)))],
        &[("r/m/session/mixcoord", None), ("r/m/session/mixcoord-1", None)],
        &won,
    ];
    let whole = [&before[..], &[&gone]].concat();
    assert_eq!(found(&milvus(&whole, &Options::default())), []);
    let partly = [&before[..], &[&gone[1..]]].concat();
    let told = milvus(&partly, &Options::default());
    assert!(told.findings.iter().all(|found| found.kind == Kind::PartialKeySet), "{told:?}");
    assert_eq!(told.findings.len(), 3, "each of the three that went");
}

#[test]
fn a_guarded_write_counts_under_the_lock_as_it_was_just_before() {
    let one = record(1, "a", "");
    let guarded = Guarded { role: "a".into(), prefix: "r/data/".into() };
    let told = milvus(
        &[
            &[("r/m/session/a-1", Some((&one, 7)))],
            &[("r/m/session/a", Some((&one, 7)))],
            &[("r/data/x", Some(("3 1 text", 0)))],
            &[("r/data/x", Some((r#"{"token":3}"#, 0)))],
            &[("r/data/y", Some(("2", 0)))],
            &[("r/m/session/a", None), ("r/data/x", Some(("3", 0)))],
            &[("r/data/x", Some(("3", 0)))],
        ],
        &Options { guarded: vec![guarded], ..Options::default() },
    );
    let expected = [
        (Kind::TokenWentBack, "r/data/y", 6),
        (Kind::WrongToken, "r/data/y", 6),
        (Kind::Unguarded, "r/data/x", 8),
    ];
    assert_eq!(found(&told), expected);
}

#[test]
fn of_concurrency_whose_key_was_created_first_leads() {
    let told = audit(
        &history(&[
            &[("e/7", Some(("one", 7)))],
            &[("e/8", Some(("two", 8)))],
            &[("e/7", Some(("proclaimed", 7)))],
            &[("e/7", None)],
            &[("other/9", Some(("x", 9)))],
            &[("e/a", Some(("three", 11)))],
            &[("e/c", Some(("four", 0)))],
        ]),
        &Layout::Concurrency(vec!["e".into()]),
        &Options::default(),
    );
    assert_eq!(terms(&told), [(2, "7", How::Won, Some(Ended::LeaseEnded)), (3, "8", How::Won, None)]);
    assert_eq!(found(&told), [(Kind::OtherRecord, "e/a", 7), (Kind::NoLease, "e/c", 8)]);
}

#[test]
fn of_client_go_the_records_tell_who_took_over_too_early() {
    let record = |who: &str, acquired: &str, renewed: &str, changes: i64| {
        format!(
            r#"{{"holderIdentity":"{who}","leaseDurationSeconds":15,"acquireTime":"2026-01-01T00:00:{acquired}Z","renewTime":"2026-01-01T00:00:{renewed}Z","leaderTransitions":{changes}}}"#
        )
    };
    let renewals = [
        record("a", "00", "00", 0),
        record("a", "00", "10", 0),
        record("b", "26", "26", 1),
        record("", "27", "27", 1),
        record("a", "28", "28", 2),
        record("b", "40", "40", 3),
        record("c", "57", "57", 3),
    ];
    let puts: Vec<[Put<'_>; 1]> = renewals.iter().map(|record| [("k", Some((record.as_str(), 0)))]).collect();
    let mut revisions: Vec<At<'_>> = puts.iter().map(|put| &put[..]).collect();
    revisions.push(&[("k", None)]);
    let options = Options { clocks: Duration::from_millis(500), ..Options::default() };
    let told = audit(&history(&revisions), &Layout::LeaderElection(vec!["k".into()]), &options);
    let expected =
        [(Kind::EarlyTakeover, "k", 7), (Kind::TokenWentBack, "k", 8), (Kind::RecordDeleted, "k", 9)];
    assert_eq!(found(&told), expected);
    let who: Vec<&str> = terms(&told).iter().map(|(_, who, ..)| *who).collect();
    assert_eq!(who, ["a", "b", "a", "b", "c"]);
}

#[test]
fn a_history_is_the_same_once_it_was_text() {
    let mut told = history(&[&[("a", Some(("x\n\"", 7)))], &[("b", None)]]);
    told.base = vec![KeyValue {
        key: (&b"\xff"[..]).into(),
        value: (&b"\x00\xfe"[..]).into(),
        create_revision: Revision(1),
        mod_revision: Revision(1),
        version: 3,
        lease: LeaseId(i64::MAX),
    }];
    told.until_at = Some(9);
    assert_eq!(History::parse(&told.to_lines()).unwrap(), told);
    for (text, named) in [
        ("", "line 1"),
        ("{}", "line 1: not the beginning"),
        ("{\"from\":1,\"until\":2}\nx", "line 2"),
        (
            "{\"from\":1,\"until\":2}\n{\"revision\":3,\"key\":\"a\"}\n{\"revision\":2,\"key\":\"a\"}",
            "line 3: revision 2",
        ),
    ] {
        let told = History::parse(text).unwrap_err().to_string();
        assert!(told.contains(named), "{told}");
    }
}
