//! The names of the engine's numbers, as texts of C's.

use std::ffi::{CString, c_char};
use std::sync::OnceLock;

use crate::error::owned;

/// The names of one enumeration, in the order of its numbers, which count from 1.
pub(crate) struct Names(OnceLock<Vec<CString>>);

impl Names {
    /// Made when they are first asked for.
    pub const fn new() -> Names {
        Names(OnceLock::new())
    }

    /// The name of a number; "unknown" for one that is none of them.
    pub fn of(&self, number: i32, all: impl IntoIterator<Item = &'static str>) -> *const c_char {
        let names = self.0.get_or_init(|| all.into_iter().map(owned).collect());
        let at = usize::try_from(i64::from(number) - 1).unwrap_or(usize::MAX);
        names.get(at).map_or(c"unknown".as_ptr(), |name| name.as_ptr())
    }
}
