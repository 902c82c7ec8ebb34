//! `primacy completions` and `primacy man`: made from the command itself.

use std::ffi::OsString;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::exit::{Failed, WELL};
use crate::screen;

/// What `primacy completions` is told.
#[derive(clap::Args)]
pub struct Completions {
    /// For this shell
    shell: Shell,
}

impl Completions {
    /// Writes them to stdout.
    pub fn run(self, mut command: Command) -> Result<u8, Failed> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "primacy", &mut script);
        screen::out(&String::from_utf8_lossy(&script))?;
        Ok(WELL)
    }
}

/// What `primacy man` is told.
#[derive(clap::Args)]
pub struct Manual {
    /// The page of this subcommand; else the command's own
    #[arg(value_name = "SUBCOMMAND")]
    of: Option<OsString>,
}

impl Manual {
    /// Writes the page to stdout, as `man -l` takes it.
    pub fn run(self, mut command: Command) -> Result<u8, Failed> {
        command.build();
        let page = match &self.of {
            None => command,
            Some(name) => {
                let found = command.find_subcommand(name).cloned();
                found.ok_or_else(|| Failed::usage(format!("no subcommand is called {name:?}")))?
            }
        };
        let mut text = Vec::new();
        Man::new(page).render(&mut text)?;
        screen::out(&String::from_utf8_lossy(&text))?;
        Ok(WELL)
    }
}
