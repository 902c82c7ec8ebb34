//! `primacy audit`: who was primary when, and what should not have been, by etcd's history.

mod page;
mod text;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use primacy::config::Settings;
use primacy::store::{Failure, Revision};
use primacy_audit::{Change, Guarded, History, Layout, Options, audit};

use crate::exit::{FOUND, Failed, HELP, WELL};
use crate::reach::{reach, run};
use crate::screen;
use crate::settings::Given;

/// Reading the past takes as long as there is of it.
const READ_WITHIN: Duration = Duration::from_secs(120);

/// What `primacy audit` is told.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct Audit {
    /// Whose elections they are
    #[arg(long, value_enum, default_value = "milvus")]
    layout: Kind,
    /// With concurrency, the prefix of an election; with leaderelection, the key of its record; give each
    #[arg(long, value_name = "NAME")]
    election: Vec<String>,
    /// Data that only the primary of ROLE may write: all keys that begin with PREFIX. Each value begins with the token, or
    /// is a JSON object with the field `token`
    #[arg(long, value_name = "ROLE=PREFIX", value_parser = guarded)]
    guarded: Vec<Guarded>,
    /// Begins at this revision of etcd's; else where its history was compacted last
    #[arg(long, value_name = "REVISION", conflicts_with = "from")]
    since: Option<i64>,
    /// Listens for so long after the past was read; when things happened is known only then
    #[arg(long, value_name = "SECONDS", default_value_t = 0, conflicts_with = "from")]
    listen: u64,
    /// Finds times without a primary that are longer than this, where it is known when things happened
    #[arg(long, value_name = "MS")]
    longest_gap_ms: Option<u64>,
    /// How far the clocks of two machines may be apart; for leaderelection, whose records tell time
    #[arg(long, value_name = "MS", default_value_t = 500)]
    clocks_ms: u64,
    /// Reads the history from this file instead of etcd
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Saves the history to this file, as JSON lines that --from reads
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// As JSON; leases are texts, since they exceed what JavaScript has as numbers
    #[arg(long)]
    json: bool,
    /// Writes a page with a timeline to this file, besides
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    given: Given,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Ours, and Milvus's of 2.5 to 3.0, below the settings' root
    #[value(alias = "primacy")]
    Milvus,
    /// Of etcd's clientv3/concurrency
    Concurrency,
    /// Of client-go's leaderelection, where its records are in etcd's keys
    Leaderelection,
}

impl Audit {
    /// Looks once. What it ends with says whether anything was found.
    pub fn run(self) -> Result<u8, Failed> {
        let settings = self.given.settings()?;
        let layout = self.layout(&settings)?;
        let options = Options {
            guarded: self.guarded.clone(),
            longest_gap: self.longest_gap_ms.map(Duration::from_millis),
            clocks: Duration::from_millis(self.clocks_ms),
        };
        let history = match &self.from {
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|error| of_file(path, &error))?;
                History::parse(&text).map_err(|error| of_file(path, &error))?
            }
            None => run(self.read(&settings, &layout, &options))?,
        };
        if let Some(path) = &self.save {
            fs::write(path, history.to_lines()).map_err(|error| of_file(path, &error))?;
        }
        let told = audit(&history, &layout, &options);
        if let Some(path) = &self.html {
            fs::write(path, page::of(&told)).map_err(|error| of_file(path, &error))?;
        }
        if self.json {
            screen::json(&told)?;
        } else {
            screen::out(&text::of(&told))?;
        }
        Ok(if told.findings.is_empty() { WELL } else { FOUND })
    }

    fn layout(&self, settings: &Settings) -> Result<Layout, Failed> {
        let named = |what| match self.election.as_slice() {
            [] => Err(Failed::usage(format!("give {what} of each election by --election"))),
            names => Ok(names.to_vec()),
        };
        Ok(match self.layout {
            Kind::Milvus if self.election.is_empty() => Layout::Milvus(settings.root.clone()),
            Kind::Milvus => {
                return Err(Failed::usage(
                    "--election is of other layouts; here all below the root are looked at",
                ));
            }
            Kind::Concurrency => Layout::Concurrency(named("the prefix")?),
            Kind::Leaderelection => Layout::LeaderElection(
                named("the key")?.into_iter().map(|name| name.as_str().into()).collect(),
            ),
        })
    }

    async fn read(&self, settings: &Settings, layout: &Layout, options: &Options) -> Result<History, Failed> {
        let reached = reach(settings)?;
        let listen = Duration::from_secs(self.listen);
        let since = self.since.map(Revision);
        let past = reached.etcd.past(&layout.ranges(options), since, READ_WITHIN, listen).await;
        let past = past.map_err(|failure| match failure {
            Failure::Refused(why) => Failed::usage(why),
            other => other.into(),
        })?;
        let changes =
            past.heard.into_iter().map(|heard| Change { event: heard.event, at: heard.at.map(ms) }).collect();
        Ok(History {
            from: past.from,
            base: past.base,
            changes,
            until: past.until,
            until_at: Some(ms(SystemTime::now())),
        })
    }
}

fn of_file(path: &Path, error: &dyn std::fmt::Display) -> Failed {
    Failed::usage(format!("{}: {error}", path.display()))
}

fn ms(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(0)
}

fn guarded(text: &str) -> Result<Guarded, String> {
    match text.split_once('=') {
        Some((role, prefix)) if !role.is_empty() && !prefix.is_empty() => {
            Ok(Guarded { role: role.into(), prefix: prefix.into() })
        }
        _ => Err("give ROLE=PREFIX, such as rootcoord=by-dev/meta/root-coord/".into()),
    }
}
