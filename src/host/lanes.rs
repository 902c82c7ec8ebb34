//! The elections of a session: which roles it may take, and whose hosts do not know yet that they are over.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::lane::Lane;
use crate::engine::ElectionId;
use crate::milvus::{Role, RoleError};

/// Why an election can not be registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The role can not be one.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// This session runs it already.
    #[error("`{0}` is registered on this session already")]
    Again(Role),
    /// A mixcoord is its three roles itself.
    #[error(
        "`{0}` can not run beside `{1}` on one session: a mixcoord takes the locks of the roles that it is made of"
    )]
    Beside(Role, Role),
    /// The session is stopping, or has ended.
    #[error("the session is stopping or has ended")]
    Stopped,
}

/// See the module. Closed and empty in one: none is added where the driver has looked for the last one.
#[derive(Default)]
pub(super) struct Lanes {
    all: HashMap<ElectionId, Arc<Lane>>,
    roles: HashSet<Role>,
    closed: bool,
    last: u32,
}

impl Lanes {
    /// Adds one for `role`, if that is free.
    pub fn add(
        &mut self,
        role: &Role,
        lane: impl FnOnce(ElectionId) -> Arc<Lane>,
    ) -> Result<Arc<Lane>, RegisterError> {
        if self.closed {
            return Err(RegisterError::Stopped);
        }
        if let Some(other) = role.excludes().into_iter().find(|other| self.roles.contains(other)) {
            let again = other == *role;
            return Err(if again {
                RegisterError::Again(other)
            } else {
                RegisterError::Beside(role.clone(), other)
            });
        }
        self.last += 1;
        let lane = lane(ElectionId(self.last));
        self.roles.insert(role.clone());
        self.all.insert(lane.id, lane.clone());
        Ok(lane)
    }

    pub fn remove(&mut self, election: ElectionId) -> Option<Arc<Lane>> {
        let lane = self.all.remove(&election)?;
        self.roles.remove(&lane.role);
        Some(lane)
    }

    pub fn get(&self, election: ElectionId) -> Option<Arc<Lane>> {
        self.all.get(&election).cloned()
    }

    pub fn all(&self) -> Vec<Arc<Lane>> {
        self.all.values().cloned().collect()
    }

    /// None is added any more.
    pub fn close(&mut self) {
        self.closed = true;
    }

    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Closed, and none is left.
    pub fn is_over(&self) -> bool {
        self.closed && self.all.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::engine::{Call, CallId, Notice};
    use crate::host::commands::Commands;
    use crate::host::contract::{Host, Reply};
    use crate::host::threads::Callbacks;
    use crate::log::Log;

    struct Nobody;

    impl Host for Nobody {
        fn call(&self, _: CallId, _: &Call) -> Reply {
            Reply::Done
        }
        fn cancelled(&self, _: CallId) {}
        fn notice(&self, _: &Notice) {}
        fn stopped(&self) {}
    }

    fn add(lanes: &mut Lanes, role: &str) -> Result<ElectionId, RegisterError> {
        let (commands, callbacks) = (Arc::new(Commands::new(Clock::BOOT)), Arc::new(Callbacks::default()));
        let role = Role::parse(role)?;
        let lane = |id| Lane::new(id, role.clone(), Arc::new(Nobody), &commands, &callbacks, &Log::none());
        lanes.add(&role, lane).map(|lane| lane.id)
    }

    #[test]
    fn a_role_is_taken_once_and_mixcoord_not_beside_its_three() {
        let mut lanes = Lanes::default();
        let root = add(&mut lanes, "rootcoord").unwrap();
        assert!(matches!(add(&mut lanes, "rootcoord"), Err(RegisterError::Again(_))));
        assert!(matches!(add(&mut lanes, "mixcoord"), Err(RegisterError::Beside(..))));
        lanes.remove(root);
        assert!(add(&mut lanes, "mixcoord").unwrap() > root, "a number comes once");
        assert!(matches!(add(&mut lanes, "rootcoord"), Err(RegisterError::Beside(..))));
    }

    /// Whoever closes them, as the session ends or a defect does, knows all that there will ever be.
    #[test]
    fn none_is_added_once_they_are_closed_and_it_is_over_with_the_last() {
        let mut lanes = Lanes::default();
        let one = add(&mut lanes, "rootcoord").unwrap();
        lanes.close();
        assert_eq!(add(&mut lanes, "datacoord"), Err(RegisterError::Stopped));
        assert!(!lanes.is_over());
        lanes.remove(one);
        assert!(lanes.is_over());
    }
}
