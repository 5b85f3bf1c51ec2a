//! Large keys, large values, large tables.

mod common;

use common::{Model, Place, Random, check_equal, check_verified, copy_as_if_killed, key};
use tophash::{Error, Options, Store};

const MIB: usize = 1 << 20;

/// Opens the store after a kill and after a close, and has both checked.
fn reopened_both_ways(place: &Place, store: Store, check: impl Fn(&Store)) {
    let (path, killed) = (place.file("a.tophash"), place.file("killed.tophash"));
    check(&store);
    copy_as_if_killed(&store, &path, &killed);
    check(&Store::open(&killed).unwrap());
    store.close().unwrap();
    check(&Store::open(&path).unwrap());
}

#[test]
fn values_of_many_mebibytes_are_kept() {
    let place = Place::new();
    let store = Store::open(place.file("a.tophash")).unwrap();
    let mut random = Random(1);
    let mut model = Model::new();
    for (n, len) in [20 * MIB, 0, 65_535, 65_536, 3 * MIB + 1, 20 * MIB].into_iter().enumerate() {
        let value = random.bytes(len);
        store.insert(key(n as u64), &value).unwrap();
        model.insert(key(n as u64), value);
    }
    let value = random.bytes(MIB);
    assert!(store.insert(key(0), &value).unwrap().unwrap() == model[&key(0)]);
    model.insert(key(0), value);
    reopened_both_ways(&place, store, |store| check_equal(store, &model, []));
}

#[test]
fn keys_of_sixteen_mebibytes_are_kept() {
    let place = Place::new();
    let store = Store::open(place.file("a.tophash")).unwrap();
    let mut largest = Random(2).bytes(16 * MIB);
    let mut model = Model::new();
    for value in [b"one".to_vec(), vec![2; 70_000]] {
        store.insert(&largest, &value).unwrap();
        model.insert(largest.clone(), value);
        *largest.last_mut().unwrap() ^= 1;
    }
    for len in [255, 256, 257] {
        store.insert(&largest[..len], "shorter").unwrap();
        model.insert(largest[..len].to_vec(), b"shorter".to_vec());
    }
    reopened_both_ways(&place, store, |store| check_equal(store, &model, []));
}

#[test]
fn what_is_beyond_the_limits_is_refused_and_changes_nothing() {
    let place = Place::new();
    let store = Options::new().background(false).open(place.file("a.tophash")).unwrap();
    store.insert("key", "value").unwrap();
    let before = store.stats().unwrap();

    let key = vec![0; 16 * MIB + 1];
    let Err(Error::TooLarge { len, limit, .. }) = store.insert(&key, "value") else { panic!("16 MiB + 1") };
    assert_eq!((len, limit), (16 * MIB as u64 + 1, 16 * MIB as u64));
    assert!(store.get(&key).unwrap().is_none());
    assert!(!store.contains_key(&key).unwrap());

    // Zeros that are never looked at take no memory.
    let value = vec![0; 1 << 32];
    let Err(Error::TooLarge { len, limit, .. }) = store.insert("key", &value) else { panic!("4 GiB") };
    assert_eq!((len, limit), (1 << 32, u64::from(u32::MAX)));

    assert_eq!(store.stats().unwrap(), before);
    check_equal(&store, &Model::from([(b"key".to_vec(), b"value".to_vec())]), []);
}

#[test]
fn a_table_of_a_hundred_thousand_entries_is_kept() {
    let place = Place::new();
    let store = Store::open(place.file("a.tophash")).unwrap();
    let model: Model = (0..100_000).map(|n| (key(n), n.to_le_bytes().to_vec())).collect();
    for n in 0..100_000u64 {
        store.insert(key(n), n.to_le_bytes()).unwrap();
    }
    assert_eq!(store.growth().unwrap().b, 14);
    reopened_both_ways(&place, store, |store| check_equal(store, &model, (100_000..100_100).map(key)));
}

#[test]
fn a_capacity_hint_makes_room_for_as_many_entries() {
    let place = Place::new();
    let store = Options::new().capacity(10_000).open(place.file("a.tophash")).unwrap();
    let before = store.growth().unwrap();
    assert_eq!((before.b, before.buckets), (11, 2048));
    (0..10_000).for_each(|n| drop(store.insert(key(n), []).unwrap()));
    assert_eq!(store.growth().unwrap(), before, "it did not grow");
    check_verified(&store);
}
