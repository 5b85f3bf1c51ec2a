//! Codecs that refuse: a change that is an error has changed nothing.

mod common;

use std::borrow::Cow;

use common::Place;
use tophash::zerocopy::little_endian::U16;
use tophash::zerocopy::{FromBytes, Immutable, IntoBytes, Unaligned};
use tophash::{Codec, DynMap, Error, Fixed, Key, Map, Options, Result};

/// A number up to 6, in a byte; and its codec wants to write 7 as two.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Grade(u8);

impl Codec for Grade {
    type Ref = Grade;
    type Owned = Grade;
    const WIDTH: Option<u32> = Some(1);

    fn type_name() -> Cow<'static, str> {
        "grade".into()
    }

    fn encode(grade: &Grade) -> Result<impl AsRef<[u8]>> {
        match grade.0 {
            0..=6 => Ok(vec![grade.0]),
            7 => Ok(vec![7, 7]),
            _ => Err(Error::Encode { type_name: Self::type_name(), reason: "more than 6".to_owned() }),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Grade> {
        match bytes {
            [grade @ 0..=6] => Ok(Grade(*grade)),
            _ => Err(Error::Decode {
                type_name: Self::type_name(),
                expected: "0 to 6".into(),
                found: "something else".into(),
            }),
        }
    }
}

/// A map with a value 9, which is no grade, under the first key and a good one under the other.
fn damaged<K: Key + ?Sized>(place: &Place, keys: [&K::Ref; 2]) -> Map<K, Grade> {
    let path = place.file("a.tophash");
    let map = Map::<K, Grade>::open(&path).unwrap();
    keys.iter().for_each(|key| assert_eq!(map.insert(*key, Grade(3)).unwrap(), None));
    map.close().unwrap();
    let tool = Options::new().open_dyn(&path).unwrap();
    tool.insert(K::encode(keys[0]).unwrap(), [9]).unwrap();
    tool.close().unwrap();
    Map::open(&path).unwrap()
}

fn a_value_that_is_none<K: Key<Owned: PartialEq> + ?Sized>(keys: [&K::Ref; 2]) {
    let refused =
        |result: Result<()>| matches!(result, Err(Error::Decode { type_name, .. }) if type_name == "grade");
    let place = Place::new();
    let map = damaged::<K>(&place, keys);
    let key = keys[0];
    assert!(refused(map.get(key).map(drop)));
    assert!(refused(map.insert(key, Grade(1)).map(drop)));
    assert!(refused(map.remove(key).map(drop)));
    assert!(refused(map.update(key, |_| None).map(drop)));
    assert!(refused(map.update(key, |_| Some(Grade(1))).map(drop)));
    assert!(refused(map.entry(key).or_insert(Grade(1)).map(drop)));
    assert!(refused(map.entry(key).and_modify(|_| ()).or_insert(Grade(1)).map(drop)));
    assert!(refused(map.retain(|_, _| true).map(drop)));
    let results: Vec<_> = map.iter().map(|entry| refused(entry.map(drop))).collect();
    assert!(results == [true, false] || results == [false, true], "{results:?}");
    assert_eq!(map.keys().filter(Result::is_ok).count(), 2, "the keys are fine");
    assert!(map.contains_key(key).unwrap());
    assert!(map.verify().unwrap().is_clean(), "its bytes are as they were written");
    map.close().unwrap();

    let tool = Options::new().open_dyn(place.file("a.tophash")).unwrap();
    assert_eq!(tool.get(K::encode(key).unwrap()).unwrap(), Some(vec![9]), "and it is still there");
}

#[test]
fn a_value_that_is_none_is_refused_and_stays() {
    a_value_that_is_none::<u32>([&1, &2]);
    a_value_that_is_none::<str>(["first", "second"]);
}

fn a_value_that_has_no_bytes<K: Key + ?Sized>(key: &K::Ref) {
    let place = Place::new();
    let map = Map::<K, Grade>::open(place.file("a.tophash")).unwrap();
    let encode = |result: Result<()>| matches!(result, Err(Error::Encode { .. }));
    let width = |result: Result<()>| matches!(result, Err(Error::Width { expected: 1, found: 2, .. }));
    for (there, grade) in [(None, Grade(1)), (Some(Grade(1)), Grade(2))] {
        for (wrong, refused) in [(Grade(8), &encode as &dyn Fn(Result<()>) -> bool), (Grade(7), &width)] {
            assert!(refused(map.insert(key, wrong).map(drop)));
            assert!(refused(map.insert_many([(key, grade), (key, wrong)])));
            assert!(refused(map.update(key, |_| Some(wrong)).map(drop)));
            assert!(refused(map.entry(key).and_modify(|now| *now = wrong).or_insert(wrong).map(drop)));
            assert_eq!(map.get(key).unwrap(), there);
        }
        map.insert(key, grade).unwrap();
    }
}

#[test]
fn a_value_that_has_no_bytes_is_refused() {
    a_value_that_has_no_bytes::<u32>(&1);
    a_value_that_has_no_bytes::<str>("key");
}

#[test]
fn text_that_is_none_is_refused() {
    let place = Place::new();
    let path = place.file("a.tophash");
    let map = Map::<u8, Shout>::open(&path).unwrap();
    map.insert(1, "aloud").unwrap();
    assert_eq!(map.get(&1).unwrap().as_deref(), Some("ALOUD"));
    map.close().unwrap();
    let tool = Options::new().open_dyn(&path).unwrap();
    tool.insert([1], b"ab\xffc").unwrap();
    tool.close().unwrap();
    let error = Map::<u8, Shout>::open(&path).unwrap().get(&1).unwrap_err();
    assert!(error.to_string().starts_with("the bytes are no str: expected UTF-8, found 255"), "{error}");
}

/// A text that is stored as a `str`, under a name of its own.
struct Shout;

impl Codec for Shout {
    type Ref = str;
    type Owned = String;
    const WIDTH: Option<u32> = None;

    fn type_name() -> Cow<'static, str> {
        "shout".into()
    }

    fn encode(text: &str) -> Result<impl AsRef<[u8]>> {
        Ok(text.to_uppercase())
    }

    fn decode(bytes: &[u8]) -> Result<String> {
        str::decode(bytes)
    }
}

#[derive(FromBytes, IntoBytes, Immutable, Unaligned, Clone, Copy, PartialEq, Debug)]
#[repr(C)]
struct Size {
    width: U16,
    height: U16,
}

impl Fixed for Size {
    const NAME: &str = "size";
}

#[test]
fn a_struct_of_another_width_is_refused_and_stays() {
    let place = Place::new();
    let path = place.file("a.tophash");
    let size = Size { width: 3.into(), height: 4.into() };
    Map::<str, Size>::open(&path).unwrap().insert("key", size).unwrap();
    // Where records hold the values the header has no width of them, only the name.
    Options::new().open_dyn(&path).unwrap().insert("key", [0; 6]).unwrap();
    let map = Map::<str, Size>::open(&path).unwrap();
    let refused = |result: Result<()>| matches!(result, Err(Error::Width { expected: 4, found: 6, .. }));
    assert!(refused(map.get("key").map(drop)));
    assert!(refused(map.insert("key", size).map(drop)));
    assert!(refused(map.remove("key").map(drop)));
    map.close().unwrap();
    let tool: DynMap = Options::new().open_dyn(&path).unwrap();
    assert_eq!(tool.get("key").unwrap(), Some(vec![0; 6]));
}

#[test]
fn a_name_that_is_too_long_opens_nothing() {
    struct Long;
    impl Codec for Long {
        type Ref = ();
        type Owned = ();
        const WIDTH: Option<u32> = None;

        fn type_name() -> Cow<'static, str> {
            "x".repeat(65).into()
        }

        fn encode(_: &()) -> Result<impl AsRef<[u8]>> {
            Ok([])
        }

        fn decode(_: &[u8]) -> Result<()> {
            Ok(())
        }
    }
    let place = Place::new();
    let path = place.file("a.tophash");
    assert!(matches!(Map::<u8, Long>::open(&path), Err(Error::TooLarge { len: 65, limit: 64, .. })));
    assert!(!path.exists());
}
