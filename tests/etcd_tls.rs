//! TLS to a real etcd: what is accepted, what is refused before and after a connection, and renewed files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::etcd::{EtcdServer, new_folder};
use primacy::config::{Endpoint, EtcdSettings, Tls, TlsIdentity, TlsVersion};
use primacy::etcd::Etcd;
use primacy::log::Log;
use primacy::store::{Answer, Failure, Op, Range, Request, Txn};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

const PATIENT: Duration = Duration::from_secs(5);

/// An authority that issues certificates for the local host.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes its own certificate.
    fn write(&self, path: &Path) {
        fs::write(path, self.0.pem()).unwrap();
    }

    /// Writes a certificate and its key.
    fn issue(&self, cert: &Path, key: &Path) {
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let pair = KeyPair::generate().unwrap();
        fs::write(cert, params.signed_by(&pair, &self.0).unwrap().pem()).unwrap();
        fs::write(key, pair.serialize_pem()).unwrap();
    }
}

/// A folder with the files of an authority, a server and a client.
struct Files {
    folder: PathBuf,
}

impl Files {
    fn new(authority: &Authority) -> Files {
        let files = Files { folder: new_folder() };
        files.fill(authority);
        files
    }

    /// Replaces all of them.
    fn fill(&self, authority: &Authority) {
        authority.write(&self.path("ca"));
        authority.issue(&self.path("server"), &self.path("server-key"));
        authority.issue(&self.path("client"), &self.path("client-key"));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn server(&self) -> EtcdServer {
        let flag = |flag: &str, name: &str| format!("{flag}={}", self.path(name).display());
        let flags = [
            flag("--cert-file", "server"),
            flag("--key-file", "server-key"),
            flag("--trusted-ca-file", "ca"),
            "--client-cert-auth".to_owned(),
        ];
        EtcdServer::start_with(&flags.each_ref().map(String::as_str))
    }

    fn tls(&self) -> Tls {
        Tls {
            ca_cert: Some(self.path("ca")),
            identity: Some(TlsIdentity { cert: self.path("client"), key: self.path("client-key") }),
            min_version: TlsVersion::V1_2,
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn open(port: u16, tls: Tls, log: Log) -> Result<Etcd, Failure> {
    let endpoints = vec![Endpoint::Server { tls: true, address: format!("localhost:{port}") }];
    let settings = EtcdSettings { endpoints, tls: Some(tls), auth: None, request_timeout: PATIENT };
    Etcd::new(&settings, mpsc::unbounded_channel().0, log)
}

async fn read(etcd: &Etcd) -> Result<Answer, Failure> {
    let txn = Txn { then: vec![Op::Get(Range::Key("k".into()))], ..Txn::default() };
    etcd.call(Request::Txn(txn), PATIENT).await
}

#[tokio::test]
async fn mutual_tls_serves_and_strangers_are_denied_on_either_side() {
    let files = Files::new(&Authority::new());
    let server = files.server();
    let etcd = open(server.port(), files.tls(), Log::none()).unwrap();
    assert!(read(&etcd).await.is_ok());
    let newest = Tls { min_version: TlsVersion::V1_3, ..files.tls() };
    match read(&open(server.port(), newest, Log::none()).unwrap()).await {
        Ok(_) => {}
        // The first etcd 3.5 speak nothing newer than 1.2.
        Err(Failure::Denied(why)) if why.contains("ProtocolVersion") => {}
        other => panic!("{other:?}"),
    }

    let strangers = Files::new(&Authority::new());
    let denied = [
        (
            "another authority's server",
            Tls { ca_cert: Some(strangers.path("ca")), ..files.tls() },
            "invalid peer certificate",
        ),
        ("no client certificate", Tls { identity: None, ..files.tls() }, "alert"),
        ("another authority's client", Tls { identity: strangers.tls().identity, ..files.tls() }, "alert"),
    ];
    for (what, tls, word) in denied {
        let answer = read(&open(server.port(), tls, Log::none()).unwrap()).await;
        assert!(matches!(&answer, Err(Failure::Denied(why)) if why.contains(word)), "{what}: {answer:?}");
    }
    let plain = EtcdServer::start();
    let answer = read(&open(plain.port(), files.tls(), Log::none()).unwrap()).await;
    assert!(
        matches!(&answer, Err(Failure::Unreachable(why)) if why.contains("is etcd.ssl.enabled right")),
        "{answer:?}"
    );
    let listener = tokio::net::TcpListener::bind("localhost:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let answer = read(&open(port, files.tls(), Log::none()).unwrap()).await;
    // A proxy that restarts says such things, too.
    assert!(
        matches!(&answer, Err(Failure::Unreachable(why)) if why.contains("does not speak TLS")),
        "{answer:?}"
    );
    // The other way round, plain text to a TLS server: no word of it is HTTP/2.
    let endpoints = vec![Endpoint::Server { tls: false, address: format!("127.0.0.1:{}", server.port()) }];
    let plain = EtcdSettings { endpoints, tls: None, auth: None, request_timeout: PATIENT };
    let plain = Etcd::new(&plain, mpsc::unbounded_channel().0, Log::none()).unwrap();
    let answer = read(&plain).await;
    assert!(matches!(&answer, Err(Failure::Unreachable(why)) if why.contains("client port?")), "{answer:?}");
    assert!(matches!(&answer, Err(Failure::Unreachable(why)) if why.contains("TLS")), "{answer:?}");
}

#[tokio::test]
async fn a_server_below_the_lowest_version_is_denied() {
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio_rustls::rustls::{ServerConfig, crypto, version};

    let files = Files::new(&Authority::new());
    let cert = CertificateDer::from_pem_file(files.path("server")).unwrap();
    let key = PrivateKeyDer::from_pem_file(files.path("server-key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_protocol_versions(&[&version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .unwrap();
    let listener = tokio::net::TcpListener::bind("localhost:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let accepted = Arc::new(Mutex::new(0));
    let count = accepted.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if acceptor.accept(stream).await.is_ok() {
                *count.lock().unwrap() += 1;
            }
        }
    });
    let tls = Tls { min_version: TlsVersion::V1_3, identity: None, ..files.tls() };
    let answer = read(&open(port, tls, Log::none()).unwrap()).await;
    assert!(matches!(&answer, Err(Failure::Denied(_))), "{answer:?}");
    assert_eq!(*accepted.lock().unwrap(), 0);
    // It is the version that was refused: with 1.2 the handshake is done (and then nobody speaks HTTP/2).
    let tls = Tls { identity: None, ..files.tls() };
    let answer = read(&open(port, tls, Log::none()).unwrap()).await;
    assert!(matches!(&answer, Err(Failure::Unreachable(_))), "{answer:?}");
    assert_eq!(*accepted.lock().unwrap(), 1);
}

#[tokio::test]
async fn files_that_cannot_work_are_refused_before_any_connection() {
    let files = Files::new(&Authority::new());
    let garbage = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";
    fs::write(files.path("garbage"), garbage).unwrap();
    fs::write(files.path("text"), "not PEM at all").unwrap();
    let identity = |cert: &str, key: &str| Some(TlsIdentity { cert: files.path(cert), key: files.path(key) });
    let key = fs::read_to_string(files.path("client-key")).unwrap();
    fs::write(files.path("encrypted"), key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")).unwrap();
    let older = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0A\n\nAAAA\n\
                 -----END RSA PRIVATE KEY-----\n";
    fs::write(files.path("encrypted-too"), older).unwrap();
    let named = [
        ("etcd.ssl.tlsCACert", "none", Tls { ca_cert: Some(files.path("none")), ..files.tls() }),
        ("etcd.ssl.tlsCert", "none", Tls { identity: identity("none", "client-key"), ..files.tls() }),
        ("etcd.ssl.tlsKey", "none", Tls { identity: identity("client", "none"), ..files.tls() }),
        (
            "the key is encrypted",
            "encrypted",
            Tls { identity: identity("client", "encrypted"), ..files.tls() },
        ),
        (
            "the key is encrypted",
            "encrypted-too",
            Tls { identity: identity("client", "encrypted-too"), ..files.tls() },
        ),
    ];
    for (word, file, tls) in named {
        let told = open(1, tls, Log::none()).unwrap_err().to_string();
        assert!(told.contains(word) && told.contains(&files.path(file).display().to_string()), "{told}");
    }
    let bad = [
        ("no such file", Tls { ca_cert: Some(files.path("none")), ..files.tls() }),
        ("a CA that is text", Tls { ca_cert: Some(files.path("text")), ..files.tls() }),
        ("a CA that only looks like one", Tls { ca_cert: Some(files.path("garbage")), ..files.tls() }),
        ("a CA that is a key", Tls { ca_cert: Some(files.path("client-key")), ..files.tls() }),
        ("another's key", Tls { identity: identity("client", "server-key"), ..files.tls() }),
        ("a key that is a certificate", Tls { identity: identity("client", "client"), ..files.tls() }),
        ("a certificate that is text", Tls { identity: identity("text", "client-key"), ..files.tls() }),
        (
            "a certificate that only looks it",
            Tls { identity: identity("garbage", "client-key"), ..files.tls() },
        ),
    ];
    for (what, tls) in bad {
        let opened = open(1, tls, Log::none());
        assert!(matches!(opened, Err(Failure::Denied(_))), "{what}: {opened:?}");
    }
}

/// `openssl` with these words, in that folder.
fn openssl(folder: &Path, words: &str) {
    let done =
        std::process::Command::new("openssl").args(words.split(' ')).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&done.stderr));
}

/// An etcd that shows `cert`, and takes what `authority` has signed, if that is not empty.
fn etcd_with(folder: &Path, cert: &str, key: &str, authority: &str) -> EtcdServer {
    let path = |name: &str| folder.join(name).display().to_string();
    let mut flags = vec![format!("--cert-file={}", path(cert)), format!("--key-file={}", path(key))];
    if !authority.is_empty() {
        flags.push(format!("--trusted-ca-file={}", path(authority)));
        flags.push("--client-cert-auth".to_owned());
    }
    EtcdServer::start_with(&flags.iter().map(String::as_str).collect::<Vec<_>>())
}

#[tokio::test]
async fn a_certificate_that_openssl_made_for_a_server_alone_is_trusted_for_its_names_while_it_is_valid() {
    let folder = new_folder();
    let made = "req -x509 -newkey rsa:2048 -nodes -subj /CN=etcd";
    openssl(&folder, &format!("{made} -days 1 -keyout key -out cert -addext subjectAltName=DNS:localhost"));
    openssl(
        &folder,
        &format!("{made} -days 1 -keyout other-key -out other -addext subjectAltName=DNS:elsewhere"),
    );
    let server = etcd_with(&folder, "cert", "key", "");
    let trusting =
        |name: &str| Tls { ca_cert: Some(folder.join(name)), identity: None, min_version: TlsVersion::V1_2 };
    assert!(read(&open(server.port(), trusting("cert"), Log::none()).unwrap()).await.is_ok());
    let answer = read(&open(server.port(), trusting("other"), Log::none()).unwrap()).await;
    assert!(matches!(&answer, Err(Failure::Denied(_))), "another one's: {answer:?}");
    let server = etcd_with(&folder, "other", "other-key", "");
    let answer = read(&open(server.port(), trusting("other"), Log::none()).unwrap()).await;
    assert!(matches!(&answer, Err(Failure::Denied(why)) if why.contains("name")), "another name: {answer:?}");
    // Among others, of which one can not be read; and text in between.
    let bundle = fs::read_to_string(folder.join("cert")).unwrap();
    let garbage = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";
    fs::write(folder.join("bundle"), format!("# etcd's\n{garbage}some text\n{bundle}")).unwrap();
    let server = etcd_with(&folder, "cert", "key", "");
    assert!(read(&open(server.port(), trusting("bundle"), Log::none()).unwrap()).await.is_ok());

    // One that was valid only until yesterday.
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.not_before, params.not_after) =
        (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    let pair = KeyPair::generate().unwrap();
    fs::write(folder.join("old"), params.self_signed(&pair).unwrap().pem()).unwrap();
    fs::write(folder.join("old-key"), pair.serialize_pem()).unwrap();
    let server = etcd_with(&folder, "old", "old-key", "");
    let answer = read(&open(server.port(), trusting("old"), Log::none()).unwrap()).await;
    assert!(matches!(&answer, Err(Failure::Denied(why)) if why.contains("expired")), "{answer:?}");
    let _ = fs::remove_dir_all(&folder);
}

#[tokio::test]
async fn a_clients_certificate_of_version_1_serves_and_a_key_over_p521_is_refused_in_words() {
    let files = Files::new(&Authority::new());
    openssl(
        &files.folder,
        "req -x509 -newkey rsa:2048 -nodes -subj /CN=old -days 1 -keyout ca1-key -out ca1",
    );
    openssl(&files.folder, "req -newkey rsa:2048 -nodes -subj /CN=client -keyout v1-key -out v1.csr");
    openssl(&files.folder, "x509 -req -in v1.csr -CA ca1 -CAkey ca1-key -CAcreateserial -days 1 -out v1");
    let mut text = std::process::Command::new("openssl");
    let text = text.args(["x509", "-noout", "-text", "-in"]).arg(files.path("v1")).output().unwrap();
    assert!(String::from_utf8_lossy(&text.stdout).contains("Version: 1"), "openssl makes one of version 1");
    let server = etcd_with(&files.folder, "server", "server-key", "ca1");
    let identity = |cert: &str, key: &str| Some(TlsIdentity { cert: files.path(cert), key: files.path(key) });
    let tls = Tls { identity: identity("v1", "v1-key"), ..files.tls() };
    assert!(read(&open(server.port(), tls, Log::none()).unwrap()).await.is_ok());
    let tls = Tls { identity: identity("v1", "client-key"), ..files.tls() };
    let told = open(server.port(), tls, Log::none()).unwrap_err().to_string();
    assert!(told.contains("the key is not the certificate's"), "{told}");

    openssl(&files.folder, "ecparam -name secp521r1 -genkey -noout -out p521-key");
    openssl(
        &files.folder,
        "req -new -x509 -key p521-key -subj /CN=localhost -days 1 -out p521 -addext subjectAltName=DNS:localhost",
    );
    let tls = Tls { identity: identity("p521", "p521-key"), ..files.tls() };
    let told = open(server.port(), tls, Log::none()).unwrap_err().to_string();
    assert!(told.contains("P-521 is not supported"), "{told}");
    let server = etcd_with(&files.folder, "p521", "p521-key", "");
    let tls = Tls { ca_cert: Some(files.path("p521")), identity: None, min_version: TlsVersion::V1_2 };
    let answer = read(&open(server.port(), tls, Log::none()).unwrap()).await;
    assert!(
        matches!(&answer, Err(Failure::Denied(why)) if why.contains("P-521 is not supported")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn without_an_authority_those_count_that_the_machine_trusts() {
    let files = Files::new(&Authority::new());
    let server = files.server();
    let tls = Tls { ca_cert: None, ..files.tls() };
    match open(server.port(), tls, Log::none()) {
        Ok(etcd) => {
            let answer = read(&etcd).await;
            assert!(
                matches!(&answer, Err(Failure::Denied(why)) if why.contains("UnknownIssuer")),
                "{answer:?}"
            );
        }
        Err(why) => assert!(why.to_string().contains("this machine knows no authorities"), "{why}"),
    }
}

#[tokio::test]
async fn renewed_files_are_read_for_the_next_connection_and_broken_ones_survived() {
    let files = Files::new(&Authority::new());
    let mut server = files.server();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = lines.clone();
    let log = Log::new(move |_, line| sink.lock().unwrap().push(line.to_owned()));
    let etcd = open(server.port(), files.tls(), log).unwrap();
    assert!(read(&etcd).await.is_ok());

    // All new, the authority too: a client that kept the old files could not connect.
    files.fill(&Authority::new());
    server.restart();
    assert!(read(&etcd).await.is_ok());

    // Half of a renewal: the key is there, the certificate is not.
    fs::write(files.path("client"), "").unwrap();
    server.restart();
    assert!(read(&etcd).await.is_ok());
    let lines = lines.lock().unwrap();
    assert!(lines.iter().any(|line| line.contains("certificates stay as they were")), "{lines:?}");
}
