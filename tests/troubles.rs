//! What the host's log says while etcd denies, has no space or is away, and what etcd must allow at the least.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::etcd::EtcdServer;
use etcd_client::{AlarmAction, AlarmType, Client, ConnectOptions, Permission};
use primacy::config::Config;
use primacy::election::{Host, Reply};
use primacy::engine::{Call, CallId, Notice};
use primacy::log::{Level, Log};
use primacy::milvus::Candidate;
use primacy::observer::Observer;
use primacy::session::{OpenError, Session};

const SOON: Duration = Duration::from_secs(30);

/// What the host hears of, in order.
#[derive(Debug)]
enum Heard {
    Line(Level, String),
    Primary,
}

/// Tells of its primacy, and that it has warmed up.
struct Teller(Mutex<Sender<Heard>>);

impl Host for Teller {
    fn call(&self, _: CallId, what: &Call) -> Reply {
        if let Call::Primary { .. } = what {
            let _ = self.0.lock().unwrap().send(Heard::Primary);
        }
        if *what == Call::Warmup { Reply::Warm } else { Reply::Done }
    }
    fn cancelled(&self, _: CallId) {}
    fn notice(&self, _: &Notice) {}
    fn stopped(&self) {}
}

fn config(endpoint: &str) -> Config {
    let mut config = Config::new();
    config.set("etcd.endpoints", endpoint).unwrap();
    config.set("common.session.ttl", "5").unwrap();
    config
}

fn open(config: &Config, tell: &Sender<Heard>) -> Result<Session, OpenError> {
    let candidate = Candidate::new("127.0.0.1:1001", "host", "3.0.0".parse().unwrap()).unwrap();
    let lines = Mutex::new(tell.clone());
    let log = Log::new(move |level, text| {
        let _ = lines.lock().unwrap().send(Heard::Line(level, text.to_owned()));
    });
    Session::open(config.settings().unwrap(), candidate, log)
}

fn campaign(session: &Session, role: &str, tell: &Sender<Heard>) {
    session.register(role, Arc::new(Teller(tell.clone().into()))).unwrap().campaign();
}

fn stop(session: &Session) {
    session.stop(Duration::from_secs(2));
    session.join(SOON).unwrap();
}

/// Up to the first that is looked for: the lines that an operator sees, and the text of that one.
fn until(heard: &Receiver<Heard>, wanted: impl Fn(&Heard) -> bool) -> (Vec<String>, String) {
    let mut shown = Vec::new();
    loop {
        let next = heard.recv_timeout(SOON).unwrap_or_else(|_| panic!("not heard; before: {shown:#?}"));
        let found = wanted(&next);
        let text = match next {
            Heard::Line(level, text) if level <= Level::Info => {
                shown.push(text.clone());
                text
            }
            Heard::Line(_, text) => text,
            Heard::Primary => String::new(),
        };
        if found {
            return (shown, text);
        }
    }
}

fn line(level: Level, words: &str) -> impl Fn(&Heard) -> bool {
    move |heard| matches!(heard, Heard::Line(of, text) if *of == level && text.contains(words))
}

/// The rights that the guide grants a role, as etcdctl has them.
fn of_the_guide(role: &str) -> Vec<Permission> {
    let guide = include_str!("../docs/etcd.md");
    let grants = guide.lines().filter_map(|line| {
        let granted = line.strip_prefix(&format!("etcdctl role grant-permission {role} "))?;
        let (prefix, granted) =
            granted.strip_prefix("--prefix=true ").map_or((false, granted), |rest| (true, rest));
        let right = match granted.split_once(' ')? {
            ("read", key) => Permission::read(key),
            ("readwrite", key) => Permission::read_write(key),
            other => panic!("{other:?}"),
        };
        Some(if prefix { right.with_prefix() } else { right })
    });
    grants.collect()
}

struct Users {
    runtime: tokio::runtime::Runtime,
    root: Client,
    count: u32,
}

impl Users {
    fn of(etcd: &EtcdServer) -> Users {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let root = runtime.block_on(async {
            let mut root = Client::connect([etcd.endpoint()], None).await.unwrap();
            root.user_add("root", "secret", None).await.unwrap();
            let _ = root.role_add("root").await;
            root.user_grant_role("root", "root").await.unwrap();
            root.auth_enable().await.unwrap();
            let user = ConnectOptions::new().with_user("root", "secret").with_auto_token_refresh(true);
            Client::connect([etcd.endpoint()], Some(user)).await.unwrap()
        });
        Users { runtime, root, count: 0 }
    }

    /// A user with these rights and no others. Returns its name, which is its role's and its password too.
    fn add(&mut self, rights: impl IntoIterator<Item = Permission>) -> String {
        self.count += 1;
        let name = format!("user-{}", self.count);
        self.runtime.block_on(async {
            self.root.role_add(name.as_str()).await.unwrap();
            self.root.user_add(name.as_str(), name.as_str(), None).await.unwrap();
            self.root.user_grant_role(name.as_str(), name.as_str()).await.unwrap();
        });
        rights.into_iter().for_each(|right| self.grant(&name, right));
        name
    }

    fn grant(&mut self, role: &str, right: Permission) {
        self.runtime.block_on(self.root.role_grant_permission(role, right)).unwrap();
    }
}

fn with_user(etcd: &EtcdServer, user: &str) -> Config {
    let mut config = config(&etcd.endpoint());
    for (name, value) in [("enabled", "true"), ("userName", user), ("password", user)] {
        config.set(&format!("etcd.auth.{name}"), value).unwrap();
    }
    config
}

#[test]
fn the_role_in_the_guide_is_enough_and_nothing_of_it_too_much() {
    let etcd = EtcdServer::start_with(&["--bcrypt-cost=4"]);
    let mut users = Users::of(&etcd);
    for role in ["rootcoord", "mixcoord"] {
        let rights = of_the_guide(role);
        assert!(rights.len() >= 4, "the guide has the rights of {role}");
        for without in 0..=rights.len() {
            let left =
                rights.iter().enumerate().filter(|(i, _)| *i != without).map(|(_, right)| right.clone());
            let user = users.add(left);
            let (tell, heard) = channel();
            let Ok(session) = open(&with_user(&etcd, &user), &tell) else {
                assert!(without < rights.len(), "{role}: opens");
                continue;
            };
            campaign(&session, role, &tell);
            let (_, told) =
                until(&heard, |heard| matches!(heard, Heard::Primary | Heard::Line(Level::Error, _)));
            assert_eq!(told.is_empty(), without == rights.len(), "{role} without right {without}: {told}");
            stop(&session);
        }
    }
}

#[test]
fn a_clients_role_in_the_guide_is_enough_and_nothing_of_it_too_much() {
    let etcd = EtcdServer::start_with(&["--bcrypt-cost=4"]);
    let mut users = Users::of(&etcd);
    let rights = of_the_guide("client");
    assert_eq!(rights.len(), 3, "the guide has the rights of a client");
    for without in 0..=rights.len() {
        let left = rights.iter().enumerate().filter(|(i, _)| *i != without).map(|(_, right)| right.clone());
        let user = users.add(left);
        let settings = with_user(&etcd, &user).settings().unwrap();
        let opened = Observer::open(settings, "rootcoord", Log::none(), None);
        assert_eq!(opened.is_ok(), without == rights.len(), "without right {without}: {opened:?}");
    }
}

#[test]
fn a_candidate_that_etcd_denies_says_once_which_key_and_right_it_lacks_and_when_it_has_them() {
    let etcd = EtcdServer::start_with(&["--bcrypt-cost=4"]);
    let mut users = Users::of(&etcd);
    let user = users.add([Permission::read_write("by-dev/meta/session/").with_prefix()]);
    let (tell, heard) = channel();
    let session = open(&with_user(&etcd, &user), &tell).unwrap();
    campaign(&session, "rootcoord", &tell);
    let (shown, denied) = until(&heard, line(Level::Error, "permission denied"));
    assert!(denied.contains("rootcoord: register of by-dev/meta/session/rootcoord-1"), "{denied}");
    assert!(denied.contains("etcd's user needs read on by-dev/meta/election/rootcoord"), "{denied}");
    assert!(denied.contains("etcdctl role grant-permission"), "{denied}");
    assert_eq!(shown.len(), 1, "{shown:#?}");
    let trouble = session.snapshot().elections[0].trouble.clone().unwrap();
    assert!(trouble.contains("by-dev/meta/election/rootcoord"), "{trouble}");
    // Tried again, and not said again.
    let (shown, _) = until(&heard, line(Level::Debug, "permission denied"));
    assert_eq!(shown, [""; 0]);
    users.grant(&user, Permission::read("by-dev/meta/election/rootcoord"));
    until(&heard, line(Level::Info, "the store takes its writes again"));
    until(&heard, |heard| matches!(heard, Heard::Primary));
    stop(&session);
}

#[test]
fn without_space_a_session_that_opens_waits_and_a_candidate_says_so_once() {
    let etcd = EtcdServer::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let alarm = |action| {
        runtime.block_on(async {
            let mut root = Client::connect([etcd.endpoint()], None).await.unwrap();
            root.alarm(action, AlarmType::Nospace, None).await.unwrap();
        });
    };
    let (tell, heard) = channel();
    let standing = open(&config(&etcd.endpoint()), &tell).unwrap();
    alarm(AlarmAction::Activate);

    let mut impatient = config(&etcd.endpoint());
    impatient.set("etcd.requestTimeout", "300").unwrap();
    let failed = open(&impatient, &channel().0).unwrap_err();
    assert!(failed.may_pass() && failed.to_string().contains("alarm disarm"), "{failed}");

    campaign(&standing, "rootcoord", &tell);
    let (shown, _) = until(&heard, line(Level::Error, "etcd has no space left"));
    assert_eq!(shown.len(), 1, "{shown:#?}");
    let (tell_later, later) = channel();
    let opening = std::thread::spawn({
        let config = config(&etcd.endpoint());
        move || open(&config, &tell_later)
    });
    until(&later, line(Level::Error, "no lease: etcd has no space left"));
    until(&later, line(Level::Debug, "no lease: etcd has no space left"));
    alarm(AlarmAction::Deactivate);
    let session = opening.join().unwrap().unwrap();
    until(&later, line(Level::Info, "is granted"));
    let (shown, _) = until(&heard, |heard| matches!(heard, Heard::Primary));
    assert!(shown.iter().any(|line| line.contains("the store takes its writes again")), "{shown:#?}");
    stop(&session);
    stop(&standing);
}

/// As long as it takes to fail many times; the host sees what began, not each time.
#[test]
fn in_an_outage_a_process_says_a_few_lines_and_when_it_is_over() {
    for (how, times) in [("killed", 50), ("stopped", 8)] {
        let mut etcd = EtcdServer::start();
        let (tell, heard) = channel();
        let session = open(&config(&etcd.endpoint()), &tell).unwrap();
        campaign(&session, "rootcoord", &tell);
        until(&heard, |heard| matches!(heard, Heard::Primary));
        if how == "killed" {
            etcd.kill()
        } else {
            etcd.pause()
        }
        let mut shown = Vec::new();
        for _ in 0..times {
            let away = |heard: &Heard| matches!(heard, Heard::Line(level, text) if text.starts_with("etcd endpoint") && *level != Level::Info);
            shown.extend(until(&heard, away).0);
        }
        assert!((1..=6).contains(&shown.len()), "{how}: {shown:#?}");
        assert_eq!(
            shown.iter().filter(|line| line.starts_with("etcd endpoint")).count(),
            1,
            "{how}: {shown:#?}"
        );
        if how == "killed" {
            etcd.restart()
        } else {
            etcd.resume()
        }
        until(&heard, line(Level::Info, "is back"));
        stop(&session);
    }
}
