//! Changes that depend on what is there, beside other writers; closures that panic, and that do what they must not.

mod common;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use common::{Change, Model, Place, Random, check_equal, key};
use tophash::{Batch, Error, Options, Result, Store};

fn counted(value: Option<&[u8]>) -> u64 {
    value.map_or(0, |value| u64::from_le_bytes(value.try_into().unwrap()))
}

fn open(place: &Place) -> Store {
    Options::new().open(place.file("a.tophash")).unwrap()
}

#[test]
fn threads_count_together_by_update() {
    let (place, threads, times) = (Place::in_memory(), 4, 2_000);
    let store = open(&place);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let store = &store;
            scope.spawn(move || {
                for time in 0..times {
                    let counter = key((time + thread) % 50);
                    store.update(counter, |n| Some((counted(n) + 1).to_le_bytes().to_vec())).unwrap();
                }
            });
        }
    });
    store.close().unwrap();
    let sum: u64 = open(&place).values().map(|value| counted(Some(&value.unwrap()))).sum();
    assert_eq!(sum, threads * times);
}

#[test]
fn threads_count_together_by_compare_exchange() {
    let (place, threads, times) = (Place::in_memory(), 3, 500);
    let store = open(&place);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..times {
                    let mut seen = store.get("counter").unwrap();
                    loop {
                        let new = (counted(seen.as_deref()) + 1).to_le_bytes();
                        match store.compare_exchange("counter", seen.as_deref(), Some(&new)).unwrap() {
                            Ok(()) => break,
                            Err(other) => seen = other,
                        }
                    }
                }
            });
        }
    });
    assert_eq!(counted(store.get("counter").unwrap().as_deref()), threads * times);
}

#[test]
fn one_of_many_inserts_and_all_get_its_value() {
    let place = Place::in_memory();
    let store = open(&place);
    let made = Mutex::new(0);
    for round in 0..100 {
        let values = Mutex::new(HashSet::new());
        std::thread::scope(|scope| {
            for thread in 0..3u64 {
                let (store, made, values) = (&store, &made, &values);
                scope.spawn(move || {
                    let value = store.get_or_insert_with(key(round), || {
                        *made.lock().unwrap() += 1;
                        thread.to_le_bytes().to_vec()
                    });
                    values.lock().unwrap().insert(value.unwrap().to_vec());
                });
            }
        });
        assert_eq!(values.lock().unwrap().len(), 1);
    }
    assert_eq!((*made.lock().unwrap(), store.len()), (100, 100));
}

#[test]
fn updates_and_exchanges_agree_with_a_model() {
    let place = Place::in_memory();
    let path = place.file("a.tophash");
    let mut store = Options::new().background(false).open(&path).unwrap();
    let (mut model, mut random) = (Model::new(), Random(2));
    for n in 0..6_000 {
        let key = key(random.below(300));
        let len = if random.once_in(100) { 70_000 } else { random.below(40) as usize };
        let new = (!random.once_in(3)).then(|| random.bytes(len));
        let before = model.get(&key).cloned();
        let change = new.clone().map_or(Change::Remove(key.clone()), |v| Change::Insert(key.clone(), v));
        match random.below(3) {
            0 => {
                let returned = store.update(&key, |found| {
                    assert!(found == before.as_deref());
                    assert!(store.get(&key).unwrap().as_deref() == found, "reading inside is fine");
                    new
                });
                assert!(returned.unwrap().as_deref() == before.as_deref());
                change.apply_to(&mut model);
            }
            1 => {
                let expected = if random.once_in(3) { Some(random.bytes(3)) } else { before.clone() };
                match store.compare_exchange(&key, expected.as_deref(), new.as_deref()).unwrap() {
                    Ok(()) => {
                        assert!(expected == before);
                        change.apply_to(&mut model);
                    }
                    Err(found) => assert!(expected != before && found.as_deref() == before.as_deref()),
                }
            }
            _ => {
                let value = new.unwrap_or_default();
                let found = store.get_or_insert_with(&key, || value.clone()).unwrap();
                assert!(found == *model.entry(key).or_insert(value));
            }
        }
        if n % 1000 == 999 {
            store.close().unwrap();
            store = Options::new().background(false).open(&path).unwrap();
            check_equal(&store, &model, (0..300).map(common::key));
        }
    }
}

#[test]
fn an_update_that_changes_nothing_appends_nothing() {
    let place = Place::new();
    let store = Options::new().background(false).open(place.file("a.tophash")).unwrap();
    store.insert("key", "value").unwrap();
    let before = store.stats().unwrap().log_bytes_since_checkpoint;
    assert!(store.update("absent", |_| None).unwrap().is_none());
    assert!(store.compare_exchange("absent", None, None).unwrap().is_ok());
    assert!(store.compare_exchange("key", None, Some(b"other")).unwrap().is_err());
    assert_eq!(store.get_or_insert_with("key", || unreachable!("it is there")).unwrap(), "value");
    assert_eq!(store.stats().unwrap().log_bytes_since_checkpoint, before);
}

#[test]
fn a_closure_that_panics_leaves_the_store_as_it_was() {
    let place = Place::new();
    let store = open(&place);
    store.insert_many([("key", "value"), ("other", "value")]).unwrap();
    let model: Model = [("key", "value"), ("other", "value")].map(|(k, v)| (k.into(), v.into())).into();
    let panics: [&dyn Fn(); 3] = [
        &|| drop(store.update("key", |_| panic!("on purpose"))),
        &|| drop(store.get_or_insert_with("absent", || panic!("on purpose"))),
        &|| drop(store.retain(|_, _| panic!("on purpose"))),
    ];
    for panics in panics {
        let message = catch_unwind(AssertUnwindSafe(panics)).expect_err("it panics");
        assert_eq!(message.downcast_ref(), Some(&"on purpose"));
        check_equal(&store, &model, [b"absent".to_vec()]);
        // No lock is held or poisoned, and this thread is in no closure.
        store.insert("later", "1").unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| store.remove("later").unwrap().map(|_| ())).join().unwrap()
        });
    }
    store.close().unwrap();
    check_equal(&open(&place), &model, []);
}

/// Everything that waits for the writer lock.
fn expect_all_refused(store: &Store) {
    let refused = |result: Result<()>| assert!(matches!(result, Err(Error::Reentrant)), "{result:?}");
    refused(store.insert("key", "new").map(|_| ()));
    refused(store.remove("key").map(|_| ()));
    refused(store.forget("key").map(|_| ()));
    refused(store.clear());
    refused(store.apply(Batch::new().put("key", "new")));
    refused(store.insert_many([("key", "new")]));
    refused(store.update("key", |_| None).map(|_| ()));
    refused(store.compare_exchange("key", None, None).map(|_| ()));
    refused(store.get_or_insert_with("absent", Vec::new).map(|_| ()));
    refused(store.retain(|_, _| false).map(|_| ()));
    refused(store.drain().next().unwrap().map(|_| ()));
    refused(store.sync());
    refused(store.checkpoint());
    refused(store.clone().close());
    refused(store.scan().next().unwrap().map(|_| ()));
    refused(store.stats().map(|_| ()));
    refused(store.growth().map(|_| ()));
    refused(store.info().map(|_| ()));
    refused(store.verify().map(|_| ()));
    assert_eq!(store.get("key").unwrap().as_deref(), Some(&b"value"[..]));
    assert_eq!((store.len(), store.iter().count()), (1, 1));
}

#[test]
fn a_write_to_the_same_store_inside_a_closure_is_an_error() {
    let place = Place::new();
    let store = open(&place);
    store.insert("key", "value").unwrap();
    store
        .update("key", |value| {
            expect_all_refused(&store);
            value.map(<[u8]>::to_vec)
        })
        .unwrap();
    assert_eq!(store.retain(|_, _| (expect_all_refused(&store), true).1).unwrap(), 0);
    let made = store.get_or_insert_with("made", || (expect_all_refused(&store), b"1".to_vec()).1);
    assert_eq!(made.unwrap(), "1");
}

#[test]
fn another_store_may_be_written_inside_a_closure() {
    let (place, other_place) = (Place::new(), Place::new());
    let (store, other) = (open(&place), open(&other_place));
    store
        .update("key", |_| {
            let inner = other.update("key", |_| {
                assert!(matches!(store.insert("x", ""), Err(Error::Reentrant)));
                assert!(matches!(other.insert("x", ""), Err(Error::Reentrant)));
                Some(b"inner".to_vec())
            });
            inner.unwrap();
            other.insert("beside", "1").unwrap();
            assert!(matches!(store.insert("x", ""), Err(Error::Reentrant)));
            Some(b"outer".to_vec())
        })
        .unwrap();
    assert_eq!(store.get("key").unwrap().as_deref(), Some(&b"outer"[..]));
    assert_eq!(other.len(), 2);
}

#[test]
fn retain_asks_about_each_entry_once() {
    let place = Place::in_memory();
    let store = open(&place);
    for count in [0, 1, 7, 500, 5_000] {
        store.clear().unwrap();
        store.insert_many((0..count).map(|n| (key(n), n.to_le_bytes()))).unwrap();
        let mut asked = HashSet::new();
        let removed = store.retain(|key, value| {
            assert!(asked.insert(key.to_vec()), "asked twice");
            counted(Some(value)).is_multiple_of(3)
        });
        assert_eq!((removed.unwrap(), asked.len() as u64), (count - count.div_ceil(3), count));
        let kept = (0..count).filter(|n| n.is_multiple_of(3)).map(|n| (key(n), n.to_le_bytes().to_vec()));
        check_equal(&store, &kept.collect(), (0..count).map(key));
    }
}

/// What was asked about is not what is there when it is to be removed.
#[test]
fn retain_leaves_what_changed_meanwhile() {
    let place = Place::new();
    let store = open(&place);
    store.insert_many([("a", "old"), ("b", "old"), ("c", "old")]).unwrap();
    let removed = store.retain(|key, _| {
        let write = || match key {
            b"a" => drop(store.insert("a", "new").unwrap()),
            b"b" => drop(store.remove("b").unwrap()),
            // The same value in another record: it is what was seen.
            _ => drop(store.insert("c", "old").unwrap()),
        };
        std::thread::scope(|scope| scope.spawn(write).join().unwrap());
        false
    });
    assert_eq!(removed.unwrap(), 1);
    check_equal(&store, &[(b"a".to_vec(), b"new".to_vec())].into(), [b"b".to_vec(), b"c".to_vec()]);
}

#[test]
fn what_is_drained_is_gone_and_what_is_not_stays() {
    let place = Place::new();
    let store = open(&place);
    let entries: Model = (0..300).map(|n| (key(n), Random(n).bytes(9))).collect();
    store.insert_many(&entries).unwrap();
    let mut left = entries.clone();
    for entry in store.drain().take(100) {
        let (key, value) = entry.unwrap();
        assert!(left.remove(&*key).as_deref() == Some(&value));
    }
    check_equal(&store, &left, entries.keys().cloned());
    assert_eq!(store.drain().count(), 200);
    assert!(store.is_empty());
}

#[test]
fn each_entry_goes_to_one_of_those_who_drain() {
    let place = Place::in_memory();
    let store = open(&place);
    store.insert_many((0..3_000).map(|n| (key(n), ""))).unwrap();
    let drain = || store.drain().map(|entry| entry.unwrap().0.to_vec()).collect::<Vec<_>>();
    let drained: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(drain)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(drained.len(), 3_000);
    assert_eq!(drained.into_iter().collect::<HashSet<_>>().len(), 3_000);
}
