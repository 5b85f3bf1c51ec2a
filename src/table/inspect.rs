//! Looking at the table as a whole, for reports.

use crate::error::Result;
use crate::format::bucket::{CELLS, Hash, TophashWord};
use crate::seam::Pages;

use super::array::{Array, Chain};
use super::geometry::Geometry;
use super::slot::Slot;

/// One bucket of a chain, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketCells<T> {
    /// The bucket's number in its array.
    pub index: u64,
    /// The states and tophashes of its cells.
    pub tophash: TophashWord,
    /// What the cells hold. Those without a tophash or an `EVACUATED_X` or `_Y` mark mean nothing.
    pub cells: [T; CELLS],
    /// The overflow word: a bucket's number, or 0 for none.
    pub overflow: u64,
}

/// The chain of a main bucket, with what `look` makes of its cells.
pub fn chain<P: Pages, T>(
    array: &Array<P>,
    main: u64,
    look: impl Fn(Slot<'_, P>) -> T,
) -> Result<Vec<BucketCells<T>>> {
    let mut chain = Chain::at(array, Hash(main).bucket(array.b()))?;
    let mut buckets = Vec::new();
    loop {
        let bucket = chain.bucket();
        buckets.push(BucketCells {
            index: chain.index().0,
            tophash: bucket.tophash(),
            cells: std::array::from_fn(|i| look(chain.slot(i))),
            overflow: bucket.overflow(),
        });
        if !chain.advance()? {
            return Ok(buckets);
        }
    }
}

/// How the entries lie. The probes are Go's: how many entries a lookup compares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape {
    /// Entries.
    pub filled: u64,
    /// Overflow buckets in the chains of the current array.
    pub overflow_buckets: u64,
    /// Overflow buckets in the chains of the old array that are not evacuated.
    pub old_overflow_buckets: u64,
    /// Main buckets of the current array by the length of their chain: the first number is that of chains
    /// of one bucket.
    pub chain_lengths: Vec<u64>,
    /// How many of a hundred main buckets of the current array have an overflow bucket.
    pub overflow_percent: f64,
    /// Entries compared on average by the lookup of a key that is there.
    pub hit_probe: f64,
    /// Entries compared on average by the lookup of a key that is not there.
    pub miss_probe: f64,
}

/// Measures the table; reads all of it.
pub fn shape<P: Pages>(geometry: &Geometry<P>) -> Result<Shape> {
    let array = &*geometry.array;
    let mut shape = Shape::default();
    let mut probes = Probes::default();
    for main in 0..array.buckets() {
        let measured = measure(array, main)?;
        let length = measured.overflow_buckets as usize;
        if shape.chain_lengths.len() <= length {
            shape.chain_lengths.resize(length + 1, 0);
        }
        shape.chain_lengths[length] += 1;
        shape.overflow_buckets += measured.overflow_buckets;
        probes.add(measured.filled, 1.0);
    }
    if let Some(old) = &geometry.old {
        // An old chain stands for two main buckets of an array twice the size, for half of one in one half the size.
        let weight = array.buckets() as f64 / old.array.buckets() as f64;
        for main in 0..old.array.buckets() {
            let measured = measure(&old.array, main)?;
            if !measured.evacuated {
                shape.old_overflow_buckets += measured.overflow_buckets;
                probes.add(measured.filled, weight);
            }
        }
    }
    let buckets = array.buckets() as f64;
    let with_overflow: u64 = shape.chain_lengths.iter().skip(1).sum();
    shape.overflow_percent = 100.0 * with_overflow as f64 / buckets;
    shape.filled = probes.entries;
    shape.hit_probe = if probes.entries > 0 { probes.hits as f64 / probes.entries as f64 } else { 0.0 };
    shape.miss_probe = probes.misses / buckets;
    Ok(shape)
}

#[derive(Default)]
struct Probes {
    entries: u64,
    /// Entries compared when each present key is looked up once.
    hits: u64,
    /// Entries compared when one absent key is looked up in each main bucket.
    misses: f64,
}

impl Probes {
    fn add(&mut self, chain_entries: u64, buckets: f64) {
        self.entries += chain_entries;
        self.hits += chain_entries * (chain_entries + 1) / 2;
        self.misses += chain_entries as f64 * buckets;
    }
}

struct Measured {
    evacuated: bool,
    filled: u64,
    overflow_buckets: u64,
}

fn measure<P: Pages>(array: &Array<P>, main: u64) -> Result<Measured> {
    let mut chain = Chain::at(array, main)?;
    let evacuated = chain.bucket().tophash().any_evacuated();
    let mut measured = Measured { evacuated, filled: 0, overflow_buckets: 0 };
    loop {
        measured.filled += chain.bucket().tophash().filled().count() as u64;
        if !chain.advance()? {
            return Ok(measured);
        }
        measured.overflow_buckets += 1;
    }
}
