//! Files of any types, as tools see them.

mod common;

use common::Place;
use tophash::{Batch, DataType, Error, Options, Schema, Store};

fn built_in(name: &str) -> DataType {
    DataType::built_in(name).unwrap()
}

fn words() -> Schema {
    Schema::new(built_in("str"), built_in("u32"))
}

#[test]
fn a_file_of_any_types_opens_and_says_what_they_are() {
    let place = Place::new();
    let path = place.file("a.tophash");
    let map = Options::new().create_dyn(&path, words()).unwrap();
    assert_eq!(map.insert("moon", 7u32.to_le_bytes()).unwrap(), None);
    assert_eq!(map.insert("moon", 8u32.to_le_bytes()).unwrap(), Some(7u32.to_le_bytes().to_vec()));
    map.insert_many([("sun", 1u32.to_le_bytes()), ("star", 2u32.to_le_bytes())]).unwrap();
    map.close().unwrap();

    for read_only in [false, true] {
        let map = Options::new().read_only(read_only).open_dyn(&path).unwrap();
        assert_eq!((map.schema(), map.len()), (words(), 3));
        assert_eq!(map.get("moon").unwrap(), Some(8u32.to_le_bytes().to_vec()));
        assert!(map.contains_key("sun").unwrap() && !map.contains_key("comet").unwrap());
        let mut keys: Vec<_> = map.iter().map(|entry| entry.unwrap().0).collect();
        keys.sort();
        assert_eq!(keys, [b"moon".to_vec(), b"star".to_vec(), b"sun".to_vec()]);
    }
    let map = Options::new().open_dyn(&path).unwrap();
    assert_eq!(map.remove("sun").unwrap(), Some(1u32.to_le_bytes().to_vec()));
    assert_eq!(map.remove("sun").unwrap(), None);
    assert!(map.verify().unwrap().is_clean());
}

#[test]
fn a_batch_is_applied_in_both_layouts() {
    let place = Place::new();
    let numbers = Schema::new(built_in("u32"), built_in("u32"));
    for (file, schema) in [("records", words()), ("cells", numbers)] {
        let map = Options::new().background(false).create_dyn(place.file(file), schema).unwrap();
        map.insert_many([("gone", [1; 4]), ("kept", [2; 4])]).unwrap();
        let mut batch = Batch::new();
        batch.put("twic", [3; 4]).remove("gone").put("twic", [4; 4]).put("late", [5; 4]).remove("late");
        let logged = || map.stats().unwrap().log_bytes_since_checkpoint;
        let before = logged();
        map.apply(&batch).unwrap();
        let (put, removal) = (8 + 4 + 4, 8 + 4u64.next_multiple_of(8));
        assert_eq!(logged() - before, 24 + put + removal, "{file}: a batch record, and one for each change");
        let mut entries: Vec<_> = map.iter().map(|entry| entry.unwrap()).collect();
        entries.sort();
        assert_eq!(entries, [(b"kept".to_vec(), vec![2; 4]), (b"twic".to_vec(), vec![4; 4])], "{file}");

        batch.put("okay", [6; 4]).put("nope", [7; 5]);
        assert!(matches!(map.apply(&batch), Err(Error::Width { expected: 4, found: 5, .. })));
        assert_eq!(map.len(), 2, "{file}");
        batch.clear().put("only", [8; 4]);
        map.apply(&batch).unwrap();
        assert_eq!((map.len(), map.get("only").unwrap()), (1, Some(vec![8; 4])), "{file}");
    }
}

#[test]
fn a_file_is_opened_where_it_is_and_made_where_it_is_not() {
    let place = Place::new();
    let path = place.file("a.tophash");
    let kind = |result| match result {
        Err(Error::Io { source, .. }) => source.kind(),
        other => panic!("{other:?}"),
    };
    assert_eq!(kind(Options::new().open_dyn(&path)), std::io::ErrorKind::NotFound);
    assert!(!path.exists());
    drop(Options::new().create_dyn(&path, words()).unwrap());
    assert_eq!(kind(Options::new().create_dyn(&path, words())), std::io::ErrorKind::AlreadyExists);
}

#[test]
fn bytes_that_are_not_of_the_type_are_refused_and_change_nothing() {
    let place = Place::new();
    let map = Options::new().create_dyn(place.file("a.tophash"), words()).unwrap();
    let wrong = |result: tophash::Result<()>| match result {
        Err(Error::Width { type_name, expected, found }) => (type_name.into_owned(), expected, found),
        other => panic!("{other:?}"),
    };
    assert_eq!(wrong(map.insert("moon", b"abc").map(drop)), ("u32".to_owned(), 4, 3));
    let entries = [("moon", &b"abcd"[..]), ("sun", b"abc")];
    assert_eq!(wrong(map.insert_many(entries)), ("u32".to_owned(), 4, 3));
    assert!(matches!(map.insert(b"\xff", b"abcd"), Err(Error::Decode { .. })));
    assert!(matches!(map.get(b"\xff"), Err(Error::Decode { .. })));
    assert!(map.is_empty());

    let schema = Schema::new(built_in("str"), built_in("bool"));
    let map = Options::new().create_dyn(place.file("b.tophash"), schema).unwrap();
    assert!(matches!(map.insert("moon", [2]), Err(Error::Decode { .. })));
    assert!(matches!(map.insert("moon", []), Err(Error::Width { .. })));
    assert!(map.is_empty());
    map.insert("moon", [1]).unwrap();
}

#[test]
fn cells_hold_bytes_of_their_width_alone() {
    let place = Place::new();
    // A type that nobody here knows: its width is all that is known of it.
    let schema = Schema::new(built_in("u64"), DataType::fixed("a type of mine", 3).unwrap());
    let map = Options::new().create_dyn(place.file("a.tophash"), schema).unwrap();
    let wrong = |result: tophash::Result<()>| match result {
        Err(Error::Width { type_name, expected, found }) => (type_name.into_owned(), expected, found),
        other => panic!("{other:?}"),
    };
    let (key, none) = (8u64.to_le_bytes(), Vec::<u8>::new());
    assert_eq!(wrong(map.insert(key, b"abcd").map(drop)), ("a type of mine".to_owned(), 3, 4));
    assert_eq!(wrong(map.insert(&none, b"abc").map(drop)), ("u64".to_owned(), 8, 0));
    assert_eq!(wrong(map.get(b"key").map(drop)), ("u64".to_owned(), 8, 3));
    assert_eq!(wrong(map.contains_key(b"key").map(drop)), ("u64".to_owned(), 8, 3));
    assert_eq!(wrong(map.remove(b"key").map(drop)), ("u64".to_owned(), 8, 3));
    assert_eq!(wrong(map.insert_many([(key, &b"abc"[..]), (key, b"")])), ("a type of mine".to_owned(), 3, 0));
    assert!(map.is_empty());

    map.insert_many((0..100u64).map(|n| (n.to_le_bytes(), [n as u8; 3]))).unwrap();
    assert_eq!(map.insert(key, b"abc").unwrap().as_deref(), Some(&[8, 8, 8][..]));
    assert_eq!(map.get(key).unwrap().as_deref(), Some(&b"abc"[..]));
    assert_eq!(map.remove(key).unwrap().as_deref(), Some(&b"abc"[..]));
    assert!(!map.contains_key(key).unwrap());
    let mut entries = map.iter().collect::<tophash::Result<Vec<_>>>().unwrap();
    entries.sort();
    let left = (0..100u64).filter(|n| *n != 8).map(|n| (n.to_le_bytes().to_vec(), vec![n as u8; 3]));
    assert_eq!(entries, left.collect::<Vec<_>>());
}

#[test]
fn a_store_does_not_open_a_typed_file() {
    let place = Place::new();
    let path = place.file("a.tophash");
    drop(Options::new().create_dyn(&path, words()).unwrap());
    match Store::open(&path) {
        Err(Error::Schema { expected, found }) => assert_eq!((*expected, *found), (Schema::BYTES, words())),
        other => panic!("{other:?}"),
    }
    let path = place.file("b.tophash");
    Store::open(&path).unwrap().insert("key", "value").unwrap();
    let map = Options::new().open_dyn(&path).unwrap();
    assert_eq!(map.schema(), Schema::BYTES);
    assert_eq!(map.get("key").unwrap().as_deref(), Some(&b"value"[..]));
}

#[test]
fn built_in_types_have_one_name_each() {
    for name in ["bytes:+8", "bytes:08", "bytes:", "bytes:x", "u65", "", "U64", "bytes:99999999999"] {
        assert_eq!(DataType::built_in(name), None, "{name}");
    }
    assert_eq!(built_in("bytes"), DataType::BYTES);
    assert_eq!(built_in("bytes:0"), DataType::fixed("bytes:0", 0).unwrap());
}
