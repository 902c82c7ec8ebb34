//! An etcd with what a cluster has written, and the command run on it.
#![allow(dead_code, unused_imports, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../../../tests/common/mod.rs"]
mod shared;

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use primacy::config::Config;
use primacy::etcd::Etcd;
use primacy::log::Log;
use primacy::store::{Answer, LeaseId, Op, Range, Request, Revision, Txn, TxnAnswer};
use serde_json::Value as Json;
pub use shared::between;
pub use shared::etcd::{EtcdServer, program};

pub const ROOT: &str = "by-dev/meta";
pub const SOON: Duration = Duration::from_secs(30);

/// An etcd, and a way to write there what coordinators would.
pub struct Cluster {
    pub server: EtcdServer,
    runtime: tokio::runtime::Runtime,
    etcd: Etcd,
}

impl Cluster {
    pub fn start() -> Cluster {
        Cluster::of(EtcdServer::start())
    }

    pub fn of(server: EtcdServer) -> Cluster {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut config = Config::new();
        config.set("etcd.endpoints", &server.endpoint()).unwrap();
        let _inside = runtime.enter();
        let (report, _) = tokio::sync::mpsc::unbounded_channel();
        let etcd = Etcd::new(&config.settings().unwrap().etcd, report, Log::none()).unwrap();
        drop(_inside);
        Cluster { server, runtime, etcd }
    }

    pub fn ask(&self, request: Request) -> Answer {
        self.runtime.block_on(self.etcd.call(request, SOON)).unwrap()
    }

    pub fn txn(&self, txn: Txn) -> TxnAnswer {
        match self.ask(Request::Txn(txn)) {
            Answer::Txn(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    pub fn grant(&self, lease: i64, ttl: u64) {
        self.ask(Request::Grant { lease: LeaseId(lease), ttl: Duration::from_secs(ttl) });
    }

    pub fn revoke(&self, lease: i64) {
        self.ask(Request::Revoke { lease: LeaseId(lease) });
    }

    /// All in one revision, below the root. Lease 0: on none.
    pub fn put(&self, keys: &[(&str, &str, i64)]) -> Revision {
        let put = |(key, value, lease): &(&str, &str, i64)| {
            Op::Put(format!("{ROOT}/{key}").into(), (*value).into(), LeaseId(*lease))
        };
        self.txn(Txn { then: keys.iter().map(put).collect(), ..Txn::default() }).revision
    }

    pub fn delete(&self, key: &str) {
        let key = format!("{ROOT}/{key}").as_str().into();
        self.txn(Txn { then: vec![Op::Delete(key)], ..Txn::default() });
    }

    pub fn get(&self, key: &str) -> Option<String> {
        let key = Range::Key(format!("{ROOT}/{key}").into());
        let answer = self.txn(Txn { then: vec![Op::Get(key)], ..Txn::default() });
        answer.reads[0].first().map(|kv| kv.value.to_string())
    }

    /// The command, with these arguments and the etcd.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = primacy(arguments);
        command.args(["--etcd", &format!("127.0.0.1:{}", self.server.port())]);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        ran(&mut self.command(arguments))
    }
}

/// The command with these arguments, and no settings of the environment's.
pub fn primacy(arguments: &[&str]) -> Command {
    // A shell that runs the tests in the background leaves these ignored, and so would the command.
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP,INT,QUIT", env!("CARGO_BIN_EXE_primacy")]);
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PRIMACY_") {
            command.env_remove(name);
        }
    }
    command
}

/// How it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn ran(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
}

impl Ran {
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// What was found wrong, or noted, about a key or a role.
    pub fn found(&self, weight: &str, about: &str) -> Vec<String> {
        let found = self.json()["findings"].as_array().unwrap().clone();
        let is_about = |finding: &&Json| {
            finding["weight"] == weight && finding["about"].as_str().unwrap().ends_with(about)
        };
        found.iter().filter(is_about).map(|finding| finding["what"].as_str().unwrap().to_owned()).collect()
    }
}

/// As etcdctl says it.
pub fn etcdctl(server: &EtcdServer, user: Option<&str>, words: &str) {
    let mut command = Command::new(program("etcdctl", "PRIMACY_ETCDCTL"));
    command.args(["--endpoints", &server.endpoint()]).args(words.split(' '));
    if let Some(user) = user {
        command.args(["--user", user]);
    }
    let done = ran(&mut command);
    assert_eq!(done.code, 0, "{words}: {done:?}");
}

/// A record as Milvus 3.0 writes it.
pub fn of_3_0(id: i64, role: &str, lease: i64) -> String {
    format!(
        r#"{{"ServerID":{id},"ServerName":"{role}","Address":"127.0.0.1:5310{id}","Exclusive":true,"Version":"3.0.0-beta","IndexEngineVersion":{{}},"ScalarIndexEngineVersion":{{}},"LeaseID":{lease},"HostName":"vm"}}"#
    )
}

/// As 2.6 and 2.5 do.
pub fn of_2_x(id: i64, role: &str, lease: i64) -> String {
    of_3_0(id, role, lease)
        .replace(r#""Exclusive":true,"#, r#""Exclusive":true,"TriggerKill":true,"#)
        .replace("3.0.0-beta", "2.6.7")
}

/// As we do, with facts such as `"Warm":true,"Ready":false`.
pub fn of_ours(id: i64, role: &str, lease: i64, facts: &str) -> String {
    let facts = format!(r#","Primacy":{{"Protocol":1,{facts}}}}}"#);
    of_3_0(id, role, lease).strip_suffix('}').unwrap().to_owned() + &facts
}
