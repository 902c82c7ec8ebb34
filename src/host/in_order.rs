//! What a host is told one after the other, on threads of the callbacks'.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::runtime::{Callbacks, lock};

type Job = Box<dyn FnOnce() + Send>;

/// Runs jobs one at a time, in the order in which they came. Takes a thread of the callbacks' only while there are some.
pub(crate) struct InOrder {
    callbacks: Arc<Callbacks>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    running: bool,
}

impl InOrder {
    pub fn new(callbacks: &Arc<Callbacks>) -> Arc<Self> {
        Arc::new(InOrder { callbacks: callbacks.clone(), state: Mutex::default() })
    }

    /// Never blocks.
    pub fn run(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) {
        let mut state = lock(&self.state);
        state.waiting.push_back(Box::new(job));
        if !std::mem::replace(&mut state.running, true) {
            drop(state);
            let jobs = self.clone();
            self.callbacks.run(move || {
                while let Some(job) = jobs.next() {
                    job();
                }
            });
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = lock(&self.state);
        let next = state.waiting.pop_front();
        state.running = next.is_some();
        next
    }
}
