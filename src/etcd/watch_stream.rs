//! One watch stream of etcd: opens it, carries orders out and responses in, knows nothing of their meaning.

use super::connection::{Connection, WatchCancelRequest, WatchCreateRequest, WatchRequest};
use super::credentials::{Credentials, Generation};
use super::endpoint::Use;
use super::endpoints::Endpoints;
use super::failure::Fault;
use super::translate::Bounds;
use super::{AbortOnDrop, WATCH_CONFIRMED_WITHIN, WATCH_DOUBTED_AFTER};
use crate::host::panic;
use crate::in_time::timeout_at;
use etcd_client::proto::PbWatchResponse;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tonic::{Status, Streaming};

/// Orders that are on their way to the server at a time.
const UNDER_WAY: usize = 100;

/// What the stream is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outgoing {
    /// Watch a range under an id of ours.
    Create { id: i64, bounds: Bounds },
    /// End the watch of that id.
    Cancel { id: i64 },
}

/// What the stream has to say.
pub(super) enum Incoming {
    /// It is open, with this token or an earlier one, on this connection.
    Opened { token: Generation, connection: Arc<Connection> },
    /// A message of the server.
    Response(PbWatchResponse),
    /// It is over; nothing follows.
    Closed(String),
}

/// Opens stream `number`. Its words go to `inbox` under that number. A token as old as `stale` is renewed
/// first. It ends when the handle is dropped.
pub(super) fn open(
    number: u64,
    stale: Option<Generation>,
    endpoints: Arc<Endpoints>,
    credentials: Arc<Credentials>,
    inbox: mpsc::Sender<(u64, Incoming)>,
) -> (mpsc::UnboundedSender<Outgoing>, AbortOnDrop) {
    let (orders, outgoing) = mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        let run = run(number, stale, &endpoints, &credentials, outgoing, &inbox);
        let why = panic::caught(run)
            .await
            .unwrap_or_else(|why| format!("a defect: a watch stream panicked: {why}"));
        let _ = inbox.send((number, Incoming::Closed(why))).await;
    });
    (orders, AbortOnDrop(task.abort_handle()))
}

/// Runs until the stream is over; returns why.
async fn run(
    number: u64,
    stale: Option<Generation>,
    endpoints: &Endpoints,
    credentials: &Arc<Credentials>,
    mut outgoing: mpsc::UnboundedReceiver<Outgoing>,
    inbox: &mpsc::Sender<(u64, Incoming)>,
) -> String {
    // etcd opens a stream with its first watch. All that are ordered by then go with it.
    let mut first = vec![loop {
        match outgoing.recv().await {
            Some(create @ Outgoing::Create { .. }) => break create,
            Some(Outgoing::Cancel { .. }) => {}
            None => return "not wanted any more".to_owned(),
        }
    }];
    while let Ok(order) = outgoing.try_recv() {
        first.push(order);
    }
    let (connection, token, sender, mut responses) =
        match connect(endpoints, credentials, stale, &first).await {
            Ok(opened) => opened,
            Err(why) => return why,
        };
    let opened = Incoming::Opened { token, connection: connection.clone() };
    if inbox.send((number, opened)).await.is_err() {
        return "not wanted any more".to_owned();
    }
    let mut next = None;
    loop {
        tokio::select! {
            order = outgoing.recv(), if next.is_none() => match order {
                Some(order) => next = Some(order),
                None => return "not wanted any more".to_owned(),
            },
            room = sender.reserve(), if next.is_some() => match room {
                Ok(room) => {
                    if let Some(order) = next.take() {
                        room.send(request(&order));
                    }
                }
                Err(_) => return over(endpoints, &connection, &Status::unknown("it takes no orders any more")),
            },
            message = responses.message() => match message {
                Ok(Some(response)) => {
                    if inbox.send((number, Incoming::Response(response))).await.is_err() {
                        return "not wanted any more".to_owned();
                    }
                }
                Ok(None) => return format!("{}: the server ended the watch stream", connection.name),
                Err(status) => return over(endpoints, &connection, &status),
            },
        }
    }
}

type Opened = (Arc<Connection>, Generation, mpsc::Sender<WatchRequest>, Streaming<PbWatchResponse>);

/// Opens the stream with these orders, on the first endpoint that takes it.
async fn connect(
    endpoints: &Endpoints,
    credentials: &Arc<Credentials>,
    stale: Option<Generation>,
    first: &[Outgoing],
) -> Result<Opened, String> {
    let deadline = Instant::now() + WATCH_CONFIRMED_WITHIN;
    let mut stale = stale;
    let mut renewals = 0;
    let mut refusals = 0;
    loop {
        let connection = endpoints.connection(Use::Watches, deadline).await.map_err(|e| e.to_string())?;
        let opening = async {
            if let Some(stale) = stale {
                credentials.renew(stale, &connection).await?;
            }
            let token = credentials.ready(&connection).await?;
            let (sender, requests) = mpsc::channel(UNDER_WAY.max(first.len()));
            for order in first {
                let _ = sender.try_send(request(order));
            }
            match connection.watches(requests).await {
                Ok(responses) => Ok((token, sender, responses)),
                Err(status) => Err(match Fault::of_status(&status) {
                    // Some servers look at the token when the stream opens, not when a watch is created.
                    Fault::Token(text) if renewals == 0 => {
                        renewals += 1;
                        stale = Some(token);
                        Fault::Token(text)
                    }
                    Fault::Token(text) => Fault::Answered(Fault::Token(text).into_failure(true)),
                    fault => fault,
                }),
            }
        };
        let opened = {
            let mut opening = std::pin::pin!(timeout_at(deadline, opening));
            tokio::select! {
                biased;
                opened = &mut opening => opened,
                () = sleep(WATCH_DOUBTED_AFTER) => {
                    endpoints.doubt(&connection, "a watch stream did not open");
                    opening.await
                }
            }
        };
        let Ok(opened) = opened else {
            endpoints.failed(&connection, "a watch stream did not open");
            return Err(format!("{}: the watch stream did not open in time", connection.name));
        };
        match opened {
            Ok((token, sender, responses)) => return Ok((connection, token, sender, responses)),
            Err(Fault::Token(_)) => {}
            Err(Fault::Answered(failure)) => return Err(format!("{}: {failure}", connection.name)),
            Err(Fault::Silent(why)) => {
                endpoints.doubt(&connection, &why);
                return Err(format!("{}: {why}", connection.name));
            }
            Err(Fault::NotServed(why) | Fault::Unknown(why)) => {
                endpoints.failed(&connection, &why);
                refusals += 1;
                if refusals > endpoints.count() || Instant::now() >= deadline {
                    return Err(format!("{}: {why}", connection.name));
                }
            }
        }
    }
}

fn request(order: &Outgoing) -> WatchRequest {
    match order {
        Outgoing::Create { id, bounds } => WatchRequest {
            create: Some(WatchCreateRequest {
                key: bounds.from.clone(),
                range_end: bounds.to.clone().unwrap_or_default(),
                watch_id: *id,
                ..WatchCreateRequest::default()
            }),
            ..WatchRequest::default()
        },
        Outgoing::Cancel { id } => {
            WatchRequest { cancel: Some(WatchCancelRequest { watch_id: *id }), ..WatchRequest::default() }
        }
    }
}

/// The stream broke: the next one is opened elsewhere. Returns why.
fn over(endpoints: &Endpoints, connection: &Connection, status: &Status) -> String {
    let why = Fault::of_status(status).into_failure(true).to_string();
    endpoints.failed(connection, &format!("a watch stream broke: {why}"));
    format!("{}: {why}", connection.name)
}
