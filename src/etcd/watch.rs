//! Which watch a response of etcd belongs to, and what becomes of it.
//!
//! All watches share one stream. Each range of a watch is a watch of etcd's, under an id of ours that is
//! never used again on its stream, so that a late response can not be taken for another watch's. Ids count from zero
//! on each stream, because a grpc-proxy gives its own, and counts so. There are two streams only
//! for a while: etcd judges a new watch by the token that its stream was opened with, so where that one is
//! refused, new watches go to a new stream and the others stay where they are.
//!
//! [`Router`] is all the logic and no I/O: orders and responses in, reports and orders to streams out.

use super::credentials::{Credentials, Generation};
use super::endpoints::Endpoints;
use super::failure::Fault;
use super::translate::{self, Bounds};
use super::watch_stream::{self, Incoming, Outgoing};
use super::{AbortOnDrop, WATCH_CONFIRMED_WITHIN, WATCH_DOUBTED_AFTER};
use crate::host::WatchReport;
use crate::in_time;
use crate::log::{BRIEF, plain};
use crate::store::{KeyEvent, Range};
use etcd_client::proto::PbWatchResponse;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// What the owner of the watches asks.
pub(super) enum Order {
    Watch { watch: u64, ranges: Vec<Range> },
    Unwatch { watch: u64 },
}

/// What a refusal of a new range bears for an id.
const REFUSED: i64 = -1;
/// Responses that wait for the router; more wait in their streams, and at the server.
const INBOX: usize = 64;
/// New ranges that a stream leaves unanswered; more wait here. A server takes them one after the other: those of
/// thousands of elections, sent at once, would fill the connection that leases are renewed on.
const UNANSWERED: usize = 128;

/// Runs until the owner is gone.
pub(super) async fn route(
    mut orders: mpsc::UnboundedReceiver<Order>,
    reports: mpsc::UnboundedSender<WatchReport>,
    endpoints: Arc<Endpoints>,
    credentials: Arc<Credentials>,
) {
    let (inbox, mut incoming) = mpsc::channel(INBOX);
    let (of_streams, doubtful) = (endpoints.clone(), endpoints);
    let mut router = Router::new(
        reports,
        Box::new(move |number, stale| {
            watch_stream::open(number, stale, of_streams.clone(), credentials.clone(), inbox.clone())
        }),
        Box::new(move |connection| doubtful.doubt(connection, "a new watch was not confirmed")),
    );
    loop {
        let due = router.next_deadline();
        // What has arrived is read before a server is doubted that has not answered.
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(Order::Watch { watch, ranges }) => router.watch(watch, &ranges, Instant::now()),
                Some(Order::Unwatch { watch }) => router.unwatch(watch),
                None => return,
            },
            Some((number, said)) = incoming.recv() => match said {
                Incoming::Opened { token, connection } => router.opened(number, token, connection),
                Incoming::Response(response) => router.response(number, response, Instant::now()),
                Incoming::Closed(why) => router.closed(number, &why),
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                router.expire(Instant::now());
            }
        }
    }
}

type OpenStream =
    Box<dyn FnMut(u64, Option<Generation>) -> (mpsc::UnboundedSender<Outgoing>, AbortOnDrop) + Send>;
type Silent<C> = Box<dyn Fn(&C) + Send>;

/// See the module. `C` stands for a connection.
struct Router<C> {
    reports: mpsc::UnboundedSender<WatchReport>,
    open_stream: OpenStream,
    silent: Silent<C>,
    streams: HashMap<u64, Stream<C>>,
    /// The stream that new watches go to.
    newest: Option<u64>,
    last_stream: u64,
    watches: HashMap<u64, Watch>,
}

struct Stream<C> {
    orders: mpsc::UnboundedSender<Outgoing>,
    _task: AbortOnDrop,
    token: Option<Generation>,
    connection: Option<C>,
    /// The next range's.
    next_id: i64,
    /// Which watch an id belongs to; ids of ended watches are gone.
    ids: HashMap<i64, u64>,
    /// Ranges that are not sent yet; some may not be wanted any more.
    unsent: VecDeque<(i64, Bounds)>,
    /// Ids that the server has not answered yet, in the order in which they were sent: an etcd answers in that
    /// order, and a refusal bears -1.
    unanswered: VecDeque<i64>,
    /// When it is doubted that it will answer the next one, or given up.
    due: Due,
}

/// A time by which a stream must have answered.
#[derive(Clone, Copy)]
enum Due {
    Doubted(Instant),
    Over(Instant),
}

impl Due {
    fn at(self) -> Instant {
        let (Due::Doubted(at) | Due::Over(at)) = self;
        at
    }

    fn later(self, by: Duration) -> Due {
        match self {
            Due::Doubted(at) => Due::Doubted(at + by),
            Due::Over(at) => Due::Over(at + by),
        }
    }
}

impl<C> Stream<C> {
    /// Sends what may be sent by now.
    fn send(&mut self, now: Instant) {
        if self.unanswered.is_empty() {
            self.due = Due::Doubted(now + WATCH_DOUBTED_AFTER);
        }
        while self.unanswered.len() < UNANSWERED
            && let Some((id, bounds)) = self.unsent.pop_front()
        {
            if self.ids.contains_key(&id) {
                self.unanswered.push_back(id);
                // A stream that is over already says so in its last word.
                let _ = self.orders.send(Outgoing::Create { id, bounds });
            }
        }
    }

    /// The server has answered a new range: it is not stuck. Whose answer that is; `None`: that can not be known.
    fn answered(&mut self, id: i64, now: Instant) -> Option<i64> {
        let at = if id == REFUSED {
            0
        } else {
            self.unanswered.iter().position(|&unanswered| unanswered == id)?
        };
        let id = self.unanswered.remove(at)?;
        self.due = Due::Doubted(now + WATCH_DOUBTED_AFTER);
        self.send(now);
        Some(id)
    }

    /// Ends a range here and, if it was sent, at the server.
    fn forget(&mut self, id: i64) {
        self.ids.remove(&id);
        // Ids go up, and are sent in their order.
        if self.unsent.front().is_none_or(|(first, _)| id < *first) {
            let _ = self.orders.send(Outgoing::Cancel { id });
        }
    }
}

struct Watch {
    stream: u64,
    bounds: Vec<Bounds>,
    ids: Vec<i64>,
    unconfirmed: usize,
    /// What happened before all ranges were confirmed.
    early: Vec<KeyEvent>,
    token_renewed: bool,
}

impl<C> Router<C> {
    fn new(
        reports: mpsc::UnboundedSender<WatchReport>,
        open_stream: OpenStream,
        silent: Silent<C>,
    ) -> Router<C> {
        Router {
            reports,
            open_stream,
            silent,
            streams: HashMap::new(),
            newest: None,
            last_stream: 0,
            watches: HashMap::new(),
        }
    }

    fn watch(&mut self, watch: u64, ranges: &[Range], now: Instant) {
        self.forget(watch);
        let bounds = match ranges.iter().map(Bounds::of).collect::<Result<Vec<_>, _>>() {
            Ok(bounds) => bounds,
            Err(failure) => return self.report(WatchReport::Ended { watch, why: failure.to_string() }),
        };
        if bounds.is_empty() {
            return self.report(WatchReport::Confirmed { watch });
        }
        self.create(watch, bounds, false, now);
    }

    fn unwatch(&mut self, watch: u64) {
        self.forget(watch);
    }

    /// Sends the watch's ranges to the newest stream.
    fn create(&mut self, watch: u64, bounds: Vec<Bounds>, token_renewed: bool, now: Instant) {
        let number = match self.newest {
            Some(number) if self.streams.contains_key(&number) => number,
            _ => self.open(None, now),
        };
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let mut ids = Vec::with_capacity(bounds.len());
        for bounds in &bounds {
            let id = stream.next_id;
            stream.next_id += 1;
            ids.push(id);
            stream.ids.insert(id, watch);
            stream.unsent.push_back((id, bounds.clone()));
        }
        stream.send(now);
        let unconfirmed = ids.len();
        let watch_state =
            Watch { stream: number, bounds, ids, unconfirmed, early: Vec::new(), token_renewed };
        self.watches.insert(watch, watch_state);
    }

    fn open(&mut self, stale: Option<Generation>, now: Instant) -> u64 {
        self.last_stream += 1;
        let (orders, task) = (self.open_stream)(self.last_stream, stale);
        let stream = Stream {
            orders,
            _task: task,
            token: None,
            connection: None,
            next_id: 0,
            ids: HashMap::new(),
            unsent: VecDeque::new(),
            unanswered: VecDeque::new(),
            due: Due::Doubted(now),
        };
        self.streams.insert(self.last_stream, stream);
        self.newest = Some(self.last_stream);
        self.last_stream
    }

    fn opened(&mut self, number: u64, token: Generation, connection: C) {
        if let Some(stream) = self.streams.get_mut(&number) {
            stream.token = Some(token);
            stream.connection = Some(connection);
        }
    }

    fn response(&mut self, number: u64, response: PbWatchResponse, now: Instant) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let mut id = response.watch_id;
        if response.created {
            // A proxy that refused one counts on without it.
            let Some(answered) = stream.answered(id, now) else {
                return self.closed(number, "the server gives watches other names than it was asked to");
            };
            id = answered;
        }
        // Ids that belong to nobody are those of watches that we ended.
        let Some(&watch) = stream.ids.get(&id) else { return };
        if response.canceled {
            return self.cancelled(watch, number, &response, now);
        }
        let events: Result<Vec<_>, _> = response.events.into_iter().map(translate::event).collect();
        let events = match events {
            Ok(events) => events,
            Err(why) => return self.end(watch, why),
        };
        let Some(state) = self.watches.get_mut(&watch) else { return };
        // What it does not watch is nobody's: not passed on, and not kept.
        let bounds =
            state.ids.iter().zip(&state.bounds).find(|(own, _)| **own == id).map(|(_, bounds)| bounds);
        let events = events.into_iter().filter(|event| bounds.is_some_and(|b| b.contain(&event.key)));
        let was_unconfirmed = state.unconfirmed > 0;
        if response.created {
            state.unconfirmed = state.unconfirmed.saturating_sub(1);
        }
        state.early.extend(events);
        if state.unconfirmed > 0 {
            return;
        }
        let mut events = std::mem::take(&mut state.early);
        if was_unconfirmed {
            // Of several ranges, each in order by itself.
            events.sort_by_key(|event| event.revision);
            self.report(WatchReport::Confirmed { watch });
        }
        if !events.is_empty() {
            self.report(WatchReport::Events { watch, events });
        }
    }

    /// etcd ended a watch: it refused it, or its history is compacted away.
    fn cancelled(&mut self, watch: u64, number: u64, response: &PbWatchResponse, now: Instant) {
        let reason = &response.cancel_reason;
        let token = self.streams.get(&number).and_then(|stream| stream.token);
        if let (true, Some(Fault::Token(_)), Some(token)) = (response.created, Fault::of_text(reason), token)
            && let Some(state) = self.watches.get(&watch)
            && !state.token_renewed
        {
            let bounds = state.bounds.clone();
            if self.newest == Some(number) {
                self.open(Some(token), now);
            }
            self.forget(watch);
            return self.create(watch, bounds, true, now);
        }
        let why = match (reason.as_str(), response.compact_revision) {
            ("", 0) => "cancelled by the server".to_owned(),
            ("", revision) => format!("cancelled by the server: compacted at revision {revision}"),
            (reason, _) => format!("cancelled by the server: {}", plain(reason, BRIEF)),
        };
        self.end(watch, why);
    }

    fn closed(&mut self, number: u64, why: &str) {
        let Some(stream) = self.streams.remove(&number) else { return };
        let mut ended: Vec<u64> = stream.ids.into_values().collect();
        ended.sort_unstable();
        ended.dedup();
        for watch in ended {
            self.end(watch, why.to_owned());
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.streams.values().filter(|stream| !stream.unanswered.is_empty());
        waiting.map(|stream| stream.due.at()).min()
    }

    /// Doubts the connections of streams that take long to answer, and at last ends the streams, with all watches on
    /// them: the server answers a stream in order, so one that leaves a watch unanswered is stuck as a whole.
    fn expire(&mut self, now: Instant) {
        let is_due = |stream: &Stream<C>| !stream.unanswered.is_empty() && stream.due.at() <= now;
        let due: Vec<u64> =
            self.streams.iter().filter(|(_, s)| is_due(s)).map(|(&number, _)| number).collect();
        for number in due {
            let Some(stream) = self.streams.get_mut(&number) else { continue };
            if let Some(more) = in_time::late(stream.due.at(), now) {
                stream.due = stream.due.later(now.saturating_duration_since(stream.due.at()) + more);
                continue;
            }
            match (stream.due, &stream.connection) {
                (Due::Doubted(_), Some(connection)) => {
                    (self.silent)(connection);
                    stream.due = Due::Over(now + (WATCH_CONFIRMED_WITHIN - WATCH_DOUBTED_AFTER));
                }
                // That it opens at all is looked after where it is opened.
                (Due::Doubted(_), None) => {
                    stream.due = Due::Over(now + (WATCH_CONFIRMED_WITHIN - WATCH_DOUBTED_AFTER));
                }
                (Due::Over(_), _) => self.closed(number, "a new watch was not confirmed in time"),
            }
        }
    }

    fn end(&mut self, watch: u64, why: String) {
        self.forget(watch);
        self.report(WatchReport::Ended { watch, why });
    }

    /// Drops the watch here and at the server; drops its stream too if that has no other.
    fn forget(&mut self, watch: u64) {
        let Some(state) = self.watches.remove(&watch) else { return };
        let Some(stream) = self.streams.get_mut(&state.stream) else { return };
        state.ids.into_iter().for_each(|id| stream.forget(id));
        if stream.ids.is_empty() {
            self.streams.remove(&state.stream);
        }
    }

    fn report(&self, report: WatchReport) {
        let _ = self.reports.send(report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Revision;
    use etcd_client::proto::{PbEvent, PbKeyValue};
    use std::sync::Mutex;

    /// A router whose streams are played by the test. Connections are numbers.
    struct Rig {
        router: Router<u32>,
        reports: mpsc::UnboundedReceiver<WatchReport>,
        opened: Arc<Mutex<Vec<Opened>>>,
        silent: Arc<Mutex<Vec<u32>>>,
        now: Instant,
    }

    /// A stream's number, the token that was refused, and what it is asked.
    type Opened = (u64, Option<Generation>, mpsc::UnboundedReceiver<Outgoing>);

    impl Rig {
        fn new() -> Rig {
            let (sender, reports) = mpsc::unbounded_channel();
            let opened: Arc<Mutex<Vec<Opened>>> = Arc::default();
            let silent: Arc<Mutex<Vec<u32>>> = Arc::default();
            let (opening, silencing) = (opened.clone(), silent.clone());
            let router = Router::new(
                sender,
                Box::new(move |number, stale| {
                    let (orders, outgoing) = mpsc::unbounded_channel();
                    opening.lock().unwrap().push((number, stale, outgoing));
                    (orders, AbortOnDrop(tokio::spawn(async {}).abort_handle()))
                }),
                Box::new(move |&connection| silencing.lock().unwrap().push(connection)),
            );
            Rig { router, reports, opened, silent, now: Instant::now() }
        }

        fn watch(&mut self, watch: u64, keys: &[&str]) {
            let ranges: Vec<_> = keys.iter().map(|&k| Range::Key(k.into())).collect();
            self.router.watch(watch, &ranges, self.now);
        }

        fn say(&mut self, stream: u64, response: PbWatchResponse) {
            self.router.response(stream, response, self.now);
        }

        fn created(&mut self, stream: u64, id: i64) {
            self.say(stream, PbWatchResponse { watch_id: id, created: true, ..Default::default() });
        }

        fn refused(&mut self, stream: u64, reason: &str) {
            let cancel_reason = reason.to_owned();
            let (created, canceled) = (true, true);
            self.say(
                stream,
                PbWatchResponse { watch_id: -1, created, canceled, cancel_reason, ..Default::default() },
            );
        }

        /// Each of the key that the id is for.
        fn happens(&mut self, stream: u64, id: i64, revisions: &[i64]) {
            let key = self.router.watches.values().filter(|watch| watch.stream == stream).find_map(|watch| {
                let at = watch.ids.iter().position(|&own| own == id)?;
                Some(watch.bounds[at].from.clone())
            });
            self.happens_to(stream, id, &key.unwrap_or_default(), revisions);
        }

        fn happens_to(&mut self, stream: u64, id: i64, key: &[u8], revisions: &[i64]) {
            let event = |&revision| {
                let kv = PbKeyValue { key: key.to_vec(), mod_revision: revision, ..Default::default() };
                PbEvent { r#type: 0, kv: Some(kv), prev_kv: None }
            };
            let events = revisions.iter().map(event).collect();
            self.say(stream, PbWatchResponse { watch_id: id, events, ..Default::default() });
        }

        /// What was reported since the last look; of events their revisions.
        fn told(&mut self) -> Vec<String> {
            let mut told = Vec::new();
            while let Ok(report) = self.reports.try_recv() {
                told.push(match report {
                    WatchReport::Confirmed { watch } => format!("{watch} confirmed"),
                    WatchReport::Events { watch, events } => {
                        let revisions: Vec<Revision> = events.iter().map(|e| e.revision).collect();
                        format!("{watch} saw {revisions:?}").replace("Revision", "")
                    }
                    WatchReport::Ended { watch, why } => format!("{watch} ended: {why}"),
                    WatchReport::Panicked { why } => format!("panicked: {why}"),
                });
            }
            told
        }

        /// What a stream was asked since the last look; of creations the key.
        fn asked(&self, stream: u64) -> Vec<String> {
            let mut streams = self.opened.lock().unwrap();
            let (_, _, outgoing) = streams.iter_mut().find(|(number, ..)| *number == stream).unwrap();
            let mut asked = Vec::new();
            while let Ok(order) = outgoing.try_recv() {
                asked.push(match order {
                    Outgoing::Create { id, bounds } => {
                        format!("create {id} {}", String::from_utf8_lossy(&bounds.from))
                    }
                    Outgoing::Cancel { id } => format!("cancel {id}"),
                });
            }
            asked
        }

        fn streams(&self) -> usize {
            self.router.streams.len()
        }
    }

    #[tokio::test]
    async fn a_watch_is_confirmed_when_its_last_range_is_and_loses_nothing_before() {
        let mut rig = Rig::new();
        rig.watch(1, &["a", "b"]);
        assert_eq!(rig.asked(1), ["create 0 a", "create 1 b"]);
        rig.created(1, 0);
        rig.happens(1, 0, &[7, 9]);
        assert_eq!(rig.told(), [""; 0]);
        rig.created(1, 1);
        assert_eq!(rig.told(), ["1 confirmed", "1 saw [(7), (9)]"]);
        rig.happens(1, 1, &[10]);
        assert_eq!(rig.told(), ["1 saw [(10)]"]);
    }

    #[tokio::test]
    async fn all_watches_share_a_stream_and_each_hears_its_own() {
        let mut rig = Rig::new();
        rig.watch(1, &["a"]);
        rig.watch(2, &["b"]);
        rig.created(1, 0);
        rig.created(1, 1);
        rig.happens(1, 1, &[5]);
        rig.happens(1, 0, &[6]);
        assert_eq!(rig.told(), ["1 confirmed", "2 confirmed", "2 saw [(5)]", "1 saw [(6)]"]);
        rig.router.unwatch(2);
        assert_eq!(rig.asked(1), ["create 0 a", "create 1 b", "cancel 1"]);
        rig.happens(1, 1, &[7]);
        assert_eq!((rig.told(), rig.streams()), (vec![], 1));
        rig.router.unwatch(1);
        assert_eq!(rig.streams(), 0);
    }

    #[tokio::test]
    async fn what_it_does_not_watch_is_neither_passed_on_nor_kept() {
        let mut rig = Rig::new();
        let span = Range::Span { from: "b-".into(), to: "b.".into() };
        rig.router.watch(1, &[Range::Key("a".into()), span], rig.now);
        rig.created(1, 0);
        rig.happens_to(1, 0, b"x", &[5]);
        assert!(rig.router.watches[&1].early.is_empty());
        rig.created(1, 1);
        for (id, key) in [(0, "aa"), (0, "b-1"), (1, "a"), (1, "b."), (1, "b")] {
            rig.happens_to(1, id, key.as_bytes(), &[6]);
        }
        assert_eq!(rig.told(), ["1 confirmed"]);
        rig.happens_to(1, 0, b"a", &[7]);
        rig.happens_to(1, 1, b"b-1", &[8]);
        assert_eq!(rig.told(), ["1 saw [(7)]", "1 saw [(8)]"]);
    }

    #[tokio::test]
    async fn a_watch_without_ranges_is_confirmed_and_one_with_a_bad_range_ends() {
        let mut rig = Rig::new();
        rig.watch(1, &[]);
        rig.watch(2, &["a", ""]);
        assert_eq!(rig.told(), ["1 confirmed", "2 ended: refused: a key is empty"]);
        assert_eq!(rig.streams(), 0);
    }

    #[tokio::test]
    async fn one_range_cancelled_ends_its_watch_alone() {
        let mut rig = Rig::new();
        rig.watch(1, &["a", "b"]);
        rig.watch(2, &["c"]);
        for id in 0..3 {
            rig.created(1, id);
        }
        rig.told();
        let compacted =
            PbWatchResponse { watch_id: 1, canceled: true, compact_revision: 15, ..Default::default() };
        rig.say(1, compacted);
        assert_eq!(rig.told(), ["1 ended: cancelled by the server: compacted at revision 15"]);
        assert_eq!(rig.asked(1)[3..], ["cancel 0", "cancel 1"]);
        rig.happens(1, 0, &[20]);
        rig.happens(1, 2, &[21]);
        assert_eq!(rig.told(), ["2 saw [(21)]"]);
    }

    #[tokio::test]
    async fn a_refusal_without_an_id_is_the_oldest_unanswered_ones() {
        let mut rig = Rig::new();
        rig.watch(1, &["a"]);
        rig.watch(2, &["b"]);
        rig.watch(3, &["c"]);
        rig.created(1, 0);
        rig.refused(1, "no such thing");
        rig.created(1, 2);
        assert_eq!(
            rig.told(),
            ["1 confirmed", "2 ended: cancelled by the server: no such thing", "3 confirmed"]
        );
    }

    #[tokio::test]
    async fn a_proxy_answers_in_any_order_and_its_names_are_trusted_until_it_refused_one() {
        let mut rig = Rig::new();
        for (watch, key) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
            rig.watch(watch, &[key]);
        }
        rig.created(1, 1);
        rig.created(1, 0);
        assert_eq!(rig.told(), ["2 confirmed", "1 confirmed"]);
        rig.happens(1, 0, &[5]);
        assert_eq!(rig.told(), ["1 saw [(5)]"]);
        rig.refused(1, "no such thing");
        assert_eq!(rig.told(), ["3 ended: cancelled by the server: no such thing"]);
        // It gave the fourth the name of the third.
        rig.created(1, 2);
        let why = "the server gives watches other names than it was asked to";
        assert_eq!(rig.told(), [1, 2, 4].map(|watch| format!("{watch} ended: {why}")));
        assert_eq!(rig.streams(), 0);
    }

    #[tokio::test]
    async fn an_old_token_sends_new_watches_to_a_new_stream_once_and_leaves_the_others() {
        let mut rig = Rig::new();
        let token = Generation::default();
        rig.watch(1, &["a"]);
        rig.router.opened(1, token, 0);
        rig.created(1, 0);
        rig.told();

        rig.watch(2, &["b"]);
        rig.watch(3, &["c"]);
        rig.refused(1, "etcdserver: invalid auth token");
        rig.refused(1, "etcdserver: permission denied");
        assert_eq!(rig.told(), [""; 0]);
        assert_eq!(rig.opened.lock().unwrap()[1].1, Some(token));
        assert_eq!(rig.asked(2), ["create 0 b", "create 1 c"]);
        rig.router.opened(2, token, 0);
        rig.created(2, 0);
        rig.refused(2, "etcdserver: permission denied");
        assert_eq!(
            rig.told(),
            ["2 confirmed", "3 ended: cancelled by the server: etcdserver: permission denied"]
        );
        rig.happens(1, 0, &[8]);
        assert_eq!(rig.told(), ["1 saw [(8)]"]);
        rig.watch(4, &["d"]);
        assert_eq!(rig.asked(2), ["cancel 1", "create 2 d"]);
        assert_eq!(rig.streams(), 2);
        rig.router.unwatch(1);
        assert_eq!(rig.streams(), 1);
    }

    #[tokio::test]
    async fn a_stream_that_closes_ends_its_watches_and_the_next_opens_another() {
        let mut rig = Rig::new();
        rig.watch(1, &["a", "b"]);
        rig.watch(2, &["c"]);
        rig.created(1, 0);
        rig.router.closed(1, "gone");
        assert_eq!(rig.told(), ["1 ended: gone", "2 ended: gone"]);
        assert_eq!((rig.streams(), rig.router.watches.len()), (0, 0));
        rig.watch(3, &["a"]);
        rig.created(2, 0);
        assert_eq!(rig.told(), ["3 confirmed"]);
    }

    #[tokio::test]
    async fn a_watch_that_is_not_confirmed_in_time_ends_its_stream() {
        let mut rig = Rig::new();
        rig.watch(1, &["a"]);
        rig.router.opened(1, Generation::default(), 77);
        rig.created(1, 0);
        rig.watch(2, &["b"]);
        rig.told();
        let due = rig.router.next_deadline().unwrap();
        assert_eq!(due, rig.now + WATCH_DOUBTED_AFTER);
        rig.router.expire(due - Duration::from_millis(1));
        assert_eq!(*rig.silent.lock().unwrap(), [0; 0]);
        rig.router.expire(due);
        assert_eq!((rig.told(), &*rig.silent.lock().unwrap()), (vec![], &vec![77]));
        let due = rig.router.next_deadline().unwrap();
        assert_eq!(due, rig.now + WATCH_CONFIRMED_WITHIN);
        rig.router.expire(due);
        let why = "a new watch was not confirmed in time";
        assert_eq!(rig.told(), [format!("1 ended: {why}"), format!("2 ended: {why}")]);
        assert_eq!(*rig.silent.lock().unwrap(), [77]);
        assert_eq!(rig.router.next_deadline(), None);
    }

    #[tokio::test]
    async fn many_new_watches_wait_for_each_other_and_a_server_that_answers_one_is_not_stuck() {
        let mut rig = Rig::new();
        let second = std::time::Duration::from_secs(1);
        for watch in 1..=300 {
            rig.watch(watch, &["a"]);
        }
        rig.router.opened(1, Generation::default(), 77);
        assert_eq!(rig.asked(1).len(), UNANSWERED);
        // What was not sent need not be ended at the server.
        rig.router.unwatch(299);
        assert_eq!(rig.asked(1), [""; 0]);
        for watch in 1..=298 {
            rig.now += second;
            rig.router.expire(rig.now);
            rig.created(1, watch - 1);
            assert_eq!(rig.told(), [format!("{watch} confirmed")]);
        }
        rig.now += second;
        rig.router.expire(rig.now);
        rig.created(1, 299);
        assert_eq!(rig.told(), ["300 confirmed"]);
        assert_eq!((rig.asked(1).len(), rig.router.next_deadline()), (299 - UNANSWERED, None));
    }

    #[tokio::test]
    async fn a_limit_that_is_looked_at_late_leaves_time_to_read_what_has_arrived() {
        let mut rig = Rig::new();
        rig.watch(1, &["a"]);
        rig.router.opened(1, Generation::default(), 77);
        rig.now += WATCH_CONFIRMED_WITHIN * 2;
        rig.router.expire(rig.now);
        assert_eq!(*rig.silent.lock().unwrap(), [0; 0]);
        for _ in 0..2 {
            rig.now = rig.router.next_deadline().unwrap();
            rig.router.expire(rig.now);
        }
        assert_eq!(*rig.silent.lock().unwrap(), [77]);
        assert_eq!(rig.told(), ["1 ended: a new watch was not confirmed in time"]);
    }

    #[tokio::test]
    async fn an_unreadable_event_ends_its_watch() {
        let mut rig = Rig::new();
        rig.watch(1, &["a"]);
        rig.created(1, 0);
        rig.told();
        let events = vec![PbEvent { r#type: 9, kv: Some(PbKeyValue::default()), prev_kv: None }];
        rig.say(1, PbWatchResponse { watch_id: 0, events, ..Default::default() });
        assert_eq!(rig.told(), ["1 ended: an event of unknown kind 9"]);
    }
}
