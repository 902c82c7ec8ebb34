//! Endpoints, in one form whatever form they were given in.

use std::fmt;

use crate::engine::address::is_host_and_port;

/// A place where a store answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A member of an etcd cluster.
    Server {
        /// Over TLS.
        tls: bool,
        /// `host:port`; an IPv6 address in brackets.
        address: String,
    },
    /// A store inside this process.
    Memory {
        /// All who give the same name share one.
        name: String,
    },
}

impl Endpoint {
    /// Reads one: `http://host:port`, `https://host:port`, `host:port` (over TLS if `tls`), `mem://NAME`.
    /// `None` if it is none of these.
    pub(super) fn parse(text: &str, tls: bool) -> Option<Endpoint> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            None => (if tls { "https" } else { "http" }.to_owned(), text),
        };
        if scheme == "mem" {
            let good =
                !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
            return good.then(|| Endpoint::Memory { name: rest.into() });
        }
        let address = rest.strip_suffix('/').unwrap_or(rest);
        if !matches!(scheme.as_str(), "http" | "https") || !is_host_and_port(address) {
            return None;
        }
        Some(Endpoint::Server { tls: scheme == "https", address: address.into() })
    }

    /// Reads a comma-separated list, at least one, each once.
    pub(super) fn parse_list(text: &str, tls: bool) -> Option<Vec<Endpoint>> {
        let mut endpoints = Vec::new();
        for part in text.split(',') {
            let endpoint = Endpoint::parse(part.trim(), tls)?;
            // One named twice would pass for "another endpoint" when the first does not answer.
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
        Some(endpoints)
    }
}

/// As a URL.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Server { tls: true, address } => write!(f, "https://{address}"),
            Endpoint::Server { tls: false, address } => write!(f, "http://{address}"),
            Endpoint::Memory { name } => write!(f, "mem://{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, tls: bool) -> Option<Vec<String>> {
        Some(Endpoint::parse_list(text, tls)?.iter().map(Endpoint::to_string).collect())
    }

    #[test]
    fn endpoints_take_one_form() {
        for (text, tls, expected) in [
            ("localhost:2379", false, "http://localhost:2379"),
            ("localhost:2379", true, "https://localhost:2379"),
            ("http://h:1", true, "http://h:1"),
            ("HTTPS://h:1/", false, "https://h:1"),
            (" [::1]:2379 ", false, "http://[::1]:2379"),
            ("mem://test-1", false, "mem://test-1"),
        ] {
            assert_eq!(shown(text, tls), Some(vec![expected.to_owned()]), "{text}");
        }
    }

    #[test]
    fn a_list_keeps_its_order_and_names_each_once() {
        let expected = ["http://b:1", "http://a:1", "https://b:1"].map(str::to_owned);
        assert_eq!(shown("b:1, a:1,http://b:1,https://b:1", false), Some(expected.into()));
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for bad in [
            "",
            ",",
            "a:1,",
            "h",
            "http://h",
            "http://",
            "h:0",
            "ftp://h:1",
            "unix:///x",
            "http://u:p@h:1",
            "h:1/path",
            "h:1?x",
            "mem://",
            "mem://a/b",
            "mem:x",
            "http://http://h:1",
        ] {
            assert_eq!(Endpoint::parse_list(bad, false), None, "{bad}");
        }
    }
}
