//! Random reads, then random writes, where the data is larger than the memory.

use anyhow::Result;

use super::race::race;
use super::{Job, fill_by_batches, get_checked, report};
use crate::data::{Random, key, value};
use crate::rows::Row;

pub fn run(job: &Job) -> Result<()> {
    let engine = job.kind.open_shared(&job.settings)?;
    let engine = &engine;
    fill_by_batches(&**engine, job.entries)?;
    engine.sync()?;
    let (mut random, mut buffer) = (Random::new(6), Vec::new());
    let read = move |_| get_checked(&**engine, &key(random.below(job.entries)), &mut buffer).map(drop);
    report(Row::LargeReads, race(job.window, vec![Box::new(read)])?.iter().sum())?;
    let mut random = Random::new(7);
    let write = move |_| {
        let key = key(random.below(job.entries));
        engine.put(&key, &value(&key, 1))
    };
    report(Row::LargeWrites, race(job.window, vec![Box::new(write)])?.iter().sum())
}
