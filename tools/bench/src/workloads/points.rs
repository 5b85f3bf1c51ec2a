//! What one thread does: a store is filled, read, overwritten and emptied.

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::latency::Latency;
use super::{Job, get_checked, rate, report, ycsb};
use crate::args::Workload;
use crate::data::{absent_key, generation_of, key, shuffled, value};
use crate::disk;
use crate::engines::Engine;
use crate::rows::Row;

pub fn run(job: &Job) -> Result<()> {
    let engine = job.kind.open(&job.settings)?;
    fill(job, &*engine)?;
    let on_disk = !job.kind.is_in_memory();
    if job.wants(Workload::Size) {
        report(Row::AnonymousMemory, disk::anonymous_memory_bytes()? as f64)?;
        if on_disk {
            report(Row::FileFilled, disk::allocated_bytes(job.dir())? as f64)?;
        }
    }
    let order = shuffled(job.entries, 1);
    let mut buffer = Vec::new();
    if job.wants(Workload::Get) {
        let get = |number: &u32| get_checked(&*engine, &key(u64::from(*number)), &mut buffer).map(drop);
        report(Row::Get, rate(order.iter(), get)?)?;
        report(Row::GetMany, get_many(&*engine, &order, &mut buffer)?)?;
    }
    if job.wants(Workload::Miss) {
        let miss = |number: &u32| {
            ensure!(!engine.get(&absent_key(u64::from(*number)), &mut buffer)?, "an absent key is there");
            Ok(())
        };
        report(Row::Miss, rate(order.iter(), miss)?)?;
    }
    if job.wants(Workload::Iterate) {
        iterate(&*engine, job.entries, true)?;
    }
    if job.wants(Workload::Ycsb) {
        ycsb::run(job, &*engine)?;
    }
    if job.wants(Workload::Overwrite) {
        report(Row::Overwrite, rate(order.iter(), |number| put(&*engine, u64::from(*number), 1))?)?;
        engine.sync()?;
    }
    let removes = job.wants(Workload::Remove) || (on_disk && job.wants(Workload::Size));
    if removes {
        remove(job, &*engine)?;
    }
    engine.close()?;
    if removes && on_disk && job.wants(Workload::Size) {
        report(Row::FileRemoved, disk::allocated_bytes(job.dir())? as f64)?;
    }
    Ok(())
}

/// Keys that were got a thousand at a time, a second.
fn get_many(engine: &dyn Engine, order: &[u32], buffer: &mut Vec<u8>) -> Result<f64> {
    let begin = Instant::now();
    for numbers in order.chunks(1000) {
        let keys: Vec<_> = numbers.iter().map(|number| key(u64::from(*number))).collect();
        engine.get_many(&keys, buffer, &mut |key, value| {
            let value = value.with_context(|| format!("a key is missing: {key:02x?}"))?;
            let generation = generation_of(key, value);
            generation.map(drop).with_context(|| format!("a wrong value under {key:02x?}: {value:02x?}"))
        })?;
    }
    Ok(order.len() as f64 / begin.elapsed().as_secs_f64())
}

fn fill(job: &Job, engine: &dyn Engine) -> Result<()> {
    let mut latency = Latency::new()?;
    let fill = rate(0..job.entries as usize, |number| {
        put(engine, number as u64, 0)?;
        latency.tick()
    })?;
    if job.wants(Workload::Fill) {
        latency.report(fill)?;
    }
    engine.sync()
}

/// Nine of ten, in random order; then sees that the tenth, and it alone, is left.
fn remove(job: &Job, engine: &dyn Engine) -> Result<()> {
    let order = shuffled(job.entries, 2);
    let (removed, left) = order.split_at(order.len() / 10 * 9);
    let remove = rate(removed.iter(), |number| engine.remove(&key(u64::from(*number))))?;
    if job.wants(Workload::Remove) {
        report(Row::Remove, remove)?;
    }
    iterate(engine, left.len() as u64, false)?;
    let mut buffer = Vec::new();
    for number in left {
        get_checked(engine, &key(u64::from(*number)), &mut buffer)?;
    }
    Ok(())
}

fn iterate(engine: &dyn Engine, expected: u64, reported: bool) -> Result<()> {
    let (mut entries, mut wrong) = (0_u64, 0_u64);
    let iterate = rate(std::iter::once(()), |()| {
        engine.iterate(&mut |key, value| {
            entries += 1;
            let right = key.try_into().is_ok_and(|key| generation_of(key, value).is_some());
            wrong += u64::from(!right);
        })
    })?;
    ensure!(wrong == 0, "{wrong} of {entries} entries are not what was stored");
    ensure!(entries == expected, "{entries} entries instead of {expected}");
    if reported { report(Row::Iterate, iterate * entries as f64) } else { Ok(()) }
}

fn put(engine: &dyn Engine, number: u64, generation: u8) -> Result<()> {
    let key = key(number);
    engine.put(&key, &value(&key, generation))
}
