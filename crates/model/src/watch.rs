//! Watches: several on a stream, each told what happens to its keys from a revision on.
//!
//! A watch whose start lies in the past is not told at once: every 100 ms a round brings such watches up to
//! date, and finds out that a compaction has taken what they ask for (so that one is first created, and
//! then cancelled by a response of revision 0).

use std::collections::BTreeMap;
use std::time::Duration;

use super::Model;
use super::data::{Change, Data};
use super::request::{Event, Keys, Watch, WatchResponse};
use primacy_engine::store::Key;
use primacy_engine::time::Time;

/// How often watches that lag are brought up to date.
const ROUND: Duration = Duration::from_millis(100);

/// How often a watch that asked for it, and has heard nothing since, hears of progress.
const PROGRESS: Duration = Duration::from_secs(600);

/// The id in a response that is about no watch, or about all.
const NO_WATCH: i64 = -1;

/// A watch stream of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Told of each write as it happens.
    Synced,
    /// Waits for the next round.
    Unsynced,
    /// Over; etcd keeps its id until the client cancels it.
    Compacted,
}

#[derive(Clone, Debug)]
struct Watcher {
    watch: Watch,
    /// The first revision that it has not been told of.
    next: i64,
    state: State,
    /// Has heard nothing since the last tick of the progress timer.
    quiet: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Stream {
    watchers: BTreeMap<i64, Watcher>,
    next_id: i64,
    progress_due: Time,
}

impl Model {
    /// Opens a watch stream, with no watch on it yet.
    pub fn open_stream(&mut self, now: Time) -> StreamId {
        self.advance(now);
        self.next_stream += 1;
        let id = StreamId(self.next_stream);
        let stream = Stream { watchers: BTreeMap::new(), next_id: 0, progress_due: now + PROGRESS };
        self.streams.insert(id, stream);
        id
    }

    /// Closes a stream: nothing more is said on it.
    pub fn close_stream(&mut self, id: StreamId) {
        self.streams.remove(&id);
        self.outbox.retain(|(stream, _)| *stream != id);
        self.reckon_watches();
    }

    /// Whether a stream is open.
    pub fn has_stream(&self, id: StreamId) -> bool {
        self.streams.contains_key(&id)
    }

    /// How many streams are open.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Opens a watch on a stream. The answer is a response on that stream.
    pub fn watch(&mut self, now: Time, stream: StreamId, mut watch: Watch) {
        self.advance(now);
        let revision = self.data.revision;
        let Some(on) = self.streams.get_mut(&stream) else { return };
        if watch.keys.first().as_bytes().is_empty() {
            watch.keys = from_the_smallest_key(watch.keys);
        }
        let refusal = if watch.start_revision < 0 {
            Some("etcdserver: mvcc: required revision has been compacted")
        } else if matches!(&watch.keys, Keys::Span { from, to } if from >= to) {
            Some("mvcc: watcher range is empty")
        } else if watch.id != 0 && on.watchers.contains_key(&watch.id) {
            Some("mvcc: duplicate watch ID provided on the WatchStream")
        } else {
            None
        };
        let mut response = WatchResponse { id: NO_WATCH, revision, created: true, ..Default::default() };
        if let Some(reason) = refusal {
            response.canceled = true;
            response.reason = reason;
        } else {
            if watch.id == 0 {
                while on.watchers.contains_key(&on.next_id) {
                    on.next_id += 1;
                }
                watch.id = on.next_id;
                on.next_id += 1;
            }
            let past = watch.start_revision != 0 && watch.start_revision <= revision;
            let next = if watch.start_revision == 0 { revision + 1 } else { watch.start_revision };
            let state = if past { State::Unsynced } else { State::Synced };
            response.id = watch.id;
            on.watchers.insert(watch.id, Watcher { watch, next, state, quiet: true });
            if past {
                self.round_due = self.round_due.min(self.next_round(now));
            }
        }
        self.outbox.push((stream, response));
        self.reckon_watches();
    }

    /// Ends a watch. If it was there, a response says so.
    pub fn cancel(&mut self, now: Time, stream: StreamId, id: i64) {
        self.advance(now);
        let revision = self.data.revision;
        if self.streams.get_mut(&stream).and_then(|on| on.watchers.remove(&id)).is_some() {
            let response = WatchResponse { id, revision, canceled: true, ..Default::default() };
            self.outbox.push((stream, response));
            self.reckon_watches();
        }
    }

    /// Asks how far the watches of a stream have come. Answered only while none of them lags.
    pub fn request_progress(&mut self, now: Time, stream: StreamId) {
        self.advance(now);
        let revision = self.data.revision;
        let Some(on) = self.streams.get(&stream) else { return };
        if !on.watchers.is_empty() && on.watchers.values().all(|watcher| watcher.told_all(revision)) {
            self.outbox.push((stream, WatchResponse { id: NO_WATCH, revision, ..Default::default() }));
        }
    }

    /// What the streams have to say since it was asked last, in order.
    pub fn take_responses(&mut self) -> Vec<(StreamId, WatchResponse)> {
        std::mem::take(&mut self.outbox)
    }

    /// Tells the watches that keep up of the last `changes` changes, which are of one revision.
    pub(super) fn notify(&mut self, changes: usize) {
        if changes == 0 {
            return;
        }
        let data = &self.data;
        let first = data.history.len().saturating_sub(changes);
        for (id, stream) in &mut self.streams {
            for watcher in stream.watchers.values_mut().filter(|watcher| watcher.state == State::Synced) {
                let events = watcher.events(data, data.history.range(first..));
                if let Some(response) = watcher.tell(events, data.revision) {
                    self.outbox.push((*id, response));
                }
            }
        }
    }

    /// Brings the watches that lag up to date, or ends them.
    pub(super) fn round(&mut self) {
        let data = &self.data;
        for (id, stream) in &mut self.streams {
            for watcher in stream.watchers.values_mut().filter(|watcher| watcher.state == State::Unsynced) {
                if watcher.next < data.compacted {
                    watcher.state = State::Compacted;
                    let response = WatchResponse {
                        id: watcher.watch.id,
                        canceled: true,
                        compact_revision: data.compacted,
                        ..Default::default()
                    };
                    self.outbox.push((*id, response));
                    continue;
                }
                let events = watcher.events(data, data.since(watcher.next));
                watcher.state = State::Synced;
                if let Some(response) = watcher.tell(events, data.revision) {
                    self.outbox.push((*id, response));
                }
                watcher.next = watcher.next.max(data.revision + 1);
            }
        }
        self.round_due = Time::NEVER;
        self.reckon();
    }

    /// Tells the quiet watches that asked for it how far they have come.
    pub(super) fn progress(&mut self, now: Time) {
        let revision = self.data.revision;
        for (id, stream) in self.streams.iter_mut().filter(|(_, stream)| stream.progress_due <= now) {
            stream.progress_due = now + PROGRESS;
            for watcher in stream.watchers.values_mut().filter(|watcher| watcher.watch.progress) {
                if watcher.quiet && watcher.told_all(revision) {
                    let response = WatchResponse { id: watcher.watch.id, revision, ..Default::default() };
                    self.outbox.push((*id, response));
                }
                watcher.quiet = true;
            }
        }
        self.reckon_watches();
    }

    pub(super) fn end_streams(&mut self) {
        self.streams.clear();
        self.outbox.clear();
        self.round_due = Time::NEVER;
        self.reckon_watches();
    }

    /// The rounds come every 100 ms of the clock, whenever a watch was opened.
    fn next_round(&self, now: Time) -> Time {
        let round = u64::try_from(ROUND.as_nanos()).unwrap_or(u64::MAX);
        let behind = (now.as_nanos() + round - self.round_phase % round) % round;
        now + Duration::from_nanos(round - behind)
    }

    fn reckon_watches(&mut self) {
        self.progress_due = self
            .streams
            .values()
            .filter(|stream| stream.watchers.values().any(|watcher| watcher.watch.progress))
            .map(|stream| stream.progress_due)
            .min()
            .unwrap_or(Time::NEVER);
        self.reckon();
    }
}

impl Watcher {
    fn told_all(&self, revision: i64) -> bool {
        self.state == State::Synced && revision >= self.watch.start_revision
    }

    fn events<'a>(&self, data: &Data, changes: impl Iterator<Item = &'a Change>) -> Vec<Event> {
        changes
            .filter(|change| change.event.revision.0 >= self.next)
            .filter(|change| self.watch.keys.contains(&change.event.key))
            .map(|change| Event {
                event: change.event.clone(),
                // etcd reads the key at the revision before: that must not be compacted.
                previous: change
                    .before
                    .clone()
                    .filter(|_| self.watch.previous && change.event.revision.0 > data.compacted),
            })
            .collect()
    }

    /// Notes that it has seen these events; the response, unless its filters leave nothing to say.
    fn tell(&mut self, mut events: Vec<Event>, revision: i64) -> Option<WatchResponse> {
        if events.is_empty() {
            return None;
        }
        self.next = revision + 1;
        if self.watch.no_put || self.watch.no_delete {
            events.retain(|event| {
                let put = event.event.now.is_some();
                !(put && self.watch.no_put || !put && self.watch.no_delete)
            });
        }
        if events.is_empty() {
            return None;
        }
        self.quiet = false;
        Some(WatchResponse { id: self.watch.id, revision, events, ..Default::default() })
    }
}

/// etcd takes no key at all for the smallest one.
fn from_the_smallest_key(keys: Keys) -> Keys {
    let smallest = Key::from(&b"\0"[..]);
    match keys {
        Keys::One(_) => Keys::One(smallest),
        Keys::From(_) => Keys::From(smallest),
        Keys::Span { to, .. } => Keys::Span { from: smallest, to },
    }
}
