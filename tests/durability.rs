//! When a write is on disk, and what opening, closing, syncing and checkpointing say about it.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{Change, Model, Place, Random, check_equal, check_verified, copy_as_if_killed, key};
use tophash::report::WhichArray;
use tophash::{Durability, Error, HashKind, Options, Store};

const MODES: [Durability; 3] =
    [Durability::Buffered, Durability::Interval(Duration::from_secs(3600)), Durability::Immediate];

/// Bytes of the record that a sync leaves in the log.
const MARK_BYTES: u64 = 32;

fn fill(store: &Store, entries: u64) -> Model {
    let (mut model, mut random) = (Model::new(), Random(1));
    for n in 0..entries {
        let len = random.below(200) as usize;
        Change::Insert(key(n), random.bytes(len)).make_in_both(store, &mut model);
    }
    model
}

/// Opens the file of a store as if that had been killed.
fn reopen_killed(store: &Store, path: &Path) -> Store {
    let killed = path.with_extension("killed");
    copy_as_if_killed(store, path, &killed);
    Store::open(killed).unwrap()
}

#[test]
fn what_was_acknowledged_survives_a_kill_in_every_mode() {
    for mode in MODES {
        let place = Place::new();
        let path = place.file("a.tophash");
        let store = Options::new().durability(mode).open(&path).unwrap();
        let model = fill(&store, 300);
        check_equal(&reopen_killed(&store, &path), &model, []);
    }
}

#[test]
fn what_was_acknowledged_survives_a_close_in_every_mode() {
    for mode in MODES {
        let place = Place::new();
        let path = place.file("a.tophash");
        let store = Options::new().durability(mode).open(&path).unwrap();
        let model = fill(&store, 300);
        store.close().unwrap();
        let store = Store::open(&path).unwrap();
        let stats = store.stats().unwrap();
        assert!(!stats.recovered && stats.log_bytes_since_checkpoint == 0, "nothing to replay");
        check_equal(&store, &model, []);
    }
}

/// A sync leaves a mark in the log, which counts as dead bytes.
#[test]
fn only_immediate_syncs_at_every_write() {
    for (mode, marks) in MODES.into_iter().zip([0, 0, 5]) {
        let place = Place::new();
        let options = Options::new().background(false).durability(mode);
        let store = options.open(place.file("a.tophash")).unwrap();
        fill(&store, 5);
        assert_eq!(store.stats().unwrap().log_dead_bytes, marks * MARK_BYTES, "{mode:?}");
    }
}

#[test]
fn a_sync_syncs_in_every_mode_what_is_not_synced() {
    for (mode, marks) in MODES.into_iter().zip([1, 1, 3]) {
        let place = Place::new();
        let options = Options::new().background(false).durability(mode);
        let store = options.open(place.file("a.tophash")).unwrap();
        fill(&store, 3);
        store.sync().unwrap();
        store.sync().unwrap();
        assert_eq!(store.stats().unwrap().log_dead_bytes, marks * MARK_BYTES, "{mode:?}");
    }
}

#[test]
fn an_interval_store_syncs_by_itself() {
    let place = Place::new();
    let options = Options::new().durability(Durability::Interval(Duration::from_millis(5)));
    let store = options.open(place.file("a.tophash")).unwrap();
    store.insert("key", "value").unwrap();
    let begun = Instant::now();
    while store.stats().unwrap().log_dead_bytes == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no sync in a minute");
        std::thread::yield_now();
    }
}

#[test]
fn writers_that_wait_together_all_get_their_writes_synced() {
    let place = Place::new();
    let path = place.file("a.tophash");
    let store = Options::new().durability(Durability::Immediate).open(&path).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = store.clone();
            scope.spawn(move || {
                for n in 0..50 {
                    store.insert(key(thread * 1_000 + n), n.to_le_bytes()).unwrap();
                }
            });
        }
    });
    let again = reopen_killed(&store, &path);
    assert_eq!(again.len(), 200);
    check_verified(&again);
}

#[test]
fn a_checkpoint_leaves_nothing_to_replay() {
    let place = Place::new();
    let path = place.file("a.tophash");
    let store = Options::new().background(false).open(&path).unwrap();
    let model = fill(&store, 300);
    let before = store.stats().unwrap();
    assert!(before.log_bytes_since_checkpoint > 300 * 8 && before.dirty_bytes > 0);

    store.checkpoint().unwrap();
    let after = store.stats().unwrap();
    assert_eq!((after.log_bytes_since_checkpoint, after.dirty_bytes), (0, 0));
    assert_eq!(after.checkpoint_seq, before.checkpoint_seq + 1);
    assert_eq!(store.info().unwrap().checkpointed_count, 300);

    let again = reopen_killed(&store, &path);
    assert_eq!(again.stats().unwrap().log_bytes_since_checkpoint, 0);
    check_equal(&again, &model, []);
}

#[test]
fn what_a_kill_leaves_to_replay_is_what_was_written_since_the_checkpoint() {
    let place = Place::new();
    let path = place.file("a.tophash");
    let store = Options::new().background(false).open(&path).unwrap();
    let mut model = fill(&store, 100);
    store.checkpoint().unwrap();
    for n in 50..150 {
        Change::Insert(key(n), b"later".to_vec()).make_in_both(&store, &mut model);
    }
    let expected = store.stats().unwrap().log_bytes_since_checkpoint;
    let again = reopen_killed(&store, &path);
    assert!(expected > 0);
    assert_eq!(again.stats().unwrap().log_bytes_since_checkpoint, expected);
    check_equal(&again, &model, []);
    again.checkpoint().unwrap();
    assert_eq!(again.stats().unwrap().log_bytes_since_checkpoint, 0);
}

/// A store of the entries 1 to 8, no checkpoint, whose records are all as long; its file as a kill leaves it, with a
/// bit of entry 5 flipped.
fn torn_at_entry_5(place: &Place, sync: bool) -> std::path::PathBuf {
    let (path, torn) = (place.file("a.tophash"), place.file("torn.tophash"));
    let options = Options::new().background(false).durability(Durability::Buffered);
    let store = options.open(&path).unwrap();
    (1..=8u64).for_each(|n| drop(store.insert(n.to_le_bytes(), [7; 16]).unwrap()));
    if sync {
        store.sync().unwrap();
    }
    let cells = store.bucket(WhichArray::Current, 0).unwrap().unwrap().chain[0].cells.clone();
    let key = 5u64.to_le_bytes();
    let cell = cells.iter().find(|cell| cell.key.as_deref() == Some(&key)).unwrap();
    copy_as_if_killed(&store, &path, &torn);

    let mut bytes = std::fs::read(&torn).unwrap();
    bytes[cell.record_offset.unwrap() as usize + 20] ^= 1;
    std::fs::write(&torn, bytes).unwrap();
    torn
}

/// Whole records lie behind the torn one. Whatever is written where that was, they are not of the log any more (D2),
/// also after a close that says that nothing is behind the end (D1).
#[test]
fn what_lies_behind_a_torn_record_never_comes_back() {
    for close_first in [false, true] {
        let place = Place::new();
        let torn = torn_at_entry_5(&place, false);
        let mut store = Options::new().background(false).open(&torn).unwrap();
        let mut model: Model = (1..=4u64).map(|n| (n.to_le_bytes().to_vec(), vec![7; 16])).collect();
        check_equal(&store, &model, []);
        if close_first {
            store.close().unwrap();
            store = Options::new().background(false).open(&torn).unwrap();
        }
        Change::Insert(100u64.to_le_bytes().to_vec(), vec![7; 16]).make_in_both(&store, &mut model);
        check_equal(&reopen_killed(&store, &torn), &model, []);
    }
}

#[test]
fn a_damaged_record_that_was_synced_is_corruption_and_no_end() {
    let place = Place::new();
    let torn = torn_at_entry_5(&place, true);
    let before = std::fs::read(&torn).unwrap();
    for read_only in [true, false] {
        let error = Options::new().read_only(read_only).open(&torn).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }
    assert!(std::fs::read(&torn).unwrap() == before);
}

#[test]
fn checkpoints_come_by_themselves() {
    let place = Place::new();
    let options = Options::new().background(false).checkpoint_bytes(10_000);
    let store = options.open(place.file("a.tophash")).unwrap();
    for n in 0..1_000 {
        store.insert(key(n), [7; 100]).unwrap();
        assert!(store.stats().unwrap().log_bytes_since_checkpoint <= 10_000);
    }
    assert!(store.stats().unwrap().checkpoint_seq >= 10);
}

#[test]
fn changed_pages_stay_within_the_memory_limit() {
    let place = Place::new();
    let options = Options::new().background(false).capacity(50_000).index_memory_limit(100_000);
    let store = options.open(place.file("a.tophash")).unwrap();
    let mut model = Model::new();
    for n in 0..3_000 {
        Change::Insert(key(n), vec![1]).make_in_both(&store, &mut model);
        // A write may change a few pages more than were left.
        assert!(store.stats().unwrap().dirty_bytes <= 100_000 + 10 * 4096);
    }
    assert!(store.stats().unwrap().checkpoint_seq > 10);
    check_equal(&store, &model, []);
}

/// Arrays that were outgrown give their space back once no header names them.
#[test]
fn a_file_occupies_what_its_extents_say() {
    let place = Place::new();
    let path = place.file("a.tophash");
    let store = Options::new().background(false).checkpoint_bytes(50_000).open(&path).unwrap();
    for n in 0..20_000 {
        store.insert(key(n), []).unwrap();
    }
    store.close().unwrap();
    let store = Store::open(&path).unwrap();
    let extents: u64 = store.info().unwrap().extents.iter().map(|extent| extent.bytes).sum();
    let allocated = store.stats().unwrap().allocated_bytes;
    // The file system's own blocks count too.
    assert!(allocated <= extents + (64 << 10), "{allocated} bytes for {extents}");
    check_verified(&store);
}

#[test]
fn an_existing_file_keeps_its_hash_and_its_load_factor() {
    let place = Place::new();
    let path = place.file("a.tophash");
    let store = Options::new().hash(HashKind::Rapid).load_factor(5.0).open(&path).unwrap();
    let model = fill(&store, 300);
    let before = store.info().unwrap();
    store.close().unwrap();
    let store = Options::new().hash(HashKind::Sip13).load_factor(8.0).capacity(9_999).open(&path).unwrap();
    let info = store.info().unwrap();
    assert_eq!((info.hash, info.load_factor, info.file_id), (before.hash, 500, before.file_id));
    check_equal(&store, &model, []);
}

#[test]
fn two_files_differ_though_their_entries_are_the_same() {
    let place = Place::new();
    let stores = ["a", "b"].map(|name| Store::open(place.file(name)).unwrap());
    let [one, other] = stores.each_ref().map(|store| {
        fill(store, 50);
        let chains = store.buckets(WhichArray::Current).map(|bucket| format!("{:?}", bucket.unwrap().chain));
        (store.info().unwrap().file_id, chains.collect::<Vec<_>>())
    });
    assert!(one.0 != other.0 && one.1 != other.1, "their hash keys must be random");
}

#[test]
fn the_header_says_whether_somebody_writes() {
    let place = Place::new();
    let path = place.file("a.tophash");
    let store = Store::open(&path).unwrap();
    assert!(!store.info().unwrap().writing, "before the first write");
    let epoch = store.info().unwrap().epoch;
    store.insert("key", "value").unwrap();
    let info = store.info().unwrap();
    assert!(info.writing && info.epoch > epoch);
    store.close().unwrap();
    let store = Store::open(&path).unwrap();
    assert!(!store.info().unwrap().writing);
    store.close().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    Store::open(&path).unwrap().close().unwrap();
    assert!(
        std::fs::read(&path).unwrap() == bytes,
        "a session that writes nothing leaves the file as it was"
    );
}

#[test]
fn dropping_the_last_clone_closes_the_store() {
    let place = Place::new();
    let path = place.file("a.tophash");
    let store = Store::open(&path).unwrap();
    let clone = store.clone();
    store.insert("key", "value").unwrap();
    drop(store);
    assert!(matches!(Store::open(&path), Err(Error::Locked { .. })), "a clone is alive");
    clone.insert("another", "value").unwrap();
    drop(clone);
    let store = Store::open(&path).unwrap();
    assert!(!store.stats().unwrap().recovered);
    assert_eq!(store.len(), 2);
}

#[test]
fn closing_one_of_two_clones_syncs_and_leaves_the_other_open() {
    let place = Place::new();
    let options = Options::new().background(false).durability(Durability::Buffered);
    let store = options.open(place.file("a.tophash")).unwrap();
    store.insert("key", "value").unwrap();
    store.clone().close().unwrap();
    assert_eq!(store.stats().unwrap().log_dead_bytes, MARK_BYTES, "synced");
    store.insert("another", "value").unwrap();
    assert_eq!(store.len(), 2);
    store.close().unwrap();
}

#[test]
fn clones_share_the_store_among_threads() {
    let place = Place::new();
    let store = Store::open(place.file("a.tophash")).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = store.clone();
            scope.spawn(move || {
                (0..500).for_each(|n| drop(store.insert(key(thread * 500 + n), [1]).unwrap()))
            });
        }
    });
    let model = (0..2_000).map(|n| (key(n), vec![1])).collect();
    check_equal(&store, &model, []);
}

#[test]
fn of_threads_that_make_the_same_file_one_gets_it() {
    let place = Place::new();
    let path = place.file("a.tophash");
    let barrier = std::sync::Barrier::new(4);
    let opened = std::thread::scope(|scope| {
        let open = || {
            barrier.wait();
            Store::open(&path)
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let (stores, refused): (Vec<_>, Vec<_>) = opened.into_iter().partition(Result::is_ok);
    assert_eq!(stores.len(), 1);
    assert!(refused.iter().all(|refused| matches!(refused, Err(Error::Locked { .. }))), "{refused:?}");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn a_new_store_is_small() {
    let place = Place::new();
    let path = place.file("a.tophash");
    Store::open(&path).unwrap().close().unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() < 256 << 10);
    let store = Store::open(&path).unwrap();
    store.insert("key", "value").unwrap();
    store.close().unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() < 256 << 10);
}

#[test]
fn a_clear_in_the_middle_of_a_growth_survives_a_kill_and_a_close() {
    for checkpointed in [false, true] {
        let place = Place::new();
        let path = place.file("a.tophash");
        let store = Options::new().background(false).open(&path).unwrap();
        fill(&store, 430);
        assert!(store.growth().unwrap().kind.is_some());
        if checkpointed {
            store.checkpoint().unwrap();
        }
        store.clear().unwrap();
        assert!(store.growth().unwrap().kind.is_none() && store.growth().unwrap().b == 7);
        check_equal(&store, &Model::new(), (0..430).map(key));
        check_equal(&reopen_killed(&store, &path), &Model::new(), (0..430).map(key));

        let model = fill(&store, 100);
        check_equal(&reopen_killed(&store, &path), &model, (0..430).map(key));
        store.close().unwrap();
        check_equal(&Store::open(&path).unwrap(), &model, (0..430).map(key));
    }
}

/// Constant time, but for the pages that are zeroed: nothing is removed one by one, and the log says so in one record.
#[test]
fn a_clear_is_one_record() {
    let place = Place::new();
    let store = Options::new().background(false).open(place.file("a.tophash")).unwrap();
    fill(&store, 1_000);
    store.checkpoint().unwrap();
    store.clear().unwrap();
    assert_eq!(store.stats().unwrap().log_bytes_since_checkpoint, 8);
    assert_eq!(store.stats().unwrap().log_live_bytes, 0);
}

#[test]
fn removing_an_absent_key_writes_nothing() {
    let place = Place::new();
    let store = Options::new().background(false).open(place.file("a.tophash")).unwrap();
    fill(&store, 420);
    let (growth, bytes) = (store.growth().unwrap(), store.stats().unwrap().log_bytes_since_checkpoint);
    assert!(growth.kind.is_some());
    for n in 1_000..1_100 {
        assert!(store.remove(key(n)).unwrap().is_none());
    }
    assert_eq!(store.growth().unwrap(), growth);
    assert_eq!(store.stats().unwrap().log_bytes_since_checkpoint, bytes);
}

#[test]
fn live_and_dead_bytes_are_counted_across_sessions() {
    let place = Place::new();
    let path = place.file("a.tophash");
    let store = Options::new().background(false).open(&path).unwrap();
    for _ in 0..3 {
        for n in 1..=50u64 {
            // 8 bytes of header, 8 of key, 16 of value.
            store.insert(n.to_le_bytes(), [1; 16]).unwrap();
        }
    }
    for n in 1..=20u64 {
        store.remove(n.to_le_bytes()).unwrap();
    }
    let expected = store.stats().unwrap().log_live_bytes;
    assert_eq!(expected, 30 * 32);
    assert!(store.stats().unwrap().log_dead_bytes >= 120 * 32 + 20 * 16);
    assert_eq!(reopen_killed(&store, &path).stats().unwrap().log_live_bytes, expected);
    store.close().unwrap();
    assert_eq!(Store::open(&path).unwrap().stats().unwrap().log_live_bytes, expected);
}
