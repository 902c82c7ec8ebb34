//! What an error of etcd, gRPC or the connection means for the request that met it.
//!
//! Codes lie: "revision of auth store is old" comes as `InvalidArgument`, a learner answers `Unavailable` or
//! `FailedPrecondition` by version, a watch refused for an expired token says `PermissionDenied` on 3.5. So
//! etcd's own texts are looked at first, the code second, and what is not known for sure is unknown.

use super::connection::{NoGrpc, Unsent};
use crate::log::{BRIEF, plain};
use crate::store::Failure;
use etcd_client::Error;
use std::error::Error as _;
use tonic::{Code, Status};

/// What an attempt's error means. All but `Unknown` say that the request did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It was not sent, or this member does not serve it now: another endpoint may.
    NotServed(String),
    /// The same, after waiting in vain for what must come before it.
    Silent(String),
    /// The token may be the reason: worth one more attempt with a fresh one.
    Token(String),
    /// It may have happened.
    Unknown(String),
    /// A definite answer; another attempt would meet the same one.
    Answered(Failure),
}

/// Makes the fault out of the whole text.
type Meaning = fn(String) -> Fault;

/// Texts of etcd that need no second look, with their meaning. Lower case; a text that contains one matches.
const TEXTS: &[(&str, Meaning)] = &[
    ("requested lease not found", |_| Fault::Answered(Failure::LeaseNotFound)),
    ("lease already exists", |_| Fault::Answered(Failure::LeaseExists)),
    // An expired token, one of a restarted member, or one from before a change of users.
    ("invalid auth token", Fault::Token),
    ("revision of auth store is old", Fault::Token),
    // On 3.5 an expired token reads like a real denial; the second time it is one.
    ("permission denied", Fault::Token),
    // No token was sent: authentication was switched on after we connected.
    ("user name is empty", Fault::Token),
    ("authentication failed", |t| Fault::Answered(Failure::Denied(t))),
    ("user name not found", |t| Fault::Answered(Failure::Denied(t))),
    ("no leader", Fault::NotServed),
    ("for learner", Fault::NotServed),
    ("too many requests", Fault::NotServed),
    ("database space exceeded", |t| Fault::Answered(Failure::NoSpace(t))),
    ("request is too large", too_large),
    ("larger than max", too_large),
    ("too many operations", too_large),
    // Some other gRPC server.
    ("unknown service etcdserverpb", Fault::NotServed),
    ("corrupt cluster", |t| Fault::Answered(Failure::Refused(t))),
];

/// The one refusal that a host can do something about.
fn too_large(text: String) -> Fault {
    Fault::Answered(Failure::Refused(format!("{text}: make it smaller")))
}

impl Fault {
    /// What `error` means.
    pub(super) fn of(error: &Error) -> Fault {
        match error {
            Error::GRpcStatus(status) => Fault::of_status(status),
            other => Fault::Unknown(other.to_string()),
        }
    }

    /// What the reason of a cancelled watch means, if it is one that is known.
    pub(super) fn of_text(text: &str) -> Option<Fault> {
        let lower = text.to_lowercase();
        TEXTS.iter().find(|(known, _)| lower.contains(known)).map(|(_, fault)| fault(text.to_owned()))
    }

    /// No answer came to user and password.
    pub(super) fn unauthenticated() -> Fault {
        Fault::Silent("no answer to authentication".to_owned())
    }

    /// What a call's status says.
    pub(super) fn of_status(status: &Status) -> Fault {
        let text = describe(status);
        // A status with a source was made on our side of the wire, out of a broken connection; one without
        // is the server's own word, except for the limit that our decoder keeps: that answer was read.
        if status.source().is_some() {
            let unserved = caused_by::<Unsent>(status).is_some()
                || caused_by::<NoGrpc>(status).is_some_and(|answered| answered.unserved);
            return if unserved { Fault::NotServed(text) } else { Fault::Unknown(text) };
        }
        if status.message().contains("decoded message length") {
            return Fault::Unknown(text);
        }
        if let Some(fault) = Fault::of_text(status.message()) {
            return fault;
        }
        match status.code() {
            Code::PermissionDenied | Code::Unauthenticated => Fault::Answered(Failure::Denied(text)),
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::ResourceExhausted
            | Code::Unimplemented => Fault::Answered(Failure::Refused(text)),
            _ => Fault::Unknown(text),
        }
    }

    /// What is wrong, without what it means.
    pub(super) fn into_text(self) -> String {
        match self {
            Fault::NotServed(text) | Fault::Silent(text) | Fault::Token(text) | Fault::Unknown(text) => text,
            Fault::Answered(failure) => failure.to_string(),
        }
    }

    /// The failure to report when nothing more is tried. A request that only reads is never indefinite.
    pub(super) fn into_failure(self, only_reads: bool) -> Failure {
        match self {
            Fault::NotServed(text) | Fault::Silent(text) => Failure::Unreachable(text),
            Fault::Token(text) if text.contains("permission denied") || text.contains("name is empty") => {
                Failure::Denied(text)
            }
            // Still refused with a token that is seconds old: a member that lags, or users that change.
            Fault::Token(text) => Failure::Unreachable(text),
            Fault::Unknown(text) if only_reads => Failure::Unreachable(text),
            Fault::Unknown(text) => Failure::Indefinite(text),
            Fault::Answered(failure) => failure,
        }
    }
}

/// The status in words, with what caused it, all the way down.
fn describe(status: &Status) -> String {
    let mut text = match status.message() {
        "" => status.code().to_string(),
        message => message.to_owned(),
    };
    append_sources(&mut text, status.source());
    // A server, or what answers in its place, may say anything at any length.
    plain(&text, BRIEF * 4).into_owned()
}

/// Appends what `source` and its own sources say, each once.
pub(super) fn append_sources(text: &mut String, mut source: Option<&(dyn std::error::Error + 'static)>) {
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = error.source();
    }
}

fn caused_by<E: std::error::Error + 'static>(status: &Status) -> Option<&E> {
    let mut source = status.source();
    while let Some(error) = source {
        if let Some(cause) = error.downcast_ref() {
            return Some(cause);
        }
        source = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: Code, text: &str) -> Error {
        Error::GRpcStatus(Status::new(code, text))
    }

    fn from_source(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::GRpcStatus(Status::from_error(error.into()))
    }

    fn unsent() -> Error {
        from_source(Unsent("connection was not ready".to_owned()))
    }

    #[derive(Debug, PartialEq)]
    enum Kind {
        Indefinite,
        Unreachable,
        Denied,
        NoSpace,
        Refused,
        LeaseNotFound,
        LeaseExists,
    }
    use Kind::*;

    fn kind(failure: Failure) -> Kind {
        match failure {
            Failure::Indefinite(_) => Indefinite,
            Failure::Unreachable(_) => Unreachable,
            Failure::Denied(_) => Denied,
            Failure::NoSpace(_) => NoSpace,
            Failure::Refused(_) => Refused,
            Failure::LeaseNotFound => LeaseNotFound,
            Failure::LeaseExists => LeaseExists,
        }
    }

    #[test]
    fn errors_are_classed_by_text_then_code_and_doubt_is_indefinite() {
        let io = |text: &str| std::io::Error::new(std::io::ErrorKind::ConnectionReset, text.to_owned());
        let table: Vec<(Error, Kind, Kind)> = vec![
            // error, of a write, of a read
            (status(Code::NotFound, "etcdserver: requested lease not found"), LeaseNotFound, LeaseNotFound),
            (status(Code::FailedPrecondition, "etcdserver: lease already exists"), LeaseExists, LeaseExists),
            (status(Code::Unauthenticated, "etcdserver: invalid auth token"), Unreachable, Unreachable),
            (
                status(Code::InvalidArgument, "etcdserver: revision of auth store is old"),
                Unreachable,
                Unreachable,
            ),
            (status(Code::PermissionDenied, "etcdserver: permission denied"), Denied, Denied),
            (status(Code::InvalidArgument, "etcdserver: user name is empty"), Denied, Denied),
            (
                status(
                    Code::InvalidArgument,
                    "etcdserver: authentication failed, invalid user ID or password",
                ),
                Denied,
                Denied,
            ),
            (status(Code::Unavailable, "etcdserver: no leader"), Unreachable, Unreachable),
            (
                status(Code::Unavailable, "etcdserver: rpc not supported for learner"),
                Unreachable,
                Unreachable,
            ),
            (
                status(Code::FailedPrecondition, "etcdserver: rpc not supported for learner"),
                Unreachable,
                Unreachable,
            ),
            (status(Code::ResourceExhausted, "etcdserver: too many requests"), Unreachable, Unreachable),
            (status(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"), NoSpace, NoSpace),
            (status(Code::InvalidArgument, "etcdserver: request is too large"), Refused, Refused),
            (
                status(Code::InvalidArgument, "etcdserver: duplicate key given in txn request"),
                Refused,
                Refused,
            ),
            (status(Code::OutOfRange, "etcdserver: too large lease TTL"), Refused, Refused),
            (
                status(Code::ResourceExhausted, "grpc: received message larger than max (3 vs. 2)"),
                Refused,
                Refused,
            ),
            (status(Code::DataLoss, "etcdserver: corrupt cluster"), Refused, Refused),
            (status(Code::Unimplemented, "unknown service etcdserverpb.KV"), Unreachable, Unreachable),
            (status(Code::Unavailable, "etcdserver: request timed out"), Indefinite, Unreachable),
            (status(Code::Unavailable, "etcdserver: server stopped"), Indefinite, Unreachable),
            (status(Code::Unavailable, "etcdserver: leader changed"), Indefinite, Unreachable),
            (status(Code::Unknown, "context deadline exceeded"), Indefinite, Unreachable),
            (status(Code::Unknown, "raft proposal dropped"), Indefinite, Unreachable),
            (status(Code::Cancelled, "Timeout expired"), Indefinite, Unreachable),
            (status(Code::DeadlineExceeded, "context deadline exceeded"), Indefinite, Unreachable),
            (status(Code::Internal, "protocol error"), Indefinite, Unreachable),
            (status(Code::Unavailable, "grpc-status header missing"), Indefinite, Unreachable),
            // Our own decoder refused an answer: the transaction ran.
            (
                status(Code::OutOfRange, "Error, decoded message length too large: found 5 bytes"),
                Indefinite,
                Unreachable,
            ),
            (from_source(io("broken pipe")), Indefinite, Unreachable),
            (from_source(io("permission denied")), Indefinite, Unreachable),
            (unsent(), Unreachable, Unreachable),
            (Error::Internal("anything".into()), Indefinite, Unreachable),
        ];
        for (error, write, read) in table {
            assert_eq!(kind(Fault::of(&error).into_failure(false)), write, "a write: {error}");
            assert_eq!(kind(Fault::of(&error).into_failure(true)), read, "a read: {error}");
        }
    }

    #[test]
    fn only_what_is_too_large_should_be_smaller() {
        for (code, text, smaller) in [
            (Code::InvalidArgument, "etcdserver: request is too large", true),
            (Code::InvalidArgument, "etcdserver: too many operations in txn request", true),
            (Code::ResourceExhausted, "grpc: received message larger than max (3 vs. 2)", true),
            (Code::InvalidArgument, "etcdserver: duplicate key given in txn request", false),
            (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded", false),
            (Code::OutOfRange, "etcdserver: too large lease TTL", false),
        ] {
            let told = Fault::of(&status(code, text)).into_failure(false).to_string();
            assert_eq!(told.contains("make it smaller"), smaller, "{told}");
        }
    }

    #[test]
    fn a_token_is_suspected_once_for_each_text_that_an_old_one_causes() {
        for text in [
            "etcdserver: invalid auth token",
            "etcdserver: revision of auth store is old",
            "etcdserver: permission denied",
            "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token",
        ] {
            assert_eq!(Fault::of_text(text), Some(Fault::Token(text.to_owned())));
        }
        assert_eq!(Fault::of_text("etcdserver: mvcc: required revision has been compacted"), None);
    }

    #[test]
    fn the_text_names_the_causes_down_to_the_last() {
        let inner = std::io::Error::other("received fatal alert: BadCertificate");
        let error = Fault::of(&from_source(std::io::Error::other(inner)));
        assert!(matches!(&error, Fault::Unknown(t) if t.contains("BadCertificate")), "{error:?}");
    }
}
