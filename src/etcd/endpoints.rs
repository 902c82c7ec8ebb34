//! Which endpoint serves: all addresses of all places that the settings name, and the order among them.
//!
//! Calls, renewals and watches ask here and so agree on one endpoint. The order is "failed longest ago
//! first": whoever meets a failure moves that endpoint to the end, and nobody else moves. One after the other is
//! asked for a connection, the next while those before it are still at it (RFC 8305), and the first that speaks serves.
//! An endpoint that takes long is left for a better one only: one that speaks while it is silent.

use super::connection::Connection;
use super::credentials::Credentials;
use super::dial::{Dialler, Name, Place};
use super::endpoint::{Endpoint, Use, of};
use super::failure::Fault;
use crate::host::lock;
use crate::in_time::timeout_at;
use crate::log::Log;
use crate::pace::Pace;
use crate::store::Failure;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How long the next endpoint waits for the one before it.
const NEXT_AFTER: Duration = Duration::from_millis(250);
/// A name that was looked up is looked up again when somebody needs a connection after so long,
const LOOKED_UP_FOR: Duration = Duration::from_secs(30);
/// and after so long if an endpoint of it has failed since, or it was not found.
const LOOKED_UP_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// So long somebody looks for a better endpoint than a silent one before he looks whether it still is.
const LOOKED_FOR: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Endpoints {
    known: Arc<Known>,
    names: Vec<Named>,
    /// Ends with this.
    tasks: Mutex<JoinSet<()>>,
}

/// A place that is a name.
struct Named {
    place: usize,
    name: Arc<Name>,
}

/// What is known of all of them.
struct Known {
    order: Mutex<Vec<Arc<Endpoint>>>,
    look_ups: Mutex<Vec<LookUp>>,
    /// Counts what changes of the order and the look-ups.
    changes: tokio::sync::watch::Sender<u64>,
    credentials: Arc<Credentials>,
    last_id: Mutex<usize>,
    log: Log,
}

/// How the look-up of a name stands.
#[derive(Default)]
struct LookUp {
    under_way: bool,
    done: Option<Instant>,
    /// An endpoint of it has failed since, or nothing was found.
    doubted: bool,
    /// Why nothing was found.
    failure: Option<String>,
}

/// Those that were asked for a connection, and what became of it.
#[derive(Default)]
struct Race {
    pending: Vec<(Arc<Endpoint>, Instant)>,
    asked: Vec<usize>,
    reasons: Vec<String>,
    /// Something else than a refusal was met.
    may_pass: bool,
}

impl Endpoints {
    pub(super) fn new(places: Vec<Place>, credentials: &Arc<Credentials>, log: Log) -> Endpoints {
        let known = Arc::new(Known {
            order: Mutex::default(),
            look_ups: Mutex::default(),
            changes: tokio::sync::watch::Sender::new(0),
            credentials: credentials.clone(),
            last_id: Mutex::default(),
            log,
        });
        let mut names = Vec::new();
        for (place, what) in places.into_iter().enumerate() {
            lock(&known.look_ups).push(LookUp::default());
            match what {
                Place::One(dialler) => {
                    let endpoint = known.endpoint((place, None), dialler);
                    lock(&known.order).push(endpoint);
                }
                Place::Name(name) => names.push(Named { place, name: Arc::new(name) }),
            }
        }
        Endpoints { known, names, tasks: Mutex::default() }
    }

    /// A connection to the first endpoint that gives one before the deadline.
    pub(super) async fn connection(&self, what: Use, deadline: Instant) -> Result<Arc<Connection>, Failure> {
        self.connection_beside(&[], what, deadline).await
    }

    /// The same, but to none of these.
    pub(super) async fn connection_beside(
        &self,
        others: &[usize],
        what: Use,
        deadline: Instant,
    ) -> Result<Arc<Connection>, Failure> {
        self.look_up();
        self.known.connection(others, what, deadline).await
    }

    /// Whether there is any other than these.
    pub(super) fn is_other_than(&self, these: &[usize]) -> bool {
        lock(&self.known.order).iter().any(|endpoint| !these.contains(&endpoint.id))
    }

    /// How long to wait for an answer on this connection before something is done about it.
    pub(super) fn patience(&self, connection: &Connection) -> Duration {
        self.known.find(connection).map_or_else(|| Pace::default().patience(), |endpoint| endpoint.patience())
    }

    /// Something that is answered without a write was answered after so long, or not yet.
    pub(super) fn took(&self, connection: &Connection, time: Duration) {
        if let Some(endpoint) = self.known.find(connection) {
            endpoint.took(time);
        }
    }

    /// Somebody has waited for an answer for longer than they take. The connection is asked for a sign of life. Without
    /// one the next request goes to what speaks first, another endpoint or another connection or this one; and if it is
    /// not this one, the connection is cut, which ends everything on it long before a ping would.
    pub(super) fn doubt(&self, connection: &Arc<Connection>, why: &str) {
        self.known.log.debug(&format!("etcd endpoint {}; is it there?", of(&connection.name, why)));
        if !connection.begins_to_be_doubted() {
            return;
        }
        let (known, connection) = (self.known.clone(), connection.clone());
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            known.settle(&connection).await;
            connection.is_doubted_no_more();
        });
    }

    /// The member behind this connection does not serve now: the next request goes elsewhere.
    pub(super) fn failed(&self, connection: &Connection, why: &str) {
        if let Some(endpoint) = self.known.find(connection) {
            self.known.fails(&endpoint, why);
        }
    }

    /// Another one has answered what this one was asked before: the next request goes there.
    pub(super) fn overtaken(&self, endpoint: usize) {
        self.known.last(endpoint);
    }

    /// It does serve: it has answered, not only taken a connection.
    pub(super) fn served(&self, connection: &Connection) {
        if let Some(endpoint) = self.known.find(connection) {
            endpoint.serves();
        }
    }

    /// What is known of their servers that may end badly.
    pub(super) fn warnings(&self) -> Vec<String> {
        lock(&self.known.order).iter().filter_map(|endpoint| endpoint.warning()).collect()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        lock(&self.known.order).len()
    }

    /// Looks up those names for which it is time.
    fn look_up(&self) {
        let now = Instant::now();
        for Named { place, name } in &self.names {
            let is_due = lock(&self.known.look_ups).get_mut(*place).is_some_and(|look_up| look_up.begin(now));
            if !is_due {
                continue;
            }
            let (known, place, name) = (self.known.clone(), *place, name.clone());
            lock(&self.tasks).spawn(async move {
                let found = (name.look_up)().await;
                known.looked_up(place, &name, found);
            });
        }
    }
}

impl LookUp {
    /// Whether it is to be looked up now; then it is under way.
    fn begin(&mut self, now: Instant) -> bool {
        let again = if self.doubted { LOOKED_UP_AGAIN_AFTER } else { LOOKED_UP_FOR };
        let due = !self.under_way && self.done.is_none_or(|done| now >= done + again);
        self.under_way |= due;
        due
    }
}

impl Known {
    async fn connection(
        &self,
        others: &[usize],
        what: Use,
        deadline: Instant,
    ) -> Result<Arc<Connection>, Failure> {
        let mut race = Race { asked: others.to_vec(), ..Race::default() };
        match timeout_at(deadline, self.race(&mut race, what)).await {
            Ok(Some(connection)) => return Ok(connection),
            Ok(None) => {}
            Err(_) => {
                race.may_pass = true;
                for (endpoint, since) in std::mem::take(&mut race.pending) {
                    let why = format!("no connection within {} ms", since.elapsed().as_millis());
                    race.meets(self, &endpoint, &why);
                }
            }
        }
        for look_up in &*lock(&self.look_ups) {
            if let Some(why) = &look_up.failure {
                race.may_pass = true;
                race.reasons.push(why.clone());
            }
        }
        let reasons = race.reasons.join("; ");
        Err(if race.may_pass || reasons.is_empty() {
            Failure::Unreachable(reasons)
        } else {
            Failure::Denied(reasons)
        })
    }

    /// The first connection that speaks; `None` if there can be none.
    async fn race(&self, race: &mut Race, what: Use) -> Option<Arc<Connection>> {
        let mut changes = self.changes.subscribe();
        let mut asked = FuturesUnordered::new();
        loop {
            let (next, is_last) = {
                let order = lock(&self.order);
                let mut left = order.iter().filter(|endpoint| !race.asked.contains(&endpoint.id));
                (left.next().cloned(), left.next().is_none())
            };
            if let Some(endpoint) = next {
                race.asked.push(endpoint.id);
                race.pending.push((endpoint.clone(), Instant::now()));
                asked.push(async move {
                    let opened = endpoint.connection(what).await;
                    (endpoint, opened)
                });
            } else if asked.is_empty() && !lock(&self.look_ups).iter().any(|look_up| look_up.under_way) {
                return None;
            }
            tokio::select! {
                biased;
                Some((endpoint, opened)) = asked.next() => {
                    let at = race.pending.iter().position(|(pending, _)| pending.id == endpoint.id).unwrap_or(0);
                    let fault = match opened {
                        Ok(connection) => {
                            // Those that were asked before it have not spoken yet.
                            race.pending.iter().take(at).for_each(|(overtaken, _)| self.last(overtaken.id));
                            return Some(connection);
                        }
                        Err(fault) => fault,
                    };
                    race.pending.remove(at);
                    match fault {
                        Fault::Answered(Failure::Denied(why)) => race.meets(self, &endpoint, &why),
                        fault => {
                            race.may_pass = true;
                            race.meets(self, &endpoint, &fault.into_text());
                        }
                    }
                }
                () = sleep(NEXT_AFTER), if !is_last => {}
                _ = changes.changed() => {}
            }
        }
    }

    /// A connection is doubted: what comes of it.
    async fn settle(&self, connection: &Arc<Connection>) {
        let Some(endpoint) = self.find(connection) else { return };
        let words = connection.words();
        let limit = endpoint.patience();
        tokio::select! {
            biased;
            () = connection.speaks() => {
                if connection.has_no_leader() {
                    self.fails(&endpoint, "it has no leader");
                }
                return;
            }
            () = sleep(limit) => if connection.words() != words { return },
        }
        self.fails(&endpoint, &format!("silent for {} ms", limit.as_millis()));
        endpoint.renew(connection);
        while !connection.is_lost() && connection.words() == words {
            let deadline = Instant::now() + LOOKED_FOR;
            let Ok(better) = self.connection(&[], Use::Calls, deadline).await else { continue };
            if better.endpoint == connection.endpoint {
                // The server that has answered there has been woken, maybe, and is about to answer here.
                let _ = timeout(endpoint.patience(), connection.speaks()).await;
            }
            if !Arc::ptr_eq(&better, connection) && connection.words() == words {
                connection.cut();
            }
        }
    }

    fn looked_up(&self, place: usize, name: &Name, found: io::Result<Vec<SocketAddr>>) {
        let mut look_ups = lock(&self.look_ups);
        let Some(look_up) = look_ups.get_mut(place) else { return };
        (look_up.under_way, look_up.done) = (false, Some(Instant::now()));
        let found = found.and_then(|found| {
            if found.is_empty() { Err(io::Error::other("it has no address")) } else { Ok(found) }
        });
        look_up.failure = found.as_ref().err().map(|why| format!("{}: {why}", name.name));
        look_up.doubted = found.is_err();
        if let Ok(found) = found {
            let mut order = lock(&self.order);
            // One that it does not have any more serves on for as long as it does.
            order.retain(|e| {
                e.of.0 != place || e.of.1.is_some_and(|address| found.contains(&address)) || e.is_connected()
            });
            for address in found {
                if !order.iter().any(|e| e.of == (place, Some(address))) {
                    order.push(self.endpoint((place, Some(address)), (name.dialler)(address)));
                }
            }
        } else if let Some(why) = &look_up.failure {
            self.log.debug(&format!("etcd endpoint {why}"));
        }
        drop(look_ups);
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn endpoint(&self, of: (usize, Option<SocketAddr>), dialler: Dialler) -> Arc<Endpoint> {
        let mut last = lock(&self.last_id);
        *last += 1;
        Arc::new(Endpoint::new(*last, of, dialler, self.credentials.clone(), self.log.clone()))
    }

    fn find(&self, connection: &Connection) -> Option<Arc<Endpoint>> {
        lock(&self.order).iter().find(|endpoint| endpoint.id == connection.endpoint).cloned()
    }

    /// The next request goes elsewhere.
    fn fails(&self, endpoint: &Endpoint, why: &str) {
        self.last(endpoint.id);
        if let Some(look_up) = lock(&self.look_ups).get_mut(endpoint.of.0) {
            look_up.doubted = true;
        }
        endpoint.fails(why);
    }

    fn last(&self, id: usize) {
        let mut order = lock(&self.order);
        if let Some(at) = order.iter().position(|endpoint| endpoint.id == id) {
            let endpoint = order.remove(at);
            order.push(endpoint);
        }
    }
}

impl Race {
    fn meets(&mut self, known: &Known, endpoint: &Endpoint, why: &str) {
        known.fails(endpoint, why);
        self.reasons.push(endpoint.says(why));
    }
}

#[cfg(all(test, feature = "embedded"))]
mod tests {
    use super::super::dial::{Dialling, LookingUp, boxed};
    use super::*;
    use crate::embedded::Server;
    use crate::embedded::model::Options;
    use tokio::io::DuplexStream;

    const SOON: Duration = Duration::from_secs(1);

    /// How addresses of one name behave, by their port.
    #[derive(Clone, Default)]
    struct World(Arc<Mutex<State>>);

    #[derive(Default)]
    struct State {
        /// What the name means now, or why it is not found.
        found: Vec<u16>,
        dialled: Vec<u16>,
        /// Other ends of connections that nobody ever speaks on.
        held: Vec<DuplexStream>,
        served: Option<Server>,
        gone: Vec<u16>,
    }

    const SWALLOWS: u16 = 1;
    const IS_SILENT: u16 = 2;
    const REFUSES: u16 = 3;

    impl World {
        fn endpoints(&self) -> Endpoints {
            lock(&self.0).served = Some(Server::new(Options::default()));
            let (finding, dialling) = (self.0.clone(), self.0.clone());
            let look_up = move || -> LookingUp {
                let found = lock(&finding).found.iter().map(|&port| address(port)).collect();
                Box::pin(async { Ok(found) })
            };
            let dialler = move |address: SocketAddr| {
                let state = dialling.clone();
                let dial = move || -> Dialling {
                    let state = state.clone();
                    Box::pin(async move {
                        lock(&state).dialled.push(address.port());
                        let gone = lock(&state).gone.contains(&address.port());
                        match address.port() {
                            SWALLOWS => std::future::pending().await,
                            IS_SILENT => {
                                let (near, far) = tokio::io::duplex(1 << 16);
                                lock(&state).held.push(far);
                                Ok(boxed(near))
                            }
                            REFUSES => Err(Fault::NotServed("refused".to_owned())),
                            _ if gone => Err(Fault::NotServed("gone".to_owned())),
                            _ => match &lock(&state).served {
                                Some(server) => Ok(boxed(server.connect())),
                                None => Err(Fault::NotServed("no server".to_owned())),
                            },
                        }
                    })
                };
                Dialler { name: "etcd:2379".into(), scheme: "http", dial: Box::new(dial) }
            };
            let name =
                Name { name: "etcd:2379".into(), look_up: Box::new(look_up), dialler: Box::new(dialler) };
            Endpoints::new(vec![Place::Name(name)], &Arc::new(Credentials::new(None)), Log::none())
        }

        fn means(&self, found: &[u16]) {
            lock(&self.0).found = found.to_vec();
        }
    }

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    async fn connected(endpoints: &Endpoints) -> Result<String, Failure> {
        let connection = endpoints.connection(Use::Calls, Instant::now() + SOON).await?;
        Ok(connection.name.clone())
    }

    #[tokio::test(start_paused = true)]
    async fn of_the_addresses_of_a_name_the_first_that_speaks_serves_and_the_others_cost_nothing_after() {
        let world = World::default();
        world.means(&[SWALLOWS, IS_SILENT, REFUSES, 4]);
        let endpoints = world.endpoints();
        assert_eq!(connected(&endpoints).await.unwrap(), "etcd:2379 (127.0.0.1:4)");
        let began = Instant::now();
        assert_eq!(connected(&endpoints).await.unwrap(), "etcd:2379 (127.0.0.1:4)");
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(lock(&world.0).dialled, [SWALLOWS, IS_SILENT, REFUSES, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_looked_up_again_when_an_address_of_it_fails_and_one_that_serves_is_kept() {
        let world = World::default();
        world.means(&[4]);
        let endpoints = world.endpoints();
        let connection = endpoints.connection(Use::Calls, Instant::now() + SOON).await.unwrap();
        world.means(&[5]);
        tokio::time::advance(LOOKED_UP_FOR).await;
        // It is looked up in the background, and what serves is no worse than what was found.
        for _ in 0..3 {
            assert_eq!(connected(&endpoints).await.unwrap(), connection.name);
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(endpoints.count(), 2);
        world.means(&[6]);
        lock(&world.0).gone.extend([4, 5]);
        connection.cut();
        tokio::time::advance(LOOKED_UP_AGAIN_AFTER).await;
        while endpoints.connection(Use::Calls, Instant::now() + SOON).await.is_err() {
            sleep(LOOKED_UP_AGAIN_AFTER).await;
        }
        assert_eq!(connected(&endpoints).await.unwrap(), "etcd:2379 (127.0.0.1:6)");
        assert_eq!(endpoints.count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_without_an_address_is_named_and_looked_up_until_it_has_one() {
        let world = World::default();
        let endpoints = world.endpoints();
        let why = "not reachable: etcd:2379: it has no address";
        assert_eq!(connected(&endpoints).await.unwrap_err().to_string(), why);
        world.means(&[4]);
        assert_eq!(connected(&endpoints).await.unwrap_err().to_string(), why);
        tokio::time::advance(LOOKED_UP_AGAIN_AFTER).await;
        assert_eq!(connected(&endpoints).await.unwrap(), "etcd:2379 (127.0.0.1:4)");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_cut_for_being_silent_only_once_another_one_speaks() {
        let world = World::default();
        world.means(&[4]);
        let endpoints = world.endpoints();
        let connection = endpoints.connection(Use::Calls, Instant::now() + SOON).await.unwrap();
        endpoints.doubt(&connection, "to see");
        sleep(Duration::from_secs(60)).await;
        assert!(!connection.is_lost(), "it has shown a sign of life");
    }
}
