//! What each layout's rules have in common: they look at a history revision by revision.

use crate::history::Moment;
use crate::report::Report;

/// Who judges a history.
pub trait Judge {
    /// Looks at one revision; they come in order.
    fn look(&mut self, moment: &Moment<'_>, report: &mut Report);

    /// There are no more: says what only that makes certain.
    fn end(&mut self, _report: &mut Report) {}
}
