//! etcd's messages to the model's words and back.

use etcd_client::proto::{
    PbCompare, PbCompareTarget, PbDeleteRequest, PbDeleteResponse, PbEvent, PbKeyValue, PbPutRequest,
    PbPutResponse, PbRangeRequest, PbRangeResponse, PbResponseHeader, PbResponseOp, PbTargetUnion,
    PbTxnOpRequest, PbTxnOpResponse, PbTxnRequest, PbTxnRequestOp, PbTxnResponse, PbWatchResponse,
};
use tonic::{Code as GrpcCode, Status};

use super::model::{
    Code, Compare, Delete, DeleteAnswer, Error, Event, Get, GetAnswer, Keys, Op, OpAnswer, Order, Put,
    PutAnswer, Relation, SortBy, Target, Txn, TxnAnswer, WatchResponse,
};
use crate::store::{Key, KeyValue, LeaseId, Value};

pub(super) fn status(error: Error) -> Status {
    let code = match error.code() {
        Code::InvalidArgument => GrpcCode::InvalidArgument,
        Code::NotFound => GrpcCode::NotFound,
        Code::FailedPrecondition => GrpcCode::FailedPrecondition,
        Code::OutOfRange => GrpcCode::OutOfRange,
    };
    Status::new(code, error.to_string())
}

/// An empty end means one key, a zero byte means "and all after it".
pub(super) fn keys(key: &[u8], range_end: &[u8]) -> Keys {
    match range_end {
        [] => Keys::One(key.into()),
        [0] => Keys::From(key.into()),
        to => Keys::Span { from: key.into(), to: to.into() },
    }
}

pub(super) fn get(request: &PbRangeRequest) -> Result<Get, Error> {
    Ok(Get {
        keys: keys(&request.key, &request.range_end),
        limit: request.limit,
        revision: request.revision,
        order: match request.sort_order {
            0 => Order::None,
            1 => Order::Ascending,
            2 => Order::Descending,
            _ => return Err(Error::InvalidSortOption),
        },
        sort_by: match request.sort_target {
            0 => SortBy::Key,
            1 => SortBy::Version,
            2 => SortBy::CreateRevision,
            3 => SortBy::ModRevision,
            4 => SortBy::Value,
            _ => return Err(Error::InvalidSortOption),
        },
        keys_only: request.keys_only,
        count_only: request.count_only,
        min_mod_revision: request.min_mod_revision,
        max_mod_revision: request.max_mod_revision,
        min_create_revision: request.min_create_revision,
        max_create_revision: request.max_create_revision,
    })
}

pub(super) fn put(request: PbPutRequest) -> Put {
    Put {
        key: Key::from(&request.key[..]),
        value: Value::from(&request.value[..]),
        lease: LeaseId(request.lease),
        previous: request.prev_kv,
        keep_value: request.ignore_value,
        keep_lease: request.ignore_lease,
    }
}

pub(super) fn delete(request: &PbDeleteRequest) -> Delete {
    Delete { keys: keys(&request.key, &request.range_end), previous: request.prev_kv }
}

pub(super) fn txn(request: PbTxnRequest) -> Result<Txn, Status> {
    Ok(Txn {
        when: request.compare.iter().map(compare).collect::<Result<_, _>>()?,
        then: request.success.into_iter().map(op).collect::<Result<_, _>>()?,
        otherwise: request.failure.into_iter().map(op).collect::<Result<_, _>>()?,
    })
}

fn op(op: PbTxnRequestOp) -> Result<Op, Status> {
    Ok(match op.request {
        Some(PbTxnOpRequest::RequestRange(request)) => Op::Get(get(&request).map_err(status)?),
        Some(PbTxnOpRequest::RequestPut(request)) => Op::Put(put(request)),
        Some(PbTxnOpRequest::RequestDeleteRange(request)) => Op::Delete(delete(&request)),
        Some(PbTxnOpRequest::RequestTxn(request)) => Op::Txn(txn(request)?),
        None => Op::Empty,
    })
}

/// What is compared is said twice, by the target and by the kind of the value; where they differ, the target
/// holds and the value is zero.
fn compare(compare: &PbCompare) -> Result<Compare, Status> {
    use PbCompareTarget as On;
    let given = compare.target_union.as_ref();
    let target = match On::try_from(compare.target) {
        Ok(On::Version) => Target::Version(match given {
            Some(PbTargetUnion::Version(n)) => *n,
            _ => 0,
        }),
        Ok(On::Create) => Target::CreateRevision(match given {
            Some(PbTargetUnion::CreateRevision(n)) => *n,
            _ => 0,
        }),
        Ok(On::Mod) => Target::ModRevision(match given {
            Some(PbTargetUnion::ModRevision(n)) => *n,
            _ => 0,
        }),
        Ok(On::Lease) => Target::Lease(match given {
            Some(PbTargetUnion::Lease(n)) => *n,
            _ => 0,
        }),
        Ok(On::Value) => Target::Value(match given {
            Some(PbTargetUnion::Value(value)) => Value::from(&value[..]),
            _ => Value::default(),
        }),
        Err(_) => return Err(Status::invalid_argument("unknown target of a comparison")),
    };
    let relation = match compare.result {
        0 => Relation::Equal,
        1 => Relation::Greater,
        2 => Relation::Less,
        3 => Relation::NotEqual,
        _ => return Err(Status::invalid_argument("unknown kind of comparison")),
    };
    Ok(Compare { keys: keys(&compare.key, &compare.range_end), relation, target })
}

fn at(revision: i64) -> PbResponseHeader {
    PbResponseHeader { revision, ..Default::default() }
}

pub(super) fn key_value(kv: KeyValue) -> PbKeyValue {
    PbKeyValue {
        key: kv.key.as_bytes().to_vec(),
        create_revision: kv.create_revision.0,
        mod_revision: kv.mod_revision.0,
        version: kv.version,
        value: kv.value.as_bytes().to_vec(),
        lease: kv.lease.0,
    }
}

fn key_values(kvs: Vec<KeyValue>) -> Vec<PbKeyValue> {
    kvs.into_iter().map(key_value).collect()
}

pub(super) fn range_response(answer: GetAnswer) -> PbRangeResponse {
    PbRangeResponse {
        header: Some(at(answer.revision)),
        kvs: key_values(answer.kvs),
        more: answer.more,
        count: answer.count,
    }
}

pub(super) fn put_response(answer: PutAnswer) -> PbPutResponse {
    PbPutResponse { header: Some(at(answer.revision)), prev_kv: answer.previous.map(key_value) }
}

pub(super) fn delete_response(answer: DeleteAnswer) -> PbDeleteResponse {
    PbDeleteResponse {
        header: Some(at(answer.revision)),
        deleted: answer.deleted,
        prev_kvs: key_values(answer.previous),
    }
}

pub(super) fn txn_response(answer: TxnAnswer) -> PbTxnResponse {
    PbTxnResponse {
        header: Some(at(answer.revision)),
        succeeded: answer.succeeded,
        responses: answer
            .answers
            .into_iter()
            .map(|answer| PbResponseOp {
                response: Some(match answer {
                    OpAnswer::Get(answer) => PbTxnOpResponse::ResponseRange(range_response(answer)),
                    OpAnswer::Put(answer) => PbTxnOpResponse::ResponsePut(put_response(answer)),
                    OpAnswer::Delete(answer) => PbTxnOpResponse::ResponseDeleteRange(delete_response(answer)),
                    OpAnswer::Txn(answer) => PbTxnOpResponse::ResponseTxn(txn_response(answer)),
                }),
            })
            .collect(),
    }
}

fn event(Event { event, previous }: Event) -> PbEvent {
    const PUT: i32 = 0;
    const DELETE: i32 = 1;
    let deleted = || PbKeyValue {
        key: event.key.as_bytes().to_vec(),
        mod_revision: event.revision.0,
        ..Default::default()
    };
    PbEvent {
        r#type: if event.now.is_some() { PUT } else { DELETE },
        kv: Some(event.now.clone().map_or_else(deleted, key_value)),
        prev_kv: previous.map(key_value),
    }
}

pub(super) fn watch_response(response: WatchResponse) -> PbWatchResponse {
    PbWatchResponse {
        header: Some(at(response.revision)),
        watch_id: response.id,
        created: response.created,
        canceled: response.canceled,
        compact_revision: response.compact_revision,
        cancel_reason: response.reason.to_owned(),
        fragment: false,
        events: response.events.into_iter().map(event).collect(),
    }
}
