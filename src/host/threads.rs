//! Threads that run jobs which may block, so that none of them waits for another.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::lock::lock;
use crate::platform::with_signals_blocked;

/// Callback threads that stay while nothing is to be done: one for a callback that comes now and then, and one ahead.
const KEPT: usize = 2;
/// One beyond those ends when it had nothing to do for this long.
const IDLE_FOR: Duration = Duration::from_secs(2);
/// How long after a thread could not be made it is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(100);

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

type Job = Box<dyn FnOnce() + Send>;

/// Threads that run jobs at once. One is always ahead, idle, so that no job waits for a host that blocks, not even when
/// no further thread can be made.
#[derive(Default)]
pub(crate) struct Callbacks {
    state: Mutex<State>,
    changed: Condvar,
    /// Where time passes until another thread is tried.
    io: Option<tokio::runtime::Handle>,
    /// Jobs are tasks there, and no thread is made.
    as_tasks: bool,
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
    /// Time passes in `io`.
    pub fn on_threads(io: tokio::runtime::Handle) -> Arc<Callbacks> {
        Arc::new(Callbacks { io: Some(io), ..Callbacks::default() })
    }

    /// Runs jobs as tasks of `io`.
    pub fn as_tasks(io: tokio::runtime::Handle) -> Arc<Callbacks> {
        Arc::new(Callbacks { io: Some(io), as_tasks: true, ..Callbacks::default() })
    }

    /// Makes the threads that stay.
    pub fn begin(self: &Arc<Self>) -> io::Result<()> {
        self.grow_to(KEPT)
    }

    /// Runs `job` on a thread of its own as long as it takes; after the end, which only what is dropped then gets to, here.
    pub fn run(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) {
        if let (true, Some(io)) = (self.as_tasks, &self.io) {
            io.spawn(async move { job() });
            return;
        }
        {
            let mut state = lock(&self.state);
            if state.closed {
                drop(state);
                return job();
            }
            state.jobs.push_back(Box::new(job));
        }
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

    pub fn close(&self) {
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
    fn a_job_that_comes_after_the_end_is_not_lost() {
        let callbacks = Arc::new(Callbacks::default());
        callbacks.close();
        let (done, is_done) = channel();
        callbacks.run(move || done.send(()).unwrap());
        assert_eq!(is_done.try_recv(), Ok(()));
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
