//! The host's side of an election, as functions that are called on threads of the library.

use std::ffi::{CString, c_void};
use std::sync::Arc;

use primacy::election::{Host, Reply};
use primacy::engine::{Call, CallId, Notice, Outcome};

use crate::answer;
use crate::call::{self, primacy_call, primacy_notice};
use crate::election::{Life, primacy_election};
use crate::error::{Fault, owned};
use crate::ffi::{self, UserData};
use crate::scope::{self, Scope};
use crate::versioned::Versioned;

/// A callback of an election. It answers `PRIMACY_DONE`, `PRIMACY_WARM`, `PRIMACY_PENDING` or
/// `PRIMACY_FAILED`.
pub type primacy_on_call =
    Option<unsafe extern "C" fn(user_data: *mut c_void, call: *const primacy_call) -> i32>;

/// The host's side of an election. See "Callbacks" above for threads and order.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct primacy_callbacks {
    /// `sizeof(primacy_callbacks)`.
    pub struct_size: usize,
    /// Somebody else is primary, or it is not clear yet who is: once per standby period. NULL: nothing to do.
    pub on_standby: primacy_on_call,
    /// Get ready to take over. Again and again, every `primacy.warmup_interval_ms`, until it answers
    /// `PRIMACY_WARM`, then at a tenth of the pace. Cancelled when the election is won. NULL: always warm.
    pub on_warmup: primacy_on_call,
    /// This process is the primary, under `call->token`. Failing gives it back. Required.
    pub on_primary: primacy_on_call,
    /// It is not any more: exactly one for each `on_primary`, also while that still runs. The lock is
    /// released when this and all other calls of the token are over, so flush here: guarded writes still go
    /// through after `PRIMACY_LOST_RESIGNED` and `PRIMACY_LOST_STOPPED`. Required.
    pub on_lost: primacy_on_call,
    /// The call with this id should end soon: it must still be completed. Must return at once. May be NULL.
    pub on_cancelled: Option<unsafe extern "C" fn(user_data: *mut c_void, call: u64)>,
    /// Something that needs no answer. Must return soon. May be NULL.
    pub on_notice: Option<unsafe extern "C" fn(user_data: *mut c_void, notice: *const primacy_notice)>,
    /// The last use of `user_data`: nothing of this election runs any more. May be NULL.
    pub on_stopped: Option<unsafe extern "C" fn(user_data: *mut c_void)>,
}

// SAFETY: repr(C), pointers only, zero is `None`.
unsafe impl Versioned for primacy_callbacks {
    const NAME: &'static str = "primacy_callbacks";
    const FIRST_SIZE: usize = size_of::<primacy_callbacks>();
}

/// A host that is called back.
pub(crate) fn called_back(
    role: &str,
    callbacks: primacy_callbacks,
    user_data: *mut c_void,
) -> Result<impl FnOnce(primacy_election, Arc<Life>) -> Arc<dyn Host>, Fault> {
    for (required, name) in [(callbacks.on_primary, "on_primary"), (callbacks.on_lost, "on_lost")] {
        required.ok_or_else(|| ffi::null(&format!("primacy_callbacks.{name}")))?;
    }
    let (role, user_data) = (owned(role), UserData(user_data));
    Ok(move |election, life| -> Arc<dyn Host> {
        Arc::new(Callbacks { callbacks, user_data, role, election, life })
    })
}

/// The engine's view of the host.
struct Callbacks {
    callbacks: primacy_callbacks,
    user_data: UserData,
    role: CString,
    election: u64,
    life: Arc<Life>,
}

impl Host for Callbacks {
    fn call(&self, call: CallId, what: &Call) -> Reply {
        let (callback, otherwise) = match what {
            Call::Standby { .. } => (self.callbacks.on_standby, Reply::Done),
            Call::Warmup => (self.callbacks.on_warmup, Reply::Warm),
            Call::Primary { .. } => (self.callbacks.on_primary, Reply::Done),
            Call::Lost { .. } => (self.callbacks.on_lost, Reply::Done),
        };
        let Some(callback) = callback else { return otherwise };
        let answer = scope::run(Scope::Call, || {
            call::show_call(self.election, &self.role, call, what, |shown| {
                // SAFETY: the host gave the function for this, and it has not been told `on_stopped` yet.
                unsafe { callback(self.user_data.0, shown) }
            })
        });
        match answer::outcome(answer, None) {
            Ok(None) => Reply::Pending,
            Ok(Some(Outcome::Done)) => Reply::Done,
            Ok(Some(Outcome::Warm)) => Reply::Warm,
            Ok(Some(Outcome::Failed(why))) => Reply::Failed(why),
            Err(fault) => Reply::Failed(fault.message.unwrap_or_default()),
        }
    }

    fn cancelled(&self, call: CallId) {
        if let Some(on_cancelled) = self.callbacks.on_cancelled {
            // SAFETY: as in `call`.
            scope::run(Scope::Telling, || unsafe { on_cancelled(self.user_data.0, call.0) });
        }
    }

    fn notice(&self, what: &Notice) {
        if let Some(on_notice) = self.callbacks.on_notice {
            call::show_notice(self.election, &self.role, what, |shown| {
                // SAFETY: as in `call`.
                scope::run(Scope::Telling, || unsafe { on_notice(self.user_data.0, shown) });
            });
        }
    }

    fn stopped(&self) {
        if let Some(on_stopped) = self.callbacks.on_stopped {
            // SAFETY: as in `call`; the engine calls this once, as the last.
            scope::run(Scope::Telling, || unsafe { on_stopped(self.user_data.0) });
        }
        self.life.engine_is_through(self.election);
    }
}
