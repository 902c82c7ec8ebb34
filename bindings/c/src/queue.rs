//! The event queue: for hosts that can not be called on a thread of the library, or that have a loop of their own.

use std::ffi::c_char;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use primacy::election::{Host, Reader, Reply};
use primacy::engine::{Call, CallId, Holder, Notice};
use primacy::queue::{Event, Queue, What};

use crate::call::*;
use crate::duration;
use crate::election::{Life, primacy_election};
use crate::error::{Fault, primacy_error};
use crate::ffi::{self, Out};
use crate::handle;
use crate::primary::{self, PRIMACY_ADDRESS_SIZE};
use crate::scope;
use crate::status::*;
use crate::versioned::{self, Versioned};

/// A queue of events.
pub type primacy_queue = u64;

/// A call, which waits for `primacy_election_complete`: `detail` is one of `PRIMACY_CALL_...`.
pub const PRIMACY_EVENT_CALL: i32 = 1;
/// The call `call`, which came before, should end soon; it must still be completed.
pub const PRIMACY_EVENT_CANCELLED: i32 = 2;
/// Something that needs no answer: `detail` is one of `PRIMACY_NOTICE_...`.
pub const PRIMACY_EVENT_NOTICE: i32 = 3;
/// The election is over: nothing more comes under its tag.
pub const PRIMACY_EVENT_STOPPED: i32 = 4;
/// An observer saw another primary, that it has become ready (`detail` 1, else 0), or (`token` 0) that there is none.
/// Only the latest waits.
pub const PRIMACY_EVENT_OBSERVED: i32 = 5;
/// `primacy_queue_wake`.
pub const PRIMACY_EVENT_WOKEN: i32 = 6;

/// Something that happened, and to whom.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct primacy_event {
    /// Set it to `sizeof(primacy_event)`.
    pub struct_size: usize,
    /// What you gave as a name for the election or observer.
    pub tag: u64,
    /// One of `PRIMACY_EVENT_...`; newer libraries may have more, so ignore what you do not know.
    pub kind: i32,
    /// Call, notice: which one. Observed: 1, the primary is ready.
    pub detail: i32,
    /// Call, cancelled: its id.
    pub call: u64,
    /// `on_lost`: one of `PRIMACY_LOST_...`; else 0.
    pub reason: i32,
    /// Always 0.
    pub reserved: i32,
    /// The fencing token, as in `primacy_call`, `primacy_notice` or `primacy_primary`; else 0.
    pub token: i64,
    /// `on_primary`, `on_lost`: the etcd lease that the win stands on; else 0.
    pub lease: i64,
    /// The server id of the holder or of the observed primary; 0: there is none, or it is not known.
    pub server_id: i64,
    /// Its address; "" where there is none.
    pub address: [c_char; PRIMACY_ADDRESS_SIZE],
}

// SAFETY: repr(C), pairs of 32 bits leave no padding, the array's size is a multiple of eight, zero is 0.
unsafe impl Versioned for primacy_event {
    const NAME: &'static str = "primacy_event";
    const FIRST_SIZE: usize = size_of::<primacy_event>();
}

/// A new, empty queue. Any number of elections and observers may write to it, any number of threads take from
/// it.
///
/// Any thread, does not block. `PRIMACY_E_SYSTEM`: no descriptor left. `PRIMACY_E_NULL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_queue_new(
    queue_out: *mut primacy_queue,
    error_out: *mut *mut primacy_error,
) -> primacy_status {
    ffi::keep_panics_quiet();
    // SAFETY: the header's contract for out parameters.
    let out = unsafe { Out::zeroed(queue_out) };
    let inside = || {
        out.required("queue_out")?;
        let queue = Queue::new().map_err(|e| Fault::new(PRIMACY_E_SYSTEM, e.to_string()))?;
        out.set(handle::new(queue)?);
        Ok(())
    };
    // SAFETY: the header's contract for error_out.
    unsafe { ffi::enter(error_out, inside) }
}

/// A descriptor for poll, epoll, asyncio and the like: readable exactly while an event waits.
///
/// Do not read, write or close it. It is good until `primacy_queue_free`. Any thread, does not block.
/// `PRIMACY_E_NULL`, `PRIMACY_E_HANDLE`; then it is -1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_queue_fd(queue: primacy_queue, fd_out: *mut i32) -> primacy_status {
    // SAFETY: the header's contract for out parameters.
    let out = unsafe { Out::zeroed(fd_out) };
    // 0 is a descriptor.
    out.set(-1);
    ffi::enter_plain(|| {
        out.required("fd_out")?;
        out.set(handle::find::<Queue>(queue)?.as_fd().as_raw_fd());
        Ok(())
    })
}

/// Takes the next event; the election's come in order.
///
/// Blocks up to `timeout_ms`; 0: only asks. Any thread, several at a time. A call is over when it is
/// completed: what is asked for before (`resign`, `stop`) takes effect at once, unlike inside a callback.
///
/// `PRIMACY_E_TIMEOUT`: there was none in time. `PRIMACY_E_STOPPED`: freed meanwhile. `PRIMACY_E_DEADLOCK`:
/// it would wait inside a notice, a line of the log or the like. `PRIMACY_E_NULL`, `PRIMACY_E_STRUCT_SIZE`,
/// `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_queue_next(
    queue: primacy_queue,
    timeout_ms: u64,
    event_out: *mut primacy_event,
) -> primacy_status {
    // SAFETY: the header's contract for structs.
    let cleared = unsafe { versioned::clear(event_out) };
    ffi::enter_plain(|| {
        cleared?;
        if timeout_ms > 0 {
            scope::may_block()?;
        }
        let queue = handle::find::<Queue>(queue)?;
        let none = || Fault::from(if queue.is_closed() { PRIMACY_E_STOPPED } else { PRIMACY_E_TIMEOUT });
        let event = queue.next(duration::from_ms(timeout_ms)).ok_or_else(none)?;
        // SAFETY: as above.
        unsafe { versioned::write(event_out, &show(&event)) }
    })
}

/// Adds an event of your own, `PRIMACY_EVENT_WOKEN` with this tag, so that whoever waits looks at something
/// else.
///
/// Any thread, also inside every callback; does not block. `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_queue_wake(queue: primacy_queue, tag: u64) -> primacy_status {
    ffi::enter_plain(|| {
        handle::find::<Queue>(queue)?.wake(tag);
        Ok(())
    })
}

/// Ends a queue. What waits in it is gone: calls there, and later ones of its elections, fail, so end those
/// before it. Calls that were taken from it must still be completed.
///
/// Any thread, does not block. `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_queue_free(queue: primacy_queue) -> primacy_status {
    ffi::leave(|| {
        handle::close::<Queue>(queue)?.close();
        handle::remove(queue);
        Ok(())
    })
}

/// The engine's queue behind a handle.
pub(crate) fn find(queue: primacy_queue) -> Result<Queue, Fault> {
    Ok(Queue::clone(&*handle::find::<Queue>(queue)?))
}

/// A host whose calls become events.
pub(crate) fn queued(
    queue: primacy_queue,
    tag: u64,
) -> Result<impl FnOnce(primacy_election, Arc<Life>) -> Arc<dyn Host>, Fault> {
    let host = find(queue)?.host(tag);
    Ok(move |election, life| -> Arc<dyn Host> { Arc::new(Queued { host, election, life }) })
}

struct Queued {
    host: Arc<dyn Host>,
    election: primacy_election,
    life: Arc<Life>,
}

impl Host for Queued {
    fn keeps(&self, reader: Reader) -> bool {
        self.host.keeps(reader)
    }

    fn call(&self, call: CallId, what: &Call) -> Reply {
        self.host.call(call, what)
    }

    fn cancelled(&self, call: CallId) {
        self.host.cancelled(call);
    }

    fn notice(&self, what: &Notice) {
        self.host.notice(what);
    }

    fn stopped(&self) {
        self.host.stopped();
        self.life.engine_is_through(self.election);
    }
}

fn show(event: &Event) -> primacy_event {
    let mut shown = primacy_event::zeroed();
    shown.tag = event.tag;
    match &event.what {
        What::Call(call, what) => {
            (shown.kind, shown.detail, shown.call) = (PRIMACY_EVENT_CALL, kind_of(what.callback()), call.0);
            match what {
                Call::Standby { holder } => show_holder(&mut shown, holder.as_ref()),
                Call::Warmup => {}
                Call::Primary { token, lease } => (shown.token, shown.lease) = (token.0, lease.0),
                Call::Lost { token, lease, reason } => {
                    (shown.token, shown.lease, shown.reason) = (token.0, lease.0, number(*reason));
                }
            }
        }
        What::Cancelled(call) => (shown.kind, shown.call) = (PRIMACY_EVENT_CANCELLED, call.0),
        What::Notice(what) => {
            (shown.kind, shown.detail) = (PRIMACY_EVENT_NOTICE, kind_of_notice(what));
            match what {
                Notice::Suspended { token } | Notice::Resumed { token } | Notice::Ready { token } => {
                    shown.token = token.0;
                }
                Notice::Holder(holder) => {
                    shown.token = holder.as_ref().map_or(0, |holder| holder.revision.0);
                    show_holder(&mut shown, holder.as_ref());
                }
            }
        }
        What::Stopped => shown.kind = PRIMACY_EVENT_STOPPED,
        What::Observed(primary) => {
            let primary = primary::show(primary.as_ref());
            (shown.kind, shown.detail) = (PRIMACY_EVENT_OBSERVED, primary.ready);
            (shown.token, shown.server_id) = (primary.token, primary.server_id);
            shown.address = primary.address;
        }
        What::Woken => shown.kind = PRIMACY_EVENT_WOKEN,
        // No log of C's goes to a queue.
        What::Line(..) => {}
    }
    shown
}

fn show_holder(shown: &mut primacy_event, holder: Option<&Holder>) {
    if let Some(holder) = holder {
        shown.server_id = holder.server_id;
        ffi::copy_text(&mut shown.address, &holder.address);
    }
}
