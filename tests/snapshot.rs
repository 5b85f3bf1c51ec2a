//! Snapshots: one checkpoint, however long they are held and whatever is written meanwhile.

mod common;

use std::collections::HashMap;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use common::fork::in_fork;
use common::{Change, Model, Place, Random, check_equal, check_verified, copy_as_if_killed, key};
use tophash::sim::{CallKind, Failure, Fault, SimDisk, When};
use tophash::{Error, Options, Snapshot, Store};

/// Everything that a snapshot tells about its content fits the model.
#[track_caller]
fn check_shows(snapshot: &Snapshot, model: &Model) {
    assert_eq!((snapshot.len(), snapshot.is_empty()), (model.len() as u64, model.is_empty()));
    let mut seen = HashMap::new();
    for entry in snapshot {
        let (key, value) = entry.unwrap();
        assert!(seen.insert(key.to_vec(), value.to_vec()).is_none(), "{key:.20?} appears twice");
    }
    assert!(seen == *model, "the iteration yields other entries than there were");
    for (key, value) in model {
        assert_eq!(snapshot.get(key).unwrap().as_deref(), Some(value.as_slice()));
    }
    assert!(snapshot.get("absent").unwrap().is_none() && !snapshot.contains_key("absent").unwrap());
}

fn write(store: &Store, model: &mut Model, random: &mut Random, writes: u64) {
    for _ in 0..writes {
        let key = key(random.below(12_000));
        let change = match random.below(4_000) {
            0 => Change::Clear,
            1..=1_200 => Change::Remove(key),
            _ => Change::Insert(key, random.next().to_le_bytes().to_vec()),
        };
        change.make_in_both(store, model);
    }
}

#[test]
fn a_snapshot_shows_its_checkpoint_whatever_is_written_since() {
    let place = Place::new();
    let store = Options::new().background(false).open(place.file("a.tophash")).unwrap();
    let (mut model, mut random) = (Model::new(), Random(1));
    let mut held: Vec<(Snapshot, Model)> = Vec::new();
    let mut in_growth = 0;
    for round in 0..60 {
        write(&store, &mut model, &mut random, 400);
        store.checkpoint().unwrap();
        in_growth += u64::from(store.growth().unwrap().kind.is_some());
        if round % 3 == 0 {
            held.push((store.snapshot().unwrap(), model.clone()));
        }
        // Some of its pages are read now, others when they have been written over many times.
        let (snapshot, then) = &held[random.below(held.len() as u64) as usize];
        for _ in 0..20 {
            let key = key(random.below(12_000));
            assert_eq!(snapshot.get(&key).unwrap().as_deref(), then.get(&key).map(Vec::as_slice));
        }
        if held.len() > 12 {
            let (snapshot, then) = held.swap_remove(random.below(12) as usize);
            check_shows(&snapshot, &then);
        }
    }
    assert!(in_growth > 1, "{in_growth} checkpoints in a growth");
    assert_eq!(store.stats().unwrap().snapshots, held.len());
    held.iter().for_each(|(snapshot, then)| check_shows(snapshot, then));
    check_equal(&store, &model, []);
    drop(held);
    assert_eq!(store.stats().unwrap().snapshots, 0);
    check_verified(&store);
    store.close().unwrap();
    check_equal(&Store::open(place.file("a.tophash")).unwrap(), &model, []);
}

/// Key n goes in, key n - 500 goes out: what is there at any moment are 500 numbers in a row, or 501.
#[test]
fn snapshots_beside_a_writer_show_one_moment() {
    const WINDOW: u64 = 500;
    let place = Place::new();
    let store = Options::new().checkpoint_bytes(50_000).open(place.file("a.tophash")).unwrap();
    (0..WINDOW).for_each(|n| drop(store.insert(n.to_be_bytes(), n.to_le_bytes()).unwrap()));
    store.checkpoint().unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in WINDOW..120_000 {
                store.insert(n.to_be_bytes(), n.to_le_bytes()).unwrap();
                store.remove((n - WINDOW).to_be_bytes()).unwrap();
            }
        });
        let mut last = 0;
        while !writer.is_finished() {
            let snapshot = store.snapshot().unwrap();
            assert!(snapshot.checkpoint_seq() >= last);
            last = snapshot.checkpoint_seq();
            // Twice, and the second time when its pages may long be others.
            for _ in 0..2 {
                let number = |key: tophash::Value<'_>| u64::from_be_bytes((*key).try_into().unwrap());
                let mut numbers: Vec<_> = snapshot.keys().map(|key| number(key.unwrap())).collect();
                numbers.sort_unstable();
                assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1), "a gap");
                assert!([WINDOW, WINDOW + 1].contains(&(numbers.len() as u64)), "{}", numbers.len());
                assert_eq!(numbers.len() as u64, snapshot.len());
            }
        }
    });
    check_verified(&store);
}

#[test]
fn a_snapshot_saves_at_most_the_index_and_gives_its_space_back() {
    let place = Place::new();
    let store = Options::new().background(false).open(place.file("a.tophash")).unwrap();
    let (mut model, mut random) = (Model::new(), Random(2));
    for n in 0..5_000 {
        Change::Insert(key(n), vec![7; 20]).make_in_both(&store, &mut model);
    }
    store.checkpoint().unwrap();
    let index_bytes = store.growth().unwrap().buckets * 80 * 2;
    let (snapshot, then) = (store.snapshot().unwrap(), model.clone());
    assert_eq!(store.stats().unwrap().snapshot_bytes, 0);
    for _ in 0..20 {
        write(&store, &mut model, &mut random, 300);
        store.checkpoint().unwrap();
        let saved = store.stats().unwrap().snapshot_bytes;
        assert!(saved > 0 && saved <= index_bytes, "{saved} bytes of {index_bytes}");
    }
    check_shows(&snapshot, &then);
    assert_eq!(store.stats().unwrap().snapshot_bytes, 0, "what it has read itself is not kept twice");

    // The arrays of the checkpoint were retired long ago.
    store.clear().unwrap();
    store.checkpoint().unwrap();
    store.checkpoint().unwrap();
    let held = store.stats().unwrap().allocated_bytes;
    drop(snapshot);
    assert!(store.stats().unwrap().allocated_bytes + 80 * 1024 <= held);
    check_verified(&store);
}

#[test]
fn a_snapshot_outlives_its_store_and_keeps_the_file_locked() {
    let place = Place::new();
    let path = place.file("a.tophash");
    let store = Store::open(&path).unwrap();
    let (mut model, mut random) = (Model::new(), Random(3));
    write(&store, &mut model, &mut random, 2_000);
    store.checkpoint().unwrap();
    let (snapshot, then) = (store.snapshot().unwrap(), model.clone());
    write(&store, &mut model, &mut random, 2_000);
    store.close().unwrap();
    check_shows(&snapshot, &then);
    assert!(matches!(Store::open(&path), Err(Error::Locked { .. })));
    thread::spawn(move || check_shows(&snapshot, &then)).join().unwrap();
    let store = Store::open(&path).unwrap();
    assert!(!store.stats().unwrap().recovered, "the close was a clean one");
    check_equal(&store, &model, []);
}

#[test]
fn an_opened_file_has_a_snapshot_before_anything_is_written() {
    let place = Place::new();
    let (path, killed) = (place.file("a.tophash"), place.file("killed.tophash"));
    let store = Options::new().background(false).open(&path).unwrap();
    let (mut model, mut random) = (Model::new(), Random(4));
    check_shows(&store.snapshot().unwrap(), &model);
    write(&store, &mut model, &mut random, 2_000);
    store.checkpoint().unwrap();
    let then = model.clone();
    write(&store, &mut model, &mut random, 50);
    copy_as_if_killed(&store, &path, &killed);
    store.close().unwrap();

    for read_only in [true, false] {
        let open = |path| Options::new().read_only(read_only).background(false).open(path).unwrap();
        check_shows(&open(&path).snapshot().unwrap(), &model);
        let recovered = open(&killed);
        check_equal(&recovered, &model, []);
        // What is in the log alone belongs to no checkpoint yet.
        check_shows(&recovered.snapshot().unwrap(), &then);
    }
}

#[test]
fn damage_is_an_error_that_names_the_place() {
    let place = Place::new();
    let path = place.file("a.tophash");
    let store = Options::new().background(false).open(&path).unwrap();
    (0..2_000).for_each(|n| drop(store.insert(key(n), [7; 30]).unwrap()));
    store.checkpoint().unwrap();
    let snapshot = store.snapshot().unwrap();
    let extents = store.info().unwrap().extents;
    let buckets = extents.iter().find(|extent| extent.what == "buckets").unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xee; 64], buckets.offset + 4096 + 100).unwrap();
    let errors: Vec<_> = snapshot.iter().filter_map(Result::err).collect();
    assert!(!errors.is_empty());
    for error in errors {
        let Error::Corrupt { what: "index page", offset, .. } = error else { panic!("{error}") };
        assert_eq!(offset, buckets.offset + 4096);
    }
    // The store has that page in memory, and the next snapshot what it writes there.
    (0..2_000).for_each(|n| drop(store.insert(key(n), [8; 30]).unwrap()));
    store.checkpoint().unwrap();
    let snapshot = store.snapshot().unwrap();
    assert!(snapshot.iter().all(|entry| entry.is_ok()));

    let cell =
        store.bucket(tophash::report::WhichArray::Current, 5).unwrap().unwrap().chain[0].cells[0].clone();
    file.write_all_at(&[0xee], cell.record_offset.unwrap() + 8).unwrap();
    let errors: Vec<_> = snapshot.iter().filter_map(Result::err).collect();
    assert!(matches!(errors[..], [Error::Corrupt { .. }]), "{errors:?}");
}

#[test]
fn a_forked_child_is_refused() {
    let place = Place::new();
    let store = Options::new().background(false).open(place.file("a.tophash")).unwrap();
    store.insert("key", "value").unwrap();
    store.checkpoint().unwrap();
    let snapshot = store.snapshot().unwrap();
    in_fork(|| {
        assert!(matches!(snapshot.get("key"), Err(Error::Forked)));
        assert!(matches!(snapshot.iter().next(), Some(Err(Error::Forked))));
        assert!(matches!(store.snapshot(), Err(Error::Forked)));
    });
    assert_eq!(snapshot.get("key").unwrap().unwrap(), "value");
}

fn on(disk: &SimDisk) -> Options {
    Options::new().background(false).seed(7).media(disk.clone())
}

/// The checkpoint that counts may be one whose pages are in its journal alone.
#[test]
fn a_checkpoint_that_did_not_reach_its_place_is_shown_all_the_same() {
    let mut committed = 0;
    for number in 0.. {
        let disk = SimDisk::new(9);
        let store = on(&disk).open("a").unwrap();
        let (mut model, mut random) = (Model::new(), Random(6));
        write(&store, &mut model, &mut random, 300);
        store.checkpoint().unwrap();
        let (before, seq) = (model.clone(), store.stats().unwrap().checkpoint_seq);
        write(&store, &mut model, &mut random, 300);
        let writes = disk.counters().total() + number;
        disk.fail(Fault { when: When::Once(writes), kind: Some(CallKind::Write), failure: Failure::Io });
        let checkpointed = store.checkpoint();
        disk.heal();
        let counts = store.stats().unwrap().checkpoint_seq > seq;
        committed += u64::from(counts && checkpointed.is_err());
        let then = if counts { model.clone() } else { before };
        let snapshots = [store.snapshot().unwrap(), store.snapshot().unwrap()];
        check_shows(&snapshots[0], &then);
        write(&store, &mut model, &mut random, 300);
        store.checkpoint().unwrap();
        check_shows(&snapshots[1], &then);
        if checkpointed.is_ok() && disk.counters().failures == 0 {
            break;
        }
    }
    assert!(committed > 0, "no write in place has failed");
}

/// What a snapshot gives back is neither in use nor free for a moment, and no leak.
#[test]
fn space_that_a_snapshot_gives_back_is_no_leak() {
    let disk = SimDisk::new(10);
    let store = on(&disk).open("a").unwrap();
    let (mut model, mut random) = (Model::new(), Random(7));
    write(&store, &mut model, &mut random, 1_000);
    store.checkpoint().unwrap();
    let snapshot = store.snapshot().unwrap();
    store.clear().unwrap();
    (0..2).for_each(|_| store.checkpoint().unwrap());
    let punches = Arc::new(AtomicU64::new(0));
    let (its_store, counted) = (store.clone(), Arc::clone(&punches));
    disk.on_call(move |_, call| {
        if call.kind == CallKind::Punch {
            check_verified(&its_store);
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    drop(snapshot);
    disk.off_call();
    assert!(punches.load(Ordering::Relaxed) > 0);
}
