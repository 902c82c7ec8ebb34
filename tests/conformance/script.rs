//! What a script is made of: the model's own words, with revisions counted from where the script begins.

use primacy::embedded::model::{Delete, Get, Put, Txn, Watch};

/// One thing to do. Revisions other than 0 count from the store's revision at the script's start; lease ids
/// are small numbers.
#[derive(Clone, Debug)]
pub enum Operation {
    Get(Get),
    Put(Put),
    Delete(Delete),
    Txn(Txn),
    Compact(i64),
    /// Id 0: the server chooses one.
    Grant(i64, i64),
    Revoke(i64),
    /// Twice: opening a stream for it, and on that stream.
    KeepAlive(i64),
    TimeToLive(i64),
    Leases,
    /// On a stream, by number.
    Watch(usize, Watch),
    Cancel(usize, i64),
    Progress(usize),
    /// Waits until a lease has expired.
    Expired(i64),
}

#[derive(Clone, Debug, Default)]
pub struct Script {
    pub operations: Vec<Operation>,
}
