//! A transaction under construction: comparisons, writes and reads of the host's own.

use std::sync::{Mutex, MutexGuard, PoisonError};

use primacy::store::{Compare, Condition, Key, LeaseId, Op, Range, Revision, Txn as EngineTxn, Value};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A transaction under construction.
#[pyclass(frozen, module = "primacy._primacy")]
#[derive(Default)]
pub struct Txn(Mutex<Draft>);

#[derive(Default)]
struct Draft {
    when: Vec<Compare>,
    ops: Vec<Op>,
}

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

    fn into_key(self) -> PyResult<Key> {
        match self.as_slice() {
            [] => Err(PyValueError::new_err("the key is empty; etcd has no such key")),
            key => Ok(key.into()),
        }
    }
}

impl Txn {
    fn draft(&self) -> MutexGuard<'_, Draft> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compare(&self, key: Bytes, condition: Condition) -> PyResult<()> {
        let range = Range::Key(key.into_key()?);
        self.draft().when.push(Compare { range, condition });
        Ok(())
    }

    /// The transaction. Its reads are done either way: whoever lost a race sees what he lost it to.
    pub fn guarded(&self) -> EngineTxn {
        let draft = self.draft();
        let otherwise = draft.ops.iter().filter(|op| matches!(op, Op::Get(_))).cloned().collect();
        EngineTxn { when: draft.when.clone(), then: draft.ops.clone(), otherwise }
    }

    /// What it reads, if it does nothing else.
    pub fn ranges(&self) -> Option<Vec<Range>> {
        let draft = self.draft();
        let reads = draft.ops.iter().map(|op| match op {
            Op::Get(range) => Some(range.clone()),
            Op::Put(..) | Op::Delete(_) => None,
        });
        let reads = reads.collect::<Option<Vec<_>>>()?;
        (draft.when.is_empty() && !reads.is_empty()).then_some(reads)
    }
}

#[pymethods]
impl Txn {
    #[new]
    fn new() -> Txn {
        Txn::default()
    }

    fn compare_mod_revision(this: Py<Self>, key: Bytes, mod_revision: i64) -> PyResult<Py<Self>> {
        this.get().compare(key, Condition::ModRevision(Revision(mod_revision)))?;
        Ok(this)
    }

    fn compare_version(this: Py<Self>, key: Bytes, version: i64) -> PyResult<Py<Self>> {
        this.get().compare(key, Condition::Version(version))?;
        Ok(this)
    }

    fn compare_value(this: Py<Self>, key: Bytes, value: Bytes) -> PyResult<Py<Self>> {
        this.get().compare(key, Condition::Value(Value::from(value.as_slice())))?;
        Ok(this)
    }

    fn compare_absent(this: Py<Self>, key: Bytes) -> PyResult<Py<Self>> {
        this.get().compare(key, Condition::Absent)?;
        Ok(this)
    }

    fn put(this: Py<Self>, key: Bytes, value: Bytes) -> PyResult<Py<Self>> {
        let put = Op::Put(key.into_key()?, value.as_slice().into(), LeaseId::NONE);
        this.get().draft().ops.push(put);
        Ok(this)
    }

    fn delete(this: Py<Self>, key: Bytes) -> PyResult<Py<Self>> {
        let delete = Op::Delete(key.into_key()?);
        this.get().draft().ops.push(delete);
        Ok(this)
    }

    fn get(this: Py<Self>, key: Bytes) -> PyResult<Py<Self>> {
        let get = Op::Get(Range::Key(key.into_key()?));
        Py::get(&this).draft().ops.push(get);
        Ok(this)
    }

    fn get_prefix(this: Py<Self>, prefix: Bytes) -> PyResult<Py<Self>> {
        let get = Op::Get(Range::below(&prefix.into_key()?));
        Py::get(&this).draft().ops.push(get);
        Ok(this)
    }
}
