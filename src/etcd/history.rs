//! What happened to some keys: from a revision that is not compacted yet until now, and for a while on.
//!
//! One stream of watches that start in the past, on one member. How the keys were before is read at that revision. When
//! the watches have caught up, the member says so; versions below 3.4.25 and 3.5.8 may say it too soon. So what was heard
//! is put together, and must lead to what is there.

use super::Etcd;
use super::connection::{Connection, WatchCreateRequest, WatchProgressRequest, WatchRequest};
use super::failure::Fault;
use super::translate::{self, Bounds};
use crate::in_time::timeout_at;
use crate::log::{BRIEF, plain};
use crate::store::{Failure, Key, KeyEvent, KeyValue, Range, Revision};
use etcd_client::GetOptions;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How often a member is asked whether its watches have caught up.
const ASKED_EVERY: Duration = Duration::from_millis(200);

/// What happened to some keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// At which the keys were as `base` has them.
    pub from: Revision,
    /// All that were there.
    pub base: Vec<KeyValue>,
    /// What happened since, by revision.
    pub heard: Vec<Heard>,
    /// Up to which nothing is missing.
    pub until: Revision,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// What happened.
    pub event: KeyEvent,
    /// When it was heard of; `None`: it had happened before anybody listened.
    pub at: Option<SystemTime>,
}

/// Why a try gave nothing.
enum Missed {
    /// What is older than this revision is gone.
    Compacted(Revision),
    Fault(Fault),
}

impl Etcd {
    /// What happened to these keys after revision `from`, or since the last compaction, until now; and then for `listen`
    /// longer. Reading what was ends within `timeout`.
    ///
    /// # Errors
    /// See [`Failure`]; [`Failure::Refused`] if `from` is compacted, or not there yet. Never as [`Failure::Indefinite`].
    pub async fn past(
        &self,
        ranges: &[Range],
        from: Option<Revision>,
        timeout: Duration,
        listen: Duration,
    ) -> Result<Past, Failure> {
        let bounds: Vec<Bounds> = ranges.iter().map(Bounds::of).collect::<Result<_, _>>()?;
        let until = Instant::now() + timeout;
        let mut begin = from.unwrap_or(Revision(1));
        loop {
            let read = self
                .ask(timeout + listen, |connection| {
                    let (connection, bounds) = (connection.clone(), bounds.clone());
                    async move {
                        match past(&connection, &bounds, begin, until, listen).await {
                            Ok(past) => Ok(Ok(past)),
                            Err(Missed::Compacted(at)) => Ok(Err(at)),
                            Err(Missed::Fault(fault)) => Err(fault),
                        }
                    }
                })
                .await?;
            match (read.1, from) {
                (Ok(past), _) => return Ok(past),
                (Err(at), Some(from)) => {
                    return Err(Failure::Refused(format!(
                        "revision {from} is compacted; what happened since {at} is there"
                    )));
                }
                (Err(at), None) if at > begin => begin = at,
                (Err(_), None) => {
                    return Err(Failure::Unreachable("it compacts faster than it is read".into()));
                }
            }
        }
    }
}

/// One try, on one member.
async fn past(
    connection: &Arc<Connection>,
    bounds: &[Bounds],
    from: Revision,
    until: Instant,
    listen: Duration,
) -> Result<Past, Missed> {
    let (present, there) = keys(connection, bounds, 0).await.map_err(Missed::Fault)?;
    if from > present {
        let why = format!("revision {from} is not there yet; the last one is {present}");
        return Err(Missed::Fault(Fault::Answered(Failure::Refused(why))));
    }
    let (ask, requests) = mpsc::channel(bounds.len() + 1);
    for (id, bounds) in (0..).zip(bounds) {
        let create = WatchCreateRequest {
            key: bounds.from.clone(),
            range_end: bounds.to.clone().unwrap_or_default(),
            start_revision: from.0 + 1,
            watch_id: id,
        };
        let _ = ask.try_send(WatchRequest { create: Some(create), ..WatchRequest::default() });
    }
    let broken = |status: &tonic::Status| Missed::Fault(Fault::of_status(status));
    let late = || Missed::Fault(Fault::Silent("its history did not come in time".into()));
    let opened = timeout_at(until, connection.watches(requests)).await.map_err(|_| late())?;
    let mut responses = opened.map_err(|status| broken(&status))?;
    let (mut heard, mut base): (Vec<Heard>, Option<Vec<KeyValue>>) = (Vec::new(), None);
    let mut caught_up: Option<(Instant, Revision)> = None;
    let mut next_ask = Instant::now();
    loop {
        let deadline = caught_up.map_or(until.min(next_ask), |(since, _)| since + listen);
        let message = match timeout_at(deadline, responses.message()).await {
            Ok(message) => message.map_err(|status| broken(&status))?,
            Err(_) if caught_up.is_some() => break,
            Err(_) if Instant::now() >= until => return Err(late()),
            Err(_) => {
                let progress = Some(WatchProgressRequest {});
                let _ = ask.try_send(WatchRequest { progress, ..WatchRequest::default() });
                next_ask = Instant::now() + ASKED_EVERY;
                continue;
            }
        };
        let Some(response) = message else {
            return Err(Missed::Fault(Fault::NotServed("it ended the watches".into())));
        };
        if response.canceled {
            return Err(match (response.compact_revision, response.cancel_reason.as_str()) {
                (0, why) => Missed::Fault(refused(why)),
                (at, _) => Missed::Compacted(Revision(at)),
            });
        }
        let at = caught_up.is_some().then(SystemTime::now);
        for event in response.events {
            let event = translate::event(event).map_err(|why| Missed::Fault(Fault::Unknown(why)))?;
            // A key of two ranges is told twice.
            if !heard
                .iter()
                .rev()
                .take_while(|h| h.event.revision >= event.revision)
                .any(|h| h.event == event)
            {
                heard.push(Heard { event, at });
            }
        }
        let told = response.header.map_or(Revision(0), |header| Revision(header.revision));
        if caught_up.is_none() && response.watch_id == -1 && told >= present {
            let base = match &mut base {
                Some(base) => base,
                none => none.insert(keys(connection, bounds, from.0).await.map_err(Missed::Fault)?.1),
            };
            if leads_to(base, &heard, &there, present) {
                caught_up = Some((Instant::now(), told));
            }
        }
    }
    // Each range is in order by itself.
    heard.sort_by_key(|heard| heard.event.revision);
    let known = caught_up.map_or(present, |(_, told)| told);
    let last = heard.last().map_or(known, |heard| heard.event.revision.max(known));
    Ok(Past { from, base: base.unwrap_or_default(), heard, until: last })
}

/// All keys at a revision, or (0) as they are, and the store's revision.
async fn keys(
    connection: &Connection,
    bounds: &[Bounds],
    revision: i64,
) -> Result<(Revision, Vec<KeyValue>), Fault> {
    let (mut at, mut found) = (revision, BTreeMap::new());
    let mut present = Revision(0);
    for Bounds { from, to } in bounds {
        let mut options = GetOptions::new().with_revision(at);
        if let Some(to) = to {
            options = options.with_range(to.clone());
        }
        let answer = connection.kv.clone().get(from.clone(), Some(options)).await;
        let answer = answer.map_err(|error| Fault::of(&error))?.0;
        if at == 0 {
            // The others as they were then.
            at = answer.header.as_ref().map_or(0, |header| header.revision);
            present = Revision(at);
        }
        for kv in answer.kvs.into_iter().map(translate::key_value) {
            found.insert(kv.key.clone(), kv);
        }
    }
    Ok((present, found.into_values().collect()))
}

/// Whether what was heard makes of the one what the other is.
fn leads_to(base: &[KeyValue], heard: &[Heard], there: &[KeyValue], present: Revision) -> bool {
    let mut now: BTreeMap<&Key, &KeyValue> = base.iter().map(|kv| (&kv.key, kv)).collect();
    for Heard { event, .. } in heard.iter().filter(|heard| heard.event.revision <= present) {
        match &event.now {
            Some(kv) => now.insert(&event.key, kv),
            None => now.remove(&event.key),
        };
    }
    now.into_values().eq(there)
}

fn refused(why: &str) -> Fault {
    Fault::of_text(why).unwrap_or_else(|| {
        let why = format!("a watch was cancelled by the server: {}", plain(why, BRIEF));
        Fault::Answered(Failure::Refused(why))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::LeaseId;

    fn kv(key: &str, revision: i64) -> KeyValue {
        KeyValue {
            key: key.into(),
            value: "x".into(),
            create_revision: Revision(revision),
            mod_revision: Revision(revision),
            version: 1,
            lease: LeaseId(7),
        }
    }

    fn heard(key: &str, revision: i64, now: Option<KeyValue>) -> Heard {
        Heard { event: KeyEvent { key: key.into(), revision: Revision(revision), now }, at: None }
    }

    #[test]
    fn what_was_heard_must_lead_to_what_is_there() {
        let all = [heard("b", 5, Some(kv("b", 5))), heard("a", 6, None), heard("c", 9, Some(kv("c", 9)))];
        let [base, there] = [[kv("a", 2)], [kv("b", 5)]];
        assert!(leads_to(&base, &all, &there, Revision(8)), "c came after it was read");
        assert!(!leads_to(&base, &all[..1], &there, Revision(8)), "a delete is missing");
        assert!(!leads_to(&base, &all[1..], &there, Revision(8)), "a put is missing");
        assert!(!leads_to(&base, &all, &there, Revision(9)));
    }
}
