//! The command line.

use std::fmt::{Display, Formatter};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::engines::Kind;

/// Measures tophash against other embedded key-value stores.
///
/// Every engine runs in a process of its own; rounds are interleaved over the engines, and medians are printed.
/// Keys have 16 random bytes, values 100, and every value that is read is checked.
#[derive(Parser)]
#[command(name = "tophash-bench", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub compare: Compare,
}

#[derive(Subcommand)]
pub enum Command {
    /// Random reads and writes where the data is four times the memory (a cgroup's limit; needs root).
    LargerThanMemory(Larger),
    /// Numbers of 8 bytes under numbers of 8 bytes: the store's typed map beside the others.
    Ids(Ids),
    /// What a writer loses while the store is copied beside it.
    Backup(Backup),
    #[command(hide = true)]
    Run(Run),
}

#[derive(Args)]
pub struct Compare {
    /// Engines to compare; all that are built in, unless told otherwise.
    #[arg(long, value_delimiter = ',')]
    pub engines: Vec<Kind>,
    /// Workloads to run; all, unless told otherwise.
    #[arg(long, value_delimiter = ',')]
    pub workloads: Vec<Workload>,
    /// Entries in the store.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=u64::from(u32::MAX)))]
    pub entries: u64,
    /// Rounds; medians are taken over them.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// How long threads run beside each other, and durable puts, in milliseconds.
    #[arg(long, default_value_t = 1_000)]
    pub window_ms: u64,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args)]
pub struct Larger {
    /// Engines to compare.
    #[arg(long, value_delimiter = ',', default_values_t = larger_engines(), value_parser = clap::value_parser!(Kind))]
    pub engines: Vec<Kind>,
    /// Memory that an engine's process may use, page cache included, in MiB.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(32..))]
    pub memory_mib: u64,
    /// Rounds; medians are taken over them.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// How long reads and then writes run, in milliseconds.
    #[arg(long, default_value_t = 10_000)]
    pub window_ms: u64,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args)]
pub struct Ids {
    /// Engines to compare; all that are built in, unless told otherwise.
    #[arg(long, value_delimiter = ',')]
    pub engines: Vec<Kind>,
    /// Entries in the store.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=u64::from(u32::MAX)))]
    pub entries: u64,
    /// Rounds; medians are taken over them.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Args)]
pub struct Backup {
    /// Entries in the store.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    pub entries: u64,
    /// Copies that are made.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// How long the writer is measured alone, before and after each copy, in milliseconds.
    #[arg(long, default_value_t = 1_000)]
    pub window_ms: u64,
    /// Where the store and its copies are made, and removed again.
    #[arg(long)]
    pub dir: Option<PathBuf>,
}

#[derive(Args)]
pub struct Output {
    /// Where the stores are made, and removed again; the system's directory for temporary files unless told
    /// otherwise. Must not be in memory for durable puts to mean anything.
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Writes every figure of every round to this file.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Draws the medians into this file.
    #[arg(long)]
    pub svg: Option<PathBuf>,
}

/// What a child does.
#[derive(Args, Clone)]
pub struct Run {
    pub engine: Kind,
    pub stage: Stage,
    #[arg(long)]
    pub dir: PathBuf,
    #[arg(long)]
    pub entries: u64,
    #[arg(long, value_delimiter = ',')]
    pub workloads: Vec<Workload>,
    #[arg(long)]
    pub window_ms: u64,
    /// The control group to enter first.
    #[arg(long)]
    pub cgroup: Option<PathBuf>,
    /// That group's limit.
    #[arg(long)]
    pub memory_mib: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    Fill,
    Batches,
    Get,
    Miss,
    Iterate,
    Ycsb,
    Overwrite,
    Remove,
    Threads,
    Durable,
    Open,
    Kill,
    Size,
    /// Of `larger-than-memory` alone.
    #[value(hide = true)]
    Larger,
}

impl Workload {
    /// The process in which it runs.
    pub fn stage(self) -> Stage {
        match self {
            Workload::Batches | Workload::Open | Workload::Threads => Stage::Shared,
            Workload::Durable => Stage::Durable,
            Workload::Kill => Stage::FillAndWait,
            Workload::Larger => Stage::Larger,
            _ => Stage::Points,
        }
    }
}

/// What one process does, beginning with an empty directory (but for [`Stage::Recover`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// Everything that one thread does.
    Points,
    /// Fills by batches, opens again, then two threads at once.
    Shared,
    Durable,
    /// Fills, says so, and waits for its end.
    FillAndWait,
    /// Opens what a killed process left.
    Recover,
    Larger,
    Ids,
}

/// As on the command line.
fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

impl Display for Workload {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&name(self))
    }
}

impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&name(self))
    }
}

fn larger_engines() -> Vec<Kind> {
    [Kind::Tophash, Kind::Lmdb, Kind::Redb, Kind::Rocksdb]
        .into_iter()
        .filter(|kind| kind.is_built())
        .collect()
}
