//! What an etcd's history says of elections: who was primary when, and what should not have been.
//!
//! Pure: a [`History`] in, an [`Audit`] out. It knows what each [`Layout`] writes, and nothing of how a history is read
//! or shown.
//!
//! What a history can not tell: who wrote a key, and what a transaction compared; so a lock that was deleted while its
//! lease lived on was resigned, or deleted by hand. Nor does it tell time, unless whoever watched it noted when.

mod concurrency;
mod finding;
mod guarded;
mod history;
mod judge;
mod leaderelection;
mod lines;
mod milvus;
mod report;
mod term;
mod when;

#[cfg(test)]
mod tests;

use std::time::Duration;

use primacy_engine::milvus::Root;
use primacy_engine::store::{Key, Range};
use serde::Serialize;

pub use self::finding::{Finding, Kind};
pub use self::guarded::Guarded;
pub use self::history::{Change, History};
use self::judge::Judge;
pub use self::lines::LinesError;
pub use self::term::{End, Ended, Gap, How, Role, Term};
pub use self::when::When;

/// Whose elections they are, and where they lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Ours and Milvus's, in all forms of 2.5 to 3.0, also side by side.
    Milvus(Root),
    /// Elections of etcd's `clientv3/concurrency`, by the prefixes that they were made with.
    Concurrency(Vec<String>),
    /// Elections of client-go's `leaderelection`, each a record in a key of etcd's.
    LeaderElection(Vec<Key>),
}

/// What is judged beyond the elections' own keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What only a primary may write.
    pub guarded: Vec<Guarded>,
    /// A role that has candidates may be without a primary for so long. Judged where it is known when things happened.
    pub longest_gap: Option<Duration>,
    /// How far the clocks of two machines may be apart, where records tell time.
    pub clocks: Duration,
}

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Its keys are known as they were then.
    pub from: i64,
    /// The last revision that was looked at.
    pub until: i64,
    /// By their names.
    pub roles: Vec<Role>,
    /// In the order in which they happened.
    pub findings: Vec<Finding>,
}

impl Layout {
    /// What has to be read of etcd.
    pub fn ranges(&self, options: &Options) -> Vec<Range> {
        let below = |prefix: String| Range::below(&prefix.into());
        let mut ranges: Vec<Range> = match self {
            Layout::Milvus(root) => {
                vec![below(format!("{root}/session/")), below(format!("{root}/election/"))]
            }
            Layout::Concurrency(prefixes) => {
                prefixes.iter().map(|prefix| below(format!("{prefix}/"))).collect()
            }
            Layout::LeaderElection(keys) => keys.iter().cloned().map(Range::Key).collect(),
        };
        ranges.extend(options.guarded.iter().map(|guarded| below(guarded.prefix.clone())));
        ranges
    }
}

/// Judges a history.
pub fn audit(history: &History, layout: &Layout, options: &Options) -> Audit {
    let mut report = report::Report::default();
    let mut judge: Box<dyn Judge> = match layout {
        Layout::Milvus(root) => Box::new(milvus::Judge::new(root.clone())),
        Layout::Concurrency(prefixes) => Box::new(concurrency::Judge::new(prefixes)),
        Layout::LeaderElection(keys) => Box::new(leaderelection::Judge::new(keys, options.clocks)),
    };
    let mut guarded = guarded::Judge::new(&options.guarded);
    history.replay(|moment| {
        // A guarded write is judged by who was primary just before it.
        guarded.look(moment, &mut report);
        judge.look(moment, &mut report);
    });
    judge.end(&mut report);
    let until = When { revision: history.until.0, at_ms: history.until_at };
    let (roles, findings) = report.end(until, options.longest_gap);
    Audit { from: history.from.0, until: history.until.0, roles, findings }
}
