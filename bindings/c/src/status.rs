//! The statuses: what a function answers.

use std::ffi::{CStr, c_char};

/// What a function answers: `PRIMACY_OK` or one of `PRIMACY_E_...`. Numbers are never reused.
pub type primacy_status = i32;

macro_rules! statuses {
    ($($(#[doc = $doc:literal])* $name:ident, $text:literal;)*) => {
        /// The sentence of a status; also the text of an error that has nothing to add.
        pub(crate) fn text(status: primacy_status) -> Option<&'static CStr> {
            $(if status == $name { return Some($text) })*
            None
        }
    };
}

// cbindgen does not look into macros: the constants stand in the open, the sentences below.

/// It did what it says.
pub const PRIMACY_OK: primacy_status = 0;
/// A defect of the library; the call was abandoned. The message says where. Please report it.
pub const PRIMACY_E_INTERNAL: primacy_status = 1;
/// A pointer that must be set is NULL; the message says which.
pub const PRIMACY_E_NULL: primacy_status = 2;
/// No such handle: 0, made up, freed, or of another kind.
pub const PRIMACY_E_HANDLE: primacy_status = 3;
/// A text is not UTF-8.
pub const PRIMACY_E_UTF8: primacy_status = 4;
/// A value that can not be used here; the message says which would do.
pub const PRIMACY_E_ARGUMENT: primacy_status = 5;
/// `struct_size` is too small, or what lies beyond the fields that this library knows is not zero.
pub const PRIMACY_E_STRUCT_SIZE: primacy_status = 6;
/// Called in a process that was forked after the library was in use. See "Fork" above.
pub const PRIMACY_E_FORKED: primacy_status = 7;
/// It would wait inside a callback for that callback's own end. See "Callbacks" above.
pub const PRIMACY_E_DEADLOCK: primacy_status = 8;
/// Not over within the time given.
pub const PRIMACY_E_TIMEOUT: primacy_status = 9;
/// The session, election or observer was stopped.
pub const PRIMACY_E_STOPPED: primacy_status = 10;
/// No thread, descriptor or memory left; the message says which.
pub const PRIMACY_E_SYSTEM: primacy_status = 11;

/// No setting has this name.
pub const PRIMACY_E_CONFIG_NAME: primacy_status = 20;
/// The setting does not take this value; the message says which would do.
pub const PRIMACY_E_CONFIG_VALUE: primacy_status = 21;
/// Settings that do not fit together; the message names them.
pub const PRIMACY_E_CONFIG_RELATION: primacy_status = 22;
/// What identifies the candidate is incomplete or malformed; the message says what would do.
pub const PRIMACY_E_CANDIDATE: primacy_status = 23;
/// This name can not be a role; the message says why.
pub const PRIMACY_E_ROLE: primacy_status = 24;
/// This session runs the role already, or one that excludes it.
pub const PRIMACY_E_ROLE_TAKEN: primacy_status = 25;

/// etcd can not be reached, or can not serve now: no leader, no space. Nothing happened. Trying again can help.
pub const PRIMACY_E_UNREACHABLE: primacy_status = 30;
/// No answer from etcd: it may have happened, or may happen a little later. Read before you decide.
pub const PRIMACY_E_INDEFINITE: primacy_status = 31;
/// Wrong password, certificate or permission. Nothing happened, and it stays so until somebody changes it.
pub const PRIMACY_E_DENIED: primacy_status = 32;
/// etcd refused the request as such, such as one too large: the message says which. Nothing happened.
pub const PRIMACY_E_REFUSED: primacy_status = 33;

/// Not the primary of this token (any more). Nothing was written.
pub const PRIMACY_E_NOT_PRIMARY: primacy_status = 40;
/// Still the primary, but a comparison of your own did not hold. Nothing was written; the result has the
/// reads.
pub const PRIMACY_E_CONFLICT: primacy_status = 41;
/// No such call is waiting: it was completed before, or never made.
pub const PRIMACY_E_CALL: primacy_status = 42;

statuses! {
    PRIMACY_OK, c"ok";
    PRIMACY_E_INTERNAL, c"a defect of the library: please report it with the message and the log";
    PRIMACY_E_NULL, c"a pointer is NULL that must be given";
    PRIMACY_E_HANDLE, c"no such handle: give one that was made for this and has not been freed";
    PRIMACY_E_UTF8, c"a text is not UTF-8: convert it first";
    PRIMACY_E_ARGUMENT, c"a value can not be used here: the message says which would do";
    PRIMACY_E_STRUCT_SIZE, c"struct_size does not fit: zero the struct, then set struct_size to its sizeof";
    PRIMACY_E_FORKED, c"forked after the library was in use: use it in the parent, or after exec";
    PRIMACY_E_DEADLOCK, c"it would wait inside a callback for its own end: call it from another thread";
    PRIMACY_E_TIMEOUT, c"not over within the time given: wait again, or longer";
    PRIMACY_E_STOPPED, c"it was stopped: open another one";
    PRIMACY_E_SYSTEM, c"no thread, descriptor or memory left: try again, or raise the process's limits";
    PRIMACY_E_CONFIG_NAME, c"no setting has this name: see the table of settings";
    PRIMACY_E_CONFIG_VALUE, c"the setting does not take this value: see the table of settings";
    PRIMACY_E_CONFIG_RELATION, c"settings do not fit together: see the table of settings";
    PRIMACY_E_CANDIDATE, c"the candidate is incomplete or malformed: give address and version";
    PRIMACY_E_ROLE, c"this name can not be a role: give one such as rootcoord";
    PRIMACY_E_ROLE_TAKEN, c"the session runs this role already, or one that excludes it: use another session";
    PRIMACY_E_UNREACHABLE, c"etcd can not be reached or can not serve now: try again";
    PRIMACY_E_INDEFINITE, c"no answer from etcd, it may have happened: read before you decide";
    PRIMACY_E_DENIED, c"etcd denies it: check user, password, certificates and permissions";
    PRIMACY_E_REFUSED, c"etcd refuses the request as such: see the error's message";
    PRIMACY_E_NOT_PRIMARY, c"not the primary of this token, nothing was written: end what it was for";
    PRIMACY_E_CONFLICT, c"a comparison of your own did not hold, nothing was written: read again and decide anew";
    PRIMACY_E_CALL, c"no such call is waiting: complete each call once, by the id it came with";
}

/// Says in one sentence what a status means and what to do.
///
/// Never NULL; the text lives as long as the library. Any thread, does not block.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_status_string(status: primacy_status) -> *const c_char {
    text(status).unwrap_or(c"not a status of this library").as_ptr()
}

/// Whether the same call may succeed later without anybody changing anything: 1 or 0.
///
/// 1 for `PRIMACY_E_UNREACHABLE`, `PRIMACY_E_TIMEOUT` and `PRIMACY_E_SYSTEM`. Not for `PRIMACY_E_INDEFINITE`:
/// what it was may have happened, so repeated blindly it may happen twice; read first. Any thread, does not
/// block.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_status_may_pass(status: primacy_status) -> i32 {
    let may_pass = matches!(status, PRIMACY_E_UNREACHABLE | PRIMACY_E_TIMEOUT | PRIMACY_E_SYSTEM);
    i32::from(may_pass)
}
