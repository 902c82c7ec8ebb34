//! Elections of client-go's `leaderelection`: one record, rewritten by who leads before its lease duration is over. The
//! record tells time, by the clock of who wrote it; there is no lease of etcd's.

use std::time::Duration;

use primacy_engine::store::{Key, KeyValue};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::finding::Kind;
use crate::history::Moment;
use crate::judge;
use crate::report::Report;
use crate::term::{Ended, How, Term};
use crate::when::When;

/// See the module.
pub struct Judge<'a> {
    keys: &'a [Key],
    clocks: Duration,
}

/// As client-go writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    #[serde(default)]
    holder_identity: String,
    #[serde(default)]
    lease_duration_seconds: u64,
    acquire_time: Option<String>,
    renew_time: Option<String>,
    #[serde(default)]
    leader_transitions: i64,
}

impl<'a> Judge<'a> {
    pub fn new(keys: &'a [Key], clocks: Duration) -> Judge<'a> {
        Judge { keys, clocks }
    }
}

impl judge::Judge for Judge<'_> {
    fn look(&mut self, moment: &Moment<'_>, report: &mut Report) {
        for event in moment.events.iter().filter(|event| self.keys.contains(&event.key)) {
            let key = &event.key;
            let name = key.to_string();
            let before = moment.was(key).and_then(read);
            let Some(kv) = &event.now else {
                let what = "was deleted; client-go only ever writes it";
                report.found(Kind::RecordDeleted, &name, key, moment.when, what);
                report.end_term(&name, moment.when, Ended::LockDeleted, 0);
                continue;
            };
            let Some(now) = read(kv) else {
                let what = "is no record of client-go's";
                report.found(Kind::Unreadable, &name, key, moment.when, what);
                report.end_term(&name, moment.when, Ended::LockDeleted, 0);
                continue;
            };
            if let Some(before) = &before {
                self.compare(before, &now, key, moment, report);
            }
            let holder = |record: &Record| record.holder_identity.clone();
            if report.present(&name).is_some_and(|term| term.holder == holder(&now)) {
                continue;
            }
            let how = if now.holder_identity.is_empty() { Ended::Released } else { Ended::Taken };
            report.end_term(&name, moment.when, how, 0);
            if !now.holder_identity.is_empty() {
                let since = When { revision: kv.mod_revision.0, at_ms: now.acquired().map(ms) };
                let how = if moment.is_first { How::Before } else { How::Won };
                report.begin(
                    &name,
                    Term {
                        token: kv.mod_revision.0,
                        holder: holder(&now),
                        address: None,
                        lease: None,
                        since,
                        how,
                        ended: None,
                    },
                );
            }
        }
    }
}

impl Judge<'_> {
    fn compare(&self, before: &Record, now: &Record, key: &Key, moment: &Moment<'_>, report: &mut Report) {
        let name = key.to_string();
        let is_change = before.holder_identity != now.holder_identity;
        let (was, is) = (before.leader_transitions, now.leader_transitions);
        if is < was || (is_change && !now.holder_identity.is_empty() && is == was) {
            let what = format!("counts {is} changes of leaders, after {was}");
            report.found(Kind::TokenWentBack, &name, key, moment.when, what);
        }
        if !is_change || before.holder_identity.is_empty() || now.holder_identity.is_empty() {
            return;
        }
        let end =
            before.renewed().map(|renewed| renewed + Duration::from_secs(before.lease_duration_seconds));
        if let (Some(end), Some(acquired)) = (end, now.acquired())
            && acquired + self.clocks < end
        {
            let early = (end - acquired).as_seconds_f64();
            let what = format!(
                "`{}` took over from `{}` {early:.1} s before that one's lease was over",
                now.holder_identity, before.holder_identity
            );
            report.found(Kind::EarlyTakeover, &name, key, moment.when, what);
        }
    }
}

impl Record {
    fn acquired(&self) -> Option<OffsetDateTime> {
        self.acquire_time.as_deref().and_then(parse)
    }

    fn renewed(&self) -> Option<OffsetDateTime> {
        self.renew_time.as_deref().and_then(parse)
    }
}

fn read(kv: &KeyValue) -> Option<Record> {
    serde_json::from_slice(kv.value.as_bytes()).ok()
}

fn parse(time: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(time, &Rfc3339).ok()
}

fn ms(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}
