//! Where sessions and elections stand, as structs: what `primacy_session_snapshot_json` says, for programs.

use std::ffi::{c_char, c_void};
use std::mem;

use primacy::engine::{ElectionSnapshot, ElectionState, Obstacle, SessionState, Snapshot};
use primacy::session::Session;

use crate::call::*;
use crate::election::{Election, primacy_election};
use crate::ffi::{self, UserData};
use crate::handle;
use crate::names::Names;
use crate::primary::PRIMACY_ADDRESS_SIZE;
use crate::scope::{self, Scope};
use crate::session::primacy_session;
use crate::status::{PRIMACY_E_STOPPED, primacy_status};
use crate::versioned::{self, Versioned};

/// It works.
pub const PRIMACY_SESSION_OPEN: i32 = 1;
/// It is being stopped.
pub const PRIMACY_SESSION_STOPPING: i32 = 2;
/// It is over.
pub const PRIMACY_SESSION_CLOSED: i32 = 3;
/// It is not open yet, and nothing has been asked of etcd.
pub const PRIMACY_SESSION_NEW: i32 = 4;
/// It has no lease or no server id yet.
pub const PRIMACY_SESSION_OPENING: i32 = 5;

/// No record in etcd yet.
pub const PRIMACY_ELECTION_REGISTERING: i32 = 1;
/// It has a record; nobody has asked it to campaign.
pub const PRIMACY_ELECTION_REGISTERED: i32 = 2;
/// Neither primary nor standby yet.
pub const PRIMACY_ELECTION_CAMPAIGNING: i32 = 3;
/// Somebody else is primary, or will be.
pub const PRIMACY_ELECTION_STANDBY: i32 = 4;
/// It has won, and `on_primary` has not succeeded yet.
pub const PRIMACY_ELECTION_ACTIVATING: i32 = 5;
/// It is primary.
pub const PRIMACY_ELECTION_PRIMARY: i32 = 6;
/// It is primary, and its renewal is late.
pub const PRIMACY_ELECTION_SUSPENDED: i32 = 7;
/// It was primary; its callbacks or its keys are not done yet.
pub const PRIMACY_ELECTION_RESIGNING: i32 = 8;
/// As before, and the drain timeout is over.
pub const PRIMACY_ELECTION_STUCK: i32 = 9;
/// It is being stopped.
pub const PRIMACY_ELECTION_STOPPING: i32 = 10;
/// It is over.
pub const PRIMACY_ELECTION_STOPPED: i32 = 11;

/// Its record's key is somebody else's; it waits until that is gone.
pub const PRIMACY_OBSTACLE_RECORD_TAKEN: i32 = 1;
/// Its host takes nothing of what waits for it; it does not campaign until it does.
pub const PRIMACY_OBSTACLE_HOST_UNRESPONSIVE: i32 = 2;
/// The cluster has seen a newer version, or the key that tells is no version: it does not campaign. Waiting does not
/// help: somebody has to change the key, or this server.
pub const PRIMACY_OBSTACLE_OUTDATED: i32 = 3;
/// etcd's user may not do what the last write needs.
pub const PRIMACY_OBSTACLE_DENIED: i32 = 4;
/// etcd has no space for the last write.
pub const PRIMACY_OBSTACLE_NO_SPACE: i32 = 5;
/// etcd refused the last write, for another reason.
pub const PRIMACY_OBSTACLE_REFUSED: i32 = 6;
/// The last write was not sent.
pub const PRIMACY_OBSTACLE_UNREACHABLE: i32 = 7;
/// The last write got no answer in time: it may have happened.
pub const PRIMACY_OBSTACLE_INDEFINITE: i32 = 8;
/// The lease of the last write was gone.
pub const PRIMACY_OBSTACLE_LEASE_LOST: i32 = 9;
/// Nobody holds the lock, and another key that a win takes, or must find absent, is somebody else's; it waits until that is
/// gone.
pub const PRIMACY_OBSTACLE_KEY_HELD: i32 = 10;
/// Its primacy.priority is 0: it never campaigns, and is never handed primacy.
pub const PRIMACY_OBSTACLE_NO_PRIORITY: i32 = 11;

/// Room for the warnings of a session, their ending NUL included.
pub const PRIMACY_WARNINGS_SIZE: usize = 1024;

/// Where a session stands, at one moment.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct primacy_session_state {
    /// Set it to `sizeof(primacy_session_state)`.
    pub struct_size: usize,
    /// One of `PRIMACY_SESSION_...`.
    pub state: i32,
    /// 1: the last renewal of the lease got no answer in time.
    pub suspended: i32,
    /// Its server id in etcd.
    pub server_id: i64,
    /// Its lease in etcd; 0: none at the moment.
    pub lease: i64,
    /// As etcd granted it; 0: no lease.
    pub ttl_ms: u64,
    /// How long the lease is surely ours.
    pub remaining_ms: u64,
    /// etcd's highest revision seen.
    pub revision: i64,
    /// How many elections it has.
    pub elections: u64,
    /// What works now and may yet end badly, such as a short TTL or an old etcd, for people, one a line; "": nothing.
    pub warnings: [c_char; PRIMACY_WARNINGS_SIZE],
}

/// Where an election stands, at one moment. Whether it is primary is asked by `primacy_election_is_primary`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct primacy_election_state {
    /// Set it to `sizeof(primacy_election_state)`.
    pub struct_size: usize,
    /// One of `PRIMACY_ELECTION_...`.
    pub state: i32,
    /// 1: the last warm-up said "warm".
    pub warm: i32,
    /// The fencing token of the win, also while it drains; 0: none.
    pub token: i64,
    /// The calls that are running: for each the bit `1 << PRIMACY_CALL_...`.
    pub running: u32,
    /// 1: its record in etcd says that the server is going to stop.
    pub stopping: i32,
    /// The revision at which its record was written last; 0: it is not in etcd, or not under the present lease.
    pub record_revision: i64,
    /// The lock's holder; 0: there is none, or it is not known.
    pub holder_id: i64,
    /// The holder's fencing token.
    pub holder_token: i64,
    /// The holder's lease.
    pub holder_lease: i64,
    /// The holder's address; "": there is none.
    pub holder_address: [c_char; PRIMACY_ADDRESS_SIZE],
    /// What troubles it, for people; "": nothing does.
    pub trouble: [c_char; PRIMACY_ADDRESS_SIZE],
    /// The same for programs: one of `PRIMACY_OBSTACLE_...`, 0: nothing does. Newer libraries may have more.
    pub obstacle: i32,
    /// Always 0.
    pub reserved: i32,
}

// SAFETY: repr(C), pairs of 32 bits leave no padding, the array's size is a multiple of eight, zero is 0.
unsafe impl Versioned for primacy_session_state {
    const NAME: &'static str = "primacy_session_state";
    const FIRST_SIZE: usize = mem::offset_of!(primacy_session_state, warnings);
}

// SAFETY: as above.
unsafe impl Versioned for primacy_election_state {
    const NAME: &'static str = "primacy_election_state";
    const FIRST_SIZE: usize = mem::offset_of!(primacy_election_state, obstacle);
}

/// Where the session stands now.
///
/// Any thread, does not block. `PRIMACY_E_NULL`, `PRIMACY_E_STRUCT_SIZE`, `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_session_snapshot(
    session: primacy_session,
    state_out: *mut primacy_session_state,
) -> primacy_status {
    // SAFETY: the header's contract for structs.
    let cleared = unsafe { versioned::clear(state_out) };
    ffi::enter_plain(|| {
        cleared?;
        let snapshot = handle::find::<Session>(session)?.snapshot();
        // SAFETY: as above.
        unsafe { versioned::write(state_out, &show_session(&snapshot)) }
    })
}

/// Where the election stands now.
///
/// Any thread, does not block. `PRIMACY_E_STOPPED`: it is over. `PRIMACY_E_NULL`, `PRIMACY_E_STRUCT_SIZE`,
/// `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_election_snapshot(
    election: primacy_election,
    state_out: *mut primacy_election_state,
) -> primacy_status {
    // SAFETY: the header's contract for structs.
    let cleared = unsafe { versioned::clear(state_out) };
    ffi::enter_plain(|| {
        cleared?;
        let snapshot = handle::find::<Election>(election)?.snapshot().ok_or(PRIMACY_E_STOPPED)?;
        // SAFETY: as above.
        unsafe { versioned::write(state_out, &show_election(&snapshot)) }
    })
}

/// Calls `on_change` once, as soon as the election stands elsewhere than `seen` says, which is what
/// `primacy_election_snapshot` said; or at once, if it does already. Also when it is over, or its session is.
///
/// `seen` is copied; NULL: when it is over. It needs no answer of etcd, holds no thread, and works before
/// `primacy_election_campaign` too. `user_data` is handed to `on_change`, and not used if this fails. `on_change` runs on
/// a thread of the library; it must return soon, and not call what blocks. Any thread, does not block.
/// `PRIMACY_E_NULL`, `PRIMACY_E_STRUCT_SIZE`, `PRIMACY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn primacy_election_watch(
    election: primacy_election,
    seen: *const primacy_election_state,
    on_change: Option<unsafe extern "C" fn(user_data: *mut c_void)>,
    user_data: *mut c_void,
) -> primacy_status {
    ffi::enter_plain(|| {
        let (on_change, user_data) = (on_change.ok_or_else(|| ffi::null("on_change"))?, UserData(user_data));
        let seen = if seen.is_null() {
            None
        } else {
            // SAFETY: not NULL, and by the header a struct of the size it says.
            Some(unsafe { (versioned::read(seen)?, (*seen).struct_size) })
        };
        let elsewhere = move |snapshot: Option<&ElectionSnapshot>| match (snapshot, &seen) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(snapshot), Some((seen, size))) => !versioned::same(&show_election(snapshot), seen, *size),
        };
        let told = move || {
            let user_data = user_data;
            // SAFETY: the host gave the function for this, once.
            scope::run(Scope::Telling, || unsafe { on_change(user_data.0) });
        };
        handle::find::<Election>(election)?.inner().start_wait(elsewhere, told);
        Ok(())
    })
}

/// The name of an obstacle, by `PRIMACY_OBSTACLE_...`, such as "outdated".
///
/// Never NULL, "unknown" for another number; lives as long as the library. Any thread, does not block.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_obstacle_string(obstacle: i32) -> *const c_char {
    static NAMES: Names = Names::new();
    NAMES.of(obstacle, Obstacle::ALL.map(Obstacle::name))
}

/// The name of a session's state, by `PRIMACY_SESSION_...`, such as "open"; else as `primacy_obstacle_string`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_session_state_string(state: i32) -> *const c_char {
    static NAMES: Names = Names::new();
    NAMES.of(state, SessionState::ALL.map(SessionState::name))
}

/// The name of an election's state, by `PRIMACY_ELECTION_...`, such as "standby"; else as `primacy_obstacle_string`.
#[unsafe(no_mangle)]
pub extern "C" fn primacy_election_state_string(state: i32) -> *const c_char {
    static NAMES: Names = Names::new();
    NAMES.of(state, ElectionState::ALL.map(ElectionState::name))
}

fn show_session(snapshot: &Snapshot) -> primacy_session_state {
    let mut shown = primacy_session_state {
        state: number_of_session(snapshot.state),
        suspended: i32::from(snapshot.suspended),
        server_id: snapshot.server_id,
        lease: snapshot.lease.parse().unwrap_or(0),
        ttl_ms: snapshot.ttl_ms,
        remaining_ms: snapshot.remaining_ms,
        revision: snapshot.revision,
        elections: snapshot.elections.len() as u64,
        ..Versioned::zeroed()
    };
    ffi::copy_start(&mut shown.warnings, &snapshot.warnings.join("\n"));
    shown
}

fn show_election(snapshot: &ElectionSnapshot) -> primacy_election_state {
    let mut shown = primacy_election_state {
        state: number_of(snapshot.state),
        warm: i32::from(snapshot.warm),
        token: snapshot.token,
        running: snapshot.running.iter().fold(0, |all, callback| all | 1 << kind_of(*callback)),
        stopping: i32::from(snapshot.stopping),
        record_revision: snapshot.record_revision,
        obstacle: snapshot.obstacle.map_or(0, number_of_obstacle),
        ..Versioned::zeroed()
    };
    if let Some(holder) = &snapshot.holder {
        (shown.holder_id, shown.holder_token) = (holder.server_id, holder.token);
        shown.holder_lease = holder.lease.parse().unwrap_or(0);
        ffi::copy_text(&mut shown.holder_address, &holder.address);
    }
    if let Some(trouble) = &snapshot.trouble {
        ffi::copy_start(&mut shown.trouble, trouble);
    }
    shown
}

fn number_of_session(state: SessionState) -> i32 {
    match state {
        SessionState::Open => PRIMACY_SESSION_OPEN,
        SessionState::Stopping => PRIMACY_SESSION_STOPPING,
        SessionState::Closed => PRIMACY_SESSION_CLOSED,
        SessionState::New => PRIMACY_SESSION_NEW,
        SessionState::Opening => PRIMACY_SESSION_OPENING,
    }
}

fn number_of_obstacle(obstacle: Obstacle) -> i32 {
    match obstacle {
        Obstacle::RecordTaken => PRIMACY_OBSTACLE_RECORD_TAKEN,
        Obstacle::HostUnresponsive => PRIMACY_OBSTACLE_HOST_UNRESPONSIVE,
        Obstacle::Outdated => PRIMACY_OBSTACLE_OUTDATED,
        Obstacle::Denied => PRIMACY_OBSTACLE_DENIED,
        Obstacle::NoSpace => PRIMACY_OBSTACLE_NO_SPACE,
        Obstacle::Refused => PRIMACY_OBSTACLE_REFUSED,
        Obstacle::Unreachable => PRIMACY_OBSTACLE_UNREACHABLE,
        Obstacle::Indefinite => PRIMACY_OBSTACLE_INDEFINITE,
        Obstacle::LeaseLost => PRIMACY_OBSTACLE_LEASE_LOST,
        Obstacle::KeyHeld => PRIMACY_OBSTACLE_KEY_HELD,
        Obstacle::NoPriority => PRIMACY_OBSTACLE_NO_PRIORITY,
    }
}

fn number_of(state: ElectionState) -> i32 {
    match state {
        ElectionState::Registering => PRIMACY_ELECTION_REGISTERING,
        ElectionState::Registered => PRIMACY_ELECTION_REGISTERED,
        ElectionState::Campaigning => PRIMACY_ELECTION_CAMPAIGNING,
        ElectionState::Standby => PRIMACY_ELECTION_STANDBY,
        ElectionState::Activating => PRIMACY_ELECTION_ACTIVATING,
        ElectionState::Primary => PRIMACY_ELECTION_PRIMARY,
        ElectionState::Suspended => PRIMACY_ELECTION_SUSPENDED,
        ElectionState::Resigning => PRIMACY_ELECTION_RESIGNING,
        ElectionState::Stuck => PRIMACY_ELECTION_STUCK,
        ElectionState::Stopping => PRIMACY_ELECTION_STOPPING,
        ElectionState::Stopped => PRIMACY_ELECTION_STOPPED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn states_and_obstacles_have_the_engines_numbers_and_names() {
        // SAFETY: texts that live as long as the library.
        let text = |name| unsafe { CStr::from_ptr(name) }.to_str();
        for state in ElectionState::ALL {
            assert_eq!(number_of(state), state.number());
            assert_eq!(text(primacy_election_state_string(state.number())), Ok(state.name()));
        }
        for state in SessionState::ALL {
            assert_eq!(number_of_session(state), state.number());
            assert_eq!(text(primacy_session_state_string(state.number())), Ok(state.name()));
        }
        for obstacle in Obstacle::ALL {
            assert_eq!(number_of_obstacle(obstacle), obstacle.number());
            assert_eq!(text(primacy_obstacle_string(obstacle.number())), Ok(obstacle.name()));
        }
    }
}
