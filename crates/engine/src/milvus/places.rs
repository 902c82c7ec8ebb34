//! Who is to campaign first when a lock is deleted, as its holder tells in its own record.

use std::fmt;

/// As many are named: the next primary is nearly always one of them.
pub const MOST: usize = 8;

/// Server ids of candidates, the first one first; at most [`MOST`] of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Places([i64; MOST]);

impl Places {
    /// Nobody is named.
    pub const NOBODY: Places = Places([0; MOST]);

    /// The first of these; what is no server id is left out.
    pub fn of(ids: impl IntoIterator<Item = i64>) -> Places {
        let mut places = Places::NOBODY;
        places.0.iter_mut().zip(ids.into_iter().filter(|id| *id > 0)).for_each(|(place, id)| *place = id);
        places
    }

    /// Whether nobody is named.
    pub fn is_empty(&self) -> bool {
        *self == Places::NOBODY
    }

    /// Who is named.
    pub fn ids(&self) -> impl Iterator<Item = i64> {
        self.0.into_iter().take_while(|id| *id != 0)
    }
}

/// With commas.
impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, id) in self.ids().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(f, "{comma}{id}")?;
        }
        Ok(())
    }
}
