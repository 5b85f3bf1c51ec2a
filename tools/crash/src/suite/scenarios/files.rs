//! Files that are not what the store left.

use std::sync::atomic::{AtomicBool, Ordering};

use tophash::Error;
use tophash::sim::{CallKind, Crash, SimDisk};

use super::{
    FIRST_RECORD, Verdict, forged_record, holds, insert, key, log_segment, log_used, open, records, remove,
};
use crate::damage::disk_with;
use crate::program::{PATH, Setup};
use crate::script::ORDINARY;
use crate::subject::Form;
use crate::workload::Dice;

/// Between opening and locking, the path comes to name another file: that one must be written.
pub fn replaced_before_the_lock(dice: &mut Dice, form: Form) -> Verdict {
    let (disk, setup) = (SimDisk::new(dice.below(u64::MAX)), Setup::ORDINARY.with(form));
    open(&disk, setup)?.close().map_err(|error| error.to_string())?;
    let replacement = disk.contents(PATH).ok_or("no file")?;
    let replaced = AtomicBool::new(false);
    disk.on_call(move |disk, call| {
        if call.kind == CallKind::Lock && !replaced.swap(true, Ordering::SeqCst) {
            disk.put(PATH, &replacement);
        }
    });
    let store = open(&disk, setup)?;
    disk.off_call();
    insert(&store, 0, ORDINARY).map_err(|error| error.to_string())?;
    store.close().map_err(|error| error.to_string())?;
    holds(&open(&disk, setup)?, 1)
}

/// A record was written to where another one should be: its key is not found there, and that is no answer.
pub fn record_in_the_place_of_another(dice: &mut Dice) -> Verdict {
    const RECORD: usize = 64;
    const VALUE: usize = RECORD - 14;
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup::ORDINARY)?;
    let count = dice.between(4, 30);
    (0..count).try_for_each(|n| insert(&store, n, VALUE)).map_err(|error| error.to_string())?;
    let first = log_segment(&store)? as usize + FIRST_RECORD;
    store.close().map_err(|error| error.to_string())?;
    let mut file = disk.contents(PATH).ok_or("no file")?;
    let from = dice.below(count);
    let to = (from + dice.between(1, count - 1)) % count;
    let place = |n: u64| first + n as usize * RECORD;
    file.copy_within(place(from)..place(from) + RECORD, place(to));
    let store = open(&disk_with(&file), Setup::ORDINARY)?;
    match store.get(&key(to)) {
        Err(Error::Corrupt { .. }) => Ok(()),
        other => {
            Err(format!("key {to}, whose record is that of {from}: {:?}", other.map(|value| value.is_some())))
        }
    }
}

/// A value holds what looks like a mark with the right checksum, and the record before it is torn: the log ends
/// there, nothing was synced.
pub fn mark_in_a_value(dice: &mut Dice) -> Verdict {
    const VALUE_BYTES: usize = 2048;
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup::ORDINARY)?;
    let file = disk.contents(PATH).ok_or("no file")?;
    let first = log_segment(&store)? + FIRST_RECORD as u64;
    // The first record has 40 bytes, the header and the key of the second one 14.
    insert(&store, 0, ORDINARY).map_err(|error| error.to_string())?;
    let value_at = first + 40 + 14;
    let mark_at = (value_at + 600 + dice.below(800)).next_multiple_of(8);
    let mut value = vec![0; VALUE_BYTES];
    let mark = forged_mark(&file, mark_at, mark_at);
    let within = (mark_at - value_at) as usize;
    value[within..within + mark.len()].copy_from_slice(&mark);
    records(&store)?.insert(key(1), &value).map_err(|error| error.to_string())?;

    let mut left = disk.crash(0, Crash::Kill).contents(PATH).ok_or("no file")?;
    left[first as usize..first as usize + 40].fill(0);
    let store = Setup::ORDINARY.open(&disk_with(&left));
    match store.map(|store| store.len()) {
        Ok(0) => Ok(()),
        Ok(len) => Err(format!("{len} entries behind a torn record")),
        Err(error @ Error::Corrupt { .. }) => Err(format!("a value passes for a mark: {error}")),
        Err(error) => Err(format!("opening: {error}")),
    }
}

/// A mark of the first segment that says everything before `end` is durable, at this file offset: all of it right, but
/// for the check that only the file's secret makes.
fn forged_mark(file: &[u8], at: u64, end: u64) -> Vec<u8> {
    const SYNC_MARK: u8 = 5;
    let (sequence, check) = (1u64, 0u64);
    let value = [sequence, end, check].map(u64::to_le_bytes).concat();
    forged_record(file, at, SYNC_MARK, &[], &value)
}

/// A copy that a program made of the file has holes where the log was preallocated: on a full disk, a store into one
/// would end the process.
pub fn copy_with_holes(dice: &mut Dice) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup::ORDINARY)?;
    let count = dice.between(1, 30);
    (0..count).try_for_each(|n| insert(&store, n, ORDINARY)).map_err(|error| error.to_string())?;
    // The log ends with a page, with the mark of the close: what comes next lies in a hole.
    const HEADER_AND_KEY: u64 = 14;
    const MARK: u64 = 32;
    let used = log_used(&store)?;
    let filler = 4096 - (used + HEADER_AND_KEY + MARK) % 4096;
    insert(&store, count, filler as usize).map_err(|error| error.to_string())?;
    store.close().map_err(|error| error.to_string())?;
    let copy = SimDisk::new(dice.below(u64::MAX));
    copy.put_sparse(PATH, &disk.contents(PATH).ok_or("no file")?);
    let store = open(&copy, Setup::ORDINARY)?;
    copy.set_capacity(0);
    // What frees something has a reserve, but no room for this session's first record without the rest of its segment.
    match remove(&store, 0) {
        Ok(_) => holds(&store, 0),
        Err(Error::NoSpace { .. }) => holds(&store, count + 1),
        Err(error) => Err(format!("removing on a full disk: {error}")),
    }
}
