//! A stub, until the real configuration lands.
#![allow(missing_docs)]

use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct EtcdSettings {
    pub endpoints: Vec<Endpoint>,
    pub tls: Option<Tls>,
    pub auth: Option<Auth>,
    pub request_timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Tcp { host: String, port: u16, tls: bool },
    Memory(String),
}

#[derive(Clone, Debug)]
pub struct Tls {
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub ca_cert: Option<PathBuf>,
    pub min_version: TlsVersion,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

#[derive(Clone)]
pub struct Auth {
    pub user: String,
    pub password: String,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Auth {{ user: {:?} }}", self.user)
    }
}
