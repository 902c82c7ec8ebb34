//! An observer: what a client of a coordinator uses to find the primary of a role.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use primacy::engine::Primary;
use primacy::milvus::Role;
use primacy::observer::{Observer, OnChange, WaitError};
use primacy::platform;

use crate::config::{Config, Settled, primacy_config};
use crate::error::{Fault, primacy_error};
use crate::ffi::{self, Out, UserData};
use crate::primary::{primacy_primary, show, token_of};
use crate::queue::{self, primacy_queue};
use crate::scope::{self, Scope};
use crate::status::*;
use crate::versioned::{self, Versioned};
use crate::{duration, ending, handle};

/// An observer of one role.
pub type primacy_observer = u64;

/// What an observer calls. See `primacy_observer_open`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct primacy_observer_callbacks {
    /// `sizeof(primacy_observer_callbacks)`.
    pub struct_size: usize,
    /// There is another primary, it has become ready, or (`token` 0) there is none: one at a time, in order; a
    /// state that passed while it ran may be left out. `primary` lives until it returns. Must return soon. May be
    /// NULL.
    pub on_change: Option<unsafe extern "C" fn(user_data: *mut c_void, primary: *const primacy_primary)>,
    /// The last use of `user_data`. May be NULL.
    pub on_stopped: Option<unsafe extern "C" fn(user_data: *mut c_void)>,
}

// SAFETY: repr(C), pointers only, zero is `None`.
unsafe impl Versioned for primacy_observer_callbacks {
    const NAME: &'static str = "primacy_observer_callbacks";
    const FIRST_SIZE: usize = size_of::<primacy_observer_callbacks>();
}

struct Callbacks {
    callbacks: primacy_observer_callbacks,
    user_data: UserData,
    /// The observer was opened: a host that was told of an error keeps its `user_data` to itself.
    opened: AtomicBool,
}

impl Callbacks {
    fn change(&self, primary: Option<&Primary>) {
        if let Some(on_change) = self.callbacks.on_change {
            let shown = show(primary);
            // SAFETY: the host gave the function for this, and it has not been told `on_stopped` yet.
            scope::run(Scope::Telling, || unsafe { on_change(self.user_data.0, &shown) });
        }
    }
}

/// The engine has let go of it, so no change can follow.
impl Drop for Callbacks {
    fn drop(&mut self) {
        if let Some(on_stopped) = self.callbacks.on_stopped.filter(|_| *self.opened.get_mut()) {
            // SAFETY: as above; dropped once.
            scope::run(Scope::Telling, || unsafe { on_stopped(self.user_data.0) });
        }
    }
}

/// Opens an observer of `role`: it needs no session and no lease, and always knows the latest primary.
///
/// Blocks up to the setting `etcd.requestTimeout`, until the first answer of etcd. `config` and `callbacks`
/// are copied. `callbacks` may be NULL: then ask or wait. `user_data` must stay good until `on_stopped`,
/// which comes exactly once if this succeeds and never if it fails. Any thread, also inside a callback of an
/// election.
///
/// The statuses are those of `primacy_session_open`, and `PRIMACY_E_ROLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_observer_open(
    config: primacy_config,
    role: *const c_char,
    callbacks: *const primacy_observer_callbacks,
    user_data: *mut c_void,
    observer_out: *mut primacy_observer,
    error_out: *mut *mut primacy_error,
) -> primacy_status {
    // SAFETY: the header's contract for out parameters.
    let out = unsafe { Out::zeroed(observer_out) };
    let inside = || {
        out.required("observer_out")?;
        // SAFETY: the header's contract for texts.
        let role = unsafe { ffi::text(role, "role") }?;
        let on_change = if callbacks.is_null() {
            None
        } else {
            // SAFETY: the header's contract for structs.
            let callbacks = unsafe { versioned::read(callbacks) }?;
            Some(Arc::new(Callbacks {
                callbacks,
                user_data: UserData(user_data),
                opened: AtomicBool::new(false),
            }))
        };
        let to_host =
            on_change.clone().map(|callbacks| -> OnChange { Box::new(move |p| callbacks.change(p)) });
        let observer = open(config, role, to_host)?;
        if let Some(callbacks) = on_change {
            callbacks.opened.store(true, Ordering::Relaxed);
        }
        out.set(handle::new(observer)?);
        Ok(())
    };
    // SAFETY: the header's contract for error_out.
    unsafe { ffi::enter(error_out, inside) }
}

/// Opens an observer as `primacy_observer_open` does, whose changes arrive in an event queue under `tag`, as
/// `PRIMACY_EVENT_OBSERVED`.
///
/// The statuses are those of `primacy_observer_open`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_observer_open_queued(
    config: primacy_config,
    role: *const c_char,
    queue: primacy_queue,
    tag: u64,
    observer_out: *mut primacy_observer,
    error_out: *mut *mut primacy_error,
) -> primacy_status {
    // SAFETY: the header's contract for out parameters.
    let out = unsafe { Out::zeroed(observer_out) };
    let inside = || {
        out.required("observer_out")?;
        // SAFETY: the header's contract for texts.
        let role = unsafe { ffi::text(role, "role") }?;
        let on_change = queue::find(queue)?.on_change(tag);
        out.set(handle::new(open(config, role, Some(on_change))?)?);
        Ok(())
    };
    // SAFETY: the header's contract for error_out.
    unsafe { ffi::enter(error_out, inside) }
}

fn open(config: primacy_config, role: &str, on_change: Option<OnChange>) -> Result<Observer, Fault> {
    scope::may_block()?;
    let Settled { settings, log, lent } = handle::find::<Config>(config)?.settled()?;
    Role::parse(role).map_err(|e| Fault::new(PRIMACY_E_ROLE, e.to_string()))?;
    platform::mark_children();
    Ok(Observer::open_on(lent, settings, role, log, on_change)?)
}

/// Who is primary, as far as this observer has heard: an earlier answer is never taken back.
///
/// All of `*primary_out` is 0 if nobody is. Any thread, does not block. `PRIMACY_E_NULL`,
/// `PRIMACY_E_STRUCT_SIZE`, `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_observer_current(
    observer: primacy_observer,
    primary_out: *mut primacy_primary,
) -> primacy_status {
    // SAFETY: the header's contract for structs.
    let cleared = unsafe { versioned::clear(primary_out) };
    ffi::enter_plain(|| {
        cleared?;
        let primary = handle::find::<Observer>(observer)?.current();
        // SAFETY: as above.
        unsafe { versioned::write(primary_out, &show(primary.as_ref())) }
    })
}

/// Waits until the primary is another than the one whose token you have seen; 0: until there is one.
///
/// With `seen_token` not 0 the answer may also be that there is none (all of `*primary_out` 0). Blocks up to
/// `timeout_ms`. Any thread, several at a time.
///
/// `PRIMACY_E_TIMEOUT`: nothing changed. `PRIMACY_E_STOPPED`: freed meanwhile. `PRIMACY_E_DEADLOCK`: inside a
/// callback. `PRIMACY_E_NULL`, `PRIMACY_E_STRUCT_SIZE`, `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_observer_wait(
    observer: primacy_observer,
    seen_token: i64,
    timeout_ms: u64,
    primary_out: *mut primacy_primary,
) -> primacy_status {
    // SAFETY: as of this function.
    unsafe { wait(observer, timeout_ms, primary_out, |primary| token_of(primary) != seen_token) }
}

/// Waits until there is a primary that is ready, which may be the one that was there before: what a client does before
/// each call. When the call fails, wait a little with `primacy_observer_wait` for another one, and come back here: the
/// newest primary may only be busy, and is the one to ask again.
///
/// Blocks up to `timeout_ms`. Any thread, several at a time.
///
/// `PRIMACY_E_TIMEOUT`: none is ready. `PRIMACY_E_STOPPED`: freed meanwhile. `PRIMACY_E_DEADLOCK`: inside a callback.
/// `PRIMACY_E_NULL`, `PRIMACY_E_STRUCT_SIZE`, `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_observer_wait_ready(
    observer: primacy_observer,
    timeout_ms: u64,
    primary_out: *mut primacy_primary,
) -> primacy_status {
    // SAFETY: as of this function.
    unsafe { wait(observer, timeout_ms, primary_out, |primary| primary.is_some_and(|primary| primary.ready)) }
}

unsafe fn wait(
    observer: primacy_observer,
    timeout_ms: u64,
    primary_out: *mut primacy_primary,
    reached: impl Fn(Option<&Primary>) -> bool,
) -> primacy_status {
    // SAFETY: the header's contract for structs.
    let cleared = unsafe { versioned::clear(primary_out) };
    ffi::enter_plain(|| {
        cleared?;
        scope::may_join()?;
        let observer = handle::find::<Observer>(observer)?;
        let primary =
            observer.wait_until(duration::from_ms(timeout_ms), reached).map_err(|error| match error {
                WaitError::TimedOut => PRIMACY_E_TIMEOUT,
                WaitError::Closed => PRIMACY_E_STOPPED,
                WaitError::InCallback => PRIMACY_E_DEADLOCK,
            })?;
        // SAFETY: as above.
        unsafe { versioned::write(primary_out, &show(primary.as_ref())) }
    })
}

/// Ends an observer. The handle is invalid at once; waits for it end with `PRIMACY_E_STOPPED`.
///
/// Blocks until `on_change`, if it is running, has returned, up to the setting `primacy.drain_timeout_ms`;
/// inside a callback it does not wait. Afterwards only `on_stopped` is called. `PRIMACY_E_TIMEOUT`:
/// `on_change` still hangs, so its `user_data` must stay good until `on_stopped`. Any thread.
///
/// `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_observer_free(observer: primacy_observer) -> primacy_status {
    ffi::leave(|| {
        let found = handle::close::<Observer>(observer)?;
        let closed = found.close(scope::is_inside().then_some(Duration::ZERO));
        handle::remove(observer);
        if scope::is_inside() { Ok(()) } else { ending::joined(closed) }
    })
}
