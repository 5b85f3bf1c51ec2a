//! The writer's table, and phase two of a put.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::bucket::{CELLS, Hash};
use crate::seam::Pages;

use super::array::{Array, Bucket, BucketIndex, Chain};
use super::cells::{Content, InlineKey, KeyedCells, Located, Name};
use super::counters::{Counters, LoadFactor};
use super::geometry::{Geometry, Host};
use super::lookup::{Found, find, stray_mark};
use super::plan::{Place, Plan, Spot, cell_in};
use super::slot::Slot;

/// The table as the writer has it (Go's `hmap`). Only the holder of the writer lock has it `&mut`.
pub struct Table<P> {
    pub(super) geometry: Arc<Geometry<P>>,
    pub(super) counters: Counters,
    pub(super) load_factor: LoadFactor,
    /// Evacuations use no more bits of the hash that a cell has; a table with a larger B asks the key. For tests, which have
    /// no tables so large.
    pub(super) split_bits: u32,
    /// The table does not shrink below this B.
    pub(super) least_b: u8,
    /// The buckets that a removal has passed on its way; kept for its memory.
    pub(super) passed: Vec<BucketIndex>,
}

/// The array that a growth will need.
#[derive(Clone, Copy)]
pub struct NextArray {
    /// Its main run.
    pub bytes: u64,
    /// It is needed soon.
    pub imminent: bool,
}

impl<P: Pages> Table<P> {
    /// The table that a file describes. What the header says is checked against the arrays.
    pub fn from_parts(geometry: Geometry<P>, counters: Counters, load_factor: LoadFactor) -> Result<Self> {
        let array = &geometry.array;
        expect_within("next overflow bucket", array.buckets(), array.capacity(), counters.next_overflow)?;
        match &geometry.old {
            Some(old) => {
                if old.growth.new_b(old.array.b()) != Some(array.b()) {
                    let (what, b) = ("size of the array (B)", u64::from(array.b()));
                    return Err(Error::corrupt(what, 0, "the one that its growth leads to", b));
                }
                expect_within("evacuation mark", 0, old.units() - 1, counters.nevacuate)?;
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
            split_bits: u32::MAX,
            least_b: 0,
            passed: Vec::new(),
        }
    }

    /// From now on the table keeps room for so many entries when it shrinks (C9).
    pub fn keep_room_for(&mut self, entries: u64) {
        self.least_b = self.load_factor.b_for(entries).unwrap_or(super::MAX_B);
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

    /// What the next doubling will need, while it is near.
    #[inline]
    pub fn next_array(&self) -> Option<NextArray> {
        let b = self.geometry.array.b();
        let is_filled = |sixteenths| self.load_factor.is_filled(sixteenths, self.counters.count, b);
        let near = is_filled(12) && b < super::MAX_B && !self.growing();
        near.then(|| NextArray {
            bytes: Array::<P>::main_bytes(self.geometry.array.shape(), b + 1),
            imminent: is_filled(14),
        })
    }

    /// Where the key is now, or would go, and what there is to learn of its entry if it has one: in the record layout the
    /// record.
    #[inline]
    pub fn locate<'k, C: KeyedCells>(&self, cells: &C, hash: Hash, key: &'k [u8]) -> Result<Located<'k, C>> {
        let mut found = None;
        let find = |slot: Slot<'_, P>| cells.locate(slot, hash, key, &mut found);
        let spot =
            if self.growing() { self.find_in_growth(hash, find) } else { self.find_in_chain(hash, find) }?;
        Ok((spot, found))
    }

    /// [`Table::locate`] in the inline layout; copies the key's elem, if it has one.
    #[inline]
    pub fn locate_inline<'k>(
        &self,
        hash: Hash,
        key: &'k [u8],
        elem: &mut [u8],
    ) -> Result<Spot<InlineKey<'k>>> {
        let find = |slot: Slot<'_, P>| Ok(slot.read_if(key, elem).then_some(InlineKey(key)));
        if self.growing() { self.find_in_growth(hash, find) } else { self.find_in_chain(hash, find) }
    }

    /// The key's cell, which `find` knows, and the place where that is or would be.
    #[inline(always)]
    pub(super) fn find_in_chain<N: Name>(
        &self,
        hash: Hash,
        mut find: impl FnMut(Slot<'_, P>) -> Result<Option<N>>,
    ) -> Result<Spot<N>> {
        let array = &*self.geometry.array;
        let mut chain = Chain::at(array, hash.bucket(array.b()))?;
        let mut room = None;
        loop {
            let tophash = chain.bucket().tophash();
            for i in tophash.matching(hash.tophash()) {
                if let Some(found) = find(chain.slot(i))? {
                    let place = Some(Place { bucket: chain.index(), cell: i });
                    return Ok(Spot { existing: Some(found), place });
                }
            }
            if tophash.any_evacuated() {
                // Only the writer marks chains, and this geometry is its latest.
                return Err(stray_mark(array, hash));
            }
            let empty = || tophash.empty().first().map(|cell| Place { bucket: chain.index(), cell });
            room = room.or_else(empty);
            if tophash.ends_chain() || !chain.advance()? {
                return Ok(Spot { existing: None, place: room });
            }
        }
    }

    #[inline(never)]
    fn find_in_growth<N: Name>(
        &self,
        hash: Hash,
        mut find_in: impl FnMut(Slot<'_, P>) -> Result<Option<N>>,
    ) -> Result<Spot<N>> {
        match find(&self.geometry, hash, &mut find_in)? {
            Found::Hit(name) => Ok(Spot { existing: Some(name), place: None }),
            Found::Miss => Ok(Spot { existing: None, place: None }),
            Found::Moved => Err(stray_mark(&self.geometry.array, hash)),
        }
    }

    /// Carries out a put: begins the growth if one is planned, does the grow work, then changes the existing
    /// cell or takes the first empty one.
    #[inline]
    pub fn put<H: Host<Pages = P>, N: Name>(
        &mut self,
        host: &H,
        plan: Plan<P, N>,
        hash: Hash,
        content: impl Content,
    ) {
        let Spot { existing, place } = plan.spot;
        self.begin(host, plan, hash);
        match (existing, place) {
            (Some(_), Some(place)) => content.replace(self.slot(place)),
            (Some(existing), None) => self.replace(hash, existing, content),
            (None, Some(place)) => {
                self.counters.count = self.counters.count.saturating_add(1);
                show(self.slot(place), hash, content);
            }
            (None, None) => self.insert(hash, content),
        }
    }

    /// A cell of the current array that the plan has found.
    pub(super) fn slot(&self, place: Place) -> Slot<'_, P> {
        let array = &*self.geometry.array;
        array.slot(place.bucket, secured(array, place.bucket), place.cell)
    }

    /// A replacement changes the cell alone: readers have what was there, or what is there now.
    pub(super) fn replace(&mut self, hash: Hash, existing: impl Name, content: impl Content) {
        let holder = prepared(self.holder(hash));
        let mut chain = prepared(Chain::at(holder, hash.bucket(holder.b())));
        loop {
            if let Some(i) = cell_in(&chain, hash.tophash(), existing) {
                return content.replace(chain.slot(i));
            }
            if !prepared(chain.advance()) {
                return debug_assert!(false, "the plan has seen the existing cell");
            }
        }
    }

    /// The first empty cell of the chain, or a new overflow bucket.
    pub(super) fn insert(&mut self, hash: Hash, content: impl Content) {
        let array = &*self.geometry.array;
        let mut chain = prepared(Chain::at(array, hash.bucket(array.b())));
        self.counters.count = self.counters.count.saturating_add(1);
        loop {
            if let Some(i) = chain.bucket().tophash().empty().first() {
                return show(chain.slot(i), hash, content);
            }
            if !prepared(chain.advance()) {
                break;
            }
        }
        let index = self.counters.take_overflow(array.b(), hash);
        show(array.slot(index, secured(array, index), 0), hash, content);
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

/// Fills an empty cell. The tophash is stored last: until then no reader looks at the cell.
#[inline]
fn show<P: Pages>(slot: Slot<'_, P>, hash: Hash, content: impl Content) {
    content.fill(slot);
    slot.set_tophash(hash.tophash());
}

/// What the plan did once without a fault, on pages that stay as they are: it can't fail the second time.
pub(super) fn prepared<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| unreachable!("the plan went the same way without a fault: {error}"))
}

/// An overflow bucket that the plan made sure of.
pub(super) fn secured<P>(array: &Array<P>, index: BucketIndex) -> Bucket<'_, P> {
    array.bucket(index).unwrap_or_else(|| unreachable!("the plan secured bucket {}", index.0))
}

fn expect_within(what: &'static str, least: u64, most: u64, found: u64) -> Result<()> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(Error::corrupt(what, 0, if found < least { least } else { most }, found))
}
