//! Growths that begin where there is hardly room.

use tophash::Store;
use tophash::sim::{CallKind, Crash, Failure, Fault, SimDisk, When};

use super::{Verdict, holds, insert, key, open};
use crate::content::Payload;
use crate::life::shape;
use crate::program::Setup;
use crate::script::ORDINARY;
use crate::workload::Dice;

/// Entries at which a table that is made for so many doubles.
fn full_table(store: &Store) -> Result<u64, String> {
    let b = store.growth().map_err(|error| error.to_string())?.b;
    Ok((1 << b) * 13 / 2)
}

/// A growth that can't be afforded is put off, and the entry is stored; it comes when there is room.
pub fn that_can_not_be_had(dice: &mut Dice) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup { capacity: dice.between(60, 200), ..Setup::ORDINARY })?;
    let full = full_table(&store)?;
    for n in 0..full {
        insert(&store, n, 8).map_err(|error| error.to_string())?;
    }
    // Buckets cost no space before a checkpoint writes them; the mapping may fail.
    disk.fail(Fault { when: When::From(0), kind: Some(CallKind::Map), failure: Failure::NoSpace });
    // An entry may need an overflow bucket that is not there; four don't.
    let more: Vec<_> = (full..full + 4).map(|n| insert(&store, n, 8)).collect();
    if more.iter().all(Result::is_err) {
        return Err(format!("nothing can be stored while a growth can't be had: {:?}", more[0]));
    }
    // What a replay makes of it: the growth is not in the log.
    let after = disk.crash(dice.below(u64::MAX), Crash::Kill);
    if shape(&open(&after, Setup::ORDINARY)?).ok() != shape(&store).ok() {
        return Err("a replay makes another table of it".into());
    }
    disk.heal();
    for n in full..full + 5 {
        insert(&store, n, 8).map_err(|error| format!("healed: {error}"))?;
    }
    let growing = store.growth().map_err(|error| error.to_string())?.kind.is_some();
    if !growing {
        return Err("the growth that was put off does not come".into());
    }
    holds(&store, full + 5)
}

/// The record of a growth and that of the entry that starts it, where a segment has room for hardly one of them.
pub fn at_the_end_of_a_segment(dice: &mut Dice) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup { capacity: 50, ..Setup::ORDINARY })?;
    let full = full_table(&store)?;
    let io = |error: tophash::Error| error.to_string();
    let log = || -> Result<(u64, u64), String> {
        let extents = store.info().map_err(io)?.extents;
        let log =
            extents.iter().find(|extent| extent.what.contains("log segment")).ok_or("no log segment")?;
        Ok((log.used_bytes, log.bytes))
    };
    (0..full - 2).try_for_each(|n| insert(&store, n, ORDINARY)).map_err(io)?;
    const PROBE: u64 = 304;
    let before = log()?.0;
    insert(&store, full - 2, PROBE as usize).map_err(io)?;
    let (used, bytes) = log()?;
    let overhead = used - before - PROBE;
    let left = dice.between(1, 14) * 8;
    insert(&store, full - 1, (bytes - used - left - overhead) as usize).map_err(io)?;
    insert(&store, full, ORDINARY).map_err(io)?;
    holds(&store, full + 1)?;
    let after = disk.crash(dice.below(u64::MAX), Crash::Kill);
    drop(store);
    holds(&open(&after, Setup::ORDINARY)?, full + 1)
}

/// A batch that needs more room than is left in its segment (D18): it goes to the next one, all of it.
pub fn batch_at_the_end_of_a_segment(dice: &mut Dice) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup { capacity: 300, ..Setup::ORDINARY })?;
    let told = |error: tophash::Error| error.to_string();
    let large = dice.between(40_000, 62_000);
    insert(&store, 0, large as usize).map_err(told)?;
    let count = dice.between(20, 200);
    let entries = (1..count).map(|n| (key(n), Payload::new(n, 200).bytes()));
    store.insert_many(entries).map_err(told)?;
    holds(&store, count)?;
    let after = disk.crash(dice.below(u64::MAX), Crash::Kill);
    drop(store);
    holds(&open(&after, Setup::ORDINARY)?, count)
}

/// A small batch while a growth is under way (D15): its replay evacuates what it has evacuated, and nothing else.
pub fn batch_while_it_goes_on(dice: &mut Dice) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup { capacity: dice.between(200, 900), ..Setup::ORDINARY })?;
    let (full, told) = (full_table(&store)?, |error: tophash::Error| error.to_string());
    (0..full + dice.between(1, 3)).try_for_each(|n| insert(&store, n, 8)).map_err(told)?;
    let first = store.len();
    let count = dice.between(1, 6);
    let entries = (first..first + count).map(|n| (key(n), Payload::new(n, 8).bytes()));
    store.insert_many(entries).map_err(told)?;
    if store.growth().map_err(told)?.kind.is_none() {
        return Err("the growth is over".into());
    }
    holds(&store, first + count)?;
    let after = open(&disk.crash(dice.below(u64::MAX), Crash::Kill), Setup::ORDINARY)?;
    holds(&after, first + count)?;
    match shape(&after).map_err(told)? == shape(&store).map_err(told)? {
        true => Ok(()),
        false => Err("a replay makes another table of it".into()),
    }
}
