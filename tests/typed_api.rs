//! Typed maps: how they are called, what their files hold, and what they refuse.

mod common;

use std::borrow::Borrow as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use common::Place;
use tophash::report::WhichArray;
use tophash::zerocopy::little_endian::U32;
use tophash::zerocopy::{FromBytes, Immutable, IntoBytes, Unaligned};
use tophash::{Codec, DataType, Error, Fixed, Key, Map, Options, Result, Schema, Set, Store};

#[test]
fn literals_and_references_read_as_with_a_hash_map() {
    let place = Place::new();
    let numbers = Map::<u64, i32>::open(place.file("numbers")).unwrap();
    assert_eq!(numbers.insert(1, -2).unwrap(), None);
    assert_eq!(numbers.insert(&1, &3).unwrap(), Some(-2));
    assert_eq!(numbers.get(&1).unwrap(), Some(3));
    assert_eq!(numbers.add(1, -4).unwrap(), -1);
    assert_eq!(numbers.entry(2).or_insert(9).unwrap(), 9);
    assert_eq!(numbers.update(2, |n| n.map(|n| n + 1)).unwrap(), Some(9));
    numbers.insert_many([(5, 6), (7, 8)]).unwrap();
    assert_eq!(numbers.remove(&5).unwrap(), Some(6));

    let words = Map::<String, Vec<u8>>::open(place.file("words")).unwrap();
    let word = String::from("word");
    assert_eq!(words.insert("word", [1, 2]).unwrap(), None);
    assert_eq!(words.insert(word.clone(), vec![3]).unwrap(), Some(vec![1, 2]));
    assert_eq!(words.insert(word.as_str(), &b"xyz"[..]).unwrap(), Some(vec![3]));
    assert_eq!(words.get("word").unwrap().as_deref(), Some(&b"xyz"[..]));
    assert_eq!(words.get(&word).unwrap().as_deref(), Some(&b"xyz"[..]));
    assert!(words.contains_key(&word).unwrap());
    assert_eq!(words.entry("other").or_default().unwrap(), []);
    let entries = words.iter().collect::<Result<std::collections::BTreeMap<_, _>>>().unwrap();
    assert_eq!(entries.keys().map(String::as_str).collect::<Vec<_>>(), ["other", "word"]);

    let seen = Set::<[u8]>::open(place.file("seen")).unwrap();
    assert!(seen.insert(*b"literal").unwrap());
    assert!(seen.contains(b"literal").unwrap());
    let other = Vec::from(*b"other");
    assert!(!seen.remove(&other).unwrap());
}

#[test]
fn handles_are_shared_among_threads() {
    fn is_shared<T: Clone + Send + Sync + std::fmt::Debug>(_: &T) {}
    let place = Place::new();
    let hits = Map::<str, u64>::open(place.file("hits")).unwrap();
    let pages = Map::<u16, u64>::open(place.file("pages")).unwrap();
    let seen = Set::<String>::open(place.file("seen")).unwrap();
    is_shared(&hits);
    is_shared(&seen);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..500 {
                    hits.add("all", 1).unwrap();
                    pages.clone().entry(n % 10).and_modify(|n| *n += 1).or_insert(1).unwrap();
                }
            });
        }
    });
    assert_eq!(hits.get("all").unwrap(), Some(2_000));
    assert!(pages.values().all(|n| n.unwrap() == 200));
    assert!(format!("{hits:?}").contains("str to u64"), "{hits:?}");
}

#[test]
fn of_those_who_insert_at_the_same_time_all_get_the_value_of_one() {
    let place = Place::new();
    let inline = Map::<u32, u64>::open(place.file("a.tophash")).unwrap();
    let records = Map::<[u8], u64>::open(place.file("b.tophash")).unwrap();
    let inserted_by = |thread: u64| {
        let (inline, records) = (&inline, &records);
        move || {
            let insert = |n: u32| {
                let own = inline.entry(n).or_insert(thread).unwrap();
                (own, records.entry(n.to_le_bytes()).or_insert_with(|| thread).unwrap())
            };
            (0..5_000).map(insert).collect::<Vec<_>>()
        }
    };
    let found = std::thread::scope(|scope| {
        let threads = [1, 2, 3].map(|thread| scope.spawn(inserted_by(thread)));
        threads.map(|thread| thread.join().unwrap())
    });
    assert!(found[0] == found[1] && found[1] == found[2]);
    for (n, &(own, other)) in (0..).zip(&found[0]) {
        assert_eq!(inline.get(&n).unwrap(), Some(own));
        assert_eq!(records.get(&n.to_le_bytes()).unwrap(), Some(other));
    }
}

/// What is done with a file as a whole is done with that of a map.
fn keeps_its_file<K: Key + ?Sized, const ENTRIES: u64>(key: impl Fn(u64) -> K::Owned) {
    let place = Place::new();
    let (path, copy) = (place.file("a.tophash"), place.file("copy.tophash"));
    let map = Options::new().background(false).open_map::<K, u64>(&path).unwrap();
    (0..20).for_each(|round| {
        assert_eq!(map.try_extend((0..ENTRIES).map(|n| (key(n), round))).unwrap(), ENTRIES)
    });
    map.sync().unwrap();
    map.checkpoint().unwrap();
    assert_eq!(map.stats().unwrap().count, ENTRIES);
    assert_eq!(map.growth().unwrap().b, map.stats().unwrap().b);
    let buckets = map.buckets(WhichArray::Current).collect::<Result<Vec<_>>>().unwrap();
    assert_eq!(map.bucket(WhichArray::Current, 1).unwrap().as_ref(), Some(&buckets[1]));
    let compacted = map.compact().unwrap();
    assert!(compacted.file_bytes <= compacted.file_bytes_before);
    assert_eq!(map.backup(&copy).unwrap().entries, ENTRIES);
    assert_eq!(map.path(), path);
    map.clear().unwrap();
    assert!(map.is_empty());
    map.close().unwrap();

    let copy = Options::new().read_only(true).open_map::<K, u64>(&copy).unwrap();
    assert!(copy.verify().unwrap().is_clean());
    assert_eq!(copy.len(), ENTRIES);
    assert!(copy.values().all(|round| round.unwrap() == 19));
    assert!(matches!(copy.insert(key(0), 1), Err(Error::ReadOnly)));
    assert!(matches!(copy.update(key(0).borrow(), |n| n), Err(Error::ReadOnly)));
}

#[test]
fn a_map_keeps_its_file_as_a_store_does() {
    keeps_its_file::<u64, 3_000>(|n| n);
    keeps_its_file::<str, 3_000>(|n| n.to_string());
}

/// Opens a file as one of other types, which says so and leaves it as it was.
#[track_caller]
fn refused<T: std::fmt::Debug>(path: &Path, opened: Result<T>) -> String {
    let Err(Error::Schema { expected, found }) = opened else { panic!("{opened:?}") };
    let map = Options::new().open_dyn(path).unwrap();
    assert_eq!(map.schema(), *found);
    assert_eq!(map.len(), 1);
    format!("{found}; {expected}")
}

#[test]
fn a_file_opens_for_its_own_types_alone() {
    let place = Place::new();
    let path = place.file("a.tophash");
    Map::<u64, u64>::open(&path).unwrap().insert(1, 2).unwrap();
    let other = refused(&path, Map::<u64, i64>::open(&path));
    assert_eq!(other, "u64 to u64 (inline, 8 and 8 bytes); u64 to i64 (inline, 8 and 8 bytes)");
    refused(&path, Map::<u32, u64>::open(&path));
    refused(&path, Map::<[u8; 8], u64>::open(&path));
    refused(&path, Map::<u64, str>::open(&path));
    refused(&path, Set::<u64>::open(&path));
    refused(&path, Store::open(&path));
    refused(&path, Options::new().read_only(true).open_map::<str, u64>(&path));
    assert_eq!(Map::<u64, u64>::open(&path).unwrap().get(&1).unwrap(), Some(2));
}

#[test]
fn what_is_owned_and_what_it_lends_are_one_type() {
    let place = Place::new();
    let path = place.file("a.tophash");
    Map::<String, Vec<u8>>::open(&path).unwrap().insert("key", [7]).unwrap();
    assert_eq!(Map::<str, [u8]>::open(&path).unwrap().get("key").unwrap(), Some(vec![7]));

    let path = place.file("b.tophash");
    Store::open(&path).unwrap().insert("key", "value").unwrap();
    let map = Map::<[u8], Vec<u8>>::open(&path).unwrap();
    assert_eq!(map.get(b"key").unwrap().as_deref(), Some(&b"value"[..]));
    assert_eq!(map.schema(), Schema::BYTES);
}

/// The name that a file has for a type, and its bytes for a value: the same in records and, where they fit, in cells. Both
/// read back as the value.
#[track_caller]
fn stored<V: Codec<Owned: PartialEq<V::Owned> + std::fmt::Debug> + ?Sized>(
    value: &V::Ref,
) -> (String, Vec<u8>) {
    fn stored_under<K: Key<Owned: PartialEq> + ?Sized, V: Codec + ?Sized>(
        key: &K::Ref,
        value: &V::Ref,
    ) -> (String, Vec<u8>, V::Owned) {
        let place = Place::new();
        let path = place.file("a.tophash");
        let map = Map::<K, V>::open(&path).unwrap();
        map.insert(key, value).unwrap();
        let read = map.get(key).unwrap().unwrap();
        drop(map);
        let map = Options::new().open_dyn(&path).unwrap();
        let (_, bytes) = map.iter().next().unwrap().unwrap();
        (map.schema().value().to_owned(), bytes, read)
    }
    let (name, bytes, read) = stored_under::<str, V>("key", value);
    assert_eq!(V::decode(V::encode(value).unwrap().as_ref()).unwrap(), read);
    assert_eq!(stored_under::<u8, V>(&1, value), (name.clone(), bytes.clone(), read));
    (name, bytes)
}

#[derive(FromBytes, IntoBytes, Immutable, Unaligned, Clone, Copy, PartialEq, Debug)]
#[repr(C)]
struct Pair {
    first: U32,
    second: u8,
}

impl Fixed for Pair {
    const NAME: &str = "pair";
}

#[test]
fn stored_forms_are_those_of_the_format() {
    let is = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
    assert_eq!(stored::<u8>(&7), is("u8", &[7]));
    assert_eq!(stored::<u16>(&0x0102), is("u16", &[2, 1]));
    assert_eq!(stored::<u32>(&0x0102_0304), is("u32", &[4, 3, 2, 1]));
    assert_eq!(stored::<u64>(&258), is("u64", &[2, 1, 0, 0, 0, 0, 0, 0]));
    assert_eq!(stored::<u128>(&(1 << 120)), is("u128", &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]));
    assert_eq!(stored::<i8>(&-1), is("i8", &[0xff]));
    assert_eq!(stored::<i16>(&-2), is("i16", &[0xfe, 0xff]));
    assert_eq!(stored::<i32>(&-2), is("i32", &[0xfe, 0xff, 0xff, 0xff]));
    assert_eq!(stored::<i64>(&i64::MIN), is("i64", &[0, 0, 0, 0, 0, 0, 0, 0x80]));
    assert_eq!(stored::<i128>(&-1), is("i128", &[0xff; 16]));
    assert_eq!(stored::<f32>(&1.0), is("f32", &[0, 0, 0x80, 0x3f]));
    assert_eq!(stored::<f64>(&-2.0), is("f64", &[0, 0, 0, 0, 0, 0, 0, 0xc0]));
    assert_eq!(stored::<bool>(&true), is("bool", &[1]));
    assert_eq!(stored::<()>(&()), is("()", &[]));
    assert_eq!(stored::<[u8; 3]>(b"abc"), is("bytes:3", b"abc"));
    assert_eq!(stored::<[u8; 0]>(&[]), is("bytes:0", &[]));
    assert_eq!(stored::<[u8; 300]>(&[9; 300]), is("bytes:300", &[9; 300]));
    assert_eq!(stored::<str>("\u{fc}"), is("str", &[0xc3, 0xbc]));
    assert_eq!(stored::<String>(""), is("str", &[]));
    assert_eq!(stored::<[u8]>(b"abc"), is("bytes", b"abc"));
    assert_eq!(stored::<Vec<u8>>(b"abc"), is("bytes", b"abc"));
    assert_eq!(stored::<Pair>(&Pair { first: 258.into(), second: 7 }), is("pair", &[2, 1, 0, 0, 7]));
}

#[test]
fn a_tool_knows_the_built_in_types_by_the_names_that_maps_write() {
    fn known<T: Codec + ?Sized>() {
        let name = T::type_name();
        let data_type = match T::WIDTH {
            Some(width) => DataType::fixed(&name, width),
            None => DataType::varying(&name),
        };
        assert_eq!(DataType::built_in(&name), Some(data_type.unwrap()), "{name}");
    }
    let numbers = [known::<u8>, known::<u16>, known::<u32>, known::<u64>, known::<u128>];
    let signed = [known::<i8>, known::<i16>, known::<i32>, known::<i64>, known::<i128>];
    let fixed =
        [known::<f32>, known::<f64>, known::<bool>, known::<()>, known::<[u8; 20]>, known::<[u8; 200]>];
    let varying = [known::<str>, known::<String>, known::<[u8]>, known::<Vec<u8>>];
    numbers.iter().chain(&signed).chain(&fixed).chain(&varying).for_each(|known: &fn()| known());
}

#[test]
fn a_sum_that_does_not_fit_changes_nothing() {
    let place = Place::new();
    let small = Map::<u8, i8>::open(place.file("a.tophash")).unwrap();
    let large = Map::<str, u128>::open(place.file("b.tophash")).unwrap();
    assert_eq!(small.add(1, -128).unwrap(), -128);
    assert!(matches!(small.add(1, -1), Err(Error::Overflow { type_name }) if type_name == "i8"));
    assert_eq!(small.add(1, 127).unwrap(), -1);
    assert_eq!(large.add("key", u128::MAX).unwrap(), u128::MAX);
    assert!(matches!(large.add("key", 1), Err(Error::Overflow { .. })));
    assert_eq!(large.get("key").unwrap(), Some(u128::MAX));
}

/// Whatever a closure does, the map goes on.
fn closures_that_misbehave<K: Key<Ref: Sized> + ?Sized>(map: &Map<K, u64>, key: &K::Ref, other: &K::Ref) {
    map.insert(key, 1).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| map.update(key, |_| panic!("on purpose"))));
    assert!(panicked.is_err());
    let entry = || map.entry(other).or_insert_with(|| panic!("on purpose"));
    assert!(catch_unwind(AssertUnwindSafe(entry)).is_err());
    assert_eq!((map.get(key).unwrap(), map.len()), (Some(1), 1));

    let mut inside = Vec::new();
    map.update(key, |count| {
        assert_eq!(map.get(key).unwrap(), Some(1), "reading is fine");
        inside.push(map.insert(other, 2).map(drop));
        inside.push(map.add(other, 2).map(drop));
        inside.push(map.remove(key).map(drop));
        inside.push(map.clear());
        inside.push(map.sync());
        count.map(|count| count + 1)
    })
    .unwrap();
    map.entry(key)
        .and_modify(|_| inside.push(map.insert(other, 2).map(drop)))
        .or_insert_with(|| unreachable!("it is there"))
        .unwrap();
    map.retain(|_, _| {
        inside.push(map.insert(other, 2).map(drop));
        true
    })
    .unwrap();
    assert_eq!(inside.len(), 7);
    assert!(inside.iter().all(|result| matches!(result, Err(Error::Reentrant))), "{inside:?}");
    assert_eq!((map.get(key).unwrap(), map.len()), (Some(2), 1));
}

#[test]
fn closures_that_misbehave_leave_the_map_usable() {
    let place = Place::new();
    closures_that_misbehave(&Map::<u64, u64>::open(place.file("a.tophash")).unwrap(), &1, &2);
    closures_that_misbehave(
        &Map::<[u8; 200], u64>::open(place.file("b.tophash")).unwrap(),
        &[1; 200],
        &[2; 200],
    );
}

#[test]
fn retain_keeps_what_changed_after_it_looked() {
    let place = Place::new();
    let inline = Map::<u8, u64>::open(place.file("a.tophash")).unwrap();
    let records = Map::<str, u64>::open(place.file("b.tophash")).unwrap();
    inline.insert(1, 1).unwrap();
    records.insert("key", 1).unwrap();
    // Another thread is faster than the removal.
    let meanwhile =
        |write: &(dyn Fn() + Sync)| std::thread::scope(|scope| scope.spawn(write).join().unwrap());
    let gone = inline.retain(|_, _| {
        meanwhile(&|| assert!(inline.insert(1, 2).unwrap().is_some()));
        false
    });
    assert_eq!((gone.unwrap(), inline.get(&1).unwrap()), (0, Some(2)));
    let gone = records.retain(|_, _| {
        meanwhile(&|| assert!(records.insert("key", 2).unwrap().is_some()));
        false
    });
    assert_eq!((gone.unwrap(), records.get("key").unwrap()), (0, Some(2)));
    assert_eq!(inline.retain(|_, _| false).unwrap() + records.retain(|_, _| false).unwrap(), 2);
}
