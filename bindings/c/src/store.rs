//! A store that the host lends: its own etcd client, in place of connections of ours. What is asked of it, and how it
//! is called. What it answers: see [`request`](crate::request) and [`watch`](crate::watch).

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use primacy::lent::{Answers, Lender, Task, Told};
use primacy::store::{Compare, Condition, Failure, Key, Op, Range, Request, Txn, Value};

use crate::config::{Config, primacy_config};
use crate::error::{Fault, primacy_error};
use crate::ffi::{self, UserData};
use crate::request::{self, primacy_request};
use crate::scope::{self, Scope};
use crate::status::primacy_status;
use crate::versioned::{self, Versioned};
use crate::watch::{self, primacy_watch};
use crate::{handle, status};

/// One key of etcd, or those of a span. As other structs of a lent store that come in arrays, it never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct primacy_range {
    /// The key, or the first one of the span.
    pub key: *const c_char,
    /// Its size in bytes.
    pub key_size: usize,
    /// The first key after the span; NULL: the key alone.
    pub end: *const c_char,
    /// Its size in bytes.
    pub end_size: usize,
}

/// A comparison with how often a key was written since it was created; 0: it is not there. As etcd numbers it.
pub const PRIMACY_COMPARE_VERSION: i32 = 0;
/// With the revision that wrote it last.
pub const PRIMACY_COMPARE_MOD_REVISION: i32 = 2;
/// With its value.
pub const PRIMACY_COMPARE_VALUE: i32 = 3;
/// With the lease that it hangs on.
pub const PRIMACY_COMPARE_LEASE: i32 = 4;

/// A comparison of a transaction: it holds if all keys of the range are equal in this. Of a key that is not there,
/// and of a span without keys, etcd takes `version`, `mod_revision` and `lease` for 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct primacy_compare {
    /// Of what.
    pub range: primacy_range,
    /// One of `PRIMACY_COMPARE_...`.
    pub target: i32,
    /// Always 0.
    pub reserved: i32,
    /// What a number must be equal to.
    pub number: i64,
    /// What a value must be equal to, `value_size` bytes.
    pub value: *const c_char,
    /// Its size in bytes.
    pub value_size: usize,
}

/// An operation that reads its range: all keys in it, in the order of their bytes, with their values.
pub const PRIMACY_OP_GET: i32 = 1;
/// One that writes its key.
pub const PRIMACY_OP_PUT: i32 = 2;
/// One that deletes its key, if it is there.
pub const PRIMACY_OP_DELETE: i32 = 3;

/// An operation of a transaction.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct primacy_op {
    /// One of `PRIMACY_OP_...`.
    pub kind: i32,
    /// Always 0.
    pub reserved: i32,
    /// What is read; or the key that is written or deleted.
    pub range: primacy_range,
    /// What is put, `value_size` bytes.
    pub value: *const c_char,
    /// Its size in bytes.
    pub value_size: usize,
    /// The lease to put it on; 0: none.
    pub lease: i64,
}

/// A transaction for a lent store: if all comparisons hold, or there are none, `then`, else `otherwise`; in one
/// revision. One without puts and deletes is a linearizable read, never a serializable one.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct primacy_store_txn {
    /// The library's `sizeof(primacy_store_txn)`: fields beyond it are not there.
    pub struct_size: usize,
    /// The comparisons.
    pub compares: *const primacy_compare,
    /// How many.
    pub compares_count: usize,
    /// What is done if all of them hold.
    pub then: *const primacy_op,
    /// How many.
    pub then_count: usize,
    /// What is done if not.
    pub otherwise: *const primacy_op,
    /// How many.
    pub otherwise_count: usize,
}

// SAFETY: repr(C), no field needs padding, zero is NULL or 0.
unsafe impl Versioned for primacy_store_txn {
    const NAME: &'static str = "primacy_store_txn";
    const FIRST_SIZE: usize = size_of::<primacy_store_txn>();
}

/// What a host lends to the library: an etcd client of its own, behind these functions. See
/// `primacy_config_set_store`.
///
/// The first four begin a request and return; what came of it is said by `primacy_request_complete`, later or at once,
/// by any thread. Each is sent to etcd once: what may have been sent is not sent again, or it may happen twice. The
/// library waits for `timeout_ms` and then takes it for unknown; who can should end it then too, by a deadline.
///
/// All are called on threads of the library, never on the one that keeps leases, one after the other for each session
/// and observer, and several at a time where there are several of those. They must return soon, and not call what
/// blocks (`PRIMACY_E_DEADLOCK`): as long as one has not returned, the next of that session waits. What pointers lead
/// to lives until the function returns; those to nothing, with a count or size of 0, are NULL.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct primacy_store {
    /// `sizeof(primacy_store)`.
    pub struct_size: usize,
    /// Makes a lease: under the id `lease`, and no other, for `ttl_s` seconds. Required.
    pub grant: Option<
        unsafe extern "C" fn(
            user_data: *mut c_void,
            request: primacy_request,
            lease: i64,
            ttl_s: i64,
            timeout_ms: u64,
        ),
    >,
    /// Renews a lease once, with a request that is sent now: an answer to an earlier one is none to this. Required.
    pub keep_alive: Option<
        unsafe extern "C" fn(user_data: *mut c_void, request: primacy_request, lease: i64, timeout_ms: u64),
    >,
    /// Ends a lease. Required.
    pub revoke: Option<
        unsafe extern "C" fn(user_data: *mut c_void, request: primacy_request, lease: i64, timeout_ms: u64),
    >,
    /// Runs a transaction, or reads. Required.
    pub txn: Option<
        unsafe extern "C" fn(
            user_data: *mut c_void,
            request: primacy_request,
            txn: *const primacy_store_txn,
            timeout_ms: u64,
        ),
    >,
    /// Watches `ranges_count` ranges from now on, without a start revision, on a member that has a leader
    /// (`hasleader`); `primacy_watch_confirmed`, `primacy_watch_events` and `primacy_watch_ended` say what becomes of
    /// it. One that is not confirmed within 15 seconds is given up. Required.
    pub watch: Option<
        unsafe extern "C" fn(
            user_data: *mut c_void,
            watch: primacy_watch,
            ranges: *const primacy_range,
            ranges_count: usize,
        ),
    >,
    /// The watch is not wanted any more. Not called for one of which `primacy_watch_ended` has returned
    /// `PRIMACY_OK`; it may be called while another thread is in there. Required.
    pub unwatch: Option<unsafe extern "C" fn(user_data: *mut c_void, watch: primacy_watch)>,
    /// The last use of `user_data`. May be NULL.
    pub on_stopped: Option<unsafe extern "C" fn(user_data: *mut c_void)>,
}

// SAFETY: repr(C), pointers only, zero is `None`.
unsafe impl Versioned for primacy_store {
    const NAME: &'static str = "primacy_store";
    const FIRST_SIZE: usize = size_of::<primacy_store>();
}

type Grant = unsafe extern "C" fn(*mut c_void, primacy_request, i64, i64, u64);
type OfLease = unsafe extern "C" fn(*mut c_void, primacy_request, i64, u64);
type OfTxn = unsafe extern "C" fn(*mut c_void, primacy_request, *const primacy_store_txn, u64);
type Watch = unsafe extern "C" fn(*mut c_void, primacy_watch, *const primacy_range, usize);
type Unwatch = unsafe extern "C" fn(*mut c_void, primacy_watch);

/// All that must be there.
struct HostStore {
    grant: Grant,
    keep_alive: OfLease,
    revoke: OfLease,
    txn: OfTxn,
    watch: Watch,
    unwatch: Unwatch,
    on_stopped: Option<unsafe extern "C" fn(*mut c_void)>,
    user_data: UserData,
}

impl HostStore {
    fn of(given: primacy_store, user_data: *mut c_void) -> Result<HostStore, Fault> {
        let missing = |field: &str| ffi::null(&format!("primacy_store.{field}"));
        Ok(HostStore {
            grant: given.grant.ok_or_else(|| missing("grant"))?,
            keep_alive: given.keep_alive.ok_or_else(|| missing("keep_alive"))?,
            revoke: given.revoke.ok_or_else(|| missing("revoke"))?,
            txn: given.txn.ok_or_else(|| missing("txn"))?,
            watch: given.watch.ok_or_else(|| missing("watch"))?,
            unwatch: given.unwatch.ok_or_else(|| missing("unwatch"))?,
            on_stopped: None, // until nothing can fail any more
            user_data: UserData(user_data),
        })
    }

    fn begin(&self, number: primacy_request, what: &Request, within: Duration) {
        let (data, timeout_ms) = (self.user_data.0, within.as_millis() as u64);
        // SAFETY: the host gave the functions for this, and it has not been told `on_stopped` yet.
        scope::run(Scope::Telling, || unsafe {
            match what {
                Request::Grant { lease, ttl } => {
                    (self.grant)(data, number, lease.0, ttl.as_secs() as i64, timeout_ms)
                }
                Request::KeepAlive { lease } => (self.keep_alive)(data, number, lease.0, timeout_ms),
                Request::Revoke { lease } => (self.revoke)(data, number, lease.0, timeout_ms),
                Request::Txn(txn) => show(txn, |txn| (self.txn)(data, number, txn, timeout_ms)),
            }
        });
    }
}

/// Nobody uses it any more, so no call can follow.
impl Drop for HostStore {
    fn drop(&mut self) {
        if let Some(on_stopped) = self.on_stopped {
            // SAFETY: as above; dropped once.
            scope::run(Scope::Telling, || unsafe { on_stopped(self.user_data.0) });
        }
    }
}

impl Lender for HostStore {
    fn request(
        self: Arc<Self>,
        what: &Request,
        within: Duration,
        answers: Answers,
    ) -> Result<(Task, Box<dyn Send>), Failure> {
        let number = request::expect(answers).map_err(not_begun)?;
        let (named, what) = (number.0, what.clone());
        Ok((Box::new(move || self.begin(named, &what, within)), Box::new(number)))
    }

    fn watch(self: Arc<Self>, ranges: &[Range], told: Told) -> Result<(Task, Task, Box<dyn Send>), Failure> {
        let number = watch::expect(told).map_err(not_begun)?;
        let (named, ranges, ends) = (number.0, ranges.to_vec(), self.clone());
        let begin = move || {
            let shown: Vec<primacy_range> = ranges.iter().map(show_range).collect();
            // SAFETY: as above.
            scope::run(Scope::Telling, || unsafe {
                (self.watch)(self.user_data.0, named, first(&shown), shown.len());
            });
        };
        let end = move || {
            // SAFETY: as above.
            scope::run(Scope::Telling, || unsafe { (ends.unwatch)(ends.user_data.0, named) });
        };
        Ok((Box::new(begin), Box::new(end), Box::new(number)))
    }
}

fn not_begun(fault: Fault) -> Failure {
    let sentence = status::text(fault.status).unwrap_or_default().to_string_lossy().into_owned();
    Failure::Unreachable(format!("not sent: {}", fault.message.unwrap_or(sentence)))
}

/// Of what has none, NULL: where an empty array lies is nobody's business.
fn first<T>(items: &[T]) -> *const T {
    if items.is_empty() { ptr::null() } else { items.as_ptr() }
}

fn pointer(bytes: &[u8]) -> *const c_char {
    first(bytes).cast()
}

fn show_key(key: &Key) -> primacy_range {
    let key = key.as_bytes();
    primacy_range { key: pointer(key), key_size: key.len(), end: ptr::null(), end_size: 0 }
}

fn show_range(range: &Range) -> primacy_range {
    match range {
        Range::Key(key) => show_key(key),
        Range::Span { from, to } => {
            let to = to.as_bytes();
            primacy_range { end: pointer(to), end_size: to.len(), ..show_key(from) }
        }
    }
}

fn show_compare(compare: &Compare) -> primacy_compare {
    let none = Value::default();
    let (target, number, value) = match &compare.condition {
        Condition::Absent => (PRIMACY_COMPARE_VERSION, 0, &none),
        Condition::Version(version) => (PRIMACY_COMPARE_VERSION, *version, &none),
        Condition::ModRevision(revision) => (PRIMACY_COMPARE_MOD_REVISION, revision.0, &none),
        Condition::Lease(lease) => (PRIMACY_COMPARE_LEASE, lease.0, &none),
        Condition::Value(value) => (PRIMACY_COMPARE_VALUE, 0, value),
    };
    let value = value.as_bytes();
    let value_at = if target == PRIMACY_COMPARE_VALUE { pointer(value) } else { ptr::null() };
    let range = show_range(&compare.range);
    primacy_compare { range, target, reserved: 0, number, value: value_at, value_size: value.len() }
}

fn show_op(op: &Op) -> primacy_op {
    let with =
        |kind, range| primacy_op { kind, reserved: 0, range, value: ptr::null(), value_size: 0, lease: 0 };
    match op {
        Op::Get(range) => with(PRIMACY_OP_GET, show_range(range)),
        Op::Delete(key) => with(PRIMACY_OP_DELETE, show_key(key)),
        Op::Put(key, value, lease) => {
            let (value, put) = (value.as_bytes(), with(PRIMACY_OP_PUT, show_key(key)));
            primacy_op { value: pointer(value), value_size: value.len(), lease: lease.0, ..put }
        }
    }
}

/// Shows a transaction as C sees it.
fn show(txn: &Txn, show: impl FnOnce(&primacy_store_txn)) {
    let compares: Vec<primacy_compare> = txn.when.iter().map(show_compare).collect();
    let [then, otherwise] =
        [&txn.then, &txn.otherwise].map(|ops| ops.iter().map(show_op).collect::<Vec<primacy_op>>());
    show(&primacy_store_txn {
        compares: first(&compares),
        compares_count: compares.len(),
        then: first(&then),
        then_count: then.len(),
        otherwise: first(&otherwise),
        otherwise_count: otherwise.len(),
        ..Versioned::zeroed()
    });
}

/// Lends a store to the sessions and observers that are opened with this configuration from now on: they ask it, and
/// open no connection of their own.
///
/// What is set under `etcd.endpoints`, `etcd.ssl` and `etcd.auth` has no meaning for them; `etcd.rootPath`,
/// `etcd.metaSubPath` and `etcd.requestTimeout` do. All guarantees hold as before, as far as the store does what its
/// functions say. What is then its affair: which member of etcd serves, how soon one that is silent is given up, and
/// the version of the servers, of which the library warns only on its own connections.
///
/// `user_data` is handed to the functions; `on_stopped` tells when it is not needed any more, which is after this
/// configuration and all that was opened with it, elections too, have been freed, or the store was set anew. It may
/// come a moment after the free has returned, on a thread of the library.
///
/// `store` is copied; NULL: none, and sessions connect by themselves. Any thread, does not block.
/// `PRIMACY_E_STRUCT_SIZE`, `PRIMACY_E_NULL` (a function that is required), `PRIMACY_E_HANDLE`. After an error
/// `on_stopped` is not called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_config_set_store(
    config: primacy_config,
    store: *const primacy_store,
    user_data: *mut c_void,
    error_out: *mut *mut primacy_error,
) -> primacy_status {
    let inside = || {
        let config = handle::find::<Config>(config)?;
        let new: Option<Arc<dyn Lender>> = if store.is_null() {
            None
        } else {
            // SAFETY: not NULL, and by the header a struct of the size it says.
            let given = unsafe { versioned::read(store) }?;
            let on_stopped = given.on_stopped;
            Some(Arc::new(HostStore { on_stopped, ..HostStore::of(given, user_data)? }))
        };
        config.lend(new);
        Ok(())
    };
    // SAFETY: the header's contract for error_out.
    unsafe { ffi::enter(error_out, inside) }
}
