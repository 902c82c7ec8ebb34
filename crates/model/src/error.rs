//! What etcd answers when it refuses: the gRPC code and the exact text, which clients class errors by.

use primacy_engine::store::Failure;

/// A refusal. The request did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Error {
    /// No key was given.
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    /// A put that keeps value or lease found no key to keep them of; also an operation without content.
    #[error("etcdserver: key not found")]
    KeyNotFound,
    /// A put that keeps the old value brings a new one.
    #[error("etcdserver: value is provided")]
    ValueProvided,
    /// A put that keeps the old lease brings a new one.
    #[error("etcdserver: lease is provided")]
    LeaseProvided,
    /// More than [`MAX_TXN_OPS`](super::MAX_TXN_OPS) comparisons or operations.
    #[error("etcdserver: too many operations in txn request")]
    TooManyOps,
    /// A transaction that would write one key twice.
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    /// The revision asked for is gone.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    /// The revision asked for is not there yet.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// There is no such lease.
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound,
    /// A grant under an id that is taken.
    #[error("etcdserver: lease already exists")]
    LeaseExists,
    /// A grant for longer than etcd grants.
    #[error("etcdserver: too large lease TTL")]
    LeaseTtlTooLarge,
    /// An order to sort by that etcd does not know.
    #[error("etcdserver: invalid sort option")]
    InvalidSortOption,
}

/// The gRPC status codes that [`Error`] maps to, with their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// 3
    InvalidArgument = 3,
    /// 5
    NotFound = 5,
    /// 9
    FailedPrecondition = 9,
    /// 11
    OutOfRange = 11,
}

impl Error {
    /// The status code that etcd sends with it.
    pub fn code(self) -> Code {
        match self {
            Error::EmptyKey
            | Error::KeyNotFound
            | Error::ValueProvided
            | Error::LeaseProvided
            | Error::TooManyOps
            | Error::DuplicateKey
            | Error::InvalidSortOption => Code::InvalidArgument,
            Error::Compacted | Error::FutureRevision | Error::LeaseTtlTooLarge => Code::OutOfRange,
            Error::LeaseNotFound => Code::NotFound,
            Error::LeaseExists => Code::FailedPrecondition,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::LeaseNotFound => Failure::LeaseNotFound,
            Error::LeaseExists => Failure::LeaseExists,
            other => Failure::Refused(other.to_string()),
        }
    }
}
