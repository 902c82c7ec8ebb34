//! `primacy audit` reads a real etcd's history in each layout, and says what was wrong in it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use common::{Cluster, Ran, etcdctl, of_2_x, of_3_0, of_ours, primacy, ran};
use serde_json::{Value as Json, json};

/// Of each finding its kind and key, below the root.
fn found(told: &Ran) -> Vec<(String, String)> {
    let text = |finding: &Json, name: &str| finding[name].as_str().unwrap().to_owned();
    let findings = told.json()["findings"].as_array().unwrap().clone();
    findings.iter().map(|f| (text(f, "kind"), text(f, "key").replace("by-dev/meta/", ""))).collect()
}

/// Of each primary its token, who it was, how it began and ended.
fn terms(told: &Ran, role: &str) -> Vec<Json> {
    let roles = told.json()["roles"].as_array().unwrap().clone();
    let role = roles.iter().find(|of| of["name"] == role).unwrap_or_else(|| panic!("{told:?}"));
    let terms = role["terms"].as_array().unwrap();
    terms.iter().map(|t| json!([t["token"], t["holder"], t["how"], t["ended"]["how"]])).collect()
}

#[test]
fn of_ours_it_tells_each_primary_and_a_lock_that_was_taken() {
    let cluster = Cluster::start();
    (7..=9).for_each(|lease| cluster.grant(lease, 60));
    let ours = |id, lease, facts: &str| of_ours(id, "a", lease, facts);
    cluster.put(&[("session/a-1", &ours(1, 7, r#""Warm":true"#), 7)]);
    let first = cluster.put(&[("session/a", &of_3_0(1, "a", 7), 7)]).0;
    cluster.put(&[("session/a-2", &ours(2, 8, &format!(r#""Warm":true,"Accepts":{first}"#)), 8)]);
    let second = cluster.put(&[("session/a", &of_3_0(2, "a", 8), 8)]).0;
    cluster.put(&[("data/x", &second.to_string(), 0)]);
    let clean = cluster.run(&["audit", "--guarded", "a=by-dev/meta/data/"]);
    assert_eq!(clean.code, 0, "{clean:?}");
    assert!(
        clean.out.contains("was handed it at") && clean.out.contains("nothing that should not"),
        "{clean:?}"
    );
    let third = cluster.put(&[("session/a", &of_3_0(1, "a", 7), 7)]).0;
    cluster.put(&[("data/x", &second.to_string(), 0)]);
    cluster.revoke(7);

    let folder = tempfile::tempdir().unwrap();
    let [saved, page] = ["history", "page.html"].map(|name| folder.path().join(name));
    let mut command = cluster.command(&["audit", "--json", "--guarded", "a=by-dev/meta/data/"]);
    let told = ran(command.arg("--save").arg(&saved).arg("--html").arg(&page));
    assert_eq!(told.code, 1, "{told:?}");
    let expected = [("lock_taken", "session/a"), ("wrong_token", "data/x")];
    assert_eq!(found(&told), expected.map(|(kind, key)| (kind.to_owned(), key.to_owned())));
    assert_eq!(
        terms(&told, "a"),
        [
            json!([first, "1", "won", "handed_over"]),
            json!([second, "2", "handed_over", "taken"]),
            json!([third, "1", "taken", "lease_ended"]),
        ]
    );
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("<svg") && page.contains("over that of lease 8"), "{page}");
    assert!(!page.contains("<script") && !page.contains("src="), "it needs nothing else");
    let mut again = primacy(&["audit", "--json", "--guarded", "a=by-dev/meta/data/", "--from"]);
    assert_eq!(ran(again.arg(&saved)).out, told.out, "what was saved is judged the same");

    // From a revision on: whoever was primary then is known.
    let since = cluster.run(&["audit", "--json", "--since", &second.to_string()]);
    assert_eq!(terms(&since, "a")[0], json!([second, "2", "before", "taken"]));
    etcdctl(&cluster.server, None, &format!("compact {second}"));
    assert_eq!(terms(&cluster.run(&["audit", "--json"]), "a"), terms(&since, "a"), "what is left");
    let gone = cluster.run(&["audit", "--since", &first.to_string()]);
    assert!(
        gone.code == 2 && gone.err.contains(&format!("what happened since {second} is there")),
        "{gone:?}"
    );
    let never = cluster.run(&["audit", "--since", "4711"]);
    assert!(never.code == 2 && never.err.contains("4711 is not there yet"), "{never:?}");
}

#[test]
fn of_milvus_each_form_is_told_and_a_stray_lock_found() {
    let cluster = Cluster::start();
    (7..=9).for_each(|lease| cluster.grant(lease, 60));
    // 2.5: a role of its own; 2.6: a mixcoord by its lock alone.
    cluster.put(&[("session/id", "3", 0), ("session/a-1", &of_2_x(1, "a", 7), 7)]);
    cluster.put(&[("session/a", &of_2_x(1, "a", 7), 7)]);
    cluster.put(&[("session/mixcoord-2", &of_2_x(2, "mixcoord", 8), 8)]);
    cluster.put(&[("session/mixcoord", &of_2_x(2, "mixcoord", 8), 8)]);
    cluster.revoke(8);
    // 3.0: all four, and the version.
    cluster.put(&[("session/mixcoord-3", &of_3_0(3, "mixcoord", 9), 9)]);
    let roles = ["mixcoord", "querycoord", "datacoord", "rootcoord"];
    let keys: Vec<(String, String)> =
        roles.iter().map(|role| (format!("session/{role}"), of_3_0(3, role, 9))).collect();
    let mut won: Vec<(&str, &str, i64)> = keys.iter().map(|(k, v)| (k.as_str(), v.as_str(), 9)).collect();
    won.push(("session/version", "3.0.0-beta", 0));
    cluster.put(&won);
    let clean = cluster.run(&["audit", "--layout", "milvus", "--json"]);
    assert_eq!((clean.code, found(&clean)), (0, Vec::new()), "{clean:?}");
    assert_eq!(terms(&clean, "mixcoord").len(), 2);
    assert_eq!(terms(&clean, "rootcoord").len(), 1);
    cluster.put(&[("election/rootcoord", &of_3_0(4, "rootcoord", 0), 0)]);
    let told = cluster.run(&["audit", "--json"]);
    assert_eq!(told.code, 1);
    assert!(found(&told).iter().any(|(kind, _)| kind == "two_locks"), "{told:?}");
}

#[test]
fn of_concurrency_whose_key_is_oldest_leads() {
    let cluster = Cluster::start();
    (7..=8).for_each(|lease| cluster.grant(lease, 60));
    let first = cluster.put(&[("e/7", "one", 7)]).0;
    let second = cluster.put(&[("e/8", "two", 8)]).0;
    cluster.put(&[("e/7", "proclaimed", 7)]);
    cluster.revoke(7);
    let arguments = ["audit", "--json", "--layout", "concurrency", "--election", "by-dev/meta/e"];
    let clean = cluster.run(&arguments);
    assert_eq!(clean.code, 0, "{clean:?}");
    let expected = [json!([first, "7", "won", "lease_ended"]), json!([second, "8", "won", null])];
    assert_eq!(terms(&clean, "by-dev/meta/e"), expected);
    cluster.put(&[("e/9", "three", 0)]);
    let told = cluster.run(&arguments);
    assert_eq!((told.code, found(&told)), (1, vec![("no_lease".into(), "e/9".into())]));
    let none = cluster.run(&["audit", "--layout", "concurrency"]);
    assert!(none.code == 2 && none.err.contains("--election"), "{none:?}");
}

#[test]
fn of_client_go_a_takeover_before_its_time_is_found() {
    let cluster = Cluster::start();
    let put = |who: &str, second: u32, changes: u32| {
        let at = format!("2026-01-01T00:00:{second:02}Z");
        let record = json!({"holderIdentity": who, "leaseDurationSeconds": 15, "acquireTime": at, "renewTime": at, "leaderTransitions": changes});
        cluster.put(&[("k", &record.to_string(), 0)]);
    };
    let audit =
        || cluster.run(&["audit", "--json", "--layout", "leaderelection", "--election", "by-dev/meta/k"]);
    put("a", 0, 0);
    put("b", 16, 1);
    assert_eq!(audit().code, 0, "{:?}", audit());
    put("c", 20, 2);
    let told = audit();
    assert_eq!((told.code, found(&told)), (1, vec![("early_takeover".into(), "k".into())]));
    assert_eq!(terms(&told, "by-dev/meta/k").len(), 3);
}

#[test]
fn while_it_listens_it_notes_when_things_happen() {
    let cluster = Cluster::start();
    cluster.grant(7, 60);
    cluster.put(&[("session/a-1", &of_3_0(1, "a", 7), 7)]);
    let mut command = cluster.command(&["audit", "--json", "--listen", "1"]);
    let listening = command.stdout(Stdio::piped()).spawn().unwrap();
    // Some of these are heard while it listens.
    let writing = std::thread::spawn(move || listening.wait_with_output().unwrap());
    while !writing.is_finished() {
        cluster.put(&[("session/a", &of_3_0(1, "a", 7), 7)]);
        cluster.delete("session/a");
        std::thread::sleep(Duration::from_millis(50));
    }
    let told: Json = serde_json::from_slice(&writing.join().unwrap().stdout).unwrap();
    let gaps = told["roles"][0]["gaps"].as_array().unwrap().clone();
    assert!(gaps.iter().any(|gap| gap["ms"].as_i64().is_some_and(|ms| (1..5_000).contains(&ms))), "{gaps:?}");
    assert_eq!(told["findings"], json!([]));
}

#[test]
fn a_file_that_is_no_history_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    fs::write(&path, "hello\n").unwrap();
    let told = ran(primacy(&["audit", "--from"]).arg(&path));
    assert!(told.code == 2 && told.err.contains("text: line 1: not the beginning"), "{told:?}");
}
