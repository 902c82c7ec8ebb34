//! What those say on stderr who must never wait for it, such as the guard. A thread of its own writes, so that a pipe which
//! nobody reads keeps no lease from being revoked, and no program from being ended.

use std::io::Write;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// Lines that wait to be written; those that come after are left out.
const WAITING: usize = 100;
/// So long the end waits for them.
const FINISHED_WITHIN: Duration = Duration::from_secs(1);

/// See the module. A clone is the same.
#[derive(Clone)]
pub struct Voice(SyncSender<Line>);

enum Line {
    Say(String),
    /// Tells when all before it is written.
    Finish(SyncSender<()>),
}

impl Voice {
    /// Of who speaks, which begins each line.
    pub fn new(who: &'static str) -> Voice {
        let (lines, written) = sync_channel(WAITING);
        // Without a thread nothing is said, and nothing else is lost.
        let _ = thread::Builder::new().name("voice".into()).spawn(move || {
            for line in written {
                match line {
                    Line::Say(text) => _ = writeln!(std::io::stderr(), "{who}: {text}"),
                    Line::Finish(done) => _ = done.send(()),
                }
            }
        });
        Voice(lines)
    }

    /// Says a line. Does not block.
    pub fn say(&self, text: &str) {
        let _ = self.0.try_send(Line::Say(text.to_owned()));
    }

    /// Waits until all is written, for a second at most.
    pub fn finish(&self) {
        let (done, finished) = sync_channel(1);
        if self.0.try_send(Line::Finish(done)).is_ok() {
            let _ = finished.recv_timeout(FINISHED_WITHIN);
        }
    }
}
