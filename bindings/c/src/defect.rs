//! A defect on demand, for the tests of what becomes of one. Only where debug assertions are on, or the feature
//! `defect`, which an optimised library needs; not in the header.

use crate::error::primacy_error;
use crate::ffi;
use crate::status::primacy_status;

/// Panics inside, and so answers `PRIMACY_E_INTERNAL`.
#[unsafe(no_mangle)]
#[allow(clippy::panic, reason = "that is what it is for")]
pub unsafe extern "C" fn primacy_defect(error_out: *mut *mut primacy_error) -> primacy_status {
    ffi::keep_panics_quiet();
    // SAFETY: the header's contract for error_out.
    unsafe { ffi::enter(error_out, || panic!("on demand")) }
}
