//! What a Python object holds of the engine.

use std::thread;

use primacy::platform::{is_child, with_signals_blocked};

use crate::fault::Fault;

/// A part of the engine. A forked child can not use it, and does not end it: it is the parent's.
pub struct Handle<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Handle<T> {
    pub fn new(inner: T) -> Self {
        Handle(Some(inner))
    }

    /// What it holds; not in a forked child.
    pub fn get(&self) -> Result<&T, Fault> {
        if is_child() { Err(Fault::Forked) } else { self.in_any_process() }
    }

    /// What it holds, for what is as true in a child.
    pub fn in_any_process(&self) -> Result<&T, Fault> {
        self.0.as_ref().ok_or_else(|| Fault::Internal("an empty handle".into()))
    }
}

/// The last handle may end the engine's threads, and wait for them: not while it holds the interpreter's lock.
impl<T: Send + 'static> Drop for Handle<T> {
    fn drop(&mut self) {
        let inner = self.0.take();
        if is_child() {
            std::mem::forget(inner);
        } else {
            let thread = thread::Builder::new().name("primacy-drop".into());
            // Without a thread left, this one does it.
            let _ = with_signals_blocked(|| thread.spawn(move || drop(inner)));
        }
    }
}
