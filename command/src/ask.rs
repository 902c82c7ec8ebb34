//! `primacy transfer` and `primacy resign`: an operator asks a primary, in that one's own record, and looks what comes of it.
//!
//! It is written only if the lock and the record are as they were read, so that nobody else's write is lost, and names the
//! token, so that it ends no later win. The primary decides: what it can not do it says in its record; what it does shows in
//! the lock.

use std::time::Duration;

use primacy::config::Settings;
use primacy::engine::plain::{BRIEF, plain};
use primacy::etcd::Etcd;
use primacy::milvus::{Asked, Asks, Record, Reply, Role, with_request, without_request};
use primacy::store::{Compare, Condition, Failure, KeyValue, Op, Range, Txn};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, Election, Entry};
use crate::exit::{FOUND, Failed, HELP, NO_ANSWER, WELL};
use crate::reach::{ANSWERED_WITHIN, reach, read, run, transact};
use crate::settings::Given;
use crate::{screen, snapshot};

/// Between two looks at what has come of it.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Beyond what the host's `on_lost` may take.
const BEYOND_DRAIN: Duration = Duration::from_secs(10);
/// So often it is tried to write beside others who write the record.
const TIMES: usize = 10;

/// What `primacy transfer` is told.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct Transfer {
    /// Whose primary hands over
    #[arg(value_parser = Role::parse)]
    role: Role,
    /// To the standby of this server id or address; else to the best one that is warm
    #[arg(long, value_name = "ID|HOST:PORT")]
    to: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// What `primacy resign` is told.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct Resign {
    /// Whose primary gives primacy up
    #[arg(value_parser = Role::parse)]
    role: Role,
    /// Also where nobody stands by who could be the next one
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args)]
struct Common {
    /// How long to wait for what comes of it [default: primacy.drain_timeout_ms and 10 s]
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u64>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    given: Given,
}

/// What has come of it, as JSON has it.
#[derive(Serialize)]
struct Told {
    role: String,
    outcome: Outcome,
    /// Who was asked.
    was: Option<Primary>,
    /// Who is primary now; none: nobody, or it is not known.
    primary: Option<Primary>,
    why: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// Somebody else is primary, or the same one under a new token.
    Done,
    /// The win is over, and another one than was named is primary, or nobody.
    Otherwise,
    /// It is primary as before.
    Refused,
    /// It is none that can be asked.
    NotUnderstood,
    /// It has taken it, and was at work on it when time was up.
    UnderWay,
    /// Nothing was heard of it in time.
    Unanswered,
}

#[derive(Clone, Serialize)]
struct Primary {
    server_id: Option<i64>,
    address: Option<String>,
    token: i64,
}

/// Why it is not even asked.
type NotAsked = (Outcome, String);

impl Transfer {
    /// Asks, and waits.
    pub fn run(self) -> Result<u8, Failed> {
        let settings = self.common.given.settings()?;
        let told = run(async {
            let etcd = reach(&settings)?.etcd;
            let cluster = snapshot::cluster(&etcd, &settings.root, std::slice::from_ref(&self.role)).await?;
            let asked = Askable::of(&cluster, &self.role).and_then(|primary| {
                let to = self.to.as_deref().map(|to| named(&cluster, &self.role, to)).transpose()?;
                Ok((primary, Asks::Transfer { to }))
            });
            self.common.ask(&etcd, &settings, &self.role, asked).await
        })?;
        self.common.tell(&told)
    }
}

impl Resign {
    /// Asks, and waits.
    pub fn run(self) -> Result<u8, Failed> {
        let settings = self.common.given.settings()?;
        let told = run(async {
            let etcd = reach(&settings)?.etcd;
            let cluster = snapshot::cluster(&etcd, &settings.root, std::slice::from_ref(&self.role)).await?;
            let asked = Askable::of(&cluster, &self.role).and_then(|primary| {
                if !self.force && !has_next(&cluster, &self.role) {
                    let why =
                        "nobody stands by who could be the next one; --force has it resign all the same";
                    return Err((Outcome::Refused, why.to_owned()));
                }
                Ok((primary, Asks::Resign))
            });
            self.common.ask(&etcd, &settings, &self.role, asked).await
        })?;
        self.common.tell(&told)
    }
}

/// The keys of a primary that can be asked.
struct Askable<'a> {
    lock: &'a Entry,
    own: &'a Entry,
}

impl<'a> Askable<'a> {
    fn of(cluster: &'a Cluster, role: &Role) -> Result<Askable<'a>, NotAsked> {
        let election = election(cluster, role);
        let Some(lock) = election.and_then(Election::lock) else {
            return Err((Outcome::Refused, format!("nobody is primary of {role}")));
        };
        let Some(own) = election.and_then(|election| cluster.own_record(election)) else {
            let why =
                format!("the holder of {} has no record of its own, so that it can not be asked", lock.key);
            return Err((Outcome::NotUnderstood, why));
        };
        if own.id.map(|id| cluster.root.record_key(role, id)).as_ref() != Some(&own.key) {
            let why = format!("{} is of {}, which holds more than {role}: ask that role", lock.key, own.key);
            return Err((Outcome::Refused, why));
        }
        match own.facts() {
            None => Err((
                Outcome::NotUnderstood,
                format!(
                    "{} is not of this library, and knows of no request: end its process by SIGTERM, and the next \
                     one is primary",
                    own.key
                ),
            )),
            // What it says of itself is of an earlier win, and would pass for this one's.
            Some(facts) if facts.ready && own.modified < lock.modified => {
                Err((Outcome::Refused, format!("{} has just become primary; ask it again", own.key)))
            }
            Some(_) => Ok(Askable { lock, own }),
        }
    }
}

fn election<'a>(cluster: &'a Cluster, role: &Role) -> Option<&'a Election> {
    cluster.elections.iter().find(|election| election.role == *role)
}

/// The server id of who is named by that or by its address; of several at one address, the newest.
fn named(cluster: &Cluster, role: &Role, to: &str) -> Result<i64, NotAsked> {
    if let Ok(id) = to.parse() {
        return Ok(id);
    }
    let standbys = election(cluster, role).into_iter().flat_map(Election::standbys);
    let there = standbys.filter(|entry| entry.record.as_ref().is_ok_and(|record| record.address == to));
    let newest = there.max_by_key(|entry| entry.created).and_then(|entry| entry.id);
    newest.ok_or_else(|| (Outcome::Refused, format!("no standby of {role} is at {}", plain(to, BRIEF))))
}

/// Whether somebody else may campaign.
fn has_next(cluster: &Cluster, role: &Role) -> bool {
    let may = |entry: &Entry| {
        let says = entry.record.as_ref().is_ok_and(|record| !record.stopping && record.lease == entry.lease);
        says && entry.facts().is_none_or(|facts| facts.priority > 0)
    };
    election(cluster, role).is_some_and(|election| election.standbys().any(may))
}

impl Common {
    async fn ask(
        &self,
        etcd: &Etcd,
        settings: &Settings,
        role: &Role,
        asked: Result<(Askable<'_>, Asks), NotAsked>,
    ) -> Result<Told, Failed> {
        let mut told =
            Told { role: role.to_string(), outcome: Outcome::Refused, was: None, primary: None, why: None };
        let timeout = self.timeout_ms.map(Duration::from_millis);
        let timeout = timeout.unwrap_or(settings.drain_timeout + BEYOND_DRAIN);
        (told.outcome, told.why) = match asked {
            Err((outcome, why)) => (outcome, Some(why)),
            Ok((Askable { lock, own }, what)) => {
                let asking = Asking { etcd, lock, own, asked: Asked { lock: lock.modified, what } };
                told.was = Some(Primary {
                    server_id: own.id,
                    address: own.record.as_ref().ok().map(|record| plain(&record.address, BRIEF).into()),
                    token: lock.modified.0,
                });
                let (outcome, now, why) = asking.ask(Instant::now() + timeout).await?;
                told.primary = now.as_ref().map(primary);
                (outcome, why)
            }
        };
        Ok(told)
    }

    fn tell(&self, told: &Told) -> Result<u8, Failed> {
        let code = if told.outcome == Outcome::Done { WELL } else { FOUND };
        if self.json {
            screen::json(told)?;
            return Ok(code);
        }
        let shown = |primary: &Option<Primary>| match primary {
            Some(Primary { server_id, address, token }) => {
                let id = server_id.map_or_else(|| "somebody".into(), |id| id.to_string());
                let at = address.as_ref().map_or_else(String::new, |address| format!(" at {address}"));
                format!("{id}{at}, token {token}")
            }
            None => "nobody".into(),
        };
        let why = told.why.as_deref().unwrap_or_default();
        if told.outcome == Outcome::Done {
            let text =
                format!("{}: primary is {}, was {}\n", told.role, shown(&told.primary), shown(&told.was));
            screen::out(&text)?;
            return Ok(code);
        }
        let said = match told.outcome {
            Outcome::Otherwise => {
                format!("primary is {}, was {}: {why}", shown(&told.primary), shown(&told.was))
            }
            _ => why.to_owned(),
        };
        Err(Failed { code, why: format!("{}: {said}", told.role) })
    }
}

fn primary(lock: &KeyValue) -> Primary {
    let record = Record::parse(&lock.value).ok();
    Primary {
        server_id: record.as_ref().map(|record| record.server_id),
        address: record.map(|record| plain(&record.address, BRIEF).into()),
        token: lock.mod_revision.0,
    }
}

/// One request, to one win.
struct Asking<'a> {
    etcd: &'a Etcd,
    lock: &'a Entry,
    own: &'a Entry,
    asked: Asked,
}

/// The lock and the record, as they are.
struct Now {
    lock: Option<KeyValue>,
    own: Option<KeyValue>,
}

type End = (Outcome, Option<KeyValue>, Option<String>);

impl Asking<'_> {
    async fn ask(&self, until: Instant) -> Result<End, Failed> {
        let mut now = self.look().await?;
        let mut tried = 0;
        // What was asked before, and refused, is no answer to this.
        while !self.is_over(&now) {
            let with_it = now.own.as_ref().filter(|kv| kv.lease == self.own.lease);
            let with_it = with_it.and_then(|kv| Some((kv, with_request(&kv.value, self.asked)?)));
            let Some((kv, value)) = with_it else {
                return Ok((
                    Outcome::Refused,
                    now.lock,
                    Some(format!("{} has gone meanwhile", self.own.key)),
                ));
            };
            match self.write(kv, value).await {
                Ok((true, _)) => return self.follow(until, false).await,
                // It may be there, or come: what comes of it is looked for in the same way.
                Err(Failure::Indefinite(_)) => return self.follow(until, true).await,
                Ok((false, read)) => now = read,
                Err(failure) => return Err(failure.into()),
            }
            tried += 1;
            if tried == TIMES {
                return Err(Failed::not_done(format!(
                    "{} changes all the time; nothing was asked",
                    self.own.key
                )));
            }
        }
        Ok((Outcome::Otherwise, now.lock, Some("that was so before it was asked".into())))
    }

    async fn follow(&self, until: Instant, in_doubt: bool) -> Result<End, Failed> {
        loop {
            let now = self.look().await;
            let is_late = Instant::now() >= until;
            match now {
                Ok(now) => {
                    if let Some(end) = self.end(&now) {
                        return Ok(end);
                    }
                    if is_late {
                        return self.take_back(now, in_doubt).await;
                    }
                }
                Err(failure) if is_late => {
                    let why =
                        format!("{failure}; it was asked, and may be done yet: look by `primacy status`");
                    return Err(Failed { code: NO_ANSWER, why });
                }
                Err(_) => {}
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// The win that was asked is over.
    fn is_over(&self, now: &Now) -> bool {
        now.lock.as_ref().is_none_or(|kv| kv.mod_revision != self.asked.lock)
    }

    /// What has come of it, if that is known.
    fn end(&self, now: &Now) -> Option<End> {
        if self.is_over(now) {
            let lock = now.lock.clone()?;
            let next = primary(&lock).server_id;
            return Some(match self.asked.what {
                Asks::Transfer { to: Some(to) } if next != Some(to) => {
                    (Outcome::Otherwise, Some(lock), Some(format!("it is not {to}, who was named")))
                }
                _ => (Outcome::Done, Some(lock), None),
            });
        }
        let Some(Reply::Refused(why)) = reply(now) else { return None };
        let why = format!("refused, still primary: {}", plain(&why, BRIEF));
        Some((Outcome::Refused, now.lock.clone(), Some(why)))
    }

    /// Time is up: a request that stands must not be done when nobody waits for it any more.
    ///
    /// Where it is not known whether it was written, the record is rewritten as it is: then it can not be any more.
    async fn take_back(&self, now: Now, in_doubt: bool) -> Result<End, Failed> {
        if now.lock.is_none() {
            let why = "nobody has followed yet: look by `primacy status`";
            return Ok((Outcome::Otherwise, None, Some(why.into())));
        }
        let stands = |kv: &KeyValue| Record::parse(&kv.value).is_ok_and(|r| r.asked == Some(self.asked));
        let may_come = in_doubt && reply(&now).is_none();
        let own = now.own.as_ref().filter(|kv| stands(kv) || may_come);
        let Some((kv, value)) = own.and_then(|kv| Some((kv, without_request(&kv.value)?))) else {
            return Ok(self.gone(now));
        };
        match self.write(kv, value).await {
            Ok((true, _)) => {
                let why = "no answer in time; what was asked is taken back, and nothing comes of it. It may be paused or \
                           cut off, or of a version that knows of no request: look by `primacy doctor`";
                Ok((Outcome::Unanswered, now.lock, Some(why.into())))
            }
            // Just now something has come of it, or somebody else has written.
            Ok((false, now)) => Ok(self.end(&now).unwrap_or_else(|| self.gone(now))),
            Err(failure) => {
                let why = format!("no answer in time, and what was asked may be done yet: {failure}");
                Err(Failed { code: NO_ANSWER, why })
            }
        }
    }

    /// Time is up, and what was asked does not stand in the record any more.
    fn gone(&self, now: Now) -> End {
        if reply(&now) == Some(Reply::Takes(self.asked.lock)) {
            let why =
                "it is at work on what was asked, and its on_lost may take long: look by `primacy status`";
            return (Outcome::UnderWay, now.lock, Some(why.into()));
        }
        let why = "what was asked is gone from its record without a word: it is of a version that knows of no request, or \
                   somebody else has asked since; have its host resign, or end its process by SIGTERM";
        (Outcome::NotUnderstood, now.lock, Some(why.into()))
    }

    /// Puts the record, if it is `kv` still and the lock is that of the win; otherwise how both are.
    async fn write(&self, kv: &KeyValue, value: primacy::store::Value) -> Result<(bool, Now), Failure> {
        let stands = |key: &primacy::store::Key, revision, lease| {
            [Condition::ModRevision(revision), Condition::Lease(lease)]
                .map(|condition| Compare { range: Range::Key(key.clone()), condition })
        };
        let mut when = stands(&self.lock.key, self.asked.lock, self.lock.lease).to_vec();
        when.extend(stands(&kv.key, kv.mod_revision, kv.lease));
        let then = vec![Op::Put(kv.key.clone(), value, kv.lease)];
        let otherwise = self.ranges().into_iter().map(Op::Get).collect();
        let answer = transact(self.etcd, Txn { when, then, otherwise }, ANSWERED_WITHIN).await?;
        Ok((answer.succeeded, now(answer.reads)))
    }

    async fn look(&self) -> Result<Now, Failure> {
        Ok(now(read(self.etcd, &self.ranges()).await?.reads))
    }

    fn ranges(&self) -> [Range; 2] {
        [Range::Key(self.lock.key.clone()), Range::Key(self.own.key.clone())]
    }
}

/// What the record says to what was asked.
fn reply(now: &Now) -> Option<Reply> {
    now.own.as_ref().and_then(|kv| Record::parse(&kv.value).ok()?.reply)
}

fn now(reads: Vec<Vec<KeyValue>>) -> Now {
    let mut reads = reads.into_iter().map(|found| found.into_iter().next());
    Now { lock: reads.next().flatten(), own: reads.next().flatten() }
}
