//! `tophash completions`: completion scripts.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::Failure;
use crate::output;

/// Print the completion script of a shell
#[derive(clap::Args)]
#[command(
    after_help = "For example: tophash completions bash > ~/.local/share/bash-completion/completions/tophash"
)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub fn run(self) -> Result<(), Failure> {
        // Into memory first: `generate` panics where it can't write, as it can't to a closed pipe.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "tophash", &mut script);
        let mut out = output::data();
        out.write_all(&script)?;
        Ok(out.flush()?)
    }
}
