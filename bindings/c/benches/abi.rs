//! What a call through the C ABI costs, beside what nothing can do without: a look at the clock.
//!
//! `make bench` runs it on the library as it is released. It ends with 1 if `is_primary` takes more than 1.5 x a bare
//! `clock_gettime(CLOCK_BOOTTIME)`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark"
)]

#[path = "../../../tests/common/etcd.rs"]
mod etcd;

use std::ffi::{CStr, CString, c_char, c_void};
use std::hint::black_box;
use std::mem;
use std::process::ExitCode;
use std::ptr;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// What this needs of primacy.h.
struct Library {
    is_primary: unsafe extern "C" fn(u64, *mut i64, *mut i32) -> i32,
    remaining_ms: unsafe extern "C" fn(u64, *mut i32) -> u64,
    primary: u64,
}

/// `primacy_candidate`, as far as it must be set.
#[repr(C)]
struct Candidate {
    struct_size: usize,
    address: *const c_char,
    version: *const c_char,
    rest: [u64; 8],
}

/// `primacy_callbacks`.
#[repr(C)]
struct Callbacks {
    struct_size: usize,
    on_standby: usize,
    on_warmup: usize,
    on_primary: extern "C" fn(*mut c_void, *const c_void) -> i32,
    on_lost: extern "C" fn(*mut c_void, *const c_void) -> i32,
    rest: [usize; 3],
}

extern "C" fn done(_: *mut c_void, _: *const c_void) -> i32 {
    0
}

/// The library that `PRIMACY_LIBRARY` names, with an election that is primary.
fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let path = std::env::var("PRIMACY_LIBRARY").expect("PRIMACY_LIBRARY names libprimacy.so");
        // SAFETY: the functions are called as primacy.h declares them.
        unsafe { open(&path, ENDPOINT.get().expect("main has started an etcd")) }
    })
}

unsafe fn open(path: &str, endpoint: &str) -> Library {
    let (path, endpoint) = (CString::new(path).unwrap(), CString::new(endpoint).unwrap());
    // SAFETY: a text; loading the library runs nothing of its own.
    let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
    assert!(!library.is_null(), "no library at {path:?}");
    macro_rules! function {
        ($name:literal: $type:ty) => {{
            // SAFETY: the library is open, the name is a text.
            let found = unsafe { libc::dlsym(library, $name.as_ptr()) };
            assert!(!found.is_null(), "no {:?}", $name);
            // SAFETY: the function has this type in primacy.h.
            unsafe { mem::transmute::<*mut c_void, $type>(found) }
        }};
    }
    type Errors = *mut *mut c_void;
    let config_new = function!(c"primacy_config_new": unsafe extern "C" fn(*mut u64) -> i32);
    let config_set = function!(c"primacy_config_set":
        unsafe extern "C" fn(u64, *const c_char, *const c_char, Errors) -> i32);
    let session_open = function!(c"primacy_session_open":
        unsafe extern "C" fn(u64, *const Candidate, *mut u64, Errors) -> i32);
    let register = function!(c"primacy_session_register":
        unsafe extern "C" fn(u64, *const c_char, *const Callbacks, *mut c_void, *mut u64, Errors) -> i32);
    let campaign = function!(c"primacy_election_campaign": unsafe extern "C" fn(u64) -> i32);
    let mut opened = Library {
        is_primary: function!(c"primacy_election_is_primary":
            unsafe extern "C" fn(u64, *mut i64, *mut i32) -> i32),
        remaining_ms: function!(c"primacy_election_remaining_ms": unsafe extern "C" fn(u64, *mut i32) -> u64),
        primary: 0,
    };

    let candidate = Candidate {
        struct_size: size_of::<Candidate>(),
        address: c"127.0.0.1:1".as_ptr(),
        version: c"1.0.0".as_ptr(),
        rest: [0; 8],
    };
    let callbacks = Callbacks {
        struct_size: size_of::<Callbacks>(),
        on_standby: 0,
        on_warmup: 0,
        on_primary: done,
        on_lost: done,
        rest: [0; 3],
    };
    let (mut config, mut session) = (0, 0);
    let set = |config: u64, name: &CStr, value: &CStr| {
        // SAFETY: a number and texts, and NULL, which is allowed.
        let status = unsafe { config_set(config, name.as_ptr(), value.as_ptr(), ptr::null_mut()) };
        assert_eq!(status, 0, "{name:?}");
    };
    // SAFETY: pointers to live values of the right types, or NULL where that is allowed.
    unsafe {
        assert_eq!(config_new(&mut config), 0);
        set(config, c"etcd.endpoints", &endpoint);
        assert_eq!(session_open(config, &candidate, &mut session, ptr::null_mut()), 0);
        let role = c"rootcoord".as_ptr();
        let election = &mut opened.primary;
        assert_eq!(register(session, role, &callbacks, ptr::null_mut(), election, ptr::null_mut()), 0);
        assert_eq!(campaign(opened.primary), 0);
    }
    let since = Instant::now();
    while !is_primary(&opened) {
        assert!(since.elapsed() < Duration::from_secs(10), "never became primary");
        thread::yield_now();
    }
    opened
}

fn is_primary(library: &Library) -> bool {
    let mut token = 0;
    // SAFETY: a number, a live place for the token, and NULL, which is allowed.
    unsafe { (library.is_primary)(library.primary, &mut token, ptr::null_mut()) == 1 }
}

fn look_at_the_clock() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut now) };
    now.tv_nsec
}

#[divan::bench]
fn clock_gettime_boottime(bencher: divan::Bencher) {
    bencher.bench(look_at_the_clock);
}

#[divan::bench(threads = [1, 2])]
fn primacy_election_is_primary(bencher: divan::Bencher) {
    let library = library();
    bencher.bench(|| is_primary(library));
}

#[divan::bench]
fn primacy_election_remaining_ms(bencher: divan::Bencher) {
    let library = library();
    // SAFETY: a number, and NULL, which is allowed.
    bencher.bench(|| unsafe { (library.remaining_ms)(library.primary, ptr::null_mut()) });
}

/// Nanoseconds a call, the median of many batches.
fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn batch<R>(run: impl Fn() -> R) -> f64 {
    const CALLS: u32 = 1000;
    let start = Instant::now();
    for _ in 0..CALLS {
        black_box(run());
    }
    start.elapsed().as_nanos() as f64 / f64::from(CALLS)
}

static ENDPOINT: OnceLock<String> = OnceLock::new();

fn main() -> ExitCode {
    let server = etcd::EtcdServer::start();
    ENDPOINT.get_or_init(|| server.endpoint());
    divan::main();
    let library = library();
    // In turns, so that whatever else the machine does slows down both.
    let (clock, asked): (Vec<_>, Vec<_>) =
        (0..1000).map(|_| (batch(look_at_the_clock), batch(|| is_primary(library)))).unzip();
    let (clock, asked) = (median(clock), median(asked));
    let ratio = asked / clock;
    println!("is_primary {asked:.1} ns, CLOCK_BOOTTIME {clock:.1} ns: {ratio:.2} x (at most 1.5)");
    if ratio <= 1.5 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
