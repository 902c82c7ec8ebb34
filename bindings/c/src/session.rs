//! A session: a connection to etcd, a lease, a server id.

use primacy::platform;
use primacy::session::{OpenError, Session};
use primacy::store::Failure;
use std::ffi::{CString, c_char, c_void};

use crate::callbacks::{self, primacy_callbacks};
use crate::candidate::{self, primacy_candidate};
use crate::config::{Config, Settled, primacy_config};
use crate::election::{self, primacy_election};
use crate::ending;
use crate::error::{Fault, owned, primacy_error};
use crate::ffi::{self, Out, UserData};
use crate::queue::{self, primacy_queue};
use crate::result::{self, TxnResult, primacy_on_result, primacy_result};
use crate::status::*;
use crate::txn::{Txn, primacy_txn};
use crate::{duration, handle, scope, versioned};

/// A session: a connection to etcd, a lease, a server id, and the elections on them.
pub type primacy_session = u64;

impl From<OpenError> for Fault {
    fn from(error: OpenError) -> Fault {
        let status = match error {
            OpenError::Unavailable(_) => PRIMACY_E_UNREACHABLE,
            OpenError::Refused(Failure::Denied(_)) => PRIMACY_E_DENIED,
            OpenError::Refused(_) => PRIMACY_E_REFUSED,
            OpenError::Stopped => PRIMACY_E_STOPPED,
            OpenError::System(_) => PRIMACY_E_SYSTEM,
        };
        Fault::new(status, error.to_string())
    }
}

/// Opens a session: connects to etcd, asks for a lease, takes a server id.
///
/// `config` and `candidate` are copied; both may be freed or changed afterwards. Blocks up to the setting
/// `etcd.requestTimeout`. Any thread, also inside a callback of an election. If it fails, nothing is left
/// over.
///
/// `primacy_status_may_pass(status)` says whether trying again can help: it does for `PRIMACY_E_UNREACHABLE`
/// and `PRIMACY_E_SYSTEM`, not for `PRIMACY_E_DENIED`, `PRIMACY_E_REFUSED`, `PRIMACY_E_CONFIG_VALUE`,
/// `PRIMACY_E_CONFIG_RELATION`, `PRIMACY_E_CANDIDATE`, `PRIMACY_E_ARGUMENT`, `PRIMACY_E_STRUCT_SIZE`,
/// `PRIMACY_E_NULL`, `PRIMACY_E_UTF8`, `PRIMACY_E_HANDLE`, `PRIMACY_E_DEADLOCK`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_session_open(
    config: primacy_config,
    candidate: *const primacy_candidate,
    session_out: *mut primacy_session,
    error_out: *mut *mut primacy_error,
) -> primacy_status {
    // SAFETY: the header's contract for out parameters.
    let out = unsafe { Out::zeroed(session_out) };
    let inside = || {
        out.required("session_out")?;
        scope::may_block()?;
        let Settled { settings, log, lent } = handle::find::<Config>(config)?.settled()?;
        // SAFETY: the header's contract for structs.
        let candidate = unsafe { candidate::check(&versioned::read(candidate)?) }?;
        platform::mark_children();
        out.set(handle::new(Session::open_on(lent, settings, candidate, log)?)?);
        Ok(())
    };
    // SAFETY: the header's contract for error_out.
    unsafe { ffi::enter(error_out, inside) }
}

/// Begins what `primacy_session_open` does, and returns at once: no thread waits. `on_result` is called once, with
/// `PRIMACY_OK` when the session is open, else with why it is not; maybe before this returns, and without a result.
///
/// `*session_out` is there at once, to be freed in either case. Elections can be registered on it before it is open: they
/// begin when it is. `primacy_session_stop`, `_close` and `_free` end an opening that is under way, within 100 ms whatever
/// etcd does; `on_result` hears of it by `PRIMACY_E_STOPPED`. `user_data` is handed to `on_result`, and not used if this
/// fails. Any thread, also inside a callback, does not block.
///
/// The statuses are those of `primacy_session_open`; those that are known at once are answered here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_session_start_open(
    config: primacy_config,
    candidate: *const primacy_candidate,
    on_result: primacy_on_result,
    user_data: *mut c_void,
    session_out: *mut primacy_session,
    error_out: *mut *mut primacy_error,
) -> primacy_status {
    // SAFETY: the header's contract for out parameters.
    let out = unsafe { Out::zeroed(session_out) };
    let inside = || {
        out.required("session_out")?;
        let (on_result, user_data) = (result::required(on_result)?, UserData(user_data));
        let Settled { settings, log, lent } = handle::find::<Config>(config)?.settled()?;
        // SAFETY: the header's contract for structs.
        let candidate = unsafe { candidate::check(&versioned::read(candidate)?) }?;
        platform::mark_children();
        let tell = move |ended: Result<(), OpenError>| {
            result::tell(on_result, user_data, (ended.map_err(Fault::from), None));
        };
        out.set(handle::new(Session::start_open(lent, settings, candidate, log, tell)?)?);
        Ok(())
    };
    // SAFETY: the header's contract for error_out.
    unsafe { ffi::enter(error_out, inside) }
}

/// The session's server id in etcd: positive, and kept for as long as the session lives, unless etcd is put
/// back to an older state. 0: it is not open yet.
///
/// Any thread, does not block. `PRIMACY_E_NULL`, `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_session_server_id(
    session: primacy_session,
    server_id_out: *mut i64,
) -> primacy_status {
    // SAFETY: the header's contract for out parameters.
    let out = unsafe { Out::zeroed(server_id_out) };
    ffi::enter_plain(|| {
        out.required("server_id_out")?;
        out.set(handle::find::<Session>(session)?.server_id());
        Ok(())
    })
}

/// Adds an election to the session: puts the candidate's record for `role` in etcd, and nothing else until
/// `primacy_election_campaign`.
///
/// Returns at once; the record follows. `role` and `callbacks` are copied. `user_data` is handed to the
/// callbacks and must stay good until `on_stopped`, which comes exactly once if this succeeds and never if it
/// fails. Any thread, also inside a callback.
///
/// `PRIMACY_E_ROLE`: the name is refused (empty, `id`, `version`, with a slash, or ending in `-<digits>`).
/// `PRIMACY_E_ROLE_TAKEN`: the session runs it already, or runs mixcoord beside one of its three.
/// `PRIMACY_E_STOPPED`. `PRIMACY_E_STRUCT_SIZE`, `PRIMACY_E_NULL`, `PRIMACY_E_UTF8`, `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_session_register(
    session: primacy_session,
    role: *const c_char,
    callbacks: *const primacy_callbacks,
    user_data: *mut c_void,
    election_out: *mut primacy_election,
    error_out: *mut *mut primacy_error,
) -> primacy_status {
    // SAFETY: the header's contract for out parameters.
    let out = unsafe { Out::zeroed(election_out) };
    let inside = || {
        out.required("election_out")?;
        // SAFETY: the header's contract for texts and structs.
        let (role, callbacks) = unsafe { (ffi::text(role, "role")?, versioned::read(callbacks)?) };
        let host = callbacks::called_back(role, callbacks, user_data)?;
        out.set(election::register(&*handle::find::<Session>(session)?, role, host)?);
        Ok(())
    };
    // SAFETY: the header's contract for error_out.
    unsafe { ffi::enter(error_out, inside) }
}

/// Adds an election to the session as `primacy_session_register` does, with an event queue in place of
/// callbacks: each call arrives there as an event under `tag`, and is ended by `primacy_election_complete`.
///
/// The election uses the queue until the event `PRIMACY_EVENT_STOPPED`. Returns at once. Any thread, also
/// inside a callback. The statuses are those of `primacy_session_register`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_session_register_queued(
    session: primacy_session,
    role: *const c_char,
    queue: primacy_queue,
    tag: u64,
    election_out: *mut primacy_election,
    error_out: *mut *mut primacy_error,
) -> primacy_status {
    // SAFETY: the header's contract for out parameters.
    let out = unsafe { Out::zeroed(election_out) };
    let inside = || {
        out.required("election_out")?;
        // SAFETY: the header's contract for texts.
        let role = unsafe { ffi::text(role, "role") }?;
        let host = queue::queued(queue, tag)?;
        out.set(election::register(&*handle::find::<Session>(session)?, role, host)?);
        Ok(())
    };
    // SAFETY: the header's contract for error_out.
    unsafe { ffi::enter(error_out, inside) }
}

/// Reads, linearizably: never older than what any finished write left.
///
/// `txn` has gets only. Blocks up to `timeout_ms`. Any thread, also inside a callback of an election. The
/// read stands under no token: to write what depends on it, compare the key's `mod_revision` in the commit.
///
/// `PRIMACY_E_UNREACHABLE`, `PRIMACY_E_INDEFINITE`: no answer in time; reading again does no harm.
/// `PRIMACY_E_DENIED`, `PRIMACY_E_REFUSED`. `PRIMACY_E_ARGUMENT`: `txn` compares or writes, or is empty, or
/// `timeout_ms` is 0. `PRIMACY_E_DEADLOCK`, `PRIMACY_E_NULL`, `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_session_read(
    session: primacy_session,
    txn: primacy_txn,
    timeout_ms: u64,
    result_out: *mut primacy_result,
    error_out: *mut *mut primacy_error,
) -> primacy_status {
    // SAFETY: the header's contract for out parameters.
    let out = unsafe { Out::zeroed(result_out) };
    let inside = || {
        out.required("result_out")?;
        scope::may_block()?;
        let session = handle::find::<Session>(session)?;
        let ranges = handle::find::<Txn>(txn)?.reads()?;
        let answer = session.read(ranges, duration::timeout(timeout_ms)?)?;
        out.set(handle::new(TxnResult(answer))?);
        Ok(())
    };
    // SAFETY: the header's contract for error_out.
    unsafe { ffi::enter(error_out, inside) }
}

/// Begins what `primacy_session_read` does, and returns at once: no thread waits. `on_result` is called once.
///
/// `timeout_ms` may be `PRIMACY_AS_CONFIGURED`: the setting `etcd.requestTimeout`. `user_data` is handed to
/// `on_result`, and not used if this fails. Any thread, also inside a callback, does not block.
///
/// The statuses are those of `primacy_session_read`; those that are known at once are answered here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_session_start_read(
    session: primacy_session,
    txn: primacy_txn,
    timeout_ms: u64,
    on_result: primacy_on_result,
    user_data: *mut c_void,
    error_out: *mut *mut primacy_error,
) -> primacy_status {
    let inside = || {
        let (on_result, user_data) = (result::required(on_result)?, UserData(user_data));
        let session = handle::find::<Session>(session)?;
        let ranges = handle::find::<Txn>(txn)?.reads()?;
        let timeout = duration::timeout_or_configured(timeout_ms, session.request_timeout())?;
        session.start_read(ranges, timeout, move |answer| {
            let told =
                answer.map_or_else(|failure| (Err(failure.into()), None), |answer| (Ok(()), Some(answer)));
            result::tell(on_result, user_data, told);
        });
        Ok(())
    };
    // SAFETY: the header's contract for error_out.
    unsafe { ffi::enter(error_out, inside) }
}

/// What the session and its elections are doing now, as one JSON object, for status pages and tests.
///
/// `*json_out` is yours; end it with `primacy_string_free`. Lease ids are texts, since they do not fit into a
/// number of JavaScript. Fields may be added; none change their meaning. Any thread, does not block.
/// `PRIMACY_E_NULL`, `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_session_snapshot_json(
    session: primacy_session,
    json_out: *mut *mut c_char,
    error_out: *mut *mut primacy_error,
) -> primacy_status {
    // SAFETY: the header's contract for json_out and error_out.
    unsafe { json(session, |session| serde_json::to_string(&session.snapshot()), json_out, error_out) }
}

/// What probes ask of this process, by role, as one JSON object: is it `alive`, `ready` to serve or to take over at once,
/// `primary`; each as `{"ok":BOOL,"why":TEXT}`, where `why` is for people, and empty where it is so. They stand there for the
/// process, which is what each of its elections is, and under `roles` for each role. `docs/deploy.md` has the table of all
/// states.
///
/// `*json_out` is yours; end it with `primacy_string_free`. It asks nothing of etcd. Fields may be added; none change their
/// meaning. Any thread, does not block. `PRIMACY_E_NULL`, `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_session_health_json(
    session: primacy_session,
    json_out: *mut *mut c_char,
    error_out: *mut *mut primacy_error,
) -> primacy_status {
    // SAFETY: the header's contract for json_out and error_out.
    unsafe { json(session, |session| serde_json::to_string(&session.health()), json_out, error_out) }
}

/// Gives what a session says of itself.
///
/// # Safety
/// The header's contract for `json_out` and `error_out`.
unsafe fn json(
    session: primacy_session,
    say: impl FnOnce(&Session) -> serde_json::Result<String>,
    json_out: *mut *mut c_char,
    error_out: *mut *mut primacy_error,
) -> primacy_status {
    // SAFETY: the caller's contract.
    let out = unsafe { Out::zeroed(json_out) };
    let inside = || {
        out.required("json_out")?;
        let session = handle::find::<Session>(session)?;
        let said = say(&session).map_err(|e| Fault::new(PRIMACY_E_INTERNAL, e.to_string()))?;
        out.set(CString::into_raw(owned(&said)));
        Ok(())
    };
    // SAFETY: the caller's contract.
    unsafe { ffi::enter(error_out, inside) }
}

/// Says that this server is going to stop: the records of its candidates, never the locks, have Milvus's
/// `"Stopping":true` from now on, whatever they are rewritten for later. Milvus's readers take work away from
/// such a server. Nothing else changes: elections go on until they are stopped.
///
/// Returns at once; the records follow, and the fields `stopping` of the snapshots say when. It can not be taken
/// back; again: nothing. Any thread, also inside a callback, does not block. `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_session_mark_stopping(session: primacy_session) -> primacy_status {
    ffi::enter_plain(|| {
        handle::find::<Session>(session)?.mark_stopping();
        Ok(())
    })
}

/// Begins to stop the session with all its elections: those that are primary get `on_lost`, their locks are
/// released when their callbacks have returned, records and lease are removed from etcd.
///
/// Returns at once. Within `timeout_ms` the session is through with etcd, whatever that and the callbacks do; a
/// later stop can only shorten that. What could not be removed there ends with the lease. While a callback
/// hangs, `primacy_session_join` answers `PRIMACY_E_TIMEOUT`, and `on_stopped` of its election comes when it is
/// completed. Inside a callback of this session it takes effect when that call is completed. Any thread.
///
/// `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_session_stop(session: primacy_session, timeout_ms: u64) -> primacy_status {
    ending::stop::<Session>(session, timeout_ms)
}

/// Waits until the session has stopped and no callback of it runs any more. It does not stop it.
///
/// Blocks up to `timeout_ms`; 0: only asks. Any thread, several at a time.
///
/// `PRIMACY_E_TIMEOUT`: something still runs. `PRIMACY_E_DEADLOCK`: inside a callback. `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_session_join(session: primacy_session, timeout_ms: u64) -> primacy_status {
    ending::join::<Session>(session, timeout_ms)
}

/// Stops a session and waits until it is over: how a host closes one, which it frees afterwards.
///
/// `timeout_ms` is that of `primacy_session_stop`; `PRIMACY_AS_CONFIGURED`: what an earlier stop left, or the setting
/// `primacy.drain_timeout_ms`. Blocks for as long at most, by a clock that counts suspend, and half a second more for
/// the news of the end. `unread` not 0: nobody takes events from the queues of its elections any more, such as the
/// thread that closes here, so calls that wait there fail, and those that would come. Again: waits again, and says the
/// same. Any thread, several at a time.
///
/// `PRIMACY_E_TIMEOUT`: a callback has not returned or was not completed; the message names the roles. All else is
/// over. `PRIMACY_E_DEADLOCK`: inside a callback. `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_session_close(
    session: primacy_session,
    timeout_ms: u64,
    unread: i32,
    error_out: *mut *mut primacy_error,
) -> primacy_status {
    // SAFETY: the header's contract for error_out.
    unsafe { ending::close::<Session>(session, timeout_ms, unread, error_out) }
}

/// Ends a session. The handle is invalid at once.
///
/// Closes it as `primacy_session_close` does with `PRIMACY_AS_CONFIGURED`. With `PRIMACY_OK` no callback of it runs any more. `PRIMACY_E_TIMEOUT`: a callback of
/// the host still hangs, so its `user_data` must stay good until `on_stopped`. Inside a callback it does not
/// wait, answers `PRIMACY_OK`, and the rest follows when that call is completed. Its elections' handles stay
/// valid, to complete what is pending and to be freed themselves. Any thread.
///
/// `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_session_free(session: primacy_session) -> primacy_status {
    ending::free(session, |_: &Session| handle::remove(session))
}
