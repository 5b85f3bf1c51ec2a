//! The writer's table, and phase two of a put.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::bucket::{CELLS, Cell, Hash, Position, TophashWord};
use crate::seam::{Pages, Records};

use super::array::{Array, BucketIndex, Chain};
use super::counters::{Counters, LoadFactor};
use super::geometry::{Geometry, Host};
use super::lookup::{Found, find, stray_mark};
use super::plan::{Plan, cell_in};

/// The table as the writer has it (Go's `hmap`). Only the holder of the writer lock has it `&mut`.
pub struct Table<P> {
    pub(super) geometry: Arc<Geometry<P>>,
    pub(super) counters: Counters,
    pub(super) load_factor: LoadFactor,
    /// How many bits of the hash a cell has for evacuation; a table with a larger B asks the records.
    pub(super) split_bits: u32,
    /// The buckets that a removal has passed on its way; kept for its memory.
    pub(super) passed: Vec<BucketIndex>,
}

impl<P: Pages> Table<P> {
    /// The table that a file describes. What the header says is checked against the arrays.
    pub fn from_parts(geometry: Geometry<P>, counters: Counters, load_factor: LoadFactor) -> Result<Self> {
        let array = &geometry.array;
        expect_within("next overflow bucket", array.buckets(), array.capacity(), counters.next_overflow)?;
        match &geometry.old {
            Some(old) => {
                let b = old.growth.new_b(old.array.b());
                expect_within("size of the array (B)", b.into(), b.into(), array.b().into())?;
                expect_within("evacuation mark", 0, old.array.buckets() - 1, counters.nevacuate)?;
                let (first, end) = (old.array.buckets(), old.array.capacity());
                let what = "next overflow bucket of the old array";
                expect_within(what, first, end, counters.old_next_overflow)?;
            }
            None => {
                expect_within("evacuation mark without a growth", 0, 0, counters.nevacuate)?;
                let what = "next overflow bucket of an old array without a growth";
                expect_within(what, 0, 0, counters.old_next_overflow)?;
            }
        }
        let most = (counters.next_overflow + counters.old_next_overflow) * CELLS as u64;
        expect_within("number of entries", 0, most, counters.count)?;
        expect_within("number of clears", geometry.clears, geometry.clears, counters.clears)?;
        Ok(Self::over(geometry, counters, load_factor))
    }

    fn over(geometry: Geometry<P>, counters: Counters, load_factor: LoadFactor) -> Self {
        Table {
            geometry: Arc::new(geometry),
            counters,
            load_factor,
            split_bits: Cell::HASH_BITS,
            passed: Vec::new(),
        }
    }

    /// The geometry as it was last published.
    pub fn geometry(&self) -> &Arc<Geometry<P>> {
        &self.geometry
    }

    /// The counters, for a checkpoint or a report.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether a growth is under way.
    pub fn growing(&self) -> bool {
        self.geometry.old.is_some()
    }

    /// Where the key is now.
    pub fn locate<R: Records>(
        &self,
        records: &R,
        hash: Hash,
        key: &[u8],
    ) -> Result<Option<(Cell, R::Record)>> {
        match find(&self.geometry, hash, &|position| records.matching(position, key))? {
            Found::Hit(hit) => Ok(Some(hit)),
            Found::Miss => Ok(None),
            // Only the writer marks chains, and this geometry is its latest.
            Found::Moved => Err(stray_mark(&self.geometry.array, hash)),
        }
    }

    /// Carries out a put: begins the growth if one is planned, does the grow work, then points the existing
    /// cell at the new record or takes the first empty one.
    pub fn put<H: Host<Pages = P>>(
        &mut self,
        host: &H,
        plan: Plan<P>,
        hash: Hash,
        existing: Option<Cell>,
        position: Position,
    ) {
        self.begin(host, plan, hash);
        let cell = Cell::new(position, hash);
        match existing {
            Some(existing) => self.replace(hash, existing, cell),
            None => self.insert(hash, cell),
        }
    }

    /// A replacement changes the cell alone: readers have the old record or the new one.
    fn replace(&mut self, hash: Hash, existing: Cell, cell: Cell) {
        let holder = prepared(self.holder(hash));
        let mut chain = prepared(Chain::at(holder, hash.bucket(holder.b())));
        loop {
            if let Some(i) = cell_in(&chain, hash.tophash(), existing) {
                return chain.bucket().set_cell(i, cell);
            }
            if !prepared(chain.advance()) {
                return debug_assert!(false, "the plan has seen the existing cell");
            }
        }
    }

    /// The first empty cell of the chain, or a new overflow bucket. The tophash is stored last: until then
    /// no reader looks at the cell.
    fn insert(&mut self, hash: Hash, cell: Cell) {
        let array = &*self.geometry.array;
        let mut chain = prepared(Chain::at(array, hash.bucket(array.b())));
        self.counters.count = self.counters.count.saturating_add(1);
        loop {
            let bucket = chain.bucket();
            let tophash = bucket.tophash();
            if let Some(i) = tophash.empty().first() {
                bucket.set_cell(i, cell);
                return bucket.set_tophash(tophash.with(i, hash.tophash()));
            }
            if !prepared(chain.advance()) {
                break;
            }
        }
        let index = self.counters.take_overflow(array.b(), hash);
        let bucket = secured(array, index);
        bucket.set_cell(0, cell);
        bucket.set_tophash(TophashWord::default().with(0, hash.tophash()));
        // Linked when it is filled: readers that follow the link see the entry.
        chain.bucket().set_overflow(index);
    }

    /// The array that holds the key's chain now.
    pub(super) fn holder(&self, hash: Hash) -> Result<&Array<P>> {
        if let Some(old) = &self.geometry.old
            && !Chain::at(&old.array, old.bucket_of(hash))?.bucket().tophash().any_evacuated()
        {
            return Ok(&old.array);
        }
        Ok(&self.geometry.array)
    }
}

/// What the plan did once without a fault, on pages that stay as they are: it can't fail the second time.
pub(super) fn prepared<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| unreachable!("the plan went the same way without a fault: {error}"))
}

/// An overflow bucket that the plan made sure of.
pub(super) fn secured<P>(array: &Array<P>, index: BucketIndex) -> super::array::Bucket<'_, P> {
    array.bucket(index).unwrap_or_else(|| unreachable!("the plan secured bucket {}", index.0))
}

fn expect_within(what: &'static str, least: u64, most: u64, found: u64) -> Result<()> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(Error::corrupt(what, 0, if found < least { least } else { most }, found))
}
