//! Types of serde's as keys and values.

mod common;

use std::collections::{BTreeMap, HashMap};

use common::Place;
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Serialize, Serializer};
use tophash::{Error, Map, Named, Options, Postcard, Result};

#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
struct Person {
    name: String,
    born: Option<u16>,
    languages: Vec<String>,
    marks: BTreeMap<String, f32>,
}

impl Named for Person {
    const NAME: &str = "person";
}

/// A key of several parts.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Hash, Debug)]
enum Spot {
    Town { country: String, town: String },
    Sea(u32),
}

impl Named for Spot {
    const NAME: &str = "place";
}

fn person(n: u64) -> Person {
    Person {
        name: format!("name {n}"),
        born: (n % 2 == 1).then_some(1800 + n as u16),
        languages: (0..n % 4).map(|n| n.to_string()).collect(),
        marks: [(String::from("history"), n as f32)].into(),
    }
}

fn place(n: u64) -> Spot {
    match n % 3 {
        0 => Spot::Sea(n as u32),
        _ => Spot::Town { country: "x".repeat(n as usize), town: n.to_string() },
    }
}

#[test]
fn a_map_of_them_is_the_model_after_reopening() {
    let dir = Place::new();
    let path = dir.file("a.tophash");
    let map = Map::<Postcard<Spot>, Postcard<Person>>::open(&path).unwrap();
    let mut model = HashMap::new();
    for n in 0..300 {
        assert_eq!(map.insert(place(n % 200), person(n)).unwrap(), model.insert(place(n % 200), person(n)));
    }
    assert_eq!(map.remove(&place(7)).unwrap(), model.remove(&place(7)));
    let now = map.entry(place(8)).and_modify(|person| person.born = None).or_insert(person(8)).unwrap();
    model.get_mut(&place(8)).unwrap().born = None;
    assert_eq!(now, model[&place(8)]);
    map.close().unwrap();
    let map = Map::<Postcard<Spot>, Postcard<Person>>::open(&path).unwrap();
    assert_eq!(map.schema().to_string(), "place to person (in records)");
    assert_eq!(map.iter().collect::<Result<HashMap<_, _>>>().unwrap(), model);
}

#[test]
fn bytes_that_are_none_are_refused_and_stay() {
    let dir = Place::new();
    let path = dir.file("a.tophash");
    let map = Map::<u32, Postcard<Person>>::open(&path).unwrap();
    for n in 0..2 {
        map.insert(n as u32, person(n)).unwrap();
    }
    map.close().unwrap();
    let tool = Options::new().open_dyn(&path).unwrap();
    let mut longer = tool.get(0u32.to_le_bytes()).unwrap().unwrap();
    longer.push(0);
    tool.insert(0u32.to_le_bytes(), &longer).unwrap();
    tool.insert(1u32.to_le_bytes(), b"x").unwrap();
    tool.close().unwrap();
    let map = Map::<u32, Postcard<Person>>::open(&path).unwrap();
    for key in 0..2 {
        let refused =
            |result| matches!(result, Err(Error::Decode { type_name, .. }) if type_name == "person");
        assert!(refused(map.get(&key).map(drop)), "{key}");
        assert!(refused(map.insert(key, person(3)).map(drop)), "{key}");
        assert!(refused(map.remove(&key).map(drop)), "{key}");
    }
    assert_eq!(map.len(), 2);
}

/// A list that does not know its length, which the format needs.
#[derive(Deserialize)]
struct Stream;

impl Serialize for Stream {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_seq(None)?.end()
    }
}

impl Named for Stream {
    const NAME: &str = "stream";
}

#[test]
fn what_can_not_be_written_is_refused() {
    let dir = Place::new();
    let map = Map::<u8, Postcard<Stream>>::open(dir.file("a.tophash")).unwrap();
    let error = map.insert(1, Stream).map(drop).unwrap_err();
    assert!(matches!(&error, Error::Encode { type_name, .. } if type_name == "stream"), "{error}");
    assert!(map.is_empty());
}
