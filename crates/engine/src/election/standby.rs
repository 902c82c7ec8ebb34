//! While somebody else is primary: who that is, what stands in the way, and warming up.

use super::ground::Ground;
use super::report::holder;
use super::{Election, Want};
use crate::Level;
use crate::Setup;
use crate::action::{Action, Notice};
use crate::effects::Effects;
use crate::obstacle::{Obstacle, Trouble};
use crate::store::KeyValue;
use crate::time::Time;

/// After "warm", warm-ups come at a tenth of the pace.
const WARM_PACE: u32 = 10;

#[derive(Clone, Debug, Hash)]
pub(super) struct Standby {
    pub(super) announced: bool,
    pub(super) warm: bool,
    pub(super) next_warmup: Time,
}

impl Standby {
    pub(super) fn new(now: Time) -> Self {
        Standby { announced: false, warm: false, next_warmup: now }
    }
}

impl Election {
    pub(super) fn warmed(&mut self, fx: &mut Effects, setup: &Setup, warm: bool) {
        if let Some(standby) = &mut self.standby {
            standby.warm |= warm;
            let pace = if standby.warm { WARM_PACE } else { 1 };
            standby.next_warmup = fx.now + setup.warmup_interval * pace;
        }
    }

    pub(super) fn look_at_holder(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        let revision = self.others_lock(ground).map(|kv| kv.mod_revision);
        if self.yielding.is_some_and(|until| until <= fx.now || revision.is_some()) {
            self.yielding = None;
        }
        let announced = self.standby.as_ref().is_some_and(|standby| standby.announced);
        // One on our own lease is ours as soon as the whole key set is.
        let is_ours = self.lock().is_some_and(|kv| ground.is_lease(kv.lease));
        let tells = announced && self.want == Want::Primacy && !self.has_win() && !is_ours;
        if tells && self.told_holder != revision {
            self.told_holder = revision;
            let holder = self.others_lock(ground).and_then(holder);
            fx.push(Action::Notice { election: self.id, what: Notice::Holder(holder) });
        }
    }

    /// The lock, if another session holds it; one that we have lost may still be there under our former lease.
    pub(super) fn others_lock(&self, ground: Ground<'_>) -> Option<&KeyValue> {
        self.lock().filter(|kv| !ground.keeper.is_own(kv.lease))
    }

    /// What it can do nothing about is said once, by name.
    pub(super) fn look_at_obstacle(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        let obstacle = self.find_obstacle(ground);
        if let Some(Trouble { obstacle: what, text }) = &obstacle {
            if self.obstacle != obstacle {
                // What was asked for is no news; what older coordinators hold passes by itself.
                let level = match what {
                    Obstacle::NoPriority => Level::Info,
                    Obstacle::KeyHeld => Level::Warn,
                    _ => Level::Error,
                };
                fx.log(level, Some(self.id), format!("{}: {text}", self.role));
            }
            if self.is_idle() {
                self.standby.get_or_insert_with(|| Standby::new(fx.now));
            }
        }
        self.obstacle = obstacle;
    }

    pub(super) fn find_obstacle(&self, ground: Ground<'_>) -> Option<Trouble> {
        let claim = self.claim.as_ref()?;
        let (obstacle, text) = match self.others_record(ground) {
            // It takes another id.
            Some(_) if !ground.id_in_use => return None,
            Some(kv) => (
                Obstacle::RecordTaken,
                format!("{} is there already, on lease {}; waiting until it is gone", kv.key, kv.lease),
            ),
            None if !self.is_idle() => return None,
            None if self.is_deaf => (
                Obstacle::HostUnresponsive,
                "does not campaign: the host takes nothing of what waits for it".into(),
            ),
            None if ground.setup.priority == 0 => {
                (Obstacle::NoPriority, "does not campaign: its priority is 0".into())
            }
            None => match claim.outdated(&self.view, ground.setup) {
                Some(why) => (Obstacle::Outdated, format!("does not campaign: {why}")),
                None => (Obstacle::KeyHeld, self.held_without_the_lock(ground)?),
            },
        };
        Some(Trouble { obstacle, text })
    }

    /// What it waits for where nobody holds the lock, whose holder would be told otherwise.
    fn held_without_the_lock(&self, ground: Ground<'_>) -> Option<String> {
        let kv = self.claim.as_ref().filter(|_| self.lock().is_none())?.in_the_way(&self.view)?;
        let whose = match holder(kv) {
            _ if ground.keeper.is_own(kv.lease) => return None,
            Some(holder) => format!("of server {} at {}", holder.server_id, holder.address),
            None => "and is no record".into(),
        };
        Some(format!(
            "nobody holds the lock, but {} is on lease {}, {whose}; waiting until it is gone",
            kv.key, kv.lease
        ))
    }

    /// The record under its own key, if somebody else registered it.
    pub fn others_record(&self, ground: Ground<'_>) -> Option<&KeyValue> {
        let record = self.claim.as_ref()?.record(&self.view);
        record.filter(|kv| !ground.keeper.is_own(kv.lease) && !matches!(self.want, Want::Nothing { .. }))
    }

    /// Whether it wants primacy, and neither has it nor is losing it.
    pub(super) fn is_idle(&self) -> bool {
        self.want == Want::Primacy && self.phase.is_free()
    }
}
