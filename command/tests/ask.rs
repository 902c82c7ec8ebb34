//! `primacy transfer` and `primacy resign` ask a primary, say what comes of it, and leave nothing behind.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{Cluster, Ran, SOON, of_3_0, of_ours, primacy};
use serde_json::{Value as Json, json};

/// A candidate of `worker`, which ends with its test.
struct Candidate(Child);

impl Drop for Candidate {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn candidate(cluster: &Cluster, address: &str) -> Candidate {
    let mut command = primacy(&["run", "worker", "--address", address, "--set", "common.session.ttl=3"]);
    command.args(["--etcd", &format!("127.0.0.1:{}", cluster.server.port()), "--", "sleep", "600"]);
    Candidate(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

fn until<T>(what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + SOON;
    loop {
        if let Some(found) = holds() {
            return found;
        }
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The primary, once it is ready, and who stands by, once all of these are warm.
fn settled(cluster: &Cluster, standbys: usize) -> (Json, Vec<Json>) {
    until("a primary that is ready, and warm standbys", || {
        let shown = cluster.run(&["status", "worker", "--json"]).json()["roles"][0].clone();
        let others = shown["standbys"].as_array()?.clone();
        let warm = others.iter().filter(|other| other["warm"] == true).count();
        (shown["primary"]["ready"] == true && warm == standbys).then(|| {
            let mut primary = shown["primary"].clone();
            primary["token"] = shown["token"].clone();
            (primary, others)
        })
    })
}

fn who(one: &Json) -> Json {
    json!({"server_id": one["server_id"], "address": one["address"], "token": one["token"]})
}

/// That it was asked in vain, and left the record as it was.
fn asked_in_vain(cluster: &Cluster, arguments: &[&str], key: &str, outcome: &str) -> Ran {
    let before = cluster.get(key);
    let ran = cluster.run(&[arguments, &["--json", "--timeout-ms", "300"]].concat());
    assert_eq!((ran.code, &ran.json()["outcome"]), (1, &json!(outcome)), "{ran:?}");
    assert_eq!(cluster.get(key), before, "{ran:?}");
    ran
}

#[test]
fn a_transfer_goes_to_the_standby_that_is_named_or_to_nobody() {
    let cluster = Cluster::start();
    let _first = candidate(&cluster, "a:1");
    settled(&cluster, 0);
    let _second = candidate(&cluster, "b:2");
    let (primary, others) = settled(&cluster, 1);
    let none = cluster.run(&["transfer", "worker", "--to", "99", "--json"]);
    assert_eq!((none.code, &none.json()["outcome"]), (1, &json!("refused")), "{none:?}");
    assert!(none.json()["why"].as_str().unwrap().contains("worker has no other candidate 99"), "{none:?}");
    let told = cluster.run(&["transfer", "worker", "--to", "nobody:1"]);
    assert!(told.code == 1 && told.err.contains("no standby of worker is at nobody:1"), "{told:?}");
    assert_eq!(settled(&cluster, 1).0["token"], primary["token"]);

    let asked = cluster.run(&["transfer", "worker", "--to", "b:2", "--json"]);
    let (now, _) = settled(&cluster, 1);
    assert_eq!((asked.code, &asked.json()["outcome"]), (0, &json!("done")), "{asked:?}");
    assert_eq!(asked.json()["was"], who(&primary));
    assert_eq!(asked.json()["primary"], who(&now));
    assert_eq!(now["server_id"], others[0]["server_id"]);
    assert!(!cluster.get(&format!("session/worker-{}", primary["server_id"])).unwrap().contains("Asked"));

    let id = primary["server_id"].to_string();
    // The primary may not have heard yet that the other one is warm: then it says so.
    let back = until("the way back", || {
        let back = cluster.run(&["transfer", "worker", "--to", &id]);
        (back.code == 0).then_some(back)
    });
    assert!(back.out.starts_with(&format!("worker: primary is {id} at a:1, token ")), "{back:?}");
}

#[test]
fn who_is_asked_to_resign_does_and_alone_only_by_force() {
    let cluster = Cluster::start();
    let _first = candidate(&cluster, "a:1");
    let (alone, _) = settled(&cluster, 0);
    let refused = cluster.run(&["resign", "worker"]);
    assert!(refused.code == 1 && refused.err.contains("nobody stands by"), "{refused:?}");
    assert_eq!(settled(&cluster, 0).0["token"], alone["token"]);
    let forced = cluster.run(&["resign", "worker", "--force", "--json"]);
    assert_eq!((forced.code, &forced.json()["outcome"]), (0, &json!("done")), "{forced:?}");
    assert!(forced.json()["primary"]["token"].as_i64() > alone["token"].as_i64(), "{forced:?}");
    let _second = candidate(&cluster, "b:2");
    let (_, others) = settled(&cluster, 1);
    let asked = cluster.run(&["resign", "worker", "--json"]);
    assert_eq!((asked.code, &asked.json()["outcome"]), (0, &json!("done")), "{asked:?}");
    assert_eq!(asked.json()["primary"]["server_id"], others[0]["server_id"], "{asked:?}");
}

#[test]
fn who_can_not_be_asked_is_not_and_what_to_do_is_said() {
    let cluster = Cluster::start();
    let nobody = cluster.run(&["transfer", "rootcoord"]);
    assert!(nobody.code == 1 && nobody.err.contains("nobody is primary of rootcoord"), "{nobody:?}");
    cluster.grant(7, 60);
    let record = |role| of_3_0(1, role, 7);
    cluster.put(&[("session/mixcoord-1", &record("mixcoord"), 7)]);
    cluster
        .put(&[("session/mixcoord", &record("mixcoord"), 7), ("session/rootcoord", &record("rootcoord"), 7)]);
    let ran = asked_in_vain(&cluster, &["transfer", "mixcoord"], "session/mixcoord-1", "not_understood");
    assert!(ran.json()["why"].as_str().unwrap().contains("SIGTERM"), "{ran:?}");
    let ran = asked_in_vain(&cluster, &["transfer", "rootcoord"], "session/mixcoord-1", "refused");
    assert!(ran.json()["why"].as_str().unwrap().contains("holds more than rootcoord"), "{ran:?}");

    cluster.grant(8, 60);
    let said = of_ours(2, "worker", 8, r#""Warm":false,"Ready":true,"Priority":1"#);
    cluster.put(&[("session/worker-2", &said, 8)]);
    cluster.put(&[("session/worker", &of_3_0(2, "worker", 8), 8)]);
    // What it says is older than the lock: of an earlier win.
    let ran = asked_in_vain(&cluster, &["transfer", "worker"], "session/worker-2", "refused");
    assert!(ran.json()["why"].as_str().unwrap().contains("just become primary"), "{ran:?}");
}

#[test]
fn what_is_not_answered_in_time_is_taken_back() {
    let cluster = Cluster::start();
    cluster.grant(8, 60);
    let said = of_ours(2, "worker", 8, r#""Warm":false,"Later":[ 1 ],"Ready":true,"Priority":1"#);
    cluster.put(&[("session/worker", &of_3_0(2, "worker", 8), 8)]);
    cluster.put(&[("session/worker-2", &said, 8)]);
    let ran = asked_in_vain(&cluster, &["transfer", "worker"], "session/worker-2", "unanswered");
    assert!(ran.json()["why"].as_str().unwrap().contains("taken back"), "{ran:?}");
}

#[test]
fn what_was_taken_is_not_taken_back() {
    let cluster = Cluster::start();
    cluster.grant(8, 60);
    let facts = r#""Warm":false,"Ready":true,"Priority":1"#;
    let token = cluster.put(&[("session/worker", &of_3_0(2, "worker", 8), 8)]);
    cluster.put(&[("session/worker-2", &of_ours(2, "worker", 8, facts), 8)]);
    let taken = of_ours(2, "worker", 8, &format!(r#"{facts},"Takes":{token}"#));
    let (code, told) = answered(&cluster, "3000", &taken);
    assert_eq!((code, &told["outcome"]), (Some(1), &json!("under_way")), "{told}");
    assert_eq!(cluster.get("session/worker-2"), Some(taken));
}

/// The command asks the primary, which writes this instead of what is asked.
fn answered(cluster: &Cluster, timeout_ms: &str, record: &str) -> (Option<i32>, Json) {
    let arguments = ["resign", "worker", "--force", "--json", "--timeout-ms", timeout_ms];
    let mut asking = cluster.command(&arguments);
    let asking = asking.stdout(Stdio::piped()).spawn().unwrap();
    until("it is asked", || cluster.get("session/worker-2").filter(|record| record.contains("Asked")));
    cluster.put(&[("session/worker-2", record, 8)]);
    let done = asking.wait_with_output().unwrap();
    (done.status.code(), serde_json::from_slice(&done.stdout).unwrap())
}

#[test]
fn who_takes_it_out_without_a_word_knows_of_no_request() {
    let cluster = Cluster::start();
    cluster.grant(8, 60);
    let said = of_ours(2, "worker", 8, r#""Warm":false,"Ready":true,"Priority":1"#);
    cluster.put(&[("session/worker", &of_3_0(2, "worker", 8), 8)]);
    cluster.put(&[("session/worker-2", &said, 8)]);
    let (code, told) = answered(&cluster, "3000", &said);
    assert_eq!((code, &told["outcome"]), (Some(1), &json!("not_understood")), "{told}");
}
