//! What an operator asks of a primary, from outside: to hand over, or to resign. It stands in the primary's own record.
//!
//! The request names the revision of the lock, so that it ends no other win than that. The primary first takes it out of its
//! record, by a write that compares what was read, and says there that it has: whoever asked may have taken it back
//! meanwhile, and one of the two finds that the other was first. Then it is done, once, exactly as if the host had asked. If it
//! comes to nothing, the record says why; otherwise the win is over, and whoever has asked sees that by the lock.

use std::sync::Arc;

use super::Election;
use super::ground::Ground;
use super::phase::Win;
use crate::Level;
use crate::action::LostReason;
use crate::effects::Effects;
use crate::milvus::{Asks, Record, Reply};
use crate::plain::{BRIEF, plain};
use crate::store::Revision;

/// What has been asked of the present win.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Requests {
    /// The record that was looked at.
    seen: Revision,
    /// What is asked for there, and not taken yet.
    pub(super) got: Option<Asks>,
    /// Something was taken, and is being done.
    takes: bool,
    /// Why the last one came to nothing.
    refused: Option<Arc<str>>,
}

impl Election {
    /// Notes, as a primary, what its own record asks for; and does what it has taken.
    pub(super) fn look_at_requests(&mut self, fx: &mut Effects, ground: Ground<'_>) {
        let Some(win) = self.phase.win().copied().filter(Win::is_called) else {
            self.requests = Requests::default();
            return;
        };
        let own = self.claim.as_ref().and_then(|claim| claim.record(&self.view));
        let Some(kv) = own.filter(|kv| kv.mod_revision != self.requests.seen) else {
            return;
        };
        let record = Record::parse(&kv.value).unwrap_or_default();
        let lock = Revision(win.token.0);
        self.requests.seen = kv.mod_revision;
        let got = record.asked.filter(|asked| asked.lock == lock).map(|asked| asked.what);
        let before = std::mem::replace(&mut self.requests.got, got);
        if got.is_some() {
            self.requests.refused = None;
        } else if let Some(what) = before.filter(|_| record.reply == Some(Reply::Takes(lock))) {
            self.requests.takes = true;
            self.do_request(fx, ground, what);
        }
    }

    fn do_request(&mut self, fx: &mut Effects, ground: Ground<'_>, what: Asks) {
        let asks = match what {
            Asks::Transfer { .. } => "hand over",
            Asks::Resign => "resign",
        };
        fx.log(Level::Info, Some(self.id), format!("{}: its record asks it to {asks}", self.role));
        match what {
            Asks::Transfer { to } => self.begin_transfer(fx, to),
            Asks::Resign => self.give_up(fx, ground.setup, LostReason::Resigned),
        }
    }

    /// What was asked for comes to nothing.
    pub(super) fn refuse_request(&mut self, why: &str) {
        if std::mem::take(&mut self.requests.takes) {
            self.requests.refused = Some(Arc::from(plain(why, BRIEF)));
        }
    }

    /// What the record should say to what was asked.
    pub(super) fn reply(&self) -> Option<Reply> {
        let Requests { got, takes, refused, .. } = &self.requests;
        let win = self.phase.win().filter(|_| got.is_some() || *takes);
        win.map(|win| Reply::Takes(Revision(win.token.0))).or_else(|| refused.clone().map(Reply::Refused))
    }
}
