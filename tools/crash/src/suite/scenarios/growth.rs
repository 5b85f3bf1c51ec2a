//! Growths and shrinks that begin where there is hardly room.

use std::ops::Range;

use tophash::report::GrowthKind;
use tophash::sim::{CallKind, Crash, Failure, Fault, SimDisk, When};

use super::{Verdict, holds, insert, key, open, remove};
use crate::life::shape;
use crate::program::Setup;
use crate::script::ORDINARY;
use crate::subject::{Form, Subject};
use crate::workload::Dice;

/// Entries at which a table that is made for so many doubles.
fn full_table(store: &Subject) -> Result<u64, String> {
    let b = store.growth().map_err(|error| error.to_string())?.b;
    Ok((1 << b) * 13 / 2)
}

/// A growth that can't be afforded is put off, and the entry is stored; it comes when there is room.
pub fn that_can_not_be_had(dice: &mut Dice, form: Form) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup { capacity: dice.between(60, 200), form, ..Setup::ORDINARY })?;
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
    if shape(&open(&after, Setup::ORDINARY.with(form))?).ok() != shape(&store).ok() {
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

/// A store of 16 buckets that the next removal makes shrink: an eighth of what they take is left, from number 0 on.
fn sparse_table(disk: &SimDisk, form: Form) -> Result<(Subject, u64), String> {
    let store = open(disk, Setup::SMALLEST.with(form))?;
    let told = |error: tophash::Error| error.to_string();
    (0..90).try_for_each(|n| insert(&store, n, 8)).map_err(told)?;
    (13..90).try_for_each(|n| remove(&store, n)).map_err(told)?;
    match store.growth().map_err(told)? {
        growth if growth.b == 4 && growth.kind.is_none() => Ok((store, 13)),
        growth => Err(format!("another table than expected: {growth:?}")),
    }
}

fn is_shrinking(store: &Subject) -> Result<bool, String> {
    let growth = store.growth().map_err(|error| error.to_string())?;
    Ok(growth.kind == Some(GrowthKind::Shrink))
}

/// A shrink that can't be afforded is put off, and the entry is removed; it comes when there is room.
pub fn a_shrink_that_can_not_be_had(dice: &mut Dice, form: Form) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let (store, entries) = sparse_table(&disk, form)?;
    disk.fail(Fault { when: When::From(0), kind: Some(CallKind::Map), failure: Failure::NoSpace });
    let removed = dice.between(1, 4);
    for n in entries - removed..entries {
        remove(&store, n).map_err(|error| format!("removing while a shrink can't be had: {error}"))?;
    }
    // What a replay makes of it: the shrink is not in the log.
    let after = disk.crash(dice.below(u64::MAX), Crash::Kill);
    if shape(&open(&after, Setup::SMALLEST.with(form))?).ok() != shape(&store).ok() {
        return Err("a replay makes another table of it".into());
    }
    disk.heal();
    remove(&store, entries - removed - 1).map_err(|error| format!("healed: {error}"))?;
    if !is_shrinking(&store)? {
        return Err("the shrink that was put off does not come".into());
    }
    holds(&store, entries - removed - 1)
}

/// Fills the log's segment by putting keys 0 and 1, up to so many bytes; where all records have one size, up to fewer
/// than that size besides.
fn fill_segment(store: &Subject, left: u64) -> Verdict {
    let told = |error: tophash::Error| error.to_string();
    let log = || -> Result<(u64, u64), String> {
        let extents = store.info().map_err(told)?.extents;
        let log =
            extents.iter().find(|extent| extent.what.contains("log segment")).ok_or("no log segment")?;
        Ok((log.used_bytes, log.bytes))
    };
    const PROBE: u64 = 304;
    let before = log()?.0;
    insert(store, 0, PROBE as usize).map_err(told)?;
    let (used, bytes) = log()?;
    if store.form() != Form::Records {
        let writes =
            (bytes - used - left).checked_div(used - before).ok_or("a write that leaves no record")?;
        return (0..writes).try_for_each(|_| insert(store, 0, 0)).map_err(told);
    }
    let overhead = used - before - PROBE;
    insert(store, 1, (bytes - used - left - overhead) as usize).map_err(told)
}

/// The record of a shrink and that of the removal that starts it, where a segment has room for hardly one of them.
pub fn a_shrink_at_the_end_of_a_segment(dice: &mut Dice, form: Form) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let (store, entries) = sparse_table(&disk, form)?;
    fill_segment(&store, dice.between(1, 9) * 8)?;
    remove(&store, entries - 1).map_err(|error| error.to_string())?;
    if !is_shrinking(&store)? {
        return Err("there is room for a shrink, and none begins".into());
    }
    let after = disk.crash(dice.below(u64::MAX), Crash::Kill);
    let (again, shape_before) = (open(&after, Setup::SMALLEST.with(form))?, shape(&store).ok());
    drop(store);
    if shape(&again).ok() != shape_before {
        return Err("a replay makes another table of it".into());
    }
    holds(&again, entries - 1)
}

/// The record of a growth and that of the entry that starts it, where a segment has room for hardly one of them.
pub fn at_the_end_of_a_segment(dice: &mut Dice, form: Form) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup { capacity: 50, form, ..Setup::ORDINARY })?;
    let full = full_table(&store)?;
    let io = |error: tophash::Error| error.to_string();
    (0..full).try_for_each(|n| insert(&store, n, ORDINARY)).map_err(io)?;
    fill_segment(&store, dice.between(1, 14) * 8)?;
    insert(&store, full, ORDINARY).map_err(io)?;
    holds(&store, full + 1)?;
    let after = disk.crash(dice.below(u64::MAX), Crash::Kill);
    drop(store);
    holds(&open(&after, Setup::ORDINARY.with(form))?, full + 1)
}

/// Puts some entries together, each with a value of this length where values have any.
fn insert_together(store: &Subject, numbers: Range<u64>, len: usize) -> tophash::Result<()> {
    let form = store.form();
    store.apply(&numbers.map(|n| (form.key(key(n)), form.payload(n, len).bytes())).collect())
}

/// A batch that needs more room than is left in its segment (D18): it goes to the next one, all of it.
pub fn batch_at_the_end_of_a_segment(dice: &mut Dice, form: Form) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup { capacity: 300, form, ..Setup::ORDINARY })?;
    let told = |error: tophash::Error| error.to_string();
    fill_segment(&store, dice.between(4, 40) * 8)?;
    let count = dice.between(30, 200);
    insert_together(&store, 0..count, 200).map_err(told)?;
    holds(&store, count)?;
    let after = disk.crash(dice.below(u64::MAX), Crash::Kill);
    drop(store);
    holds(&open(&after, Setup::ORDINARY.with(form))?, count)
}

/// A small batch while a growth is under way (D15): its replay evacuates what it has evacuated, and nothing else.
pub fn batch_while_it_goes_on(dice: &mut Dice, form: Form) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup { capacity: dice.between(200, 900), form, ..Setup::ORDINARY })?;
    let (full, told) = (full_table(&store)?, |error: tophash::Error| error.to_string());
    (0..full + dice.between(1, 3)).try_for_each(|n| insert(&store, n, 8)).map_err(told)?;
    let first = store.len();
    let count = dice.between(1, 6);
    insert_together(&store, first..first + count, 8).map_err(told)?;
    let growth = store.growth().map_err(told)?;
    // A table of wide cells has few buckets here, and may have moved them all.
    if growth.kind.is_none() && !matches!(form, Form::Odd | Form::Wide) {
        return Err("the growth is over".into());
    }
    holds(&store, first + count)?;
    let after = open(&disk.crash(dice.below(u64::MAX), Crash::Kill), Setup::ORDINARY.with(form))?;
    holds(&after, first + count)?;
    match shape(&after).map_err(told)? == shape(&store).map_err(told)? {
        true => Ok(()),
        false => Err("a replay makes another table of it".into()),
    }
}
