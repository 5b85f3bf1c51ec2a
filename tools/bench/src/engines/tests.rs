//! What every engine must do for its figures to mean anything.

use super::*;
use crate::data::{absent_id, id, key, number, value};

fn settings(dir: &std::path::Path, widths: Widths, mode: Mode) -> Settings {
    Settings {
        dir: dir.to_owned(),
        entries: 500,
        widths,
        mode,
        cache_bytes: 64 << 20,
        larger_than_memory: false,
    }
}

/// Puts, overwrites, gets, misses, removes and iterates.
fn behaves(engine: &dyn Engine, name: &str) {
    let batch: Vec<_> = (100..500).map(|number| (key(number), value(&key(number), 0))).collect();
    (0..100).for_each(|number| engine.put(&key(number), &value(&key(number), 0)).unwrap());
    engine.put_batch(&batch).unwrap();
    engine.put(&key(7), &value(&key(7), 1)).unwrap();
    engine.remove(&key(8)).unwrap();

    let mut found = vec![1, 2, 3];
    assert!(engine.get(&key(7), &mut found).unwrap(), "{name}");
    assert_eq!(found, value(&key(7), 1), "{name}");
    assert!(!engine.get(&key(8), &mut found).unwrap(), "{name}");
    assert!(!engine.get(&key(1000), &mut found).unwrap(), "{name}");

    let mut entries = Vec::new();
    engine.iterate(&mut |key, value| entries.push((key.to_vec(), value.to_vec()))).unwrap();
    entries.sort_unstable();
    let mut expected: Vec<_> = (0..500)
        .filter(|number| *number != 8)
        .map(|number| (key(number).to_vec(), value(&key(number), u8::from(number == 7)).to_vec()))
        .collect();
    expected.sort_unstable();
    assert_eq!(entries, expected, "{name}");
}

#[test]
fn every_engine_keeps_its_entries_and_has_them_when_opened_again() {
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_built() && !kind.is_of_numbers()) {
        for mode in [Mode::Buffered, Mode::Durable] {
            let dir = tempfile::tempdir().unwrap();
            let settings = settings(dir.path(), Widths::ENTRIES, mode);
            let engine = kind.open(&settings).unwrap();
            behaves(&*engine, kind.name());
            engine.sync().unwrap();
            engine.close().unwrap();
            if !kind.is_in_memory() {
                let engine = kind.open(&settings).unwrap();
                let mut found = Vec::new();
                assert!(engine.get(&key(7), &mut found).unwrap(), "{}", kind.name());
                assert_eq!(found, value(&key(7), 1), "{}", kind.name());
                assert!(!engine.get(&key(8), &mut found).unwrap(), "{}", kind.name());
                engine.close().unwrap();
            }
        }
    }
}

/// Puts, overwrites, adds, gets, misses, removes and iterates.
fn counts(ids: &dyn Ids, name: &str) {
    (0..500).for_each(|place| ids.put(id(place), number(id(place), 0)).unwrap());
    ids.put(id(7), number(id(7), 1)).unwrap();
    ids.add(id(9), 1).unwrap();
    ids.remove(id(8)).unwrap();

    let expected = |place| number(id(place), u8::from(place == 7)) + u64::from(place == 9);
    for place in [6, 7, 9] {
        assert_eq!(ids.get(id(place)).unwrap(), Some(expected(place)), "{name}");
    }
    assert_eq!(ids.get(id(8)).unwrap(), None, "{name}");
    assert_eq!(ids.get(absent_id(8)).unwrap(), None, "{name}");

    let mut entries = Vec::new();
    ids.iterate(&mut |id, number| entries.push((id, number))).unwrap();
    entries.sort_unstable();
    let mut all: Vec<_> =
        (0..500).filter(|place| *place != 8).map(|place| (id(place), expected(place))).collect();
    all.sort_unstable();
    assert_eq!(entries, all, "{name}");
}

#[test]
fn every_engine_keeps_its_numbers_and_has_them_when_opened_again() {
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_built()) {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path(), Widths::IDS, Mode::Buffered);
        let ids = kind.open_ids(&settings).unwrap();
        counts(&*ids, kind.name());
        ids.sync().unwrap();
        ids.close().unwrap();
        if !kind.is_in_memory() {
            let ids = kind.open_ids(&settings).unwrap();
            assert_eq!(ids.get(id(9)).unwrap(), Some(number(id(9), 0) + 1), "{}", kind.name());
            assert_eq!(ids.get(id(8)).unwrap(), None, "{}", kind.name());
            ids.close().unwrap();
        }
    }
}

#[test]
fn the_shared_map_in_memory_behaves_too() {
    behaves(&hashbrown::locked(), "hashbrown, locked");
}
