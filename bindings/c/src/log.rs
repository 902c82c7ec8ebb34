//! The log: lines for the operator, handed to the host.

use primacy::log::{Level, Log};
use std::ffi::{c_char, c_void};

use crate::error::{Fault, owned};
use crate::ffi::{self, UserData};
use crate::scope::{self, Scope};
use crate::status::PRIMACY_E_ARGUMENT;
use crate::versioned::Versioned;

/// An operator has to do something.
pub const PRIMACY_LOG_ERROR: i32 = 1;
/// Something is wrong; the library repairs it.
pub const PRIMACY_LOG_WARN: i32 = 2;
/// A change that an operator wants to know of.
pub const PRIMACY_LOG_INFO: i32 = 3;
/// The rest.
pub const PRIMACY_LOG_DEBUG: i32 = 4;

/// Where lines of the log go. See `primacy_config_set_log`.
///
/// The callbacks run on any thread of the library, or of the host inside a call of the library, several at a
/// time. They must return soon, and not wait for the library.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct primacy_log {
    /// `sizeof(primacy_log)`.
    pub struct_size: usize,
    /// `on_line` is called for lines up to this level: `PRIMACY_LOG_INFO` leaves out debug lines.
    pub level: i32,
    /// One line, which may have line feeds inside. `level` is one of `PRIMACY_LOG_...`; `text` lives until it
    /// returns. Required.
    pub on_line: Option<unsafe extern "C" fn(user_data: *mut c_void, level: i32, text: *const c_char)>,
    /// The last use of `user_data`. May be NULL.
    pub on_stopped: Option<unsafe extern "C" fn(user_data: *mut c_void)>,
}

// SAFETY: repr(C), the last field is a pointer, zero is `None`.
unsafe impl Versioned for primacy_log {
    const NAME: &'static str = "primacy_log";
    const FIRST_SIZE: usize = size_of::<primacy_log>();
}

struct HostLog {
    on_line: unsafe extern "C" fn(*mut c_void, i32, *const c_char),
    on_stopped: Option<unsafe extern "C" fn(*mut c_void)>,
    user_data: UserData,
}

/// A log that hands its lines to the host.
pub(crate) fn to_host(log: primacy_log, user_data: *mut c_void) -> Result<Log, Fault> {
    let on_line = log.on_line.ok_or_else(|| ffi::null("primacy_log.on_line"))?;
    let most = match log.level {
        PRIMACY_LOG_ERROR => Level::Error,
        PRIMACY_LOG_WARN => Level::Warn,
        PRIMACY_LOG_INFO => Level::Info,
        PRIMACY_LOG_DEBUG => Level::Debug,
        other => {
            let what = format!("primacy_log.level is {other}; set it to one of PRIMACY_LOG_...");
            return Err(Fault::new(PRIMACY_E_ARGUMENT, what));
        }
    };
    let host = HostLog { on_line, on_stopped: log.on_stopped, user_data: UserData(user_data) };
    Ok(Log::new(move |level, text| {
        if level <= most {
            host.line(level, text);
        }
    }))
}

impl HostLog {
    fn line(&self, level: Level, text: &str) {
        let level = match level {
            Level::Error => PRIMACY_LOG_ERROR,
            Level::Warn => PRIMACY_LOG_WARN,
            Level::Info => PRIMACY_LOG_INFO,
            Level::Debug => PRIMACY_LOG_DEBUG,
        };
        let text = owned(text);
        // SAFETY: the host gave the function for this, and it has not been told `on_stopped` yet.
        scope::run(Scope::Telling, || unsafe { (self.on_line)(self.user_data.0, level, text.as_ptr()) });
    }
}

/// The last copy of the log is gone, so no line can follow.
impl Drop for HostLog {
    fn drop(&mut self) {
        if let Some(on_stopped) = self.on_stopped {
            // SAFETY: as above; dropped once.
            scope::run(Scope::Telling, || unsafe { on_stopped(self.user_data.0) });
        }
    }
}
