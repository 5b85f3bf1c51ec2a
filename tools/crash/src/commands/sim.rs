//! `tophash-crash sim`: random workloads on the simulated disk, crashed everywhere.

use std::process::ExitCode;
use std::sync::Arc;

use tophash_crash::campaign::{self, Span, Units};
use tophash_crash::subject::{Form, Layouts};
use tophash_crash::suite;
use tophash_crash::tally::Tally;

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

    /// The layouts of the stores that are crashed; a seed says which it is about
    #[arg(long, value_enum, default_value_t)]
    layout: Layouts,

    #[command(flatten)]
    span: Span,
}

impl Sim {
    pub fn run(&self) -> ExitCode {
        let layouts = self.layout;
        let run = |name: &str, cycles, cycle: fn(u64, Form, &Arc<Tally>) -> Result<(), String>| {
            let cycle = |seed: u64, tally: &Arc<Tally>| cycle(seed, layouts.form(seed), tally);
            campaign::run(layouts.name(name), Units::default(), &self.span, cycles, cycle).report()
        };
        match &self.mutant {
            Some(name) => mutants::run_one(name, layouts, &self.span),
            None if self.mutants => mutants::run_all(layouts, &self.span),
            None if self.nested => run("sim --nested", 300, suite::nested),
            None => run("sim", 1000, suite::crashes),
        }
    }
}

#[cfg(feature = "mutants")]
use super::mutants;

/// What a build without mutants says.
#[cfg(not(feature = "mutants"))]
mod mutants {
    use super::{ExitCode, Layouts, Span};

    pub fn run_one(_: &str, layouts: Layouts, span: &Span) -> ExitCode {
        run_all(layouts, span)
    }

    pub fn run_all(_: Layouts, _: &Span) -> ExitCode {
        eprintln!(
            "tophash-crash: this build has no mutants; run `cargo run --release -p tophash-crash --features mutants \
             -- sim --mutants`"
        );
        ExitCode::from(2)
    }
}
