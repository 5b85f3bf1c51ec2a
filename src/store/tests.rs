//! Whole stores, small enough for miri, on the simulated disk.

mod inline;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::file::sim::{CallKind, Crash, Failure, Fault, SimDisk, When};
use crate::format::segment::SEGMENT_UNIT_BYTES;
use crate::{Options, Store};

const PATH: &str = "a.tophash";
/// Entries for several growths.
const ENTRIES: u32 = 60;

fn open(disk: &SimDisk) -> Store {
    Options::new().media(disk.clone()).background(false).seed(7).open(PATH).unwrap()
}

fn value(number: u32) -> Vec<u8> {
    vec![number as u8; number as usize]
}

fn insert(store: &Store, numbers: std::ops::Range<u32>) {
    for number in numbers {
        store.insert(number.to_le_bytes(), value(number)).unwrap();
    }
}

#[track_caller]
fn assert_holds(store: &Store, entries: u32) {
    assert_eq!(store.len(), u64::from(entries));
    for number in 0..entries {
        let found = store.get(number.to_le_bytes()).unwrap();
        assert_eq!(found.as_deref(), Some(&value(number)[..]), "key {number}");
    }
    assert_eq!(store.iter().map(Result::unwrap).count(), entries as usize);
}

#[test]
fn a_store_that_grew_survives_a_close_and_a_kill() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    insert(&store, 0..ENTRIES / 2);
    store.sync().unwrap();
    store.checkpoint().unwrap();
    insert(&store, ENTRIES / 2..ENTRIES);
    assert_holds(&store, ENTRIES);
    // What came after the checkpoint is in the log alone: the recovery replays it.
    assert_holds(&open(&disk.crash(1, Crash::Kill)), ENTRIES);
    store.close().unwrap();
    assert_holds(&open(&disk), ENTRIES);
    assert_holds(&open(&disk.crash(2, Crash::Kill)), ENTRIES);
}

#[test]
fn readers_beside_a_growing_store_see_what_was_there_before() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    insert(&store, 0..4);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in (0..4).cycle().take_while(|_| !done.load(Ordering::Relaxed)) {
                let found = store.get(u32::to_le_bytes(number)).unwrap();
                assert_eq!(found.as_deref(), Some(&value(number)[..]), "key {number}");
            }
        });
        // Raised in any case, so that the reader ends where the writer panics.
        struct Raise<'a>(&'a AtomicBool);
        impl Drop for Raise<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _raise = Raise(&done);
        insert(&store, 4..ENTRIES / 2);
        store.checkpoint().unwrap();
    });
    assert_holds(&store, ENTRIES / 2);
}

/// A store with its background threads, and an array reserved ahead of its next growth.
fn open_with_an_array_ahead(disk: &SimDisk) -> (Store, u64) {
    let store = Options::new().media(disk.clone()).seed(7).open(PATH).unwrap();
    // Eight buckets take 52 entries.
    insert(&store, 0..45);
    store.core().prepare_ahead();
    let ahead = store.core().arrays.ahead().expect("a growth is near").offset();
    assert_clean(&store);
    (store, ahead)
}

#[track_caller]
fn assert_clean(store: &Store) {
    assert_eq!(store.verify().unwrap().faults, []);
}

#[test]
fn a_growth_takes_the_array_reserved_ahead() {
    let disk = SimDisk::new(1);
    let (store, ahead) = open_with_an_array_ahead(&disk);
    insert(&store, 45..ENTRIES);
    let writer = store.core().lock_writer().unwrap();
    assert_eq!(writer.table.geometry().array.main().offset(), ahead);
    drop(writer);
    assert!(store.core().arrays.ahead().is_none());
    assert_clean(&store);
    assert_holds(&store, ENTRIES);
    assert_holds(&open(&disk.crash(1, Crash::Kill)), ENTRIES);
}

#[test]
fn a_clear_gives_back_the_array_reserved_ahead_and_the_next_growth_has_another() {
    let (store, _) = open_with_an_array_ahead(&SimDisk::new(1));
    store.clear().unwrap();
    assert!(store.core().arrays.ahead().is_none());
    assert_clean(&store);
    insert(&store, 0..45);
    store.core().prepare_ahead();
    assert!(store.core().arrays.ahead().is_some());
    assert_clean(&store);
}

#[test]
fn a_close_gives_back_the_array_reserved_ahead() {
    let length = |ahead: bool| {
        let disk = SimDisk::new(1);
        let (store, _) = open_with_an_array_ahead(&disk);
        if !ahead {
            drop(store.core().arrays.give_up_ahead());
        }
        store.close().unwrap();
        assert_holds(&open(&disk), 45);
        disk.contents(PATH).unwrap().len()
    };
    assert_eq!(length(true), length(false));
}

#[test]
fn a_reader_reserves_nothing_ahead() {
    let disk = SimDisk::new(1);
    let (store, _) = open_with_an_array_ahead(&disk);
    store.close().unwrap();
    let before = disk.contents(PATH);
    let reader = Options::new().media(disk.clone()).read_only(true).open(PATH).unwrap();
    reader.core().prepare_ahead();
    assert!(reader.core().arrays.ahead().is_none());
    assert_clean(&reader);
    assert_eq!(disk.contents(PATH), before);
}

#[test]
fn a_segment_that_is_full_to_the_last_byte_is_left_behind() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    insert(&store, 0..4);
    let rest = {
        let mut writer = store.core().lock_writer().unwrap();
        let position = writer.log().unwrap().position();
        position.segment + SEGMENT_UNIT_BYTES - position.end
    };
    // A header and a key of eight bytes each.
    store.insert([0; 8], vec![1; rest as usize - 16]).unwrap();
    store.close().unwrap();

    let store = open(&disk);
    store.checkpoint().unwrap();
    store.remove([0; 8]).unwrap().expect("it was there");
    assert_holds(&store, 4);
    assert_clean(&store);
    store.close().unwrap();
    assert_holds(&open(&disk), 4);
}

/// The steps of [`a_mapping_that_fails_leaves_nothing_half_done`]: records for several segments and a growth, one of them
/// longer than a window, and a checkpoint.
fn map_much(store: &Store, step: u32) -> crate::Result<()> {
    match step {
        6 => store.insert(step.to_le_bytes(), vec![6; 3 << 19]).map(drop),
        7 => store.checkpoint(),
        _ => store.insert(step.to_le_bytes(), vec![step as u8; 30_000]).map(drop),
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes long there")]
fn a_mapping_that_fails_leaves_nothing_half_done() {
    const STEPS: u32 = 14;
    let run = |fault: Option<(u64, bool)>| {
        let disk = SimDisk::new(1);
        let store = open(&disk);
        let maps = AtomicU64::new(0);
        // Faults count calls of every kind; this one counts mappings.
        disk.on_call(move |disk, call| {
            let Some((number, for_good)) = fault.filter(|_| call.kind == CallKind::Map) else { return };
            let now = maps.fetch_add(1, Ordering::Relaxed);
            let when = When::Once(call.number);
            if now == number || (for_good && now > number) {
                disk.fail(Fault { when, kind: None, failure: Failure::Io });
            }
        });
        let failed = (0..STEPS).filter(|&step| map_much(&store, step).is_err()).collect::<Vec<_>>();
        disk.off_call();
        disk.heal();
        for step in &failed {
            let found = store.get(step.to_le_bytes()).unwrap();
            assert!(found.is_none(), "{fault:?}: step {step} failed, and yet changed something");
        }
        assert_clean(&store);
        failed.iter().for_each(|&step| map_much(&store, step).unwrap());
        for store in [&store, &open(&disk.crash(1, Crash::Kill))] {
            assert_clean(store);
            for step in (0..STEPS).filter(|&step| step != 7) {
                let len = if step == 6 { 3 << 19 } else { 30_000 };
                let found = store.get(step.to_le_bytes()).unwrap();
                assert_eq!(found.as_deref(), Some(&vec![step as u8; len][..]), "{fault:?}: step {step}");
            }
        }
        store.close().unwrap();
        (failed.len(), disk.counters().calls(CallKind::Map))
    };
    let (none, maps) = run(None);
    assert_eq!(none, 0);
    let failed = [false, true].map(|for_good| (0..maps).map(|number| run(Some((number, for_good))).0).max());
    assert!(failed.iter().all(|&most| most > Some(0)), "{failed:?} of {maps} mappings");
}
