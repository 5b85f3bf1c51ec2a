//! Scans of the log: every entry once, in the order in which it was last written, beside writes too.

mod common;

use std::collections::{HashMap, HashSet};

use common::beside::{STABLE, beside_a_writer, filled, insert, number, write_much};
use common::{Place, Random, check_verified, damage, insert_to_be_damaged, key};
use tophash::{Error, HashKind, Options, Store};

fn numbers(store: &Store) -> Vec<u64> {
    store.scan().map(|entry| number(entry.unwrap())).collect()
}

/// Several segments, old versions and removed keys; what is left, in the order of the last writes.
#[test]
fn entries_come_in_the_order_in_which_they_were_last_written() {
    let place = Place::new();
    for hash in [HashKind::Sip13, HashKind::Colliding] {
        let path = place.file(hash.name());
        // What compaction moves is behind all else then.
        let options = Options::new().background(false).hash(hash).max_dead_ratio(1.0);
        let store = options.open(&path).unwrap();
        let (keys, writes) = if hash == HashKind::Sip13 { (3_000, 20_000) } else { (60, 600) };
        let (mut random, mut order) = (Random(1), Vec::new());
        for write in 0..writes {
            let n = random.below(keys);
            order.retain(|&other| other != n);
            if random.once_in(4) {
                store.remove(key(n)).unwrap();
            } else {
                insert(&store, n);
                order.push(n);
            }
            if random.once_in(writes / 10) {
                assert!(numbers(&store) == order, "after {write} writes");
            }
        }
        assert!(numbers(&store) == order);
        store.close().unwrap();
        assert!(numbers(&Options::new().read_only(true).open(&path).unwrap()) == order, "reopened");
    }
}

#[test]
fn an_empty_store_has_nothing_to_scan() {
    let place = Place::new();
    let store = filled(&place, 0);
    assert!(store.scan().next().is_none());
    insert(&store, 1);
    store.clear().unwrap();
    let mut scan = store.scan();
    insert(&store, 2);
    assert!(
        scan.next().is_none() && scan.next().is_none(),
        "what came after the scan began is not part of it"
    );
    assert_eq!(numbers(&store), [2]);
}

/// From whatever moment of a growth on: half of the entries are written anew under the scan, more come, and the table
/// grows several times.
#[test]
fn entries_that_are_there_throughout_appear_once() {
    for begin in (380..480).step_by(9) {
        let place = Place::new();
        let store = filled(&place, begin);
        let mut random = Random(begin);
        // Old versions, so that an entry has several places in the log.
        (0..begin).for_each(|_| insert(&store, random.below(begin)));
        let (mut seen, mut next) = (HashMap::new(), begin);
        for entry in store.scan() {
            *seen.entry(number(entry.unwrap())).or_insert(0) += 1;
            for _ in 0..11 {
                insert(&store, next);
                insert(&store, random.below(begin) / 2 * 2);
                next += 1;
            }
        }
        assert!(store.growth().unwrap().b > 8, "the table has grown");
        assert_eq!(seen.len() as u64, begin, "entries were missed, or came later than the scan began");
        assert!(seen.values().all(|&times| times == 1), "an entry appeared twice");
    }
}

#[test]
fn what_is_overwritten_appears_with_its_new_value() {
    let place = Place::new();
    let store = filled(&place, 400);
    (0..400).for_each(|n| insert(&store, n));
    let mut scan = store.scan();
    let first = number(scan.next().unwrap().unwrap());
    for n in 0..400u64 {
        store.insert(key(n), (n + 1_000).to_le_bytes()).unwrap();
    }
    let mut seen = HashSet::new();
    for entry in scan {
        let (found, value) = entry.unwrap();
        let n = u64::from_le_bytes((*value).try_into().unwrap());
        assert!(n >= 1_000 && found == key(n - 1_000) && n - 1_000 != first);
        assert!(seen.insert(n));
    }
    assert_eq!(seen.len(), 399);
}

#[test]
fn what_is_removed_does_not_appear_any_more() {
    let place = Place::new();
    let store = filled(&place, 415);
    let (mut removed, mut seen, mut random) = (HashSet::new(), HashSet::new(), Random(3));
    for entry in store.scan() {
        let n = number(entry.unwrap());
        assert!(!removed.contains(&n), "{n} was removed before");
        assert!(seen.insert(n), "{n} appears twice");
        // Some come back, and not a second time.
        for n in [random.below(415), random.below(415)] {
            if store.remove(key(n)).unwrap().is_some() && n % 3 == 0 {
                insert(&store, n);
            } else {
                removed.insert(n);
            }
        }
    }
    assert!((0..415).all(|n| seen.contains(&n) || removed.contains(&n)), "an entry was missed");
}

#[test]
fn a_scan_ends_when_the_store_is_cleared() {
    let place = Place::new();
    let store = filled(&place, 500);
    let (mut waiting, mut begun) = (store.scan(), store.scan());
    begun.next().unwrap().unwrap();
    store.clear().unwrap();
    (0..50).for_each(|n| insert(&store, n));
    assert!(waiting.next().is_none() && begun.next().is_none());
    assert!(waiting.next().is_none(), "and stays at its end");
    drop((waiting, begun));
    assert!(numbers(&store).into_iter().eq(0..50));
    store.checkpoint().unwrap();
    assert_eq!(store.stats().unwrap().pinned, 0, "and holds nothing back when it is gone");
}

#[test]
fn damage_is_an_error_and_the_scan_goes_on_behind_it() {
    let place = Place::new();
    let store = filled(&place, 0);
    let values = insert_to_be_damaged(store);
    let path = place.file("a.tophash");
    let damaged = [7, 20, 30, 59];
    damaged.iter().for_each(|&n| damage(&path, &values[n][..32]));
    for verify_reads in [true, false] {
        let store = Options::new().verify_reads(verify_reads).open(&path).unwrap();
        let (good, errors): (Vec<_>, Vec<_>) = store.scan().partition(Result::is_ok);
        let good: Vec<_> = good.into_iter().map(|entry| entry.unwrap().1.to_vec()).collect();
        let whole = (0..60).filter(|n| !damaged.contains(n)).map(|n| values[n].clone());
        assert!(good.into_iter().eq(whole));
        assert_eq!(errors.len(), damaged.len());
        assert!(errors.into_iter().all(|error| matches!(error, Err(Error::Corrupt { .. }))));
    }
}

#[test]
fn entries_that_are_there_throughout_appear_once_beside_a_writer() {
    let place = Place::new();
    let store = Options::new().checkpoint_bytes(200_000).open(place.file("a.tophash")).unwrap();
    (0..STABLE).for_each(|n| insert(&store, n));
    let stable: HashMap<_, _> = (0..STABLE).map(|n| (key(n), n)).collect();
    let reader = |_| {
        let (mut seen, mut others) = (vec![0; STABLE as usize], HashSet::new());
        for entry in store.scan() {
            let (key, _) = entry.unwrap();
            match stable.get(&key[..]) {
                Some(&n) => seen[n as usize] += 1,
                None => assert!(others.insert(key.to_vec()), "an entry appears twice"),
            }
        }
        assert!(seen.iter().all(|&times| times == 1), "{seen:?}");
    };
    beside_a_writer(&store, reader, || write_much(&store));
    check_verified(&store);
}
