//! The table of all names: what each takes, its default, what it is for.

use crate::milvus::{Layout, Root};

use super::endpoint::Endpoint;

/// A name that can be set.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    /// The name.
    pub name: &'static str,
    /// Its default, in the form in which it would be set; empty where there is none.
    pub default: &'static str,
    /// What it takes.
    pub takes: &'static str,
    /// What it is for.
    pub about: &'static str,
    pub(super) kind: Kind,
}

/// How a value is checked by itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A whole number within bounds.
    Number(u64, u64),
    /// On or off.
    Switch,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A word.
    Word,
    /// The first part of the meta root.
    RootPath,
    /// Its last part.
    SubPath,
    /// Endpoints, comma-separated.
    Endpoints,
    /// A layout's name.
    Layout,
    /// Any text that is not blank.
    NotEmpty,
    /// Any text: a file's path that only counts when TLS is enabled, a user's name, a password.
    Text,
    /// Any text, which means nothing here: a `milvus.yaml` has it.
    Unused,
}

pub(super) const PASSWORD: &str = "etcd.auth.password";

const ENDPOINTS: &str =
    "endpoints, comma-separated: http://host:port, https://host:port, host:port, or mem://NAME";
const PATH: &str = "a path such as by-dev, not empty, without `.` and `..` in it";
const SUB_PATH: &str = "a path such as meta, not empty, without `.` and `..` in it; or . alone, for none";
const FILE: &str = "a file's path";
const TLS_VERSION: &str = "1.2 or 1.3; 1.0 and 1.1 count as 1.2";
const ANYTHING: &str = "anything";
const SWITCH: &str = "true or false";
const WORD: &str = "a name without spaces, of 253 bytes at most";
const TTL: &str = "whole seconds from 1 to 86400";
const TTL_KIND: Kind = Kind::Number(1, 86_400);
const CALL_MS: &str = "whole milliseconds from 100 to 3600000";
const CALL_MS_KIND: Kind = Kind::Number(100, 3_600_000);
const PRIORITY: &str = "a whole number from 0 to 1000";
const MS: &str = "whole milliseconds from 1 to 3600000";
const MS_KIND: Kind = Kind::Number(1, 3_600_000);

const OPTIONAL_MS: &str = "whole milliseconds from 0 to 3600000";
const OPTIONAL_MS_KIND: Kind = Kind::Number(0, 3_600_000);

const fn name(
    name: &'static str,
    default: &'static str,
    takes: &'static str,
    kind: Kind,
    about: &'static str,
) -> Name {
    Name { name, default, takes, about, kind }
}

#[rustfmt::skip] // A table.
pub(super) static NAMES: &[Name] = &[
    name("etcd.endpoints", "localhost:2379", ENDPOINTS, Kind::Endpoints,
        "where etcd is; mem://NAME is a store inside this process"),
    name("etcd.rootPath", "by-dev", PATH, Kind::RootPath,
        "first part of ROOT, the prefix of all keys"),
    name("etcd.metaSubPath", "meta", SUB_PATH, Kind::SubPath,
        "last part of ROOT"),
    name("etcd.ssl.enabled", "false", SWITCH, Kind::Switch,
        "TLS; the other etcd.ssl.* count only when it is on"),
    name("etcd.ssl.tlsCert", "", FILE, Kind::Text,
        "our certificate, for mutual TLS; read again for new connections"),
    name("etcd.ssl.tlsKey", "", FILE, Kind::Text,
        "its key"),
    name("etcd.ssl.tlsCACert", "", FILE, Kind::Text,
        "what etcd's certificate is checked with: authorities', or its own; none: those that the machine trusts"),
    name("etcd.ssl.tlsMinVersion", "1.2", TLS_VERSION, Kind::OneOf(&["1.0", "1.1", "1.2", "1.3"]),
        "no TLS older than this"),
    name("etcd.auth.enabled", "false", SWITCH, Kind::Switch,
        "the other etcd.auth.* count only when it is on"),
    name("etcd.auth.userName", "", "a name", Kind::Text,
        "etcd's user"),
    name(PASSWORD, "", "a password", Kind::Text,
        "the user's password"),
    name("etcd.requestTimeout", "10000", CALL_MS, CALL_MS_KIND,
        "ms for a whole call; a server that is silent is given up far sooner"),
    name("common.session.ttl", "10", TTL, TTL_KIND,
        "s, asked of etcd for the lease; what it grants counts"),
    name("etcd.kvSubPath", "kv", ANYTHING, Kind::Unused,
        "means nothing here: no key of ours is below it"),
    name("etcd.dialTimeout", "5000", ANYTHING, Kind::Unused,
        "means nothing here: how long an endpoint is waited for follows what it took lately"),
    name("etcd.dialKeepAliveTime", "3000", ANYTHING, Kind::Unused,
        "means nothing here: connections are looked at as often as an etcd allows, and each request has its own deadline"),
    name("etcd.dialKeepAliveTimeout", "2000", ANYTHING, Kind::Unused,
        "means nothing here, as etcd.dialKeepAliveTime"),
    name("etcd.log.level", "info", ANYTHING, Kind::Unused,
        "means nothing here: it is the embedded etcd's"),
    name("etcd.log.path", "stdout", ANYTHING, Kind::Unused,
        "means nothing here: it is the embedded etcd's"),
    name("etcd.use.embed", "false", ANYTHING, Kind::Unused,
        "means nothing here: an embedded etcd, too, is reached at etcd.endpoints"),
    name("etcd.config.path", "", ANYTHING, Kind::Unused,
        "means nothing here: it is the embedded etcd's"),
    name("etcd.data.dir", "default.etcd", ANYTHING, Kind::Unused,
        "means nothing here: it is the embedded etcd's"),
    name("common.session.retryTimes", "30", ANYTHING, Kind::Unused,
        "means nothing here: what can pass is tried again until the call's time is over"),
    name("primacy.margin_ms", "", MS, MS_KIND,
        "ms before the lease's end at which primacy ends; else a tenth of the TTL"),
    name("primacy.priority", "1", PRIORITY, Kind::Number(0, 1000),
        "who is primary next: the candidate with the highest, if several could be; 0: never this one"),
    name("primacy.warmup_interval_ms", "1000", MS, MS_KIND,
        "ms between warm-ups of a standby that is not warm yet"),
    name("primacy.activation_timeout_ms", "10000", MS, MS_KIND,
        "ms from the win until the host begins on_primary, and for which a primary may leave its event queue unread"),
    name("primacy.liveness_timeout_ms", "0", OPTIONAL_MS, OPTIONAL_MS_KIND,
        "ms after which a primary is given up whose host does not say that it is well, by a call of its own; 0: it is not asked"),
    name("primacy.drain_timeout_ms", "30000", MS, MS_KIND,
        "ms that a release waits for the host's callbacks"),
    name("primacy.layout", "milvus", "milvus or after_start", Kind::Layout,
        "where the lock is, and when clients find the primary"),
    name("primacy.guard", "auto", "auto, off, required or helper", Kind::OneOf(&["auto", "off", "required", "helper"]),
        "whether the crash guard that started this process (`primacy guard`) revokes its leases when it dies; auto: if there is one; helper: required, and where there is none, one is started beside this process"),
    name("primacy.guard_program", "primacy", "a file's path, or a program's name", Kind::NotEmpty,
        "what is started where primacy.guard says helper; a name is looked for in PATH"),
    name("primacy.reclaim", "off", "off or on", Kind::OneOf(&["off", "on"]),
        "whether a restart in place revokes the lease of its predecessor, once that is [proved to be dead](guarantees.md#a-restart-in-place)"),
    name("primacy.instance", "", WORD, Kind::Word,
        "with primacy.reclaim: what its user calls this server, and vouches that no other process has at the same time, such as the name of a StatefulSet's pod"),
    name("primacy.allow_memory_store", "false", SWITCH, Kind::Switch,
        "allows mem://, where each process is primary of its own"),
    name("primacy.allow_loopback_address", "false", SWITCH, Kind::Switch,
        "no warning for a candidate at a loopback address while etcd is on another machine"),
];

impl Kind {
    /// Whether a value is well-formed and in range.
    pub(super) fn takes(self, value: &str) -> bool {
        match self {
            Kind::Number(lowest, highest) => number(value).is_some_and(|n| (lowest..=highest).contains(&n)),
            Kind::Switch => switch(value).is_some(),
            Kind::OneOf(values) => values.contains(&value.trim()),
            Kind::Word => {
                value.len() <= 253 && !value.contains(|c: char| c.is_whitespace() || c.is_control())
            }
            Kind::RootPath => Root::join(value, ".").is_ok(),
            Kind::SubPath => Root::join("root", value).is_ok(),
            Kind::Endpoints => Endpoint::parse_list(value, false).is_some(),
            Kind::Layout => value.trim().parse::<Layout>().is_ok(),
            Kind::NotEmpty => !value.trim().is_empty(),
            Kind::Text | Kind::Unused => true,
        }
    }
}

pub(super) fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// No other words for it: what one of them means to who wrote it can not be known.
pub(super) fn switch(text: &str) -> Option<bool> {
    text.trim().to_ascii_lowercase().parse().ok()
}

/// The known name that looks most like `name`: by the last part first, since that is what people remember.
pub(super) fn nearest(name: &str) -> &'static str {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_lowercase();
    let likeness = |known: &&Name| {
        let whole = distance(&known.name.to_lowercase(), &name.to_lowercase());
        (whole.min(2 * distance(&last(known.name), &last(name)) + 1), whole)
    };
    NAMES.iter().min_by_key(likeness).map_or("", |known| known.name)
}

/// Levenshtein's: how many letters must be put in, left out or replaced.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let (mut diagonal, mut left) = (i, i + 1);
        let mut next = vec![left];
        for (y, &above) in b.chars().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(x != y)).min(above + 1).min(left + 1);
            diagonal = above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_default_is_a_value_that_its_name_takes() {
        for known in NAMES {
            assert!(known.default.is_empty() || known.kind.takes(known.default), "{}", known.name);
            assert!(!known.takes.is_empty() && !known.about.is_empty(), "{}", known.name);
        }
    }

    #[test]
    fn ranges_are_told_as_they_are_checked() {
        for known in NAMES {
            if let Kind::Number(lowest, highest) = known.kind {
                assert!(known.takes.ends_with(&format!(" from {lowest} to {highest}")), "{}", known.name);
            }
        }
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = NAMES.iter().map(|known| known.name).collect();
        assert_eq!(names.len(), NAMES.len());
    }

    #[test]
    fn distances_are_levenshteins() {
        for (a, b, expected) in
            [("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
