//! Where log lines go: to a sink that the host gives. This library writes to no file and no stream itself.

mod level;

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

pub use level::Level;

use crate::runtime::{Callbacks, lock};

/// Lines that wait for a slow sink; those that come after are counted and left out.
const WAITING: usize = 1024;

/// A sink for log lines. Cheap to clone; a clone is the same sink.
///
/// The sink is host code, and may be slow: a session calls it on its callback threads, one line at a time, in
/// order.
#[derive(Clone)]
pub struct Log(Arc<Sink>);

type Sink = dyn Fn(Level, &str) + Send + Sync;

impl Log {
    /// Lines go to `sink`.
    pub fn new(sink: impl Fn(Level, &str) + Send + Sync + 'static) -> Log {
        Log(Arc::new(sink))
    }

    /// Lines go nowhere.
    pub fn none() -> Log {
        Log::new(|_, _| {})
    }

    /// The same log, called on callback threads instead of the one that writes the line, which may be keeping
    /// leases.
    pub(crate) fn behind(self, callbacks: &Arc<Callbacks>) -> Log {
        let (queue, callbacks) = (Arc::new(Mutex::new(Queue::default())), callbacks.clone());
        Log::new(move |level, text| {
            let mut waiting = lock(&queue);
            if waiting.lines.len() == WAITING {
                waiting.left_out += 1;
                return;
            }
            waiting.lines.push_back((level, text.to_owned()));
            if !std::mem::replace(&mut waiting.writing, true) {
                let (queue, log) = (queue.clone(), self.clone());
                callbacks.run(move || write_all(&queue, &log));
            }
        })
    }

    /// Hands one line to the sink.
    pub fn line(&self, level: Level, text: &str) {
        (self.0)(level, text);
    }

    /// Hands over a line at [`Level::Warn`].
    pub fn warn(&self, text: &str) {
        self.line(Level::Warn, text);
    }

    /// Hands over a line at [`Level::Info`].
    pub fn info(&self, text: &str) {
        self.line(Level::Info, text);
    }

    /// Hands over a line at [`Level::Debug`].
    pub fn debug(&self, text: &str) {
        self.line(Level::Debug, text);
    }
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<(Level, String)>,
    left_out: usize,
    writing: bool,
}

fn write_all(queue: &Mutex<Queue>, log: &Log) {
    loop {
        let (line, left_out) = {
            let mut waiting = lock(queue);
            let line = waiting.lines.pop_front();
            waiting.writing = line.is_some();
            (line, std::mem::take(&mut waiting.left_out))
        };
        if left_out > 0 {
            log.warn(&format!("{left_out} lines of the log were left out: it is written too slowly"));
        }
        let Some((level, text)) = line else { return };
        // A sink that panics loses its line; there is nobody to say so to.
        let _ = catch_unwind(AssertUnwindSafe(|| log.line(level, &text)));
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}
