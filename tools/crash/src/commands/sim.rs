//! `tophash-crash sim`: random workloads on the simulated disk, crashed everywhere.

use std::process::ExitCode;

use tophash_crash::campaign::{self, Span, Units};
use tophash_crash::suite;

/// Crash random workloads on the simulated disk, at every call and between stores into mapped memory.
#[derive(clap::Args)]
pub struct Sim {
    /// Crash the recoveries too, three deep
    #[arg(long)]
    nested: bool,

    #[command(flatten)]
    span: Span,
}

impl Sim {
    pub fn run(&self) -> ExitCode {
        let units = Units::default();
        match self.nested {
            false => campaign::run("sim", units, &self.span, 1000, suite::crashes).report(),
            true => campaign::run("sim --nested", units, &self.span, 300, suite::nested).report(),
        }
    }
}
