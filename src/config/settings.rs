//! Typed settings, and what must hold between them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::milvus::{Layout, Root};

use super::names::{self, Kind, NAMES};
use super::{Config, ConfigError, Endpoint};

const TLS_MIN_VERSION: &str = "etcd.ssl.tlsMinVersion";

/// A configuration whose values go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How etcd is reached.
    pub etcd: EtcdSettings,
    /// The prefix of all keys.
    pub root: Root,
    /// Asked of etcd for the lease, in whole seconds; what it grants counts.
    pub ttl: Duration,
    /// How long before the lease's end primacy ends. `None`: a tenth of the TTL that etcd granted.
    pub margin: Option<Duration>,
    /// As in the setup of the engine.
    pub priority: u32,
    /// Between warm-ups of a standby that is not warm yet.
    pub warmup_interval: Duration,
    /// From the win to the start of `on_primary`.
    pub activation_timeout: Duration,
    /// How long a primary's host may not say that it is well; `None`: it is not asked.
    pub liveness_timeout: Option<Duration>,
    /// How long a release waits for the host's callbacks.
    pub drain_timeout: Duration,
    /// Where the lock is, and when clients find the primary.
    pub layout: Layout,
    /// Whether a crash guard is told of leases.
    pub guard: CrashGuard,
    /// Whether what a dead predecessor has left is reclaimed.
    pub reclaim: bool,
    /// What its user calls this server, one process at a time.
    pub instance: Option<String>,
    /// Whether the endpoint may be [`Endpoint::Memory`].
    pub allow_memory_store: bool,
    /// Whether all clients are on this machine, although etcd is not.
    pub allow_loopback_address: bool,
    /// Whether a user or a password was given that is not used, since authentication is not enabled.
    pub unused_user: bool,
    /// What was accepted and does not mean what it says: to be told, nothing to worry about.
    pub notices: Vec<String>,
}

/// Whether a crash guard is told of leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrashGuard {
    /// If this process was started by one.
    Auto,
    /// Never.
    Off,
    /// No session opens before one says that it guards this process.
    Required,
    /// The same; where this process was not started by one, this program is started beside it: a path, or a name that
    /// is looked for in `PATH`.
    Helper(String),
}

/// How etcd is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdSettings {
    /// At least one, each once; one alone if it is [`Endpoint::Memory`]. All over TLS, or none of them.
    pub endpoints: Vec<Endpoint>,
    /// `None`: no TLS.
    pub tls: Option<Tls>,
    /// `None`: no user.
    pub auth: Option<Auth>,
    /// For a whole call; a server that is silent is given up far sooner.
    pub request_timeout: Duration,
}

/// TLS. The files are read for each new connection, so that renewed ones are noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Certificates (PEM) that etcd's is checked with: of authorities, or its own. `None`: those that the machine trusts.
    pub ca_cert: Option<PathBuf>,
    /// Our own certificate, for mutual TLS.
    pub identity: Option<TlsIdentity>,
    /// No older version is spoken.
    pub min_version: TlsVersion,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsIdentity {
    /// The certificate's file (PEM).
    pub cert: PathBuf,
    /// Its key's file (PEM).
    pub key: PathBuf,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.2
    V1_2,
    /// 1.3
    V1_3,
}

/// User and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Not empty.
    pub user_name: String,
    /// The user's.
    pub password: Password,
}

impl EtcdSettings {
    /// The same as names and texts, the password included: for another process on this machine, wherever that is at home.
    pub(crate) fn texts(&self) -> BTreeMap<String, String> {
        let endpoints: Vec<_> = self.endpoints.iter().map(Endpoint::to_string).collect();
        let file = |path: &PathBuf| {
            std::path::absolute(path).unwrap_or_else(|_| path.clone()).to_string_lossy().into_owned()
        };
        let mut texts = vec![
            ("etcd.endpoints", endpoints.join(",")),
            ("etcd.requestTimeout", self.request_timeout.as_millis().to_string()),
        ];
        if let Some(tls) = &self.tls {
            let min_version = match tls.min_version {
                TlsVersion::V1_2 => "1.2",
                TlsVersion::V1_3 => "1.3",
            };
            texts.push(("etcd.ssl.enabled", "true".into()));
            texts.push(("etcd.ssl.tlsMinVersion", min_version.into()));
            texts.extend(tls.ca_cert.iter().map(|path| ("etcd.ssl.tlsCACert", file(path))));
            if let Some(TlsIdentity { cert, key }) = &tls.identity {
                texts.extend([("etcd.ssl.tlsCert", file(cert)), ("etcd.ssl.tlsKey", file(key))]);
            }
        }
        if let Some(auth) = &self.auth {
            texts.push(("etcd.auth.enabled", "true".into()));
            texts.push(("etcd.auth.userName", auth.user_name.clone()));
            texts.push((names::PASSWORD, auth.password.reveal().into()));
        }
        texts.into_iter().map(|(name, text)| (name.into(), text)).collect()
    }
}

/// A password, which shows itself only to who asks for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps one.
    pub fn new(password: impl Into<String>) -> Password {
        Password(password.into())
    }

    /// The password itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("...")
    }
}

impl Config {
    /// What the values amount to.
    ///
    /// # Errors
    /// If values do not go together.
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        let tls = tls(self)?;
        let tls_enabled = tls.is_some();
        let ttl = Duration::from_secs(number(self, "common.session.ttl")?);
        let allow_memory_store = switch(self, "primacy.allow_memory_store")?;
        let auth = auth(self)?;
        let reclaim = self.text("primacy.reclaim").trim() == "on";
        let given = |name| !self.text(name).is_empty();
        Ok(Settings {
            unused_user: auth.is_none() && (given("etcd.auth.userName") || given(names::PASSWORD)),
            etcd: EtcdSettings {
                endpoints: endpoints(self, tls.is_some(), allow_memory_store)?,
                tls,
                auth,
                request_timeout: millis(self, "etcd.requestTimeout")?,
            },
            root: Root::join(self.text("etcd.rootPath"), self.text("etcd.metaSubPath"))
                .map_err(|e| ConfigError::Relation(e.to_string()))?,
            ttl,
            margin: margin(self, ttl)?,
            priority: u32::try_from(number(self, "primacy.priority")?)
                .map_err(|_| unchecked(self, "primacy.priority"))?,
            warmup_interval: millis(self, "primacy.warmup_interval_ms")?,
            activation_timeout: millis(self, "primacy.activation_timeout_ms")?,
            liveness_timeout: Some(millis(self, "primacy.liveness_timeout_ms")?)
                .filter(|timeout| !timeout.is_zero()),
            drain_timeout: millis(self, "primacy.drain_timeout_ms")?,
            layout: self
                .text("primacy.layout")
                .trim()
                .parse()
                .map_err(|_| unchecked(self, "primacy.layout"))?,
            guard: match self.text("primacy.guard").trim() {
                "off" => CrashGuard::Off,
                "required" => CrashGuard::Required,
                "helper" => CrashGuard::Helper(self.text("primacy.guard_program").trim().to_owned()),
                _ => CrashGuard::Auto,
            },
            reclaim,
            instance: instance(self, reclaim)?,
            allow_memory_store,
            allow_loopback_address: switch(self, "primacy.allow_loopback_address")?,
            notices: notices(self, tls_enabled),
        })
    }
}

fn instance(config: &Config, reclaim: bool) -> Result<Option<String>, ConfigError> {
    let instance = config.text("primacy.instance");
    if !instance.is_empty() && !reclaim {
        return relation(format!(
            "primacy.instance is {instance}, which means nothing while primacy.reclaim is off; set that to on, or leave this out"
        ));
    }
    Ok(Some(instance.to_owned()).filter(|instance| !instance.is_empty()))
}

fn notices(config: &Config, tls: bool) -> Vec<String> {
    let unused = config
        .values
        .keys()
        .filter(|set| NAMES.iter().any(|n| n.name == **set && matches!(n.kind, Kind::Unused)));
    let unused = unused.copied().collect::<Vec<_>>().join(", ");
    let unused = (!unused.is_empty())
        .then(|| format!("settings that Milvus has and that mean nothing here are left alone: {unused}"));
    let version = config.text(TLS_MIN_VERSION).trim();
    let old = (tls && matches!(version, "1.0" | "1.1"))
        .then(|| format!("{TLS_MIN_VERSION} {version} counts as 1.2: nothing older is spoken"));
    unused.into_iter().chain(old).collect()
}

fn endpoints(config: &Config, tls: bool, allow_memory_store: bool) -> Result<Vec<Endpoint>, ConfigError> {
    let endpoints = Endpoint::parse_list(config.text("etcd.endpoints"), tls)
        .ok_or_else(|| unchecked(config, "etcd.endpoints"))?;
    for endpoint in &endpoints {
        match endpoint {
            Endpoint::Memory { .. } if !cfg!(feature = "embedded") => {
                return relation(format!(
                    "etcd.endpoints has {endpoint}, but this library was built without the store in memory \
                     (its feature `embedded`); give an etcd's endpoint, or use a library that has it"
                ));
            }
            Endpoint::Memory { .. } if !allow_memory_store => {
                return relation(format!(
                    "etcd.endpoints has {endpoint}, where each process is primary of its own; \
                     for tests, set primacy.allow_memory_store"
                ));
            }
            Endpoint::Memory { .. } if endpoints.len() > 1 => {
                return relation(format!("etcd.endpoints has {endpoint} beside another; give it alone"));
            }
            Endpoint::Server { tls: true, .. } if !tls => {
                return relation(format!(
                    "etcd.endpoints has {endpoint}, but etcd.ssl.enabled is off; set it, or give http://"
                ));
            }
            // It would send passwords in the clear where TLS was asked for.
            Endpoint::Server { tls: false, .. } if tls => {
                return relation(format!(
                    "etcd.endpoints has {endpoint}, but etcd.ssl.enabled is on; give https://, or turn it off"
                ));
            }
            Endpoint::Memory { .. } | Endpoint::Server { .. } => {}
        }
    }
    Ok(endpoints)
}

fn tls(config: &Config) -> Result<Option<Tls>, ConfigError> {
    if !switch(config, "etcd.ssl.enabled")? {
        return Ok(None);
    }
    let path = |name| Some(config.text(name)).filter(|text| !text.is_empty()).map(PathBuf::from);
    let identity = match (path("etcd.ssl.tlsCert"), path("etcd.ssl.tlsKey")) {
        (Some(cert), Some(key)) => Some(TlsIdentity { cert, key }),
        (None, None) => None,
        (Some(_), None) => {
            return relation("etcd.ssl.tlsCert is set, etcd.ssl.tlsKey is not; give both, or none");
        }
        (None, Some(_)) => {
            return relation("etcd.ssl.tlsKey is set, etcd.ssl.tlsCert is not; give both, or none");
        }
    };
    let ca_cert = path("etcd.ssl.tlsCACert");
    let min_version = match config.text(TLS_MIN_VERSION).trim() {
        "1.3" => TlsVersion::V1_3,
        _ => TlsVersion::V1_2,
    };
    Ok(Some(Tls { ca_cert, identity, min_version }))
}

fn auth(config: &Config) -> Result<Option<Auth>, ConfigError> {
    if !switch(config, "etcd.auth.enabled")? {
        return Ok(None);
    }
    let user_name = config.text("etcd.auth.userName");
    if user_name.is_empty() {
        return relation("etcd.auth.enabled is on, etcd.auth.userName is not set; give etcd's user");
    }
    Ok(Some(Auth { user_name: user_name.into(), password: Password::new(config.text(names::PASSWORD)) }))
}

/// A renewal starts at a third of the TTL. It and the next attempt, each bounded by the smaller of 1 s and a
/// sixth of the TTL, must fit before the deadline, or one lost packet makes a primary suspect itself.
fn margin(config: &Config, ttl: Duration) -> Result<Option<Duration>, ConfigError> {
    if config.text("primacy.margin_ms").is_empty() {
        return Ok(None);
    }
    let margin = millis(config, "primacy.margin_ms")?;
    let highest = ttl - ttl / 3 - 2 * Duration::from_secs(1).min(ttl / 6);
    if margin > highest {
        return relation(format!(
            "primacy.margin_ms is {}, which leaves no time to renew a lease of common.session.ttl {}; \
             give at most {}",
            margin.as_millis(),
            ttl.as_secs(),
            highest.as_millis()
        ));
    }
    Ok(Some(margin))
}

fn number(config: &Config, name: &'static str) -> Result<u64, ConfigError> {
    names::number(config.text(name)).ok_or_else(|| unchecked(config, name))
}

fn millis(config: &Config, name: &'static str) -> Result<Duration, ConfigError> {
    number(config, name).map(Duration::from_millis)
}

fn switch(config: &Config, name: &'static str) -> Result<bool, ConfigError> {
    names::switch(config.text(name)).ok_or_else(|| unchecked(config, name))
}

/// The setter has checked every value, so this is for a mistake in the table.
fn unchecked(config: &Config, name: &'static str) -> ConfigError {
    ConfigError::Value { name, value: config.text(name).into(), takes: "another value" }
}

fn relation<T>(text: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError::Relation(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(values: &[(&str, &str)]) -> Config {
        let mut config = Config::new();
        for (name, value) in values {
            config.set(name, value).unwrap();
        }
        config
    }

    fn settings(values: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        config(values).settings()
    }

    /// The settings are refused with a text that has all these words.
    fn refused(values: &[(&str, &str)], words: &[&str]) {
        let told = settings(values).unwrap_err().to_string();
        for word in words {
            assert!(told.contains(word), "{word}: {told}");
        }
    }

    #[test]
    fn what_is_not_set_has_its_default() {
        let expected = Settings {
            etcd: EtcdSettings {
                endpoints: vec![Endpoint::Server { tls: false, address: "localhost:2379".into() }],
                tls: None,
                auth: None,
                request_timeout: Duration::from_secs(10),
            },
            root: Root::join("by-dev", "meta").unwrap(),
            ttl: Duration::from_secs(10),
            margin: None,
            priority: 1,
            warmup_interval: Duration::from_secs(1),
            activation_timeout: Duration::from_secs(10),
            liveness_timeout: None,
            drain_timeout: Duration::from_secs(30),
            layout: Layout::Milvus,
            guard: CrashGuard::Auto,
            reclaim: false,
            instance: None,
            allow_memory_store: false,
            allow_loopback_address: false,
            unused_user: false,
            notices: Vec::new(),
        };
        assert_eq!(settings(&[]), Ok(expected));
    }

    #[test]
    fn what_is_set_counts() {
        let given = settings(&[
            ("etcd.endpoints", "a:1,b:2"),
            ("etcd.rootPath", "prod"),
            ("etcd.metaSubPath", "m"),
            ("etcd.ssl.enabled", "true"),
            ("etcd.ssl.tlsCert", "/c"),
            ("etcd.ssl.tlsKey", "/k"),
            ("etcd.ssl.tlsCACert", "/ca"),
            ("etcd.ssl.tlsMinVersion", "1.3"),
            ("etcd.auth.enabled", "True"),
            ("etcd.auth.userName", "root"),
            ("etcd.auth.password", " p "),
            ("etcd.requestTimeout", "500"),
            ("common.session.ttl", "30"),
            ("primacy.margin_ms", "700"),
            ("primacy.priority", "7"),
            ("primacy.warmup_interval_ms", "20"),
            ("primacy.activation_timeout_ms", "30"),
            ("primacy.liveness_timeout_ms", "35"),
            ("primacy.drain_timeout_ms", "40"),
            ("primacy.layout", "after_start"),
            ("primacy.guard", "helper"),
            ("primacy.guard_program", " /opt/primacy "),
            ("primacy.reclaim", "on"),
            ("primacy.instance", "pod-0"),
            ("primacy.allow_memory_store", "true"),
            ("primacy.allow_loopback_address", " TRUE "),
        ]);
        let server = |address: &str| Endpoint::Server { tls: true, address: address.into() };
        let expected = Settings {
            etcd: EtcdSettings {
                endpoints: vec![server("a:1"), server("b:2")],
                tls: Some(Tls {
                    ca_cert: Some("/ca".into()),
                    identity: Some(TlsIdentity { cert: "/c".into(), key: "/k".into() }),
                    min_version: TlsVersion::V1_3,
                }),
                auth: Some(Auth { user_name: "root".into(), password: Password::new(" p ") }),
                request_timeout: Duration::from_millis(500),
            },
            root: Root::join("prod", "m").unwrap(),
            ttl: Duration::from_secs(30),
            margin: Some(Duration::from_millis(700)),
            priority: 7,
            warmup_interval: Duration::from_millis(20),
            activation_timeout: Duration::from_millis(30),
            liveness_timeout: Some(Duration::from_millis(35)),
            drain_timeout: Duration::from_millis(40),
            layout: Layout::AfterStart,
            guard: CrashGuard::Helper("/opt/primacy".into()),
            reclaim: true,
            instance: Some("pod-0".into()),
            allow_memory_store: true,
            allow_loopback_address: true,
            unused_user: false,
            notices: Vec::new(),
        };
        assert_eq!(given, Ok(expected));
    }

    #[test]
    fn how_etcd_is_reached_can_be_told_in_names_and_texts() {
        let tls = [
            ("etcd.endpoints", "a:1,b:2"),
            ("etcd.ssl.enabled", "true"),
            ("etcd.ssl.tlsCert", "/c"),
            ("etcd.ssl.tlsKey", "/k"),
            ("etcd.ssl.tlsMinVersion", "1.3"),
            ("etcd.requestTimeout", "500"),
        ];
        let user =
            [("etcd.auth.enabled", "true"), ("etcd.auth.userName", "root"), ("etcd.auth.password", " p ")];
        for values in [&[][..], &tls, &user] {
            let etcd = settings(values).unwrap().etcd;
            let texts = etcd.texts();
            let texts: Vec<_> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
            assert_eq!(settings(&texts).unwrap().etcd, etcd);
        }
        let relative = settings(&[tls[1], ("etcd.ssl.tlsCACert", "ca.pem")]).unwrap().etcd.texts();
        assert!(relative["etcd.ssl.tlsCACert"].starts_with('/'));
    }

    #[test]
    fn a_margin_leaves_time_for_a_renewal_and_another_attempt() {
        for (ttl, highest) in [("10", 4666), ("3", 1000), ("1", 333), ("60", 38_000)] {
            let with = |margin: u64| {
                settings(&[("common.session.ttl", ttl), ("primacy.margin_ms", &margin.to_string())])
            };
            assert_eq!(with(highest).unwrap().margin, Some(Duration::from_millis(highest)));
            let told = with(highest + 1).unwrap_err().to_string();
            assert!(
                told.contains("primacy.margin_ms") && told.ends_with(&format!("at most {highest}")),
                "{told}"
            );
        }
    }

    #[test]
    fn tls_files_count_only_when_tls_is_enabled() {
        let placeholders =
            [("etcd.ssl.tlsCert", "/path/to/etcd-client.pem"), ("etcd.ssl.tlsCACert", "/path/to/ca.pem")];
        assert_eq!(settings(&placeholders).unwrap().etcd.tls, None);
        let on = ("etcd.ssl.enabled", "true");
        refused(&[on, placeholders[0], placeholders[1]], &["etcd.ssl.tlsKey"]);
        refused(&[on, ("etcd.ssl.tlsKey", "/k"), placeholders[1]], &["etcd.ssl.tlsCert is not"]);
        assert_eq!(settings(&[on]).unwrap().etcd.tls.unwrap().ca_cert, None);
        let one_sided = settings(&[on, placeholders[1]]).unwrap().etcd.tls.unwrap();
        assert_eq!((one_sided.identity, one_sided.min_version), (None, TlsVersion::V1_2));
    }

    #[test]
    fn endpoints_and_tls_do_not_contradict_each_other() {
        refused(&[("etcd.endpoints", "https://h:1")], &["https://h:1", "etcd.ssl.enabled is off"]);
        let tls = [("etcd.ssl.enabled", "true"), ("etcd.ssl.tlsCACert", "/ca")];
        refused(
            &[tls[0], tls[1], ("etcd.endpoints", "a:1,http://h:1")],
            &["http://h:1", "etcd.ssl.enabled is on"],
        );
    }

    #[test]
    fn a_memory_store_is_opened_knowingly_and_alone() {
        refused(&[("etcd.endpoints", "mem://x")], &["mem://x", "primacy.allow_memory_store"]);
        let allowed = ("primacy.allow_memory_store", "true");
        refused(&[allowed, ("etcd.endpoints", "mem://x,h:1")], &["mem://x", "alone"]);
        refused(&[allowed, ("etcd.endpoints", "h:1,mem://x")], &["mem://x", "alone"]);
        let given = settings(&[allowed, ("etcd.endpoints", "mem://x")]).unwrap();
        assert_eq!(given.etcd.endpoints, [Endpoint::Memory { name: "x".into() }]);
    }

    #[test]
    fn auth_takes_a_user() {
        refused(&[("etcd.auth.enabled", "true")], &["etcd.auth.userName"]);
        for name in ["etcd.auth.userName", "etcd.auth.password"] {
            let given = settings(&[(name, "root")]).unwrap();
            assert_eq!((given.etcd.auth, given.unused_user), (None, true));
        }
    }
}
