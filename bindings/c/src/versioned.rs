//! Structs that begin with `struct_size` and may grow at their end, in either direction of old and new: a
//! caller compiled against an older header gives a shorter struct, whose missing fields are zero; one
//! compiled against a newer header gives a longer one, which is taken as long as it does not use what this
//! library does not know.

use std::mem;
use std::ptr;
use std::slice;

use crate::error::Fault;
use crate::status::{PRIMACY_E_NULL, PRIMACY_E_STRUCT_SIZE};

/// No struct of ours will ever be this large; a size beyond it is garbage, and reading that far would be
/// worse.
const LARGEST: usize = 4096;

/// A struct whose first field is `struct_size: usize`.
///
/// # Safety
/// `#[repr(C)]`, without padding at its end; all bytes zero is a valid value of it.
pub(crate) unsafe trait Versioned: Copy {
    /// Its name in C.
    const NAME: &'static str;
    /// Its size in the first release that had it.
    const FIRST_SIZE: usize;

    fn zeroed() -> Self {
        // SAFETY: promised by whoever implements the trait.
        let mut zeroed: Self = unsafe { mem::zeroed() };
        // SAFETY: the first field of a `repr(C)` struct stands at its start.
        unsafe { ptr::from_mut(&mut zeroed).cast::<usize>().write(size_of::<Self>()) };
        zeroed
    }
}

fn size_at<T: Versioned>(from: *const T) -> Result<usize, Fault> {
    if from.is_null() {
        return Err(Fault::new(PRIMACY_E_NULL, format!("the {} is NULL; it must be given", T::NAME)));
    }
    // SAFETY: not NULL, and by the header at least `struct_size` of it is there.
    let size = unsafe { from.cast::<usize>().read() };
    if (T::FIRST_SIZE..=LARGEST).contains(&size) {
        return Ok(size);
    }
    let name = T::NAME;
    Err(Fault::new(PRIMACY_E_STRUCT_SIZE, format!("{name}.struct_size is {size}; set it to sizeof({name})")))
}

/// Reads a struct that the caller filled in.
pub(crate) unsafe fn read<T: Versioned>(from: *const T) -> Result<T, Fault> {
    let size = size_at(from)?;
    let mut value = T::zeroed();
    let known = size.min(size_of::<T>());
    // SAFETY: the caller says that `size` bytes are there; `value` has at least `known`.
    unsafe { ptr::copy_nonoverlapping(from.cast::<u8>(), ptr::from_mut(&mut value).cast::<u8>(), known) };
    // SAFETY: as above.
    let tail = (known..size).any(|at| unsafe { from.cast::<u8>().add(at).read() } != 0);
    if tail {
        let name = T::NAME;
        return Err(Fault::new(
            PRIMACY_E_STRUCT_SIZE,
            format!(
                "{name} has fields set that this library does not know: leave them zero, or load a newer one"
            ),
        ));
    }
    Ok(value)
}

/// Whether two are the same as far as a struct of `size` reaches.
pub(crate) fn same<T: Versioned>(one: &T, other: &T, size: usize) -> bool {
    let size = size.min(size_of::<T>());
    // SAFETY: as many bytes as there are; without padding, all of them have a value.
    let bytes = |of: &T| unsafe { slice::from_raw_parts(ptr::from_ref(of).cast::<u8>(), size_of::<T>()) };
    let after_size = size_of::<usize>()..size;
    bytes(one).get(after_size.clone()) == bytes(other).get(after_size)
}

/// Checks that the caller's struct can be written to, and zeroes all of it but its size.
pub(crate) unsafe fn clear<T: Versioned>(to: *mut T) -> Result<(), Fault> {
    let size = size_at(to)?;
    // SAFETY: the caller says that `size` bytes are there, and `size` covers `struct_size` itself.
    unsafe { ptr::write_bytes(to.cast::<u8>().add(size_of::<usize>()), 0, size - size_of::<usize>()) };
    Ok(())
}

/// Writes as much of `value` as the caller's struct has room for, and keeps its size.
pub(crate) unsafe fn write<T: Versioned>(to: *mut T, value: &T) -> Result<(), Fault> {
    let size = size_at(to)?;
    let head = size_of::<usize>();
    let known = size.min(size_of::<T>());
    // SAFETY: as in `clear`.
    unsafe {
        ptr::copy_nonoverlapping(
            ptr::from_ref(value).cast::<u8>().add(head),
            to.cast::<u8>().add(head),
            known - head,
        );
    }
    Ok(())
}
