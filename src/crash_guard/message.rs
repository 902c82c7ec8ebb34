//! What a session and its guard say to each other, as JSON.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Of the messages. A guard that does not know it says so and hangs up.
pub const VERSION: u32 = 2;

/// A message, of which each is one packet.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// A session begins; with it comes its socket. The only one that goes through the inherited socket.
    Hello {
        /// [`VERSION`].
        version: u32,
    },
    /// How its etcd is reached: before the first lease.
    Etcd {
        /// Names and texts as in the configuration, the password included.
        settings: BTreeMap<String, String>,
        /// A key that may be read, to keep the connection and its token in use.
        probe: String,
    },
    /// The guard asks where a name is. It does not look it up itself: linked statically, it can not count on the
    /// machine's ways to do so.
    LookUp {
        /// `host:port`, as in the endpoints.
        name: String,
    },
    /// Where it is.
    Addresses {
        /// As it was asked.
        name: String,
        /// None: it was not found.
        addresses: Vec<SocketAddr>,
    },
    /// The guard holds this process's descriptor, and etcd has answered it: from here on it can do what it is for.
    Guarding {},
    /// etcd has granted a lease: to be revoked when this process dies.
    Granted {
        /// Its id.
        lease: i64,
        /// As granted.
        ttl_ms: u64,
    },
    /// A lease is not in etcd any more.
    Revoked {
        /// Its id.
        lease: i64,
    },
}
