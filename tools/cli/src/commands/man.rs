//! `tophash man`: manual pages.

use std::io::Write;

use clap::CommandFactory;
use clap_mangen::Man as Page;

use crate::args::Cli;
use crate::failure::Failure;
use crate::output;

/// Print a manual page, in roff
#[derive(clap::Args)]
#[command(after_help = "For example: tophash man stats | man -l -")]
pub struct Man {
    /// The page of this command rather than that of tophash
    command: Option<String>,
}

impl Man {
    pub fn run(self) -> Result<(), Failure> {
        let mut tophash = Cli::command();
        tophash.build();
        let command = match &self.command {
            None => tophash,
            Some(name) => {
                let found = tophash.find_subcommand(name).cloned();
                found.ok_or_else(|| Failure::Usage(format!("there is no command '{name}'")))?
            }
        };
        let mut out = output::data();
        Page::new(command).render(&mut out)?;
        Ok(out.flush()?)
    }
}
