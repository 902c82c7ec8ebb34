//! A defect on demand, for the tests of what becomes of one. Only where debug assertions are on; not in the header.

use crate::ffi;
use crate::status::primacy_status;

/// Panics inside, and so answers `PRIMACY_E_INTERNAL`.
#[unsafe(no_mangle)]
#[allow(clippy::panic, reason = "that is what it is for")]
pub extern "C" fn primacy_defect() -> primacy_status {
    ffi::keep_panics_quiet();
    ffi::enter_plain(|| panic!("on demand"))
}
