//! `primacy status`: who is primary of what, and who stands by.

use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use primacy::engine::plain::{BRIEF, plain};
use primacy::milvus::{Layout, Role};
use primacy::store::LeaseId;
use serde::Serialize;

use crate::cluster::{Cluster, Election, Entry};
use crate::exit::{FOUND, Failed, HELP, WELL};
use crate::finding::{Finding, Weight, findings};
use crate::reach::{reach, run};
use crate::settings::Given;
use crate::{screen, snapshot};

/// What `primacy status` is told.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct Status {
    /// Of these roles alone; else of all below the root, which wants the right to read that
    #[arg(value_name = "ROLE", value_parser = Role::parse)]
    roles: Vec<Role>,
    /// As JSON; leases are texts, since they exceed what JavaScript has as numbers
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    given: Given,
}

impl Status {
    /// Shows it once. What it ends with says whether each election has a primary and nothing is wrong.
    pub fn run(self) -> Result<u8, Failed> {
        let settings = self.given.settings()?;
        let cluster = run(async {
            let reached = reach(&settings)?;
            snapshot::cluster(&reached.etcd, &settings.root, &self.roles).await
        })?;
        let shown = Shown::new(&cluster);
        if self.json {
            screen::json(&shown)?;
        } else {
            screen::out(&shown.as_text())?;
        }
        let is_well = shown.findings.iter().all(|finding| finding.weight != Weight::Wrong);
        Ok(if is_well { WELL } else { FOUND })
    }
}

/// What is shown, as JSON has it.
#[derive(Serialize)]
pub struct Shown {
    root: String,
    revision: i64,
    /// The newest version that has been primary as mixcoord.
    version: Option<String>,
    roles: Vec<OfRole>,
    /// How many others have registered, by role.
    nodes: std::collections::BTreeMap<String, usize>,
    pub findings: Vec<Finding>,
}

#[derive(Serialize)]
struct OfRole {
    role: String,
    layout: Option<String>,
    /// The fencing token of the primary: the lock's revision.
    token: Option<i64>,
    primary: Option<One>,
    /// In the order in which primacy would be handed to them.
    standbys: Vec<One>,
}

/// A candidate. What its record does not say, or nobody can read, is null.
#[derive(Serialize)]
struct One {
    key: String,
    server_id: Option<i64>,
    address: Option<String>,
    host: Option<String>,
    version: Option<String>,
    stopping: bool,
    /// Null: it says nothing of it, as Milvus's own coordinators do not.
    warm: Option<bool>,
    ready: Option<bool>,
    priority: Option<u32>,
    /// What its key hangs on.
    lease: Option<String>,
    ttl_ms: Option<u64>,
    left_ms: Option<u64>,
    /// Why its record can not be read.
    unreadable: Option<String>,
}

impl Shown {
    pub fn new(cluster: &Cluster) -> Shown {
        let text = |kv: &primacy::store::KeyValue| plain(&kv.value.to_string(), BRIEF).into_owned();
        Shown {
            root: cluster.root.to_string(),
            revision: cluster.revision.0,
            version: cluster.version.as_ref().map(text),
            roles: cluster.elections.iter().map(|election| of_role(cluster, election)).collect(),
            nodes: cluster.nodes.clone(),
            findings: findings(cluster),
        }
    }

    fn as_text(&self) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_header([
            "ROLE", "STATE", "ID", "ADDRESS", "VERSION", "WARM", "READY", "LEASE", "LEFT", "TOKEN",
        ]);
        for of in &self.roles {
            match &of.primary {
                Some(primary) => table.add_row(primary.row(&of.role, "primary".into(), of.token)),
                None => table.add_row([of.role.as_str(), "no primary"]),
            };
            for (place, standby) in of.standbys.iter().enumerate() {
                table.add_row(standby.row(&of.role, format!("standby {}", place + 1), None));
            }
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for number in [2, 8, 9] {
            if let Some(column) = table.column_mut(number) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut text = String::new();
        if self.roles.is_empty() {
            text += &format!("no election below {}/session/\n", self.root);
        } else {
            for line in table.to_string().lines() {
                text += line.trim_end();
                text.push('\n');
            }
        }
        let nodes: Vec<String> = self.nodes.iter().map(|(role, count)| format!("{count} {role}")).collect();
        if !nodes.is_empty() {
            text += &format!("\nregistered besides: {}\n", nodes.join(", "));
        }
        if let Some(version) = &self.version {
            text += &format!("\nnewest mixcoord that has been primary: {version}\n");
        }
        if !self.findings.is_empty() {
            text.push('\n');
        }
        for finding in &self.findings {
            text += &screen::finding(finding);
            text.push('\n');
        }
        text
    }
}

fn of_role(cluster: &Cluster, election: &Election) -> OfRole {
    let lock = election.lock();
    let layout = if election.election.is_some() { Layout::AfterStart } else { Layout::Milvus };
    OfRole {
        role: election.role.to_string(),
        layout: lock.map(|_| layout.to_string()),
        token: lock.map(|lock| lock.modified.0),
        primary: lock.map(|lock| One::new(cluster, lock, cluster.own_record(election))),
        standbys: election.standbys().map(|entry| One::new(cluster, entry, Some(entry))).collect(),
    }
}

impl One {
    /// As `entry` says; and of what it says itself `own`, where its facts are.
    fn new(cluster: &Cluster, entry: &Entry, own: Option<&Entry>) -> One {
        let record = entry.record.as_ref().ok();
        let facts = own.and_then(Entry::facts);
        let said = |text: &str| (!text.is_empty()).then(|| plain(text, BRIEF).into_owned());
        let left = cluster.lease_of(entry).flatten();
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        One {
            key: entry.key.to_string(),
            server_id: entry.id.or(record.map(|record| record.server_id)),
            address: record.and_then(|record| said(&record.address)),
            host: record.and_then(|record| said(&record.host_name)),
            version: record.and_then(|record| record.version.as_ref()).map(ToString::to_string),
            stopping: record.is_some_and(|record| record.stopping),
            warm: facts.map(|facts| facts.warm),
            // A standby that was primary once is not ready now.
            ready: facts.map(|facts| facts.ready && entry.id.is_none()),
            priority: facts.map(|facts| facts.priority),
            lease: (entry.lease != LeaseId::NONE).then(|| entry.lease.to_string()),
            ttl_ms: left.map(|lease| ms(lease.granted)),
            left_ms: left.map(|lease| ms(lease.left)),
            unreadable: entry.record.as_ref().err().map(ToString::to_string),
        }
    }

    fn row(&self, role: &str, state: String, token: Option<i64>) -> Vec<String> {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
        let said = |fact: Option<bool>| fact.map_or("-", |fact| if fact { "yes" } else { "no" }).to_owned();
        let left = match (self.ttl_ms, self.left_ms, &self.lease) {
            (Some(ttl), Some(left), _) => format!("{} of {} s", left / 1000, ttl / 1000),
            (.., Some(_)) => "dead".into(),
            (.., None) => "for ever".into(),
        };
        let address = if self.unreadable.is_some() { "(unreadable)".into() } else { or_none(&self.address) };
        vec![
            role.into(),
            state,
            self.server_id.map_or_else(|| "-".into(), |id| id.to_string()),
            address,
            or_none(&self.version),
            said(self.warm),
            said(self.ready),
            or_none(&self.lease),
            left,
            token.map_or_else(String::new, |token| token.to_string()),
        ]
    }
}
