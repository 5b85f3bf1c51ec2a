//! `larger-than-memory`: the data is four times what the process may have in memory.

use anyhow::Result;

use crate::args::{Larger, Stage};
use crate::cgroup::MemoryLimit;
use crate::child::Task;
use crate::compare::{About, scratch, write};
use crate::data::Widths;
use crate::engines::Kind;
use crate::measure::Results;
use crate::table;

const TIMES_THE_MEMORY: u64 = 4;

pub fn run(larger: &Larger) -> Result<()> {
    let memory_bytes = larger.memory_mib << 20;
    let entries = memory_bytes * TIMES_THE_MEMORY / Widths::ENTRIES.entry() as u64;
    let mut results = Results::default();
    for round in 1..=larger.rounds {
        for kind in &larger.engines {
            // A new group each time: what an engine left in the page cache is charged to the old one.
            let limit = match MemoryLimit::new(memory_bytes) {
                Ok(limit) => limit,
                Err(why) => {
                    println!("larger-than-memory: skipped, because {why:#}");
                    return Ok(());
                }
            };
            eprintln!("round {round} of {}: {}, larger than memory", larger.rounds, kind.name());
            let scratch = scratch(larger.output.dir.as_deref())?;
            let task = Task {
                kind: *kind,
                dir: scratch.path().join("store"),
                entries,
                workloads: Vec::new(),
                window_ms: larger.window_ms,
                limit: Some((limit.path().to_owned(), larger.memory_mib)),
            };
            results.record(*kind, round, task.run(Stage::Larger));
        }
    }
    let about =
        About { entries, widths: Widths::ENTRIES, rounds: larger.rounds, limit_mib: Some(larger.memory_mib) };
    println!("{}\n", about.title());
    print!("{}", table::figures(&results));
    print!("{}", table::ratios(&results, Kind::Tophash));
    write(&larger.output, &results, &about)?;
    results.all_succeeded()
}
