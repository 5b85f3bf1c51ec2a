//! `ids`: numbers under numbers, by one thread. Filled, read, overwritten, counted up and emptied.

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::latency::Latency;
use super::{Job, rate, report};
use crate::data::{absent_id, id, number, shuffled};
use crate::disk;
use crate::engines::Ids;
use crate::rows::Row;

const OVERWRITES: u8 = 10;

pub fn run(job: &Job) -> Result<()> {
    let ids = job.kind.open_ids(&job.settings)?;
    fill(job, &*ids)?;
    report(Row::AnonymousMemory, disk::anonymous_memory_bytes()? as f64)?;
    report_file(job, Row::FileFilled)?;
    let order = shuffled(job.entries, 1);
    report(Row::Get, rate(order.iter(), |place| get_checked(&*ids, *place, 0, 0))?)?;
    let miss = |place: &u32| {
        ensure!(ids.get(absent_id(u64::from(*place)))?.is_none(), "an absent id is there");
        Ok(())
    };
    report(Row::Miss, rate(order.iter(), miss)?)?;
    report(Row::Iterate, iterate(&*ids, job.entries, |id| number(id, 0))?)?;

    let ids = open_again(job, ids, Row::FileFilledClosed)?;
    overwrite(&*ids, &order)?;
    report_file(job, Row::FileOverwritten)?;
    let ids = open_again(job, ids, Row::FileOverwrittenClosed)?;
    report(Row::Add, rate(order.iter(), |place| ids.add(id(u64::from(*place)), 1))?)?;
    ids.sync()?;
    order.iter().try_for_each(|place| get_checked(&*ids, *place, OVERWRITES, 1))?;
    remove(&*ids, job.entries)?;
    ids.close()
}

fn report_file(job: &Job, row: Row) -> Result<()> {
    if job.kind.is_in_memory() {
        return Ok(());
    }
    report(row, disk::allocated_bytes(job.dir())? as f64)
}

/// Reports what the store takes while it is closed. A map in memory would be lost.
fn open_again(job: &Job, ids: Box<dyn Ids>, row: Row) -> Result<Box<dyn Ids>> {
    if job.kind.is_in_memory() {
        return Ok(ids);
    }
    ids.close()?;
    report_file(job, row)?;
    job.kind.open_ids(&job.settings)
}

fn fill(job: &Job, ids: &dyn Ids) -> Result<()> {
    let mut latency = Latency::new()?;
    let fill = rate(0..job.entries as usize, |place| {
        let id = id(place as u64);
        ids.put(id, number(id, 0))?;
        latency.tick()
    })?;
    latency.report(fill)?;
    ids.sync()
}

/// Everything, again and again; the rate is that of all of it.
fn overwrite(ids: &dyn Ids, order: &[u32]) -> Result<()> {
    let begin = Instant::now();
    for generation in 1..=OVERWRITES {
        for place in order {
            let id = id(u64::from(*place));
            ids.put(id, number(id, generation))?;
        }
    }
    let puts = order.len() as f64 * f64::from(OVERWRITES);
    report(Row::Overwrite, puts / begin.elapsed().as_secs_f64())?;
    ids.sync()
}

/// Nine of ten, in random order; then sees that the tenth, and it alone, is left.
fn remove(ids: &dyn Ids, entries: u64) -> Result<()> {
    let order = shuffled(entries, 2);
    let (removed, left) = order.split_at(order.len() / 10 * 9);
    report(Row::Remove, rate(removed.iter(), |place| ids.remove(id(u64::from(*place))))?)?;
    iterate(ids, left.len() as u64, |id| number(id, OVERWRITES).wrapping_add(1))?;
    left.iter().try_for_each(|place| get_checked(ids, *place, OVERWRITES, 1))
}

/// Entries a second; each must have the number that is expected of its id.
fn iterate(ids: &dyn Ids, entries: u64, expected: impl Fn(u64) -> u64) -> Result<f64> {
    let (mut found, mut wrong) = (0_u64, 0_u64);
    let iterate = rate(std::iter::once(()), |()| {
        ids.iterate(&mut |id, number| {
            found += 1;
            wrong += u64::from(number != expected(id));
        })
    })?;
    ensure!(wrong == 0, "{wrong} of {found} numbers are not what was stored");
    ensure!(found == entries, "{found} entries instead of {entries}");
    Ok(iterate * found as f64)
}

/// Gets a number that is there and checks it: that of the generation, and what was added since.
fn get_checked(ids: &dyn Ids, place: u32, generation: u8, added: u64) -> Result<()> {
    let id = id(u64::from(place));
    let found = ids.get(id)?.with_context(|| format!("an id is missing: {id:016x}"))?;
    let stored = number(id, generation).wrapping_add(added);
    ensure!(found == stored, "{found:016x} instead of {stored:016x} under {id:016x}");
    Ok(())
}
