//! A request that is under way with a lent store, and what came of it.

use std::ffi::c_char;
use std::time::Duration;

use primacy::lent::Answers;
use primacy::store::{Answer, Failure, Key, KeyValue, LeaseId, Origin, Request, Revision, TxnAnswer, Value};

use crate::error::{Fault, primacy_error};
use crate::ffi;
use crate::handle;
use crate::result::primacy_key_value;
use crate::status::{PRIMACY_E_ARGUMENT, PRIMACY_E_HANDLE, PRIMACY_E_STRUCT_SIZE, primacy_status};
use crate::versioned::{self, Versioned};

/// A request that is under way with a lent store. Valid until it is completed or given up.
pub type primacy_request = u64;

/// What such a handle stands for.
struct Pending(Answers);

/// The number of a request, until nobody waits for it any more.
pub(crate) struct Number(pub primacy_request);

impl Drop for Number {
    fn drop(&mut self) {
        // It may have been completed.
        let _ = handle::free::<Pending>(self.0);
    }
}

/// A number for a request that is about to begin.
pub(crate) fn expect(answers: Answers) -> Result<Number, Fault> {
    handle::new(Pending(answers)).map(Number)
}

/// It may have happened, or may happen later: no answer in time, a connection that was lost after it was sent, and
/// whatever else is not known for sure.
pub const PRIMACY_FAILURE_INDEFINITE: i32 = 1;
/// It did certainly not happen, and may succeed later: it was never sent, or the server said that it can not serve now
/// (no leader, too many requests).
pub const PRIMACY_FAILURE_UNREACHABLE: i32 = 2;
/// It did not happen: no permission, wrong password. It stays so until somebody changes something.
pub const PRIMACY_FAILURE_DENIED: i32 = 3;
/// It did not happen: etcd has no space left (its alarm NOSPACE).
pub const PRIMACY_FAILURE_NO_SPACE: i32 = 4;
/// It did not happen: etcd refused it as such, such as one that is too large.
pub const PRIMACY_FAILURE_REFUSED: i32 = 5;
/// It did not happen: the lease that it names does not exist.
pub const PRIMACY_FAILURE_LEASE_NOT_FOUND: i32 = 6;
/// It did not happen: a grant named a lease that exists.
pub const PRIMACY_FAILURE_LEASE_EXISTS: i32 = 7;

/// The keys that one get found, in the order of their bytes. It never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct primacy_found {
    /// The keys, each with its `struct_size`.
    pub key_values: *const primacy_key_value,
    /// How many.
    pub count: usize,
}

/// What came of a request to a lent store. Set all of it to zero, then `struct_size` and what its request wants.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct primacy_answer {
    /// `sizeof(primacy_answer)`.
    pub struct_size: usize,
    /// One of `PRIMACY_FAILURE_...`, and then only `message` counts besides; 0: it was done.
    pub failure: i32,
    /// Of a transaction: not 0 if all comparisons held, so that `then` was done.
    pub succeeded: i32,
    /// Of a failure, what the client says, for people. May be NULL.
    pub message: *const c_char,
    /// Of a grant or renewal: what etcd granted, in seconds. Of a renewal, 0: there is no such lease, which etcd says
    /// so and not as an error.
    pub ttl_s: i64,
    /// Of a renewal or transaction: `cluster_id` of the answer's header.
    pub cluster_id: u64,
    /// Of a renewal or transaction: `raft_term` of the answer's header. A renewal only counts if a later answer bears
    /// the same, so it must be the one of this answer and no other.
    pub raft_term: u64,
    /// Of a transaction: `revision` of the answer's header.
    pub revision: i64,
    /// Of a transaction: what each get of the branch that was done has found, in their order.
    pub found: *const primacy_found,
    /// How many gets that branch has.
    pub found_count: usize,
}

// SAFETY: repr(C), a pair of 32 bits leaves no padding, zero is NULL or 0.
unsafe impl Versioned for primacy_answer {
    const NAME: &'static str = "primacy_answer";
    const FIRST_SIZE: usize = size_of::<primacy_answer>();
}

/// Says what came of a request to a lent store. Once for each; all that it points to is copied.
///
/// Any thread, also inside the function of the store that began it, does not block.
///
/// `PRIMACY_E_HANDLE`: it was completed before, given up because its time was over, or never made; nothing happens.
/// `PRIMACY_E_ARGUMENT`: this is no answer to what was asked, such as one without a raft term, or with another number
/// of gets; the message says which. `PRIMACY_E_NULL`, `PRIMACY_E_STRUCT_SIZE`, `PRIMACY_E_UTF8`. After these the request
/// still waits, and without an answer it ends as one of which nothing is known.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_request_complete(
    request: primacy_request,
    answer: *const primacy_answer,
    error_out: *mut *mut primacy_error,
) -> primacy_status {
    let inside = || {
        let pending = handle::find::<Pending>(request)?;
        // SAFETY: the header's contract for structs.
        let result = unsafe { result(&versioned::read(answer)?, pending.0.asked()) }?;
        match pending.0.answer(result) {
            Ok(true) => {}
            // Of several at a time one was first.
            Ok(false) => return Err(PRIMACY_E_HANDLE.into()),
            Err(unfit) => return Err(Fault::new(PRIMACY_E_ARGUMENT, unfit.to_string())),
        }
        // Who waited for it may have been faster.
        let _ = handle::free::<Pending>(request);
        Ok(())
    };
    // SAFETY: the header's contract for error_out.
    unsafe { ffi::enter(error_out, inside) }
}

unsafe fn result(given: &primacy_answer, asked: &Request) -> Result<Result<Answer, Failure>, Fault> {
    if given.failure != 0 {
        // SAFETY: the header's contract for texts.
        let message = unsafe { ffi::optional_text(given.message, "primacy_answer.message") }?;
        return failure(given.failure, message.unwrap_or_default().to_owned()).map(Err);
    }
    let ttl = Duration::from_secs(u64::try_from(given.ttl_s).unwrap_or(0));
    let origin = Origin { cluster: given.cluster_id, term: given.raft_term };
    Ok(Ok(match asked {
        Request::Grant { .. } => Answer::Granted { ttl },
        Request::KeepAlive { .. } => Answer::Renewed { ttl, origin },
        Request::Revoke { .. } => Answer::Revoked,
        Request::Txn(_) => Answer::Txn(TxnAnswer {
            succeeded: given.succeeded != 0,
            revision: Revision(given.revision),
            origin,
            // SAFETY: passed on.
            reads: unsafe { reads(given) }?,
        }),
    }))
}

fn failure(number: i32, message: String) -> Result<Failure, Fault> {
    Ok(match number {
        PRIMACY_FAILURE_INDEFINITE => Failure::Indefinite(message),
        PRIMACY_FAILURE_UNREACHABLE => Failure::Unreachable(message),
        PRIMACY_FAILURE_DENIED => Failure::Denied(message),
        PRIMACY_FAILURE_NO_SPACE => Failure::NoSpace(message),
        PRIMACY_FAILURE_REFUSED => Failure::Refused(message),
        PRIMACY_FAILURE_LEASE_NOT_FOUND => Failure::LeaseNotFound,
        PRIMACY_FAILURE_LEASE_EXISTS => Failure::LeaseExists,
        other => {
            let what = format!("primacy_answer.failure is {other}; set it to one of PRIMACY_FAILURE_...");
            return Err(Fault::new(PRIMACY_E_ARGUMENT, what));
        }
    })
}

unsafe fn reads(given: &primacy_answer) -> Result<Vec<Vec<KeyValue>>, Fault> {
    const WHAT: &str = "primacy_answer.found";
    let size = array_size(given.found.is_null(), given.found_count, WHAT)?;
    let one = |at| {
        // SAFETY: not NULL, and by the header this many; the struct never grows.
        let found = unsafe { *given.found.add(at) };
        // SAFETY: passed on.
        unsafe { key_values(found.key_values, found.count, "primacy_found.key_values") }
    };
    (0..size).map(one).collect()
}

/// A size that is garbage must not be believed: no answer of etcd's has so many.
fn array_size(is_null: bool, count: usize, what: &str) -> Result<usize, Fault> {
    const MOST: usize = 1 << 24;
    if count > MOST {
        return Err(Fault::new(PRIMACY_E_ARGUMENT, format!("{what} are {count}, more than etcd answers")));
    }
    if count > 0 && is_null { Err(ffi::null(what)) } else { Ok(count) }
}

/// Keys with what etcd knows of them, as the host gives them.
pub(crate) unsafe fn key_values(
    from: *const primacy_key_value,
    count: usize,
    what: &str,
) -> Result<Vec<KeyValue>, Fault> {
    let count = array_size(from.is_null(), count, what)?;
    // SAFETY: the header's contract for structs: each begins with its size, and they lie one behind the other.
    let stride = if count == 0 { 0 } else { unsafe { from.cast::<usize>().read() } };
    let one = |at: usize| {
        // SAFETY: by the header this many are there.
        let kv = unsafe { from.byte_add(at * stride) };
        // SAFETY: as above.
        let kv = unsafe {
            if kv.cast::<usize>().read() != stride {
                let why =
                    format!("{what} differ in struct_size; set it to sizeof(primacy_key_value) in each");
                return Err(Fault::new(PRIMACY_E_STRUCT_SIZE, why));
            }
            versioned::read(kv)?
        };
        // SAFETY: the header's contract for bytes.
        let (key, value) = unsafe {
            (
                ffi::bytes(kv.key.cast(), kv.key_size, "primacy_key_value.key")?,
                ffi::bytes(kv.value.cast(), kv.value_size, "primacy_key_value.value")?,
            )
        };
        Ok(KeyValue {
            key: Key::from(key),
            value: Value::from(value),
            create_revision: Revision(kv.create_revision),
            mod_revision: Revision(kv.mod_revision),
            version: kv.version,
            lease: LeaseId(kv.lease),
        })
    };
    (0..count).map(one).collect()
}
