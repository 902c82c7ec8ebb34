//! Where everything lies that takes part, worked out once.

use std::sync::LazyLock;

use primacy_engine::milvus::{Keys, Layout, Role, Root};
use primacy_engine::store::{Key, Range};

use crate::scenario::ROLES;

/// The keys of all roles in both layouts, but for the candidates' own records.
pub static TABLE: LazyLock<Table> = LazyLock::new(Table::new);

/// See [`TABLE`].
#[derive(Debug)]
pub struct Table {
    /// The prefix of all keys.
    pub root: Root,
    /// The counter of server ids.
    pub id: Key,
    /// The newest version that has been primary.
    pub version: Key,
    roles: Vec<(Role, [Keys; 2], Range)>,
}

impl Table {
    fn new() -> Self {
        let root = Root::join("r", "m").expect("a root");
        let of = |name: &&str| {
            let role = Role::parse(name).expect("a role");
            let layouts = [Layout::Milvus, Layout::AfterStart];
            let keys = layouts.map(|layout| Keys::new(&root, &role, layout, 0));
            let records = Range::Span {
                from: format!("{root}/session/{name}-").into(),
                to: format!("{root}/session/{name}.").into(),
            };
            (role, keys, records)
        };
        let roles = ROLES.iter().map(of).collect();
        Table { roles, id: root.id_key(), version: root.version_key(), root }
    }

    /// The role's name.
    pub fn role(&self, role: usize) -> &Role {
        &self.roles[role].0
    }

    /// The keys of a role in a layout; the record is nobody's.
    pub fn of(&self, role: usize, layout: Layout) -> &Keys {
        &self.roles[role].1[usize::from(layout == Layout::AfterStart)]
    }

    /// Where the records of the role's candidates lie.
    pub fn records(&self, role: usize) -> &Range {
        &self.roles[role].2
    }
}
