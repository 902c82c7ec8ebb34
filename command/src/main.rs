//! The program `primacy`: what an operator has beside the library.

mod guard;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "primacy",
    version,
    about = "Leader election on etcd: what an operator has beside the library"
)]
struct Primacy {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts a program, and revokes its leases as soon as it is dead
    ///
    /// Signals go to the program, its exit code is returned (128 + n for signal n), and what it leaves behind is reaped:
    /// this can be the first process of a container. While the program lives, paused or not, nothing is revoked.
    Guard(guard::Guard),
}

fn main() -> ExitCode {
    match Primacy::parse().command {
        Command::Guard(guard) => guard.run(),
    }
}
