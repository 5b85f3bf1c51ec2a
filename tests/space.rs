//! The space of the log: what is dead is given back, beside writes and at once, and nothing that somebody may need.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::fork::{in_fork, limit_file_bytes};
use common::{Change, Model, Place, Random, check_equal, copy_as_if_killed};
use tophash::{Batch, Error, Map, Options, Store};

const ENTRIES: u64 = 20_000;
const VALUE_BYTES: usize = 100;

/// A key of 16 bytes.
fn key(n: u64) -> Vec<u8> {
    format!("{n:016}").into_bytes()
}

fn options() -> Options {
    Options::new().background(false).checkpoint_bytes(256 << 10)
}

fn put(store: &Store, model: &mut Model, n: u64, random: &mut Random) {
    let value = random.bytes(VALUE_BYTES);
    store.insert(key(n), &value).unwrap();
    model.insert(key(n), value);
}

fn raw_bytes(model: &Model) -> u64 {
    model.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
}

/// Bytes of the disk that the file takes, for each of those that keys and values have.
fn allocated_ratio(store: &Store, model: &Model) -> f64 {
    store.stats().unwrap().allocated_bytes as f64 / raw_bytes(model) as f64
}

#[test]
fn overwriting_and_removing_take_bounded_space() {
    let place = Place::in_memory();
    let path = place.file("a.tophash");
    let (mut model, mut random) = (Model::new(), Random(1));
    let store = options().open(&path).unwrap();
    (0..ENTRIES).for_each(|n| put(&store, &mut model, n, &mut random));
    let mut highest = 0.0f64;
    for round in 0..10 * ENTRIES {
        let n = random.below(ENTRIES);
        put(&store, &mut model, n, &mut random);
        if round % 1000 == 0 {
            highest = highest.max(allocated_ratio(&store, &model));
        }
    }
    assert!(highest < 2.5, "{highest} times as much");
    let stats = store.stats().unwrap();
    assert!(stats.moved_bytes > 0 && stats.log_dead_bytes < stats.log_live_bytes, "{stats:?}");

    for n in (0..ENTRIES).filter(|n| n % 10 != 0) {
        store.remove(key(n)).unwrap();
        model.remove(&key(n));
    }
    for _ in 0..ENTRIES {
        let n = random.below(ENTRIES / 10) * 10;
        put(&store, &mut model, n, &mut random);
    }
    let log_bytes = {
        let stats = store.stats().unwrap();
        stats.log_live_bytes + stats.log_dead_bytes
    };
    assert!(log_bytes < 3 * raw_bytes(&model), "{log_bytes} of log for {}", raw_bytes(&model));
    assert!(store.verify().unwrap().is_clean());
    check_equal(&store, &model, []);

    let killed = place.file("killed.tophash");
    copy_as_if_killed(&store, &path, &killed);
    for path in [killed, {
        store.close().unwrap();
        path
    }] {
        let store = Store::open(&path).unwrap();
        assert!(store.verify().unwrap().is_clean());
        check_equal(&store, &model, []);
    }
}

#[test]
fn compaction_leaves_what_is_live_and_little_else() {
    let place = Place::in_memory();
    let path = place.file("a.tophash");
    let (mut model, mut random) = (Model::new(), Random(2));
    let store = options().open(&path).unwrap();
    for _ in 0..3 * ENTRIES {
        let n = random.below(ENTRIES);
        put(&store, &mut model, n, &mut random);
    }
    let mut told = Vec::new();
    let done = store.compact_with(|progress| told.push(progress)).unwrap();
    assert!(done.moved_records > ENTRIES / 2 && done.file_bytes < done.file_bytes_before, "{done:?}");
    assert!(told.windows(2).all(|two| two[0].done_bytes <= two[1].done_bytes), "{told:?}");
    assert!(told.last().is_some_and(|last| last.done_bytes == last.total_bytes));
    let ratio = done.allocated_bytes as f64 / store.stats().unwrap().log_live_bytes as f64;
    assert!(ratio < 1.3 && done.allocated_bytes <= done.file_bytes, "{ratio} times as much, {done:?}");
    // The file ends with its last part.
    let last = store.info().unwrap().extents.pop().unwrap();
    assert_eq!(last.offset + last.bytes, done.file_bytes);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), done.file_bytes);
    check_equal(&store, &model, []);
    // Nothing is left to be done.
    let again = store.compact().unwrap();
    assert!(again.moved_records < ENTRIES / 20 && again.file_bytes <= done.file_bytes, "{again:?}");
    put(&store, &mut model, 7, &mut random);
    store.close().unwrap();
    check_equal(&Store::open(&path).unwrap(), &model, []);
}

/// A value that a reader holds stays as it is, and its space is not taken; `stats` shows what waits.
#[test]
fn readers_hold_back_the_space_of_what_they_see() {
    let place = Place::in_memory();
    let (mut model, mut random) = (Model::new(), Random(3));
    let store = options().open(place.file("a.tophash")).unwrap();
    (0..2_000).for_each(|n| put(&store, &mut model, n, &mut random));
    let old = model.clone();
    std::thread::scope(|scope| {
        let (held, hold) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (store, old) = (&store, &old);
        scope.spawn(move || {
            let values: Vec<_> = old.keys().map(|key| (key, store.get(key).unwrap().unwrap())).collect();
            held.send(()).unwrap();
            let _ = released.recv();
            values.iter().for_each(|(key, value)| assert_eq!(**value, *old[*key]));
        });
        hold.recv().unwrap();
        for n in (0..10).flat_map(|_| 0..2_000) {
            put(store, &mut model, n, &mut random);
        }
        store.compact().unwrap();
        let stats = store.stats().unwrap();
        assert!(stats.log_segments_pinned >= 4 && stats.pinned > 0, "{stats:?}");
        check_equal(store, &model, []);
        release.send(()).unwrap();
    });
    let before = store.stats().unwrap();
    store.compact().unwrap();
    let stats = store.stats().unwrap();
    assert_eq!((stats.log_segments_pinned, stats.pinned), (0, 0));
    assert!(stats.file_bytes < before.file_bytes / 2, "{} of {}", stats.file_bytes, before.file_bytes);
    check_equal(&store, &model, []);
}

/// An iteration that began before goes on, and so does a scan.
#[test]
fn iterations_and_scans_go_on_while_everything_moves() {
    let place = Place::in_memory();
    let (mut model, mut random) = (Model::new(), Random(4));
    let store = options().open(place.file("a.tophash")).unwrap();
    (0..6_000).for_each(|n| put(&store, &mut model, n % 3_000, &mut random));
    let (mut iter, mut scan) = (store.iter(), store.scan());
    let (mut iterated, mut scanned) = (Model::new(), Model::new());
    for round in 0..3 {
        for _ in 0..900 {
            for (source, seen) in [
                (&mut iter as &mut dyn Iterator<Item = tophash::Result<_>>, &mut iterated),
                (&mut scan, &mut scanned),
            ] {
                let Some(entry) = source.next() else { continue };
                let (key, value): (tophash::Value<'_>, tophash::Value<'_>) = entry.unwrap();
                assert!(seen.insert(key.to_vec(), value.to_vec()).is_none(), "round {round}: {key:?} twice");
            }
        }
        store.compact().unwrap();
    }
    iterated.extend(iter.map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()));
    scanned.extend(scan.map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()));
    assert!(iterated == model && scanned == model);
}

/// Random changes with compactions among them, reopened after closes and kills.
#[test]
fn a_store_that_is_compacted_all_the_time_is_the_model() {
    let place = Place::in_memory();
    let mut path = place.file("0.tophash");
    let options = || Options::new().background(false).checkpoint_bytes(100_000).max_dead_ratio(0.2);
    let (mut model, mut random) = (Model::new(), Random(5));
    let mut store = options().open(&path).unwrap();
    let mut moved_bytes = 0;
    for round in 0..60 {
        for _ in 0..random.below(1500) {
            let n = random.below(700);
            let len = if random.once_in(40) { random.below(30_000) } else { random.below(200) };
            let change = match random.below(10) {
                0..2 => Change::Remove(common::key(n)),
                _ => Change::Insert(common::key(n), random.bytes(len as usize)),
            };
            change.make_in_both(&store, &mut model);
        }
        if random.once_in(40) {
            Change::Clear.make_in_both(&store, &mut model);
        }
        moved_bytes += store.stats().unwrap().moved_bytes;
        if random.once_in(3) {
            store.compact().unwrap();
        }
        match random.below(4) {
            0 => {
                store.close().unwrap();
                store = options().open(&path).unwrap();
            }
            1 => {
                let killed = path.clone();
                path = place.file(&format!("{}.tophash", round + 1));
                copy_as_if_killed(&store, &killed, &path);
                drop(store);
                store = options().open(&path).unwrap();
            }
            _ => {}
        }
        check_equal(&store, &model, (0..700).map(common::key));
    }
    assert!(moved_bytes > 1 << 20, "{moved_bytes}");
}

/// Writers and readers go on; what they do is there.
#[test]
fn a_compaction_ends_the_growth_and_shrinks_the_table() {
    let place = Place::new();
    let store = options().open(place.file("a.tophash")).unwrap();
    let (mut model, mut random) = (Model::new(), Random(7));
    (0..6000).for_each(|n| put(&store, &mut model, n, &mut random));
    let mut batch = Batch::new();
    for n in 50..6000 {
        batch.remove(key(n));
        model.remove(&key(n));
    }
    store.apply(&batch).unwrap();
    let before = store.stats().unwrap();
    store.compact().unwrap();
    let after = store.stats().unwrap();
    // 50 entries fit into 8 buckets of up to 6.5.
    assert!(!after.growing && after.b == 3, "from B = {} to {}", before.b, after.b);
    check_equal(&store, &model, (0..6000).map(key));
    store.close().unwrap();
    check_equal(&options().open(place.file("a.tophash")).unwrap(), &model, (0..6000).map(key));
}

#[test]
fn a_compaction_holds_nobody_up() {
    let place = Place::in_memory();
    let store = Options::new().checkpoint_bytes(1 << 20).open(place.file("a.tophash")).unwrap();
    let (mut model, mut random) = (Model::new(), Random(6));
    (0..4 * ENTRIES).for_each(|n| put(&store, &mut model, n % ENTRIES, &mut random));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = 0u64;
            while !stop.load(Ordering::Relaxed) {
                store.insert(key(ENTRIES + written % 500), written.to_le_bytes()).unwrap();
                written += 1;
            }
            written
        });
        for n in 0..3 {
            store.compact().unwrap();
            assert_eq!(store.get(key(n)).unwrap().as_deref(), model.get(&key(n)).map(Vec::as_slice));
        }
        stop.store(true, Ordering::Relaxed);
        let written = writer.join().unwrap();
        for n in written.saturating_sub(500)..written {
            model.insert(key(ENTRIES + n % 500), n.to_le_bytes().to_vec());
        }
    });
    check_equal(&store, &model, []);
}

/// Where the file may not become longer, a compaction is refused or has done its work, and loses nothing.
#[test]
fn a_compaction_without_room_loses_nothing() {
    let place = Place::in_memory();
    let path = place.file("a.tophash");
    let mut model = Model::new();
    let mut random = Random(7);
    let store = options().open(&path).unwrap();
    (0..3 * ENTRIES).for_each(|n| put(&store, &mut model, n % ENTRIES, &mut random));
    store.close().unwrap();
    in_fork(|| {
        let store = options().max_dead_ratio(1.0).open(&path).unwrap();
        // Something is dead in each segment.
        for n in (0..ENTRIES).step_by(3) {
            store.remove(key(n)).unwrap();
        }
        let length = std::fs::metadata(&path).unwrap().len();
        limit_file_bytes(Some(length));
        let error = store.compact().err();
        assert!(error.is_none_or(|error| matches!(error, Error::NoSpace { .. })));
        limit_file_bytes(None);
        store.close().unwrap();
    });
    model.retain(|key, _| std::str::from_utf8(key).unwrap().parse::<u64>().unwrap() % 3 != 0);
    let store = options().open(&path).unwrap();
    check_equal(&store, &model, []);
    store.compact().unwrap();
    check_equal(&store, &model, []);
}

/// Where memory for changed pages is short, a compaction checkpoints more often, and ends.
#[test]
fn a_compaction_in_little_memory_ends() {
    let place = Place::in_memory();
    let (mut model, mut random) = (Model::new(), Random(8));
    let limited = options().index_memory_limit(64 << 10).max_dead_ratio(1.0);
    let store = limited.open(place.file("a.tophash")).unwrap();
    for _ in 0..12_000 {
        let n = random.below(5_000);
        put(&store, &mut model, n, &mut random);
    }
    let checkpoints = store.stats().unwrap().checkpoint_seq;
    let done = store.compact().unwrap();
    assert!(
        done.moved_records > 1_000 && store.stats().unwrap().checkpoint_seq > checkpoints + 10,
        "{done:?}"
    );
    check_equal(&store, &model, []);
}

#[test]
fn a_store_at_rest_gives_its_log_back() {
    let place = Place::new();
    let map: Map<u64, u64> = Options::new().open_map(place.file("a.tophash")).unwrap();
    // So much log that it is worth a checkpoint at rest, and not before.
    let entries = 100_000;
    (0..entries).for_each(|n| assert_eq!(map.insert(&n, &n).unwrap(), None));
    let begun = Instant::now();
    while map.stats().unwrap().log_bytes_since_checkpoint > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no checkpoint in a minute");
        std::thread::sleep(Duration::from_millis(10));
    }
    let checkpoints = map.stats().unwrap().checkpoint_seq;
    assert_eq!(map.get(&(entries - 1)).unwrap(), Some(entries - 1));
    assert!(map.verify().unwrap().is_clean());
    assert_eq!(map.stats().unwrap().checkpoint_seq, checkpoints);
}
