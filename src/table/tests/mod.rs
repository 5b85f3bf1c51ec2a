//! The table over heap memory against a model. Split by what is shown; the harness is here.

mod concurrent;
mod damage;
mod entries;
mod growth;
mod inline;
mod iteration;
mod model;
mod shrink;

use std::sync::Arc;

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;

use crate::error::Result;
use crate::format::bucket::{Cell, Hash, Shape};
use crate::seam::Arrays;
use crate::table::heap::{HeapHost, HeapPages, HeapRecord, HeapRecords};
use crate::table::{
    Array, Cells, Counters, Fault, Geometry, LoadFactor, Old, Slot, Table, Trigger, check, lookup, peek,
};

use entries::{Entries, HeapCells};

/// A table with its memory and records, and what it should hold.
struct Rig<E = HeapRecords> {
    host: HeapHost,
    /// In the inline layout there are none, only the way to read the cells.
    records: E,
    table: Table<HeapPages>,
    model: HashMap<Vec<u8>, u64>,
    /// How a key is hashed; tests with collisions bring their own.
    hash: fn(&[u8]) -> Hash,
}

impl Rig {
    fn new() -> Self {
        Rig::with(LoadFactor::default(), 0, spread)
    }

    fn with(load_factor: LoadFactor, capacity: u64, hash: fn(&[u8]) -> Hash) -> Self {
        Rig::of(HeapRecords::default(), load_factor, capacity, hash)
    }

    fn locate(&self, key: &[u8]) -> Option<(Cell, HeapRecord)> {
        let hash = (self.hash)(key);
        let find = |slot: Slot<'_, HeapPages>| {
            Ok(self.records.find(slot, hash, key)?.map(|record| (slot.cell(), record)))
        };
        lookup(|| self.host.published(), hash, find).unwrap()
    }
}

impl Rig<HeapCells> {
    /// The inline layout with keys and elems of these widths.
    fn inline(key_width: u8, elem_width: u8, hash: fn(&[u8]) -> Hash) -> Self {
        Rig::of(HeapCells::new(key_width, elem_width, hash), LoadFactor::default(), 0, hash)
    }
}

impl<E: Entries> Rig<E> {
    fn of(records: E, load_factor: LoadFactor, capacity: u64, hash: fn(&[u8]) -> Hash) -> Self {
        let (host, shape) = (HeapHost::new(), records.shape());
        let b = load_factor.b_for(capacity).unwrap();
        let main = host.reserve(Array::<HeapPages>::main_bytes(shape, b)).unwrap();
        let geometry = Geometry { array: Arc::new(Array::new(shape, b, main)), old: None, clears: 0 };
        let counters = Counters { next_overflow: 1 << b, ..Counters::default() };
        let mut table = Table::from_parts(geometry, counters, load_factor).unwrap();
        table.keep_room_for(capacity);
        let rig = Rig { host, records, table, model: HashMap::new(), hash };
        rig.publish();
        rig
    }

    fn publish(&self) {
        super::Host::publish(&self.host, self.table.geometry());
    }

    fn insert(&mut self, key: &[u8], value: u64) {
        self.try_insert(key, value, Trigger::Live).unwrap();
        self.model.insert(key.to_vec(), self.records.kept(value));
    }

    fn try_insert(&mut self, key: &[u8], value: u64, trigger: Trigger) -> Result<Option<super::Growth>> {
        self.records.put(&self.host, &mut self.table, (self.hash)(key), (key, value), trigger)
    }

    fn remove(&mut self, key: &[u8]) {
        let removed = self.try_remove(key, Trigger::Live).unwrap();
        assert_eq!(removed.map(|(value, _)| value), self.model.remove(key));
    }

    /// The value of what was removed, and the growth that the removal began with.
    fn try_remove(&mut self, key: &[u8], trigger: Trigger) -> Result<Option<(u64, Option<super::Growth>)>> {
        self.records.remove(&self.host, &mut self.table, (self.hash)(key), key, trigger)
    }

    /// Begins a growth of any kind at random, where none is under way.
    fn grow_at_random(&mut self, random: &mut Random) {
        let b = self.table.geometry().array.b();
        let growth = match random.below(3) {
            0 if b > 0 => super::Growth::Shrink,
            1 if b < 10 => super::Growth::Double,
            _ => super::Growth::SameSize,
        };
        if !self.table.growing() {
            self.table.replay_growth(&self.host, growth).unwrap();
        }
    }

    fn get(&self, key: &[u8]) -> Option<u64> {
        self.records.look_up(&self.host, (self.hash)(key), key)
    }

    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        check(self.table.geometry(), &self.table.counters(), &self.records, &mut faults).unwrap();
        faults
    }

    /// All invariants hold and the table is the model.
    fn verify(&self) {
        assert_eq!(self.faults(), []);
        assert_eq!(self.table.counters().count, self.model.len() as u64);
        for (key, &value) in &self.model {
            assert_eq!(self.get(key), Some(value), "{key:?}");
        }
    }

    /// Every word of every array, and the counters.
    fn image(&self) -> (Vec<Vec<u64>>, Counters) {
        let geometry = self.table.geometry();
        let arrays = geometry.old.iter().map(|old| &old.array).chain([&geometry.array]);
        let runs = arrays.flat_map(|array| [array.main()].into_iter().chain(array.chunks()));
        (runs.map(HeapPages::words).collect(), self.table.counters())
    }

    /// Goes on with what a file would have kept: the words and the counters.
    fn reopen(&mut self) {
        let geometry = self.table.geometry();
        let reopened = Geometry {
            array: reopened(&geometry.array),
            old: geometry.old.as_ref().map(|old| Old { array: reopened(&old.array), growth: old.growth }),
            clears: geometry.clears,
        };
        let load_factor = self.table.load_factor;
        let (split_bits, least_b) = (self.table.split_bits, self.table.least_b);
        self.table = Table::from_parts(reopened, self.table.counters(), load_factor).unwrap();
        (self.table.split_bits, self.table.least_b) = (split_bits, least_b);
        self.publish();
    }
}

fn reopened(array: &Array<HeapPages>) -> std::sync::Arc<Array<HeapPages>> {
    let chunks = array.chunks().map(HeapPages::reopened).collect();
    Array::with_chunks(array.shape(), array.b(), array.main().reopened(), chunks).unwrap().into()
}

/// A hash as good as a keyed one: FNV-1a, then the finalizer of MurmurHash3.
fn spread(key: &[u8]) -> Hash {
    let mut h = key
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |h, &byte| (h ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        h = (h ^ (h >> 33)).wrapping_mul(factor);
    }
    Hash(h ^ (h >> 33))
}

/// Many keys a bucket and many equal hashes.
fn crowded(key: &[u8]) -> Hash {
    Hash(spread(key).0 & 0xc000_0000_0000_0007)
}

/// All keys in one bucket until B = 40; they differ in their tophash alone.
fn one_bucket(key: &[u8]) -> Hash {
    Hash(spread(key).0 << 56)
}

/// A small generator (xorshift64*), so that a failing run can be repeated from its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 33) % end
    }
}

fn key(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

/// The chain of a main bucket.
fn buckets_of(array: &Array<HeapPages>, main: u64) -> Vec<super::BucketCells<Cell>> {
    super::chain(array, main, |slot| slot.cell()).unwrap()
}
