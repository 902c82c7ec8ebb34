//! `primacy doctor` finds what stands in the way of elections.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::path::Path;

use common::{
    Cluster, EtcdServer,
    between::{Balancer, Fate},
    etcdctl, of_2_x, primacy, ran,
};

#[test]
fn of_an_etcd_that_is_well_each_thing_is_told_and_nothing_is_written() {
    let cluster = Cluster::start();
    cluster.grant(7, 60);
    let record = of_2_x(1, "rootcoord", 7);
    let before = cluster.put(&[("session/rootcoord-1", &record, 7), ("session/rootcoord", &record, 7)]);
    let doctor = cluster.run(&["doctor", "rootcoord", "mixcoord", "--json"]);
    let report = doctor.json();
    // Nobody campaigns for mixcoord.
    assert_eq!((doctor.code, doctor.found("wrong", "mixcoord").len()), (1, 1), "{doctor:?}");
    assert_eq!(report["findings"].as_array().unwrap().len(), 1, "{doctor:?}");
    let [address] = report["addresses"].as_array().unwrap().as_slice() else { panic!("{doctor:?}") };
    assert!(address["member"]["version"].as_str().unwrap().starts_with("3."), "{doctor:?}");
    assert_eq!(address["member"]["is_leader"], true);
    assert!(address["median_ms"].as_f64().unwrap() > 0.0);
    let well = report["well"].to_string();
    for said in ["a candidate of rootcoord does", "a candidate of mixcoord does", "clock: runs"] {
        assert!(well.contains(said), "{well}");
    }
    let text = cluster.run(&["doctor", "rootcoord"]);
    assert!(text.code == 0 && text.out.lines().all(|line| line.starts_with("well: ")), "{text:?}");
    assert_eq!(cluster.put(&[("x", "", 0)]).0, before.0 + 1, "nothing was written");
}

#[test]
fn leftovers_and_records_that_nobody_can_parse_are_found() {
    let cluster = Cluster::start();
    cluster.put(&[("session/a", &of_2_x(1, "a", 7), 0), ("session/a-2", "[]", 0)]);
    let doctor = cluster.run(&["doctor", "--json"]);
    assert_eq!(doctor.code, 1);
    assert!(doctor.found("wrong", "session/a")[0].contains("7, is dead: it is a leftover"), "{doctor:?}");
    assert!(doctor.found("wrong", "session/a-2")[0].contains("no JSON object: it is []"), "{doctor:?}");
}

#[test]
fn each_address_that_is_none_is_told_with_why() {
    let cluster = Cluster::start();
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoints = format!(
        "localhost:{},127.0.0.1:1,no-such-host.invalid:2379,127.0.0.1:{}",
        cluster.server.port(),
        cluster.server.peer_port()
    );
    let doctor = ran(&mut primacy(&["doctor", "--json", "--etcd", &endpoints]));
    let report = doctor.json();
    assert_eq!(doctor.code, 1, "{doctor:?}");
    let refused = &doctor.found("wrong", "127.0.0.1:1")[0];
    assert!(refused.contains("Connection refused"), "{refused}");
    assert!(doctor.found("wrong", "no-such-host.invalid:2379")[0].starts_with("is not found"), "{doctor:?}");
    let peer = &doctor.found("wrong", &cluster.server.peer_port().to_string())[0];
    assert!(peer.contains("does not speak etcd's client protocol"), "{peer}");
    let is_there = |address: &&serde_json::Value| !address["member"].is_null();
    assert_eq!(report["addresses"].as_array().unwrap().iter().filter(is_there).count(), 1);

    let silent = mute.local_addr().unwrap().to_string();
    let nobody = ran(&mut primacy(&["doctor", "--json", "--etcd", &silent]));
    assert_eq!((nobody.code, nobody.found("wrong", &silent).len()), (3, 1), "{nobody:?}");
}

#[test]
fn endpoints_of_two_clusters_are_told() {
    let [one, other] = [(); 2].map(|()| EtcdServer::start());
    // Their peers differ, and so do the ids of their clusters.
    let endpoints = format!("127.0.0.1:{},127.0.0.1:{}", one.port(), other.port());
    let doctor = ran(&mut primacy(&["doctor", "--json", "--etcd", &endpoints]));
    assert_eq!(doctor.found("wrong", "etcd.endpoints"), ["lead to 2 clusters"], "{doctor:?}");
}

#[test]
fn a_server_with_known_defects_of_leases_is_told() {
    let tools =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("target/tools/etcd-3.4"));
    let Some(old) = tools.into_iter().find(|program| program.is_file()) else {
        println!("LEFT OUT: there is no etcd 3.4: `make etcd-versions`");
        return;
    };
    let cluster = Cluster::of(EtcdServer::start_program(&old, &[]));
    let doctor = cluster.run(&["doctor", "--json"]);
    let told = &doctor.found("wrong", &cluster.server.port().to_string())[0];
    assert!(
        told.contains("is old: etcd 3.4.") && told.contains("may revoke a lease that is kept alive"),
        "{told}"
    );
}

#[test]
fn an_etcd_that_is_too_slow_for_the_ttl_is_told() {
    let server = EtcdServer::start();
    let delay = Fate::Slow(std::time::Duration::from_millis(150));
    let slow = Balancer::start(&server, move |_| delay);
    let address = format!("127.0.0.1:{}", slow.port());
    let look = |ttl: &str| ran(&mut primacy(&["doctor", "--json", "--etcd", &address, "--set", ttl]));
    let doctor = look("common.session.ttl=1");
    assert!(doctor.found("wrong", &address)[0].contains("more than a quarter of a TTL of 1 s"), "{doctor:?}");
    let doctor = look("common.session.ttl=86400");
    assert_eq!(doctor.code, 0, "{doctor:?}");
}

#[test]
fn each_right_of_the_smallest_role_that_is_missing_is_told_as_it_is_granted() {
    let server = EtcdServer::start_with(&["--bcrypt-cost=4"]);
    for words in ["user add root:root", "role add root", "user grant-role root root", "auth enable"] {
        etcdctl(&server, None, words);
    }
    let guide = include_str!("../../docs/etcd.md");
    for role in ["rootcoord", "mixcoord"] {
        let grants: Vec<&str> = guide
            .lines()
            .filter(|line| line.starts_with(&format!("etcdctl role grant-permission {role} ")))
            .map(|line| line.split_once(&format!("{role} ")).unwrap().1)
            .collect();
        assert!(grants.len() >= 4, "the guide has the rights of {role}");
        etcdctl(&server, Some("root:root"), &format!("role add {role}"));
        etcdctl(&server, Some("root:root"), &format!("user add {role}:secret"));
        etcdctl(&server, Some("root:root"), &format!("user grant-role {role} {role}"));
        for granted in 0..=grants.len() {
            let doctor = ran(primacy(&["doctor", role, "--json"])
                .args(["--etcd", &format!("127.0.0.1:{}", server.port())])
                .args(["--set", "etcd.auth.enabled=true", "--set", &format!("etcd.auth.userName={role}")])
                .env("PRIMACY_ETCD_AUTH_PASSWORD", "secret"));
            let report = doctor.json();
            let mut missing: Vec<String> = Vec::new();
            for finding in report["findings"].as_array().unwrap().iter().filter(|f| f["about"] == "rights") {
                let advice = finding["advice"].as_str().unwrap();
                missing.push(advice.trim_matches('`').split_once(" NAME ").unwrap().1.to_owned());
            }
            let mut expected: Vec<String> = grants[granted..].iter().map(|text| (*text).to_owned()).collect();
            missing.sort();
            expected.sort();
            assert_eq!(missing, expected, "{doctor:?}");
            // With all of them the keys can be read as well, and it is seen that nobody campaigns.
            let is_whole = granted == grants.len();
            assert_eq!(doctor.found("wrong", role).len(), usize::from(is_whole), "{doctor:?}");
            if let Some(next) = grants.get(granted) {
                etcdctl(&server, Some("root:root"), &format!("role grant-permission {role} {next}"));
            }
        }
    }
    let port = server.port().to_string();
    let stranger = ran(primacy(&["doctor", "--json", "--etcd", &format!("127.0.0.1:{port}")])
        .args(["--set", "etcd.auth.enabled=true", "--set", "etcd.auth.userName=nobody"])
        .env("PRIMACY_ETCD_AUTH_PASSWORD", "s3cret"));
    assert!(stranger.code != 0 && stranger.found("wrong", &port)[0].contains("denied"), "{stranger:?}");
    assert!(!format!("{stranger:?}").contains("s3cret"));
}
