//! `tophash-crash sim`: random workloads on the simulated disk, crashed everywhere.

use std::process::ExitCode;

use tophash_crash::campaign::{self, Span, Units};
use tophash_crash::suite;

/// Crash random workloads on the simulated disk, at every call and between stores into mapped memory
#[derive(clap::Args)]
pub struct Sim {
    /// Crash the recoveries too, three deep
    #[arg(long, conflicts_with_all = ["mutants", "mutant"])]
    nested: bool,

    /// Leave the steps that keep data safe out, one after the other: each must be noticed. Needs a build with
    /// `--features mutants`
    #[arg(long, conflicts_with = "mutant")]
    mutants: bool,

    /// Leave one step out, by its name
    #[arg(long, value_name = "NAME")]
    mutant: Option<String>,

    #[command(flatten)]
    span: Span,
}

impl Sim {
    pub fn run(&self) -> ExitCode {
        let units = Units::default();
        match &self.mutant {
            Some(name) => mutants::run_one(name, &self.span),
            None if self.mutants => mutants::run_all(&self.span),
            None if self.nested => {
                campaign::run("sim --nested", units, &self.span, 300, suite::nested).report()
            }
            None => campaign::run("sim", units, &self.span, 1000, suite::crashes).report(),
        }
    }
}

#[cfg(feature = "mutants")]
use super::mutants;

/// What a build without mutants says.
#[cfg(not(feature = "mutants"))]
mod mutants {
    use super::{ExitCode, Span};

    pub fn run_one(_: &str, _: &Span) -> ExitCode {
        run_all(&Span::default())
    }

    pub fn run_all(_: &Span) -> ExitCode {
        eprintln!(
            "tophash-crash: this build has no mutants; run `cargo run --release -p tophash-crash --features mutants \
             -- sim --mutants`"
        );
        ExitCode::from(2)
    }
}
