//! Which version of the library this is.

use std::ffi::{CStr, c_char};

/// The version of the library that is running, such as "0.1.0".
///
/// Compare it with `PRIMACY_VERSION`, the one that was compiled against. Never NULL; lives as long as the
/// library. Any thread, does not block.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => c"",
        };
    VERSION.as_ptr()
}
