//! What a child process does: one stage, and a line of JSON for each figure.

mod durable;
mod ids;
mod larger;
mod latency;
mod points;
mod race;
mod reopen;
mod shared;
mod ycsb;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::args::{Run, Stage, Workload};
use crate::cgroup;
use crate::data::{Key, Widths, generation_of, key, value};
use crate::engines::{Engine, Kind, Mode, Settings};
use crate::measure::Measurement;
use crate::rows::Row;

pub use reopen::FILLED;

/// One child's task.
pub struct Job {
    pub kind: Kind,
    entries: u64,
    window: Duration,
    settings: Settings,
    workloads: Vec<Workload>,
}

pub fn run(run: &Run) -> Result<()> {
    if let Some(group) = &run.cgroup {
        cgroup::enter(group)?;
    }
    let job = Job::new(run);
    match run.stage {
        Stage::Points => points::run(&job),
        Stage::Shared => shared::run(&job),
        Stage::Durable => durable::run(&job),
        Stage::FillAndWait => reopen::fill_and_wait(&job),
        Stage::Recover => reopen::recover(&job),
        Stage::Larger => larger::run(&job),
        Stage::Ids => ids::run(&job),
    }
    .with_context(|| format!("{}, {:?}", job.kind.name(), run.stage))
}

impl Job {
    fn new(run: &Run) -> Self {
        let widths = if run.stage == Stage::Ids { Widths::IDS } else { Widths::ENTRIES };
        let larger_than_memory = run.memory_mib.is_some();
        let cache_bytes = match run.memory_mib {
            Some(memory_mib) => (memory_mib << 20) / 4,
            // Twice the data fits every engine's data with what it keeps beside it.
            None => (run.entries * widths.entry() as u64 * 2).max(256 << 20),
        };
        Job {
            kind: run.engine,
            entries: run.entries,
            window: Duration::from_millis(run.window_ms),
            settings: Settings {
                dir: run.dir.clone(),
                entries: run.entries,
                widths,
                mode: Mode::Buffered,
                cache_bytes,
                larger_than_memory,
            },
            workloads: run.workloads.clone(),
        }
    }

    fn wants(&self, workload: Workload) -> bool {
        self.workloads.contains(&workload)
    }

    fn dir(&self) -> &Path {
        &self.settings.dir
    }
}

fn report(row: Row, value: f64) -> Result<()> {
    println!("{}", serde_json::to_string(&Measurement { row, value })?);
    Ok(())
}

/// Runs `work` for each item, and says how many a second that were.
fn rate<T>(items: impl ExactSizeIterator<Item = T>, mut work: impl FnMut(T) -> Result<()>) -> Result<f64> {
    let count = items.len() as f64;
    let begin = Instant::now();
    for item in items {
        work(item)?;
    }
    Ok(count / begin.elapsed().as_secs_f64())
}

/// Fills the store without measuring anything but the time of it all: by batches of a thousand.
fn fill_by_batches(engine: &dyn Engine, entries: u64) -> Result<f64> {
    const BATCH: u64 = 1000;
    let batches = entries.div_ceil(BATCH);
    let begin = Instant::now();
    for batch in 0..batches {
        let numbers = batch * BATCH..entries.min((batch + 1) * BATCH);
        let entries: Vec<_> = numbers.map(|number| (key(number), value(&key(number), 0))).collect();
        engine.put_batch(&entries)?;
    }
    Ok(entries as f64 / begin.elapsed().as_secs_f64())
}

/// Gets the value of a key that is there, into a buffer, and checks it.
fn get_checked(engine: &(impl Engine + ?Sized), key: &Key, buffer: &mut Vec<u8>) -> Result<u8> {
    ensure!(engine.get(key, buffer)?, "a key is missing: {key:02x?}");
    generation_of(key, buffer).with_context(|| format!("a wrong value under {key:02x?}: {buffer:02x?}"))
}
