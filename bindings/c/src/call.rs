//! What a callback of an election is told.

use std::ffi::{CStr, CString, c_char};
use std::ptr;

use primacy::engine::{Call, CallId, Callback, Holder, LostReason, Notice};

use crate::election::primacy_election;
use crate::error::owned;
use crate::names::Names;
use crate::versioned::Versioned;

/// `on_standby`.
pub const PRIMACY_CALL_STANDBY: i32 = 1;
/// `on_warmup`.
pub const PRIMACY_CALL_WARMUP: i32 = 2;
/// `on_primary`.
pub const PRIMACY_CALL_PRIMARY: i32 = 3;
/// `on_lost`.
pub const PRIMACY_CALL_LOST: i32 = 4;

/// The lease ran out, or etcd no longer knows it.
pub const PRIMACY_LOST_LEASE_EXPIRED: i32 = 1;
/// Somebody deleted a key of the lock.
pub const PRIMACY_LOST_KEY_DELETED: i32 = 2;
/// Somebody overwrote a key of the lock.
pub const PRIMACY_LOST_KEY_TAKEN: i32 = 3;
/// `primacy_election_resign`.
pub const PRIMACY_LOST_RESIGNED: i32 = 4;
/// Handed over to another candidate.
pub const PRIMACY_LOST_TRANSFERRED: i32 = 5;
/// `on_primary` failed.
pub const PRIMACY_LOST_ACTIVATION_FAILED: i32 = 6;
/// etcd was put back to an older state, or replaced by another cluster.
pub const PRIMACY_LOST_STORE_ROLLED_BACK: i32 = 7;
/// The election or the session is being stopped.
pub const PRIMACY_LOST_STOPPED: i32 = 8;
/// A defect of the library.
pub const PRIMACY_LOST_INTERNAL_ERROR: i32 = 9;
/// The host did not take what waited for it in its queue, or its callback's thread could not be made.
pub const PRIMACY_LOST_HOST_UNRESPONSIVE: i32 = 10;
/// The host did not say within `primacy.liveness_timeout_ms` that it is well (`primacy_election_healthy`).
pub const PRIMACY_LOST_LIVENESS_EXPIRED: i32 = 11;

/// Primary, but a renewal of the lease is late: lost at the deadline unless it comes. Start nothing long.
pub const PRIMACY_NOTICE_SUSPENDED: i32 = 1;
/// The late renewal came.
pub const PRIMACY_NOTICE_RESUMED: i32 = 2;
/// `on_primary` has succeeded.
pub const PRIMACY_NOTICE_READY: i32 = 3;
/// Another holder of the lock, or (`holder_id` 0) none.
pub const PRIMACY_NOTICE_HOLDER: i32 = 4;

/// What one call of `on_standby`, `on_warmup`, `on_primary` or `on_lost` is about. Lives until the callback
/// returns.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct primacy_call {
    /// The library's `sizeof(primacy_call)`: fields beyond it are not there.
    pub struct_size: usize,
    /// Names this call, for `primacy_election_complete`. Never 0, never used again in this election.
    pub call: u64,
    /// The election that it belongs to.
    pub election: primacy_election,
    /// Its role.
    pub role: *const c_char,
    /// One of `PRIMACY_CALL_...`.
    pub kind: i32,
    /// `on_lost`: one of `PRIMACY_LOST_...`; else 0.
    pub reason: i32,
    /// `on_primary`, `on_lost`: the fencing token of the win; else 0.
    pub token: i64,
    /// `on_primary`, `on_lost`: the etcd lease that the win stands on; else 0.
    pub lease: i64,
    /// `on_standby`: the server id of the primary; 0: not known.
    pub holder_id: i64,
    /// `on_standby`: the primary's address; NULL: not known.
    pub holder_address: *const c_char,
}

/// Something that a host may want to know and that needs no answer. Lives until the callback returns.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct primacy_notice {
    /// The library's `sizeof(primacy_notice)`: fields beyond it are not there.
    pub struct_size: usize,
    /// The election that it belongs to.
    pub election: primacy_election,
    /// Its role.
    pub role: *const c_char,
    /// One of `PRIMACY_NOTICE_...`; newer libraries may have more, so ignore what you do not know.
    pub kind: i32,
    /// Always 0.
    pub reserved: i32,
    /// Suspended, resumed, ready: the fencing token of the win. Holder: the holder's.
    pub token: i64,
    /// Holder: its server id; 0: there is none.
    pub holder_id: i64,
    /// Holder: its address; NULL: there is none.
    pub holder_address: *const c_char,
}

// SAFETY: repr(C), the last field is a pointer, zero is NULL.
unsafe impl Versioned for primacy_call {
    const NAME: &'static str = "primacy_call";
    const FIRST_SIZE: usize = size_of::<primacy_call>();
}

// SAFETY: as above.
unsafe impl Versioned for primacy_notice {
    const NAME: &'static str = "primacy_notice";
    const FIRST_SIZE: usize = size_of::<primacy_notice>();
}

/// The texts that such a struct points to.
fn address_of(holder: Option<&Holder>) -> Option<CString> {
    holder.map(|holder| owned(&holder.address))
}

fn pointer(text: Option<&CString>) -> *const c_char {
    text.map_or(ptr::null(), |text| text.as_ptr())
}

/// Shows a call of the engine as C sees it.
pub(crate) fn show_call<R>(
    election: u64,
    role: &CStr,
    call: CallId,
    what: &Call,
    show: impl FnOnce(&primacy_call) -> R,
) -> R {
    let mut shown = primacy_call::zeroed();
    shown.call = call.0;
    shown.election = election;
    shown.role = role.as_ptr();
    shown.kind = kind_of(what.callback());
    let mut address = None;
    match what {
        Call::Standby { holder } => {
            shown.holder_id = holder.as_ref().map_or(0, |holder| holder.server_id);
            address = address_of(holder.as_ref());
        }
        Call::Warmup => {}
        Call::Primary { token, lease } => (shown.token, shown.lease) = (token.0, lease.0),
        Call::Lost { token, lease, reason } => {
            (shown.token, shown.lease, shown.reason) = (token.0, lease.0, number(*reason));
        }
    }
    shown.holder_address = pointer(address.as_ref());
    show(&shown)
}

/// Shows a notice of the engine as C sees it.
pub(crate) fn show_notice(election: u64, role: &CStr, what: &Notice, show: impl FnOnce(&primacy_notice)) {
    let mut shown = primacy_notice::zeroed();
    shown.election = election;
    shown.role = role.as_ptr();
    shown.kind = kind_of_notice(what);
    let mut address = None;
    shown.token = match what {
        Notice::Suspended { token } | Notice::Resumed { token } | Notice::Ready { token } => token.0,
        Notice::Holder(holder) => {
            shown.holder_id = holder.as_ref().map_or(0, |holder| holder.server_id);
            address = address_of(holder.as_ref());
            holder.as_ref().map_or(0, |holder| holder.revision.0)
        }
    };
    shown.holder_address = pointer(address.as_ref());
    show(&shown);
}

/// One of `PRIMACY_CALL_...`.
pub(crate) fn kind_of(callback: Callback) -> i32 {
    match callback {
        Callback::Standby => PRIMACY_CALL_STANDBY,
        Callback::Warmup => PRIMACY_CALL_WARMUP,
        Callback::Primary => PRIMACY_CALL_PRIMARY,
        Callback::Lost => PRIMACY_CALL_LOST,
    }
}

/// One of `PRIMACY_NOTICE_...`.
pub(crate) fn kind_of_notice(notice: &Notice) -> i32 {
    match notice {
        Notice::Suspended { .. } => PRIMACY_NOTICE_SUSPENDED,
        Notice::Resumed { .. } => PRIMACY_NOTICE_RESUMED,
        Notice::Ready { .. } => PRIMACY_NOTICE_READY,
        Notice::Holder(_) => PRIMACY_NOTICE_HOLDER,
    }
}

/// One of `PRIMACY_LOST_...`.
pub(crate) fn number(reason: LostReason) -> i32 {
    match reason {
        LostReason::LeaseExpired => PRIMACY_LOST_LEASE_EXPIRED,
        LostReason::KeyDeleted => PRIMACY_LOST_KEY_DELETED,
        LostReason::KeyTaken => PRIMACY_LOST_KEY_TAKEN,
        LostReason::Resigned => PRIMACY_LOST_RESIGNED,
        LostReason::Transferred => PRIMACY_LOST_TRANSFERRED,
        LostReason::ActivationFailed => PRIMACY_LOST_ACTIVATION_FAILED,
        LostReason::StoreRolledBack => PRIMACY_LOST_STORE_ROLLED_BACK,
        LostReason::Stopped => PRIMACY_LOST_STOPPED,
        LostReason::InternalError => PRIMACY_LOST_INTERNAL_ERROR,
        LostReason::HostUnresponsive => PRIMACY_LOST_HOST_UNRESPONSIVE,
        LostReason::LivenessExpired => PRIMACY_LOST_LIVENESS_EXPIRED,
    }
}

/// The name of a reason of `on_lost`, such as "lease_expired": the one that logs, Go and Python show.
///
/// Never NULL; lives as long as the library. Any thread, does not block.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_lost_string(reason: i32) -> *const c_char {
    static NAMES: Names = Names::new();
    NAMES.of(reason, LostReason::ALL.map(LostReason::name))
}

/// The name of a callback, by `PRIMACY_CALL_...`, such as "on_warmup"; else as `primacy_lost_string`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_call_string(kind: i32) -> *const c_char {
    static NAMES: Names = Names::new();
    NAMES.of(kind, Callback::ALL.map(Callback::name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_and_a_callback_have_the_engines_number_and_name() {
        // SAFETY: texts that live as long as the library.
        let text = |name| unsafe { CStr::from_ptr(name) }.to_str();
        for reason in LostReason::ALL {
            assert_eq!(number(reason), reason.number());
            assert_eq!(text(primacy_lost_string(reason.number())), Ok(reason.name()));
        }
        for callback in Callback::ALL {
            assert_eq!(kind_of(callback), callback.number());
            assert_eq!(text(primacy_call_string(callback.number())), Ok(callback.name()));
        }
        for number in [i32::MIN, -1, 0, 1 + LostReason::ALL.len() as i32, i32::MAX] {
            assert_eq!(text(primacy_lost_string(number)), Ok("unknown"));
        }
    }
}
