//! Where log lines go: to a sink that the host gives. This library writes to no file and no stream itself.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

pub use crate::engine::Level;
pub(crate) use crate::engine::plain::{BRIEF, plain};

use crate::host::{Callbacks, lock};

/// Lines that wait for a slow sink; those that come after are counted and left out.
const WAITING: usize = 1024;
/// A longer line is cut.
const LINE: usize = 4096;
/// Of several lines that belong together, the last that fit in this are kept.
const LINES: usize = 256 * 1024;

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
            let add = |level, text: String| {
                // Not under the lock: after the callbacks' end, the job runs here.
                if lock(&queue).add(level, text) {
                    let (queue, log) = (queue.clone(), self.clone());
                    callbacks.run(move || write_all(&queue, &log));
                }
            };
            add(level, text.to_owned());
            if let Some(shortage) = callbacks.news_of_shortage() {
                add(Level::Warn, shortage);
            }
        })
    }

    /// Hands one line to the sink. What others have put into it, such as the bytes of a key, neither ends the line nor
    /// reaches a terminal as it is; a very long one is cut.
    pub fn line(&self, level: Level, text: &str) {
        (self.0)(level, &plain(text, LINE));
    }

    /// Hands over several lines that belong together, as one message. The last ones matter most: of very many, those
    /// are kept.
    pub fn lines(&self, level: Level, heading: &str, text: &str) {
        let (mut kept, mut size) = (Vec::new(), 0);
        let mut all = text.lines().rev();
        for line in all.by_ref().map(|line| plain(line, LINES)) {
            size += line.len() + 1;
            if size > LINES {
                kept.push(Cow::Borrowed("..."));
                break;
            }
            kept.push(line);
        }
        let mut message = plain(heading, LINE).into_owned();
        for line in kept.iter().rev() {
            message.push('\n');
            message.push_str(line);
        }
        (self.0)(level, &message);
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

impl Queue {
    /// Whether nobody writes yet: then the caller has to see to it.
    fn add(&mut self, level: Level, text: String) -> bool {
        if self.lines.len() == WAITING {
            self.left_out += 1;
            return false;
        }
        self.lines.push_back((level, text));
        !std::mem::replace(&mut self.writing, true)
    }
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
        let _ = catch_unwind(AssertUnwindSafe(|| (log.0)(level, &text)));
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    fn said(say: impl Fn(&Log)) -> String {
        let sink = Arc::new(Mutex::new(String::new()));
        let of_log = sink.clone();
        say(&Log::new(move |_, text| lock(&of_log).push_str(text)));
        lock(&sink).clone()
    }

    #[test]
    fn a_line_is_one_line_and_not_too_long() {
        let key = format!("\x1b[2J{}\nforged", "x".repeat(2_000_000));
        let line = said(|log| log.warn(&key));
        assert!(line.len() < LINE + 50 && line.starts_with("\\u{1b}[2Jxxx"), "{} bytes", line.len());
        assert_eq!(said(|log| log.warn("a\nforged")), "a\\nforged");
    }

    #[test]
    fn a_line_that_comes_after_the_end_is_written_and_waits_for_nobody() {
        let callbacks = Arc::new(Callbacks::default());
        let (sink, lines) = channel();
        let log = Log::new(move |_, text| sink.send(text.to_owned()).unwrap()).behind(&callbacks);
        callbacks.close();
        std::thread::spawn(move || ["first", "last"].map(|text| log.warn(text)));
        let line = || lines.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!([line(), line()], ["first", "last"]);
    }

    #[test]
    fn of_many_lines_the_last_are_kept_each_cut_by_itself() {
        let recording = format!("first\n{}\x07last\n", "a step\n".repeat(100_000));
        let message = said(|log| log.lines(Level::Info, "what led to it:", &recording));
        assert!(message.len() < LINES + 100, "{} bytes", message.len());
        assert!(message.starts_with("what led to it:\n...\na step\n") && message.ends_with("\n\\u{7}last"));
        assert_eq!(said(|log| log.lines(Level::Info, "h:", "one\ntwo\n")), "h:\none\ntwo");
    }
}
