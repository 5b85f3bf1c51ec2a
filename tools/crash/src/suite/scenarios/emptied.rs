//! Segments of the log that are emptied: what their space holds afterwards, and what is not moved out of them.

use std::sync::{Arc, Mutex, PoisonError};

use tophash::Error;
use tophash::sim::{Crash, SimDisk};

use super::{FIRST_RECORD, Verdict, insert, key, open};
use crate::content::Payload;
use crate::damage::disk_with;
use crate::life::shape;
use crate::program::{PATH, Setup};
use crate::script::{ORDINARY, ROLLING};
use crate::subject::Subject;
use crate::workload::Dice;

const SEGMENT: usize = 64 << 10;
/// Bytes of a record with a value of [`ROLLING`] bytes.
const RECORD: usize = 8 + 6 + ROLLING + 2;
/// Records of these in a segment.
const IN_A_SEGMENT: u64 = 3;
/// No scenario needs more writes than this for a segment to be emptied and begun again.
const PATIENCE: u64 = 60;

fn told(error: Error) -> String {
    error.to_string()
}

/// The offsets of all segments of the log.
fn segments(store: &Subject) -> Result<Vec<u64>, String> {
    let extents = store.info().map_err(told)?.extents;
    Ok(extents
        .iter()
        .filter(|extent| extent.what.contains("log segment"))
        .map(|extent| extent.offset)
        .collect())
}

/// The value of the one key is replaced for the `n`th time.
fn replace(store: &Subject, n: u64) -> Verdict {
    store.insert(&key(0), Payload::new(n, ROLLING)).map(drop).map_err(told)
}

/// A segment is emptied, given back and begun again in the same session; then a power cut loses the end of the new one and
/// brings back what the old one had there. That is no log.
pub fn records_of_an_emptied_segment(dice: &mut Dice) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup::ORDINARY)?;
    let known = segments(&store)?;
    let mut written = 0;
    // The second segment, full.
    while written < 2 * IN_A_SEGMENT {
        written += 1;
        replace(&store, written)?;
    }
    let second =
        segments(&store)?.into_iter().find(|offset| !known.contains(offset)).ok_or("no new segment")?;
    let before = disk.contents(PATH).ok_or("no file")?;
    let mut was_gone = false;
    loop {
        written += 1;
        replace(&store, written)?;
        let is_there = segments(&store)?.contains(&second);
        if was_gone && is_there {
            break;
        }
        was_gone |= !is_there;
        if written % IN_A_SEGMENT == 1 {
            store.checkpoint().map_err(told)?;
        }
        if written > PATIENCE {
            return Err("the space of an emptied segment is not taken again".into());
        }
    }
    let mut file = disk.crash(0, Crash::Kill).contents(PATH).ok_or("no file")?;
    let torn = second as usize + FIRST_RECORD + RECORD..second as usize + SEGMENT;
    file[torn.clone()].copy_from_slice(&before[torn]);
    let store = open(&disk_with(&file), Setup::ORDINARY)?;
    match store.get(&key(0)).map_err(told)? {
        Some(value) if value == Payload::new(written, ROLLING).bytes() => Ok(()),
        _ => Err("an old value from a segment that was emptied".into()),
    }
}

/// A record is damaged, and all others of its segment are dead: it is not moved, where it would get a checksum that fits.
pub fn damage_that_is_not_moved(dice: &mut Dice) -> Verdict {
    const RESIDENT: u64 = 1;
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup::ORDINARY)?;
    let len = dice.between(40, 400) as usize;
    insert(&store, RESIDENT, len).map_err(told)?;
    let value = Payload::new(RESIDENT, len).bytes();
    let file = disk.contents(PATH).ok_or("no file")?;
    let at = file.windows(len).position(|bytes| *bytes == *value).ok_or("no such value")?;
    let at = at + dice.below(len as u64) as usize;
    disk.overwrite(PATH, at as u64, &[file[at] ^ 1 << dice.below(8)]);
    for n in 0..PATIENCE / 2 {
        replace(&store, n)?;
    }
    match store.get(&key(RESIDENT)) {
        Err(Error::Corrupt { .. }) => Ok(()),
        other => Err(format!("a damaged value is read: {:?}", other.map(|value| value.is_some()))),
    }
}

/// Records are moved while the table grows: the replay of a move evacuates nothing that was not evacuated then.
pub fn moves_in_a_growth(dice: &mut Dice) -> Verdict {
    /// Enough for a growth that is still under way when the moves come.
    const ENOUGH: u64 = 1500;
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup::ORDINARY)?;
    let put = |n| insert(&store, n, ORDINARY).map_err(told);
    let residents = dice.between(2, 20);
    (1..=residents).try_for_each(put)?;
    (0..2 * IN_A_SEGMENT).try_for_each(|n| replace(&store, n))?;
    let mut inserted = residents;
    while inserted < ENOUGH || store.growth().map_err(told)?.kind.is_none() {
        inserted += 1;
        put(inserted)?;
    }
    (0..4 * IN_A_SEGMENT).try_for_each(|n| replace(&store, n))?;
    let moved_bytes = store.stats().map_err(told)?.moved_bytes;
    if moved_bytes == 0 || store.growth().map_err(told)?.kind.is_none() {
        return Err(format!("{moved_bytes} bytes moved while the table grew"));
    }
    let before = shape(&store).map_err(told)?;
    let store = open(&disk.crash(0, Crash::Kill), Setup::ORDINARY)?;
    match shape(&store).map_err(told)? == before {
        true => Ok(()),
        false => Err("the table is another one after a replay of moves".into()),
    }
}

/// A segment is begun and emptied between two checkpoints; the second is cut off at each of its calls. Until its header is
/// durable, the log of the state before leads through that segment.
pub fn emptied_between_checkpoints(dice: &mut Dice) -> Verdict {
    let disk = SimDisk::new(dice.below(u64::MAX));
    let store = open(&disk, Setup::ORDINARY)?;
    let last = dice.between(2, 4) * IN_A_SEGMENT;
    (0..=last).try_for_each(|n| replace(&store, n))?;
    let wrong = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&wrong);
    disk.on_call(move |disk, call| {
        let held = open(&disk.crash(call.number, Crash::Kill), Setup::ORDINARY).and_then(|store| {
            store.get(&key(0)).map(|value| value == Some(Payload::new(last, ROLLING).bytes())).map_err(told)
        });
        if held != Ok(true) {
            let mut wrong = noted.lock().unwrap_or_else(PoisonError::into_inner);
            wrong.get_or_insert(format!("at {call:?}: the last value is not there: {held:?}"));
        }
    });
    store.checkpoint().map_err(told)?;
    disk.off_call();
    let wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner).take();
    wrong.map_or(Ok(()), Err)
}
