//! What a commit or a read brought.

use std::ffi::{c_char, c_void};
use std::ptr;

use primacy::store::{Compare, Condition, KeyValue, LeaseId, Range, Revision, TxnAnswer, Value};

use crate::error::{Fault, primacy_error};
use crate::ffi::{self, Out, UserData};
use crate::handle;
use crate::scope::{self, Scope};
use crate::status::{PRIMACY_E_ARGUMENT, PRIMACY_OK, primacy_status};
use crate::versioned::{self, Versioned};

/// What a commit or a read brought.
pub type primacy_result = u64;

/// What such a handle stands for.
pub(crate) struct TxnResult(pub TxnAnswer);

impl TxnResult {
    /// Comparisons of revision and lease, as keys that meet them; `None` if there is another one among them.
    pub fn of_guard(guard: &[Compare]) -> Option<Self> {
        let mut keys: Vec<KeyValue> = Vec::new();
        for compare in guard {
            let Range::Key(key) = &compare.range else { return None };
            let found = keys.iter().position(|kv| kv.key == *key).unwrap_or_else(|| {
                keys.push(KeyValue {
                    key: key.clone(),
                    value: Value::default(),
                    create_revision: Revision(0),
                    mod_revision: Revision(0),
                    version: 0,
                    lease: LeaseId(0),
                });
                keys.len() - 1
            });
            let kv = keys.get_mut(found)?;
            match compare.condition {
                Condition::ModRevision(revision) => kv.mod_revision = revision,
                Condition::Lease(lease) => kv.lease = lease,
                Condition::Absent | Condition::Version(_) | Condition::Value(_) => return None,
            }
        }
        Some(TxnResult(TxnAnswer { succeeded: true, reads: vec![keys], ..TxnAnswer::default() }))
    }
}

/// Is told what came of `primacy_election_start_commit`, `primacy_session_start_read` or `primacy_session_start_open`.
///
/// `status` is that of `primacy_election_commit`, `primacy_session_read` or `primacy_session_open`. `result`, where
/// there is one, and `error`, NULL with `PRIMACY_OK`, are yours to free. It runs on a thread of the library; it must
/// return soon, and not call what blocks.
pub type primacy_on_result = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        status: primacy_status,
        result: primacy_result,
        error: *mut primacy_error,
    ),
>;

type OnResult = unsafe extern "C" fn(*mut c_void, primacy_status, primacy_result, *mut primacy_error);

/// One that must be there.
pub(crate) fn required(on_result: primacy_on_result) -> Result<OnResult, Fault> {
    on_result.ok_or_else(|| ffi::null("on_result"))
}

/// Tells the host how what it started ended.
pub(crate) fn tell(
    on_result: OnResult,
    user_data: UserData,
    (ended, answer): (Result<(), Fault>, Option<TxnAnswer>),
) {
    let made = answer.map(|answer| handle::new(TxnResult(answer))).transpose();
    let (ended, result) = match made {
        Ok(result) => (ended, result.unwrap_or(0)),
        Err(fault) => (Err(fault), 0),
    };
    let (status, error) = match ended {
        Ok(()) => (PRIMACY_OK, ptr::null_mut()),
        Err(fault) => (fault.status, Box::into_raw(fault.into_object())),
    };
    // SAFETY: the host gave the function for this, once.
    scope::run(Scope::Telling, || unsafe { on_result(user_data.0, status, result, error) });
}

/// A key with what etcd knows of it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct primacy_key_value {
    /// Set it to `sizeof(primacy_key_value)`.
    pub struct_size: usize,
    /// The key, `key_size` bytes; lives as long as the result.
    pub key: *const c_char,
    /// Its size in bytes.
    pub key_size: usize,
    /// The value, `value_size` bytes; lives as long as the result.
    pub value: *const c_char,
    /// Its size in bytes.
    pub value_size: usize,
    /// The revision that created the key.
    pub create_revision: i64,
    /// The revision that wrote it last.
    pub mod_revision: i64,
    /// How often it was written since it was created.
    pub version: i64,
    /// The lease that it hangs on; 0: none.
    pub lease: i64,
}

// SAFETY: repr(C), no field needs padding, zero is NULL or 0.
unsafe impl Versioned for primacy_key_value {
    const NAME: &'static str = "primacy_key_value";
    const FIRST_SIZE: usize = size_of::<primacy_key_value>();
}

fn no_such(what: &str, asked: usize, there: usize) -> Fault {
    Fault::new(PRIMACY_E_ARGUMENT, format!("there is no {what} {asked}; there are {there}, numbered from 0"))
}

/// etcd's revision right after the transaction; for one that wrote, the revision of its writes.
///
/// Any thread, does not block. `PRIMACY_E_NULL`, `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_result_revision(
    result: primacy_result,
    revision_out: *mut i64,
) -> primacy_status {
    // SAFETY: the header's contract for out parameters.
    let out = unsafe { Out::zeroed(revision_out) };
    ffi::enter_plain(|| {
        out.required("revision_out")?;
        out.set(handle::find::<TxnResult>(result)?.0.revision.0);
        Ok(())
    })
}

/// How many keys get number `get` found.
///
/// Any thread, does not block. `PRIMACY_E_ARGUMENT`: no such get. `PRIMACY_E_NULL`, `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_result_count(
    result: primacy_result,
    get: usize,
    count_out: *mut usize,
) -> primacy_status {
    // SAFETY: the header's contract for out parameters.
    let out = unsafe { Out::zeroed(count_out) };
    ffi::enter_plain(|| {
        out.required("count_out")?;
        let result = handle::find::<TxnResult>(result)?;
        let reads = &result.0.reads;
        out.set(reads.get(get).ok_or_else(|| no_such("get", get, reads.len()))?.len());
        Ok(())
    })
}

/// Key number `index` of those that get number `get` found.
///
/// Its texts live as long as the result. Any thread, does not block. `PRIMACY_E_ARGUMENT`: no such get or
/// key. `PRIMACY_E_NULL`, `PRIMACY_E_HANDLE`, `PRIMACY_E_STRUCT_SIZE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_result_key_value(
    result: primacy_result,
    get: usize,
    index: usize,
    key_value_out: *mut primacy_key_value,
) -> primacy_status {
    // SAFETY: the header's contract for structs.
    let cleared = unsafe { versioned::clear(key_value_out) };
    ffi::enter_plain(|| {
        cleared?;
        let result = handle::find::<TxnResult>(result)?;
        let reads = &result.0.reads;
        let found = reads.get(get).ok_or_else(|| no_such("get", get, reads.len()))?;
        let kv = found.get(index).ok_or_else(|| no_such("key", index, found.len()))?;
        let (key, value) = (kv.key.as_bytes(), kv.value.as_bytes());
        let shown = primacy_key_value {
            key: key.as_ptr().cast(),
            key_size: key.len(),
            value: value.as_ptr().cast(),
            value_size: value.len(),
            create_revision: kv.create_revision.0,
            mod_revision: kv.mod_revision.0,
            version: kv.version,
            lease: kv.lease.0,
            ..Versioned::zeroed()
        };
        // SAFETY: as above.
        unsafe { versioned::write(key_value_out, &shown) }
    })
}

/// Ends a result, and the texts that it showed.
///
/// Any thread, does not block. `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_result_free(result: primacy_result) -> primacy_status {
    ffi::leave(|| handle::free::<TxnResult>(result))
}
