//! `tophash-bench`: this store beside its peers, measured in one run.

mod args;
mod backup;
mod cgroup;
mod child;
mod compare;
mod data;
mod disk;
mod engines;
mod ids;
mod larger;
mod measure;
mod rows;
mod svg;
mod table;
mod targets;
mod workloads;
mod zipf;

use anyhow::Result;
use clap::Parser;

use args::{Cli, Command};

fn main() -> Result<()> {
    let cli = Cli::parse();
    match &cli.command {
        None => compare::run(&cli.compare),
        Some(Command::LargerThanMemory(larger)) => larger::run(larger),
        Some(Command::Ids(ids)) => ids::run(ids),
        Some(Command::Backup(backup)) => backup::run(backup),
        Some(Command::Run(run)) => workloads::run(run),
    }
}
