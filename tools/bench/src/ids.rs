//! `ids`: the comparison where keys and values are numbers of 8 bytes.

use anyhow::Result;

use crate::args::{Ids, Stage};
use crate::child::Task;
use crate::compare::{About, built, scratch, write};
use crate::data::Widths;
use crate::engines::Kind;
use crate::measure::Results;
use crate::{table, targets};

pub fn run(ids: &Ids) -> Result<()> {
    let engines = if ids.engines.is_empty() { built(ids.entries) } else { ids.engines.clone() };
    let mut results = Results::default();
    for round in 1..=ids.rounds {
        for kind in &engines {
            eprintln!("round {round} of {}: {}, ids", ids.rounds, kind.name());
            let scratch = scratch(ids.output.dir.as_deref())?;
            let task = Task {
                kind: *kind,
                dir: scratch.path().join("store"),
                entries: ids.entries,
                workloads: Vec::new(),
                window_ms: 0,
                limit: None,
            };
            results.record(*kind, round, task.run(Stage::Ids));
        }
    }
    let about = About { entries: ids.entries, widths: Widths::IDS, rounds: ids.rounds, limit_mib: None };
    println!("{}\n", about.title());
    print!("{}", table::figures(&results));
    print!("{}", table::ratios(&results, Kind::TophashMap));
    print!("{}", targets::of_ids(&results));
    write(&ids.output, &results, &about)?;
    results.all_succeeded()
}
