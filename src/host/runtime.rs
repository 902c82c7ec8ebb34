//! The threads of this library: one that does all I/O, and those that run the host's callbacks.
//!
//! All sessions and observers of a process share them. They come with the first and go with the last, and they
//! are born with signals blocked.

use std::io;
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

use super::lock::lock;
use super::threads::{Callbacks, start_thread};

static SHARED: Mutex<Weak<Runtime>> = Mutex::new(Weak::new());

/// See the module.
pub struct Runtime {
    io: tokio::runtime::Handle,
    /// `None`: somebody else runs it.
    thread: Option<Io>,
    callbacks: Arc<Callbacks>,
}

impl Runtime {
    /// The process's runtime; started if nobody uses it.
    ///
    /// # Errors
    /// No thread or descriptor left.
    pub fn shared() -> io::Result<Arc<Runtime>> {
        let mut shared = lock(&SHARED);
        if let Some(runtime) = shared.upgrade() {
            return Ok(runtime);
        }
        let (io, thread) = Io::start()?;
        let runtime =
            Arc::new(Runtime { callbacks: Callbacks::on_threads(io.clone()), io, thread: Some(thread) });
        // One that can not have them all ends what it has.
        runtime.callbacks.begin()?;
        *shared = Arc::downgrade(&runtime);
        Ok(runtime)
    }

    /// All of it in the tokio runtime that this is called in, callbacks as tasks: for tests in virtual time. Outside of
    /// one it panics.
    pub fn here() -> Arc<Runtime> {
        let io = tokio::runtime::Handle::current();
        Arc::new(Runtime { callbacks: Callbacks::as_tasks(io.clone()), io, thread: None })
    }

    /// Where I/O runs.
    pub(crate) fn io(&self) -> &tokio::runtime::Handle {
        &self.io
    }

    /// Where callbacks run.
    pub(crate) fn callbacks(&self) -> &Arc<Callbacks> {
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
