//! A watch of a lent store, and what becomes of it.

use std::ffi::c_char;

use primacy::lent::Told;
use primacy::store::KeyEvent;

use crate::error::{Fault, primacy_error};
use crate::ffi;
use crate::handle;
use crate::request::key_values;
use crate::result::primacy_key_value;
use crate::status::{PRIMACY_E_HANDLE, primacy_status};

/// A watch of a lent store. Valid until it has ended, or is not wanted any more.
pub type primacy_watch = u64;

/// What such a handle stands for.
struct Watching(Told);

/// The number of a watch, until nobody listens any more.
pub(crate) struct Number(pub primacy_watch);

impl Drop for Number {
    fn drop(&mut self) {
        // It may have ended.
        let _ = handle::free::<Watching>(self.0);
    }
}

/// A number for a watch that is about to begin.
pub(crate) fn expect(told: Told) -> Result<Number, Fault> {
    handle::new(Watching(told)).map(Number)
}

/// Says that all ranges of a watch of a lent store are watched: whatever happens to their keys from now on is told.
///
/// Any thread, does not block. `PRIMACY_E_HANDLE`: it has ended, is not wanted any more, or was never made; nothing
/// happens. So with the two functions below.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_watch_confirmed(watch: primacy_watch) -> primacy_status {
    ffi::enter_plain(|| {
        handle::find::<Watching>(watch)?.0.confirmed();
        Ok(())
    })
}

/// Tells what a watch of a lent store saw: for each write of a key the key as it is since, for each delete the key with
/// the revision that deleted it as `mod_revision`, and `version` 0. Those of one key come in the order of their
/// revisions, none left out; keys that are not watched do no harm.
///
/// `events` are copied, `count` of them, each with its `struct_size`. A watch whose client goes on by itself after its
/// connection broke is good as long as it misses nothing; otherwise it has ended. Any thread, does not block.
/// `PRIMACY_E_NULL`, `PRIMACY_E_STRUCT_SIZE`, `PRIMACY_E_ARGUMENT`: none of them was told. `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_watch_events(
    watch: primacy_watch,
    events: *const primacy_key_value,
    count: usize,
    error_out: *mut *mut primacy_error,
) -> primacy_status {
    let inside = || {
        let watching = handle::find::<Watching>(watch)?;
        // SAFETY: the header's contract for structs.
        let events = unsafe { key_values(events, count, "events") }?;
        let event = |kv: primacy::store::KeyValue| KeyEvent {
            key: kv.key.clone(),
            revision: kv.mod_revision,
            now: (kv.version != 0).then_some(kv),
        };
        watching.0.events(events.into_iter().map(event).collect());
        Ok(())
    };
    // SAFETY: the header's contract for error_out.
    unsafe { ffi::enter(error_out, inside) }
}

/// Says that a watch of a lent store watches no more, or never did; another one is opened. `why` is for people, and may
/// be NULL.
///
/// Any thread, does not block. `PRIMACY_OK`: `unwatch` is not called for it. `PRIMACY_E_HANDLE`: it had ended before,
/// or `unwatch` has been called, or soon will be. `PRIMACY_E_UTF8`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_watch_ended(watch: primacy_watch, why: *const c_char) -> primacy_status {
    ffi::enter_plain(|| {
        let watching = handle::find::<Watching>(watch)?;
        // SAFETY: the header's contract for texts.
        let why = unsafe { ffi::optional_text(why, "why") }?;
        if watching.0.ended(why.unwrap_or("the lent store says so")) {
            Ok(())
        } else {
            // Found a moment before its number was freed.
            Err(PRIMACY_E_HANDLE.into())
        }
    })
}
