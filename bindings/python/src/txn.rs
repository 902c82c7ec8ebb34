//! A transaction under construction: comparisons, writes and reads of the host's own.

use std::sync::{Mutex, MutexGuard, PoisonError};

use primacy::batch::{Batch, BatchError};
use primacy::store::{Condition, Range, Revision, Value};
use pyo3::prelude::*;

use crate::fault::Fault;

/// A transaction under construction.
#[pyclass(frozen, module = "primacy._primacy")]
#[derive(Default)]
pub struct Txn(Mutex<Batch>);

/// A key or a value: text, as UTF-8, or bytes.
#[derive(FromPyObject)]
enum Bytes {
    #[pyo3(annotation = "str")]
    Text(String),
    #[pyo3(annotation = "bytes")]
    Bytes(Vec<u8>),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Bytes::Text(text) => text.as_bytes(),
            Bytes::Bytes(bytes) => bytes,
        }
    }
}

impl Txn {
    fn batch(&self) -> MutexGuard<'_, Batch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As it is committed.
    pub fn guarded(&self) -> primacy::store::Txn {
        self.batch().txn()
    }

    /// What it reads, if it does nothing else.
    pub fn reads(&self) -> Result<Vec<Range>, Fault> {
        Ok(self.batch().reads()?)
    }
}

/// Adds to it, and gives it back.
fn add(
    this: Py<Txn>,
    key: &Bytes,
    add: impl FnOnce(&mut Batch, &[u8]) -> Result<(), BatchError>,
) -> PyResult<Py<Txn>> {
    add(&mut this.get().batch(), key.as_slice()).map_err(Fault::from)?;
    Ok(this)
}

#[pymethods]
impl Txn {
    #[new]
    fn new() -> Txn {
        Txn::default()
    }

    fn compare_mod_revision(this: Py<Self>, key: Bytes, mod_revision: i64) -> PyResult<Py<Self>> {
        add(this, &key, |batch, key| batch.compare(key, Condition::ModRevision(Revision(mod_revision))))
    }

    fn compare_version(this: Py<Self>, key: Bytes, version: i64) -> PyResult<Py<Self>> {
        add(this, &key, |batch, key| batch.compare(key, Condition::Version(version)))
    }

    fn compare_value(this: Py<Self>, key: Bytes, value: Bytes) -> PyResult<Py<Self>> {
        add(this, &key, |batch, key| batch.compare(key, Condition::Value(Value::from(value.as_slice()))))
    }

    fn compare_absent(this: Py<Self>, key: Bytes) -> PyResult<Py<Self>> {
        add(this, &key, |batch, key| batch.compare(key, Condition::Absent))
    }

    fn put(this: Py<Self>, key: Bytes, value: Bytes) -> PyResult<Py<Self>> {
        add(this, &key, |batch, key| batch.put(key, value.as_slice()))
    }

    fn delete(this: Py<Self>, key: Bytes) -> PyResult<Py<Self>> {
        add(this, &key, Batch::delete)
    }

    fn get(this: Py<Self>, key: Bytes) -> PyResult<Py<Self>> {
        add(this, &key, Batch::get)
    }

    fn get_prefix(this: Py<Self>, prefix: Bytes) -> PyResult<Py<Self>> {
        add(this, &prefix, Batch::get_prefix)
    }
}
