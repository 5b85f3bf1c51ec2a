//! Making a file: several programs at once, and none that finds half a file (D22).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tophash::Error;
use tophash::sim::{Call, SimDisk};

use tophash_crash::program::{PATH, options};

/// Opens the store of a disk on which another program does something just before call number `at`.
fn open_beside(
    at: u64,
    other: impl Fn(&SimDisk) + Send + Sync + 'static,
) -> (SimDisk, tophash::Result<tophash::Store>) {
    let disk = SimDisk::new(13);
    let happened = AtomicBool::new(false);
    disk.on_call(move |disk, call: &Call| {
        if call.number >= at && !happened.swap(true, Ordering::SeqCst) {
            other(disk);
        }
    });
    let opened = options(&disk).open(Path::new(PATH));
    (disk, opened)
}

fn calls_to_create() -> u64 {
    let disk = SimDisk::new(13);
    let _store = options(&disk).open(Path::new(PATH)).unwrap();
    disk.counters().total()
}

#[test]
fn whoever_is_second_opens_what_the_first_has_made() {
    for at in 0..calls_to_create() {
        // Another program makes the store, writes and closes it.
        let (disk, opened) = open_beside(at, |disk| {
            let Ok(store) = options(disk).seed(1).open(Path::new(PATH)) else { return };
            store.insert("key", "value").unwrap();
            store.close().unwrap();
        });
        let store = opened.unwrap_or_else(|error| panic!("at call {at}: {error}"));
        // Where the other came too late, the store was locked, and is empty.
        assert!(store.len() <= 1, "at call {at}");
        assert_eq!(store.get("key").unwrap().is_some(), store.len() == 1);
        store.insert("mine", "too").unwrap();
        store.close().unwrap();
        assert_eq!(disk.paths(), [Path::new(PATH)], "a temporary file is left, at call {at}");
    }
}

#[test]
fn whoever_is_second_is_refused_while_the_first_has_it_open() {
    let mut refused = 0;
    for at in 0..calls_to_create() {
        let held = Arc::new(std::sync::Mutex::new(None));
        let hold = Arc::clone(&held);
        let (disk, opened) = open_beside(at, move |disk| {
            *hold.lock().unwrap() = options(disk).seed(1).open(Path::new(PATH)).ok();
        });
        let other = held.lock().unwrap().take();
        match (other, opened) {
            (Some(_), Err(Error::Locked { .. })) => refused += 1,
            (None, Ok(_)) => {}
            (other, opened) => panic!("at call {at}: {:?} and {opened:?}", other.is_some()),
        }
        assert_eq!(disk.paths(), [Path::new(PATH)], "a temporary file is left, at call {at}");
    }
    assert!(refused > 10, "{refused}");
}
