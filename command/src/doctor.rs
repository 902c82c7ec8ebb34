//! `primacy doctor`: what stands in the way of elections, and what to do about it. It writes nothing.

mod address;
mod clock;
mod rights;

use std::collections::BTreeSet;
use std::sync::Arc;

use primacy::config::Settings;
use primacy::etcd::{Etcd, Resolver, look_up};
use primacy::log::Log;
use primacy::milvus::Role;
use serde::Serialize;

use crate::exit::{FOUND, Failed, HELP, NO_ANSWER, WELL};
use crate::finding::{Finding, Weight, findings};
use crate::reach::{reach_by, run};
use crate::settings::Given;
use crate::{screen, snapshot};
use address::Address;
use clock::Rate;

/// What `primacy doctor` is told.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct Doctor {
    /// Looks at these roles, and whether etcd's user has the rights that their candidates need; else at all that there are
    #[arg(value_name = "ROLE", value_parser = Role::parse)]
    roles: Vec<Role>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    given: Given,
}

/// What was looked at and what was found.
#[derive(Serialize)]
struct Report {
    addresses: Vec<Address>,
    /// What is as it should be.
    well: Vec<String>,
    findings: Vec<Finding>,
}

impl Doctor {
    /// Looks at all of it once.
    pub fn run(self) -> Result<u8, Failed> {
        let settings = self.given.settings()?;
        let report = run(look(&settings, &self.roles))?;
        if self.json {
            screen::json(&report)?;
        } else {
            let well = report.well.iter().map(|text| screen::well(text));
            let found = report.findings.iter().map(screen::finding);
            screen::out(&well.chain(found).map(|line| line + "\n").collect::<String>())?;
        }
        let is_wrong = report.findings.iter().any(|finding| finding.weight == Weight::Wrong);
        let is_there = report.addresses.iter().any(|address| address.member.is_some());
        Ok(if !is_there {
            NO_ANSWER
        } else if is_wrong {
            FOUND
        } else {
            WELL
        })
    }
}

async fn look(settings: &Settings, roles: &[Role]) -> Result<Report, Failed> {
    let rate = Rate::begin();
    let mut report = Report { addresses: Vec::new(), well: Vec::new(), findings: Vec::new() };
    report.findings.extend(
        settings.notices.iter().map(|text| Finding::note("settings:", text.clone(), "nothing to do")),
    );
    let (addresses, found) = address::look(settings).await?;
    report.well.extend(addresses.iter().filter_map(Address::as_text));
    report.findings.extend(found);
    report.addresses = addresses;
    if report.addresses.iter().any(|address| address.member.is_some()) {
        // What it would warn of was found already.
        let etcd = reach_by(&settings.etcd, &(Arc::new(look_up) as Resolver), Log::none())?.etcd;
        look_at_elections(&etcd, settings, roles, &mut report).await;
    }
    match rate.end(settings) {
        Ok(text) => report.well.push(text),
        Err(found) => report.findings.push(found),
    }
    report.findings.sort_by_key(|finding| finding.weight);
    Ok(report)
}

async fn look_at_elections(etcd: &Etcd, settings: &Settings, roles: &[Role], report: &mut Report) {
    let mut of_rights: BTreeSet<Role> = roles.iter().cloned().collect();
    match snapshot::cluster(etcd, &settings.root, roles).await {
        Ok(cluster) => {
            let found = findings(&cluster);
            if found.is_empty() {
                let elections = match cluster.elections.len() {
                    0 => "no election".to_owned(),
                    count => format!("elections: {count}, each with a primary"),
                };
                report.well.push(format!("keys below {}: {elections}", settings.root));
            }
            report.findings.extend(found);
            // Those of a mixcoord are no elections of their own.
            let stand = cluster.elections.iter().filter(|election| !election.candidates.is_empty());
            of_rights.extend(stand.map(|election| election.role.clone()));
        }
        Err(failed) => {
            let about = format!("keys below {}", settings.root);
            let advice = "what is missing for roles that are named, is said beside it";
            report.findings.push(Finding::wrong(about, format!("can not be read: {}", failed.why), advice));
        }
    }
    for role in of_rights {
        match rights::look(etcd, settings, &role).await {
            Ok(found) if found.is_empty() => {
                report.well.push(format!("rights: etcd's user may do what a candidate of {role} does"));
            }
            Ok(found) => report.findings.extend(found),
            Err(failure) => {
                let found = Finding::wrong(
                    "rights",
                    format!("of {role} could not be looked at: {failure}"),
                    "try again",
                );
                report.findings.push(found);
            }
        }
    }
}
