//! `host:port`, as a candidate tells its clients and as an etcd endpoint has it.

use std::net::{IpAddr, Ipv6Addr};

/// Whether `text` is a host name or address, a colon, and a port from 1 to 65535. An IPv6 address stands in
/// brackets, since its own colons hide the port's.
pub fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let host_is_good = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    let port_is_good = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p != 0);
    host_is_good && port_is_good
}

/// Whether `host:port` means the machine on which it is read, whichever that is.
pub fn is_on_this_machine(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || ip.is_unspecified(),
        Err(_) => host.trim_end_matches('.').eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_and_nothing_else() {
        for good in ["127.0.0.1:53100", "localhost:1", "[::1]:65535", "root-coord_0.milvus.svc.:53100"] {
            assert!(is_host_and_port(good), "{good}");
        }
        for bad in [
            "",
            "h",
            ":1",
            "h:",
            "h:0",
            "h:65536",
            "h:+1",
            "::1:53100",
            "[::1]",
            "[x]:1",
            "a b:1",
            "http://h:1",
            "u@h:1",
            "h:1/",
            "h\n:1",
            "é:1",
        ] {
            assert!(!is_host_and_port(bad), "{bad}");
        }
    }
}
