//! etcd's gRPC services, each method one call of the model.

use std::pin::Pin;
use std::task::{Context, Poll};

use etcd_client::proto::*;
use tokio::sync::mpsc::UnboundedReceiver;
use tonic::codegen::tokio_stream::Stream;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::model::{StreamId, Watch, WatchResponse};
use super::server::{Server, VERSION};
use super::wire;
use crate::store::{LeaseId, Origin};

/// A request of more bytes does not go through etcd's log.
const MAX_REQUEST: usize = 1536 * 1024;
/// A message of more bytes does not get through etcd's gRPC server.
const MAX_MESSAGE: usize = MAX_REQUEST + 512 * 1024;
/// What is read at all, so that a message that is too large can be refused in etcd's words.
const MAX_DECODED: usize = 64 * 1024 * 1024;

const MEMBER: u64 = 1;

type Reply<T> = Result<Response<T>, Status>;
type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[derive(Clone)]
struct Api(Server);

/// All services. What is not among them is answered "unimplemented".
pub(super) fn routes(server: &Server) -> Routes {
    let api = Api(server.clone());
    Routes::new(PbKvServer::new(api.clone()).max_decoding_message_size(MAX_DECODED))
        .add_service(PbWatchServer::new(api.clone()).max_decoding_message_size(MAX_DECODED))
        .add_service(PbLeaseServer::new(api.clone()))
        .add_service(PbClusterServer::new(api.clone()))
        .add_service(PbMaintenanceServer::new(api))
}

impl Api {
    /// Fills in who answers; the revision if it is not known yet.
    fn header(&self, header: Option<PbResponseHeader>) -> Option<PbResponseHeader> {
        let (origin, revision) = self.0.with_model(|model, _| (model.origin(), model.revision()));
        let revision = header.map_or(revision, |header| header.revision);
        let Origin { cluster: cluster_id, term: raft_term } = origin;
        Some(PbResponseHeader { cluster_id, member_id: MEMBER, revision, raft_term })
    }
}

fn check_size(request: &impl prost::Message) -> Result<(), Status> {
    let size = request.encoded_len();
    if size > MAX_MESSAGE {
        let text = format!("grpc: received message larger than max ({size} vs. {MAX_MESSAGE})");
        return Err(Status::resource_exhausted(text));
    }
    if size > MAX_REQUEST {
        return Err(Status::invalid_argument("etcdserver: request is too large"));
    }
    Ok(())
}

fn not_here<T>(what: &str) -> Result<T, Status> {
    Err(Status::unimplemented(format!("{what}: not in this server, which is for development and tests")))
}

#[async_trait]
impl PbKvService for Api {
    async fn range(&self, request: Request<PbRangeRequest>) -> Reply<PbRangeResponse> {
        let get = wire::get(request.get_ref()).map_err(wire::status)?;
        let answer = self.0.with_model(|model, now| model.get(now, &get)).map_err(wire::status)?;
        let mut response = wire::range_response(answer);
        response.header = self.header(response.header);
        Ok(Response::new(response))
    }

    type RangeStreamStream = Replies<PbRangeStreamResponse>;

    async fn range_stream(&self, _: Request<PbRangeRequest>) -> Reply<Self::RangeStreamStream> {
        Err(Status::unimplemented("unknown method RangeStream for service etcdserverpb.KV"))
    }

    async fn put(&self, request: Request<PbPutRequest>) -> Reply<PbPutResponse> {
        check_size(request.get_ref())?;
        let put = wire::put(request.into_inner());
        let answer = self.0.with_model(|model, now| model.put(now, &put)).map_err(wire::status)?;
        let mut response = wire::put_response(answer);
        response.header = self.header(response.header);
        Ok(Response::new(response))
    }

    async fn delete_range(&self, request: Request<PbDeleteRequest>) -> Reply<PbDeleteResponse> {
        check_size(request.get_ref())?;
        let delete = wire::delete(request.get_ref());
        let answer = self.0.with_model(|model, now| model.delete(now, &delete)).map_err(wire::status)?;
        let mut response = wire::delete_response(answer);
        response.header = self.header(response.header);
        Ok(Response::new(response))
    }

    async fn txn(&self, request: Request<PbTxnRequest>) -> Reply<PbTxnResponse> {
        check_size(request.get_ref())?;
        let txn = wire::txn(request.into_inner())?;
        let answer = self.0.with_model(|model, now| model.txn(now, &txn)).map_err(wire::status)?;
        let mut response = wire::txn_response(answer);
        response.header = self.header(response.header);
        Ok(Response::new(response))
    }

    async fn compact(&self, request: Request<PbCompactionRequest>) -> Reply<PbCompactionResponse> {
        let revision = request.get_ref().revision;
        self.0.with_model(|model, now| model.compact(now, revision)).map_err(wire::status)?;
        Ok(Response::new(PbCompactionResponse { header: self.header(None) }))
    }
}

#[async_trait]
impl PbLeaseService for Api {
    async fn lease_grant(&self, request: Request<PbLeaseGrantRequest>) -> Reply<PbLeaseGrantResponse> {
        let PbLeaseGrantRequest { ttl, id } = *request.get_ref();
        let (id, ttl) =
            self.0.with_model(|model, now| model.grant(now, LeaseId(id), ttl)).map_err(wire::status)?;
        let header = self.header(None);
        Ok(Response::new(PbLeaseGrantResponse { header, id: id.0, ttl, error: String::new() }))
    }

    async fn lease_revoke(&self, request: Request<PbLeaseRevokeRequest>) -> Reply<PbLeaseRevokeResponse> {
        let id = LeaseId(request.get_ref().id);
        self.0.with_model(|model, now| model.revoke(now, id)).map_err(wire::status)?;
        Ok(Response::new(PbLeaseRevokeResponse { header: self.header(None) }))
    }

    type LeaseKeepAliveStream = Replies<PbLeaseKeepAliveResponse>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<PbLeaseKeepAliveRequest>>,
    ) -> Reply<Self::LeaseKeepAliveStream> {
        Ok(Response::new(Box::pin(KeepAlives { api: self.clone(), requests: request.into_inner() })))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<PbLeaseTimeToLiveRequest>,
    ) -> Reply<PbLeaseTimeToLiveResponse> {
        let PbLeaseTimeToLiveRequest { id, keys } = *request.get_ref();
        let left = self.0.with_model(|model, now| model.time_to_live(now, LeaseId(id)));
        let header = self.header(None);
        Ok(Response::new(match left {
            None => PbLeaseTimeToLiveResponse { header, id, ttl: -1, granted_ttl: 0, keys: vec![] },
            Some(left) => PbLeaseTimeToLiveResponse {
                header,
                id,
                ttl: left.ttl,
                granted_ttl: left.granted,
                keys: left.keys.iter().filter(|_| keys).map(|key| key.as_bytes().to_vec()).collect(),
            },
        }))
    }

    async fn lease_leases(&self, _: Request<PbLeaseLeasesRequest>) -> Reply<PbLeaseLeasesResponse> {
        let leases = self.0.with_model(|model, now| model.leases(now));
        let leases = leases.into_iter().map(|id| PbLeaseStatus { id: id.0 }).collect();
        Ok(Response::new(PbLeaseLeasesResponse { header: self.header(None), leases }))
    }
}

/// A keep-alive stream: each request is answered in its turn.
struct KeepAlives {
    api: Api,
    requests: Streaming<PbLeaseKeepAliveRequest>,
}

impl Stream for KeepAlives {
    type Item = Result<PbLeaseKeepAliveResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.requests).poll_next(context).map(|request| {
            let id = match request? {
                Ok(request) => request.id,
                Err(status) => return Some(Err(status)),
            };
            // As in etcd, the header is older than the renewal: a revision in it proves nothing.
            let header = self.api.header(None);
            let ttl = self.api.0.with_model(|model, now| model.keep_alive(now, LeaseId(id)));
            Some(Ok(PbLeaseKeepAliveResponse { header, id, ttl }))
        })
    }
}

#[async_trait]
impl PbWatchService for Api {
    type WatchStream = Replies<PbWatchResponse>;

    async fn watch(&self, request: Request<Streaming<PbWatchRequest>>) -> Reply<Self::WatchStream> {
        let (stream, responses) = self.0.open_stream();
        let watches = Watches { api: self.clone(), stream, requests: Some(request.into_inner()), responses };
        Ok(Response::new(Box::pin(watches)))
    }
}

/// A watch stream. It goes on when the client has said all that it wants to say.
struct Watches {
    api: Api,
    stream: StreamId,
    requests: Option<Streaming<PbWatchRequest>>,
    responses: UnboundedReceiver<WatchResponse>,
}

impl Watches {
    fn take(&self, request: PbWatchRequest) {
        match request.request_union {
            Some(PbWatchRequestUnion::CreateRequest(create)) => {
                const NO_PUT: i32 = 0;
                const NO_DELETE: i32 = 1;
                let watch = Watch {
                    id: create.watch_id,
                    keys: wire::keys(&create.key, &create.range_end),
                    start_revision: create.start_revision,
                    previous: create.prev_kv,
                    no_put: create.filters.contains(&NO_PUT),
                    no_delete: create.filters.contains(&NO_DELETE),
                    progress: create.progress_notify,
                };
                self.api.0.with_model(|model, now| model.watch(now, self.stream, watch));
            }
            Some(PbWatchRequestUnion::CancelRequest(cancel)) => {
                self.api.0.with_model(|model, now| model.cancel(now, self.stream, cancel.watch_id));
            }
            Some(PbWatchRequestUnion::ProgressRequest(_)) => {
                self.api.0.with_model(|model, now| model.request_progress(now, self.stream));
            }
            None => {}
        }
    }
}

impl Stream for Watches {
    type Item = Result<PbWatchResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while let Some(requests) = &mut self.requests {
            match Pin::new(requests).poll_next(context) {
                Poll::Ready(Some(Ok(request))) => self.take(request),
                Poll::Ready(Some(Err(status))) => return Poll::Ready(Some(Err(status))),
                Poll::Ready(None) => self.requests = None,
                Poll::Pending => break,
            }
        }
        self.responses.poll_recv(context).map(|response| {
            let mut response = wire::watch_response(response?);
            response.header = self.api.header(response.header);
            Some(Ok(response))
        })
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        self.api.0.with_model(|model, _| model.close_stream(self.stream));
    }
}

#[async_trait]
impl PbClusterService for Api {
    async fn member_add(&self, _: Request<PbMemberAddRequest>) -> Reply<PbMemberAddResponse> {
        not_here("MemberAdd")
    }

    async fn member_remove(&self, _: Request<PbMemberRemoveRequest>) -> Reply<PbMemberRemoveResponse> {
        not_here("MemberRemove")
    }

    async fn member_update(&self, _: Request<PbMemberUpdateRequest>) -> Reply<PbMemberUpdateResponse> {
        not_here("MemberUpdate")
    }

    async fn member_list(&self, _: Request<PbMemberListRequest>) -> Reply<PbMemberListResponse> {
        let member = PbMember {
            id: MEMBER,
            name: "primacy-dev".to_owned(),
            peer_ur_ls: vec![],
            client_ur_ls: self.0.address().map(|address| format!("http://{address}")).into_iter().collect(),
            is_learner: false,
        };
        Ok(Response::new(PbMemberListResponse { header: self.header(None), members: vec![member] }))
    }

    async fn member_promote(&self, _: Request<PbMemberPromoteRequest>) -> Reply<PbMemberPromoteResponse> {
        not_here("MemberPromote")
    }
}

#[async_trait]
impl PbMaintenanceService for Api {
    async fn alarm(&self, _: Request<PbAlarmRequest>) -> Reply<PbAlarmResponse> {
        Ok(Response::new(PbAlarmResponse { header: self.header(None), alarms: vec![] }))
    }

    async fn status(&self, _: Request<PbStatusRequest>) -> Reply<PbStatusResponse> {
        Ok(Response::new(PbStatusResponse {
            header: self.header(None),
            version: VERSION.to_owned(),
            leader: MEMBER,
            raft_term: self.0.with_model(|model, _| model.origin().term),
            // All in memory; but etcdctl divides by the size of the file.
            db_size: 1,
            db_size_in_use: 1,
            ..Default::default()
        }))
    }

    async fn defragment(&self, _: Request<PbDefragmentRequest>) -> Reply<PbDefragmentResponse> {
        Ok(Response::new(PbDefragmentResponse { header: self.header(None) }))
    }

    async fn hash(&self, _: Request<PbHashRequest>) -> Reply<PbHashResponse> {
        not_here("Hash")
    }

    async fn hash_kv(&self, _: Request<PbHashKvRequest>) -> Reply<PbHashKvResponse> {
        not_here("HashKV")
    }

    type SnapshotStream = Replies<PbSnapshotResponse>;

    async fn snapshot(&self, _: Request<PbSnapshotRequest>) -> Reply<Self::SnapshotStream> {
        not_here("Snapshot")
    }

    async fn move_leader(&self, _: Request<PbMoveLeaderRequest>) -> Reply<PbMoveLeaderResponse> {
        not_here("MoveLeader")
    }

    async fn downgrade(&self, _: Request<PbDowngradeRequest>) -> Reply<PbDowngradeResponse> {
        not_here("Downgrade")
    }
}
