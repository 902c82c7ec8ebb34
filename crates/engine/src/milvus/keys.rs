//! Where everything lies in etcd: which keys one candidate of one role claims, watches and compares.

use std::fmt;
use std::iter;
use std::str::FromStr;
use std::sync::Arc;

use super::Role;
use crate::plain::{BRIEF, plain};
use crate::store::{Key, Range, Value};

/// Milvus's meta root, such as `by-dev/meta`: the prefix of every key. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Root(Arc<str>);

/// Why a path is refused as a meta root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// Nothing but slashes.
    #[error("the path `{0}` is empty; give one such as `by-dev`")]
    Empty(String),
    /// Milvus resolves `.` and `..` before it writes a key, so what they mean would depend on the reader.
    #[error("the path `{0}` has a `.` or `..` in it; give the path that it means")]
    Dots(String),
}

/// A value of the server id key that is not a next server id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} holds `{}`; it should hold the next server id, a decimal number from 1", plain(&content.to_string(), BRIEF))]
pub struct IdError {
    /// The key.
    pub key: Key,
    /// What it holds.
    pub content: Value,
}

/// Where the lock is, and when clients find the primary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Milvus's own: `ROOT/session/ROLE` is the lock and what clients read. It appears at the win.
    #[default]
    Milvus,
    /// The lock is `ROOT/election/ROLE`; `ROOT/session/ROLE` appears once `on_primary` has succeeded. Only
    /// for clusters without a coordinator that runs Milvus's own session code.
    AfterStart,
}

/// No layout has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no layout is called `{0}`; give `milvus` or `after_start`")]
pub struct LayoutError(pub String);

/// A key that a candidate takes, and the role that its record names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claimed {
    /// The key.
    pub key: Key,
    /// `ServerName` of the record under it.
    pub role: Role,
}

/// What one candidate of one role claims, watches and compares.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Keys {
    /// `ROOT/session/ROLE-ID`: its own record, standby or primary.
    pub record: Key,
    /// What a win takes, all in one transaction that compares each of them absent. The first is the lock:
    /// its `mod_revision` is the token. In the order in which Milvus puts them. Never empty.
    pub locks: Vec<Claimed>,
    /// What is put once `on_primary` has succeeded, and deleted first when primacy ends. Empty in
    /// [`Layout::Milvus`], where the locks are what clients read.
    pub services: Vec<Claimed>,
    /// What must be absent as well, besides the locks, for a win: the other layout's keys, so that a
    /// neighbour configured otherwise never makes a second primary, and for a mixcoord the candidates of the
    /// roles that it is.
    pub rivals: Vec<Range>,
    /// Where the own records of all candidates of the role lie.
    pub candidates: Range,
    /// `ROOT/session/version`, which only a mixcoord reads and writes.
    pub version: Option<Key>,
}

impl Root {
    /// Joins `etcd.rootPath` and `etcd.metaSubPath` as Milvus does: repeated and closing slashes do not
    /// count, a leading one does. A `meta_sub_path` that is `.` adds nothing.
    ///
    /// # Errors
    /// If one of them is empty: the keys would be those of another cluster. If one has a `.` or `..` in it.
    pub fn join(root_path: &str, meta_sub_path: &str) -> Result<Root, RootError> {
        let mut joined = String::new();
        let sub = Some(meta_sub_path).filter(|sub| *sub != ".");
        for path in iter::once(root_path).chain(sub) {
            let mut empty = true;
            for part in path.split('/').filter(|part| !part.is_empty()) {
                if matches!(part, "." | "..") {
                    return Err(RootError::Dots(path.into()));
                }
                if !joined.is_empty() || root_path.starts_with('/') {
                    joined.push('/');
                }
                joined.push_str(part);
                empty = false;
            }
            if empty {
                return Err(RootError::Empty(path.into()));
            }
        }
        Ok(Root(joined.into()))
    }

    /// The path, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `ROOT/session/id`: holds the next server id. On no lease.
    pub fn id_key(&self) -> Key {
        self.session("id")
    }

    /// `ROOT/session/version`: holds the newest version that has been primary as mixcoord. On no lease.
    pub fn version_key(&self) -> Key {
        self.session("version")
    }

    /// `ROOT/session/ROLE`: what clients read to find the primary, in both layouts.
    pub fn service_key(&self, role: &Role) -> Key {
        self.session(role.as_str())
    }

    /// `ROOT/session/ROLE-ID`: a candidate's own record.
    pub fn record_key(&self, role: &Role, server_id: i64) -> Key {
        self.session(&format!("{role}-{server_id}"))
    }

    /// The own records of all candidates of `role`.
    pub fn candidates(&self, role: &Role) -> Range {
        // `.` is the byte after `-`.
        Range::Span { from: self.session(&format!("{role}-")), to: self.session(&format!("{role}.")) }
    }

    /// Reads a value of the id key.
    ///
    /// # Errors
    /// If it is no decimal number, below 1, or so high that none follows it.
    pub fn parse_id(&self, value: &Value) -> Result<i64, IdError> {
        std::str::from_utf8(value.as_bytes())
            .ok()
            .and_then(|text| text.parse().ok())
            .filter(|id| (1..i64::MAX).contains(id))
            .ok_or_else(|| IdError { key: self.id_key(), content: value.clone() })
    }

    fn session(&self, name: &str) -> Key {
        format!("{self}/session/{name}").into()
    }

    fn election(&self, role: &Role) -> Key {
        format!("{self}/election/{role}").into()
    }
}

impl Keys {
    /// The keys of candidate `server_id` of `role`.
    pub fn new(root: &Root, role: &Role, layout: Layout, server_id: i64) -> Keys {
        let roles = role.whole_set();
        let claim = |key: &dyn Fn(&Role) -> Key| -> Vec<Claimed> {
            roles.iter().map(|role| Claimed { key: key(role), role: role.clone() }).collect()
        };
        let session = claim(&|role| root.service_key(role));
        let election = claim(&|role| root.election(role));
        let (locks, others) = match layout {
            Layout::Milvus => (session, election),
            Layout::AfterStart => (election, session),
        };
        let mut rivals: Vec<Range> = others.iter().map(|c| Range::Key(c.key.clone())).collect();
        // An old coordinator that has registered and not won yet holds only its `ROLE-ID`.
        rivals.extend(roles.iter().filter(|r| *r != role).map(|role| root.candidates(role)));
        Keys {
            record: root.record_key(role, server_id),
            locks,
            services: match layout {
                Layout::Milvus => Vec::new(),
                Layout::AfterStart => others,
            },
            rivals,
            candidates: root.candidates(role),
            version: role.is_mixcoord().then(|| root.version_key()),
        }
    }
}

impl FromStr for Layout {
    type Err = LayoutError;
    fn from_str(name: &str) -> Result<Self, LayoutError> {
        match name {
            "milvus" => Ok(Layout::Milvus),
            "after_start" => Ok(Layout::AfterStart),
            _ => Err(LayoutError(name.into())),
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layout::Milvus => "milvus",
            Layout::AfterStart => "after_start",
        })
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(role: &str, layout: Layout) -> Keys {
        Keys::new(&Root::join("by-dev", "meta").unwrap(), &Role::parse(role).unwrap(), layout, 7)
    }

    fn shown(claimed: &[Claimed]) -> Vec<String> {
        claimed.iter().map(|c| format!("{} {}", c.key, c.role)).collect()
    }

    fn rivals(keys: &Keys) -> Vec<String> {
        let show = |range: &Range| match range {
            Range::Key(key) => key.to_string(),
            Range::Span { from, to } => format!("{from} .. {to}"),
        };
        keys.rivals.iter().map(show).collect()
    }

    const SPANS: [&str; 3] = [
        "by-dev/meta/session/querycoord- .. by-dev/meta/session/querycoord.",
        "by-dev/meta/session/datacoord- .. by-dev/meta/session/datacoord.",
        "by-dev/meta/session/rootcoord- .. by-dev/meta/session/rootcoord.",
    ];

    #[test]
    fn a_role_of_its_own_claims_its_lock_alone() {
        let keys = keys("indexcoord", Layout::Milvus);
        assert_eq!(keys.record.to_string(), "by-dev/meta/session/indexcoord-7");
        assert_eq!(shown(&keys.locks), ["by-dev/meta/session/indexcoord indexcoord"]);
        assert_eq!(shown(&keys.services), [""; 0]);
        assert_eq!(rivals(&keys), ["by-dev/meta/election/indexcoord"]);
        assert_eq!(keys.version, None);
    }

    #[test]
    fn after_start_the_lock_and_the_service_are_two_keys() {
        let keys = keys("rootcoord", Layout::AfterStart);
        assert_eq!(keys.record.to_string(), "by-dev/meta/session/rootcoord-7");
        assert_eq!(shown(&keys.locks), ["by-dev/meta/election/rootcoord rootcoord"]);
        assert_eq!(shown(&keys.services), ["by-dev/meta/session/rootcoord rootcoord"]);
        assert_eq!(rivals(&keys), ["by-dev/meta/session/rootcoord"]);
    }

    #[test]
    fn a_mixcoord_claims_four_keys_in_milvus_order() {
        let keys = keys("mixcoord", Layout::Milvus);
        let four = [
            "by-dev/meta/session/mixcoord mixcoord",
            "by-dev/meta/session/querycoord querycoord",
            "by-dev/meta/session/datacoord datacoord",
            "by-dev/meta/session/rootcoord rootcoord",
        ];
        assert_eq!(shown(&keys.locks), four);
        assert_eq!(
            rivals(&keys)[..4],
            four.map(|k| k.split(' ').next().unwrap().replace("session", "election"))
        );
        assert_eq!(rivals(&keys)[4..], SPANS);
        assert_eq!(keys.version.unwrap().to_string(), "by-dev/meta/session/version");
    }

    #[test]
    fn a_mixcoord_after_start_locks_four_and_shows_four() {
        let keys = keys("mixcoord", Layout::AfterStart);
        assert_eq!(keys.locks.len(), 4);
        assert_eq!(shown(&keys.locks)[3], "by-dev/meta/election/rootcoord rootcoord");
        assert_eq!(shown(&keys.services)[3], "by-dev/meta/session/rootcoord rootcoord");
        assert_eq!(rivals(&keys)[3], "by-dev/meta/session/rootcoord");
        assert_eq!(rivals(&keys)[4..], SPANS);
        assert!(keys.version.is_some());
    }

    #[test]
    fn the_span_of_candidates_holds_candidates_and_not_the_lock() {
        let keys = keys("mixcoord", Layout::Milvus);
        let span = &keys.rivals[6];
        for inside in ["rootcoord-1", "rootcoord-99"] {
            assert!(span.contains(&format!("by-dev/meta/session/{inside}").into()), "{inside}");
        }
        for outside in ["rootcoord", "rootcoords-1", "mixcoord-1"] {
            assert!(!span.contains(&format!("by-dev/meta/session/{outside}").into()), "{outside}");
        }
    }

    #[test]
    fn roots_are_joined_as_milvus_joins_them() {
        for (path, sub, joined) in [
            ("by-dev", "meta", "by-dev/meta"),
            ("by-dev/", "/meta/", "by-dev/meta"),
            ("a//b", "c/d", "a/b/c/d"),
            ("/by-dev", "meta", "/by-dev/meta"),
            ("by-dev/", ".", "by-dev"),
        ] {
            assert_eq!(Root::join(path, sub).unwrap().as_str(), joined);
        }
        for (path, sub) in [("", "meta"), ("by-dev", ""), ("/", "meta"), ("by-dev", "//"), ("", ".")] {
            assert!(matches!(Root::join(path, sub), Err(RootError::Empty(_))), "{path} {sub}");
        }
        assert_eq!(Root::join("by-dev", "../x"), Err(RootError::Dots("../x".into())));
    }

    #[test]
    fn an_id_is_a_decimal_number_and_anything_else_is_named() {
        let root = Root::join("by-dev", "meta").unwrap();
        assert_eq!(root.parse_id(&"17".into()), Ok(17));
        for bad in ["", "x", "0", "-3", "1.5", " 1", "9223372036854775807", "9223372036854775808"] {
            let told = root.parse_id(&bad.into()).unwrap_err().to_string();
            assert!(told.starts_with(&format!("by-dev/meta/session/id holds `{bad}`")), "{told}");
        }
        assert!(root.parse_id(&Value::from(&b"\xff"[..])).is_err());
        let told = root.parse_id(&format!("\n{}", "9".repeat(1_000_000)).into()).unwrap_err().to_string();
        assert!(told.len() < 400 && told.contains("`\\n999"), "{told}");
    }

    #[test]
    fn layouts_go_by_their_configured_names() {
        for layout in [Layout::Milvus, Layout::AfterStart] {
            assert_eq!(layout.to_string().parse(), Ok(layout));
        }
        assert!("Milvus".parse::<Layout>().unwrap_err().to_string().contains("after_start"));
    }
}
