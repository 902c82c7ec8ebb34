//! An election: a role on a session.

use std::ffi::{CString, c_char, c_void};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use primacy::clock::Clock;
use primacy::election::{CommitError, Host};
use primacy::engine::{CallId, ElectionSnapshot, Token};
use primacy::platform;
use primacy::session::{RegisterError, Session};
use primacy::store::TxnAnswer;

use crate::answer;
use crate::duration;
use crate::ending::{self, Ends};
use crate::error::{Fault, owned, primacy_error};
use crate::ffi::{self, Out, UserData};
use crate::handle;
use crate::result::{self, TxnResult, primacy_on_result, primacy_result};
use crate::scope;
use crate::status::*;
use crate::txn::{Txn, primacy_txn};

/// An election: a role on a session.
pub type primacy_election = u64;

/// What such a handle stands for.
pub(crate) struct Election {
    inner: primacy::election::Election,
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
            CommitError::Conflict(_) => PRIMACY_E_CONFLICT.into(),
        }
    }
}

/// Registers an election and gives out its handle.
pub(crate) fn register(
    session: &Session,
    role: &str,
    host: impl FnOnce(primacy_election, Arc<Life>) -> Arc<dyn Host>,
) -> Result<primacy_election, Fault> {
    // The host's callbacks bear the handle, so it comes before the election.
    let handle = handle::reserve()?;
    let life = Arc::new(Life::default());
    match session.register(role, host(handle, life.clone())) {
        Ok(inner) => {
            // First: whoever closes it, as soon as it is there, takes this back.
            handle::show(handle, inner.win());
            handle::fill(handle, Election { inner, life })?;
            Ok(handle)
        }
        Err(error) => {
            handle::remove(handle);
            Err(error.into())
        }
    }
}

/// Campaigns from now on: `on_primary` follows if nobody holds the lock, else `on_standby`.
///
/// Returns at once; twice does no harm. Any thread, also inside a callback. `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_election_campaign(election: primacy_election) -> primacy_status {
    ffi::enter_plain(|| handle::find(election).map(|found: Arc<Election>| found.inner.campaign()))
}

/// Hands primacy over to a warm standby, if this process has it, and goes on as a standby.
///
/// `server_id` names the standby; 0: the best one, which is the one of the highest `primacy.priority`, and of those the
/// one that has been there for longest. It is asked first, by way of etcd, and has half a second to agree, more at a
/// slow etcd; then the next one is asked, three at most. Until one has agreed this process is primary, and it stays so
/// if none does: the log says why. Then `on_lost` follows, with `PRIMACY_LOST_TRANSFERRED`, and when it has ended one
/// transaction makes the standby primary: there is no moment without a holder of the lock. When that took long, the
/// standby is asked once more. Should it have gone by then, the next one is asked; where there is none this process is
/// primary again, by another `on_primary` with a new token.
///
/// Returns at once; without primacy, or while it is being handed over already, nothing happens. Inside a callback of this
/// election it takes effect when that call is completed. Any thread. `PRIMACY_E_ARGUMENT`: `server_id` is negative.
/// `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_election_transfer(election: primacy_election, server_id: i64) -> primacy_status {
    ffi::enter_plain(|| {
        let found: Arc<Election> = handle::find(election)?;
        if server_id < 0 {
            return Err(Fault::new(PRIMACY_E_ARGUMENT, "server_id is negative; give 0 for the best standby"));
        }
        found.inner.transfer((server_id != 0).then_some(server_id));
        Ok(())
    })
}

/// Says that the host is well, which a primary has to within each `primacy.liveness_timeout_ms`, where that is set.
///
/// The lease is renewed by the library's own threads, whatever those of the host do, so that a host that hangs would stay
/// primary for as long as its process lives. Call this from where the work is done, such as once in each round of a loop, and
/// not from a timer of its own. The time counts from the last such call, or from the end of `on_primary`. Where it runs out,
/// pauses of the whole process included, primacy is given up: `on_lost` with `PRIMACY_LOST_LIVENESS_EXPIRED`; the lock is
/// released when that has returned, or `primacy.drain_timeout_ms` later, and this process lets others go first. While
/// `on_primary` runs, and without primacy, it may be called and need not be; who has called it in `on_primary` has to go on.
///
/// Cheap, and never blocks; without the setting nothing happens. Any thread, also inside a callback. `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_election_healthy(election: primacy_election) -> primacy_status {
    ffi::enter_plain(|| handle::find(election).map(|found: Arc<Election>| found.inner.healthy()))
}

/// Gives primacy up, if this process has it, and goes on as a standby that lets others go first.
///
/// A warm standby takes over as by `primacy_election_transfer`, which see; if there is none, or none that answers, the
/// lock is released. Returns at once; `on_lost` follows. Inside a callback of this election it takes effect when that
/// call is completed. Any thread. `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_election_resign(election: primacy_election) -> primacy_status {
    ffi::enter_plain(|| handle::find(election).map(|found: Arc<Election>| found.inner.resign()))
}

/// Begins to end this election; the session and its other elections go on.
///
/// A primary gets `on_lost`, the lock is handed over to a warm standby as by `primacy_election_transfer` or released, the
/// candidate's record removed, `on_stopped` called.
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

/// Stops an election and waits until it is over, as `primacy_session_close` does for a session and all its elections,
/// which see. A stop of its session counts as one of its own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_election_close(
    election: primacy_election,
    timeout_ms: u64,
    unread: i32,
    error_out: *mut *mut primacy_error,
) -> primacy_status {
    // SAFETY: the header's contract for error_out.
    unsafe { ending::close::<Election>(election, timeout_ms, unread, error_out) }
}

/// Ends an election. The handle is invalid at once, save to complete calls that are pending, until
/// `on_stopped`.
///
/// Closes it as `primacy_election_close` does with `PRIMACY_AS_CONFIGURED`. With `PRIMACY_OK` no callback of it runs any more. `PRIMACY_E_TIMEOUT`: a callback still
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
        let outcome = answer::outcome(outcome, message)?
            .ok_or_else(|| Fault::new(PRIMACY_E_ARGUMENT, "PRIMACY_PENDING completes nothing"))?;
        let election = handle::find_closing::<Election>(election)?;
        election.inner.complete(CallId(call), outcome).map_err(|_| PRIMACY_E_CALL.into())
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
        ffi::caught(|| Ok(handle::find_closing::<Election>(election)?.inner.is_cancelled(CallId(call))));
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
    let asked = if platform::is_child() {
        Err(PRIMACY_E_FORKED)
    } else {
        handle::look(election, |cell| cell.read(|| Clock::BOOT.now()))
    };
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
        let txn = handle::find::<Txn>(txn)?.guarded();
        let (ended, answer) = told(election.inner.commit(Token(token), txn, duration::timeout(timeout_ms)?));
        if let Some(answer) = answer.filter(|_| !result_out.is_null()) {
            out.set(handle::new(TxnResult(answer))?);
        }
        ended
    };
    // SAFETY: the header's contract for error_out.
    unsafe { ffi::enter(error_out, inside) }
}

/// Begins what `primacy_election_commit` does, and returns at once: no thread waits, and any number may be under way.
/// `on_result` is called once, also if the session ends meanwhile.
///
/// `timeout_ms` may be `PRIMACY_AS_CONFIGURED`: the setting `etcd.requestTimeout`. `user_data` is handed to
/// `on_result`, and not used if this fails. Any thread, also inside a callback, does not block.
///
/// The statuses are those of `primacy_election_commit`; those that are known at once are answered here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_election_start_commit(
    election: primacy_election,
    token: i64,
    txn: primacy_txn,
    timeout_ms: u64,
    on_result: primacy_on_result,
    user_data: *mut c_void,
    error_out: *mut *mut primacy_error,
) -> primacy_status {
    let inside = || {
        let (on_result, user_data) = (result::required(on_result)?, UserData(user_data));
        let election = &handle::find::<Election>(election)?.inner;
        let txn = handle::find::<Txn>(txn)?.guarded();
        let timeout = duration::timeout_or_configured(timeout_ms, election.request_timeout())?;
        election.start_commit(Token(token), txn, timeout, move |answer| {
            result::tell(on_result, user_data, told(answer));
        });
        Ok(())
    };
    // SAFETY: the header's contract for error_out.
    unsafe { ffi::enter(error_out, inside) }
}

/// How a commit ended, and what it read: also where a comparison of the host's own did not hold.
fn told(answer: Result<TxnAnswer, CommitError>) -> (Result<(), Fault>, Option<TxnAnswer>) {
    match answer {
        Ok(answer) => (Ok(()), Some(answer)),
        Err(CommitError::Conflict(answer)) => (Err(PRIMACY_E_CONFLICT.into()), Some(answer)),
        Err(error) => (Err(error.into()), None),
    }
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
        let guard = election.inner.guard(Token(token)).ok_or(PRIMACY_E_NOT_PRIMARY)?;
        out.set(handle::new(TxnResult::of_guard(&guard).ok_or(PRIMACY_E_INTERNAL)?)?);
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
        let recording = handle::find::<Election>(election)?.inner.recording();
        out.set(CString::into_raw(owned(&recording)));
        Ok(())
    })
}

impl Election {
    /// The host layer's.
    pub fn inner(&self) -> &primacy::election::Election {
        &self.inner
    }

    /// Where it stands; `None`: it is over.
    pub fn snapshot(&self) -> Option<ElectionSnapshot> {
        self.inner.snapshot()
    }
}

impl Ends for Election {
    type What = primacy::election::Election;
    fn what(&self) -> &primacy::election::Election {
        &self.inner
    }
}
