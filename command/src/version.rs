//! `primacy version`: the newest version that has been primary as mixcoord, which an operator may set back.

use primacy::config::Settings;
use primacy::engine::plain::{BRIEF, plain};
use primacy::etcd::Etcd;
use primacy::milvus::{Role, may_lead, version_value};
use primacy::store::{Compare, Condition, Failure, LeaseId, Op, Range, Txn, Value};
use semver::Version;

use crate::cluster::Cluster;
use crate::exit::{Failed, HELP, NO_ANSWER, WELL};
use crate::reach::{ANSWERED_WITHIN, reach, run, transact};
use crate::settings::Given;
use crate::{screen, snapshot};

/// What `primacy version` is told.
#[derive(clap::Args)]
pub struct Watermark {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Prints it; without one, none of them has been primary, and the exit code is 1
    Get(Get),
    /// Writes it, unless somebody else has meanwhile, and prints what it was
    ///
    /// A mixcoord whose major or minor version is lower does not become primary, and one of Milvus 3.0 ends by a panic. So
    /// it is refused where such a one is registered, and would be allowed now; --force does it all the same.
    Set(Set),
}

#[derive(clap::Args)]
#[command(after_help = HELP)]
struct Get {
    #[command(flatten)]
    given: Given,
}

#[derive(clap::Args)]
#[command(after_help = HELP)]
struct Set {
    /// As 3.0.0
    #[arg(value_name = "VERSION")]
    version: Version,
    /// Also where a candidate that is registered would not become primary any more
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    given: Given,
}

impl Watermark {
    /// Does it.
    pub fn run(self) -> Result<u8, Failed> {
        match self.action {
            Action::Get(Get { given }) => {
                let settings = given.settings()?;
                let cluster = run(async { read(&reach(&settings)?.etcd, &settings).await })?;
                let kv = cluster.version.as_ref().ok_or_else(|| {
                    Failed::not_done(format!(
                        "there is no {}: nobody has been primary as a mixcoord that writes it",
                        cluster.root.version_key()
                    ))
                })?;
                screen::out(&format!("{}\n", shown(&kv.value)))?;
                Ok(WELL)
            }
            Action::Set(set) => run(set.write(&set.given.settings()?)),
        }
    }
}

async fn read(etcd: &Etcd, settings: &Settings) -> Result<Cluster, Failed> {
    let mixcoord = Role::parse("mixcoord").map_err(Failed::usage)?;
    snapshot::cluster(etcd, &settings.root, &[mixcoord]).await
}

impl Set {
    async fn write(&self, settings: &Settings) -> Result<u8, Failed> {
        let etcd = reach(settings)?.etcd;
        let cluster = read(&etcd, settings).await?;
        if !self.force
            && let Some(who) = locked_out(&cluster, &self.version)
        {
            return Err(Failed::not_done(format!(
                "{who}; nothing was written (--force does it all the same)"
            )));
        }
        let (key, new) = (cluster.root.version_key(), version_value(&self.version));
        let before = cluster.version.as_ref();
        let condition = before.map_or(Condition::Absent, |kv| Condition::ModRevision(kv.mod_revision));
        let txn = Txn {
            when: vec![Compare { range: Range::Key(key.clone()), condition }],
            then: vec![Op::Put(key.clone(), new.clone(), LeaseId::NONE)],
            otherwise: vec![Op::Get(Range::Key(key.clone()))],
        };
        let was = before.map_or_else(|| "nothing".to_owned(), |kv| shown(&kv.value));
        let answer = match transact(&etcd, txn, ANSWERED_WITHIN).await {
            Err(Failure::Indefinite(why)) => {
                let why = format!(
                    "no answer, so it may have been written or may be yet: look by `primacy version get` ({why})"
                );
                return Err(Failed { code: NO_ANSWER, why });
            }
            answer => answer?,
        };
        if !answer.succeeded {
            let now = answer.reads.first().and_then(|read| read.first());
            let now = now.map_or_else(|| "nothing".to_owned(), |kv| shown(&kv.value));
            return Err(Failed::not_done(format!(
                "{key} was {was} and is {now} now, by somebody else; nothing was written"
            )));
        }
        screen::out(&format!("{key}: was {was}, is {}, revision {}\n", shown(&new), answer.revision))?;
        Ok(WELL)
    }
}

/// A candidate that may become primary now, and could not any more.
fn locked_out(cluster: &Cluster, version: &Version) -> Option<String> {
    let new = version_value(version);
    let mixcoord = cluster.elections.iter().find(|election| election.role.is_mixcoord())?;
    mixcoord.candidates.iter().find_map(|entry| {
        let own = entry.record.as_ref().ok()?.version.as_ref()?;
        let may_now = cluster.version.as_ref().is_none_or(|kv| may_lead(&kv.value, own).is_ok());
        (may_now && may_lead(&new, own).is_err())
            .then(|| format!("{} is of version {own}, and could not become primary any more", entry.key))
    })
}

fn shown(value: &Value) -> String {
    plain(&value.to_string(), BRIEF).into_owned()
}
