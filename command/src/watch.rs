//! `primacy watch`: a line for each change, as etcd tells it.

use std::collections::BTreeMap;
use std::time::Duration;

use primacy::config::Settings;
use primacy::host::{Store, WatchReport};
use primacy::milvus::Role;
use primacy::store::{Key, KeyEvent, KeyValue, Revision};
use serde::Serialize;
use time::OffsetDateTime;

use crate::changes::{Change, changes};
use crate::cluster::{Cluster, Leases};
use crate::exit::{Failed, HELP};
use crate::reach::{Reached, reach, run};
use crate::settings::Given;
use crate::snapshot::Scope;
use crate::{screen, snapshot};

/// A watch that has ended is opened again after so long.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What `primacy watch` is told.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct Watch {
    /// Of these roles alone; else of all below the root, which wants the right to read that
    #[arg(value_name = "ROLE", value_parser = Role::parse)]
    roles: Vec<Role>,
    /// A line of JSON for each change; leases are texts
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    given: Given,
}

/// A change, and when it was heard of.
#[derive(Serialize)]
struct Line {
    /// UTC, by this machine's clock.
    at: String,
    /// At or before which it happened.
    revision: i64,
    #[serde(flatten)]
    change: Change,
}

impl Watch {
    /// Until it is ended, or etcd denies it.
    pub fn run(self) -> Result<u8, Failed> {
        let settings = self.given.settings()?;
        run(self.follow(&settings))
    }

    async fn follow(&self, settings: &Settings) -> Result<u8, Failed> {
        let mut reached = reach(settings)?;
        let mut seen = Seen { read: Revision(0), known: BTreeMap::new(), shown: None };
        let scope = snapshot::scope(&reached.etcd, &settings.root, &self.roles).await?;
        // Says what is missing, if etcd is, or a right.
        snapshot::keys(&reached.etcd, &scope, &settings.root).await?;
        for watch in 1.. {
            reached.etcd.watch(watch, scope.ranges.clone());
            let ended = self.follow_one(settings, &mut reached, &scope, watch, &mut seen).await?;
            reached.etcd.unwatch(watch);
            anstream::eprintln!("primacy: the watch ended, and is opened again: {ended}");
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        Err(Failed::not_done("too many watches"))
    }

    /// Until this watch ends; returns why.
    async fn follow_one(
        &self,
        settings: &Settings,
        reached: &mut Reached,
        scope: &Scope,
        watch: u64,
        seen: &mut Seen,
    ) -> Result<String, Failed> {
        loop {
            match reached.reports.recv().await {
                // What came before is in what is read now; what comes after, the watch tells.
                Some(WatchReport::Confirmed { watch: of }) if of == watch => {
                    let (revision, keys) = match snapshot::keys(&reached.etcd, scope, &settings.root).await {
                        Ok(read) => read,
                        Err(failed) => return Ok(failed.why),
                    };
                    seen.read = revision;
                    seen.known =
                        keys.into_iter().map(|kv| (kv.key.clone(), (kv.mod_revision, Some(kv)))).collect();
                    self.tell(settings, seen, revision)?;
                }
                Some(WatchReport::Events { watch: of, events }) if of == watch => {
                    for (revision, events) in by_revision(events) {
                        if seen.take(revision, events) {
                            self.tell(settings, seen, revision)?;
                        }
                    }
                }
                Some(WatchReport::Ended { watch: of, why }) if of == watch => return Ok(why),
                Some(WatchReport::Panicked { why }) => return Err(Failed::not_done(why)),
                Some(_) => {}
                None => return Err(Failed::not_done("nothing more is heard of any watch")),
            }
        }
    }

    fn tell(&self, settings: &Settings, seen: &mut Seen, revision: Revision) -> Result<(), Failed> {
        let keys = seen.known.values().filter_map(|(_, kv)| kv.clone());
        let now = Cluster::new(&settings.root, revision, keys, &self.roles, Leases::new());
        let at = screen::utc(OffsetDateTime::now_utc());
        for change in changes(seen.shown.as_ref(), &now) {
            if self.json {
                screen::json(&Line { at: at.clone(), revision: revision.0, change })?;
            } else {
                screen::out(&format!("{at} {change}\n"))?;
            }
        }
        seen.shown = Some(now);
        Ok(())
    }
}

/// What is known, and what was told of it.
struct Seen {
    /// When all of them were read.
    read: Revision,
    /// Of each key how it is, and since when; `None`: it is not there.
    known: BTreeMap<Key, (Revision, Option<KeyValue>)>,
    shown: Option<Cluster>,
}

impl Seen {
    /// Takes in what is news, and says whether anything was.
    fn take(&mut self, revision: Revision, events: Vec<KeyEvent>) -> bool {
        // Before the keys are read nothing is known, and nothing is news: it is in what will be read.
        let mut is_news = false;
        for event in events {
            // What etcd tells of one range may come before what it tells of another, though that is older.
            let since = self.known.get(&event.key).map_or(self.read, |(since, _)| *since);
            if self.shown.is_some() && revision > since {
                self.known.insert(event.key, (revision, event.now));
                is_news = true;
            }
        }
        is_news
    }
}

/// All that one transaction did is one change.
fn by_revision(events: Vec<KeyEvent>) -> BTreeMap<Revision, Vec<KeyEvent>> {
    let mut sorted: BTreeMap<Revision, Vec<KeyEvent>> = BTreeMap::new();
    for event in events {
        sorted.entry(event.revision).or_default().push(event);
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(key: &str, revision: i64) -> KeyEvent {
        KeyEvent { key: key.into(), revision: Revision(revision), now: None }
    }

    #[test]
    fn what_was_read_is_no_news_and_what_comes_late_of_another_range_is() {
        let settings = primacy::config::Config::new().settings().unwrap();
        let shown = Cluster::new(&settings.root, Revision(7), [], &[], Leases::new());
        let mut seen = Seen { read: Revision(7), known: BTreeMap::new(), shown: Some(shown) };
        let mut news = |key, revision| seen.take(Revision(revision), vec![event(key, revision)]);
        assert!(!news("a", 6) && !news("a", 7), "it was read");
        assert!(news("a", 9));
        assert!(!news("a", 9) && !news("a", 8), "older than what is known");
        assert!(news("b", 8), "of another range, which etcd tells of by itself");
    }
}
