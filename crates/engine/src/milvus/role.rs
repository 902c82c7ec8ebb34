//! Names of roles, and which of them exclude each other.

use std::fmt;
use std::sync::Arc;

/// A role's name, such as `rootcoord`: one that can be a key under `session/` without being mistaken for
/// another one there. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Role(Arc<str>);

/// Why a name is refused as a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// It is empty.
    #[error("a role's name is empty; give one such as `rootcoord`")]
    Empty,
    /// `session/id` and `session/version` are keys of Milvus's own.
    #[error("`{0}` is no role: the key session/{0} has another meaning; give a name such as `rootcoord`")]
    Reserved(String),
    /// A slash would put its keys elsewhere.
    #[error("role `{0}` has a slash; give a name without one, such as `rootcoord`")]
    Slash(String),
    /// `ROLE-ID` is the record of ROLE's candidate ID.
    #[error(
        "role `{name}` reads as a candidate of `{of}`; give `{of}`, or a name that does not end in -<digits>"
    )]
    CandidateName {
        /// The name.
        name: String,
        /// The role whose candidate it would be.
        of: String,
    },
}

/// The roles that a mixcoord is, in the order in which Milvus puts their keys.
const MIXCOORD: [&str; 4] = ["mixcoord", "querycoord", "datacoord", "rootcoord"];

impl Role {
    /// Checks a name.
    ///
    /// # Errors
    /// Refused, by name: empty, `id`, `version`, one with a slash, one that ends in `-<digits>`.
    pub fn parse(name: &str) -> Result<Role, RoleError> {
        match name {
            "" => return Err(RoleError::Empty),
            "id" | "version" => return Err(RoleError::Reserved(name.into())),
            _ if name.contains('/') => return Err(RoleError::Slash(name.into())),
            _ => {}
        }
        if let Some((of, id)) = name.rsplit_once('-')
            && !id.is_empty()
            && id.bytes().all(|b| b.is_ascii_digit())
        {
            return Err(RoleError::CandidateName { name: name.into(), of: of.into() });
        }
        Ok(Role(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the role that is `rootcoord`, `datacoord` and `querycoord` in one process.
    pub fn is_mixcoord(&self) -> bool {
        matches!(MIXCOORD, [mixcoord, ..] if mixcoord == self.as_str())
    }

    /// The roles that one session can not run beside this one, itself first: elections of both would claim the same
    /// keys, as a mixcoord and each of its three do, and wait for one another.
    pub fn excludes(&self) -> Vec<Role> {
        let [mixcoord, three @ ..] = &MIXCOORD;
        let others = match self.as_str() {
            role if role == *mixcoord => three,
            role if three.contains(&role) => std::slice::from_ref(mixcoord),
            _ => &[],
        };
        std::iter::once(self.clone()).chain(others.iter().map(|other| Role((*other).into()))).collect()
    }

    /// The roles whose candidates may hold the lock of this one, itself first.
    pub fn holders(&self) -> Vec<Role> {
        // A mixcoord is one of its three as well; none of them is a mixcoord.
        if self.is_mixcoord() { vec![self.clone()] } else { self.excludes() }
    }

    /// The roles that a win of this one takes, itself first.
    pub(super) fn whole_set(&self) -> Vec<Role> {
        if self.is_mixcoord() { MIXCOORD.map(|r| Role(r.into())).to_vec() } else { vec![self.clone()] }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_coordinators_are_roles() {
        for name in ["rootcoord", "mixcoord", "querycoord-", "a-b", "node-2x", "versions", "ids", "x-2 "] {
            assert_eq!(Role::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_that_mean_another_key_are_refused_by_name() {
        for name in ["id", "version", "a/b", "/", "rootcoord-2", "a-b-007", "-1"] {
            let told = Role::parse(name).unwrap_err().to_string();
            assert!(told.contains(&format!("`{name}`")), "{told}");
            assert!(told.contains("give "), "{told}");
        }
        assert_eq!(Role::parse(""), Err(RoleError::Empty));
    }

    #[test]
    fn a_mixcoord_excludes_its_three_and_nothing_else() {
        let role = |name| Role::parse(name).unwrap();
        let excluded = |name| role(name).excludes().iter().map(Role::to_string).collect::<Vec<_>>();
        for three in ["rootcoord", "datacoord", "querycoord"] {
            assert_eq!(excluded(three), [three, "mixcoord"]);
        }
        assert_eq!(excluded("mixcoord"), ["mixcoord", "querycoord", "datacoord", "rootcoord"]);
        assert_eq!(excluded("indexcoord"), ["indexcoord"]);
    }
}
