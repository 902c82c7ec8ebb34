//! What only Linux has, behind plain functions; the one place in this crate that may say `unsafe`.
//!
//! | here | elsewhere |
//! |---|---|
//! | `CLOCK_BOOTTIME`, which counts suspend | the monotonic clock: after a resume a lease looks longer than it is |
//! | a timer on that clock (`timerfd`) | tokio's timers |
//! | a descriptor that rings (`eventfd`) | a pipe |
//! | descriptors that were inherited, by number | not told from others |
//! | `PR_SET_PDEATHSIG`: a child that the kernel kills with us | a child that stays |
//! | `MADV_WIPEONFORK`: a forked child finds every deadline at 0 | ordinary memory: the child must not ask |
//!
//! Another platform is a port of this file.

#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};

use tokio::io::unix::AsyncFd;

use crate::clock::Time;

/// Now, on a clock that counts suspend. Never fails; costs a few nanoseconds (vDSO).
#[inline]
pub fn boot_time() -> Time {
    let mut now = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the pointer is to writable memory of the right type; the clock exists since Linux 2.6.39. Should the
    // call fail all the same, the time is one at which no lease is valid any more.
    let now = unsafe {
        if libc::clock_gettime(libc::CLOCK_BOOTTIME, now.as_mut_ptr()) != 0 {
            return Time::NEVER;
        }
        now.assume_init()
    };
    let (seconds, nanos) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
    Time::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// A timer on the clock of [`boot_time`]: readable once it is due.
#[derive(Debug)]
pub struct Timer(OwnedFd);

impl Timer {
    /// A timer that is not set.
    ///
    /// # Errors
    /// No descriptor or memory left.
    pub fn new() -> io::Result<Timer> {
        // SAFETY: takes no pointers; a descriptor that it returns is new and nobody else's.
        unsafe {
            let fd = libc::timerfd_create(libc::CLOCK_BOOTTIME, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC);
            if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(Timer(OwnedFd::from_raw_fd(fd))) }
        }
    }

    /// A timer that is not set, known to the tokio runtime that this is called in.
    ///
    /// # Errors
    /// As [`Timer::new`].
    pub fn registered() -> io::Result<AsyncFd<Timer>> {
        // SAFETY: a timer keeps one descriptor, open and always the same, for as long as it lives.
        unsafe { AsyncFd::register(Timer::new()?) }.map_err(|error| io::Error::other(error.to_string()))
    }

    /// Sets it to `at`, in place of what it was set to; also clears that it was due.
    ///
    /// # Errors
    /// None that a valid timer can have.
    pub fn set(&self, at: Time) -> io::Result<()> {
        let nanos = at.as_nanos().max(1);
        let at = libc::timespec {
            tv_sec: libc::time_t::try_from(nanos / 1_000_000_000).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::try_from(nanos % 1_000_000_000).unwrap_or(0),
        };
        let spec = libc::itimerspec { it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 }, it_value: at };
        // SAFETY: the descriptor is ours and open, the pointer is to a live value, a null old value is allowed.
        let set = unsafe {
            libc::timerfd_settime(self.0.as_raw_fd(), libc::TFD_TIMER_ABSTIME, &spec, ptr::null_mut())
        };
        if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A descriptor that others can wait for: readable from a ring until it is silenced.
#[derive(Debug)]
pub struct Doorbell(OwnedFd);

impl Doorbell {
    /// A silent one.
    ///
    /// # Errors
    /// No descriptor or memory left.
    pub fn new() -> io::Result<Doorbell> {
        // SAFETY: takes no pointers; a descriptor that it returns is new and nobody else's.
        unsafe {
            let fd = libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC);
            if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(Doorbell(OwnedFd::from_raw_fd(fd))) }
        }
    }

    /// Makes it readable. Never blocks.
    pub fn ring(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: the descriptor is ours and open, the pointer is to as many bytes as are said. It can fail only if
        // the counter is full, and then it is readable.
        let _ = unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Makes it not readable any more. Never blocks.
    pub fn silence(&self) {
        let mut count = [0u8; 8];
        // SAFETY: as above; it can fail only if it is silent.
        let _ = unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A descriptor known to the tokio runtime that this is called in; outside of one it panics.
///
/// # Errors
/// It is one that can not be waited for.
pub fn registered(descriptor: Arc<OwnedFd>) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    // SAFETY: an owned descriptor stays open, and the same, for as long as it is shared.
    unsafe { AsyncFd::register(descriptor) }.map_err(|error| io::Error::other(error.to_string()))
}

/// A descriptor of our own for whatever is open under that number, such as one that this process was started with.
/// Closed by an exec.
///
/// # Errors
/// Nothing is open there.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes any number and no pointer; a descriptor that it returns is new and nobody else's.
    unsafe {
        let fd = libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// Keeps what this process starts from inheriting the descriptor of that number.
pub fn close_on_exec(number: RawFd) {
    // SAFETY: takes any number and no pointer.
    unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
}

/// Closes all descriptors from `lowest` on, of which this process must own none: for a program, before it does anything
/// else, that may have inherited what its parent forgot to close. Before Linux 5.9 they stay open.
pub fn close_inherited_from(lowest: std::ffi::c_uint) {
    // SAFETY: takes numbers and no pointer. By the contract nothing here owns what is closed.
    unsafe { libc::close_range(lowest, std::ffi::c_uint::MAX, 0) };
}

/// Whether a read of `fd` would not block.
#[cfg(test)]
pub(crate) fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: the pointer is to one live pollfd, and the call does not wait.
    unsafe { libc::poll(&mut poll, 1, 0) == 1 }
}

static FORKED: AtomicBool = AtomicBool::new(false);

/// Whether this process is a child, by `fork`, of one that had called [`mark_children`]. It has that one's memory but
/// none of its threads: nobody renews its leases, nobody answers its waits. One load.
#[inline]
pub fn is_child() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// From here on, children of this process are marked, before `fork` returns there. Called when the first threads are
/// about to start, not before: a daemon may configure, fork, and only then open.
pub fn mark_children() {
    extern "C" fn in_child() {
        FORKED.store(true, Ordering::Relaxed);
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler stores to an atomic, which is async-signal-safe.
        // It can fail only for lack of memory; then fork is as unsafe as without us, and nothing else is lost.
        let _ = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

/// What the command starts is killed by the kernel when the thread that starts it ends, such as by the death of this
/// process. (Not what it starts itself; and not if it is another user's by then.)
pub fn ends_with_us(command: &mut Command) {
    let us = std::process::id();
    // SAFETY: between fork and exec these system calls are made alone, which are async-signal-safe, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // We may have died before: then nobody would kill it.
            if u32::try_from(libc::getppid()) != Ok(us) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
}

/// Whether there is no process of this number, for sure: one of another user, or hidden at `/proc`, is one.
pub fn is_no_process(pid: u32) -> bool {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return true };
    // SAFETY: takes no pointers, and signal 0 is none.
    let found = pid <= 0 || unsafe { libc::kill(pid, 0) } == 0;
    !found && io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH)
}

/// Which signals a thread does not take for now.
#[derive(Clone, Copy)]
pub struct SignalMask(libc::sigset_t);

impl SignalMask {
    /// Keeps this thread, and those that it starts from here on, from these signals, by number. What its mask was.
    pub fn block(signals: impl IntoIterator<Item = i32>) -> SignalMask {
        SignalMask::of(signals).change(libc::SIG_BLOCK)
    }

    /// Lets them through, those too that have waited. What its mask was.
    pub fn unblock(signals: impl IntoIterator<Item = i32>) -> SignalMask {
        SignalMask::of(signals).change(libc::SIG_UNBLOCK)
    }

    /// Runs something with this mask, also on the threads and in the processes that it starts.
    pub fn during<T>(&self, run: impl FnOnce() -> T) -> T {
        /// Puts the mask back as it was, also when `run` panics.
        struct Before(SignalMask);
        impl Drop for Before {
            fn drop(&mut self) {
                self.0.change(libc::SIG_SETMASK);
            }
        }
        let _before = Before(self.change(libc::SIG_SETMASK));
        run()
    }

    fn of(signals: impl IntoIterator<Item = i32>) -> SignalMask {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the pointer is to writable memory of the right type, which the first call fills in.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in signals {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            SignalMask(set.assume_init())
        }
    }

    /// What the mask was.
    fn change(self, how: libc::c_int) -> SignalMask {
        let mut before = SignalMask::of([]);
        // SAFETY: both pointers are to live values of the right type. It can not fail, as each `how` is one there is.
        unsafe { libc::pthread_sigmask(how, &raw const self.0, &raw mut before.0) };
        before
    }
}

/// Runs `spawn` with all but the synchronous signals (and SIGPROF) blocked, so that the threads that it spawns are
/// born that way: they take no signal that is meant for the host, and a write to a dead peer does not end the
/// process by SIGPIPE. Blocking inside the new thread would be too late.
pub fn with_signals_blocked<T>(spawn: impl FnOnce() -> T) -> T {
    const THEIRS: [i32; 7] =
        [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS, libc::SIGPROF];
    SignalMask::of((1..=libc::SIGRTMAX()).filter(|signal| !THEIRS.contains(signal))).during(spawn)
}

const PAGE: usize = 4096;
const CELLS: usize = PAGE / size_of::<AtomicU64>();

/// The page that cells are taken from, and how many of it are taken.
static CURRENT: Mutex<Option<(&'static [AtomicU64], usize)>> = Mutex::new(None);

/// A new cell, holding 0, for one lease's deadline. It is never taken back or used again, so that whoever still
/// points to it can not be told yes by another lease; and in a forked child it holds 0.
///
/// # Errors
/// No memory left.
pub fn deadline_cell() -> io::Result<&'static AtomicU64> {
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    let (page, taken) = match *current {
        Some((page, taken)) if taken < CELLS => (page, taken),
        _ => (wiped_page()?, 0),
    };
    *current = Some((page, taken + 1));
    page.get(taken).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// What the cell that `pointer` points to holds; 0 if it points to none.
#[inline]
pub fn read_cell(pointer: &AtomicPtr<AtomicU64>) -> u64 {
    let cell = pointer.load(Ordering::SeqCst);
    // SAFETY: the pointer is null or was made from a `&'static` that `deadline_cell` gave out.
    unsafe { cell.as_ref() }.map_or(0, |cell| cell.load(Ordering::SeqCst))
}

fn wiped_page() -> io::Result<&'static [AtomicU64]> {
    // SAFETY: a fresh anonymous mapping is zeroed, aligned to a page, ours alone, and never unmapped; zero is a
    // valid AtomicU64, and the slice spans exactly the mapping.
    unsafe {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let page = libc::mmap(ptr::null_mut(), PAGE, protection, flags, -1, 0);
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        if libc::madvise(page, PAGE, libc::MADV_WIPEONFORK) != 0 {
            let error = io::Error::last_os_error();
            libc::munmap(page, PAGE);
            return Err(error);
        }
        Ok(std::slice::from_raw_parts(page.cast::<AtomicU64>(), CELLS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    #[test]
    fn a_forked_child_finds_the_deadline_at_zero() {
        let cell = deadline_cell().unwrap();
        cell.store(u64::MAX, Ordering::Release);
        // SAFETY: the child only reads memory and calls _exit.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: ends the child, and nothing else.
            unsafe { libc::_exit(i32::from(cell.load(Ordering::Acquire) != 0)) };
        }
        let mut status = 0;
        // SAFETY: a child of its own, and a place for its status.
        unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!(status, 0);
        assert_eq!(cell.load(Ordering::Acquire), u64::MAX);
    }

    /// In a time namespace that looks as if the machine had been suspended for a day: the clock that counts that is a
    /// day ahead of the one that does not.
    #[test]
    fn clock_and_timer_count_suspend() {
        const TEST: &str = "platform::tests::clock_and_timer_count_suspend";
        const INSIDE: &str = "PRIMACY_TEST_WAS_SUSPENDED";
        const DAY: Duration = Duration::from_secs(86_400);
        if std::env::var_os(INSIDE).is_none() {
            let mut command = Command::new("unshare");
            // SAFETY: takes nothing.
            if unsafe { libc::geteuid() } != 0 {
                command.arg("--map-root-user");
            }
            command.args(["--time", "--boottime", &DAY.as_secs().to_string()]);
            command.arg(std::env::current_exe().unwrap()).args(["--exact", TEST]).env(INSIDE, "1");
            let ran = command.output().expect("this test needs unshare, of util-linux");
            let said = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
            assert!(ran.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        let mut stands_still = MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: the pointer is to writable memory of the right type.
        let stands_still = unsafe {
            assert_eq!(libc::clock_gettime(libc::CLOCK_MONOTONIC, stands_still.as_mut_ptr()), 0);
            stands_still.assume_init()
        };
        let stands_still = Time::ZERO + Duration::from_secs(stands_still.tv_sec.unsigned_abs());
        assert!(boot_time().since(stands_still) >= DAY);
        let timer = Timer::new().unwrap();
        timer.set(boot_time() + Duration::from_millis(1)).unwrap();
        let mut poll = libc::pollfd { fd: timer.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: the pointer is to one live pollfd.
        assert_eq!(unsafe { libc::poll(&mut poll, 1, 60_000) }, 1, "the timer waits for a day");
    }

    fn blocked_signals() -> u64 {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap()
    }

    #[test]
    fn the_mask_of_signals_is_put_back_whatever_happens() {
        let before = blocked_signals();
        let during = std::panic::catch_unwind(|| {
            with_signals_blocked(|| std::panic::panic_any(blocked_signals()));
        });
        assert_ne!(during.unwrap_err().downcast_ref::<u64>(), Some(&before));
        assert_eq!(blocked_signals(), before);
    }

    #[test]
    fn cells_are_never_handed_out_twice() {
        let cells: Vec<_> = (0..CELLS + 2).map(|_| ptr::from_ref(deadline_cell().unwrap())).collect();
        let distinct: std::collections::HashSet<_> = cells.iter().collect();
        assert_eq!(distinct.len(), cells.len());
    }
}
