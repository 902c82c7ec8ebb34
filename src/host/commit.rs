//! The guarded write: a transaction that commits only while a win lasts.

use std::time::Duration;

use super::requests::Requests;
use crate::engine::Token;
use crate::store::{Compare, Failure, Key, Op, Txn, TxnAnswer};

/// Why a guarded write did not happen, or may not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// For sure not written: this token is not that of the present primary.
    #[error("not primary: the lock is no longer held under token {0}")]
    NotPrimary(Token),
    /// For sure not written: the lock is the library's to write. A host that overwrote it would end its own win.
    #[error("not written: {0} is the election's own lock; to give it up, resign or stop the election")]
    OwnLock(Key),
    /// For sure not written, for another reason.
    #[error("not written: {0}")]
    Failed(Failure),
    /// For sure not written: a comparison of the host's own did not hold. What was read all the same.
    #[error("not written: a comparison of the transaction's own did not hold")]
    Conflict(TxnAnswer),
    /// It may have been written, or may be later.
    #[error("unknown, it may have been written: {0}")]
    Unknown(String),
}

/// Runs `txn` under the `guard` of the win of `token`; `None`: that win does not count any more.
pub(super) async fn commit(
    requests: &Requests,
    token: Token,
    guard: Option<Vec<Compare>>,
    txn: Txn,
    timeout: Duration,
) -> Result<TxnAnswer, CommitError> {
    if !txn.otherwise.iter().all(|op| matches!(op, Op::Get(_))) {
        let why = "the else-branch of a guarded transaction may only read";
        return Err(CommitError::Failed(Failure::Refused(why.into())));
    }
    let Some(guard) = guard else { return Err(CommitError::NotPrimary(token)) };
    let locks = |op: &Op| match op {
        Op::Put(key, ..) | Op::Delete(key) if guard.iter().any(|own| own.range.contains(key)) => {
            Some(key.clone())
        }
        _ => None,
    };
    if let Some(lock) = txn.then.iter().find_map(locks) {
        return Err(CommitError::OwnLock(lock));
    }
    let own = txn.otherwise.len();
    let txn = guarded(&guard, txn);
    let mut answer = match requests.of_host(txn, timeout).await {
        Ok(answer) => answer,
        Err(Failure::Indefinite(why)) => return Err(CommitError::Unknown(why)),
        Err(failure) => return Err(CommitError::Failed(failure)),
    };
    if answer.succeeded {
        return Ok(answer);
    }
    let holds = guard.iter().zip(answer.reads.iter().skip(own)).all(|(compare, found)| compare.holds(found));
    answer.reads.truncate(own);
    Err(if holds { CommitError::Conflict(answer) } else { CommitError::NotPrimary(token) })
}

/// The transaction that commits only if `guard` holds too. Where it does not, the lock's keys say so: they are read
/// last in the else-branch.
pub fn guarded(guard: &[Compare], txn: Txn) -> Txn {
    let Txn { mut when, then, mut otherwise } = txn;
    when.extend(guard.iter().cloned());
    otherwise.extend(guard.iter().map(|compare| Op::Get(compare.range.clone())));
    Txn { when, then, otherwise }
}
