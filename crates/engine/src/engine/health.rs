//! What probes ask of a process, by role: is it alive, could it serve or take over, is it primary. Each with why not.
//!
//! All of it follows from where the session and its elections stand: one place decides for all languages. It asks nothing
//! of etcd. The table of all states stands in docs/deploy.md.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use super::snapshot::{ElectionSnapshot, Snapshot};
use crate::{ElectionState, Obstacle, SessionState};

/// The answer to one probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// It is so.
    pub ok: bool,
    /// Why not, for people; empty if it is.
    pub why: Cow<'static, str>,
}

/// The answers to all of them, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Probes {
    /// Starting the process anew would not help: it does what it can. So it is while etcd is away, and while `on_primary`
    /// takes its time.
    pub alive: Verdict,
    /// It serves as primary, or could take over at once: it is warm, its lease and its watch live, and it knows the
    /// primary.
    pub ready: Verdict,
    /// It is primary now, and its `on_primary` has succeeded.
    pub primary: Verdict,
}

/// Those of a process, and of each of its roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// What holds of each of its elections that is not over.
    #[serde(flatten)]
    pub process: Probes,
    /// Each of them by its role.
    pub roles: BTreeMap<String, Probes>,
}

impl Verdict {
    const YES: Verdict = Verdict { ok: true, why: Cow::Borrowed("") };

    const fn no(why: &'static str) -> Verdict {
        Verdict { ok: false, why: Cow::Borrowed(why) }
    }

    /// The first that is not so, with whose it is.
    fn all<'a>(of: impl Iterator<Item = (&'a str, &'a Verdict)>) -> Verdict {
        let mut of = of.filter(|(_, verdict)| !verdict.ok);
        of.next().map_or(Verdict::YES, |(role, verdict)| Verdict {
            ok: false,
            why: format!("{role}: {}", verdict.why).into(),
        })
    }
}

impl Health {
    /// Of a session that stands so.
    pub fn of(session: &Snapshot) -> Health {
        let elections = session.elections.iter().filter(|e| e.state != ElectionState::Stopped);
        let roles: BTreeMap<String, Probes> = elections
            .map(|e| {
                let left = session.remaining_ms;
                (e.role.clone(), Probes { alive: alive(e), ready: ready(e, left), primary: primary(e, left) })
            })
            .collect();
        let all = |of: fn(&Probes) -> &Verdict| {
            Verdict::all(roles.iter().map(|(role, probes)| (role.as_str(), of(probes))))
        };
        let open = match session.state {
            _ if session.state == SessionState::Closed => Verdict::no("the session is over"),
            _ if roles.is_empty() => Verdict::no("no role is registered"),
            SessionState::New => Verdict::no("the session is not opened yet"),
            SessionState::Opening => Verdict::no("the session has no lease or no server id yet"),
            SessionState::Stopping => Verdict::no("the session is stopping"),
            SessionState::Open | SessionState::Closed => Verdict::YES,
        };
        let if_open = |of| if open.ok { all(of) } else { open.clone() };
        let process = Probes {
            alive: if session.state == SessionState::Closed { open.clone() } else { all(|of| &of.alive) },
            ready: if_open(|of| &of.ready),
            // While it stops, it is primary until its callbacks are told.
            primary: if roles.is_empty() { open.clone() } else { all(|of| &of.primary) },
        };
        Health { process, roles }
    }
}

fn alive(e: &ElectionSnapshot) -> Verdict {
    match (e.state, e.obstacle) {
        (ElectionState::Stuck, _) => Verdict::no("primacy is over, and a callback has not returned in time"),
        (_, Some(Obstacle::HostUnresponsive)) => Verdict::no("the host takes nothing of what waits for it"),
        _ => Verdict::YES,
    }
}

fn ready(e: &ElectionSnapshot, remaining_ms: u64) -> Verdict {
    match e.state {
        ElectionState::Registering => Verdict::no("it has no record in etcd yet"),
        ElectionState::Registered => Verdict::no("it was not asked to campaign"),
        ElectionState::Campaigning => Verdict::no("it is neither primary nor standby yet"),
        ElectionState::Standby => could_take_over(e, remaining_ms),
        ElectionState::Activating => Verdict::no("on_primary has not succeeded yet"),
        ElectionState::Primary | ElectionState::Suspended => primary(e, remaining_ms),
        ElectionState::Resigning => Verdict::no("it gives primacy up"),
        ElectionState::Stuck => alive(e),
        ElectionState::Stopping => Verdict::no("it is stopping"),
        ElectionState::Stopped => Verdict::no("it is over"),
    }
}

fn could_take_over(e: &ElectionSnapshot, remaining_ms: u64) -> Verdict {
    match e.obstacle {
        // What passes by itself; the lease tells whether it has lasted too long.
        None | Some(Obstacle::Unreachable | Obstacle::Indefinite | Obstacle::LeaseLost) => {}
        Some(_) => return Verdict { ok: false, why: e.trouble.clone().unwrap_or_default().into() },
    }
    if remaining_ms == 0 {
        return Verdict::no("it has no lease");
    }
    if !e.watching {
        return Verdict::no("its watch is not open");
    }
    if e.holder.is_none() {
        return Verdict::no("nobody is known to be primary");
    }
    if e.warm { Verdict::YES } else { Verdict::no("it is not warm yet") }
}

fn primary(e: &ElectionSnapshot, remaining_ms: u64) -> Verdict {
    match e.state {
        ElectionState::Primary | ElectionState::Suspended if remaining_ms > 0 => Verdict::YES,
        ElectionState::Primary | ElectionState::Suspended => Verdict::no("its lease is over"),
        ElectionState::Activating => Verdict::no("on_primary has not succeeded yet"),
        _ => Verdict::no("it is not primary"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::ElectionId;
    use crate::engine::snapshot::HolderSnapshot;

    /// A standby to which nothing is missing.
    fn standby() -> ElectionSnapshot {
        let holder = HolderSnapshot { server_id: 1, address: "a:1".into(), lease: "2".into(), token: 3 };
        ElectionSnapshot {
            state: ElectionState::Standby,
            warm: true,
            watching: true,
            holder: Some(holder),
            ..ElectionSnapshot::new(ElectionId(1), "rootcoord")
        }
    }

    fn health(state: SessionState, elections: Vec<ElectionSnapshot>, remaining_ms: u64) -> Health {
        Health::of(&Snapshot {
            state,
            server_id: 1,
            lease: "2".into(),
            ttl_ms: 10_000,
            remaining_ms,
            suspended: false,
            unconfirmed_renewals: 0,
            warnings: Vec::new(),
            revision: 3,
            elections,
        })
    }

    fn answers(of: &Probes) -> [bool; 3] {
        for verdict in [&of.alive, &of.ready, &of.primary] {
            assert_eq!(verdict.ok, verdict.why.is_empty(), "{of:?}");
        }
        [of.alive.ok, of.ready.ok, of.primary.ok]
    }

    fn of_one(e: ElectionSnapshot, remaining_ms: u64) -> [bool; 3] {
        let health = health(SessionState::Open, vec![e], remaining_ms);
        answers(health.roles.values().next().unwrap())
    }

    #[test]
    fn of_each_state_it_is_what_the_table_says() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/deploy.md");
        let page = std::fs::read_to_string(page).unwrap();
        for state in ElectionState::ALL.into_iter().filter(|state| *state != ElectionState::Stopped) {
            let row = format!("| `{state}` |");
            let row = page.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("{state}"));
            let says: Vec<bool> = row.split('|').skip(2).take(3).map(|cell| cell.contains("yes")).collect();
            assert_eq!(of_one(ElectionSnapshot { state, ..standby() }, 1000)[..], says[..], "{state}");
        }
    }

    #[test]
    fn a_standby_is_ready_when_nothing_is_missing() {
        assert_eq!(of_one(standby(), 1), [true, true, false]);
        for (e, remaining) in [
            (standby(), 0),
            (ElectionSnapshot { warm: false, ..standby() }, 1),
            (ElectionSnapshot { watching: false, ..standby() }, 1),
            (ElectionSnapshot { holder: None, ..standby() }, 1),
        ] {
            assert_eq!(of_one(e.clone(), remaining), [true, false, false], "{e:?}");
        }
    }

    #[test]
    fn an_obstacle_is_why_it_is_not_ready_unless_it_passes_by_itself() {
        for obstacle in Obstacle::ALL {
            let trouble = Some("trouble".into());
            let e = ElectionSnapshot { obstacle: Some(obstacle), trouble, ..standby() };
            let passes = [Obstacle::Unreachable, Obstacle::Indefinite, Obstacle::LeaseLost];
            let hangs = obstacle == Obstacle::HostUnresponsive;
            assert_eq!(of_one(e, 1), [!hangs, passes.contains(&obstacle), false], "{obstacle}");
        }
    }

    #[test]
    fn a_primary_whose_lease_is_over_is_none() {
        let e = ElectionSnapshot { state: ElectionState::Primary, ..standby() };
        assert_eq!(of_one(e.clone(), 1), [true, true, true]);
        assert_eq!(of_one(e, 0), [true, false, false]);
    }

    #[test]
    fn a_process_is_what_each_of_its_elections_is_and_names_the_one_that_is_not() {
        let of = |state, elections| health(state, elections, 1000).process;
        let primary = ElectionSnapshot { state: ElectionState::Primary, ..standby() };
        let over = ElectionSnapshot { state: ElectionState::Stopped, role: "over".into(), ..standby() };
        let cold = ElectionSnapshot { warm: false, role: "datacoord".into(), ..standby() };
        assert_eq!(answers(&of(SessionState::Open, vec![primary.clone(), over])), [true, true, true]);
        let both = of(SessionState::Open, vec![primary.clone(), cold]);
        assert_eq!(answers(&both), [true, false, false]);
        assert_eq!(both.ready.why, "datacoord: it is not warm yet");
        assert_eq!(both.primary.why, "datacoord: it is not primary");
        assert_eq!(answers(&of(SessionState::Stopping, vec![primary.clone()])), [true, false, true]);
        for state in [SessionState::New, SessionState::Opening, SessionState::Open, SessionState::Stopping] {
            assert_eq!(answers(&of(state, vec![])), [true, false, false], "{state}");
        }
        assert_eq!(answers(&of(SessionState::Opening, vec![standby()])), [true, false, false]);
        assert_eq!(answers(&of(SessionState::Closed, vec![primary])), [false, false, true]);
    }
}
