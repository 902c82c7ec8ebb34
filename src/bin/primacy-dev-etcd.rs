//! An etcd for development and tests: one node, nothing on disk. Real etcd clients can talk to it.

use std::net::SocketAddr;
use std::process::ExitCode;

use primacy::embedded::{Server, VERSION};
use tokio::net::TcpListener;

const HELP: &str = "\
primacy-dev-etcd: an etcd FOR DEVELOPMENT AND TESTS ONLY.
One node, all data in memory and gone when it ends, no TLS, no users.
It speaks etcd's gRPC protocol: KV, Watch, Lease, and of Cluster and Maintenance what clients ask first.

Usage: primacy-dev-etcd [--listen ADDRESS:PORT]

  --listen ADDRESS:PORT  where to listen; port 0: a free one [default: 127.0.0.1:2379]
  --version              prints the version
  --help                 prints this

It prints the address that it listens on as one line on stdout, then serves until it is killed.";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("primacy-dev-etcd: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let mut listen = "127.0.0.1:2379".to_owned();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next().map_err(|e| e.to_string())? {
        match argument {
            lexopt::Arg::Long("listen") => {
                let value = arguments.value().map_err(|e| e.to_string())?;
                listen = value.into_string().map_err(|value| format!("not an address: {value:?}"))?;
            }
            lexopt::Arg::Long("version") => {
                println!("primacy-dev-etcd {} (etcd {VERSION})", env!("CARGO_PKG_VERSION"));
                return Ok(());
            }
            lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => {
                println!("{HELP}");
                return Ok(());
            }
            other => return Err(format!("{}; see --help", other.unexpected())),
        }
    }
    let listener =
        TcpListener::bind(&listen).await.map_err(|e| format!("can not listen on {listen}: {e}"))?;
    let address: SocketAddr = listener.local_addr().map_err(|e| e.to_string())?;
    println!("{address}");
    eprintln!(
        "primacy-dev-etcd: for development and tests only: one node, nothing on disk, no TLS, no users"
    );
    match Server::default().listen(listener).await {}
}
