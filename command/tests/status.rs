//! `primacy status` tells the truth about a cluster: of Milvus's own coordinators, of ours, and of what is broken.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{Cluster, of_2_x, of_3_0, of_ours, primacy, ran};
use serde_json::{Value as Json, json};

const BIG: i64 = 5_007_617_984_793_799_174;

fn role<'a>(shown: &'a Json, name: &str) -> &'a Json {
    let roles = shown["roles"].as_array().unwrap();
    roles.iter().find(|role| role["role"] == name).unwrap_or(&Json::Null)
}

#[test]
fn a_mixcoord_of_milvus_3_0_and_its_standby_are_shown_with_the_four_roles() {
    let cluster = Cluster::start();
    cluster.grant(BIG, 30);
    cluster.grant(8, 30);
    let record = |role| of_3_0(1, role, BIG);
    cluster.put(&[
        ("session/id", "3", 0),
        ("session/mixcoord-1", &record("mixcoord"), BIG),
        ("session/mixcoord-2", &of_3_0(2, "mixcoord", 8), 8),
        ("session/proxy-3", &of_3_0(3, "proxy", 8).replace(r#""Exclusive":true,"#, ""), 8),
    ]);
    let token = cluster.put(&[
        ("session/mixcoord", &record("mixcoord"), BIG),
        ("session/querycoord", &record("querycoord"), BIG),
        ("session/datacoord", &record("datacoord"), BIG),
        ("session/rootcoord", &record("rootcoord"), BIG),
        ("session/version", "3.0.0-beta", 0),
    ]);
    let status = cluster.run(&["status", "--json"]);
    let shown = status.json();
    assert_eq!((status.code, &shown["findings"]), (0, &json!([])), "{status:?}");
    assert_eq!((&shown["root"], &shown["version"]), (&json!("by-dev/meta"), &json!("3.0.0-beta")));
    assert_eq!(shown["nodes"], json!({"proxy": 1}));
    for name in ["mixcoord", "querycoord", "datacoord", "rootcoord"] {
        let primary = &role(&shown, name)["primary"];
        assert_eq!(role(&shown, name)["token"], token.0);
        assert_eq!(
            (&primary["server_id"], &primary["address"], &primary["lease"], &primary["ttl_ms"]),
            (&json!(1), &json!("127.0.0.1:53101"), &json!(BIG.to_string()), &json!(30_000))
        );
        assert!((20_000..=30_000).contains(&primary["left_ms"].as_i64().unwrap()), "{primary}");
        assert_eq!(
            (&primary["warm"], &primary["ready"]),
            (&Json::Null, &Json::Null),
            "it says nothing of that"
        );
    }
    assert_eq!(role(&shown, "mixcoord")["standbys"][0]["server_id"], 2);
    assert_eq!(shown["roles"].as_array().unwrap().len(), 4);

    let text = cluster.run(&["status"]).out;
    let line = text.lines().find(|line| line.starts_with("mixcoord")).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words[..4], ["mixcoord", "primary", "1", "127.0.0.1:53101"], "{text}");
    assert_eq!(words.last().unwrap(), &token.0.to_string(), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours where there is no terminal");
    assert!(text.contains("registered besides: 1 proxy"), "{text}");
}

#[test]
fn our_standbys_stand_in_the_order_of_a_handover() {
    let cluster = Cluster::start();
    for lease in 1..=5 {
        cluster.grant(lease, 30);
    }
    let own = |id, facts: &str| of_ours(id, "rootcoord", id, facts);
    cluster.put(&[("session/rootcoord-1", &own(1, r#""Warm":true,"Ready":true,"Priority":1"#), 1)]);
    cluster.put(&[("session/rootcoord", &of_3_0(1, "rootcoord", 1), 1)]);
    // Not warm; then two that are, the second of a higher priority; then one that is never handed it.
    cluster.put(&[("session/rootcoord-2", &own(2, r#""Warm":false,"Ready":false,"Priority":9"#), 2)]);
    cluster.put(&[("session/rootcoord-3", &own(3, r#""Warm":true,"Ready":false,"Priority":1"#), 3)]);
    cluster.put(&[("session/rootcoord-4", &own(4, r#""Warm":true,"Ready":false,"Priority":2"#), 4)]);
    cluster.put(&[("session/rootcoord-5", &own(5, r#""Warm":true,"Ready":false,"Priority":0"#), 5)]);
    let status = cluster.run(&["status", "rootcoord", "--json"]);
    let shown = status.json();
    assert_eq!(status.code, 0, "{status:?}");
    let rootcoord = role(&shown, "rootcoord");
    assert_eq!((&rootcoord["primary"]["warm"], &rootcoord["primary"]["ready"]), (&json!(true), &json!(true)));
    let order: Vec<_> = rootcoord["standbys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["server_id"].as_i64().unwrap())
        .collect();
    assert_eq!(order, [4, 3, 2, 5]);
    assert_eq!(rootcoord["standbys"][2]["warm"], false);
}

#[test]
fn after_start_the_lock_is_below_election() {
    let cluster = Cluster::start();
    cluster.grant(7, 30);
    cluster.put(&[("session/a-1", &of_ours(1, "a", 7, r#""Warm":true,"Ready":false"#), 7)]);
    let token = cluster.put(&[("election/a", &of_3_0(1, "a", 7), 7)]);
    let shown = cluster.run(&["status", "--json"]).json();
    let a = role(&shown, "a");
    assert_eq!((&a["layout"], &a["token"]), (&json!("after_start"), &json!(token.0)));
    assert_eq!((&a["primary"]["server_id"], &a["primary"]["ready"]), (&json!(1), &json!(false)));
    assert_eq!(shown["findings"], json!([]));
}

#[test]
fn a_record_that_nobody_can_parse_is_shown_as_such() {
    let cluster = Cluster::start();
    cluster.grant(7, 30);
    cluster.put(&[
        ("session/a-1", "{\u{1b}[31m", 7),
        ("session/a", r#"{"ServerID":"1"}"#, 7),
        ("session/id", "x", 0),
        ("session/version", "v3", 0),
        ("session/b/c", "", 0),
    ]);
    let status = cluster.run(&["status", "--json"]);
    assert_eq!(status.code, 1, "{status:?}");
    assert!(status.found("wrong", "session/a-1")[0].contains("no JSON object"), "{status:?}");
    assert!(status.found("wrong", "session/a")[0].contains("`ServerID` is \"1\""), "{status:?}");
    assert!(status.found("wrong", "session/id")[0].contains("holds `x`"), "{status:?}");
    assert!(status.found("wrong", "session/version")[0].contains("holds `v3`"), "{status:?}");
    assert_eq!(status.found("note", "session/b/c"), ["is the key of no role"]);
    let text = cluster.run(&["status"]).out;
    assert!(text.contains("(unreadable)") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn a_lock_that_was_left_without_a_lease_is_told_with_what_to_do() {
    let cluster = Cluster::start();
    cluster.grant(7, 30);
    cluster.put(&[("session/rootcoord", &of_2_x(1, "rootcoord", 7), 0)]);
    let held = cluster.run(&["status", "--json"]);
    assert!(
        held.found("wrong", "session/rootcoord")[0].starts_with("hangs on no lease, so that nobody"),
        "{held:?}"
    );
    // The lease that it names has died: that its process has too, is then likely.
    cluster.revoke(7);
    cluster.put(&[("session/rootcoord-9", &of_2_x(9, "rootcoord", 5), 0)]);
    let left = cluster.run(&["status", "--json"]);
    assert_eq!(left.code, 1);
    assert!(left.found("wrong", "session/rootcoord")[0].contains("7, is dead: it is a leftover"), "{left:?}");
    assert!(left.found("wrong", "session/rootcoord-9")[0].contains("each mixcoord waits for it"), "{left:?}");
    let advice = left.json()["findings"][0]["advice"].as_str().unwrap().to_owned();
    assert!(
        advice.contains("127.0.0.1:53101") && advice.contains("etcdctl del by-dev/meta/session/rootcoord"),
        "{advice}"
    );
}

#[test]
fn a_lease_that_nobody_renews_is_told_before_it_ends() {
    let cluster = Cluster::start();
    cluster.grant(7, 60);
    cluster.grant(8, 6);
    cluster.put(&[("session/a-1", &of_2_x(1, "a", 7), 7), ("session/a", &of_2_x(1, "a", 7), 7)]);
    cluster.put(&[("session/a-2", &of_2_x(2, "a", 8), 8)]);
    // It is told from half of it on, and it is there for three seconds more.
    let told = loop {
        let status = cluster.run(&["status", "--json"]);
        let found = status.found("note", "session/a-2");
        match found.first() {
            Some(told) => break told.clone(),
            None => assert!(
                !role(&status.json(), "a")["standbys"][0].is_null(),
                "it is gone, and nothing was told"
            ),
        }
    };
    assert!(told.contains("lease 8, which was not renewed for"), "{told}");
    assert_eq!(cluster.run(&["status", "--json"]).found("note", "session/a-1"), [""; 0]);
}

#[test]
fn two_holders_in_two_layouts_are_told() {
    let cluster = Cluster::start();
    cluster.grant(7, 30);
    cluster.grant(8, 30);
    cluster.put(&[("session/a-1", &of_2_x(1, "a", 7), 7), ("session/a", &of_2_x(1, "a", 7), 7)]);
    cluster.put(&[("session/a-2", &of_3_0(2, "a", 8), 8), ("election/a", &of_3_0(2, "a", 8), 8)]);
    let status = cluster.run(&["status", "--json"]);
    assert!(status.found("wrong", "a")[0].starts_with("has two holders"), "{status:?}");
}

#[test]
fn a_mixcoord_that_has_lost_a_part_of_its_keys_is_told() {
    let cluster = Cluster::start();
    cluster.grant(7, 30);
    let record = |role| of_3_0(1, role, 7);
    let four = ["mixcoord", "querycoord", "datacoord", "rootcoord"];
    cluster.put(&[("session/mixcoord-1", &record("mixcoord"), 7)]);
    for role in four {
        cluster.put(&[(&format!("session/{role}"), &record(role), 7)]);
    }
    assert_eq!(cluster.run(&["status", "--json"]).json()["findings"], json!([]));
    cluster.delete("session/datacoord");
    let part = cluster.run(&["status", "--json"]);
    assert_eq!(part.found("wrong", "datacoord"), ["has no lock beside that of mixcoord"]);
    cluster.put(&[("session/datacoord", &record("datacoord"), 7)]);
    cluster.delete("session/mixcoord");
    let lost = cluster.run(&["status", "--json"]);
    assert_eq!(lost.found("wrong", "mixcoord's lock").len(), 3, "{lost:?}");
}

#[test]
fn of_milvus_2_6_the_lock_of_mixcoord_alone_is_well() {
    let cluster = Cluster::start();
    cluster.grant(7, 30);
    let record = of_2_x(1, "mixcoord", 7);
    cluster.put(&[("session/mixcoord-1", &record, 7), ("session/mixcoord", &record, 7)]);
    let status = cluster.run(&["status", "--json"]);
    assert_eq!((status.code, &status.json()["findings"]), (0, &json!([])), "{status:?}");
}

#[test]
fn a_mixcoord_older_than_the_watermark_is_told() {
    let cluster = Cluster::start();
    cluster.grant(7, 30);
    cluster.put(&[("session/mixcoord-1", &of_3_0(1, "mixcoord", 7), 7), ("session/version", "3.1.0", 0)]);
    let status = cluster.run(&["status", "--json"]);
    let told = &status.found("note", "session/mixcoord-1")[0];
    assert!(told.contains("3.0.0-beta is older than 3.1.0"), "{told}");
    assert_eq!(status.found("wrong", "mixcoord"), ["has no primary; candidates: 1"]);
}

#[test]
fn a_role_without_anybody_and_an_empty_root_are_told() {
    let cluster = Cluster::start();
    let empty = cluster.run(&["status"]);
    assert_eq!((empty.code, empty.out.as_str()), (0, "no election below by-dev/meta/session/\n"));
    let nobody = cluster.run(&["status", "rootcoord", "--json"]);
    assert_eq!((nobody.code, nobody.found("wrong", "rootcoord").len()), (1, 1), "{nobody:?}");
    let wrong = cluster.run(&["status", "rootcoord-1"]);
    assert!(wrong.code == 2 && wrong.err.contains("reads as a candidate of"), "{wrong:?}");
}

#[test]
fn what_can_not_be_reached_or_is_set_wrong_has_exit_codes_of_its_own() {
    let nowhere = ran(&mut primacy(&["status", "--etcd", "127.0.0.1:1"]));
    assert!(nowhere.code == 3 && nowhere.err.contains("127.0.0.1:1"), "{nowhere:?}");
    let unknown = ran(&mut primacy(&["status", "--set", "etcd.endpoint=a:1"]));
    assert!(unknown.code == 2 && unknown.err.contains("`etcd.endpoints`"), "{unknown:?}");
    let environment = ran(primacy(&["status"]).env("PRIMACY_ETCD_ENDPOINTS", "127.0.0.1:1"));
    assert_eq!(environment.code, 3, "{environment:?}");
}
