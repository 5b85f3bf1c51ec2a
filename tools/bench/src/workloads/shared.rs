//! What two threads do at once, each lone rate beside it; before that the store is filled by batches, closed and
//! opened again.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::race::{Task, race};
use super::{Job, fill_by_batches, get_checked, report};
use crate::args::Workload;
use crate::data::{key, shuffled, value};
use crate::engines::Engine;
use crate::rows::Row;

type Shared = dyn Engine + Sync;

pub fn run(job: &Job) -> Result<()> {
    let engine = job.kind.open_shared(&job.settings)?;
    let batches = fill_by_batches(&*engine, job.entries)?;
    if job.wants(Workload::Batches) {
        report(Row::Batches, batches)?;
    }
    let engine = if job.kind.is_in_memory() { engine } else { open_again(job, engine)? };
    if job.wants(Workload::Threads) {
        threads(job, &*engine)?;
    }
    engine.close()
}

/// The time to the first value after a clean close.
fn open_again(job: &Job, engine: Box<Shared>) -> Result<Box<Shared>> {
    engine.close()?;
    let begin = Instant::now();
    let engine = job.kind.open_shared(&job.settings)?;
    get_checked(&*engine, &key(0), &mut Vec::new())?;
    if job.wants(Workload::Open) {
        report(Row::OpenClean, begin.elapsed().as_secs_f64() * 1e3)?;
    }
    Ok(engine)
}

fn threads(job: &Job, engine: &Shared) -> Result<()> {
    let orders = [shuffled(job.entries, 4), shuffled(job.entries, 5)];
    let run = |tasks| race(job.window, tasks);
    // The first touch of the pages after opening is nobody's rate.
    for number in &orders[0] {
        get_checked(engine, &key(u64::from(*number)), &mut Vec::new())?;
    }
    report(Row::LoneReader, run(vec![reader(engine, &orders[0])])?.iter().sum())?;
    report(Row::TwoReaders, run(vec![reader(engine, &orders[0]), reader(engine, &orders[1])])?.iter().sum())?;
    report(Row::LoneWriter, run(vec![writer(engine, &orders[1])])?.iter().sum())?;
    let both = run(vec![reader(engine, &orders[0]), writer(engine, &orders[1])])?;
    ensure!(both.len() == 2, "two threads have two rates");
    report(Row::ReaderBeside, both[0])?;
    report(Row::WriterBeside, both[1])
}

fn reader<'a>(engine: &'a Shared, order: &'a [u32]) -> Task<'a> {
    let mut buffer = Vec::new();
    Box::new(move |done| get_checked(engine, &nth(order, done), &mut buffer).map(drop))
}

fn writer<'a>(engine: &'a Shared, order: &'a [u32]) -> Task<'a> {
    Box::new(move |done| {
        let key = nth(order, done);
        engine.put(&key, &value(&key, 3))
    })
}

fn nth(order: &[u32], done: u64) -> crate::data::Key {
    key(u64::from(order[done as usize % order.len()]))
}
