//! A process fills a store and is killed; another opens what is left.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Job, report};
use crate::data::{generation_of, key, value};
use crate::rows::Row;

/// What a process says once the store is filled.
pub const FILLED: &str = "filled";

/// Ends by SIGKILL; a limit stands behind it, so that nothing waits for ever if the parent died.
pub fn fill_and_wait(job: &Job) -> Result<()> {
    let engine = job.kind.open(&job.settings)?;
    for number in 0..job.entries {
        let key = key(number);
        engine.put(&key, &value(&key, 0))?;
    }
    println!("{FILLED}");
    std::thread::sleep(Duration::from_secs(600));
    Ok(())
}

/// The time to the first answer; then looks how many of the writes are there. A wrong value is an error, a
/// missing one a loss.
pub fn recover(job: &Job) -> Result<()> {
    let mut buffer = Vec::new();
    let begin = Instant::now();
    let engine = job.kind.open(&job.settings)?;
    engine.get(&key(0), &mut buffer)?;
    report(Row::OpenKilled, begin.elapsed().as_secs_f64() * 1e3)?;
    let mut survived = 0_u64;
    for number in 0..job.entries {
        let key = key(number);
        if engine.get(&key, &mut buffer)? {
            generation_of(&key, &buffer).context("a wrong value after SIGKILL")?;
            survived += 1;
        }
    }
    report(Row::Survived, survived as f64 * 100.0 / job.entries as f64)?;
    engine.close()
}
