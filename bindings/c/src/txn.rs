//! A transaction under construction: comparisons, writes and reads of the host's own, for a guarded write; or
//! reads alone, for a read.

use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use primacy::store::{Compare, Condition, Key, LeaseId, Op, Range, Revision, Txn, Value};

use crate::error::Fault;
use crate::ffi::{self, Out};
use crate::handle;
use crate::status::{PRIMACY_E_ARGUMENT, primacy_status};

/// A transaction under construction.
pub type primacy_txn = u64;

/// What such a handle stands for.
#[derive(Default)]
pub(crate) struct Batch(Mutex<Draft>);

#[derive(Clone, Default)]
struct Draft {
    when: Vec<Compare>,
    ops: Vec<Op>,
}

impl Batch {
    fn add(&self, change: impl FnOnce(&mut Draft)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The transaction. Its reads are done either way: whoever lost a race sees what he lost it to.
    pub fn guarded(&self) -> Txn {
        let draft = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let otherwise = draft.ops.iter().filter(|op| matches!(op, Op::Get(_))).cloned().collect();
        Txn { when: draft.when, then: draft.ops, otherwise }
    }

    /// What it reads, if it does nothing else.
    pub fn ranges(&self) -> Result<Vec<Range>, Fault> {
        let draft = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let reads = draft.ops.into_iter().map(|op| match op {
            Op::Get(range) => Some(range),
            Op::Put(..) | Op::Delete(_) => None,
        });
        match reads.collect::<Option<Vec<_>>>() {
            Some(reads) if draft.when.is_empty() && !reads.is_empty() => Ok(reads),
            _ => Err(Fault::new(
                PRIMACY_E_ARGUMENT,
                "a read takes a transaction of one or more gets; commit one that compares or writes",
            )),
        }
    }
}

unsafe fn key_of(key: *const c_void, size: usize) -> Result<Key, Fault> {
    // SAFETY: passed on.
    match unsafe { ffi::bytes(key, size, "key") }? {
        [] => Err(Fault::new(PRIMACY_E_ARGUMENT, "the key is empty; etcd has no such key")),
        key => Ok(key.into()),
    }
}

/// The keys that begin with `prefix`: up to the prefix with its last byte one higher.
fn below(prefix: &Key) -> Range {
    let mut end = prefix.as_bytes().to_vec();
    while end.last() == Some(&u8::MAX) {
        end.pop();
    }
    match end.last_mut() {
        Some(last) => *last += 1,
        // Nothing but 0xff: to the end of all keys, which etcd writes as one zero byte.
        None => end.push(0),
    }
    Range::Span { from: prefix.clone(), to: end.as_slice().into() }
}

unsafe fn compare(
    txn: primacy_txn,
    key: *const c_void,
    size: usize,
    condition: Condition,
) -> Result<(), Fault> {
    // SAFETY: passed on.
    let range = Range::Key(unsafe { key_of(key, size) }?);
    handle::find::<Batch>(txn)?.add(|draft| draft.when.push(Compare { range, condition }));
    Ok(())
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
        out.set(handle::new(Batch::default())?);
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
    // SAFETY: the header's contract for bytes.
    ffi::enter_plain(|| unsafe {
        compare(txn, key, key_size, Condition::ModRevision(Revision(mod_revision)))
    })
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
    ffi::enter_plain(|| unsafe { compare(txn, key, key_size, Condition::Version(version)) })
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
    ffi::enter_plain(|| {
        // SAFETY: the header's contract for bytes.
        let value = Value::from(unsafe { ffi::bytes(value, value_size, "value") }?);
        // SAFETY: as above.
        unsafe { compare(txn, key, key_size, Condition::Value(value)) }
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
    ffi::enter_plain(|| unsafe { compare(txn, key, key_size, Condition::Absent) })
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
        let (key, value) = unsafe { (key_of(key, key_size)?, ffi::bytes(value, value_size, "value")?) };
        let put = Op::Put(key, value.into(), LeaseId::NONE);
        handle::find::<Batch>(txn)?.add(|draft| draft.ops.push(put));
        Ok(())
    })
}

/// Deletes a key, if it is there, if all comparisons hold.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_txn_delete(
    txn: primacy_txn,
    key: *const c_void,
    key_size: usize,
) -> primacy_status {
    ffi::enter_plain(|| {
        // SAFETY: the header's contract for bytes.
        let delete = Op::Delete(unsafe { key_of(key, key_size) }?);
        handle::find::<Batch>(txn)?.add(|draft| draft.ops.push(delete));
        Ok(())
    })
}

/// Reads a key. It is read whether or not your comparisons hold, so that you see what you lost a race to. The
/// gets of a transaction are numbered from 0, in the order in which they were added.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_txn_get(
    txn: primacy_txn,
    key: *const c_void,
    key_size: usize,
) -> primacy_status {
    ffi::enter_plain(|| {
        // SAFETY: the header's contract for bytes.
        let get = Op::Get(Range::Key(unsafe { key_of(key, key_size) }?));
        handle::find::<Batch>(txn)?.add(|draft| draft.ops.push(get));
        Ok(())
    })
}

/// Reads all keys that begin with `prefix`, in the order of their bytes. Counts as one get.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_txn_get_prefix(
    txn: primacy_txn,
    prefix: *const c_void,
    prefix_size: usize,
) -> primacy_status {
    ffi::enter_plain(|| {
        // SAFETY: the header's contract for bytes.
        let get = Op::Get(below(&unsafe { key_of(prefix, prefix_size) }?));
        handle::find::<Batch>(txn)?.add(|draft| draft.ops.push(get));
        Ok(())
    })
}

/// Ends a transaction. A commit of it that is under way goes on.
///
/// Any thread, does not block. `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_txn_free(txn: primacy_txn) -> primacy_status {
    ffi::leave(|| handle::free::<Batch>(txn))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_higher_text() {
        let end = |prefix: &[u8]| match below(&prefix.into()) {
            Range::Span { to, .. } => to.as_bytes().to_vec(),
            Range::Key(_) => vec![],
        };
        assert_eq!(end(b"a/"), b"a0");
        assert_eq!(end(b"a\xff\xff"), b"b");
        assert_eq!(end(b"\xff"), b"\0");
    }
}
