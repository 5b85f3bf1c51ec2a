//! `tophash-crash`: attacks the store harder than its users will, and says what it found.

mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Crash a tophash store in every way there is, and see what is left.
///
/// Every run says the seed that it began with, and can be repeated from it.
#[derive(Parser)]
#[command(name = "tophash-crash", version, disable_help_subcommand = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  nothing is wrong (or skipped, which says why)
  1  a violation: its seed and what was found are printed
  2  usage, or nothing was tried";

#[derive(Subcommand)]
enum Command {
    Sim(commands::sim::Sim),
    Faults(commands::faults::Faults),
    Kill(commands::kill::Kill),
    Powercut(commands::powercut::Powercut),
    Flip(commands::flip::Flip),
    #[command(hide = true)]
    Worker(commands::worker::Worker),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Sim(sim) => sim.run(),
        Command::Faults(faults) => faults.run(),
        Command::Kill(kill) => kill.run(),
        Command::Powercut(powercut) => powercut.run(),
        Command::Flip(flip) => flip.run(),
        Command::Worker(worker) => worker.run(),
    }
}
