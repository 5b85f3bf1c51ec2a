//! What every engine must do for its figures to mean anything.

use super::*;
use crate::data::{key, value};

fn settings(dir: &std::path::Path, mode: Mode) -> Settings {
    Settings { dir: dir.to_owned(), entries: 500, mode, cache_bytes: 64 << 20, larger_than_memory: false }
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
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_built()) {
        for mode in [Mode::Buffered, Mode::Durable] {
            let dir = tempfile::tempdir().unwrap();
            let settings = settings(dir.path(), mode);
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

#[test]
fn the_shared_map_in_memory_behaves_too() {
    behaves(&hashbrown::locked(), "hashbrown, locked");
}
