//! The threads of this library: one that does all I/O, and those that run the host's callbacks.
//!
//! All sessions and observers of a process share them. They come with the first and go with the last, and they
//! are born with signals blocked.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::platform::with_signals_blocked;

/// Callback threads that stay while nothing is to be done: one for a callback that comes now and then, and one ahead.
const KEPT: usize = 2;
/// One beyond those ends when it had nothing to do for this long.
const IDLE_FOR: Duration = Duration::from_secs(2);
/// How long after a thread could not be made it is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(100);

static SHARED: Mutex<Weak<Runtime>> = Mutex::new(Weak::new());

/// Takes a lock. A panic under one of our locks has been reported where it happened; what it guards is consistent
/// at every line, so there is no reason to spread it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a thread, with signals blocked.
///
/// # Errors
/// The system has none left.
pub(crate) fn start_thread(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let named = thread::Builder::new().name(name.into());
    with_signals_blocked(|| named.spawn(run)).map_err(|error| {
        let limits = "see RLIMIT_NPROC, pids.max of its cgroup, and its memory";
        io::Error::new(error.kind(), format!("this process can make no further thread ({limits}): {error}"))
    })
}

/// See the module.
pub(crate) struct Runtime {
    io: tokio::runtime::Handle,
    /// `None`: somebody else runs it.
    thread: Option<Io>,
    callbacks: Arc<Callbacks>,
}

impl Runtime {
    /// The process's runtime; started if nobody uses it.
    pub fn shared() -> io::Result<Arc<Runtime>> {
        let mut shared = lock(&SHARED);
        if let Some(runtime) = shared.upgrade() {
            return Ok(runtime);
        }
        let (io, thread) = Io::start()?;
        let callbacks = Arc::new(Callbacks { io: Some(io.clone()), ..Callbacks::default() });
        let runtime = Arc::new(Runtime { io, thread: Some(thread), callbacks });
        // One that can not have them all ends what it has.
        runtime.callbacks.grow_to(KEPT)?;
        *shared = Arc::downgrade(&runtime);
        Ok(runtime)
    }

    /// For tests: callbacks run as tasks of the runtime that this is called in, in its time.
    #[cfg(test)]
    pub fn inline() -> Arc<Runtime> {
        let here = tokio::runtime::Handle::current();
        let callbacks = Callbacks { io: Some(here.clone()), inline: true, ..Callbacks::default() };
        Arc::new(Runtime { io: here, thread: None, callbacks: Arc::new(callbacks) })
    }

    /// Where I/O runs.
    pub fn io(&self) -> &tokio::runtime::Handle {
        &self.io
    }

    /// Where callbacks run.
    pub fn callbacks(&self) -> &Arc<Callbacks> {
        &self.callbacks
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.callbacks.close();
        if let Some(thread) = self.thread.take() {
            thread.end();
        }
    }
}

/// A tokio runtime on a thread of its own. (Those that tokio makes itself panic where no thread can be made.)
struct Io {
    thread: JoinHandle<()>,
    /// Dropped to end it.
    running: oneshot::Sender<()>,
}

impl Io {
    fn start() -> io::Result<(tokio::runtime::Handle, Io)> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
                io::Error::new(error.kind(), format!("this process can open no further descriptor: {error}"))
            })?;
        let handle = runtime.handle().clone();
        let (running, ended) = oneshot::channel();
        let thread = start_thread("primacy-io", move || drop(runtime.block_on(ended)))?;
        Ok((handle, Io { thread, running }))
    }

    fn end(self) {
        drop(self.running);
        // The last session may end on this very thread, which can not wait for itself.
        if self.thread.thread().id() != thread::current().id() {
            let _ = self.thread.join();
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Threads that run jobs at once. One is always ahead, idle, so that no job waits for a host that blocks, not even when
/// no further thread can be made.
#[derive(Default)]
pub(crate) struct Callbacks {
    state: Mutex<State>,
    changed: Condvar,
    /// Where time passes until another thread is tried.
    io: Option<tokio::runtime::Handle>,
    #[cfg(test)]
    inline: bool,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    idle: usize,
    /// Those that were made and have not looked for a job yet.
    coming: usize,
    closed: bool,
    shortage: Shortage,
}

/// Whether a thread could not be made.
#[derive(Default)]
struct Shortage {
    why: Option<String>,
    /// Somebody has been told.
    said: bool,
}

impl Callbacks {
    /// Runs `job` on a thread of its own as long as it takes.
    pub fn run(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) {
        #[cfg(test)]
        if let (true, Some(io)) = (self.inline, &self.io) {
            io.spawn(async move { job() });
            return;
        }
        lock(&self.state).jobs.push_back(Box::new(job));
        self.changed.notify_one();
        let Err(error) = self.grow_to(1) else { return };
        // Until there is another one, jobs wait for threads that come free.
        let known = lock(&self.state).shortage.why.replace(error.to_string()).is_some();
        if let (false, Some(io)) = (known, &self.io) {
            let callbacks = Arc::downgrade(self);
            io.spawn(async move {
                loop {
                    tokio::time::sleep(TRY_AGAIN).await;
                    if callbacks.upgrade().is_none_or(|callbacks| callbacks.grow_to(1).is_ok()) {
                        return;
                    }
                }
            });
        }
    }

    /// What is wrong, if callbacks may have to wait for one another.
    pub fn shortage(&self) -> Option<String> {
        let why = lock(&self.state).shortage.why.clone()?;
        Some(format!("callbacks may have to wait for one another: {why}"))
    }

    /// The same, once each time that it begins.
    pub fn news_of_shortage(&self) -> Option<String> {
        let said = {
            let shortage = &mut lock(&self.state).shortage;
            shortage.why.is_none() || std::mem::replace(&mut shortage.said, true)
        };
        if said { None } else { self.shortage() }
    }

    /// Makes threads until `ahead` are idle beyond those that the waiting jobs take.
    fn grow_to(self: &Arc<Self>, ahead: usize) -> io::Result<()> {
        loop {
            {
                let mut state = lock(&self.state);
                if state.closed || state.idle + state.coming >= state.jobs.len() + ahead {
                    state.shortage = Shortage::default();
                    return Ok(());
                }
                state.coming += 1;
            }
            let callbacks = self.clone();
            if let Err(error) = start_thread("primacy-call", move || callbacks.work()) {
                lock(&self.state).coming -= 1;
                return Err(error);
            }
        }
    }

    fn work(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        state.coming -= 1;
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                job();
                state = lock(&self.state);
                continue;
            }
            if state.closed {
                return;
            }
            state.idle += 1;
            let surplus = state.idle > KEPT;
            if surplus {
                let waited = self.changed.wait_timeout(state, IDLE_FOR);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            } else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.idle -= 1;
            if surplus && state.jobs.is_empty() && state.idle >= KEPT {
                return;
            }
        }
    }

    fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn one_thread_is_ahead_of_those_that_jobs_take() {
        let callbacks = Arc::new(Callbacks::default());
        let (end, ends) = channel::<()>();
        let ends = Arc::new(Mutex::new(ends));
        for _ in 0..8 {
            let ends = ends.clone();
            callbacks.run(move || _ = lock(&ends).recv());
            let state = lock(&callbacks.state);
            assert!(state.idle + state.coming > state.jobs.len());
        }
        drop(end);
        callbacks.close();
    }

    #[test]
    fn a_job_that_blocks_holds_up_no_other() {
        let callbacks = Arc::new(Callbacks::default());
        let (start, started) = channel();
        let (end, ends) = channel::<()>();
        let ends = Arc::new(Mutex::new(ends));
        for number in 0..8 {
            let (start, ends) = (start.clone(), ends.clone());
            callbacks.run(move || {
                start.send(number).unwrap();
                let _ = lock(&ends).recv();
            });
            assert_eq!(started.recv_timeout(Duration::from_secs(60)), Ok(number));
        }
        drop(end);
        callbacks.close();
    }
}
