//! Settings by name.

use std::sync::{Mutex, PoisonError};

use primacy::config::Settings;
use pyo3::prelude::*;

use crate::fault::Fault;

/// Settings by name, as texts.
#[pyclass(frozen, module = "primacy._primacy")]
#[derive(Default)]
pub struct Config(Mutex<primacy::config::Config>);

impl Config {
    fn read<T>(&self, read: impl FnOnce(&primacy::config::Config) -> T) -> T {
        read(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What they amount to.
    pub fn settings(&self) -> Result<Settings, Fault> {
        Ok(self.read(primacy::config::Config::settings)?)
    }
}

#[pymethods]
impl Config {
    #[new]
    fn new() -> Config {
        Config::default()
    }

    fn set(&self, name: &str, value: &str) -> PyResult<()> {
        let mut config = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(config.set(name, value).map_err(Fault::from)?)
    }

    /// Whether the values go together.
    fn check(&self) -> PyResult<()> {
        Ok(self.settings().map(drop)?)
    }

    fn __repr__(&self) -> String {
        self.read(|config| format!("{config:?}"))
    }

    /// Name, default, what it takes, what it is for.
    #[staticmethod]
    fn names() -> Vec<(&'static str, &'static str, &'static str, &'static str)> {
        primacy::config::Config::names()
            .iter()
            .map(|name| (name.name, name.default, name.takes, name.about))
            .collect()
    }
}
