//! The configuration: a builder by name and text, so that a host can pass on what it reads from its own
//! files.

use std::ffi::{c_char, c_void};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use primacy::config::Settings;
use primacy::lent::Lender;
use primacy::log::Log;

use crate::error::{Fault, primacy_error};
use crate::ffi::{self, Out};
use crate::log::primacy_log;
use crate::status::primacy_status;
use crate::{handle, log, versioned};

/// A configuration under construction.
pub type primacy_config = u64;

/// What such a handle stands for.
pub(crate) struct Config {
    values: Mutex<primacy::config::Config>,
    log: Mutex<Log>,
    lent: Mutex<Option<Arc<dyn Lender>>>,
}

/// What sessions and observers are opened with.
pub(crate) struct Settled {
    /// The settings, checked together.
    pub settings: Settings,
    /// Where to log.
    pub log: Log,
    /// A store of the host's.
    pub lent: Option<Arc<dyn Lender>>,
}

impl Config {
    /// All of it as it is now.
    pub fn settled(&self) -> Result<Settled, Fault> {
        let settings = lock(&self.values).settings()?;
        Ok(Settled { settings, log: lock(&self.log).clone(), lent: lock(&self.lent).clone() })
    }

    /// The store for what is opened from now on.
    pub fn lend(&self, lent: Option<Arc<dyn Lender>>) {
        let old = std::mem::replace(&mut *lock(&self.lent), lent);
        // With the lock released: this may be the last use of the old one, which calls the host.
        drop(old);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a configuration with the defaults of the table of settings, and no log.
///
/// Any thread, does not block. `PRIMACY_E_NULL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_config_new(config_out: *mut primacy_config) -> primacy_status {
    ffi::keep_panics_quiet();
    // SAFETY: the header's contract for out parameters.
    let out = unsafe { Out::zeroed(config_out) };
    ffi::enter_plain(|| {
        out.required("config_out")?;
        let values = Mutex::new(primacy::config::Config::new());
        out.set(handle::new(Config { values, log: Mutex::new(Log::none()), lent: Mutex::default() })?);
        Ok(())
    })
}

/// Sets one setting, by the name and in the text form of the table of settings (durations there say their
/// unit).
///
/// What was opened with the configuration before does not change. Any thread, does not block.
///
/// `PRIMACY_E_CONFIG_NAME`: no such name. `PRIMACY_E_CONFIG_VALUE`: malformed or out of range. Whether
/// settings fit together is checked when the configuration is used. `PRIMACY_E_NULL`, `PRIMACY_E_UTF8`,
/// `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_config_set(
    config: primacy_config,
    name: *const c_char,
    value: *const c_char,
    error_out: *mut *mut primacy_error,
) -> primacy_status {
    let inside = || {
        // SAFETY: the header's contract for texts.
        let (name, value) = unsafe { (ffi::text(name, "name")?, ffi::text(value, "value")?) };
        let config = handle::find::<Config>(config)?;
        lock(&config.values).set(name, value)?;
        Ok(())
    };
    // SAFETY: the header's contract for error_out.
    unsafe { ffi::enter(error_out, inside) }
}

/// Sets where sessions and observers that are opened with this configuration from now on log to.
///
/// Without it they log nowhere; the library itself writes to no file and no stream. The log belongs to the
/// configuration and not to the process, so that two users of the library in one process do not take each
/// other's. `user_data` is handed to the callbacks; `on_stopped` tells when it is not needed any more, which
/// is after this configuration and all that was opened with it have been freed, or the log was set anew.
///
/// `log` is copied; NULL: no log. Any thread, does not block. `PRIMACY_E_STRUCT_SIZE`, `PRIMACY_E_NULL` (no
/// `on_line`), `PRIMACY_E_ARGUMENT` (no such level), `PRIMACY_E_HANDLE`. After an error `on_stopped` is not
/// called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_config_set_log(
    config: primacy_config,
    log: *const primacy_log,
    user_data: *mut c_void,
    error_out: *mut *mut primacy_error,
) -> primacy_status {
    let inside = || {
        let config = handle::find::<Config>(config)?;
        let new = if log.is_null() {
            Log::none()
        } else {
            // SAFETY: not NULL, and by the header a struct of the size it says.
            log::to_host(unsafe { versioned::read(log) }?, user_data)?
        };
        let old = std::mem::replace(&mut *lock(&config.log), new);
        // With the lock released: this may be the last use of the old log, which calls the host.
        drop(old);
        Ok(())
    };
    // SAFETY: the header's contract for error_out.
    unsafe { ffi::enter(error_out, inside) }
}

/// Ends a configuration. What was opened with it goes on.
///
/// Any thread, does not block. `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_config_free(config: primacy_config) -> primacy_status {
    ffi::leave(|| handle::free::<Config>(config))
}
