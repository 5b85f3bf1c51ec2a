//! Whole stores, small enough for miri, on the simulated disk.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::file::sim::{Crash, SimDisk};
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
