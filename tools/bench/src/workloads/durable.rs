//! Puts that are on disk before they return, by one thread and by two.

use anyhow::Result;

use super::race::{Task, race};
use super::{Job, get_checked, report};
use crate::data::{key, value};
use crate::engines::{Engine, Mode, Settings};
use crate::rows::Row;

/// Threads take their keys from ranges of their own.
const KEYS_A_THREAD: u64 = 1 << 32;

pub fn run(job: &Job) -> Result<()> {
    let settings = Settings { mode: Mode::Durable, ..job.settings.clone() };
    let engine = job.kind.open_shared(&settings)?;
    for (row, threads) in [(Row::DurableOne, 0..1), (Row::DurableTwo, 1..3)] {
        let tasks = threads.clone().map(|thread| putter(&*engine, thread * KEYS_A_THREAD)).collect();
        report(row, race(job.window, tasks)?.iter().sum())?;
        for thread in threads {
            get_checked(&*engine, &key(thread * KEYS_A_THREAD), &mut Vec::new())?;
        }
    }
    engine.close()
}

fn putter(engine: &(dyn Engine + Sync), first: u64) -> Task<'_> {
    Box::new(move |done| {
        let key = key(first + done);
        engine.put(&key, &value(&key, 0))
    })
}
