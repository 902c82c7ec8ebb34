//! An election: a role on a session, with the host's callbacks.

use std::ffi::{CString, c_char, c_void};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::election::{CommitError, Election as Engine, Host, Reply};
use engine::engine::{Call, CallId, ElectionSnapshot, Notice, Outcome, Token};
use engine::platform;
use engine::session::{JoinError, RegisterError, Session};

use crate::call::{self, primacy_call, primacy_notice};
use crate::ending::{self, Ending, Stops};
use crate::error::{Fault, owned, primacy_error};
use crate::ffi::{self, Out, UserData};
use crate::handle;
use crate::result::{Answer, primacy_result};
use crate::scope::{self, Scope};
use crate::status::*;
use crate::txn::{Batch, primacy_txn};
use crate::versioned::Versioned;

/// An election: a role on a session.
pub type primacy_election = u64;

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

/// What such a handle stands for.
pub(crate) struct Election {
    engine: Engine,
    drain: Duration,
    ending: Ending,
    life: Arc<Life>,
}

/// Who is through with the election, of the two that its slot is for.
#[derive(Default)]
pub(crate) struct Life(Mutex<Through>);

#[derive(Default)]
struct Through {
    host: bool,
    engine: bool,
}

impl Life {
    /// The engine is, after `on_stopped`.
    pub fn engine_is_through(&self, handle: u64) {
        self.let_go(handle, |through| through.engine = true);
    }

    /// The slot goes when both are through with it: the host, and the engine, which may still wait for a call
    /// to be completed under this handle.
    fn let_go(&self, handle: u64, who: impl FnOnce(&mut Through)) {
        let both = {
            let mut through = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            who(&mut through);
            through.host && through.engine
        };
        if both {
            handle::remove(handle);
        }
    }
}

impl From<RegisterError> for Fault {
    fn from(error: RegisterError) -> Fault {
        let status = match error {
            RegisterError::Role(_) => PRIMACY_E_ROLE,
            RegisterError::Again(_) | RegisterError::Beside(..) => PRIMACY_E_ROLE_TAKEN,
            RegisterError::Stopped => PRIMACY_E_STOPPED,
        };
        Fault::new(status, error.to_string())
    }
}

impl From<CommitError> for Fault {
    fn from(error: CommitError) -> Fault {
        match error {
            CommitError::NotPrimary(_) => Fault::new(PRIMACY_E_NOT_PRIMARY, error.to_string()),
            CommitError::Unknown(_) => Fault::new(PRIMACY_E_INDEFINITE, error.to_string()),
            CommitError::OwnLock(_) => Fault::new(PRIMACY_E_ARGUMENT, error.to_string()),
            CommitError::Failed(failure) => failure.into(),
        }
    }
}

/// Registers an election and gives out its handle.
pub(crate) fn register(
    session: &Session,
    role: &str,
    host: impl FnOnce(primacy_election, Arc<Life>) -> Arc<dyn Host>,
    drain: Duration,
    session_ending: &Arc<Ending>,
) -> Result<primacy_election, Fault> {
    // The host's callbacks bear the handle, so it comes before the election.
    let handle = handle::reserve()?;
    let life = Arc::new(Life::default());
    match session.register(role, host(handle, life.clone())) {
        Ok(engine) => {
            let win = engine.win();
            // First: whoever closes it, as soon as it is there, takes this back.
            handle::show_win(handle, win);
            handle::fill(handle, Election { engine, drain, ending: Ending::of(session_ending), life })?;
            Ok(handle)
        }
        Err(error) => {
            handle::remove(handle);
            Err(error.into())
        }
    }
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
        match call::outcome(answer, None) {
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

/// Campaigns from now on: `on_primary` follows if nobody holds the lock, else `on_standby`.
///
/// Returns at once; twice does no harm. Any thread, also inside a callback. `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_election_campaign(election: primacy_election) -> primacy_status {
    ffi::enter_plain(|| handle::with(election, |found: &Arc<Election>| found.engine.campaign()))
}

/// Gives primacy up, if this process has it, and goes on as a standby that lets others go first.
///
/// Returns at once; `on_lost` follows. Inside a callback of this election it takes effect when that call is
/// completed. Any thread. `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_election_resign(election: primacy_election) -> primacy_status {
    ffi::enter_plain(|| handle::with(election, |found: &Arc<Election>| found.engine.resign()))
}

/// Begins to end this election; the session and its other elections go on.
///
/// A primary gets `on_lost`, the lock is released, the candidate's record removed, `on_stopped` called.
/// Returns at once. Within `timeout_ms` this process has let go of the lock, whatever etcd and the callbacks
/// do; where etcd can not be reached, its keys there end with the lease. A callback that hangs keeps nobody
/// else out: `primacy_election_join` answers `PRIMACY_E_TIMEOUT`, and `on_stopped` comes when it is completed.
/// Inside a callback of this election it takes effect when that call is completed. Any thread.
/// `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_election_stop(election: primacy_election, timeout_ms: u64) -> primacy_status {
    ending::stop::<Election>(election, timeout_ms)
}

/// Waits until the election has ended and no callback of it runs any more. It does not stop it.
///
/// Blocks up to `timeout_ms`; 0: only asks. Any thread, several at a time.
///
/// `PRIMACY_E_TIMEOUT`: something still runs. `PRIMACY_E_DEADLOCK`: inside a callback. `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_election_join(election: primacy_election, timeout_ms: u64) -> primacy_status {
    ending::join::<Election>(election, timeout_ms)
}

/// Ends an election. The handle is invalid at once, save to complete calls that are pending, until
/// `on_stopped`.
///
/// Stops it if nobody has (within the setting `primacy.drain_timeout_ms`), and waits until the stop's
/// deadline at most, and 100 ms more for the news of it. With `PRIMACY_OK` no callback of it runs any more. `PRIMACY_E_TIMEOUT`: a callback still
/// hangs or was never completed, so `user_data` must stay good until `on_stopped`. Inside a callback it does
/// not wait, answers `PRIMACY_OK`, and the rest follows when that call is completed. Any thread.
///
/// `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_election_free(election: primacy_election) -> primacy_status {
    ending::free(election, |found: &Election| found.life.let_go(election, |through| through.host = true))
}

/// Ends a call whose callback answered `PRIMACY_PENDING`, or is about to.
///
/// `call` is `primacy_call.call`; `outcome` is `PRIMACY_DONE`, `PRIMACY_WARM` or `PRIMACY_FAILED`; `message`
/// says why it failed, or is NULL. Each call is completed once, also one that was cancelled. Any thread, also
/// before the callback has returned, and also after `primacy_election_free`. Does not block.
///
/// `PRIMACY_E_CALL`: no such call is waiting. `PRIMACY_E_ARGUMENT`: no such outcome. `PRIMACY_E_UTF8`,
/// `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_election_complete(
    election: primacy_election,
    call: u64,
    outcome: i32,
    message: *const c_char,
) -> primacy_status {
    ffi::enter_plain(|| {
        // SAFETY: the header's contract for texts.
        let message = unsafe { ffi::optional_text(message, "message") }?;
        let outcome = call::outcome(outcome, message)?
            .ok_or_else(|| Fault::new(PRIMACY_E_ARGUMENT, "PRIMACY_PENDING completes nothing"))?;
        let election = handle::find_closing::<Election>(election)?;
        election.engine.complete(CallId(call), outcome).map_err(|_| PRIMACY_E_CALL.into())
    })
}

/// Whether a call should end soon: 1 or 0. For a callback that blocks and looks now and then, instead of
/// `on_cancelled`.
///
/// 1 too if no such call is running, or the handle is no good: then there is nothing to go on for. Any
/// thread, does not block.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_election_is_cancelled(election: primacy_election, call: u64) -> i32 {
    let cancelled =
        ffi::caught(|| Ok(handle::find_closing::<Election>(election)?.engine.is_cancelled(CallId(call))));
    i32::from(cancelled.unwrap_or(true))
}

/// Whether this process is the primary, now, by the clock: 1 or 0, and nothing else.
///
/// It compares the time with the deadline of the lease at each call, so it answers 0 in time also when the
/// process was paused or cut off from etcd. Where it is 1, `*token_out` is the fencing token of the same win;
/// else 0. Every error is 0; `*status_out` has its status (`PRIMACY_E_HANDLE`, `PRIMACY_E_FORKED`) or
/// `PRIMACY_OK`. Both may be NULL. Between the answer and what you do with it time passes: what must never be
/// written by a former primary is written by `primacy_election_commit`. Any thread; never waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_election_is_primary(
    election: primacy_election,
    token_out: *mut i64,
    status_out: *mut primacy_status,
) -> i32 {
    // SAFETY: the header's contract for out parameters.
    let (token_out, status_out) = unsafe { (Out::zeroed(token_out), Out::zeroed(status_out)) };
    let Some((token, _)) = win(election, &status_out) else { return 0 };
    token_out.set(token.0);
    1
}

/// For how many milliseconds this process can still be sure to be the primary, should no renewal come; 0: it
/// is not.
///
/// Start nothing that takes longer. Every error is 0, with its status in `*status_out`, which may be NULL.
/// Any thread; never waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_election_remaining_ms(
    election: primacy_election,
    status_out: *mut primacy_status,
) -> u64 {
    // SAFETY: the header's contract for out parameters.
    let status_out = unsafe { Out::zeroed(status_out) };
    win(election, &status_out).map_or(0, |(_, left)| u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
}

/// What both of them ask. No panic is caught here, since nothing can panic: loads and comparisons.
#[inline]
fn win(election: primacy_election, status_out: &Out<primacy_status>) -> Option<(Token, Duration)> {
    let asked = if platform::is_child() { Err(PRIMACY_E_FORKED) } else { handle::win(election) };
    asked.unwrap_or_else(|status| {
        status_out.set(status);
        None
    })
}

/// The guarded write: commits `txn` in one etcd transaction that also compares that the lock is still held by
/// the win of `token`. By anyone but the present holder it never commits, however late it arrives.
///
/// `token` is the one that `on_primary` or `primacy_election_is_primary` gave: remember it with the work that
/// it covers, and do not ask again before the write. Blocks up to `timeout_ms`. Any thread, also inside a
/// callback of an election; after `on_lost` has begun too, as long as the lock has not been released.
///
/// `*result_out`, which may be NULL, is yours with `PRIMACY_OK` and with `PRIMACY_E_CONFLICT`; end it with
/// `primacy_result_free`.
///
/// `PRIMACY_E_NOT_PRIMARY`: for sure nothing was written, nor will be. `PRIMACY_E_CONFLICT`: still primary,
/// but a comparison of your own did not hold; nothing was written. `PRIMACY_E_INDEFINITE`: it may have been
/// written, or will be a little later. `PRIMACY_E_UNREACHABLE`, `PRIMACY_E_DENIED`, `PRIMACY_E_REFUSED` (a
/// batch too large is refused, never split): nothing was written. `PRIMACY_E_ARGUMENT`: `timeout_ms` is 0, or
/// `txn` writes the election's own lock. `PRIMACY_E_DEADLOCK`, `PRIMACY_E_HANDLE`.
///
/// etcd takes 128 of each kind in a transaction (its `--max-txn-ops`), and the guard is among them: of your
/// own, 126 comparisons and 126 gets (120 each for a mixcoord), and 128 puts, deletes and gets together.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_election_commit(
    election: primacy_election,
    token: i64,
    txn: primacy_txn,
    timeout_ms: u64,
    result_out: *mut primacy_result,
    error_out: *mut *mut primacy_error,
) -> primacy_status {
    // SAFETY: the header's contract for out parameters.
    let out = unsafe { Out::zeroed(result_out) };
    let inside = || {
        scope::may_block()?;
        let election = handle::find::<Election>(election)?;
        let txn = handle::find::<Batch>(txn)?.guarded();
        let answer = election.engine.commit(Token(token), txn, ffi::timeout(timeout_ms)?)?;
        let succeeded = answer.succeeded;
        if !result_out.is_null() {
            out.set(handle::new(Answer(answer))?);
        }
        if succeeded { Ok(()) } else { Err(PRIMACY_E_CONFLICT.into()) }
    };
    // SAFETY: the header's contract for error_out.
    unsafe { ffi::enter(error_out, inside) }
}

/// What `primacy_election_commit` compares besides your own, for writes to the same etcd by a client of your
/// own: add them all to each transaction, and it commits for nobody but the holder of this win.
///
/// `*result_out` has one get: the keys of the lock, and of each only `mod_revision` and `lease`, both of
/// which a transaction must find as they are there. It does not ask etcd. They stay the same for as long as
/// the win lasts. `*result_out` is yours; end it with `primacy_result_free`. Any thread, does not block.
///
/// `PRIMACY_E_NOT_PRIMARY`: `token` is not that of a win that still counts. `PRIMACY_E_NULL`,
/// `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_election_guard(
    election: primacy_election,
    token: i64,
    result_out: *mut primacy_result,
) -> primacy_status {
    // SAFETY: the header's contract for out parameters.
    let out = unsafe { Out::zeroed(result_out) };
    ffi::enter_plain(|| {
        out.required("result_out")?;
        let election = handle::find::<Election>(election)?;
        let guard = election.engine.guard(Token(token)).ok_or(PRIMACY_E_NOT_PRIMARY)?;
        out.set(handle::new(Answer::of_guard(&guard).ok_or(PRIMACY_E_INTERNAL)?)?);
        Ok(())
    })
}

/// The flight recorder: what happened, for a report of an unexpected loss. Whole, as long as that is not more than a
/// megabyte, about the first hour of a session with one election: then it is a transcript, which the engine's own tests
/// replay. Later the last steps that this election had a part in, to be read. Its first line says which.
///
/// `*text_out` is yours to end with `primacy_string_free`. It has keys, addresses, lease ids, and the reasons that
/// the host gave for calls that failed; nothing else of what the host writes. Any thread, does not block.
/// `PRIMACY_E_NULL`, `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_election_recording(
    election: primacy_election,
    text_out: *mut *mut c_char,
) -> primacy_status {
    // SAFETY: the header's contract for out parameters.
    let out = unsafe { Out::zeroed(text_out) };
    ffi::enter_plain(|| {
        out.required("text_out")?;
        let recording = handle::find::<Election>(election)?.engine.recording();
        out.set(CString::into_raw(owned(&recording)));
        Ok(())
    })
}

impl Election {
    /// Where it stands; `None`: it is over.
    pub fn snapshot(&self) -> Option<ElectionSnapshot> {
        self.engine.snapshot()
    }
}

impl Stops for Election {
    fn ending(&self) -> &Ending {
        &self.ending
    }
    fn drain(&self) -> Duration {
        self.drain
    }
    fn stop_engine(&self, timeout: Duration) {
        self.engine.stop(timeout);
    }
    fn join_engine(&self, timeout: Duration) -> Result<(), JoinError> {
        self.engine.join(timeout)
    }
}
