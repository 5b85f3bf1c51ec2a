//! The comparison: rounds over engines, and in each engine the stages that its workloads need.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::args::{Compare, Output, Stage, Workload};
use crate::child::Task;
use crate::data::Widths;
use crate::engines::Kind;
use crate::measure::Results;
use crate::{svg, table, targets};

/// The buckets of a tkrzw that is not told how many entries there will be (`tkrzw_dbm_hash.h`).
const TKRZW_DEFAULT_BUCKETS: u64 = 1_048_583;

const STAGES: [Stage; 4] = [Stage::Points, Stage::Shared, Stage::Durable, Stage::FillAndWait];

pub fn run(compare: &Compare) -> Result<()> {
    let engines = engines(&compare.engines, compare.entries);
    let workloads = workloads(&compare.workloads);
    let mut results = Results::default();
    for round in 1..=compare.rounds {
        for kind in &engines {
            for stage in STAGES {
                let workloads: Vec<_> =
                    workloads.iter().copied().filter(|workload| workload.stage() == stage).collect();
                if workloads.is_empty() || (kind.is_in_memory() && needs_a_file(stage)) {
                    continue;
                }
                eprintln!("round {round} of {}: {}, {stage}", compare.rounds, kind.name());
                let scratch = scratch(compare.output.dir.as_deref())?;
                let task = Task {
                    kind: *kind,
                    dir: scratch.path().join("store"),
                    entries: compare.entries,
                    workloads,
                    window_ms: compare.window_ms,
                    limit: None,
                };
                results.record(*kind, round, task.run(stage));
            }
        }
    }
    let about =
        About { entries: compare.entries, widths: Widths::ENTRIES, rounds: compare.rounds, limit_mib: None };
    println!("{}\n", about.title());
    print!("{}", table::figures(&results));
    print!("{}", table::ratios(&results, Kind::Tophash));
    print!("{}", targets::report(&results, compare.entries));
    write(&compare.output, &results, &about)?;
    results.all_succeeded()
}

/// What the figures are of.
pub struct About {
    pub entries: u64,
    pub widths: Widths,
    pub rounds: u32,
    pub limit_mib: Option<u64>,
}

impl About {
    pub fn title(&self) -> String {
        let raw_megabytes = self.entries * self.widths.entry() as u64 / 1_000_000;
        let memory = self.limit_mib.map(|limit| format!(", {limit} MiB of memory")).unwrap_or_default();
        format!(
            "{} entries of {} + {} bytes ({raw_megabytes} MB raw){memory}; medians of {} rounds; thousands a second unless a unit is named",
            table::grouped(self.entries),
            self.widths.key,
            self.widths.value,
            self.rounds,
        )
    }
}

/// Writes the files that were asked for.
pub fn write(output: &Output, results: &Results, about: &About) -> Result<()> {
    if let Some(path) = &output.json {
        let about = serde_json::json!({
            "entries": about.entries,
            "key_bytes": about.widths.key,
            "value_bytes": about.widths.value,
            "rounds": about.rounds,
            "memory_mib": about.limit_mib,
        });
        save(path, &format!("{:#}\n", results.to_json(&about)))?;
    }
    if let Some(path) = &output.svg {
        save(path, &svg::draw(results, &about.title()))?;
    }
    Ok(())
}

/// A directory for one stage's store, removed when dropped.
pub fn scratch(dir: Option<&Path>) -> Result<tempfile::TempDir> {
    let dir = dir.map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::Builder::new()
        .prefix("tophash-bench-")
        .tempdir_in(&dir)
        .with_context(|| format!("no directory can be made in {}", dir.display()))
}

fn save(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn engines(wanted: &[Kind], entries: u64) -> Vec<Kind> {
    match wanted {
        [] => built(entries).into_iter().filter(|kind| !kind.is_of_numbers()).collect(),
        _ => wanted.to_vec(),
    }
}

/// Every engine that is built in and no other under another name.
pub fn built(entries: u64) -> Vec<Kind> {
    // Below that it would be the told one.
    let differs = |kind| kind != Kind::TkrzwUntold || entries > TKRZW_DEFAULT_BUCKETS;
    Kind::ALL.into_iter().filter(|kind| kind.is_built() && differs(*kind)).collect()
}

fn workloads(wanted: &[Workload]) -> Vec<Workload> {
    match wanted {
        [] => Workload::value_variants()
            .iter()
            .copied()
            .filter(|workload| *workload != Workload::Larger)
            .collect(),
        _ => wanted.to_vec(),
    }
}

fn needs_a_file(stage: Stage) -> bool {
    !matches!(stage, Stage::Points | Stage::Shared)
}
