//! Backups: a whole copy or none, of one moment, and the original as it was.

mod common;

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use common::{Model, Place, Random, check_equal, check_verified, copy_as_if_killed, key};
use tophash::sim::{Call, Crash, Failure, Fault, SimDisk, When};
use tophash::{Error, Options, Result, Store};

fn fill(store: &Store, entries: u64) -> Model {
    let mut model = Model::new();
    for n in 0..entries {
        let value = Random(n).bytes(n as usize % 200);
        store.insert(key(n), &value).unwrap();
        model.insert(key(n), value);
    }
    model
}

/// The copy is a store like any other: it holds this, goes on, and is closed and opened again.
#[track_caller]
fn check_copy(path: &Path, model: &Model) {
    let read_only = Options::new().read_only(true).open(path).unwrap();
    check_equal(&read_only, model, []);
    drop(read_only);
    let copy = Store::open(path).unwrap();
    check_equal(&copy, model, []);
    let mut model = model.clone();
    for n in 0..3_000 {
        copy.insert(key(n), "in the copy").unwrap();
        model.insert(key(n), b"in the copy".to_vec());
    }
    copy.close().unwrap();
    check_equal(&Store::open(path).unwrap(), &model, []);
}

#[test]
fn a_copy_is_the_store_before_the_call() {
    let place = Place::new();
    let path = |n: usize| place.file(&format!("{n}.tophash"));
    let store = Store::open(path(0)).unwrap();
    for (n, entries) in [0, 1, 450, 20_000].into_iter().enumerate() {
        let model = fill(&store, entries);
        let made = store.backup(path(n + 1)).unwrap();
        let length = std::fs::metadata(path(n + 1)).unwrap().len();
        assert_eq!((made.entries, made.file_bytes), (entries, length));
        assert_eq!(made.checkpoint_seq, store.stats().unwrap().checkpoint_seq);
        check_copy(&path(n + 1), &model);
        check_equal(&store, &model, []);
    }
    let second = Store::open(path(4)).unwrap();
    second.backup(path(5)).unwrap();
    check_equal(&Store::open(path(5)).unwrap(), &second.iter().map(owned).collect(), []);
}

fn owned(entry: Result<(tophash::Value<'_>, tophash::Value<'_>)>) -> (Vec<u8>, Vec<u8>) {
    let (key, value) = entry.unwrap();
    (key.to_vec(), value.to_vec())
}

/// Between any two pieces of the copy the store is written, checkpointed, grown and cleared.
#[test]
fn what_is_written_meanwhile_is_not_in_the_copy() {
    let place = Place::new();
    let store = Options::new().background(false).open(place.file("a.tophash")).unwrap();
    // More of an index than is copied at once.
    let model = fill(&store, 120_000);
    let (mut next, mut calls, mut saved) = (0, 0, 0);
    let made = store.backup_with(place.file("copy.tophash"), |done, total| {
        assert!(done <= total);
        for _ in 0..2_000 {
            store.insert(key(next), "changed meanwhile").unwrap();
            next += 7;
        }
        store.checkpoint().unwrap();
        let stats = store.stats().unwrap();
        assert_eq!(stats.snapshots, 1);
        saved = saved.max(stats.snapshot_bytes);
        calls += 1;
        if calls == 5 {
            store.clear().unwrap();
        }
    });
    assert!(calls > 6 && saved > 100_000, "{calls} pieces, {saved} bytes saved");
    assert_eq!(made.unwrap().entries, 120_000);
    assert_eq!(store.stats().unwrap().snapshots, 0);
    check_verified(&store);
    check_copy(&place.file("copy.tophash"), &model);
}

/// Key n goes in, key n - 500 goes out: what is there at any moment are 500 numbers in a row, or 501.
#[test]
fn a_copy_beside_a_writer_is_one_moment() {
    const WINDOW: u64 = 500;
    let place = Place::new();
    let store = Options::new().checkpoint_bytes(200_000).open(place.file("a.tophash")).unwrap();
    let put = |n: u64| drop(store.insert(n.to_be_bytes(), n.to_le_bytes()).unwrap());
    (0..WINDOW).for_each(put);
    let acknowledged = AtomicU64::new(WINDOW);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in WINDOW..150_000 {
                put(n);
                store.remove((n - WINDOW).to_be_bytes()).unwrap();
                acknowledged.store(n + 1, Ordering::Release);
            }
        });
        for copy in (0..).take_while(|copy| *copy < 2 || !writer.is_finished()) {
            let path = place.file(&format!("{copy}.tophash"));
            let before = acknowledged.load(Ordering::Acquire);
            store.backup(&path).unwrap();
            let copy = Store::open(&path).unwrap();
            check_verified(&copy);
            let mut numbers: Vec<_> =
                copy.keys().map(|key| u64::from_be_bytes((*key.unwrap()).try_into().unwrap())).collect();
            numbers.sort_unstable();
            assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1), "a gap");
            assert!([WINDOW, WINDOW + 1].contains(&(numbers.len() as u64)));
            assert!(*numbers.last().unwrap() + 1 >= before, "what was acknowledged before is in it");
        }
    });
    check_verified(&store);
}

#[test]
fn nothing_is_replaced() {
    let place = Place::new();
    let (path, other) = (place.file("a.tophash"), place.file("other"));
    let store = Store::open(&path).unwrap();
    let model = fill(&store, 100);
    std::fs::write(&other, "a letter").unwrap();
    for target in [&other, &path] {
        let error = store.backup(target).unwrap_err();
        assert!(error.to_string().contains("the target exists"), "{error}");
        assert!(matches!(error, Error::Io { source, .. } if source.kind() == ErrorKind::AlreadyExists));
    }
    assert_eq!(std::fs::read(&other).unwrap(), b"a letter");
    check_equal(&store, &model, []);
    // One that comes to be there while the copy is made is not replaced either.
    let late = place.file("late");
    let error = store.backup_with(&late, |_, _| std::fs::write(&late, "a letter").unwrap()).unwrap_err();
    assert!(error.to_string().contains("the target exists"), "{error}");
    assert_eq!(std::fs::read(&late).unwrap(), b"a letter");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 3, "no temporary file is left");
}

#[test]
fn a_read_only_store_is_copied_as_the_file_is_and_not_written() {
    let place = Place::new();
    let (path, killed) = (place.file("a.tophash"), place.file("killed.tophash"));
    let store = Options::new().background(false).open(&path).unwrap();
    fill(&store, 1_000);
    store.checkpoint().unwrap();
    // The log of a killed store goes on behind its checkpoint, over several segments.
    let model = fill(&store, 3_000);
    copy_as_if_killed(&store, &path, &killed);
    store.close().unwrap();
    for original in [&path, &killed] {
        let before = std::fs::read(original).unwrap();
        let copy = original.with_extension("copy");
        let store = Options::new().read_only(true).open(original).unwrap();
        assert_eq!(store.backup(&copy).unwrap().entries, 3_000);
        drop(store);
        assert!(std::fs::read(original).unwrap() == before, "the original was changed");
        let store = Options::new().read_only(true).open(&copy).unwrap();
        assert_eq!(store.stats().unwrap().recovered, original == &killed);
        drop(store);
        check_copy(&copy, &model);
    }
}

#[test]
fn what_is_not_in_use_stays_a_hole() {
    let place = Place::new();
    let store = Options::new().capacity(500_000).open(place.file("a.tophash")).unwrap();
    fill(&store, 10);
    store.backup(place.file("copy.tophash")).unwrap();
    let copy = std::fs::metadata(place.file("copy.tophash")).unwrap();
    assert!(
        copy.len() > 4 << 20 && copy.blocks() * 512 < 1 << 20,
        "{} of {}",
        copy.blocks() * 512,
        copy.len()
    );
}

#[test]
fn a_damaged_index_page_is_an_error_and_no_copy() {
    let disk = SimDisk::new(1);
    let store = on(&disk).open("a").unwrap();
    fill(&store, 500);
    store.checkpoint().unwrap();
    let extents = store.info().unwrap().extents;
    let buckets = extents.iter().find(|extent| extent.what == "buckets").unwrap();
    disk.overwrite("a", buckets.offset + 4096, &[0xee; 64]);
    assert!(matches!(store.backup("copy"), Err(Error::Corrupt { what: "index page", .. })));
    assert_eq!(disk.paths(), [PathBuf::from("a")]);
}

fn on(disk: &SimDisk) -> Options {
    Options::new().background(false).seed(7).media(disk.clone())
}

/// A store of some entries, the last of which came behind a checkpoint.
fn original(disk: &SimDisk) -> (Store, Model) {
    let store = on(disk).open("a").unwrap();
    fill(&store, 300);
    store.checkpoint().unwrap();
    let model = fill(&store, 400);
    (store, model)
}

/// Whatever there is on the disk: the copy is whole, and a temporary file is whole or no store.
#[track_caller]
fn check_whole_or_absent(disk: &SimDisk, model: &Model) -> bool {
    for path in disk.paths().iter().filter(|path| **path != Path::new("a")) {
        match on(disk).open(path) {
            Ok(copy) => check_equal(&copy, model, []),
            // Half a header is possible too.
            Err(error) => assert!(path != Path::new("copy"), "{error}"),
        }
    }
    disk.paths().contains(&PathBuf::from("copy"))
}

#[test]
fn a_crash_at_any_call_leaves_the_whole_copy_or_none() {
    let disk = SimDisk::new(3);
    let (store, model) = original(&disk);
    store.sync().unwrap();
    let (expected, whole) = (model.clone(), std::sync::Arc::new(AtomicU64::new(0)));
    let seen = std::sync::Arc::clone(&whole);
    disk.on_call(move |disk: &SimDisk, call: &Call| {
        for (seed, kind) in [(0, Crash::Kill), (1, Crash::Power), (2, Crash::Power)] {
            let after = disk.crash(call.number * 3 + seed, kind);
            seen.fetch_add(u64::from(check_whole_or_absent(&after, &expected)), Ordering::Relaxed);
            check_equal(&on(&after).open("a").unwrap(), &expected, []);
        }
    });
    store.backup("copy").unwrap();
    disk.off_call();
    assert!(whole.load(Ordering::Relaxed) > 0, "no crash came after the copy had its name");
    for seed in 0..20 {
        assert!(check_whole_or_absent(&disk.crash(seed, Crash::Power), &model), "the name is durable");
    }
}

#[test]
fn a_call_that_fails_leaves_the_whole_copy_or_none() {
    let calls = {
        let disk = SimDisk::new(4);
        let (store, _) = original(&disk);
        let before = disk.counters().total();
        store.backup("copy").unwrap();
        before..disk.counters().total()
    };
    for number in calls.clone() {
        for (failure, when) in [
            (Failure::Io, When::Once(number)),
            (Failure::NoSpace, When::Once(number)),
            (Failure::Short, When::From(number)),
        ] {
            let disk = SimDisk::new(4);
            let (store, model) = original(&disk);
            disk.fail(Fault { when, kind: None, failure });
            let made = store.backup("copy");
            disk.heal();
            let whole = check_whole_or_absent(&disk, &model);
            assert!(whole || made.is_err(), "call {number}, {failure:?}: {made:?}");
            if let (true, Err(error)) = (whole, made) {
                assert!(error.to_string().contains("directory"), "call {number}: {error}");
            }
            check_equal(&store, &model, []);
            drop(store);
            check_equal(&on(&disk).open("a").unwrap(), &model, []);
        }
    }
}

#[test]
fn a_full_disk_is_an_error_and_leaves_nothing_behind() {
    let disk = SimDisk::new(5);
    let (store, model) = original(&disk);
    store.checkpoint().unwrap();
    let room = disk.free_bytes();
    for left in [0, 1, 5, 20] {
        disk.set_capacity((1 << 30) - room + (left << 12));
        assert!(matches!(store.backup("copy"), Err(Error::NoSpace { .. })), "{left} pages left");
        assert_eq!(disk.paths(), [PathBuf::from("a")]);
        check_equal(&store, &model, []);
    }
    disk.set_capacity(1 << 30);
    store.backup("copy").unwrap();
    check_equal(&on(&disk).open("copy").unwrap(), &model, []);
}
