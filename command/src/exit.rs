//! With which exit codes the command ends, and what it says before.

use std::process::ExitCode;

use primacy::store::Failure;

/// As it should be.
pub const WELL: u8 = 0;
/// Something was found, or not done; what, is said.
pub const FOUND: u8 = 1;
/// The command line, or a setting. clap ends with the same.
pub const USAGE: u8 = 2;
/// etcd could not be reached, denied it, or did not answer in time.
pub const NO_ANSWER: u8 = 3;

/// Of those that end with a program's exit code: it could not be begun, or broke.
pub const BROKEN: u8 = 125;

/// They stand below the help of each subcommand that asks etcd.
pub const HELP: &str = "\
Exit codes:
  0  as it should be
  1  something was found, or not done: what, is said
  2  the command line or a setting is wrong
  3  etcd can not be reached, denies it, or does not answer in time";

/// Why a command ends without what it was asked for.
#[derive(Debug)]
pub struct Failed {
    /// One of the above.
    pub code: u8,
    /// For people.
    pub why: String,
}

impl Failed {
    /// A setting or an argument is wrong.
    pub fn usage(why: impl ToString) -> Failed {
        Failed { code: USAGE, why: why.to_string() }
    }

    /// There is no program whose exit code it would be.
    pub fn broken(why: impl ToString) -> Failed {
        Failed { code: BROKEN, why: why.to_string() }
    }

    /// It was not done.
    pub fn not_done(why: impl ToString) -> Failed {
        Failed { code: FOUND, why: why.to_string() }
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Failed {
        Failed { code: NO_ANSWER, why: failure.to_string() }
    }
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Failed {
        Failed::not_done(error)
    }
}

/// Says why, if it failed, and ends with the code.
pub fn end(done: Result<u8, Failed>) -> ExitCode {
    ExitCode::from(done.unwrap_or_else(|Failed { code, why }| {
        anstream::eprintln!("primacy: {why}");
        code
    }))
}
