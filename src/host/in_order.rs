//! What a host is told one after the other.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::lock::lock;
use super::threads::Callbacks;

type Job = Box<dyn FnOnce() + Send>;

/// Runs jobs one at a time, in the order in which they came.
pub(crate) struct InOrder {
    /// On one of these threads, which it takes only while there are some. `None`: where they come from, at once, for jobs
    /// that do not block.
    threads: Option<Arc<Callbacks>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    running: bool,
}

impl InOrder {
    pub fn new(threads: Option<Arc<Callbacks>>) -> Arc<Self> {
        Arc::new(InOrder { threads, state: Mutex::default() })
    }

    pub fn run(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) {
        let mut state = lock(&self.state);
        state.waiting.push_back(Box::new(job));
        if !std::mem::replace(&mut state.running, true) {
            drop(state);
            let jobs = self.clone();
            match &self.threads {
                Some(threads) => threads.run(move || jobs.run_all()),
                None => jobs.run_all(),
            }
        }
    }

    fn run_all(&self) {
        while let Some(job) = self.next() {
            job();
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = lock(&self.state);
        let next = state.waiting.pop_front();
        state.running = next.is_some();
        next
    }
}
