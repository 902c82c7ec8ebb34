//! A watch that is opened again whenever it ends.

use std::time::Duration;

use super::action::Action;
use super::backoff::Backoff;
use super::effects::Effects;
use super::ids::WatchId;
use crate::store::Range;
use crate::time::Time;

/// One that has stood for so long is opened again at once.
const STEADY: Duration = Duration::from_secs(1);

/// One watch after the other, on the same keys.
#[derive(Clone, Debug, Hash)]
pub(super) struct Watch {
    stream: Stream,
    backoff: Backoff,
    /// There was one before, so that something may have been missed in between.
    again: bool,
    told: Told,
}

/// What it has told, as re-reads see it. A member, or what stands before it, may answer all else and yet tell nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Told {
    /// No re-read has looked yet: what that one finds may be older than the watch.
    Unknown,
    /// All that there was.
    All,
    /// Not what the last re-read found: it may be on its way.
    NotYet,
    /// Nothing, from one re-read to the next.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stream {
    /// None; opened at this time.
    Closed(Time),
    /// Asked for.
    Opening(WatchId),
    /// Confirmed at this time.
    Open(WatchId, Time),
}

impl Watch {
    pub fn new() -> Self {
        Watch {
            stream: Stream::Closed(Time::ZERO),
            backoff: Backoff::default(),
            again: false,
            told: Told::Unknown,
        }
    }

    /// Opens one if there is none and it is time to, or in the place of one that tells nothing.
    pub fn open(&mut self, fx: &mut Effects, ranges: &[Range]) {
        if self.told == Told::Nothing {
            self.replace(fx);
        }
        if matches!(self.stream, Stream::Closed(at) if at <= fx.now) {
            let watch = fx.watch_id();
            fx.push(Action::Watch { watch, ranges: ranges.to_vec() });
            self.stream = Stream::Opening(watch);
        }
    }

    /// Closes it, to open another one: at once if it has stood for a while.
    pub fn replace(&mut self, fx: &mut Effects) {
        if let Stream::Open(watch, _) | Stream::Opening(watch) = self.stream {
            fx.push(Action::Unwatch { watch });
            self.ended(fx);
        }
    }

    /// Closes it, and forgets that there was one.
    pub fn close(&mut self, fx: &mut Effects) {
        if let Stream::Open(watch, _) | Stream::Opening(watch) = self.stream {
            fx.push(Action::Unwatch { watch });
        }
        *self = Watch::new();
    }

    /// Its present name; whatever bears an older one is stale.
    pub fn id(&self) -> Option<WatchId> {
        match self.stream {
            Stream::Open(present, _) | Stream::Opening(present) => Some(present),
            Stream::Closed(_) => None,
        }
    }

    /// Whether this is its present name.
    pub fn is(&self, watch: WatchId) -> bool {
        self.id() == Some(watch)
    }

    pub fn is_open(&self) -> bool {
        matches!(self.stream, Stream::Open(..))
    }

    /// It is confirmed; whether something may have been missed before.
    pub fn confirmed(&mut self, fx: &Effects) -> bool {
        if let Stream::Opening(watch) = self.stream {
            self.stream = Stream::Open(watch, fx.now);
            self.told = Told::Unknown;
        }
        std::mem::replace(&mut self.again, true)
    }

    /// It has told something.
    pub fn told(&mut self) {
        if self.told != Told::Unknown {
            self.told = Told::All;
        }
    }

    /// A re-read has been; whether it found news.
    pub fn compared(&mut self, news: bool) {
        self.told = match self.told {
            _ if !self.is_open() => Told::Unknown,
            Told::All if news => Told::NotYet,
            Told::Unknown | Told::All => Told::All,
            Told::NotYet | Told::Nothing => Told::Nothing,
        };
    }

    /// It has ended. One that has stood for a while is opened again at once; one that could not be opened, or that the
    /// store confirms and ends, more slowly each time.
    pub fn ended(&mut self, fx: &mut Effects) {
        let steady = matches!(self.stream, Stream::Open(_, since) if fx.now.since(since) >= STEADY);
        let at = if steady {
            self.backoff.reset();
            fx.now
        } else {
            self.backoff.pass(fx)
        };
        self.stream = Stream::Closed(at);
    }

    pub fn timers(&self, mut due: impl FnMut(Time, &'static str)) {
        if let Stream::Closed(at) = self.stream {
            due(at, "watch due");
        }
    }
}
