//! A transaction under construction: comparisons, writes and reads of the host's own, for a guarded write; or
//! reads alone, for a read.

use std::ffi::c_void;
use std::sync::{Mutex, MutexGuard, PoisonError};

use primacy::batch::{Batch, BatchError};
use primacy::store::{Condition, Range, Revision, Value};

use crate::error::Fault;
use crate::ffi::{self, Out};
use crate::handle;
use crate::status::{PRIMACY_E_ARGUMENT, primacy_status};

/// A transaction under construction.
pub type primacy_txn = u64;

/// What such a handle stands for.
#[derive(Default)]
pub(crate) struct Txn(Mutex<Batch>);

impl Txn {
    fn batch(&self) -> MutexGuard<'_, Batch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As it is committed.
    pub fn guarded(&self) -> primacy::store::Txn {
        self.batch().txn()
    }

    /// What it reads, if it does nothing else.
    pub fn reads(&self) -> Result<Vec<Range>, Fault> {
        Ok(self.batch().reads()?)
    }
}

impl From<BatchError> for Fault {
    fn from(error: BatchError) -> Fault {
        Fault::new(PRIMACY_E_ARGUMENT, error.to_string())
    }
}

/// The inside of a function that adds something about a key.
unsafe fn add(
    txn: primacy_txn,
    key: *const c_void,
    size: usize,
    add: impl FnOnce(&mut Batch, &[u8]) -> Result<(), BatchError>,
) -> primacy_status {
    ffi::enter_plain(|| {
        // SAFETY: passed on.
        let key = unsafe { ffi::bytes(key, size, "key") }?;
        Ok(add(&mut handle::find::<Txn>(txn)?.batch(), key)?)
    })
}

/// Makes an empty transaction. It can be committed any number of times, by several threads too.
///
/// Keys are whole etcd keys. Keys and values are bytes with a size; they are copied. The functions that add
/// to it do not block, may be called on any thread, and answer `PRIMACY_E_NULL`, `PRIMACY_E_HANDLE`, or
/// `PRIMACY_E_ARGUMENT` for an empty key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_txn_new(txn_out: *mut primacy_txn) -> primacy_status {
    ffi::keep_panics_quiet();
    // SAFETY: the header's contract for out parameters.
    let out = unsafe { Out::zeroed(txn_out) };
    ffi::enter_plain(|| {
        out.required("txn_out")?;
        out.set(handle::new(Txn::default())?);
        Ok(())
    })
}

/// Compares: the key must last have been written at `mod_revision`; 0: must not be there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_txn_compare_mod_revision(
    txn: primacy_txn,
    key: *const c_void,
    key_size: usize,
    mod_revision: i64,
) -> primacy_status {
    let condition = Condition::ModRevision(Revision(mod_revision));
    // SAFETY: the header's contract for bytes.
    unsafe { add(txn, key, key_size, |batch, key| batch.compare(key, condition)) }
}

/// Compares: the key must have been written `version` times since it was created; 0: must not be there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_txn_compare_version(
    txn: primacy_txn,
    key: *const c_void,
    key_size: usize,
    version: i64,
) -> primacy_status {
    // SAFETY: the header's contract for bytes.
    unsafe { add(txn, key, key_size, |batch, key| batch.compare(key, Condition::Version(version))) }
}

/// Compares: the key must be there with this value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_txn_compare_value(
    txn: primacy_txn,
    key: *const c_void,
    key_size: usize,
    value: *const c_void,
    value_size: usize,
) -> primacy_status {
    // SAFETY: the header's contract for bytes.
    let value = unsafe { ffi::bytes(value, value_size, "value") };
    ffi::enter_plain(|| {
        let condition = Condition::Value(Value::from(value?));
        // SAFETY: as above.
        let key = unsafe { ffi::bytes(key, key_size, "key") }?;
        Ok(handle::find::<Txn>(txn)?.batch().compare(key, condition)?)
    })
}

/// Compares: the key must not be there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_txn_compare_absent(
    txn: primacy_txn,
    key: *const c_void,
    key_size: usize,
) -> primacy_status {
    // SAFETY: the header's contract for bytes.
    unsafe { add(txn, key, key_size, |batch, key| batch.compare(key, Condition::Absent)) }
}

/// Writes a key, on no lease, if all comparisons hold. etcd refuses a transaction that writes a key twice.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_txn_put(
    txn: primacy_txn,
    key: *const c_void,
    key_size: usize,
    value: *const c_void,
    value_size: usize,
) -> primacy_status {
    ffi::enter_plain(|| {
        // SAFETY: the header's contract for bytes.
        let (key, value) =
            unsafe { (ffi::bytes(key, key_size, "key")?, ffi::bytes(value, value_size, "value")?) };
        Ok(handle::find::<Txn>(txn)?.batch().put(key, value)?)
    })
}

/// Deletes a key, if it is there, if all comparisons hold.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_txn_delete(
    txn: primacy_txn,
    key: *const c_void,
    key_size: usize,
) -> primacy_status {
    // SAFETY: the header's contract for bytes.
    unsafe { add(txn, key, key_size, Batch::delete) }
}

/// Reads a key. It is read whether or not your comparisons hold, so that you see what you lost a race to. The
/// gets of a transaction are numbered from 0, in the order in which they were added.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_txn_get(
    txn: primacy_txn,
    key: *const c_void,
    key_size: usize,
) -> primacy_status {
    // SAFETY: the header's contract for bytes.
    unsafe { add(txn, key, key_size, Batch::get) }
}

/// Reads all keys that begin with `prefix`, in the order of their bytes. Counts as one get.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_txn_get_prefix(
    txn: primacy_txn,
    prefix: *const c_void,
    prefix_size: usize,
) -> primacy_status {
    // SAFETY: the header's contract for bytes.
    unsafe { add(txn, prefix, prefix_size, Batch::get_prefix) }
}

/// Ends a transaction. A commit of it that is under way goes on.
///
/// Any thread, does not block. `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_txn_free(txn: primacy_txn) -> primacy_status {
    ffi::leave(|| handle::free::<Txn>(txn))
}
