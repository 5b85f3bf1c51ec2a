//! Bucket arrays larger than the memory that they may take: after a checkpoint their copies are dropped, and their pages
//! are read from the file again.

mod common;

use std::fs::read_to_string;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::fork::in_fork;
use common::{Model, Place, Random, check_equal, key};
use tophash::{Options, Store};

/// Mappings of this process.
fn mappings() -> usize {
    read_to_string("/proc/self/maps").unwrap().lines().count()
}

/// Memory of this process that no file stands behind.
fn anonymous_bytes() -> u64 {
    let rollup = read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

fn insert(store: &Store, model: &mut Model, random: &mut Random, keys: std::ops::Range<u64>) {
    for n in keys {
        let value = random.bytes(8);
        store.insert(key(n), &value).unwrap();
        model.insert(key(n), value);
    }
}

/// Few entries in a large table: each lies on a page of its own, with pages around it that no checkpoint has written.
#[test]
fn copies_of_scattered_pages_are_dropped_in_few_mappings() {
    in_fork(|| {
        let place = Place::new();
        let options = Options::new().capacity(1_000_000).index_memory_limit(8 << 20).background(false);
        let store = options.open(place.file("a.tophash")).unwrap();
        let (mut model, mut random) = (Model::new(), Random(1));
        let mapped_before = mappings();
        for round in 0..2 {
            insert(&store, &mut model, &mut random, round * 900..(round + 1) * 900);
            let before = anonymous_bytes();
            store.checkpoint().unwrap();
            if round == 0 {
                assert!(anonymous_bytes() + (2 << 20) < before, "the copies of some 900 pages are gone");
            }
            assert!(mappings() < mapped_before + 100, "{mapped_before} before, {} now", mappings());
            check_equal(&store, &model, []);
        }
        store.close().unwrap();
        check_equal(&Store::open(place.file("a.tophash")).unwrap(), &model, []);
    });
}

/// Pages that changed since the freeze keep their content, and a reader sees every entry throughout.
#[test]
fn copies_are_dropped_beside_a_writer_and_a_reader() {
    const STABLE: u64 = 10_000;
    let place = Place::in_memory();
    let options = Options::new().index_memory_limit(256 << 10).background(false);
    let store = options.open(place.file("a.tophash")).unwrap();
    let (mut model, mut random) = (Model::new(), Random(2));
    insert(&store, &mut model, &mut random, 0..STABLE);
    let stable = model.clone();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random(3);
            while !done.load(Ordering::Relaxed) {
                let key = key(random.below(STABLE));
                assert_eq!(store.get(&key).unwrap().as_deref(), stable.get(&key).map(Vec::as_slice));
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.checkpoint().unwrap();
            }
        });
        // Raised in any case, so that the others end where this thread panics.
        struct Raise<'a>(&'a AtomicBool);
        impl Drop for Raise<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _raise = Raise(&done);
        // Several growths: new arrays, whose copies were never dropped before.
        insert(&store, &mut model, &mut random, STABLE..5 * STABLE);
    });
    check_equal(&store, &model, []);
    store.close().unwrap();
    check_equal(&Store::open(place.file("a.tophash")).unwrap(), &model, []);
}
