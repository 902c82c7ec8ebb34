//! The error object: a status with its story. Owned by the caller, because a thread-local "last error" would
//! not follow a goroutine from one thread to the next.

use std::ffi::{CString, c_char};
use std::ptr;

use primacy::config::ConfigError;
use primacy::store::Failure;

use crate::status::*;

/// Why a call failed, in words. Owned by the caller, who ends it with `primacy_error_free`.
pub struct primacy_error {
    status: primacy_status,
    message: CString,
}

/// What a function inside this crate fails with; becomes a status and, where the caller asked for it, an
/// error object.
#[derive(Debug)]
pub(crate) struct Fault {
    pub status: primacy_status,
    /// `None`: the status's own sentence says it all.
    pub message: Option<String>,
}

impl Fault {
    pub fn new(status: primacy_status, message: impl Into<String>) -> Fault {
        Fault { status, message: Some(message.into()) }
    }

    pub fn into_object(self) -> Box<primacy_error> {
        let message = match self.message {
            Some(text) => owned(&text),
            None => text(self.status).unwrap_or_default().into(),
        };
        Box::new(primacy_error { status: self.status, message })
    }
}

impl From<primacy_status> for Fault {
    fn from(status: primacy_status) -> Fault {
        Fault { status, message: None }
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Fault {
        let status = match failure {
            Failure::Indefinite(_) => PRIMACY_E_INDEFINITE,
            Failure::Unreachable(_) | Failure::NoSpace(_) => PRIMACY_E_UNREACHABLE,
            Failure::Denied(_) => PRIMACY_E_DENIED,
            Failure::LeaseNotFound | Failure::LeaseExists | Failure::Refused(_) => PRIMACY_E_REFUSED,
        };
        Fault::new(status, failure.to_string())
    }
}

impl From<ConfigError> for Fault {
    fn from(error: ConfigError) -> Fault {
        let status = match error {
            ConfigError::Unknown { .. } => PRIMACY_E_CONFIG_NAME,
            ConfigError::Value { .. } => PRIMACY_E_CONFIG_VALUE,
            ConfigError::Relation(_) => PRIMACY_E_CONFIG_RELATION,
        };
        Fault::new(status, error.to_string())
    }
}

/// Text for C. A NUL inside would end it early, so it is shown instead.
pub(crate) fn owned(text: &str) -> CString {
    CString::new(text.replace('\0', "\u{2400}")).unwrap_or_default()
}

/// The status that the failed function answered; `PRIMACY_OK` for NULL.
///
/// Any thread, does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_error_status(error: *const primacy_error) -> primacy_status {
    // SAFETY: NULL, or an error object of ours that the caller has not freed.
    unsafe { error.as_ref() }.map_or(PRIMACY_OK, |error| error.status)
}

/// What went wrong and what would do, for people; "" for NULL. Lives as long as the error object.
///
/// Any thread, does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_error_message(error: *const primacy_error) -> *const c_char {
    // SAFETY: as above.
    unsafe { error.as_ref() }.map_or(c"".as_ptr(), |error| error.message.as_ptr())
}

/// Ends an error object. NULL is allowed; twice is not.
///
/// Any thread, does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_error_free(error: *mut primacy_error) {
    if !ptr::eq(error, ptr::null()) {
        // SAFETY: it came from `Box::into_raw` in `ffi::enter`, and the caller gives it back once.
        drop(unsafe { Box::from_raw(error) });
    }
}

/// Ends a text that the library handed over. NULL is allowed; twice is not.
///
/// Any thread, does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_string_free(string: *mut c_char) {
    if !string.is_null() {
        // SAFETY: it came from `CString::into_raw`, and the caller gives it back once.
        drop(unsafe { CString::from_raw(string) });
    }
}
