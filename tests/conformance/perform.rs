//! Performs a script through the real client, and writes down what came back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use etcd_client::proto::{PbEvent, PbKeyValue, PbResponseHeader, PbTxnOpResponse, PbTxnResponse};
use etcd_client::{
    Client, Compare, CompareOp, DeleteOptions, Error, GetOptions, LeaseGrantOptions, LeaseTimeToLiveOptions,
    PutOptions, SortOrder, SortTarget, Txn, TxnOp, WatchFilterType, WatchOptions, WatchResponse, WatchStream,
};
use primacy::embedded::Server;
use primacy::embedded::model::{self, Keys, Order, Relation, SortBy, Target};

use crate::Transcript;
use crate::script::{Operation, Script};

/// The lease of number n has this id and n more.
const LEASES: i64 = 1_000_000;
/// A key that no script touches, and the watch of it on every stream: whatever came before its event, came.
const BARRIER: &str = "~";
const BARRIER_WATCH: i64 = 999;
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// A watch that lags hears of the past within 100 ms.
const SILENCE: Duration = Duration::from_millis(400);

/// A client of the embedded server.
pub async fn embedded(server: &Server) -> Client {
    let endpoint = tonic::transport::Endpoint::from_static("http://embedded");
    let channel = etcd_client::Channel::Tonic(server.channel(&endpoint));
    Client::from_channel(channel, None).await.unwrap()
}

struct Run<'a> {
    client: &'a mut Client,
    /// The store's revision at the start.
    base: i64,
    streams: BTreeMap<usize, Stream>,
    barriers: u64,
    lines: Transcript,
}

struct Stream {
    stream: WatchStream,
    /// By watch id, in order.
    heard: BTreeMap<i64, Vec<String>>,
    /// Watches that began in the past: when they are told, and with what else, is not fixed.
    past: Vec<i64>,
    lagging: bool,
    /// Watches that were opened and not cancelled by us.
    open: BTreeSet<i64>,
}

pub async fn run(client: &mut Client, script: &Script) -> Transcript {
    let base = client.get("a", None).await.unwrap().header().unwrap().revision();
    // Wherever the scripts before this one left the store, nothing before this one can be read.
    let _ = client.compact(base, None).await;
    let mut run = Run { client, base, streams: BTreeMap::new(), barriers: 0, lines: Vec::new() };
    for operation in &script.operations {
        let line = run.perform(operation).await;
        run.lines.push(line);
    }
    let streams: Vec<usize> = run.streams.keys().copied().collect();
    for number in streams {
        run.barrier(number).await;
        let stream = &run.streams[&number];
        run.lines.push(format!("stream {number}: {:?}", stream.heard));
    }
    let lines = std::mem::take(&mut run.lines);
    drop(run);
    client.delete(vec![0], Some(DeleteOptions::new().with_from_key())).await.unwrap();
    for lease in client.leases().await.unwrap().leases() {
        let _ = client.lease_revoke(lease.id()).await;
    }
    lines
}

impl Run<'_> {
    async fn perform(&mut self, operation: &Operation) -> String {
        match self.attempt(operation).await {
            Ok(line) => line,
            Err(Error::GRpcStatus(status)) => format!("{:?}: {}", status.code(), status.message()),
            Err(other) => other.to_string(),
        }
    }

    async fn attempt(&mut self, operation: &Operation) -> Result<String, Error> {
        Ok(match operation {
            Operation::Get(get) => {
                let answer = self.client.get(first(&get.keys), Some(self.get_options(get))).await?;
                self.range(&answer.0.header, &answer.0.kvs, answer.0.more, answer.0.count)
            }
            Operation::Put(put) => {
                let options = self.put_options(put);
                let answer = self.client.put(put.key.as_bytes(), put.value.as_bytes(), Some(options)).await?;
                self.put(&answer.0.header, &answer.0.prev_kv)
            }
            Operation::Delete(delete) => {
                let answer = self.client.delete(first(&delete.keys), Some(delete_options(delete))).await?;
                self.delete(&answer.0.header, answer.0.deleted, &answer.0.prev_kvs)
            }
            Operation::Txn(txn) => {
                let answer = self.client.txn(self.txn_request(txn)).await?;
                self.txn(&answer.0)
            }
            Operation::Compact(revision) => {
                // Whether a watch that lags is told in time is decided by a race.
                let lagging = self.streams.iter().filter(|(_, stream)| stream.lagging);
                for number in lagging.map(|(number, _)| *number).collect::<Vec<_>>() {
                    self.barrier(number).await;
                }
                let answer = self.client.compact(self.absolute(*revision), None).await?;
                self.header(&answer.0.header)
            }
            Operation::Grant(lease, ttl) => {
                let options = (*lease != 0).then(|| LeaseGrantOptions::new().with_id(LEASES + lease));
                let answer = self.client.lease_grant(*ttl, options).await?;
                let chosen = *lease == 0 && answer.id() > 0 || answer.id() == LEASES + lease;
                let error = answer.error();
                format!("{} chosen={chosen} ttl={} {error}", self.header(&answer.0.header), answer.ttl())
            }
            Operation::Revoke(lease) => {
                let answer = self.client.lease_revoke(LEASES + lease).await?;
                self.header(&answer.0.header)
            }
            Operation::KeepAlive(lease) => {
                let (mut keeper, mut answers) = self.client.lease_client().keep_alive(LEASES + lease).await?;
                keeper.keep_alive().await?;
                match answers.message().await? {
                    Some(answer) => format!("{} ttl={}", self.header(&answer.0.header), answer.ttl()),
                    None => "end of stream".to_owned(),
                }
            }
            Operation::TimeToLive(lease) => {
                let options = LeaseTimeToLiveOptions::new().with_keys();
                let answer = self.client.lease_time_to_live(LEASES + lease, Some(options)).await?.0;
                let full = answer.ttl <= answer.granted_ttl && answer.ttl + 2 >= answer.granted_ttl;
                let left = if full { "full".to_owned() } else { answer.ttl.to_string() };
                let mut keys: Vec<_> = answer.keys.iter().map(|key| text(key)).collect();
                keys.sort();
                let header = self.header(&answer.header);
                format!("{header} ttl={left} granted={} keys={keys:?}", answer.granted_ttl)
            }
            Operation::Leases => {
                let answer = self.client.leases().await?.0;
                let mut leases: Vec<_> = answer.leases.iter().map(|lease| self.lease(lease.id)).collect();
                leases.sort();
                format!("{} {leases:?}", self.header(&answer.header))
            }
            Operation::Expired(lease) => {
                let give_up = tokio::time::Instant::now() + PATIENCE;
                while self.client.lease_time_to_live(LEASES + lease, None).await?.ttl() >= 0 {
                    assert!(tokio::time::Instant::now() < give_up, "lease {lease} does not expire");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                "expired".to_owned()
            }
            Operation::Watch(number, watch) => self.watch(*number, watch).await?,
            Operation::Cancel(number, id) => {
                if !self.streams.contains_key(number) {
                    return Ok("no such stream".to_owned());
                }
                self.barrier(*number).await;
                self.stream(*number).stream.cancel(*id).await?;
                if !self.stream(*number).open.remove(id) {
                    // Nothing is said of a watch that is not there.
                    self.barrier(*number).await;
                    return Ok(String::new());
                }
                // etcd does not order this answer among events.
                loop {
                    let response = next(&mut self.stream(*number).stream).await;
                    if response.watch_id() == *id && response.canceled() {
                        return Ok(self.header(&response.0.header));
                    }
                    self.hear(*number, &response);
                }
            }
            Operation::Progress(number) => {
                if !self.streams.contains_key(number) {
                    return Ok("no such stream".to_owned());
                }
                self.barrier(*number).await;
                self.stream(*number).stream.request_progress().await?;
                self.listen(*number, SILENCE).await;
                String::new()
            }
        })
    }

    fn stream(&mut self, number: usize) -> &mut Stream {
        self.streams.get_mut(&number).expect("opened before")
    }

    async fn watch(&mut self, number: usize, watch: &model::Watch) -> Result<String, Error> {
        if !self.streams.contains_key(&number) {
            let options = WatchOptions::new().with_watch_id(BARRIER_WATCH);
            let mut stream = self.client.watch(BARRIER, Some(options)).await?;
            let first = next(&mut stream).await;
            assert!(first.created() && !first.canceled(), "{first:?}");
            let stream = Stream {
                stream,
                heard: BTreeMap::new(),
                past: Vec::new(),
                lagging: false,
                open: BTreeSet::new(),
            };
            self.streams.insert(number, stream);
        }
        let mut options = WatchOptions::new()
            .with_start_revision(self.absolute(watch.start_revision))
            .with_watch_id(watch.id);
        options = match &watch.keys {
            Keys::One(_) => options,
            Keys::Span { to, .. } => options.with_range(to.as_bytes()),
            Keys::From(_) => options.with_range(vec![0]),
        };
        if watch.previous {
            options = options.with_prev_key();
        }
        if watch.progress {
            options = options.with_progress_notify();
        }
        let mut filters = Vec::new();
        if watch.no_put {
            filters.push(WatchFilterType::NoPut);
        }
        if watch.no_delete {
            filters.push(WatchFilterType::NoDelete);
        }
        let options = options.with_filters(filters);
        self.stream(number).stream.watch(first(&watch.keys), Some(options)).await?;
        loop {
            let response = next(&mut self.stream(number).stream).await;
            if !response.created() {
                self.hear(number, &response);
                continue;
            }
            let (id, canceled) = (response.watch_id(), response.canceled());
            if !canceled {
                let stream = self.stream(number);
                stream.open.insert(id);
                if watch.start_revision != 0 {
                    stream.past.push(id);
                    stream.lagging = true;
                }
            }
            let header = self.header(&response.0.header);
            return Ok(format!("{header} id={id} canceled={canceled} {}", response.cancel_reason()));
        }
    }

    /// Waits until a stream has said whatever it has to say.
    async fn barrier(&mut self, number: usize) {
        self.barriers += 1;
        let value = self.barriers.to_string();
        self.client.put(BARRIER, value.clone(), None).await.unwrap();
        loop {
            let response = next(&mut self.stream(number).stream).await;
            if response.watch_id() != BARRIER_WATCH {
                self.hear(number, &response);
            } else if response
                .events()
                .last()
                .is_some_and(|e| e.kv().is_some_and(|kv| kv.value() == value.as_bytes()))
            {
                break;
            }
        }
        if std::mem::take(&mut self.stream(number).lagging) {
            self.listen(number, SILENCE).await;
        }
    }

    async fn listen(&mut self, number: usize, silence: Duration) {
        loop {
            let message = self.stream(number).stream.message();
            let Ok(response) = tokio::time::timeout(silence, message).await else { return };
            let response = response.unwrap().expect("the stream goes on");
            self.hear(number, &response);
        }
    }

    fn hear(&mut self, number: usize, response: &WatchResponse) {
        let id = response.watch_id();
        // Of the barrier's key, another watch may hear before or after the barrier.
        let ours = |event: &&PbEvent| event.kv.as_ref().is_none_or(|kv| kv.key != BARRIER.as_bytes());
        let events: Vec<&PbEvent> = response.0.events.iter().filter(ours).collect();
        if id == BARRIER_WATCH || events.is_empty() && !response.events().is_empty() {
            return;
        }
        let past = self.stream(number).past.contains(&id);
        let mut lines: Vec<String> = events.into_iter().map(|event| self.event(event)).collect();
        let header = self.header(&response.0.header);
        if response.canceled() {
            let compacted = self.relative(response.compact_revision());
            lines.push(format!("{header} canceled {compacted} {}", response.cancel_reason()));
        } else if lines.is_empty() {
            lines.push(format!("{header} progress"));
        } else if !past {
            lines.insert(0, header);
        }
        self.stream(number).heard.entry(id).or_default().extend(lines);
    }

    fn event(&self, event: &PbEvent) -> String {
        let kv = event.kv.as_ref().map_or(String::new(), |kv| self.key_value(kv));
        let previous =
            event.prev_kv.as_ref().map_or(String::new(), |kv| format!(" was {}", self.key_value(kv)));
        format!("{} {kv}{previous}", if event.r#type == 0 { "PUT" } else { "DELETE" })
    }

    // What is asked.

    fn absolute(&self, revision: i64) -> i64 {
        if revision == 0 { 0 } else { self.base + revision }
    }

    fn get_options(&self, get: &model::Get) -> GetOptions {
        let mut options = GetOptions::new()
            .with_limit(get.limit)
            .with_revision(self.absolute(get.revision))
            .with_min_mod_revision(self.absolute(get.min_mod_revision))
            .with_max_mod_revision(self.absolute(get.max_mod_revision))
            .with_min_create_revision(self.absolute(get.min_create_revision))
            .with_max_create_revision(self.absolute(get.max_create_revision));
        let target = match get.sort_by {
            SortBy::Key => SortTarget::Key,
            SortBy::Version => SortTarget::Version,
            SortBy::CreateRevision => SortTarget::Create,
            SortBy::ModRevision => SortTarget::Mod,
            SortBy::Value => SortTarget::Value,
        };
        let order = match get.order {
            Order::None => SortOrder::None,
            Order::Ascending => SortOrder::Ascend,
            Order::Descending => SortOrder::Descend,
        };
        options = options.with_sort(target, order);
        options = match &get.keys {
            Keys::One(_) => options,
            Keys::Span { to, .. } => options.with_range(to.as_bytes()),
            Keys::From(_) => options.with_range(vec![0]),
        };
        if get.keys_only {
            options = options.with_keys_only();
        }
        if get.count_only {
            options = options.with_count_only();
        }
        options
    }

    fn put_options(&self, put: &model::Put) -> PutOptions {
        let mut options = PutOptions::new();
        if put.lease.0 != 0 {
            options = options.with_lease(LEASES + put.lease.0);
        }
        if put.previous {
            options = options.with_prev_key();
        }
        if put.keep_value {
            options = options.with_ignore_value();
        }
        if put.keep_lease {
            options = options.with_ignore_lease();
        }
        options
    }

    fn txn_request(&self, txn: &model::Txn) -> Txn {
        let ops = |ops: &[model::Op]| ops.iter().map(|op| self.op(op)).collect::<Vec<_>>();
        let when: Vec<_> = txn.when.iter().map(|compare| self.compare(compare)).collect();
        Txn::new().when(when).and_then(ops(&txn.then)).or_else(ops(&txn.otherwise))
    }

    fn op(&self, op: &model::Op) -> TxnOp {
        match op {
            model::Op::Get(get) => TxnOp::get(first(&get.keys), Some(self.get_options(get))),
            model::Op::Put(put) => {
                TxnOp::put(put.key.as_bytes(), put.value.as_bytes(), Some(self.put_options(put)))
            }
            model::Op::Delete(delete) => TxnOp::delete(first(&delete.keys), Some(delete_options(delete))),
            model::Op::Txn(txn) => TxnOp::txn(self.txn_request(txn)),
            model::Op::Empty => unreachable!("the client can not send it"),
        }
    }

    fn compare(&self, compare: &model::Compare) -> Compare {
        let relation = match compare.relation {
            Relation::Equal => CompareOp::Equal,
            Relation::NotEqual => CompareOp::NotEqual,
            Relation::Greater => CompareOp::Greater,
            Relation::Less => CompareOp::Less,
        };
        let key = first(&compare.keys);
        let on = match &compare.target {
            Target::Version(n) => Compare::version(key, relation, *n),
            Target::CreateRevision(n) => Compare::create_revision(key, relation, self.absolute(*n)),
            Target::ModRevision(n) => Compare::mod_revision(key, relation, self.absolute(*n)),
            Target::Value(value) => Compare::value(key, relation, value.as_bytes()),
            Target::Lease(0) => Compare::lease(key, relation, 0),
            Target::Lease(n) => Compare::lease(key, relation, LEASES + n),
        };
        match &compare.keys {
            Keys::One(_) => on,
            Keys::Span { to, .. } => on.with_range(to.as_bytes()),
            Keys::From(_) => on.with_range(vec![0]),
        }
    }

    // What comes back.

    fn relative(&self, revision: i64) -> String {
        if revision == 0 { "0".to_owned() } else { format!("{:+}", revision - self.base) }
    }

    fn header(&self, header: &Option<PbResponseHeader>) -> String {
        header
            .as_ref()
            .map_or("no header".to_owned(), |header| format!("at {}", self.relative(header.revision)))
    }

    fn lease(&self, id: i64) -> String {
        match id {
            0 => "0".to_owned(),
            id if (LEASES..LEASES + 1000).contains(&id) => (id - LEASES).to_string(),
            _ => "chosen".to_owned(),
        }
    }

    fn key_value(&self, kv: &PbKeyValue) -> String {
        format!(
            "{}={} c{} m{} v{} lease={}",
            text(&kv.key),
            text(&kv.value),
            self.relative(kv.create_revision),
            self.relative(kv.mod_revision),
            kv.version,
            self.lease(kv.lease),
        )
    }

    fn key_values(&self, kvs: &[PbKeyValue]) -> Vec<String> {
        kvs.iter().map(|kv| self.key_value(kv)).collect()
    }

    fn range(&self, header: &Option<PbResponseHeader>, kvs: &[PbKeyValue], more: bool, count: i64) -> String {
        format!("{} {:?} more={more} count={count}", self.header(header), self.key_values(kvs))
    }

    fn put(&self, header: &Option<PbResponseHeader>, previous: &Option<PbKeyValue>) -> String {
        format!("{} {:?}", self.header(header), previous.as_ref().map(|kv| self.key_value(kv)))
    }

    fn delete(&self, header: &Option<PbResponseHeader>, deleted: i64, previous: &[PbKeyValue]) -> String {
        format!("{} deleted={deleted} {:?}", self.header(header), self.key_values(previous))
    }

    fn txn(&self, txn: &PbTxnResponse) -> String {
        let answers: Vec<String> = txn
            .responses
            .iter()
            .map(|response| match &response.response {
                Some(PbTxnOpResponse::ResponseRange(r)) => self.range(&r.header, &r.kvs, r.more, r.count),
                Some(PbTxnOpResponse::ResponsePut(r)) => self.put(&r.header, &r.prev_kv),
                Some(PbTxnOpResponse::ResponseDeleteRange(r)) => {
                    self.delete(&r.header, r.deleted, &r.prev_kvs)
                }
                Some(PbTxnOpResponse::ResponseTxn(r)) => self.txn(r),
                None => "nothing".to_owned(),
            })
            .collect();
        format!("{} succeeded={} {answers:?}", self.header(&txn.header), txn.succeeded)
    }
}

async fn next(stream: &mut WatchStream) -> WatchResponse {
    let message = tokio::time::timeout(PATIENCE, stream.message()).await;
    message.expect("an answer").unwrap().expect("the stream goes on")
}

fn first(keys: &Keys) -> Vec<u8> {
    match keys {
        Keys::One(key) | Keys::From(key) => key.as_bytes().to_vec(),
        Keys::Span { from, .. } => from.as_bytes().to_vec(),
    }
}

fn delete_options(delete: &model::Delete) -> DeleteOptions {
    let options = match &delete.keys {
        Keys::One(_) => DeleteOptions::new(),
        Keys::Span { to, .. } => DeleteOptions::new().with_range(to.as_bytes()),
        Keys::From(_) => DeleteOptions::new().with_range(vec![0]),
    };
    if delete.previous { options.with_prev_key() } else { options }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
