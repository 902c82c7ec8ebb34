//! Which watch a response of etcd belongs to, and what becomes of it.
//!
//! All watches share one stream. Each range of a watch is a watch of etcd's, under an id of ours that is
//! never used again, so that a late response can not be taken for another watch's. There are two streams only
//! for a while: etcd judges a new watch by the token that its stream was opened with, so where that one is
//! refused, new watches go to a new stream and the others stay where they are.
//!
//! [`Router`] is all the logic and no I/O: orders and responses in, reports and orders to streams out.

use super::credentials::{Credentials, Generation};
use super::endpoints::Endpoints;
use super::failure::Fault;
use super::translate::{self, Bounds};
use super::watch_stream::{self, Incoming, Outgoing};
use super::{AbortOnDrop, WATCH_CONFIRMED_WITHIN, WatchReport};
use crate::store::{KeyEvent, Range};
use etcd_client::proto::PbWatchResponse;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// What the owner of the watches asks.
pub(super) enum Order {
    Watch { watch: u64, ranges: Vec<Range> },
    Unwatch { watch: u64 },
}

/// Responses that wait for the router; more wait in their streams, and at the server.
const INBOX: usize = 64;

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
        Box::new(move |connection| doubtful.silent(connection, "a new watch was not confirmed")),
    );
    loop {
        let due = router.next_deadline();
        tokio::select! {
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
    last_id: i64,
    watches: HashMap<u64, Watch>,
    /// Watches that may be unconfirmed still, the first due first.
    due: VecDeque<(Instant, u64)>,
}

struct Stream<C> {
    orders: mpsc::UnboundedSender<Outgoing>,
    _task: AbortOnDrop,
    token: Option<Generation>,
    connection: Option<C>,
    /// Which watch an id belongs to; ids of ended watches are gone.
    ids: HashMap<i64, u64>,
    /// Ids that the server has not answered yet, in the order in which they were sent: it answers in that
    /// order, and a refusal bears -1.
    unanswered: VecDeque<i64>,
}

struct Watch {
    stream: u64,
    bounds: Vec<Bounds>,
    ids: Vec<i64>,
    unconfirmed: usize,
    due: Instant,
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
            last_id: 0,
            watches: HashMap::new(),
            due: VecDeque::new(),
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
            _ => self.open(None),
        };
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let mut ids = Vec::with_capacity(bounds.len());
        for bounds in &bounds {
            self.last_id += 1;
            ids.push(self.last_id);
            stream.ids.insert(self.last_id, watch);
            stream.unanswered.push_back(self.last_id);
            // A stream that is over already says so in its last word.
            let _ = stream.orders.send(Outgoing::Create { id: self.last_id, bounds: bounds.clone() });
        }
        let due = now + WATCH_CONFIRMED_WITHIN;
        self.due.push_back((due, watch));
        let unconfirmed = ids.len();
        let watch_state =
            Watch { stream: number, bounds, ids, unconfirmed, due, early: Vec::new(), token_renewed };
        self.watches.insert(watch, watch_state);
    }

    fn open(&mut self, stale: Option<Generation>) -> u64 {
        self.last_stream += 1;
        let (orders, task) = (self.open_stream)(self.last_stream, stale);
        let stream = Stream {
            orders,
            _task: task,
            token: None,
            connection: None,
            ids: HashMap::new(),
            unanswered: VecDeque::new(),
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
            if stream.unanswered.front() == Some(&id) || !stream.unanswered.contains(&id) {
                id = stream.unanswered.pop_front().unwrap_or(id);
            } else {
                stream.unanswered.retain(|&unanswered| unanswered != id);
            }
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
                self.open(Some(token));
            }
            self.forget(watch);
            return self.create(watch, bounds, true, now);
        }
        let why = match (reason.as_str(), response.compact_revision) {
            ("", 0) => "cancelled by the server".to_owned(),
            ("", revision) => format!("cancelled by the server: compacted at revision {revision}"),
            (reason, _) => format!("cancelled by the server: {reason}"),
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

    fn next_deadline(&mut self) -> Option<Instant> {
        while let Some(&(due, watch)) = self.due.front() {
            let state = self.watches.get(&watch);
            if state.is_some_and(|state| state.unconfirmed > 0 && state.due == due) {
                return Some(due);
            }
            self.due.pop_front();
        }
        None
    }

    /// Ends the watches that were not confirmed in time, with all others on their stream: the server answers
    /// a stream in order, so one that leaves a watch unanswered is stuck as a whole.
    fn expire(&mut self, now: Instant) {
        while let Some(due) = self.next_deadline() {
            if due > now {
                return;
            }
            let Some((_, watch)) = self.due.pop_front() else { return };
            let Some(number) = self.watches.get(&watch).map(|state| state.stream) else { continue };
            if let Some(connection) = self.streams.get(&number).and_then(|s| s.connection.as_ref()) {
                (self.silent)(connection);
            }
            self.closed(number, "a new watch was not confirmed in time");
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
        for id in state.ids {
            stream.ids.remove(&id);
            let _ = stream.orders.send(Outgoing::Cancel { id });
        }
        if stream.ids.is_empty() {
            self.streams.remove(&state.stream);
        }
    }

    fn report(&self, report: WatchReport) {
        let _ = self.reports.send(report);
    }
}
