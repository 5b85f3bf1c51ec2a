//! Typed maps beside a `HashMap`, in both layouts: random operations, with reopening, clean and as after a kill.

mod common;

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::path::PathBuf;

use common::{Place, Random, copy_beside_headers};
use tophash::zerocopy::little_endian::{U16, U32};
use tophash::zerocopy::{FromBytes, Immutable, IntoBytes, Unaligned};
use tophash::{Codec, Fixed, Key, Layout, Map, Options, Set};

/// What a test draws keys or values of: the same number makes the same one.
trait Drawn: Codec<Owned: Eq + Clone + Debug> {
    fn drawn(number: u64) -> Self::Owned;
}

impl Drawn for u8 {
    fn drawn(number: u64) -> u8 {
        number as u8
    }
}

impl Drawn for u32 {
    fn drawn(number: u64) -> u32 {
        Random(number).next() as u32
    }
}

impl Drawn for u64 {
    fn drawn(number: u64) -> u64 {
        Random(number).next()
    }
}

impl Drawn for i128 {
    fn drawn(number: u64) -> i128 {
        i128::from(Random(number).next() as i64) * i128::from(u64::MAX)
    }
}

impl<const N: usize> Drawn for [u8; N] {
    fn drawn(number: u64) -> [u8; N] {
        Random(number).bytes(N).try_into().unwrap()
    }
}

impl Drawn for bool {
    fn drawn(number: u64) -> bool {
        number % 2 == 1
    }
}

impl Drawn for str {
    fn drawn(number: u64) -> String {
        "\u{fc}".repeat(number as usize % 11) + &number.to_string()
    }
}

impl Drawn for [u8] {
    fn drawn(number: u64) -> Vec<u8> {
        Random(number).bytes(number as usize % 300)
    }
}

#[derive(FromBytes, IntoBytes, Immutable, Unaligned, Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(C)]
struct Point {
    x: U32,
    y: U16,
}

impl Fixed for Point {
    const NAME: &str = "point";
}

impl Drawn for Point {
    fn drawn(number: u64) -> Point {
        Point { x: (number as u32).into(), y: (number as u16 ^ 5).into() }
    }
}

/// The largest that a cell holds.
#[derive(FromBytes, IntoBytes, Immutable, Unaligned, Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
struct Page([u8; 128]);

impl Fixed for Page {
    const NAME: &str = "page";
}

impl Drawn for Page {
    fn drawn(number: u64) -> Page {
        Page(<[u8; 128]>::drawn(number))
    }
}

/// A map, its model, and the numbers that keys are drawn from.
struct Pair<K: Drawn + ?Sized, V: Drawn + ?Sized> {
    place: Place,
    options: Options,
    /// The number in the file's name; it moves on when the map is killed.
    generation: u32,
    /// `None` only while the map is reopened.
    map: Option<Map<K, V>>,
    model: HashMap<K::Owned, V::Owned>,
    keys: u64,
    random: Random,
}

impl<K: Key + Drawn<Owned: Hash> + ?Sized, V: Drawn + ?Sized> Pair<K, V> {
    fn new(options: &Options, keys: u64) -> Self {
        let (place, model) = (Place::in_memory(), HashMap::new());
        let mut pair = Pair {
            place,
            options: options.clone(),
            generation: 0,
            map: None,
            model,
            keys,
            random: Random(keys),
        };
        pair.open();
        pair
    }

    fn path(&self) -> PathBuf {
        self.place.file(&format!("{}.tophash", self.generation))
    }

    fn open(&mut self) {
        self.map = Some(self.options.clone().open_map(self.path()).unwrap());
    }

    fn key(&mut self) -> K::Owned {
        K::drawn(self.random.below(self.keys))
    }

    fn value(&mut self) -> V::Owned {
        V::drawn(self.random.next())
    }

    /// One random operation, checked by what it returns.
    fn step(&mut self) {
        let (key, value) = (self.key(), self.value());
        let kind = self.random.below(100);
        let (map, model) = (self.map.as_ref().unwrap(), &mut self.model);
        match kind {
            0..35 => {
                let before = map.insert(key.clone(), value.clone()).unwrap();
                assert_eq!(before, model.insert(key, value));
            }
            35..55 => assert_eq!(map.remove(lent::<K>(&key)).unwrap(), model.remove::<K::Owned>(&key)),
            55..70 => assert_eq!(map.get(lent::<K>(&key)).unwrap(), model.get::<K::Owned>(&key).cloned()),
            70..75 => {
                assert_eq!(map.contains_key(lent::<K>(&key)).unwrap(), model.contains_key::<K::Owned>(&key))
            }
            75..82 => {
                let now = map.entry(key.clone()).or_insert(value.clone()).unwrap();
                assert_eq!(now, *model.entry(key).or_insert(value));
            }
            82..90 => {
                let other = V::drawn(7);
                let entry = map.entry(key.clone()).and_modify(|now| *now = other.clone());
                let now = entry.or_insert(value.clone()).unwrap();
                assert_eq!(now, *model.entry(key).and_modify(|now| *now = other).or_insert(value));
            }
            _ => {
                // Changes what is odd in some way, removes what is not, and inserts where nothing is.
                let change =
                    |now: Option<V::Owned>| now.is_none_or(|now| now == V::drawn(7)).then(|| value.clone());
                let before = map.update(key.clone(), change).unwrap();
                assert_eq!(before, model.get::<K::Owned>(&key).cloned());
                match change(before) {
                    Some(new) => model.insert(key, new),
                    None => model.remove::<K::Owned>(&key),
                };
            }
        }
        assert_eq!(map.len(), model.len() as u64);
    }

    /// Now and then something larger.
    fn seldom(&mut self) {
        let map = self.map.as_ref().unwrap();
        match self.random.below(1_000) {
            0 => {
                map.clear().unwrap();
                self.model.clear();
            }
            1..3 => map.checkpoint().unwrap(),
            3..5 => map.sync().unwrap(),
            5..8 => {
                let stays = |key: &K::Owned, _: &V::Owned| format!("{key:?}").len() % 3 != 0;
                let (before, gone) = (self.model.len(), map.retain(stays).unwrap());
                self.model.retain(|key, value| stays(key, value));
                assert_eq!(gone, (before - self.model.len()) as u64);
            }
            8..10 => {
                let entries: Vec<_> = (0..50).map(|_| (self.key(), self.value())).collect();
                let map = self.map.as_ref().unwrap();
                assert_eq!(map.try_extend(entries.clone()).unwrap(), 50);
                self.model.extend(entries);
            }
            10..13 => self.reopen_after_close(),
            13..15 => self.reopen_after_kill(),
            15..25 => self.apply_batch(),
            25..35 => self.get_many(),
            _ => {}
        }
    }

    /// Puts and removals together, of absent keys and of the same ones too, and now and then a clear.
    fn apply_batch(&mut self) {
        let mut batch = self.map.as_ref().unwrap().batch();
        for _ in 0..self.random.below(200) {
            let (key, value) = (self.key(), self.value());
            match self.random.below(2_000) {
                0 => {
                    batch.clear();
                    self.model.clear();
                }
                1..700 => {
                    batch.remove(lent::<K>(&key)).unwrap();
                    self.model.remove::<K::Owned>(&key);
                }
                _ => {
                    batch.put(key.clone(), value.clone()).unwrap();
                    self.model.insert(key, value);
                }
            }
        }
        let map = self.map.as_ref().unwrap();
        map.apply(&batch).unwrap();
        assert_eq!(map.len(), self.model.len() as u64);
    }

    fn get_many(&mut self) {
        let keys: Vec<_> = (0..self.random.below(50)).map(|_| self.key()).collect();
        let answers = self.map.as_ref().unwrap().get_many(keys.iter().map(lent::<K>));
        let answers: Vec<_> = answers.map(Result::unwrap).collect();
        assert!(answers.into_iter().eq(keys.iter().map(|key| self.model.get::<K::Owned>(key).cloned())));
    }

    fn reopen_after_close(&mut self) {
        self.map.take().unwrap().close().unwrap();
        self.open();
        self.check();
    }

    fn reopen_after_kill(&mut self) {
        let killed = self.path();
        self.generation += 1;
        let map = self.map.take().unwrap();
        copy_beside_headers(|| map.info().unwrap().sequence, &killed, &self.path());
        drop(map);
        std::fs::remove_file(killed).unwrap();
        self.open();
        self.check();
    }

    fn check(&self) {
        let map = self.map.as_ref().unwrap();
        let mut seen = HashMap::new();
        for entry in map {
            let (key, value) = entry.unwrap();
            assert_eq!(seen.insert(key, value), None, "an entry appears twice");
        }
        assert_eq!(seen, self.model);
        assert_eq!(map.keys().count(), self.model.len());
        assert_eq!(map.values().count(), self.model.len());
        for number in 0..self.keys {
            let key = K::drawn(number);
            assert_eq!(map.get(lent::<K>(&key)).unwrap(), self.model.get::<K::Owned>(&key).cloned());
        }
        let report = map.verify().unwrap();
        assert!(report.is_clean(), "{:?}", report.faults);
        assert_eq!(report.entries, map.len());
    }
}

/// What a lookup takes.
fn lent<T: Codec + ?Sized>(owned: &T::Owned) -> &T::Ref {
    owned.borrow()
}

/// Maps of few keys and of many, one after another.
fn run<K: Key + Drawn<Owned: Hash> + ?Sized, V: Drawn + ?Sized>(layout: Layout) {
    for background in [false, true] {
        let options = Options::new().background(background).checkpoint_bytes(100_000);
        for (keys, operations) in [(9, 2_000), (300, 6_000), (4_000, 16_000)] {
            let mut pair = Pair::<K, V>::new(&options, keys);
            assert_eq!(pair.map.as_ref().unwrap().schema().layout(), layout);
            for _ in 0..operations {
                pair.step();
                pair.seldom();
            }
            pair.check();
            pair.reopen_after_kill();
            pair.reopen_after_close();
        }
    }
}

fn inline(key_width: u8, elem_width: u8) -> Layout {
    Layout::Inline { key_width, elem_width }
}

#[test]
fn numbers_to_numbers() {
    run::<u64, u64>(inline(8, 8));
}

#[test]
fn numbers_to_arrays() {
    run::<u32, [u8; 20]>(inline(4, 20));
}

#[test]
fn small_to_large() {
    run::<u8, i128>(inline(1, 16));
}

#[test]
fn the_largest_that_cells_hold() {
    run::<[u8; 128], Page>(inline(128, 128));
}

#[test]
fn larger_than_a_cell() {
    run::<[u8; 129], Page>(Layout::Record);
}

#[test]
fn structs_to_structs() {
    run::<Point, Point>(inline(6, 6));
}

#[test]
fn arrays_to_what_not_all_bytes_are() {
    run::<[u8; 3], bool>(inline(3, 1));
}

#[test]
fn texts_to_numbers() {
    run::<str, u64>(Layout::Record);
}

#[test]
fn numbers_to_texts() {
    run::<u64, str>(Layout::Record);
}

#[test]
fn bytes_to_bytes() {
    run::<[u8], [u8]>(Layout::Record);
}

#[test]
fn a_set_is_a_hash_set() {
    let place = Place::in_memory();
    let path = place.file("a.tophash");
    let mut set = Set::<[u8; 16]>::open(&path).unwrap();
    assert_eq!(set.schema().layout(), inline(16, 0));
    let (mut model, mut random) = (HashSet::new(), Random(3));
    for n in 0..20_000 {
        let key = <[u8; 16]>::drawn(random.below(3_000));
        match random.below(10) {
            0..5 => assert_eq!(set.insert(key).unwrap(), model.insert(key)),
            5..8 => assert_eq!(set.remove(&key).unwrap(), model.remove(&key)),
            _ => assert_eq!(set.contains(&key).unwrap(), model.contains(&key)),
        }
        assert_eq!(set.len(), model.len() as u64);
        if n % 5_000 == 4_999 {
            set.close().unwrap();
            set = Set::open(&path).unwrap();
            assert_eq!(set.iter().collect::<tophash::Result<HashSet<_>>>().unwrap(), model);
        }
    }
    let (before, gone) = (model.len(), set.retain(|key| key[0] > 99).unwrap());
    model.retain(|key| key[0] > 99);
    assert_eq!(gone, (before - model.len()) as u64);
    assert_eq!(set.try_extend([[0; 16], [1; 16]]).unwrap(), 2);
    assert_eq!(set.len(), model.len() as u64 + 2);
    assert!(set.verify().unwrap().is_clean());
}
