//! TLS for connections: the files of the configuration, checked, as rustls wants them.
//!
//! Our own, because the etcd crate takes any text for a certificate and cannot set the lowest version. What Milvus's own
//! client takes is taken: a server's certificate that is named as trusted itself, a client's of version 1, and of several
//! authorities those that can be read.

use crate::config::{Tls, TlsIdentity, TlsVersion};
use crate::engine::spell::Spell;
use crate::host::lock;
use crate::log::Log;
use crate::store::Failure;
use std::fmt::Display;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{WebPkiServerVerifier, verify_server_name};
use tokio_rustls::rustls::crypto::{self, CryptoProvider};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    self, AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
};

const CA_CERT: &str = "etcd.ssl.tlsCACert";
const CERT: &str = "etcd.ssl.tlsCert";
const KEY: &str = "etcd.ssl.tlsKey";
/// What keys may be.
const KINDS: &str = "keys are RSA, ECDSA over P-256 or P-384, or Ed25519 (P-521 is not supported)";

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
    // Named, not the process's default: a host may have installed another one, or none.
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trust::new(files, provider.clone())?));
    let mut config = match &files.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(client(identity, &provider)?)))
        }
    };
    config.alpn_protocols.push(b"h2".to_vec());
    Ok(config)
}

/// What a client shows. Not rustls's own way to it, which parses the certificate, and refuses version 1; servers do not.
fn client(
    TlsIdentity { cert, key }: &TlsIdentity,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let chain = certificates(CERT, cert)?;
    let private = provider.key_provider.load_private_key(private_key(key)?);
    let private = private.map_err(|e| wrong(KEY, key, format!("{e}; {KINDS}")))?;
    let own = chain.first().ok_or_else(|| wrong(CERT, cert, "no certificate in it"))?;
    if let Some(public) = private.public_key()
        && !own.windows(public.len()).any(|window| window == &*public)
    {
        return Err(wrong(
            &format!("{CERT} {} and {KEY}", cert.display()),
            key,
            "the key is not the certificate's",
        ));
    }
    Ok(CertifiedKey::new(chain, private))
}

/// Whom to trust: the authorities of the setting's file, or else those of the machine, which an operator may have added
/// his own to; and a certificate that is in that file itself.
#[derive(Debug)]
struct Trust {
    authorities: Arc<WebPkiServerVerifier>,
    /// The file's certificates.
    named: Vec<CertificateDer<'static>>,
}

impl Trust {
    fn new(files: &Tls, provider: Arc<CryptoProvider>) -> Result<Trust, String> {
        let named = match &files.ca_cert {
            Some(path) => certificates(CA_CERT, path)?,
            None => Vec::new(),
        };
        let mut roots = RootCertStore::empty();
        if let Some(path) = &files.ca_cert {
            // One that can not be read does not keep the others from being trusted.
            let added: Vec<_> = named.iter().map(|certificate| roots.add(certificate.clone())).collect();
            if let (true, Some(Err(e))) = (roots.is_empty(), added.into_iter().next()) {
                return Err(wrong(CA_CERT, path, e));
            }
        } else {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                let why = found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
                return Err(format!(
                    "{CA_CERT} is not set, and this machine knows no authorities ({why}): set it"
                ));
            }
        }
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Trust { authorities: authorities.map_err(|e| e.to_string())?, named })
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // What `openssl req -x509` makes is an authority's, and so no server's for who chains it to an authority.
            // When it is valid is looked at before that.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                if self.named.iter().any(|named| named == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// Whether an error is about trust, or about what the two ends can speak: then it stays until somebody changes
/// something. All else may be a proxy that restarts; `None`.
pub(super) fn refused(error: &rustls::Error) -> Option<String> {
    use AlertDescription as Alert;
    match error {
        rustls::Error::InvalidCertificate(why) => {
            let unknown = format!("{why:?}").contains("UnsupportedSignatureAlgorithm");
            Some(if unknown { format!("{error}; {KINDS}") } else { error.to_string() })
        }
        rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol => Some(error.to_string()),
        // What a server says that finds nothing that both ends can do.
        rustls::Error::AlertReceived(Alert::HandshakeFailure) => Some(format!("{error}; {KINDS}")),
        rustls::Error::AlertReceived(
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::CertificateRequired
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::ProtocolVersion
            | Alert::InsufficientSecurity
            | Alert::UnrecognisedName,
        ) => Some(error.to_string()),
        _ => None,
    }
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
