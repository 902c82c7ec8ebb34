//! TLS for connections: the files of the configuration, checked, as rustls wants them.
//!
//! Our own, because the etcd crate takes any text for a certificate and cannot set the lowest version.

use crate::config::{Tls, TlsIdentity, TlsVersion};
use crate::log::Log;
use crate::store::Failure;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// The files, and what they last held.
pub(super) struct Certificates {
    files: Tls,
    last_good: Mutex<Arc<ClientConfig>>,
    log: Log,
}

impl Certificates {
    /// Reads and checks the files.
    pub(super) fn new(files: &Tls, log: Log) -> Result<Certificates, Failure> {
        let config = read(files).map_err(Failure::Denied)?;
        Ok(Certificates { files: files.clone(), last_good: Mutex::new(Arc::new(config)), log })
    }

    /// What the files hold now: they are read again for each new connection, since certificates are renewed
    /// under running processes. Blocks on the disk. While they are unreadable or do not match, which a
    /// renewal may cause for a moment, what they held before still serves.
    pub(super) fn current(&self) -> Arc<ClientConfig> {
        let mut last_good = self.last_good.lock().unwrap_or_else(PoisonError::into_inner);
        match read(&self.files) {
            Ok(config) => *last_good = Arc::new(config),
            Err(why) => self.log.warn(&format!("certificates stay as they were: {why}")),
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
    for certificate in certificates(&files.ca_cert)? {
        roots.add(certificate).map_err(|e| format!("{}: {e}", files.ca_cert.display()))?;
    }
    // Named, not the process's default: a host may have installed another one, or none.
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots);
    let mut config = match &files.identity {
        None => builder.with_no_client_auth(),
        Some(TlsIdentity { cert, key }) => {
            let private = PrivateKeyDer::from_pem_slice(&bytes(key)?)
                .map_err(|e| format!("{}: no private key: {e}", key.display()))?;
            // Refuses a key that does not belong to the certificate.
            builder
                .with_client_auth_cert(certificates(cert)?, private)
                .map_err(|e| format!("{} and {}: {e}", cert.display(), key.display()))?
        }
    };
    config.alpn_protocols.push(b"h2".to_vec());
    Ok(config)
}

/// The certificates of a file; at least one, and nothing that only looks like one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(path)?).collect();
    match found {
        Ok(certificates) if certificates.is_empty() => {
            Err(format!("{}: no certificate in it", path.display()))
        }
        Ok(certificates) => Ok(certificates),
        Err(e) => Err(format!("{}: {e}", path.display())),
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
}
