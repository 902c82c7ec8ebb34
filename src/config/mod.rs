//! Configuration: names and texts in, typed [`Settings`] out.
//!
//! Names are Milvus's where Milvus has one; the others begin with `primacy.`. Each value is checked when it
//! is set, what depends on several when the settings are asked for. Nothing is opened or read here.

mod endpoint;
mod names;
mod settings;

use std::collections::BTreeMap;
use std::fmt;

pub use endpoint::Endpoint;
pub use names::Name;
pub use settings::{Auth, CrashGuard, EtcdSettings, Password, Settings, Tls, TlsIdentity, TlsVersion};

use names::NAMES;

/// Values by name. What is not set has its default.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Config {
    values: BTreeMap<&'static str, String>,
}

/// Why a configuration is refused. The text says what would do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There is no such name.
    #[error("no setting is called `{name}`; the nearest is `{nearest}`")]
    Unknown {
        /// The name.
        name: String,
        /// The known name that looks most like it.
        nearest: &'static str,
    },
    /// The value is ill-formed or out of range.
    #[error("{name} can not be `{value}`; it takes {takes}")]
    Value {
        /// The name.
        name: &'static str,
        /// The value; left out where it may hold a password.
        value: String,
        /// What it takes.
        takes: &'static str,
    },
    /// Settings that are good by themselves do not go together.
    #[error("{0}")]
    Relation(String),
}

impl Config {
    /// Every setting at its default.
    pub fn new() -> Config {
        Config::default()
    }

    /// Sets one value; a value set before is replaced.
    ///
    /// # Errors
    /// If there is no such name, or the value is ill-formed or out of range; then nothing has changed.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let known = NAMES
            .iter()
            .find(|known| known.name == name)
            .ok_or_else(|| ConfigError::Unknown { name: name.into(), nearest: names::nearest(name) })?;
        if !known.kind.takes(value) {
            // A password may be misplaced in a URL.
            let value = if value.contains('@') { "..." } else { value };
            return Err(ConfigError::Value { name: known.name, value: value.into(), takes: known.takes });
        }
        self.values.insert(known.name, value.into());
        Ok(())
    }

    /// Every name that can be set.
    pub fn names() -> &'static [Name] {
        NAMES
    }

    /// The value of a name of the table: what was set, or its default.
    fn text(&self, name: &str) -> &str {
        match self.values.get(name) {
            Some(value) => value,
            None => NAMES.iter().find(|known| known.name == name).map_or("", |known| known.default),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(name, value)| (name, if name == names::PASSWORD { "..." } else { value });
        f.debug_map().entries(self.values.iter().map(|(n, v)| shown((*n, v.as_str())))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest_known_one() {
        for (name, nearest) in [
            ("etcd.endpoint", "etcd.endpoints"),
            ("etcd.rootpath", "etcd.rootPath"),
            ("ttl", "common.session.ttl"),
            ("primacy.margin", "primacy.margin_ms"),
            ("etcd.ssl.tlsCert ", "etcd.ssl.tlsCert"),
        ] {
            let refused = Config::new().set(name, "1").unwrap_err();
            assert_eq!(refused, ConfigError::Unknown { name: name.into(), nearest });
            assert!(refused.to_string().contains(&format!("`{nearest}`")));
        }
    }

    #[test]
    fn a_value_out_of_range_is_refused_and_changes_nothing() {
        let mut config = Config::new();
        config.set("common.session.ttl", "20").unwrap();
        for (name, bad) in [
            ("common.session.ttl", "0"),
            ("common.session.ttl", "10s"),
            ("common.session.ttl", "-1"),
            ("common.session.ttl", ""),
            ("common.session.ttl", "99999999999999999999"),
            ("etcd.requestTimeout", "99"),
            ("primacy.margin_ms", "0"),
            ("primacy.drain_timeout_ms", "1.5"),
            ("etcd.auth.enabled", "maybe"),
            ("etcd.auth.enabled", "on"),
            ("etcd.auth.enabled", "yes"),
            ("etcd.auth.enabled", "1"),
            ("etcd.ssl.enabled", "off"),
            ("etcd.ssl.enabled", "0"),
            ("etcd.ssl.enabled", ""),
            ("etcd.ssl.tlsMinVersion", "1.4"),
            ("etcd.rootPath", ""),
            ("etcd.rootPath", "."),
            ("etcd.metaSubPath", "/"),
            ("etcd.metaSubPath", "../meta"),
            ("etcd.endpoints", ""),
            ("etcd.endpoints", "a:1,,b:1"),
            ("primacy.layout", "after-start"),
            ("primacy.guard", "on"),
            ("primacy.guard", "Required"),
            ("primacy.reclaim", "pid"),
            ("primacy.instance", "pod 0"),
        ] {
            let told = config.set(name, bad).unwrap_err().to_string();
            assert!(told.starts_with(&format!("{name} can not be `{bad}`; it takes ")), "{told}");
        }
        assert_eq!(config.settings().unwrap().ttl.as_secs(), 20);
        assert_eq!(config.values.len(), 1);
    }

    #[test]
    fn no_password_is_shown() {
        let mut config = Config::new();
        config.set("etcd.auth.enabled", "true").unwrap();
        config.set("etcd.auth.userName", "root").unwrap();
        config.set("etcd.auth.password", "s3cret").unwrap();
        assert_eq!(
            format!("{config:?}"),
            r#"{"etcd.auth.enabled": "true", "etcd.auth.password": "...", "etcd.auth.userName": "root"}"#
        );
        assert!(!format!("{:?}", config.settings().unwrap()).contains("s3cret"));
        let misplaced = config.set("etcd.endpoints", "http://root:s3cret@h:2379").unwrap_err();
        assert!(!format!("{misplaced} {misplaced:?}").contains("s3cret"));
    }

    /// What the configs/milvus.yaml of Milvus has under `etcd` and `common.session`, at 2.5.27 and 2.6.13 (whose master of
    /// March 2026 has the same), as a host hands it over.
    const OF_2_5: &[(&str, &str)] = &[
        ("etcd.endpoints", "localhost:2379"),
        ("etcd.rootPath", "by-dev"),
        ("etcd.metaSubPath", "meta"),
        ("etcd.kvSubPath", "kv"),
        ("etcd.log.level", "info"),
        ("etcd.log.path", "stdout"),
        ("etcd.ssl.enabled", "false"),
        ("etcd.ssl.tlsCert", "/path/to/etcd-client.pem"),
        ("etcd.ssl.tlsKey", "/path/to/etcd-client-key.pem"),
        ("etcd.ssl.tlsCACert", "/path/to/ca.pem"),
        ("etcd.ssl.tlsMinVersion", "1.3"),
        ("etcd.requestTimeout", "10000"),
        ("etcd.use.embed", "false"),
        ("etcd.data.dir", "default.etcd"),
        ("etcd.auth.enabled", "false"),
        ("etcd.auth.userName", ""),
        ("etcd.auth.password", ""),
        ("common.session.ttl", "30"),
        ("common.session.retryTimes", "30"),
    ];
    const SINCE_2_6: &[(&str, &str)] = &[
        ("etcd.dialKeepAliveTime", "3000"),
        ("etcd.dialKeepAliveTimeout", "2000"),
        ("common.session.ttl", "15"),
    ];
    /// In upstream's since, which is not in the fork.
    const NEWEST: &[(&str, &str)] = &[("etcd.dialTimeout", "5000"), ("etcd.dialKeepAliveTime", "2000")];

    #[test]
    fn a_whole_section_of_a_milvus_yaml_goes_through_and_what_means_nothing_is_named() {
        let mut config = Config::new();
        for (added, ttl, last) in
            [(OF_2_5, 30, "data.dir"), (SINCE_2_6, 15, "KeepAliveTimeout"), (NEWEST, 15, "dialTimeout")]
        {
            for (name, value) in added {
                config.set(name, value).unwrap();
            }
            let settings = config.settings().unwrap();
            assert_eq!((settings.ttl.as_secs(), settings.root.as_str()), (ttl, "by-dev/meta"));
            assert!(settings.etcd.tls.is_none() && settings.etcd.auth.is_none() && !settings.unused_user);
            let [notice] = settings.notices.as_slice() else { panic!("{:?}", settings.notices) };
            for name in ["etcd.kvSubPath", "etcd.log.level", "common.session.retryTimes", last] {
                assert!(notice.contains(name), "{name}: {notice}");
            }
            assert!(!notice.contains("etcd.ssl") && !notice.contains("session.ttl"), "{notice}");
        }
        assert_eq!(Config::new().settings().unwrap().notices, [""; 0]);
    }

    #[test]
    fn a_tls_version_that_is_not_spoken_any_more_counts_as_the_oldest_that_is() {
        for (version, spoken, said) in [
            ("1.0", TlsVersion::V1_2, 1),
            ("1.1", TlsVersion::V1_2, 1),
            ("1.2", TlsVersion::V1_2, 0),
            ("1.3", TlsVersion::V1_3, 0),
        ] {
            let mut config = Config::new();
            config.set("etcd.ssl.tlsMinVersion", version).unwrap();
            assert_eq!(config.settings().unwrap().notices, [""; 0], "{version}: it does not count");
            config.set("etcd.ssl.enabled", "true").unwrap();
            let settings = config.settings().unwrap();
            assert_eq!(settings.etcd.tls.unwrap().min_version, spoken, "{version}");
            assert_eq!(
                settings.notices.iter().filter(|text| text.contains(version)).count(),
                said,
                "{version}"
            );
        }
    }

    #[test]
    fn the_last_value_counts() {
        let mut config = Config::new();
        config.set("primacy.layout", "after_start").unwrap();
        config.set("primacy.layout", "milvus").unwrap();
        assert_eq!(config.settings(), Config::new().settings());
    }
}
