//! Cycles that aim at one rule each, where random programs hardly ever meet what breaks it.

mod beside;
mod copies;
mod emptied;
mod failing;
mod files;
mod growth;
mod segments;

use std::path::Path;
use std::sync::Arc;

use tophash::Store;
use tophash::sim::SimDisk;

use crate::content::Payload;
use crate::program::{PATH, Setup};
use crate::tally::Tally;
use crate::workload::Dice;

type Verdict = Result<(), String>;
type Scenario = fn(&mut Dice) -> Verdict;

/// One image of each scenario.
pub fn scenarios(seed: u64, tally: &Arc<Tally>) -> Verdict {
    let mut dice = Dice::new(seed);
    let all: [(&str, Scenario); 25] = [
        ("two threads that sync (D5)", beside::two_threads_that_sync),
        ("copies dropped beside writes (D10)", beside::copies_dropped_beside_writes),
        ("a growth that can't be had (D15, D18)", growth::that_can_not_be_had),
        ("a growth at the end of a segment (D18)", growth::at_the_end_of_a_segment),
        ("a shrink that can't be had (D15, D18)", growth::a_shrink_that_can_not_be_had),
        ("a shrink at the end of a segment (D18)", growth::a_shrink_at_the_end_of_a_segment),
        ("a batch while a growth is under way (D15)", growth::batch_while_it_goes_on),
        ("a batch at the end of a segment (D18)", growth::batch_at_the_end_of_a_segment),
        ("a file that is replaced between open and lock (D22)", files::replaced_before_the_lock),
        ("a mark in a value (D4)", files::mark_in_a_value),
        ("a record in the place of another (D1)", files::record_in_the_place_of_another),
        ("a copy with holes on a full disk (D19)", files::copy_with_holes),
        ("a linked segment that was lost (D2)", segments::linked_segment_that_was_lost),
        ("links of an earlier session (D2)", segments::links_of_an_earlier_session),
        ("a mark in the next segment (D4)", segments::mark_in_the_next_segment),
        ("records of an emptied segment (D1)", emptied::records_of_an_emptied_segment),
        ("a segment emptied between checkpoints (D8)", emptied::emptied_between_checkpoints),
        ("moves in a growth (D15)", emptied::moves_in_a_growth),
        ("damage that is not moved (C13)", emptied::damage_that_is_not_moved),
        ("in-place writes that fail (D7)", failing::in_place_writes),
        ("checkpoints that fail (D11)", failing::checkpoints),
        ("syncs that fail (D13)", failing::syncs),
        ("a backup that is cut off (D21)", copies::backup_that_is_cut_off),
        ("a snapshot of what is freed (D21)", copies::snapshot_of_what_is_freed),
        ("a reserve for removals (D9)", failing::removals_on_a_full_disk),
    ];
    tally.moment();
    for (name, scenario) in all {
        tally.image(|| name.to_owned(), || scenario(&mut dice));
    }
    Ok(())
}

fn open(disk: &SimDisk, setup: Setup) -> Result<Store, String> {
    setup.options(disk).open(Path::new(PATH)).map_err(|error| format!("opening: {error}"))
}

fn key(n: u64) -> Vec<u8> {
    format!("s{n:05}").into_bytes()
}

fn insert(store: &Store, n: u64, len: usize) -> tophash::Result<()> {
    store.insert(key(n), Payload::new(n, len).bytes()).map(drop)
}

/// Where records begin in a segment.
const FIRST_RECORD: usize = 2048;

/// Bytes of the first log segment that are in use.
fn log_used(store: &Store) -> Result<u64, String> {
    let extents = store.info().map_err(|error| error.to_string())?.extents;
    let log = extents.iter().find(|extent| extent.what.contains("log segment"));
    Ok(log.ok_or("no log segment")?.used_bytes)
}

/// Offset of the first log segment.
fn log_segment(store: &Store) -> Result<u64, String> {
    let extents = store.info().map_err(|error| error.to_string())?.extents;
    let log = extents.iter().find(|extent| extent.what.contains("log segment"));
    Ok(log.ok_or("no log segment")?.offset)
}

/// All of the first `count` keys are there.
fn holds(store: &Store, count: u64) -> Verdict {
    for n in 0..count {
        match store.get(key(n)) {
            Ok(Some(value)) if Payload::recognise(&value).is_some() => {}
            other => return Err(format!("key {n} of {count}: {:?}", other.map(|value| value.is_some()))),
        }
    }
    Ok(())
}
