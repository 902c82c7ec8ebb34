//! What a seed decides before anything happens: who takes part, how the network is, what breaks and when.
//!
//! A scenario is plain data, so that a failure can be shrunk: a run with fewer faults, a calmer network or fewer
//! candidates is a run like any other.

use std::fmt;
use std::time::Duration;

use primacy_engine::Purpose;
use primacy_engine::milvus::Layout;
use primacy_engine::time::Time;

use crate::clock::START;
use crate::random::{self, Draw, Rng};

/// The roles that take part. A mixcoord is the three after it as well.
pub const ROLES: [&str; 5] = ["mixcoord", "querycoord", "datacoord", "rootcoord", "indexcoord"];
/// Where the mixcoord stands in [`ROLES`].
pub const MIXCOORD: usize = 0;

/// Everything that a seed decides.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What each draw on the way is derived from.
    pub seed: u64,
    /// Asked for by every candidate, in seconds.
    pub ttl: u64,
    /// As in the setup of the engine.
    pub margin: Option<Duration>,
    /// As in the setup of the engine.
    pub warmup_interval: Duration,
    /// As in the setup of the engine.
    pub activation_timeout: Duration,
    /// As in the setup of the engine.
    pub liveness_timeout: Option<Duration>,
    /// As in the setup of the engine.
    pub drain_timeout: Duration,
    /// As in the setup of the engine.
    pub request_timeout: Duration,
    /// The processes that run our engine.
    pub processes: Vec<ProcessPlan>,
    /// Coordinators that run Milvus's own code.
    pub neighbours: Vec<NeighbourPlan>,
    /// Clients that want to know who is primary.
    pub observers: Vec<ObserverPlan>,
    /// How many members etcd has.
    pub members: usize,
    /// The least TTL that etcd grants, in seconds.
    pub min_ttl: u64,
    /// How the network is until the faults end.
    pub network: NetworkPlan,
    /// How the hosts are until the faults end.
    pub hosts: HostPlan,
    /// What breaks, in the order of time.
    pub faults: Vec<(Time, Fault)>,
    /// What breaks just when something is asked of the store.
    pub strikes: Vec<Strike>,
    /// From here on everything works.
    pub faults_end: Time,
}

/// A process that runs our engine.
#[derive(Clone, Debug)]
pub struct ProcessPlan {
    /// When it starts.
    pub start: Time,
    /// Its roles, and whether it campaigns for them.
    pub roles: Vec<(usize, bool)>,
    /// Its layout.
    pub layout: Layout,
    /// Its version: 3.`minor`.`patch`.
    pub minor: u64,
    /// See `minor`.
    pub patch: u64,
    /// How much it is preferred; 0: it is never primary.
    pub priority: u32,
    /// It knows one member of etcd alone.
    pub lone: bool,
    /// What its clock gains, in microseconds a second.
    pub drift: i64,
    /// What its clock shows at the start, in nanoseconds.
    pub origin: u64,
}

impl ProcessPlan {
    /// Its version.
    pub fn version(&self) -> semver::Version {
        semver::Version::new(3, self.minor, self.patch)
    }
}

/// A coordinator that runs Milvus's own code.
#[derive(Clone, Debug)]
pub struct NeighbourPlan {
    /// When it starts.
    pub start: Time,
    /// Its role.
    pub role: usize,
    /// When it ends, and whether in an orderly way.
    pub end: Option<(Time, bool)>,
    /// Of a mixcoord: as in 2.6.13, which writes `TriggerKill`; else as in 3.0.
    pub kill: bool,
}

/// A client that wants to know who is primary.
#[derive(Clone, Debug)]
pub struct ObserverPlan {
    /// When it starts.
    pub start: Time,
    /// Whose primary.
    pub role: usize,
    /// The layout of the candidates.
    pub layout: Layout,
}

/// How the network is: of a thousand requests, how many fare badly, and how.
#[derive(Clone, Debug, Default)]
pub struct NetworkPlan {
    /// The longest usual way, in milliseconds.
    pub usual: u64,
    /// Of a thousand, how many fare badly.
    pub trouble: u32,
    /// The ways in which they do.
    pub ways: Vec<Way>,
    /// Requests for this purpose fare badly this way every other time.
    pub target: Option<(Purpose, Way)>,
    /// Of a thousand timers and callbacks, how many are served late.
    pub late: u32,
}

/// How a request fares badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It never arrives; nobody says so.
    Lost,
    /// It is done; the answer never arrives.
    Unanswered,
    /// It is done long after it was given up.
    Late,
    /// Both ways take long.
    Slow,
    /// It is not sent: the connection is refused.
    Refused,
    /// The connection breaks before it arrives.
    BrokenBefore,
    /// The connection breaks after it is done.
    BrokenAfter,
}

const WAYS: [Way; 7] =
    [Way::Lost, Way::Unanswered, Way::Late, Way::Slow, Way::Refused, Way::BrokenBefore, Way::BrokenAfter];

/// Purposes that luck is aimed at; those that take and give back primacy most often.
const PURPOSES: [Purpose; 28] = [
    Purpose::Grant,
    Purpose::Renew,
    Purpose::Renew,
    Purpose::Revoke,
    Purpose::TakeId,
    Purpose::Register,
    Purpose::Move,
    Purpose::Settle,
    Purpose::Update,
    Purpose::Campaign,
    Purpose::Campaign,
    Purpose::Campaign,
    Purpose::Campaign,
    Purpose::Release,
    Purpose::Release,
    Purpose::Publish,
    Purpose::Unpublish,
    Purpose::Unregister,
    Purpose::Reread,
    Purpose::Reread,
    Purpose::Confirm,
    Purpose::Confirm,
    Purpose::Heirs,
    Purpose::Offer,
    Purpose::Offer,
    Purpose::Accept,
    Purpose::HandOver,
    Purpose::HandOver,
];

/// How the hosts are: of a thousand calls, how many go how.
#[derive(Clone, Debug, Default)]
pub struct HostPlan {
    /// Take up to several seconds.
    pub slow: u32,
    /// Run until they are cancelled, and a little longer.
    pub until_cancelled: u32,
    /// Run until the faults end.
    pub hang: u32,
    /// Run until the end of the run.
    pub hang_for_ever: u32,
    /// Are left for up to several seconds before they are taken; so are news.
    pub left: u32,
    /// Fail.
    pub fail: u32,
    /// Ask for something inside: to resign, to end the election, to end the session.
    pub within: u32,
    /// Guarded writes of a primary, at most.
    pub writes: u32,
}

/// Something that breaks, or that somebody does.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A process is stopped and goes on later; inside a step of its driver, or between two.
    Pause { process: usize, length: Duration, within_step: bool },
    /// A process dies; it comes back as a new session.
    Crash { process: usize, back: Option<Duration> },
    /// A process can not reach etcd.
    Cut { process: usize, length: Duration, how: Cut },
    /// A member of etcd hangs; what it got meanwhile it does afterwards.
    Stall { member: usize, length: Duration },
    /// etcd is stopped and started again.
    Restart { length: Duration },
    /// etcd has a new leader: all leases begin anew.
    NewLeader,
    /// etcd's leader stands still, and the others elect another one. When it goes on, it acknowledges renewals that
    /// nobody else hears of, until it hears of its successor.
    LeaderStandsStill { member: usize, length: Duration, astray: Duration },
    /// A backup is taken.
    Backup,
    /// The store is put back to the backup.
    Restore { bump: bool, other_cluster: bool },
    /// The history up to now is forgotten.
    Compact,
    /// The store has no space: puts and grants are refused.
    NoSpace { length: Duration },
    /// The watches of a process end.
    BreakWatches { process: usize },
    /// The watches of a process end, and an operator does something that neither they nor the next ones tell.
    Gap { process: usize, what: Operator, pick: u64 },
    /// The watches of a process say nothing more.
    SilenceWatches { process: usize },
    /// What the watches of a process say arrives late.
    HoldWatches { process: usize, length: Duration },
    /// An operator does something by hand.
    Operator { what: Operator, pick: u64 },
    /// An operator asks whoever holds a lock to hand over or to resign, in that one's record; `past`: under the token of an
    /// earlier win.
    Ask { resign: bool, to: Option<i64>, past: bool, pick: u64 },
    /// An operator who has asked takes it back, if it has not been taken.
    TakeBack { pick: u64 },
    /// The host asks to resign.
    Resign { process: usize, election: usize },
    /// The host hands over, to the best candidate or to the one of a server id that may be there.
    Transfer { process: usize, election: usize, to: Option<i64> },
    /// The host ends an election, and registers it again later.
    Withdraw { process: usize, election: usize, timeout: Duration, again: Option<Duration> },
    /// The host ends the session, and opens another one later.
    Stop { process: usize, timeout: Duration, again: Option<Duration> },
}

/// A fault that strikes just when a request is sent, or is done: the moments that chance seldom hits.
#[derive(Clone, Debug)]
pub struct Strike {
    /// What for.
    pub purpose: Purpose,
    /// When it is sent; otherwise when it has just been done.
    pub sent: bool,
    /// At the how-many-eth such request of the run.
    pub nth: u32,
    /// What happens then; if it happens to a process, to the one that asks.
    pub fault: Fault,
}

/// How a process is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing arrives.
    Silent,
    /// Nothing arrives until it heals; then all that was sent does.
    Held,
    /// Connections are refused.
    Refused,
    /// Requests arrive, answers do not.
    OneWay,
    /// etcd denies it everything.
    Denied,
}

/// What an operator does by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Deletes a lock.
    DeleteLock,
    /// Deletes a candidate's own record.
    DeleteRecord,
    /// Writes something over a lock.
    OverwriteLock,
    /// Writes something over a candidate's own record.
    OverwriteRecord,
    /// Ends the lease of a key.
    Revoke,
    /// Puts a stray candidate's record, on no lease.
    Stray,
    /// Writes another version under the version key, or something that is none.
    Version,
    /// Deletes the version key.
    DeleteVersion,
    /// Deletes the counter of server ids, or sets it back.
    ServerId,
}

const OPERATOR: [Operator; 9] = [
    Operator::DeleteLock,
    Operator::DeleteRecord,
    Operator::OverwriteLock,
    Operator::OverwriteRecord,
    Operator::Revoke,
    Operator::Stray,
    Operator::Version,
    Operator::DeleteVersion,
    Operator::ServerId,
];

/// Of these, what a candidate has to learn of soon.
const GAP: [Operator; 3] = [Operator::DeleteLock, Operator::OverwriteLock, Operator::Revoke];

/// Kinds of faults; a scenario has some of them, so that each gets a run in which little else happens.
const KINDS: [fn(&mut Rng, &Frame) -> Fault; 20] = [
    |r, f| Fault::Pause { process: f.process(r), length: f.length(r), within_step: r.bool() },
    |r, f| Fault::Crash { process: f.process(r), back: f.back(r) },
    |r, f| Fault::Cut {
        process: f.process(r),
        length: f.length(r),
        how: r.pick(&[Cut::Silent, Cut::Held, Cut::Refused, Cut::OneWay, Cut::Denied]),
    },
    |r, f| Fault::Stall { member: r.usize(0..f.members), length: f.length(r) },
    |r, f| Fault::Restart { length: f.length(r).min(Duration::from_secs(f.ttl)) },
    |_, _| Fault::NewLeader,
    |_, _| Fault::Backup,
    |r, _| Fault::Restore { bump: r.permille(300), other_cluster: r.permille(150) },
    |_, _| Fault::Compact,
    |r, f| Fault::NoSpace { length: f.length(r) },
    |r, f| Fault::BreakWatches { process: f.process(r) },
    |r, f| Fault::SilenceWatches { process: f.process(r) },
    |r, f| Fault::HoldWatches { process: f.process(r), length: f.length(r) },
    |r, _| Fault::Operator { what: r.pick(&OPERATOR), pick: r.u64(..) },
    |r, f| Fault::Resign { process: f.process(r), election: r.usize(0..3) },
    |r, f| Fault::Transfer {
        process: f.process(r),
        election: r.usize(0..3),
        to: r.permille(300).then(|| r.i64(1..6)),
    },
    |r, f| Fault::Withdraw {
        process: f.process(r),
        election: r.usize(0..3),
        timeout: f.length(r),
        again: f.back(r),
    },
    |r, f| Fault::Stop { process: f.process(r), timeout: f.length(r), again: f.back(r) },
    |r, f| Fault::Gap { process: f.process(r), what: r.pick(&GAP), pick: r.u64(..) },
    |r, f| match f.members {
        1 => Fault::NewLeader,
        members => Fault::LeaderStandsStill {
            member: r.usize(0..members),
            length: r.millis(0, f.ttl * 1000),
            astray: f.length(r),
        },
    },
];

/// What a fault is drawn for.
struct Frame {
    processes: usize,
    members: usize,
    ttl: u64,
}

impl Frame {
    fn process(&self, r: &mut Rng) -> usize {
        r.usize(0..self.processes)
    }

    fn length(&self, r: &mut Rng) -> Duration {
        let most = r.pick(&[100, self.ttl * 500, self.ttl * 1000, self.ttl * 1000, self.ttl * 3000]);
        r.millis(0, most)
    }

    fn back(&self, r: &mut Rng) -> Option<Duration> {
        (!r.permille(100)).then(|| r.stretched(Duration::from_secs(self.ttl * 2)))
    }
}

/// Most hosts are not asked whether they are well.
fn liveness_timeout(seed: u64) -> Option<Duration> {
    let r = &mut random::of(&[seed, 21]);
    r.permille(200).then(|| Duration::from_millis(r.pick(&[300, 1000, 5000])))
}

/// What operators ask of primaries, and just when.
fn requests(seed: u64, length: Duration) -> (Vec<(Time, Fault)>, Vec<Strike>) {
    let r = &mut random::of(&[seed, 23]);
    let ask = |r: &mut Rng| Fault::Ask {
        resign: r.permille(300),
        to: r.permille(300).then(|| r.i64(1..6)),
        past: r.permille(200),
        pick: r.u64(..),
    };
    let (count, strikes) = (r.pick(&[0, 0, 0, 1, 3, 6]), r.pick(&[0, 0, 0, 1, 2]));
    let mut faults = Vec::new();
    for _ in 0..count {
        let (at, asked) = (START + r.millis(0, length.as_millis() as u64), ask(r));
        if let (true, &Fault::Ask { pick, .. }) = (r.bool(), &asked) {
            let most = r.pick(&[10, 300]);
            faults.push((at + r.millis(0, most), Fault::TakeBack { pick }));
        }
        faults.push((at, asked));
    }
    let moments = [
        Purpose::Campaign,
        Purpose::Update,
        Purpose::Offer,
        Purpose::Accept,
        Purpose::HandOver,
        Purpose::Release,
        Purpose::Move,
    ];
    let strike = |_| {
        let (purpose, sent, nth) = (r.pick(&moments), r.bool(), r.u32(0..4));
        let fault = if r.permille(300) { Fault::TakeBack { pick: r.u64(..) } } else { ask(r) };
        Strike { purpose, sent, nth, fault }
    };
    (faults, (0..strikes).map(strike).collect())
}

impl Scenario {
    /// The scenario of a seed.
    pub fn of(seed: u64) -> Scenario {
        let r = &mut random::of(&[seed, 1]);
        let ttl = r.pick(&[2, 3, 5, 5, 10]);
        let margin = r.bool().then(|| Duration::from_millis(r.u64(ttl * 40..ttl * 250)));
        let count = r.pick(&[1, 2, 2, 2, 3, 3, 4, 5]);
        let length = Duration::from_secs(r.pick(&[10, 20, 40]).max(ttl * 3)) / r.pick(&[1, 2]);
        let min_ttl = r.pick(&[1, 2, 2, 2, 3, 6]);
        let granted = Duration::from_secs(ttl.max(min_ttl));
        let processes = processes(r, count, granted, margin, length);
        let members = r.pick(&[1, 3]);
        let frame = Frame { processes: count, members, ttl };
        let (asked, asked_just_then) = requests(seed, length);
        Scenario {
            seed,
            ttl,
            margin,
            warmup_interval: Duration::from_millis(r.pick(&[50, 500, 1000, 3000])),
            activation_timeout: Duration::from_millis(r.pick(&[500, 2000, 10_000])),
            liveness_timeout: liveness_timeout(seed),
            drain_timeout: Duration::from_millis(r.pick(&[300, 2000, 10_000, 30_000])),
            request_timeout: Duration::from_millis(r.pick(&[1000, 4000, 10_000])),
            neighbours: if processes.iter().all(|p| p.layout == Layout::Milvus) {
                neighbours(r, length)
            } else {
                // The other layout is for clusters without old coordinators.
                Vec::new()
            },
            observers: observers(r, &processes, length),
            members,
            min_ttl,
            strikes: strikes(r, &frame, &processes).into_iter().chain(asked_just_then).collect(),
            network: network(r),
            hosts: hosts(r),
            faults: with(faults(r, &frame, length), asked),
            faults_end: START + length,
            processes,
        }
    }

    /// What etcd grants.
    pub fn granted(&self) -> Duration {
        Duration::from_secs(self.ttl.max(self.min_ttl))
    }
}

fn processes(
    r: &mut Rng,
    count: usize,
    granted: Duration,
    margin: Option<Duration>,
    length: Duration,
) -> Vec<ProcessPlan> {
    // A clock that is slow by more than margin / TTL breaks the promise: that is what the margin is for.
    let margin = margin.unwrap_or(granted / 10);
    let bound = i64::try_from(margin.as_micros() * 1_000_000 / granted.as_micros()).expect("small");
    let drift = match r.pick(&[0, 1, 2]) {
        0 => 0,
        1 => bound / 50,
        _ => bound * 95 / 100,
    };
    let layout = match r.pick(&[0, 0, 0, 1, 1, 2]) {
        0 => Some(Layout::Milvus),
        1 => Some(Layout::AfterStart),
        _ => None,
    };
    let choice: &[usize] =
        r.pick(&[&[3][..], &[4], &[MIXCOORD], &[1, 3, 4], &[MIXCOORD, 3], &[MIXCOORD, 1, 2, 3, 4]]);
    let together = r.pick(&[Duration::ZERO, Duration::from_secs(1), length]);
    (0..count)
        .map(|_| {
            let start = r.stretched(together);
            let mut roles = vec![(r.pick(choice), r.permille(930))];
            for _ in 0..r.pick(&[0, 0, 0, 1, 2]) {
                let role = r.pick(choice);
                let excluded = |&(other, _): &(usize, bool)| {
                    other == role || (other.min(role) == MIXCOORD && other.max(role) < 4)
                };
                if !roles.iter().any(excluded) {
                    roles.push((role, r.permille(930)));
                }
            }
            ProcessPlan {
                start: START + start,
                roles,
                layout: layout.unwrap_or_else(|| r.pick(&[Layout::Milvus, Layout::AfterStart])),
                minor: if r.permille(100) { r.u64(0..3) } else { 1 },
                patch: r.pick(&[0, 0, 1, 7]),
                priority: if r.permille(150) { r.pick(&[0, 2, 3]) } else { 1 },
                lone: r.permille(300),
                drift: if drift == 0 { 0 } else { r.i64(-drift..=drift) },
                origin: r.u64(1_000_000_000..1_000_000_000_000),
            }
        })
        .collect()
}

fn neighbours(r: &mut Rng, length: Duration) -> Vec<NeighbourPlan> {
    let count = r.pick(&[0, 0, 0, 1, 1, 2]);
    (0..count)
        .map(|_| NeighbourPlan {
            start: START + r.stretched(length),
            role: r.pick(&[MIXCOORD, 3, 3, 4]),
            end: (!r.permille(200)).then(|| (START + r.stretched(length * 2), r.bool())),
            kill: r.bool(),
        })
        .collect()
}

fn observers(r: &mut Rng, processes: &[ProcessPlan], length: Duration) -> Vec<ObserverPlan> {
    let layout = processes[0].layout;
    if processes.iter().any(|p| p.layout != layout) {
        return Vec::new();
    }
    let count = r.pick(&[0, 0, 0, 1]);
    (0..count)
        .map(|_| ObserverPlan { start: START + r.stretched(length), role: processes[0].roles[0].0, layout })
        .collect()
}

fn network(r: &mut Rng) -> NetworkPlan {
    let mut ways = WAYS.to_vec();
    r.shuffle(&mut ways);
    ways.truncate(r.usize(1..=ways.len()));
    NetworkPlan {
        usual: r.pick(&[2, 5, 50]),
        trouble: r.pick(&[0, 0, 10, 50, 200, 500]),
        ways,
        target: r.permille(400).then(|| (r.pick(&PURPOSES), r.pick(&WAYS))),
        late: r.pick(&[0, 0, 20, 100]),
    }
}

fn hosts(r: &mut Rng) -> HostPlan {
    let mut rate = |most: &[u32]| if r.permille(600) { 0 } else { r.pick(most) };
    HostPlan {
        slow: rate(&[50, 300, 1000]),
        until_cancelled: rate(&[50, 300]),
        hang: rate(&[20, 200]),
        hang_for_ever: rate(&[5, 50]),
        left: rate(&[20, 200]),
        fail: rate(&[50, 300]),
        within: rate(&[20, 200]),
        writes: rate(&[2, 4, 8]),
    }
}

fn faults(r: &mut Rng, frame: &Frame, length: Duration) -> Vec<(Time, Fault)> {
    let mut kinds = KINDS.to_vec();
    r.shuffle(&mut kinds);
    kinds.truncate(r.usize(1..=6));
    // A restore needs something to restore.
    let count = r.pick(&[0, 2, 4, 8, 12, 20]);
    let mut faults: Vec<(Time, Fault)> = (0..count)
        .map(|_| {
            let kind = kinds[r.usize(0..kinds.len())];
            (START + r.millis(0, length.as_millis() as u64), kind(r, frame))
        })
        .collect();
    if faults.iter().any(|(_, fault)| matches!(fault, Fault::Restore { .. })) {
        faults.push((START + r.millis(0, length.as_millis() as u64), Fault::Backup));
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}

fn with(mut faults: Vec<(Time, Fault)>, others: Vec<(Time, Fault)>) -> Vec<(Time, Fault)> {
    faults.extend(others);
    faults.sort_by_key(|(at, _)| *at);
    faults
}

fn strikes(r: &mut Rng, frame: &Frame, processes: &[ProcessPlan]) -> Vec<Strike> {
    // What happens to one process, or to etcd as a whole; not what hosts ask for.
    let kinds = [0, 0, 1, 2, 3, 4, 5, 7, 10, 11, 12, 13, 18];
    let count = r.pick(&[0, 0, 1, 2, 4]);
    let mut strikes: Vec<Strike> = (0..count)
        .map(|_| Strike {
            purpose: r.pick(&PURPOSES),
            sent: r.bool(),
            nth: r.u32(0..6),
            fault: KINDS[r.pick(&kinds)](r, frame),
        })
        .collect();
    // Another version just while a mixcoord's campaign is on its way, which nothing but its comparison sees.
    if processes.iter().any(|p| p.roles.iter().any(|(role, _)| *role == MIXCOORD)) && r.permille(100) {
        let fault = Fault::Operator { what: Operator::Version, pick: r.u64(..) };
        strikes.push(Strike { purpose: Purpose::Campaign, sent: true, nth: r.u32(0..3), fault });
    }
    strikes
}

impl Fault {
    /// The process that it happens to, if it happens to one.
    pub fn process(&mut self) -> Option<&mut usize> {
        match self {
            Fault::Pause { process, .. }
            | Fault::Crash { process, .. }
            | Fault::Cut { process, .. }
            | Fault::BreakWatches { process }
            | Fault::Gap { process, .. }
            | Fault::SilenceWatches { process }
            | Fault::HoldWatches { process, .. }
            | Fault::Resign { process, .. }
            | Fault::Withdraw { process, .. }
            | Fault::Stop { process, .. } => Some(process),
            _ => None,
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "ttl {} margin {:?} warm-up {:?} activation {:?} drain {:?} request {:?} members {} least ttl {} faults end {}",
            self.ttl,
            self.margin,
            self.warmup_interval,
            self.activation_timeout,
            self.drain_timeout,
            self.request_timeout,
            self.members,
            self.min_ttl,
            self.faults_end
        )?;
        for (i, p) in self.processes.iter().enumerate() {
            let roles: Vec<String> = p
                .roles
                .iter()
                .map(|(role, wants)| {
                    format!("{}{}", ROLES[*role], if *wants { "" } else { " (registered only)" })
                })
                .collect();
            writeln!(
                f,
                "p{i}: {} {} 3.{}.{} priority {} from {} drift {} clock {}{}",
                roles.join(", "),
                p.layout,
                p.minor,
                p.patch,
                p.priority,
                p.start,
                p.drift,
                Time::from_nanos(p.origin),
                if p.lone { " knows one member" } else { "" }
            )?;
        }
        for (i, n) in self.neighbours.iter().enumerate() {
            let kill = if n.kill { " kill" } else { "" };
            writeln!(f, "n{i}: {}{kill} from {} end {:?}", ROLES[n.role], n.start, n.end)?;
        }
        for (i, o) in self.observers.iter().enumerate() {
            writeln!(f, "o{i}: {} {} from {}", ROLES[o.role], o.layout, o.start)?;
        }
        writeln!(f, "{:?}", self.network)?;
        writeln!(f, "{:?}", self.hosts)?;
        for (at, fault) in &self.faults {
            writeln!(f, "{at} {fault:?}")?;
        }
        for strike in &self.strikes {
            writeln!(f, "{strike:?}")?;
        }
        Ok(())
    }
}
