//! The settings of a subcommand: the library's own names, from a `milvus.yaml`, the environment and the command line.
//!
//! Later ones win: defaults, the file, the environment, the command line. A password comes from a file or the
//! environment alone, since every user of the machine can read a command line.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{env, fmt, fs};

use primacy::config::{Config, ConfigError, Settings};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::exit::Failed;

const PASSWORD: &str = "etcd.auth.password";
/// The crash guard's socket goes by the variable that this one would have; and a command has no use for it.
const GUARD: &str = "primacy.guard";

/// See the module.
#[derive(clap::Args)]
#[command(next_help_heading = "Settings")]
pub struct Given {
    /// Where etcd is; several, separated by commas [default: localhost:2379]
    #[arg(long, value_name = "HOST:PORT")]
    etcd: Option<String>,
    /// A milvus.yaml; of it, those settings count that the library knows
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A setting by its name, as common.session.ttl=30; each also as a variable, as PRIMACY_COMMON_SESSION_TTL
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// The password of etcd's user (etcd.auth.userName) is this file's first line
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl Given {
    /// All of them, put together and checked. What was accepted and may end badly goes to stderr.
    pub fn settings(&self) -> Result<Settings, Failed> {
        let settings = self.config(|name| env::var_os(name))?.settings().map_err(Failed::usage)?;
        if settings.unused_user {
            anstream::eprintln!(
                "primacy: a user or a password is set and not used: set etcd.auth.enabled to true"
            );
        }
        Ok(settings)
    }

    fn config(&self, variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Result<Config, Failed> {
        let mut config = Config::new();
        if let Some(path) = &self.config {
            let of_file = |error: &dyn fmt::Display| Failed::usage(format!("{}: {error}", path.display()));
            let text = fs::read_to_string(path).map_err(|error| of_file(&error))?;
            for (name, value) in of_yaml(&text).map_err(|error| of_file(&error))? {
                config.set(name, &value).map_err(|error| of_file(&error))?;
            }
        }
        for known in Config::names().iter().filter(|known| known.name != GUARD) {
            let of = variable_of(known.name);
            let Some(value) = variable(&of) else { continue };
            let value = value.into_string().map_err(|_| Failed::usage(format!("{of} is not UTF-8")))?;
            config.set(known.name, &value).map_err(|error| Failed::usage(format!("{of}: {error}")))?;
        }
        for given in &self.set {
            let (name, value) = given
                .split_once('=')
                .ok_or_else(|| Failed::usage(format!("--set {given}: give NAME=VALUE")))?;
            if name == PASSWORD {
                return Err(Failed::usage(format!(
                    "a password on a command line can be read by all: give --password-file, or {}",
                    variable_of(PASSWORD)
                )));
            }
            config.set(name, value).map_err(Failed::usage)?;
        }
        if let Some(endpoints) = &self.etcd {
            config.set("etcd.endpoints", endpoints).map_err(Failed::usage)?;
        }
        if let Some(path) = &self.password_file {
            let text = fs::read_to_string(path)
                .map_err(|error| Failed::usage(format!("{}: {error}", path.display())))?;
            let password = text.lines().next().unwrap_or_default();
            config.set(PASSWORD, password).map_err(Failed::usage)?;
        }
        Ok(config)
    }
}

/// `common.session.ttl` is PRIMACY_COMMON_SESSION_TTL, `primacy.layout` PRIMACY_LAYOUT.
fn variable_of(name: &str) -> String {
    format!("PRIMACY_{}", name.strip_prefix("primacy.").unwrap_or(name).replace('.', "_").to_uppercase())
}

/// The settings in a `milvus.yaml`, which has many others. As Milvus reads it: capital letters do not count, and a list
/// is as good as a text with commas.
fn of_yaml(text: &str) -> Result<Vec<(&'static str, String)>, String> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Vec::new());
    }
    let tree: Node = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let mut values = BTreeMap::new();
    tree.flatten(String::new(), &mut values);
    let mut settings = Vec::new();
    for (name, value) in values {
        match Config::names().iter().find(|known| known.name.eq_ignore_ascii_case(&name)) {
            Some(known) => settings.push((known.name, value)),
            // All of these are ours: a typing error, that would be silent.
            None if name.to_ascii_lowercase().starts_with("primacy.") => {
                return Err(Config::new()
                    .set(&name, &value)
                    .err()
                    .map_or(name, |e: ConfigError| e.to_string()));
            }
            None => {}
        }
    }
    Ok(settings)
}

/// What a YAML file has, as text.
enum Node {
    Nothing,
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    fn flatten(self, name: String, values: &mut BTreeMap<String, String>) {
        match self {
            Node::Nothing => {}
            Node::Text(text) => _ = values.insert(name, text),
            Node::List(items) => {
                let texts = items.into_iter().filter_map(|item| match item {
                    Node::Text(text) => Some(text),
                    _ => None,
                });
                values.insert(name, texts.collect::<Vec<_>>().join(","));
            }
            Node::Map(fields) => {
                for (field, value) in fields {
                    let name = if name.is_empty() { field } else { format!("{name}.{field}") };
                    value.flatten(name, values);
                }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Node;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("settings")
            }
            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Nothing)
            }
            fn visit_none<E>(self) -> Result<Node, E> {
                Ok(Node::Nothing)
            }
            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
                Node::deserialize(deserializer)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
                Ok(Node::Text(value.to_string()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
                Ok(Node::Text(value.to_string()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
                Ok(Node::Text(value.to_string()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
                Ok(Node::Text(value.to_string()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Node, E> {
                Ok(Node::Text(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Node::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
                let mut map = Vec::new();
                while let Some((name, value)) = fields.next_entry::<Key, Node>()? {
                    map.push((name.0, value));
                }
                Ok(Node::Map(map))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// A name in a YAML file; a number may be one, somewhere in a file of others.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Key(match Node::deserialize(deserializer)? {
            Node::Text(text) => text,
            _ => String::new(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn given() -> Given {
        Given { etcd: None, config: None, set: Vec::new(), password_file: None }
    }

    const MILVUS: &str = "\
# As Milvus has it.
etcd:
  endpoints:
    - etcd-0:2379
    - etcd-1:2379
  rootPath: by-cluster
  metaSubPath: meta # sub
  ssl:
    enabled: false
    tlsMinVersion: 1.3
  requestTimeout: 5000
  auth:
    enabled: true
    userName: root
    password: 's:3# cret'
  future: {a: [1, 2]}
mq:
  type: default
common:
  session:
    TTL: 30
  bitmapIndexCardinalityBound: ~
empty:
";

    #[test]
    fn a_milvus_yaml_is_read_and_what_others_are_for_is_left() {
        let found: BTreeMap<_, _> = of_yaml(MILVUS).unwrap().into_iter().collect();
        let expected = [
            ("common.session.ttl", "30"),
            ("etcd.auth.enabled", "true"),
            ("etcd.auth.password", "s:3# cret"),
            ("etcd.auth.userName", "root"),
            ("etcd.endpoints", "etcd-0:2379,etcd-1:2379"),
            ("etcd.metaSubPath", "meta"),
            ("etcd.requestTimeout", "5000"),
            ("etcd.rootPath", "by-cluster"),
            ("etcd.ssl.enabled", "false"),
            ("etcd.ssl.tlsMinVersion", "1.3"),
        ];
        assert_eq!(found, expected.map(|(name, value)| (name, value.to_owned())).into());
        assert_eq!(of_yaml("# nothing\n\n").unwrap(), []);
        assert!(of_yaml("primacy:\n  layuot: milvus\n").unwrap_err().contains("`primacy.layout`"));
        assert!(of_yaml("etcd: [\n").is_err());
    }

    #[test]
    fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let [file, secret] = ["milvus.yaml", "secret"].map(|name| folder.path().join(name));
        fs::write(&file, MILVUS).unwrap();
        fs::write(&secret, "of the file\nsecond line\n").unwrap();
        let variables = |name: &str| match name {
            "PRIMACY_COMMON_SESSION_TTL" => Some(OsString::from("20")),
            "PRIMACY_ETCD_ROOTPATH" => Some("of-environment".into()),
            "PRIMACY_LAYOUT" => Some("after_start".into()),
            "PRIMACY_ETCD_AUTH_PASSWORD" => Some("of the environment".into()),
            "PRIMACY_GUARD" => Some("3:4711".into()),
            _ => None,
        };
        let mut given = given();
        given.config = Some(file);
        given.set = vec!["etcd.rootPath=a=b".into()];
        given.etcd = Some("here:1".into());
        let settings = given.config(variables).unwrap().settings().unwrap();
        assert_eq!(
            (settings.ttl.as_secs(), settings.root.as_str(), settings.layout.to_string().as_str()),
            (20, "a=b/meta", "after_start")
        );
        assert_eq!(settings.etcd.endpoints[0].to_string(), "http://here:1");
        assert_eq!(settings.etcd.auth.unwrap().password.reveal(), "of the environment");
        given.password_file = Some(secret);
        let settings = given.config(variables).unwrap().settings().unwrap();
        assert_eq!(settings.etcd.auth.unwrap().password.reveal(), "of the file");
    }

    #[test]
    fn a_password_on_the_command_line_is_refused_and_not_repeated() {
        let mut given = given();
        given.set = vec!["etcd.auth.password=s3cret".into()];
        let failed = given.config(|_| None).unwrap_err();
        assert!(failed.code == 2 && !failed.why.contains("s3cret"), "{failed:?}");
        assert!(failed.why.contains("PRIMACY_ETCD_AUTH_PASSWORD"), "{failed:?}");
    }
}
