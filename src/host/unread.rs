//! How much of what one election's host is told it has not read yet.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::contract::Reader;

/// What one election's host has not read yet. Changed under the queue's lock.
#[derive(Default)]
pub(super) struct Unread {
    reader: OnceLock<Reader>,
    count: AtomicUsize,
}

impl Unread {
    /// Whom to tell.
    pub fn reader(&self) -> Option<&Reader> {
        self.reader.get()
    }

    /// False: there is one already.
    pub fn is_for(&self, reader: Reader) -> bool {
        self.reader.set(reader).is_ok()
    }

    pub fn more(&self) {
        if self.count.fetch_add(1, Ordering::Relaxed) == 0 {
            self.say(true);
        }
    }

    pub fn less(&self) {
        let left = self.count.fetch_sub(1, Ordering::Relaxed) - 1;
        self.say(left > 0);
    }

    /// Something is gone that nobody has read; what takes its place is counted by itself.
    pub fn replaced(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    fn say(&self, waits: bool) {
        if let Some(reader) = self.reader.get() {
            reader.unread(waits);
        }
    }
}
