//! x
use pyo3::prelude::*;
/// x
#[pymodule]
fn _primacy(_m: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
