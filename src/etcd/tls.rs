//! TLS for connections: the files of the configuration, checked, as rustls wants them.
//!
//! Our own, because the etcd crate takes any text for a certificate and cannot set the lowest version.

use crate::config::{Tls, TlsIdentity, TlsVersion};
use crate::engine::spell::Spell;
use crate::log::Log;
use crate::runtime::lock;
use crate::store::Failure;
use std::fmt::Display;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

const CA_CERT: &str = "etcd.ssl.tlsCACert";
const CERT: &str = "etcd.ssl.tlsCert";
const KEY: &str = "etcd.ssl.tlsKey";

/// The files, and what they last held.
pub(super) struct Certificates {
    files: Tls,
    last_good: Mutex<Arc<ClientConfig>>,
    unreadable: Mutex<Spell<Instant>>,
    log: Log,
}

impl Certificates {
    /// Reads and checks the files.
    pub(super) fn new(files: &Tls, log: Log) -> Result<Certificates, Failure> {
        let config = read(files).map_err(Failure::Denied)?;
        Ok(Certificates {
            files: files.clone(),
            last_good: Mutex::new(Arc::new(config)),
            unreadable: Mutex::default(),
            log,
        })
    }

    /// What the files hold now: they are read again for each new connection, since certificates are renewed
    /// under running processes. Blocks on the disk. While they are unreadable or do not match, which a
    /// renewal may cause for a moment, what they held before still serves.
    pub(super) fn current(&self) -> Arc<ClientConfig> {
        let (mut last_good, mut unreadable) = (lock(&self.last_good), lock(&self.unreadable));
        match read(&self.files) {
            Ok(config) => {
                *last_good = Arc::new(config);
                if unreadable.well() {
                    self.log.info("certificates are as the files are again");
                }
            }
            Err(why) if unreadable.wrong(Instant::now()) => {
                self.log.warn(&format!("certificates stay as they were: {why}"));
            }
            Err(_) => {}
        }
        last_good.clone()
    }
}

fn read(files: &Tls) -> Result<ClientConfig, String> {
    let versions: &[_] = match files.min_version {
        TlsVersion::V1_2 => &[&TLS12, &TLS13],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(CA_CERT, &files.ca_cert)? {
        roots.add(certificate).map_err(|e| wrong(CA_CERT, &files.ca_cert, e))?;
    }
    // Named, not the process's default: a host may have installed another one, or none.
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots);
    let mut config = match &files.identity {
        None => builder.with_no_client_auth(),
        Some(TlsIdentity { cert, key }) => {
            // Refuses a key that does not belong to the certificate.
            builder
                .with_client_auth_cert(certificates(CERT, cert)?, private_key(key)?)
                .map_err(|e| wrong(&format!("{CERT} {} and {KEY}", cert.display()), key, e))?
        }
    };
    config.alpn_protocols.push(b"h2".to_vec());
    Ok(config)
}

/// The certificates of a setting's file; at least one, and nothing that only looks like one.
fn certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(setting, path)?).collect();
    match found {
        Ok(certificates) if certificates.is_empty() => Err(wrong(setting, path, "no certificate in it")),
        Ok(certificates) => Ok(certificates),
        Err(e) => Err(wrong(setting, path, e)),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = bytes(KEY, path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|e| {
        // PKCS #8's own name for it, or OpenSSL's older header.
        let is_encrypted = [&b"BEGIN ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"]
            .iter()
            .any(|mark| bytes.windows(mark.len()).any(|window| window == *mark));
        if is_encrypted {
            wrong(KEY, path, "the key is encrypted; give it without a passphrase (openssl pkey)")
        } else {
            wrong(KEY, path, format!("no private key: {e}"))
        }
    })
}

fn bytes(setting: &str, path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| wrong(setting, path, e))
}

fn wrong(setting: &str, path: &Path, why: impl Display) -> String {
    format!("{setting} {}: {why}", path.display())
}
