//! What a key below the root means.

use super::{Role, RoleError, Root};
use crate::store::Key;

/// What a key is for; the other way round, [`super::Keys`] says which keys a candidate has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Meaning {
    /// `ROOT/session/id`: the next server id.
    NextId,
    /// `ROOT/session/version`: the newest version that has been primary as mixcoord.
    Version,
    /// `ROOT/session/ROLE`: what clients read, and in Milvus's layout the lock.
    Service(Role),
    /// `ROOT/election/ROLE`: the lock in the layout `after_start`.
    Election(Role),
    /// `ROOT/session/ROLE-ID`: a candidate's own record.
    Candidate(Role, i64),
}

impl Root {
    /// What a key is for; `None`: it is none of those of elections.
    pub fn meaning(&self, key: &Key) -> Option<Meaning> {
        let text = std::str::from_utf8(key.as_bytes()).ok()?;
        let (folder, name) = text.strip_prefix(self.as_str())?.strip_prefix('/')?.split_once('/')?;
        match (folder, Role::parse(name)) {
            ("session", Ok(role)) => Some(Meaning::Service(role)),
            ("election", Ok(role)) => Some(Meaning::Election(role)),
            ("session", Err(RoleError::Reserved(name))) => {
                Some(if name == "id" { Meaning::NextId } else { Meaning::Version })
            }
            ("session", Err(RoleError::CandidateName { of, .. })) => {
                let id = name.get(of.len() + 1..)?.parse().ok()?;
                Some(Meaning::Candidate(Role::parse(&of).ok()?, id))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::milvus::{Keys, Layout};

    #[test]
    fn each_key_of_a_candidate_means_what_it_was_made_for() {
        let root = Root::join("by-dev", "meta").unwrap();
        let role = Role::parse("rootcoord").unwrap();
        let keys = Keys::new(&root, &role, Layout::AfterStart, 7);
        assert_eq!(root.meaning(&keys.record), Some(Meaning::Candidate(role.clone(), 7)));
        assert_eq!(root.meaning(&keys.locks[0].key), Some(Meaning::Election(role.clone())));
        assert_eq!(root.meaning(&keys.services[0].key), Some(Meaning::Service(role)));
        assert_eq!(root.meaning(&root.id_key()), Some(Meaning::NextId));
        assert_eq!(root.meaning(&root.version_key()), Some(Meaning::Version));
    }

    #[test]
    fn what_is_none_of_an_elections_keys_means_nothing() {
        let root = Root::join("by-dev", "meta").unwrap();
        for key in [
            "by-dev/meta/session/",
            "by-dev/meta/session/a/b",
            "by-dev/meta/session/a-99999999999999999999",
            "by-dev/meta/session/a-1-2",
            "by-dev/meta/election/id",
            "by-dev/meta/election/a-1",
            "by-dev/meta/other/a",
            "by-dev/metaphor/session/a",
            "session/a",
        ] {
            assert_eq!(root.meaning(&key.into()), None, "{key}");
        }
        assert_eq!(root.meaning(&Key::from(&b"by-dev/meta/session/\xff"[..])), None);
    }
}
