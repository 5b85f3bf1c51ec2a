//! Cycles that aim at one rule each, where random programs hardly ever meet what breaks it.

mod beside;
mod cells;
mod copies;
mod emptied;
mod failing;
mod files;
mod growth;
mod segments;

use std::sync::Arc;

use tophash::Store;
use tophash::sim::SimDisk;

use crate::program::Setup;
use crate::subject::{Form, Subject};
use crate::tally::Tally;
use crate::workload::Dice;

type Verdict = Result<(), String>;

type OfAForm = fn(&mut Dice, Form) -> Verdict;
type OfRecords = fn(&mut Dice) -> Verdict;

/// For stores of any form.
const FOR_ALL: [(&str, OfAForm); 15] = [
    ("two threads that sync (D5)", beside::two_threads_that_sync),
    ("copies dropped beside writes (D10)", beside::copies_dropped_beside_writes),
    ("a growth that can't be had (D15, D18)", growth::that_can_not_be_had),
    ("a growth at the end of a segment (D18)", growth::at_the_end_of_a_segment),
    ("a shrink that can't be had (D15, D18)", growth::a_shrink_that_can_not_be_had),
    ("a shrink at the end of a segment (D18)", growth::a_shrink_at_the_end_of_a_segment),
    ("a batch while a growth is under way (D15)", growth::batch_while_it_goes_on),
    ("a batch at the end of a segment (D18)", growth::batch_at_the_end_of_a_segment),
    ("a file that is replaced between open and lock (D22)", files::replaced_before_the_lock),
    ("in-place writes that fail (D7)", failing::in_place_writes),
    ("checkpoints that fail (D11)", failing::checkpoints),
    ("syncs that fail (D13)", failing::syncs),
    ("a backup that is cut off (D21)", copies::backup_that_is_cut_off),
    ("snapshots of what is freed (D21)", copies::snapshots_of_what_is_freed),
    ("a reserve for removals (D9)", failing::removals_on_a_full_disk),
];

/// For those that hold records alone.
const FOR_RECORDS: [(&str, OfRecords); 11] = [
    ("a mark in a value (D4)", files::mark_in_a_value),
    ("a record in the place of another (D1)", files::record_in_the_place_of_another),
    ("a copy with holes on a full disk (D19)", files::copy_with_holes),
    ("a linked segment that was lost (D2)", segments::linked_segment_that_was_lost),
    ("links of an earlier session (D2)", segments::links_of_an_earlier_session),
    ("a torn link that the next one completes (D2)", segments::torn_link_that_the_next_one_completes),
    ("a mark in the next segment (D4)", segments::mark_in_the_next_segment),
    ("records of an emptied segment (D1)", emptied::records_of_an_emptied_segment),
    ("a segment emptied between checkpoints (D8)", emptied::emptied_between_checkpoints),
    ("moves in a growth (D15)", emptied::moves_in_a_growth),
    ("damage that is not moved (C13)", emptied::damage_that_is_not_moved),
];

/// For those whose cells hold the entries.
const FOR_CELLS: [(&str, OfAForm); 3] = [
    ("segments freed behind a checkpoint (D8)", cells::segments_freed_behind_a_checkpoint),
    ("a record that fits no cell (D15)", cells::record_that_fits_no_cell),
    ("a file opened for other types", cells::opened_for_other_types),
];

/// One image of each scenario for stores of this form.
pub fn scenarios(seed: u64, form: Form, tally: &Arc<Tally>) -> Verdict {
    let mut dice = Dice::new(seed);
    tally.moment();
    for (name, scenario) in FOR_ALL {
        tally.image(|| name.to_owned(), || scenario(&mut dice, form));
    }
    if form == Form::Records {
        for (name, scenario) in FOR_RECORDS {
            tally.image(|| name.to_owned(), || scenario(&mut dice));
        }
    } else {
        for (name, scenario) in FOR_CELLS {
            tally.image(|| name.to_owned(), || scenario(&mut dice, form));
        }
    }
    Ok(())
}

fn open(disk: &SimDisk, setup: Setup) -> Result<Subject, String> {
    setup.open(disk).map_err(|error| format!("opening: {error}"))
}

fn key(n: u64) -> Vec<u8> {
    format!("s{n:05}").into_bytes()
}

/// Sets the value of key number `n` to one that has this length, where values have any.
fn insert(store: &Subject, n: u64, len: usize) -> tophash::Result<()> {
    let form = store.form();
    store.insert(&form.key(key(n)), form.payload(n, len)).map(drop)
}

fn remove(store: &Subject, n: u64) -> tophash::Result<()> {
    store.remove(&store.form().key(key(n))).map(drop)
}

fn records(store: &Subject) -> Result<&Store, String> {
    match store {
        Subject::Records(store) => Ok(store),
        Subject::Cells(_) => Err("a store of cells".into()),
    }
}

/// Where records begin in a segment.
const FIRST_RECORD: usize = 2048;

/// Bytes of the first log segment that are in use.
fn log_used(store: &Subject) -> Result<u64, String> {
    let extents = store.info().map_err(|error| error.to_string())?.extents;
    let log = extents.iter().find(|extent| extent.what.contains("log segment"));
    Ok(log.ok_or("no log segment")?.used_bytes)
}

/// Offset of the first log segment.
fn log_segment(store: &Subject) -> Result<u64, String> {
    let extents = store.info().map_err(|error| error.to_string())?.extents;
    let log = extents.iter().find(|extent| extent.what.contains("log segment"));
    Ok(log.ok_or("no log segment")?.offset)
}

/// A record of the first session's first segment, for this file offset, with the right checksum; as in format.md.
fn forged_record(file: &[u8], at: u64, kind: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
    const SALT_STEP: u32 = 0x9e37_79b1;
    let (epoch, sequence) = (0u64, 1u64);
    let salt = [&file[24..40], &epoch.to_le_bytes(), &sequence.to_le_bytes()].concat();
    let salt = crc32fast::hash(&salt).wrapping_add(((at >> 3) as u32).wrapping_mul(SALT_STEP));
    let value_len = (value.len() as u16).to_le_bytes();
    let covered = [&[kind, key.len() as u8], &value_len[..], key, value].concat();
    let mut record = [&crc32c::crc32c_append(salt, &covered).to_le_bytes()[..], &covered].concat();
    record.resize(record.len().next_multiple_of(8), 0);
    record
}

/// All of the first `count` keys are there.
fn holds(store: &Subject, count: u64) -> Verdict {
    let form = store.form();
    for n in 0..count {
        match store.get(&form.key(key(n))) {
            Ok(Some(value)) if value == form.payload(n, value.len()).bytes() => {}
            other => return Err(format!("key {n} of {count}: {:?}", other.map(|value| value.is_some()))),
        }
    }
    Ok(())
}
