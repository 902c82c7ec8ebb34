//! The threads of this library: one that does all I/O, and those that run the host's callbacks.
//!
//! All sessions and observers of a process share them. They come with the first and go with the last, and they
//! are born with signals blocked.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crate::platform::with_signals_blocked;

/// A callback thread beyond the first ends when it had nothing to do for this long.
const IDLE_FOR: Duration = Duration::from_secs(2);
/// How long the end of the last session waits for name look-ups that hang.
const SHUTDOWN: Duration = Duration::from_millis(200);

static SHARED: Mutex<Weak<Runtime>> = Mutex::new(Weak::new());

/// Takes a lock. A panic under one of our locks has been reported where it happened; what it guards is consistent
/// at every line, so there is no reason to spread it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// See the module.
pub(crate) struct Runtime {
    io: Option<tokio::runtime::Runtime>,
    callbacks: Arc<Callbacks>,
}

impl Runtime {
    /// The process's runtime; started if nobody uses it.
    pub fn shared() -> io::Result<Arc<Runtime>> {
        let mut shared = lock(&SHARED);
        if let Some(runtime) = shared.upgrade() {
            return Ok(runtime);
        }
        let io = with_signals_blocked(|| {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("primacy-io")
                .enable_all()
                .build()
        })?;
        let callbacks = Arc::new(Callbacks::default());
        callbacks.grow()?;
        let runtime = Arc::new(Runtime { io: Some(io), callbacks });
        *shared = Arc::downgrade(&runtime);
        Ok(runtime)
    }

    /// For tests: callbacks run as tasks of the runtime that this is called in, in its time.
    #[cfg(test)]
    pub fn inline() -> Arc<Runtime> {
        let callbacks = Callbacks { inline: Some(tokio::runtime::Handle::current()), ..Callbacks::default() };
        Arc::new(Runtime { io: None, callbacks: Arc::new(callbacks) })
    }

    /// Where I/O runs.
    pub fn io(&self) -> Option<&tokio::runtime::Handle> {
        self.io.as_ref().map(tokio::runtime::Runtime::handle)
    }

    /// Where callbacks run.
    pub fn callbacks(&self) -> &Arc<Callbacks> {
        &self.callbacks
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.callbacks.close();
        if let Some(io) = self.io.take() {
            // The last session may end on the runtime's own thread, which can not wait for itself.
            if tokio::runtime::Handle::try_current().is_ok() {
                io.shutdown_background();
            } else {
                io.shutdown_timeout(SHUTDOWN);
            }
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Threads that run jobs at once: there is always one that is idle, or a new one, so that no job waits for a host
/// that blocks.
#[derive(Default)]
pub(crate) struct Callbacks {
    state: Mutex<State>,
    changed: Condvar,
    #[cfg(test)]
    inline: Option<tokio::runtime::Handle>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    idle: usize,
    closed: bool,
}

impl Callbacks {
    /// Runs `job` on a thread of its own as long as it takes.
    pub fn run(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) {
        #[cfg(test)]
        if let Some(runtime) = &self.inline {
            runtime.spawn(async move { job() });
            return;
        }
        let mut state = lock(&self.state);
        state.jobs.push_back(Box::new(job));
        let short = state.jobs.len() > state.idle;
        drop(state);
        if short {
            // Without memory for another thread the job waits for one that comes free.
            let _ = self.grow();
        }
        self.changed.notify_one();
    }

    fn grow(self: &Arc<Self>) -> io::Result<()> {
        let callbacks = self.clone();
        let named = thread::Builder::new().name("primacy-call".into());
        with_signals_blocked(|| named.spawn(move || callbacks.work())).map(drop)
    }

    fn work(self: &Arc<Self>) {
        let mut state = lock(&self.state);
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
            let waited = self.changed.wait_timeout(state, IDLE_FOR);
            let (again, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = again;
            state.idle -= 1;
            if timeout.timed_out() && state.jobs.is_empty() && state.idle > 0 {
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
