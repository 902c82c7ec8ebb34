//! The program `primacy`: what an operator has beside the library.

mod ask;
mod audit;
mod changes;
mod child;
mod cluster;
mod dev;
mod doctor;
mod exit;
mod finding;
mod guard;
mod pages;
mod reach;
mod run;
mod screen;
mod settings;
mod signals;
mod snapshot;
mod status;
mod version;
mod voice;
mod watch;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

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
    /// Shows who is primary of what and who stands by
    ///
    /// Of each election the primary, and the standbys in the order in which primacy would be handed to them; of each its id,
    /// address, version, whether it says that it is warm and ready, its lease and what is left of it; the primary's fencing
    /// token; and what is not as it should be, with what to do. Milvus's own coordinators say nothing of warm and ready.
    Status(status::Status),
    /// Finds what stands in the way of elections, and says what to do
    ///
    /// Reaches each address of each endpoint; looks at the servers' versions, how long a read takes beside the TTL, the
    /// clock, the rights of etcd's user for each role, and at all keys: leftovers, locks whose lease is past its end,
    /// records that nobody can parse. Writes nothing.
    Doctor(doctor::Doctor),
    /// Looks back: who was primary when, and what should not have been
    ///
    /// Reads etcd's history since its last compaction, or one that was saved, and tells of each role every win, transfer and
    /// loss, and each time without a primary; and finds what the guarantees exclude: two locks, locks that were taken from
    /// their holders, guarded writes under a token that was not the lock's, tokens that went back. Writes nothing to etcd.
    Audit(audit::Audit),
    /// Follows what changes: one line for each change
    ///
    /// First how it is now. Then, as etcd tells it: who became primary, who is none any more, who registered or is gone, and
    /// what candidates say of themselves.
    Watch(watch::Watch),
    /// Asks a primary to hand over to a warm standby
    ///
    /// It is asked in its own record in etcd, and says there why it does not, if it does not: then it is primary as before.
    /// With --to, to that standby or to nobody. Waits for what comes of it, and takes the request back where nothing does.
    Transfer(ask::Transfer),
    /// Asks a primary to give primacy up
    ///
    /// As its host would: it hands over to a warm standby, and releases the lock where there is none.
    Resign(ask::Resign),
    /// Runs a program only while primary
    ///
    /// Campaigns for ROLE and stands by; once primary, starts the program with PRIMACY_TOKEN, the fencing token of this
    /// win, in its environment. Should primacy end, the program is told by SIGTERM and killed before the lease ends; then
    /// this stands by again. The program's end is the end of this, with its exit code (128 + n for signal n; 127 and 126
    /// where it can not be started, 125 where no session can be opened). Signals that end are passed on, and primacy
    /// is given up once the program has ended. Should this be killed, the kernel kills the program.
    Run(run::Run),
    /// Prints or sets the newest version that has been primary as mixcoord
    Version(version::Watermark),
    /// Serves an etcd FOR DEVELOPMENT AND TESTS ONLY
    ///
    /// One node, all data in memory and gone when it ends, no TLS, no users. It speaks etcd's gRPC protocol: KV, Watch,
    /// Lease, and of Cluster and Maintenance what clients ask first. It prints the address that it listens on as one line
    /// on stdout, then serves until it is ended.
    Dev(dev::Dev),
    /// Starts a program, and revokes its leases as soon as it is dead
    ///
    /// Signals go to the program, its exit code is returned (128 + n for signal n), and what it leaves behind is reaped:
    /// this can be the first process of a container. While the program lives, paused or not, nothing is revoked.
    Guard(guard::Guard),
    /// Prints completions for a shell
    Completions(pages::Completions),
    /// Prints a page of the manual, as `primacy man status | man -l -`
    Man(pages::Manual),
}

fn main() -> ExitCode {
    match Primacy::parse().command {
        Command::Status(status) => exit::end(status.run()),
        Command::Doctor(doctor) => exit::end(doctor.run()),
        Command::Audit(audit) => exit::end(audit.run()),
        Command::Watch(watch) => exit::end(watch.run()),
        Command::Transfer(transfer) => exit::end(transfer.run()),
        Command::Resign(resign) => exit::end(resign.run()),
        Command::Version(watermark) => exit::end(watermark.run()),
        Command::Dev(dev) => exit::end(dev.run()),
        Command::Run(run) => run.run(),
        Command::Guard(guard) => guard.run(),
        Command::Completions(completions) => exit::end(completions.run(Primacy::command())),
        Command::Man(manual) => exit::end(manual.run(Primacy::command())),
    }
}
