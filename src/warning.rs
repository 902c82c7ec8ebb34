//! What works now and may yet end badly. Said once in the log, and by the snapshot for as long as it holds.

use semver::Version;

use crate::config::{Endpoint, Settings};
use crate::engine::address::is_on_this_machine;

/// The oldest etcd of each line in which a lease that is kept alive is not revoked by a former leader
/// (<https://github.com/etcd-io/etcd/issues/15247>). Later lines have it from the start.
static LEASES_ARE_SAFE_SINCE: [Version; 2] = [Version::new(3, 4, 31), Version::new(3, 5, 13)];

/// A candidate tells its clients, who are on other machines if etcd is, an address that means their own.
pub(crate) fn of_address(settings: &Settings, address: &str) -> Option<String> {
    let elsewhere = |endpoint: &Endpoint| match endpoint {
        Endpoint::Server { address, .. } => !is_on_this_machine(address),
        Endpoint::Memory { .. } => false,
    };
    let wrong = is_on_this_machine(address)
        && !settings.allow_loopback_address
        && settings.etcd.endpoints.iter().any(elsewhere);
    wrong.then(|| {
        format!(
            "clients on other machines can not reach the candidate's address {address}: give one that they can; \
             if there are none, set primacy.allow_loopback_address"
        )
    })
}

/// What was given for authentication, and is not used.
pub(crate) fn of_user(settings: &Settings) -> Option<String> {
    let text = "etcd.auth.userName or etcd.auth.password is set and not used: to use them, set etcd.auth.enabled to true";
    settings.unused_user.then(|| text.to_owned())
}

/// The server behind an endpoint is one that is known to revoke leases which are kept alive.
pub(crate) fn of_server(endpoint: &str, version: &str) -> Option<String> {
    let version = Version::parse(version).ok()?;
    let same_line = |v: &&Version| (v.major, v.minor) == (version.major, version.minor);
    let [oldest, _] = &LEASES_ARE_SAFE_SINCE;
    let needed = LEASES_ARE_SAFE_SINCE.iter().find(same_line).unwrap_or(oldest);
    (version < *needed).then(|| {
        format!(
            "etcd {version} at {endpoint} may revoke a lease that is kept alive: upgrade it to {needed} or later"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn settings(endpoints: &str, allowed: &str) -> Settings {
        let mut config = Config::new();
        config.set("etcd.endpoints", endpoints).unwrap();
        config.set("primacy.allow_loopback_address", allowed).unwrap();
        config.settings().unwrap()
    }

    #[test]
    fn an_address_of_this_machine_is_wrong_where_etcd_is_on_another() {
        let far = settings("127.0.0.1:2379,etcd-1:2379", "false");
        for wrong in ["127.0.0.1:1", "localhost:1", "[::1]:1", "0.0.0.0:1", "[::]:1", "127.8.8.8:1"] {
            assert!(of_address(&far, wrong).unwrap().contains(wrong), "{wrong}");
        }
        assert_eq!(of_address(&far, "10.0.0.5:1"), None);
        assert_eq!(of_address(&far, "coordinator-0:1"), None);
        assert_eq!(of_address(&settings("localhost:2379", "false"), "127.0.0.1:1"), None);
        assert_eq!(of_address(&settings("etcd-1:2379", "true"), "127.0.0.1:1"), None);
    }

    #[test]
    fn a_user_that_is_not_used_is_told() {
        let mut config = Config::new();
        config.set("etcd.auth.password", "x").unwrap();
        assert!(of_user(&config.settings().unwrap()).unwrap().contains("etcd.auth.enabled"));
        config.set("etcd.auth.userName", "root").unwrap();
        config.set("etcd.auth.enabled", "true").unwrap();
        assert_eq!(of_user(&config.settings().unwrap()), None);
    }

    #[test]
    fn servers_before_the_fix_of_their_line_are_old() {
        for old in ["3.3.27", "3.4.23", "3.4.30", "3.5.0", "3.5.12"] {
            assert!(of_server("etcd-1:2379", old).unwrap().contains(old), "{old}");
        }
        for good in ["3.4.31", "3.5.13", "3.5.35", "3.6.0", "3.7.3+x", "4.0.0", "unknown"] {
            assert_eq!(of_server("etcd-1:2379", good), None, "{good}");
        }
    }
}
