//! The names by which engine and driver speak of one thing across many steps. Each is used once and never again.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

id!(
    /// An election of a session.
    ElectionId(u32), "e"
);
id!(
    /// One call of a callback; completed exactly once.
    CallId(u64), "c"
);
id!(
    /// One request to the store; answered exactly once.
    RequestId(u64), "#"
);
id!(
    /// One watch, from its opening to its end. The watch that replaces it has another id, so that events of the
    /// old one can not be mistaken for news.
    WatchId(u64), "w"
);
id!(
    /// The fencing token of a win: the lock key's `mod_revision` at the win. Strictly increasing over the wins
    /// of one key.
    Token(i64), ""
);
