//! What should not have been.

use serde::Serialize;

use crate::when::When;

/// What kind of thing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A lock was put over one whose lease lived, for somebody who had not accepted it.
    LockTaken,
    /// Two hold locks that exclude each other.
    TwoLocks,
    /// Of a key set that is one, a part was taken, or given up.
    PartialKeySet,
    /// A lock, record or place in a queue on no lease: it stays when its process dies.
    NoLease,
    /// A lock stayed although the record of its holder was gone.
    LockOutlived,
    /// In the layout `after_start` a service stayed although the lock that it stood under was gone.
    ServiceOutlived,
    /// Whoever won had not registered.
    NoRecord,
    /// A key says that it is somebody's, and hangs on the lease of somebody else.
    OtherRecord,
    /// A candidate's record was put over by another candidate.
    RecordTaken,
    /// No reader can parse it.
    Unreadable,
    /// A mixcoord won that is older than one that had been primary.
    Outdated,
    /// A mixcoord of 3.0 or of ours won and did not put its version.
    VersionNotTold,
    /// The next server id became lower, or was deleted.
    IdWentBack,
    /// Guarded data was written under a token that was not the lock's.
    WrongToken,
    /// Guarded data was written while nobody held the lock.
    Unguarded,
    /// A token, or a count of leaders, became lower.
    TokenWentBack,
    /// Somebody became leader while, by the clocks of both, the one before still was.
    EarlyTakeover,
    /// A record that nobody ever deletes was deleted.
    RecordDeleted,
    /// For too long nobody was primary, and somebody could have been.
    LongGap,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: Kind,
    /// Of which election; empty: of the cluster.
    pub role: String,
    /// The key that it is about.
    pub key: String,
    /// At which revision.
    #[serde(flatten)]
    pub when: When,
    /// For people.
    pub what: String,
}

impl Kind {
    /// What to do about it, for people.
    pub fn advice(self) -> &'static str {
        match self {
            Kind::LockTaken => {
                "find out who writes the lock besides its holders; look at what both wrote since"
            }
            Kind::TwoLocks => "end one of the two; give all candidates the same primacy.layout",
            Kind::PartialKeySet => "end the process that holds the rest, by SIGTERM; touch no key by hand",
            Kind::NoLease | Kind::LockOutlived => "make sure that its process is dead, then delete the key",
            Kind::ServiceOutlived => "clients may have gone on calling it: look who deletes locks by hand",
            Kind::NoRecord | Kind::OtherRecord => "find out who wrote the key: no candidate does it so",
            Kind::RecordTaken => "look whether session/id was put back, or two clusters share a root",
            Kind::Unreadable => "Milvus's readers fail on all of its role: find out who wrote it",
            Kind::Outdated => "end it, or set the version back by `primacy version set`",
            Kind::VersionNotTold => "set it by `primacy version set`, so that no older one becomes primary",
            Kind::IdWentBack => "put the next free server id there, above that of each candidate",
            Kind::WrongToken | Kind::Unguarded => "the writer does not compare the lock: use a guarded write",
            Kind::TokenWentBack => {
                "was etcd restored from a backup? do so with --bump-revision --mark-compacted"
            }
            Kind::EarlyTakeover => "compare the machines' clocks, and the leaseDuration that each is given",
            Kind::RecordDeleted => "find out who deletes it: whoever led may have gone on",
            Kind::LongGap => "look at the candidates' logs: each says why it waits",
        }
    }
}
