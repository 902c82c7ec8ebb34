//! `primacy watch` tells each change once.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use common::between::{Balancer, Fate};
use common::{Cluster, SOON, of_2_x, of_3_0, of_ours, primacy, ran};
use serde_json::{Value as Json, json};

/// It, and the lines that it says.
struct Watching(Child, Receiver<String>);

impl Watching {
    fn start(command: &mut Command) -> Watching {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, told) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Watching(child, told)
    }

    fn next(&self) -> String {
        self.1.recv_timeout(SOON).unwrap()
    }

    /// Without what differs each time.
    fn next_json(&self) -> Json {
        let mut line: Json = serde_json::from_str(&self.next()).unwrap();
        let fields = line.as_object_mut().unwrap();
        assert!(fields.remove("at").unwrap().as_str().unwrap().ends_with('Z'));
        assert!(fields.remove("revision").unwrap().as_i64().unwrap() > 0);
        fields.remove("address");
        line
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn each_change_is_a_line() {
    let cluster = Cluster::start();
    (7..=9).for_each(|lease| cluster.grant(lease, 60));
    cluster.put(&[("session/a-1", &of_2_x(1, "a", 7), 7), ("session/a", &of_2_x(1, "a", 7), 7)]);
    let token = cluster.put(&[("session/a", &of_2_x(1, "a", 7), 7)]).0;
    let watching = Watching::start(&mut cluster.command(&["watch", "--json"]));
    let primary = |id, token, lease: &str| json!({"role": "a", "change": "primary", "server_id": id, "token": token, "lease": lease});
    let registered = |id, version, lease: &str| json!({"role": "a", "change": "registered", "server_id": id, "version": version, "lease": lease});
    assert_eq!(watching.next_json(), primary(1, token, "7"));
    assert_eq!(watching.next_json(), registered(1, "2.6.7", "7"));

    let ours = |facts: &str| of_ours(2, "a", 8, facts);
    cluster.put(&[("session/a-2", &ours(r#""Warm":false,"Ready":false"#), 8)]);
    assert_eq!(watching.next_json(), registered(2, "3.0.0-beta", "8"));
    cluster.put(&[("session/a-2", &ours(r#""Warm":true,"Ready":false"#), 8)]);
    assert_eq!(watching.next_json(), json!({"role": "a", "change": "warm", "server_id": 2, "is_warm": true}));
    cluster.put(&[("session/a-2", &ours(&format!(r#""Warm":true,"Accepts":{token}"#)), 8)]);
    assert_eq!(
        watching.next_json(),
        json!({"role": "a", "change": "accepts", "server_id": 2, "token": token})
    );
    // A transfer: no moment without a primary.
    let next = cluster.put(&[("session/a", &of_3_0(2, "a", 8), 8)]).0;
    assert_eq!(watching.next_json(), primary(2, next, "8"));
    cluster.put(&[("session/a-2", &ours(r#""Warm":true,"Ready":true"#), 8)]);
    assert_eq!(
        watching.next_json(),
        json!({"role": "a", "change": "ready", "server_id": 2, "is_ready": true})
    );
    // A death.
    cluster.revoke(8);
    assert_eq!(watching.next_json(), json!({"role": "a", "change": "no_primary", "token": next}));
    assert_eq!(watching.next_json(), json!({"role": "a", "change": "gone", "server_id": 2}));
    cluster.put(&[("session/version", "3.0.0", 0), ("session/a-1", "?", 7)]);
    assert_eq!(watching.next_json(), json!({"change": "version", "version": "3.0.0"}));
    let broken = watching.next_json();
    assert_eq!(
        (&broken["change"], &broken["key"]),
        (&json!("unreadable"), &json!("by-dev/meta/session/a-1"))
    );
    // Of proxies and their like nothing is told.
    cluster.put(&[("session/proxy-3", &of_3_0(3, "proxy", 9).replace(r#""Exclusive":true,"#, ""), 9)]);
    cluster.delete("session/a-1");
    assert_eq!(watching.next_json(), json!({"role": "a", "change": "gone", "server_id": 1}));
}

#[test]
fn a_line_for_people_has_a_time_and_who_it_is() {
    let cluster = Cluster::start();
    cluster.grant(7, 60);
    let watching = Watching::start(&mut cluster.command(&["watch", "a"]));
    cluster.put(&[("session/b", &of_2_x(1, "b", 7), 7)]);
    let token = cluster.put(&[("session/a", &of_2_x(1, "a", 7), 7)]).0;
    let line = watching.next();
    let (at, rest) = line.split_once(' ').unwrap();
    assert_eq!(at.len(), "2026-11-27T11:20:00.000Z".len());
    assert_eq!(rest, format!("a: primary is 1 at 127.0.0.1:53101, token {token}, lease 7"));
}

#[test]
fn while_its_connections_end_again_and_again_each_change_is_told_once() {
    const COUNT: i64 = 60;
    let cluster = Cluster::start();
    cluster.grant(7, 600);
    let between = Balancer::start(&cluster.server, |_| Fate::EndsAfter(Duration::from_millis(700)));
    let mut command = primacy(&["watch", "--json", "--etcd", &format!("127.0.0.1:{}", between.port())]);
    let watching = Watching::start(&mut command);
    let mut told = Vec::new();
    for id in 1..=COUNT {
        cluster.put(&[(&format!("session/a-{id}"), &of_2_x(id, "a", 7), 7)]);
        if id % 4 == 0 {
            // Goes on when it has told all so far, and so through several watches.
            while (told.len() as i64) < id {
                let line = watching.next_json();
                assert_eq!(line["change"], "registered");
                told.push(line["server_id"].as_i64().unwrap());
            }
        }
    }
    told.sort_unstable();
    assert_eq!(told, (1..=COUNT).collect::<Vec<_>>());
}

#[test]
fn a_watch_that_can_not_begin_ends_with_why() {
    let nowhere = ran(&mut primacy(&["watch", "--etcd", "mem://x"]));
    assert_eq!(nowhere.code, 2, "{nowhere:?}");
    let nobody = ran(&mut primacy(&["watch", "--etcd", "127.0.0.1:1"]));
    assert!(nobody.code == 3 && nobody.err.contains("127.0.0.1:1"), "{nobody:?}");
}
