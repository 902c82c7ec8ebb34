//! The boundary: each exported function runs inside [`enter`], reads its pointers by the functions here, and
//! calls one safe function.

use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::slice;

use primacy::panic;
use primacy::platform;

use crate::error::{Fault, primacy_error};
use crate::status::*;

/// Runs the inside of an exported function: nothing in a forked child, no unwinding into C, and the error
/// object where the caller asked for one.
pub(crate) unsafe fn enter(
    error_out: *mut *mut primacy_error,
    inside: impl FnOnce() -> Result<(), Fault>,
) -> primacy_status {
    if !error_out.is_null() {
        // SAFETY: not NULL, and by the header room for a pointer.
        unsafe { error_out.write(ptr::null_mut()) };
    }
    let Err(fault) = caught(inside) else { return PRIMACY_OK };
    let status = fault.status;
    if !error_out.is_null() {
        // SAFETY: as above.
        unsafe { error_out.write(Box::into_raw(fault.into_object())) };
    }
    status
}

/// The same without an error object.
pub(crate) fn enter_plain(inside: impl FnOnce() -> Result<(), Fault>) -> primacy_status {
    caught(inside).map_or_else(|fault| fault.status, |()| PRIMACY_OK)
}

/// The inside of a `free`. In a forked child there is nothing to end: what was open belongs to the parent.
pub(crate) fn leave(inside: impl FnOnce() -> Result<(), Fault>) -> primacy_status {
    if platform::is_child() { PRIMACY_OK } else { enter_plain(inside) }
}

/// Runs `inside` and turns a panic into a status.
pub(crate) fn caught<R>(inside: impl FnOnce() -> Result<R, Fault>) -> Result<R, Fault> {
    if platform::is_child() {
        return Err(PRIMACY_E_FORKED.into());
    }
    catch_unwind(AssertUnwindSafe(inside)).unwrap_or_else(|payload| {
        let text = format!("a defect of the library: {}", panic::text(&*payload));
        Err(Fault::new(PRIMACY_E_INTERNAL, text))
    })
}

/// For functions that may be the first to be called.
pub(crate) fn keep_panics_quiet() {
    // Under `cargo test` the hook is the test runner's.
    if !cfg!(test) {
        panic::keep_quiet();
    }
}

/// Text that must be there.
pub(crate) unsafe fn text<'a>(from: *const c_char, what: &str) -> Result<&'a str, Fault> {
    // SAFETY: passed on.
    unsafe { optional_text(from, what) }?.ok_or_else(|| null(what))
}

/// Text, or NULL.
pub(crate) unsafe fn optional_text<'a>(from: *const c_char, what: &str) -> Result<Option<&'a str>, Fault> {
    if from.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, and by the header ended by a NUL and left alone during the call.
    let text = unsafe { CStr::from_ptr(from) };
    text.to_str().map(Some).map_err(|e| Fault::new(PRIMACY_E_UTF8, format!("{what} is not UTF-8: {e}")))
}

/// Puts text into an array that C reads up to its NUL, if it fits: cut off, an address would be somebody else's.
pub(crate) fn copy_text<const N: usize>(to: &mut [c_char; N], text: &str) {
    if text.len() < N {
        copy_start(to, text);
    }
}

/// Puts as much of the text there as fits, cut off between two characters.
pub(crate) fn copy_start<const N: usize>(to: &mut [c_char; N], text: &str) {
    let mut end = text.len().min(N - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    for (to, from) in to.iter_mut().zip(text.bytes().take(end)) {
        *to = from as c_char;
    }
}

/// `size` bytes; NULL where there are none.
pub(crate) unsafe fn bytes<'a>(from: *const c_void, size: usize, what: &str) -> Result<&'a [u8], Fault> {
    if size == 0 {
        return Ok(&[]);
    }
    if from.is_null() {
        return Err(null(what));
    }
    if isize::try_from(size).is_err() {
        return Err(Fault::new(
            PRIMACY_E_ARGUMENT,
            format!("{what} has size {size}, more than there is memory"),
        ));
    }
    // SAFETY: not NULL, and by the header this many bytes, left alone during the call.
    Ok(unsafe { slice::from_raw_parts(from.cast(), size) })
}

/// A place for an answer. Made before anything can fail, so that it holds a defined value however the
/// function ends.
pub(crate) struct Out<T>(*mut T);

impl<T: Copy> Out<T> {
    /// Sets it to zero, if there is one. Only for numbers and pointers.
    pub unsafe fn zeroed(to: *mut T) -> Out<T> {
        if !to.is_null() {
            // SAFETY: not NULL, and by the header room for one `T`, which is a number or a pointer.
            unsafe { to.write_bytes(0, 1) };
        }
        Out(to)
    }

    /// For one that must be there.
    pub fn required(&self, what: &str) -> Result<(), Fault> {
        if self.0.is_null() { Err(null(what)) } else { Ok(()) }
    }

    pub fn set(&self, value: T) {
        if !self.0.is_null() {
            // SAFETY: not NULL, and by the header room for one `T` during the call.
            unsafe { self.0.write(value) };
        }
    }
}

pub(crate) fn null(what: &str) -> Fault {
    Fault::new(PRIMACY_E_NULL, format!("{what} is NULL; it must be given"))
}

/// The host's own data: handed back to its callbacks, never looked at.
#[derive(Clone, Copy)]
pub(crate) struct UserData(pub *mut c_void);

// SAFETY: the header says that callbacks run on threads of the library, so whoever gave it expects that.
unsafe impl Send for UserData {}
// SAFETY: as above.
unsafe impl Sync for UserData {}
