//! Who is primary, as a client of a coordinator sees it.

use std::ffi::c_char;
use std::mem;

use primacy::engine::Primary;

use crate::ffi;
use crate::versioned::Versioned;

/// Room for an address, its ending NUL included.
pub const PRIMACY_ADDRESS_SIZE: usize = 512;

/// Who is primary. All zero: nobody is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct primacy_primary {
    /// Set it to `sizeof(primacy_primary)`.
    pub struct_size: usize,
    /// Its server id; 0: there is no primary.
    pub server_id: i64,
    /// The fencing token of its win; 0: there is no primary.
    pub token: i64,
    /// Where it serves, `host:port`; "" if there is no primary, or its address is longer than any address.
    pub address: [c_char; PRIMACY_ADDRESS_SIZE],
    /// 1: its `on_primary` has succeeded under this token, so that it serves; also of a coordinator that does not
    /// say, as Milvus's own do not. 0: not yet, or there is no primary.
    pub ready: i32,
    /// Always 0.
    pub reserved: i32,
}

// SAFETY: repr(C), the array's size is a multiple of eight, a pair of 32 bits leaves no padding, zero is 0.
unsafe impl Versioned for primacy_primary {
    const NAME: &'static str = "primacy_primary";
    const FIRST_SIZE: usize = mem::offset_of!(primacy_primary, ready);
}

/// 0: there is no primary.
pub(crate) fn token_of(primary: Option<&Primary>) -> i64 {
    primary.map_or(0, |primary| primary.token.0)
}

pub(crate) fn show(primary: Option<&Primary>) -> primacy_primary {
    let mut shown = primacy_primary::zeroed();
    if let Some(primary) = primary {
        shown.server_id = primary.server_id;
        shown.token = token_of(Some(primary));
        ffi::copy_text(&mut shown.address, &primary.address);
        shown.ready = primary.ready.into();
    }
    shown
}
