//! A Rust library of somebody else's, which exports names that C libraries have, too.
#![allow(missing_docs, non_snake_case, clippy::missing_safety_doc)]

/// FNV: what matters is the name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn XXH64(input: *const u8, length: usize, seed: u64) -> u64 {
    // SAFETY: the caller's.
    let bytes = unsafe { std::slice::from_raw_parts(input, length) };
    bytes.iter().fold(seed ^ 0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3))
}

/// It panics, and catches that.
#[unsafe(no_mangle)]
pub extern "C" fn XXH_versionNumber() -> u32 {
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::spawn(|| panic!("in another's library")).join().map_or(803, |()| 0)
}
