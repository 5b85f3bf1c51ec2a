//! Reading beside writes: iterators over a table that grows, shrinks and is cleared; values that are kept; readers in
//! threads of their own.

mod common;

use std::collections::{HashMap, HashSet};

use common::beside::{STABLE, beside_a_writer, filled, insert, number, write_much};
use common::{Model, Place, Random, check_verified, key};
use tophash::Options;
use tophash::report::GrowthKind;

#[test]
fn every_entry_appears_once() {
    let place = Place::new();
    // Before, in and after a growth.
    for entries in [0, 1, 8, 9, 104, 105, 110, 130, 1_000] {
        let store = filled(&place, entries);
        let mut numbers: Vec<_> = store.iter().map(|entry| number(entry.unwrap())).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..entries), "{entries} entries");
        store.clear().unwrap();
    }
}

#[test]
fn keys_and_values_are_those_of_the_entries() {
    let place = Place::new();
    let store = filled(&place, 300);
    let entries: Model = store.iter().map(Result::unwrap).map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
    let keys: HashSet<_> = store.keys().map(|key| key.unwrap().to_vec()).collect();
    assert!(keys == entries.keys().cloned().collect());
    let values: HashSet<_> = store.values().map(|value| value.unwrap().to_vec()).collect();
    assert!(values == entries.values().cloned().collect());
    let mut count = 0;
    for entry in &store {
        entry.unwrap();
        count += 1;
    }
    assert_eq!(count, 300);
}

#[test]
fn iterations_begin_at_different_entries() {
    let place = Place::new();
    let store = filled(&place, 1_000);
    let firsts: HashSet<_> = (0..40).map(|_| number(store.iter().next().unwrap().unwrap())).collect();
    assert!(firsts.len() > 1);
}

/// Entries that are there throughout appear exactly once, while the table grows several times around the iterator,
/// from whatever moment of a growth it began in.
#[test]
fn entries_that_are_there_throughout_appear_once_while_the_table_grows() {
    for begin in (380..480).step_by(7) {
        let place = Place::new();
        let store = filled(&place, begin);
        let mut next = begin;
        let mut seen = HashMap::new();
        for entry in &store {
            *seen.entry(number(entry.unwrap())).or_insert(0) += 1;
            for _ in 0..11 {
                insert(&store, next);
                next += 1;
            }
        }
        assert!(store.growth().unwrap().b > 8, "the table has grown");
        assert!(seen.values().all(|&times| times == 1), "an entry appeared twice");
        assert!((0..begin).all(|n| seen.contains_key(&n)), "an entry was missed");
    }
}

/// Others come and go meanwhile, so that chains grow here and there.
#[test]
fn entries_that_are_there_throughout_appear_once_while_the_table_grows_to_the_same_size() {
    let place = Place::new();
    let store = filled(&place, 40);
    let (mut oldest, mut newest) = (1_000, 1_000);
    let mut in_a_growth = 0;
    for _ in 0..80 {
        let mut seen = [0; 40];
        for entry in &store {
            let n = number(entry.unwrap());
            if n < 40 {
                seen[n as usize] += 1;
            }
            insert(&store, newest);
            newest += 1;
            if newest - oldest > 150 {
                store.remove(key(oldest)).unwrap().unwrap();
                oldest += 1;
            }
            in_a_growth += u32::from(store.growth().unwrap().kind == Some(GrowthKind::SameSize));
        }
        assert!(seen.iter().all(|&times| times == 1), "{seen:?}");
    }
    assert!(in_a_growth > 10, "the test did not show what it is about");
}

/// Go: what has been removed before it was reached does not appear.
#[test]
fn what_is_removed_does_not_appear_any_more() {
    for grow in [false, true] {
        let place = Place::new();
        let store = filled(&place, 415);
        let (mut removed, mut left, mut random) = (HashSet::new(), (0..415).collect::<Vec<_>>(), Random(3));
        let mut seen = HashSet::new();
        let mut next = 10_000;
        for entry in &store {
            let n = number(entry.unwrap());
            assert!(!removed.contains(&n), "{n} was removed before");
            assert!(seen.insert(n), "{n} appears twice");
            if grow {
                insert(&store, next);
                next += 1;
            }
            if !left.is_empty() {
                let n = left.swap_remove(random.below(left.len() as u64) as usize);
                store.remove(key(n)).unwrap().unwrap();
                removed.insert(n);
            }
        }
        assert!((0..415).all(|n| seen.contains(&n) || removed.contains(&n)), "an entry was missed");
    }
}

/// Go: what has been overwritten before it was reached appears as it is now.
#[test]
fn what_is_overwritten_appears_with_its_new_value() {
    for entries in [400, 417] {
        let place = Place::new();
        let store = filled(&place, entries);
        let mut iterator = store.iter();
        let first = number(iterator.next().unwrap().unwrap());
        for n in 0..entries {
            store.insert(key(n), (n + 1_000).to_le_bytes()).unwrap();
        }
        let mut count = 1;
        for entry in iterator {
            let (found, value) = entry.unwrap();
            let n = u64::from_le_bytes((*value).try_into().unwrap());
            assert!(n >= 1_000 && n != first + 1_000 && found == key(n - 1_000));
            count += 1;
        }
        assert_eq!(count, entries);
    }
}

#[test]
fn an_iteration_ends_when_the_store_is_cleared() {
    let place = Place::new();
    for entries in [100, 110, 500] {
        let store = filled(&place, entries);
        let (mut waiting, mut begun) = (store.iter(), store.iter());
        begun.next().unwrap().unwrap();
        store.clear().unwrap();
        (0..50).for_each(|n| insert(&store, n));
        assert!(waiting.next().is_none() && begun.next().is_none());
        assert!(waiting.next().is_none(), "and stays at its end");
        assert_eq!(store.iter().count(), 50);
        drop((waiting, begun));
        store.clear().unwrap();
    }
}

#[test]
fn a_value_stays_as_it_was_whatever_is_written() {
    let place = Place::new();
    let store = Options::new().background(false).open(place.file("a.tophash")).unwrap();
    let mut random = Random(4);
    let values: Vec<_> = [0, 5, 300, 70_000].map(|len| random.bytes(len)).into();
    for (n, value) in (0..).zip(&values) {
        store.insert(key(n), value).unwrap();
    }
    let kept: Vec<_> = (0..4).map(|n| store.get_key_value(key(n)).unwrap().unwrap()).collect();
    let iterated: Vec<_> = store.iter().map(Result::unwrap).collect();
    let check = |what| {
        for (n, (found, value)) in (0..).zip(&kept) {
            assert!(*found == key(n) && *value == values[n as usize], "after {what}");
        }
        assert!(iterated.iter().all(|(key, value)| kept.iter().any(|(k, v)| *k == **key && *v == **value)));
    };

    let replaced = store.insert(key(1), "new").unwrap().unwrap();
    let removed = store.remove(key(2)).unwrap().unwrap();
    check("overwriting and removing");
    for n in 10..3_000 {
        insert(&store, n);
    }
    check("growing");
    store.checkpoint().unwrap();
    check("a checkpoint");
    store.clear().unwrap();
    store.checkpoint().unwrap();
    store.checkpoint().unwrap();
    for n in 0..3_000 {
        insert(&store, n);
    }
    check("clearing and filling again");
    assert!(replaced == values[1] && removed == values[2]);
    assert!(store.stats().unwrap().pinned > 0, "what was replaced waits for the readers");
    drop((kept, iterated, replaced, removed));
    store.checkpoint().unwrap();
    assert_eq!(store.stats().unwrap().pinned, 0, "and goes when they are gone");
    check_verified(&store);
}

#[test]
fn readers_never_miss_a_key_that_is_there_throughout() {
    let place = Place::new();
    let store = Options::new().checkpoint_bytes(200_000).open(place.file("a.tophash")).unwrap();
    (0..STABLE).for_each(|n| insert(&store, n));
    let reader = |round: u64| {
        let n = round % STABLE;
        assert_eq!(store.get(key(n)).unwrap().expect("it is there throughout").len(), 8);
        assert!(store.contains_key(key(n)).unwrap());
        assert!(store.get(key(1_000_000 + n)).unwrap().is_none(), "it was never there");
    };
    beside_a_writer(&store, reader, || write_much(&store));
}

/// An index that is larger than the memory it may take: after each checkpoint its pages leave memory, under the
/// readers.
#[test]
fn readers_never_miss_a_key_while_pages_leave_memory() {
    let place = Place::new();
    let options = Options::new().capacity(50_000).index_memory_limit(200_000);
    let store = options.open(place.file("a.tophash")).unwrap();
    (0..STABLE).for_each(|n| insert(&store, n));
    let reader = |round: u64| {
        let n = round * 7 % STABLE;
        assert_eq!(store.get(key(n)).unwrap().expect("it is there throughout").len(), 8);
    };
    beside_a_writer(&store, reader, || {
        for round in 0..12 {
            (0..300).for_each(|n| insert(&store, STABLE + round * 300 + n));
            store.checkpoint().unwrap();
        }
    });
}

#[test]
fn hundreds_of_threads_read_at_once() {
    let place = Place::new();
    let store = filled(&place, 1_000);
    let barrier = std::sync::Barrier::new(200);
    std::thread::scope(|scope| {
        for n in 0..200 {
            let (store, barrier) = (&store, &barrier);
            scope.spawn(move || {
                let value = store.get(key(n)).unwrap().unwrap();
                barrier.wait();
                assert_eq!(*value, n.to_le_bytes());
            });
        }
    });
    store.clear().unwrap();
    store.checkpoint().unwrap();
    assert_eq!(store.stats().unwrap().pinned, 0, "threads that ended hold nothing back");
}

#[test]
fn values_of_two_stores_are_kept_in_one_thread() {
    let (place, other_place) = (Place::new(), Place::new());
    let (store, other) = (filled(&place, 500), filled(&other_place, 900));
    for n in 0..500 {
        let (mine, others) = (store.get(key(n)).unwrap(), other.get(key(n)).unwrap());
        assert_eq!(*mine.unwrap(), *others.unwrap());
    }
    let value = store.get(key(1)).unwrap().unwrap();
    other.clear().unwrap();
    store.clear().unwrap();
    other.checkpoint().unwrap();
    store.checkpoint().unwrap();
    assert_eq!((other.stats().unwrap().pinned, store.stats().unwrap().pinned > 0), (0, true));
    assert_eq!(*value, 1u64.to_le_bytes());
}

#[test]
fn iterators_never_miss_a_key_that_is_there_throughout() {
    let place = Place::new();
    let store = Options::new().checkpoint_bytes(200_000).open(place.file("a.tophash")).unwrap();
    (0..STABLE).for_each(|n| insert(&store, n));
    let numbers: HashMap<_, _> = (0..STABLE).map(|n| (key(n), n)).collect();
    let reader = |_| {
        let mut seen = vec![0; STABLE as usize];
        for found in store.keys() {
            if let Some(&n) = numbers.get(&found.unwrap()[..]) {
                seen[n as usize] += 1;
            }
        }
        assert!(seen.iter().all(|&times| times == 1), "{seen:?}");
    };
    beside_a_writer(&store, reader, || write_much(&store));
}

#[test]
fn readers_beside_clears_see_a_whole_value_or_none() {
    let place = Place::new();
    let store = Options::new().checkpoint_bytes(100_000).open(place.file("a.tophash")).unwrap();
    let reader = |round: u64| {
        let n = round % 200;
        if let Some(value) = store.get(key(n)).unwrap() {
            assert_eq!(*value, n.to_le_bytes());
        }
        if round.is_multiple_of(50) {
            store.iter().for_each(|entry| assert!(number(entry.unwrap()) < 200));
        }
    };
    beside_a_writer(&store, reader, || {
        for round in 0..200 {
            (0..200).for_each(|n| insert(&store, n));
            store.clear().unwrap();
            if round % 10 == 0 {
                store.checkpoint().unwrap();
            }
        }
    });
}
