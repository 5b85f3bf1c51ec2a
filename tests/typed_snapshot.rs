//! Snapshots of typed maps, in both layouts: one checkpoint, however long they are held and whatever is written meanwhile.

mod common;

use std::collections::HashMap;
use std::os::unix::fs::FileExt;
use std::thread;

use common::fork::in_fork;
use common::{Place, Random};
use tophash::{Codec, Error, Key, Map, MapSnapshot, Options, Set};

/// Values with two halves that say the same.
type Pair = [u8; 16];

fn pair(n: u64) -> Pair {
    [n.to_le_bytes(); 2].concat().try_into().unwrap()
}

#[track_caller]
fn check_shows<K: Key<Ref = K, Owned = K> + std::hash::Hash + Eq + Copy + std::fmt::Debug>(
    snapshot: &MapSnapshot<K, Pair>,
    then: &HashMap<K, Pair>,
    absent: K,
) {
    assert_eq!((snapshot.len(), snapshot.is_empty()), (then.len() as u64, then.is_empty()));
    let entries: Vec<_> = snapshot.iter().map(Result::unwrap).collect();
    assert_eq!(entries.len(), then.len(), "no entry appears twice");
    assert!(entries.into_iter().collect::<HashMap<_, _>>() == *then, "other entries than there were");
    assert_eq!((snapshot.keys().count(), snapshot.values().count()), (then.len(), then.len()));
    for (key, value) in then {
        assert_eq!(snapshot.get(key).unwrap().as_ref(), Some(value));
    }
    assert!(snapshot.get(&absent).unwrap().is_none() && !snapshot.contains_key(&absent).unwrap());
}

/// Growths, shrinks, clears and batches go on over a few snapshots that are held.
fn held_while_others_write<K>(key: impl Fn(u64) -> K)
where
    K: Key<Ref = K, Owned = K> + Codec<Ref = K, Owned = K> + std::hash::Hash + Eq + Copy + std::fmt::Debug,
{
    let place = Place::new();
    let path = place.file("a.tophash");
    let map = Options::new().background(false).open_map::<K, Pair>(&path).unwrap();
    let (mut model, mut random) = (HashMap::new(), Random(1));
    let mut held: Vec<(MapSnapshot<K, Pair>, HashMap<K, Pair>)> = Vec::new();
    let mut in_growth = 0;
    for round in 0..50 {
        let mut batch = map.batch();
        for _ in 0..400 {
            let (key, n) = (key(random.below(6_000)), random.next());
            match random.below(3_000) {
                0 => {
                    batch.clear();
                    model.clear();
                }
                1..900 => {
                    batch.remove(&key).unwrap();
                    model.remove(&key);
                }
                _ => {
                    batch.put(key, pair(n)).unwrap();
                    model.insert(key, pair(n));
                }
            }
            if random.once_in(3) {
                map.apply(&batch).unwrap();
                batch.reset();
            }
        }
        map.apply(&batch).unwrap();
        map.checkpoint().unwrap();
        in_growth += u32::from(map.growth().unwrap().kind.is_some());
        if round % 3 == 0 {
            held.push((map.snapshot().unwrap(), model.clone()));
        }
        // Some of its pages are read now, others when they have been written over many times.
        let (snapshot, then) = &held[random.below(held.len() as u64) as usize];
        for _ in 0..20 {
            let key = key(random.below(6_000));
            assert_eq!(snapshot.get(&key).unwrap(), then.get(&key).copied());
        }
        if held.len() > 9 {
            let (snapshot, then) = held.swap_remove(random.below(9) as usize);
            check_shows(&snapshot, &then, key(9_999));
        }
    }
    assert!(in_growth > 1, "{in_growth} checkpoints in a growth");
    assert_eq!(map.stats().unwrap().snapshots, held.len());
    held.iter().for_each(|(snapshot, then)| check_shows(snapshot, then, key(9_999)));
    drop(held);
    assert!(map.verify().unwrap().is_clean());
    assert_eq!(map.iter().collect::<tophash::Result<HashMap<_, _>>>().unwrap(), model);
}

#[test]
fn snapshots_of_words_show_their_checkpoint_whatever_is_written_since() {
    held_while_others_write(|n: u64| n);
}

#[test]
fn snapshots_of_odd_cells_show_their_checkpoint_whatever_is_written_since() {
    held_while_others_write::<[u8; 21]>(|n| Random(n).bytes(21).try_into().unwrap());
}

#[test]
fn snapshots_of_records_show_their_checkpoint_whatever_is_written_since() {
    held_while_others_write::<[u8; 129]>(|n| Random(n).bytes(129).try_into().unwrap());
}

/// Key n goes in and key n - 500 goes out, together: what is there at any moment are 500 numbers in a row.
#[test]
fn snapshots_beside_a_writer_show_batches_whole() {
    const WINDOW: u64 = 500;
    let place = Place::new();
    let set = Options::new().checkpoint_bytes(50_000).open_set::<u64>(place.file("a.tophash")).unwrap();
    set.insert_many(0..WINDOW).unwrap();
    set.checkpoint().unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut batch = set.batch();
            for n in WINDOW..30_000 {
                batch.insert(n).unwrap().remove(&(n - WINDOW)).unwrap();
                set.apply(&batch).unwrap();
                batch.reset();
            }
        });
        let mut last = 0;
        while !writer.is_finished() {
            let snapshot = set.snapshot().unwrap();
            assert!(snapshot.checkpoint_seq() >= last);
            last = snapshot.checkpoint_seq();
            // Twice, and the second time when its pages may long be others.
            for _ in 0..2 {
                let mut numbers: Vec<_> = snapshot.keys().map(Result::unwrap).collect();
                numbers.sort_unstable();
                assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1), "a gap");
                assert_eq!((numbers.len() as u64, snapshot.len()), (WINDOW, WINDOW));
            }
        }
    });
    assert!(set.verify().unwrap().is_clean());
}

#[test]
fn a_snapshot_outlives_its_map_and_keeps_the_file_locked() {
    let place = Place::new();
    let path = place.file("a.tophash");
    let set = Set::<u64>::open(&path).unwrap();
    set.insert_many(0..100).unwrap();
    set.checkpoint().unwrap();
    let snapshot = set.snapshot().unwrap();
    set.clear().unwrap();
    set.close().unwrap();
    assert!(matches!(Set::<u64>::open(&path), Err(Error::Locked { .. })));
    assert_eq!(snapshot.keys().sum::<tophash::Result<u64>>().unwrap(), 99 * 50);
    drop(snapshot);
    assert!(Set::<u64>::open(&path).unwrap().is_empty());
}

#[test]
fn damage_is_an_error_and_the_iteration_goes_on_behind_it() {
    let place = Place::new();
    let path = place.file("a.tophash");
    let map = Options::new().background(false).open_map::<u64, Pair>(&path).unwrap();
    map.insert_many((0..5_000).map(|n| (n, pair(n)))).unwrap();
    map.checkpoint().unwrap();
    let extents = map.info().unwrap().extents;
    let page = extents.iter().find(|extent| extent.what == "buckets").unwrap().offset + 4096;
    let snapshot = map.snapshot().unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"damage", page + 1_000).unwrap();
    let (entries, errors): (Vec<_>, Vec<_>) = snapshot.iter().partition(Result::is_ok);
    let names_it =
        |error: &Error| matches!(error, Error::Corrupt { what: "index page", offset, .. } if *offset == page);
    assert!(!errors.is_empty() && errors.iter().all(|error| names_it(error.as_ref().unwrap_err())));
    assert!(entries.len() > 4_000, "{} entries", entries.len());
    assert!((0..5_000).any(|n| snapshot.get(&n).is_err()));
}

#[test]
fn a_forked_child_is_refused() {
    let place = Place::new();
    let map = Map::<u64, u64>::open(place.file("a.tophash")).unwrap();
    map.insert(1, 1).unwrap();
    map.checkpoint().unwrap();
    let snapshot = map.snapshot().unwrap();
    in_fork(|| {
        assert!(matches!(snapshot.get(&1), Err(Error::Forked)));
        assert!(matches!(snapshot.iter().next(), Some(Err(Error::Forked))));
        assert!(matches!(map.insert_many([(2, 2)]), Err(Error::Forked)));
        let answers: Vec<_> = map.get_many([1; 20]).collect();
        assert!(answers.len() == 20 && answers.iter().all(|answer| matches!(answer, Err(Error::Forked))));
    });
    assert_eq!(snapshot.get(&1).unwrap(), Some(1));
}
