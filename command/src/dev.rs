//! `primacy dev`: an etcd for development and tests, in this process.

use std::convert::Infallible;

use primacy::embedded::{Server, VERSION};
use tokio::net::TcpListener;

use crate::exit::Failed;
use crate::screen;

/// What `primacy dev` is told.
#[derive(clap::Args)]
pub struct Dev {
    /// Where to listen; port 0: a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:2379")]
    listen: String,
}

impl Dev {
    /// Serves until it is ended.
    pub fn run(self) -> Result<u8, Failed> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let never: Infallible = runtime.block_on(self.serve())?;
        match never {}
    }

    async fn serve(self) -> Result<Infallible, Failed> {
        let can_not = |error| Failed::not_done(format!("can not listen on {}: {error}", self.listen));
        let listener = TcpListener::bind(&self.listen).await.map_err(can_not)?;
        screen::out(&format!("{}\n", listener.local_addr()?))?;
        anstream::eprintln!(
            "primacy dev: as etcd {VERSION}, for development and tests only: one node, nothing on disk, no TLS, no users"
        );
        Ok(Server::default().listen(listener).await)
    }
}
