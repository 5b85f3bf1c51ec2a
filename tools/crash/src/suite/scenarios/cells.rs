//! What is true of stores alone whose cells hold keys and values: their log serves replays and nothing else.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tophash::sim::{Crash, SimDisk};
use tophash::{Error, Schema};

use super::{Verdict, forged_record, holds, insert, key, log_segment, log_used, open};
use crate::damage::disk_with;
use crate::life::shape;
use crate::program::{PATH, Setup};
use crate::script::ORDINARY;
use crate::subject::{Form, Subject};
use crate::workload::Dice;

/// No form needs more writes than this for three segments.
const PATIENCE: u64 = 20_000;

fn told(error: Error) -> String {
    error.to_string()
}

/// Overwrites a few keys until the log has so many segments; returns how many keys, and the number of the last write.
fn overwrite(store: &Subject, keys: u64, segments: u64) -> Result<u64, String> {
    let form = store.form();
    for n in 0..PATIENCE {
        store.insert(&form.key(key(n % keys)), form.payload(n, 0)).map_err(told)?;
        if n % 64 == 0 && store.stats().map_err(told)?.log_segments >= segments {
            return Ok(n);
        }
    }
    Err(format!("{PATIENCE} writes fill no {segments} segments"))
}

/// Each key has the value of the last write to it.
fn has_last_values(store: &Subject, keys: u64, last: u64) -> Verdict {
    let form = store.form();
    for n in last.saturating_sub(keys - 1)..=last {
        let found = store.get(&form.key(key(n % keys))).map_err(told)?;
        if found != Some(form.payload(n, 0).bytes()) {
            return Err(format!("the value of write {n} of {last} is not there"));
        }
    }
    Ok(())
}

/// A checkpoint frees the segments behind it, in each of which there were values until then; it is cut off at each of its
/// calls. Until its header is durable, the state before needs them for its replay.
pub fn segments_freed_behind_a_checkpoint(dice: &mut Dice, form: Form) -> Verdict {
    let (disk, setup) = (SimDisk::new(dice.below(u64::MAX)), Setup::ORDINARY.with(form));
    let store = open(&disk, setup)?;
    let keys = dice.between(1, 40);
    let last = overwrite(&store, keys, 3)?;
    store.sync().map_err(told)?;
    let (wrong, seed) = (Arc::new(Mutex::new(None)), dice.below(u64::MAX));
    let noted = Arc::clone(&wrong);
    let expected = shape(&store).map_err(told)?;
    disk.on_call(move |disk, call| {
        for kind in [Crash::Kill, Crash::Power] {
            let held = open(&disk.crash(seed ^ call.number, kind), setup).and_then(|store| {
                has_last_values(&store, keys, last)?;
                match shape(&store).map_err(told)? == expected {
                    true => Ok(()),
                    false => Err("a replay makes another table of it".into()),
                }
            });
            if let Err(complaint) = held {
                let mut wrong = noted.lock().unwrap_or_else(PoisonError::into_inner);
                wrong.get_or_insert(format!("at {call:?}, {kind:?}: {complaint}"));
            }
        }
    });
    store.checkpoint().map_err(told)?;
    disk.off_call();
    wrong.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)?;
    match store.stats().map_err(told)?.log_segments {
        // The one that is written, and a spare one.
        ..=2 => {}
        left => return Err(format!("{left} segments behind a checkpoint")),
    }
    drop(store);
    has_last_values(&open(&disk.crash(seed, Crash::Power), setup)?, keys, last)
}

/// The log has a put with the right checksum whose key or value has another width than the cells: no replay takes it.
pub fn record_that_fits_no_cell(dice: &mut Dice, form: Form) -> Verdict {
    const PUT: u8 = 1;
    let (disk, setup) = (SimDisk::new(dice.below(u64::MAX)), Setup::ORDINARY.with(form));
    let store = open(&disk, setup)?;
    insert(&store, 0, ORDINARY).map_err(told)?;
    let at = (log_segment(&store)? + log_used(&store)?) as usize;
    let mut file = disk.crash(0, Crash::Kill).contents(PATH).ok_or("no file")?;
    let (mut key, mut value) = (form.key(key(1)), form.payload(1, ORDINARY).bytes());
    match dice.below(if value.is_empty() { 3 } else { 4 }) {
        0 => key.push(b'+'),
        1 => drop(key.pop()),
        2 => value.push(b'+'),
        _ => drop(value.pop()),
    }
    let record = forged_record(&file, at as u64, PUT, &key, &value);
    file[at..at + record.len()].copy_from_slice(&record);
    match setup.open(&disk_with(&file)) {
        Err(Error::Corrupt { .. }) => Ok(()),
        other => Err(format!("a put of {} and {} bytes: {other:?}", key.len(), value.len())),
    }
}

/// The file is opened as a store of records, and made again for other types: both are errors, and it stays as it is.
pub fn opened_for_other_types(dice: &mut Dice, form: Form) -> Verdict {
    let (disk, setup) = (SimDisk::new(dice.below(u64::MAX)), Setup::ORDINARY.with(form));
    let store = open(&disk, setup)?;
    let count = dice.between(1, 30);
    (0..count).try_for_each(|n| insert(&store, n, ORDINARY)).map_err(told)?;
    store.close().map_err(told)?;
    let before = disk.contents(PATH);
    match setup.options(&disk).open(PATH) {
        Err(Error::Schema { .. }) => {}
        other => return Err(format!("opened for bytes: {other:?}")),
    }
    match setup.options(&disk).open_map::<u16, u32>(PATH) {
        Err(Error::Schema { .. }) => {}
        other => return Err(format!("opened for u16 to u32: {other:?}")),
    }
    match setup.options(&disk).create_dyn(Path::new(PATH), Schema::BYTES) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {}
        other => return Err(format!("made for bytes: {other:?}")),
    }
    if disk.contents(PATH) != before {
        return Err("an open for other types changed the file".into());
    }
    holds(&open(&disk, setup)?, count)
}
