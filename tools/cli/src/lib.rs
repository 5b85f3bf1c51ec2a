//! `tophash`: import, look up, inspect and dump tophash files.
//!
//! The command as a library, so that what it parses can be fuzzed: `tools/fuzz`. One file per verb in `commands`;
//! `lines` reads text line by line, `entry` reads and writes entries in it, `types` says what keys and values are,
//! `text` has the escapes, `output` is how reports look, `failure` what can go wrong and the exit code of each.

pub mod args;
mod commands;
pub mod entry;
mod failure;
mod lines;
mod new_file;
mod output;
mod store;
pub mod text;
pub mod types;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use failure::Failure;

/// Does what the arguments of the process ask for.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.color.write_global();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(create) => create.run(),
        Command::Import(import) => import.run(),
        Command::Export(export) => export.run(),
        Command::Dump(dump) => dump.run(),
        Command::Get(get) => get.run(),
        Command::Set(set) => set.run(),
        Command::Add(add) => add.run(),
        Command::Del(del) => del.run(),
        Command::Clear(clear) => clear.run(),
        Command::Info(info) => info.run(),
        Command::Stats(stats) => stats.run(),
        Command::Buckets(buckets) => buckets.run(),
        Command::Growth(growth) => growth.run(),
        Command::Verify(verify) => verify.run(),
        Command::Salvage(salvage) => salvage.run(),
        Command::Backup(backup) => backup.run(),
        Command::Checkpoint(checkpoint) => checkpoint.run(),
        Command::Compact(compact) => compact.run(),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
    }
}
