//! Phase one of a change: everything that can fail, before anything is logged (C12, D18).
//!
//! A plan touches every page that carrying it out will load or store, and checks whatever a damaged file
//! could have put there and the change relies on. What it reserves (a new array, overflow chunks) may stay
//! unused; nothing else has changed when it fails.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::bucket::{CELLS, Cell, CellSet, Hash, Tophash, TophashWord};
use crate::mutants::{Mutant, kept};
use crate::seam::{Arrays, Pages};

use super::array::{Array, BucketIndex, Chain};
use super::assign::Table;
use super::cells::{Cells, Name};
#[cfg(debug_assertions)]
use super::counters::Counters;
use super::geometry::{Geometry, Growth, Host, Old};

/// Who decides that a growth begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// The operation itself, by load factor and overflow buckets.
    Live,
    /// Not the operation: the log, which is being replayed ([`Table::replay_growth`] was called where one began, D15), or
    /// nobody, where one is put off.
    Replay,
}

/// What [`Table::locate`] found out about a key; good until the table changes. `N` is what tells its cell from others: in the
/// record layout the cell itself.
#[derive(Clone, Copy)]
pub struct Spot<N = Cell> {
    /// The key's cell, if it has one.
    pub(super) existing: Option<N>,
    /// Where that cell is, or the first empty one of the chain. None where the chain is full, or where grow work may
    /// move it before it is used.
    pub(super) place: Option<Place>,
}

impl<N> Default for Spot<N> {
    fn default() -> Self {
        Spot { existing: None, place: None }
    }
}

impl<N> Spot<N> {
    /// Whether the key has a cell.
    pub fn is_taken(&self) -> bool {
        self.existing.is_some()
    }

    /// Whether the key has a cell, or could have one without another overflow bucket.
    pub fn has_room(&self) -> bool {
        self.place.is_some()
    }
}

/// A cell of the current array.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) bucket: BucketIndex,
    pub(super) cell: usize,
}

/// A change that has been prepared and can't fail any more.
#[must_use = "a plan that is not carried out has changed nothing"]
pub struct Plan<P, N = Cell> {
    pub(super) start: Option<Start<P>>,
    /// Boxed, since few operations have any and all move their plan about.
    pub(super) work: Option<Box<GrowWork>>,
    pub(super) spot: Spot<N>,
    /// The table the plan was made for; carrying it out asserts that it is still the same.
    #[cfg(debug_assertions)]
    pub(super) made_for: Counters,
}

impl<P, N> Plan<P, N> {
    /// The growth that the change begins with; to be logged before it.
    pub fn growth(&self) -> Option<Growth> {
        self.start.as_ref().map(|start| start.growth)
    }
}

/// A growth about to begin, its new array reserved.
#[must_use = "a start that is not carried out has changed nothing"]
pub struct Start<P> {
    pub(super) growth: Growth,
    pub(super) geometry: Arc<Geometry<P>>,
}

/// What an operation does for a growth (Go's `growWork`).
#[derive(Default)]
pub(super) struct GrowWork {
    /// The unit of the key's own old bucket, and the one at the evacuation mark; where not evacuated already.
    pub(super) evacuations: [Option<Evacuation>; 2],
    /// Where the evacuation mark stands afterwards.
    pub(super) nevacuate: u64,
}

impl GrowWork {
    fn evacuates(&self, unit: u64) -> bool {
        self.evacuations.iter().flatten().any(|evacuation| evacuation.unit == unit)
    }

    fn overflow_buckets(&self) -> u64 {
        self.evacuations.iter().flatten().map(Evacuation::overflow_buckets).sum()
    }
}

/// A unit to be evacuated: an old chain, or the two of a pair.
pub(super) struct Evacuation {
    pub(super) unit: u64,
    entries: u64,
    /// Which cells of each bucket, in the order of the walk, go to the second half of an array twice the size. Few chains
    /// have more than one, and take no memory for it.
    first_to_y: CellSet,
    others_to_y: Vec<CellSet>,
}

impl Evacuation {
    /// How many overflow buckets the evacuation takes at most. If all n entries of a unit go to one new bucket, they
    /// fill ceil(n/8) buckets, of which the first is no overflow bucket: floor((n - 1)/8). If x of them go to one and y
    /// to another, it is floor((x - 1)/8) + floor((y - 1)/8) <= (n - 2)/8: no more.
    pub(super) fn overflow_buckets(&self) -> u64 {
        self.entries.saturating_sub(1) / CELLS as u64
    }

    /// The cells of the bucket number `nth` that go to the second half of an array twice the size of the old one.
    #[inline]
    pub(super) fn to_y(&self, nth: usize) -> CellSet {
        match nth.checked_sub(1) {
            None => self.first_to_y,
            Some(other) => self.others_to_y.get(other).copied().unwrap_or_default(),
        }
    }
}

/// The table as it will be when the grow work of an operation begins: as it is, or as a growth that the
/// operation begins with leaves it.
pub(super) struct Ahead<'a, P> {
    geometry: &'a Geometry<P>,
    nevacuate: u64,
    next_overflow: u64,
}

impl<P: Pages> Table<P> {
    /// Prepares to put a key; `spot` is what [`locate`](Table::locate) found.
    ///
    /// A growth that is due but for which there is no space is put off, not fatal (D18).
    #[inline]
    pub fn prepare_put<H: Host<Pages = P>, C: Cells, N: Name>(
        &mut self,
        host: &H,
        cells: &C,
        hash: Hash,
        spot: Spot<N>,
        trigger: Trigger,
    ) -> Result<Plan<P, N>> {
        if spot.existing.is_none()
            && trigger == Trigger::Live
            && !self.growing()
            && let Some(growth) = self.load_factor.growth_due(&self.counters, self.geometry.array.b())
            && let Some(plan) = self.plan_growth(host, cells, hash, spot, growth)
        {
            return plan;
        }
        if spot.place.is_some() {
            // The walk that found the place has touched all that it needs, and nothing moves.
            return Ok(self.plan_of(None, None, spot));
        }
        self.plan(host, cells, hash, spot, None)
    }

    /// A change that a growth begins with; `None` where there is no space for one.
    #[cold]
    fn plan_growth<H: Host<Pages = P>, C: Cells, N: Name>(
        &self,
        host: &H,
        cells: &C,
        hash: Hash,
        spot: Spot<N>,
        growth: Growth,
    ) -> Option<Result<Plan<P, N>>> {
        let put_off = if growth == Growth::Shrink { Mutant::ShrinkPutOff } else { Mutant::GrowthPutOff };
        if !host.has_room_to_grow(&self.geometry, self.array_bytes_for(growth)?) {
            return None;
        }
        let start = self.reserve_growth(host, growth);
        let spot = Spot { place: None, ..spot };
        match start.and_then(|start| self.plan(host, cells, hash, spot, Some(start))) {
            Err(Error::NoSpace { .. }) if kept(put_off) => None,
            plan => Some(plan),
        }
    }

    /// Prepares to remove the key that [`locate`](Table::locate) found. A removal that leaves less than an eighth of the
    /// entries that the table has room for begins to shrink it; puts never do, since a table that is being filled needs
    /// its size soon. A shrink for which there is no space is put off, like a growth (D18).
    ///
    /// Shrinking and growing don't take turns: a shrink begins with less than a quarter of what the smaller array takes
    /// before it doubles, 2^b * L of them for a load factor L. It ends within 2^b operations, each of which evacuates a
    /// pair and adds one entry at most, so with less than 2^b * (L/4 + 1): half of the maximum for L = 4, less for others.
    pub fn prepare_remove<H: Host<Pages = P>, C: Cells, N: Name>(
        &mut self,
        host: &H,
        cells: &C,
        hash: Hash,
        spot: Spot<N>,
        trigger: Trigger,
    ) -> Result<Plan<P, N>> {
        if trigger == Trigger::Live
            && self.shrink_due()
            && let Some(plan) = self.plan_growth(host, cells, hash, spot, Growth::Shrink)
        {
            return plan;
        }
        self.plan(host, cells, hash, spot, None)
    }

    /// Bytes of the array that a growth needs; `None` where there is none of that size.
    pub fn array_bytes_for(&self, growth: Growth) -> Option<u64> {
        let array = &self.geometry.array;
        Some(Array::<P>::main_bytes(array.shape(), growth.new_b(array.b())?))
    }

    /// Reserves the array that a growth needs.
    pub fn reserve_growth<A: Arrays<Pages = P>>(&self, arrays: &A, growth: Growth) -> Result<Start<P>> {
        let old = Arc::clone(&self.geometry.array);
        let Some(b) = growth.new_b(old.b()) else {
            let expected = "a growth that its size allows";
            return Err(Error::corrupt("size of the array (B)", 0, expected, u64::from(old.b())));
        };
        let main = arrays.reserve(Array::<P>::main_bytes(old.shape(), b))?;
        let geometry = Geometry {
            array: Arc::new(Array::new(old.shape(), b, main)),
            old: Some(Old { array: old, growth }),
            clears: self.geometry.clears,
        };
        Ok(Start { growth, geometry: Arc::new(geometry) })
    }

    #[inline(never)]
    fn plan<H: Host<Pages = P>, C: Cells, N: Name>(
        &self,
        host: &H,
        cells: &C,
        hash: Hash,
        spot: Spot<N>,
        start: Option<Start<P>>,
    ) -> Result<Plan<P, N>> {
        let ahead = match &start {
            Some(start) => Ahead {
                geometry: &start.geometry,
                nevacuate: 0,
                next_overflow: start.geometry.array.buckets(),
            },
            None => self.as_it_is(),
        };
        let array = &*ahead.geometry.array;
        let mut work = None;
        let mut needed = 0;
        let mut holder = array;
        if let Some(old) = &ahead.geometry.old {
            let planned = self.plan_grow_work(cells, &ahead, old, hash)?;
            needed += planned.overflow_buckets();
            if planned.evacuates(old.unit_of(hash.0)) {
                holder = &old.array;
            }
            work = Some(Box::new(planned));
        }
        match spot.existing {
            Some(name) => expect_cell(holder, hash, name)?,
            // How full an evacuated bucket will be is not known before it is.
            None => needed += u64::from(!std::ptr::eq(holder, array) || !has_room(array, hash)?),
        }
        if spot.existing.is_none() && array.capacity() < ahead.next_overflow + needed {
            let chunk = array.chunks().count();
            let bytes = Array::<P>::chunk_bytes(array.shape(), array.b(), chunk);
            host.check_room_for_chunk(ahead.geometry, bytes)?;
        }
        secure_overflow(host, array, ahead.next_overflow, needed)?;
        Ok(self.plan_of(start, work, spot))
    }

    #[inline]
    fn plan_of<N>(&self, start: Option<Start<P>>, work: Option<Box<GrowWork>>, spot: Spot<N>) -> Plan<P, N> {
        Plan {
            start,
            work,
            spot,
            #[cfg(debug_assertions)]
            made_for: self.counters,
        }
    }

    /// The table without a growth that is to begin.
    pub(super) fn as_it_is(&self) -> Ahead<'_, P> {
        Ahead {
            geometry: &self.geometry,
            nevacuate: self.counters.nevacuate,
            next_overflow: self.counters.next_overflow,
        }
    }

    /// Go's `growWork` with nothing moved yet: what it will evacuate, and how far the mark gets.
    fn plan_grow_work<C: Cells>(
        &self,
        cells: &C,
        ahead: &Ahead<'_, P>,
        old: &Old<P>,
        hash: Hash,
    ) -> Result<GrowWork> {
        let own = old.unit_of(hash.0);
        let mut work = GrowWork { nevacuate: ahead.nevacuate, ..GrowWork::default() };
        work.evacuations[0] = self.plan_evacuation(cells, ahead, old, own)?;
        if own == work.nevacuate {
            work.nevacuate = advance_mark(old, &work)?;
        }
        if work.nevacuate < old.units() {
            if !work.evacuates(work.nevacuate) {
                work.evacuations[1] = self.plan_evacuation(cells, ahead, old, work.nevacuate)?;
            }
            work.nevacuate = advance_mark(old, &work)?;
        }
        Ok(work)
    }

    /// `None` when the unit is evacuated already.
    pub(super) fn plan_evacuation<C: Cells>(
        &self,
        cells: &C,
        ahead: &Ahead<'_, P>,
        old: &Old<P>,
        unit: u64,
    ) -> Result<Option<Evacuation>> {
        let Some(mut chain) = old.waiting(unit)? else { return Ok(None) };
        let mut pair = old.pair(unit);
        let array = &ahead.geometry.array;
        expect_blank(array, BucketIndex(unit))?;
        if old.growth == Growth::Double {
            expect_blank(array, BucketIndex(unit + old.array.buckets()))?;
        }
        let known_bits = self.split_bits.min(C::HASH_BITS);
        let by_key = u32::from(old.array.b()) >= known_bits;
        let mut evacuation =
            Evacuation { unit, entries: 0, first_to_y: CellSet::default(), others_to_y: Vec::new() };
        for nth in 0.. {
            let filled = filled_cells(&chain)?;
            evacuation.entries += filled.count() as u64;
            if old.growth == Growth::Double {
                let to_y = split(cells, &chain, filled, old.array.b(), by_key)?;
                match nth {
                    0 => evacuation.first_to_y = to_y,
                    _ => evacuation.others_to_y.push(to_y),
                }
            }
            if !chain.advance()? {
                let Some(main) = pair.take() else { return Ok(Some(evacuation)) };
                chain = Chain::at(&old.array, main)?;
            }
        }
        unreachable!("a chain has an end")
    }
}

/// The entries of a bucket of a chain that is not evacuated.
#[inline]
fn filled_cells<P: Pages>(chain: &Chain<'_, P>) -> Result<CellSet> {
    let tophash = chain.bucket().tophash();
    if tophash.any_evacuated() {
        let expected = "no evacuation mark behind a head without one";
        let offset = chain.bucket().offset();
        return Err(Error::corrupt("bucket's tophash", offset, expected, "an evacuation mark"));
    }
    Ok(tophash.filled())
}

/// The cells of a bucket whose keys' hashes have bit `b` set; `by_key`, where cells don't know that.
#[inline]
fn split<P: Pages, C: Cells>(
    cells: &C,
    chain: &Chain<'_, P>,
    filled: CellSet,
    b: u8,
    by_key: bool,
) -> Result<CellSet> {
    let mut split = CellSet::default();
    for i in filled {
        let slot = chain.slot(i);
        let hash = if by_key { cells.hash_at(slot)?.0 } else { C::low_hash(slot) };
        split.add_if(i, hash >> b & 1 == 1);
    }
    Ok(split)
}

/// Moves the evacuation mark by one, and on over at most 1024 units that are evacuated already or will
/// be by then (Go's `advanceEvacuationMark`).
fn advance_mark<P: Pages>(old: &Old<P>, work: &GrowWork) -> Result<u64> {
    const FARTHEST: u64 = 1024;
    let mut mark = work.nevacuate + 1;
    let stop = old.units().min(mark + FARTHEST);
    while mark < stop && (work.evacuates(mark) || old.waiting(mark)?.is_none()) {
        mark += 1;
    }
    Ok(mark)
}

/// Touches a bucket that was never used: nothing in it, nothing behind it.
fn expect_blank<P: Pages>(array: &Array<P>, index: BucketIndex) -> Result<()> {
    let bucket = Chain::resume(array, index)?.bucket();
    if bucket.tophash() != TophashWord::default() || bucket.overflow() != 0 {
        let what = "bucket not yet in use";
        return Err(Error::corrupt(what, bucket.offset(), "a blank bucket", "a used one"));
    }
    Ok(())
}

/// Touches the key's chain up to its cell and, where a removal looks there, the bucket behind.
pub(super) fn expect_cell<P: Pages>(array: &Array<P>, hash: Hash, name: impl Name) -> Result<()> {
    let mut chain = Chain::at(array, hash.bucket(array.b()))?;
    loop {
        if let Some(i) = cell_in(&chain, hash.tophash(), name) {
            if i == CELLS - 1 {
                chain.advance()?;
            }
            return Ok(());
        }
        if !chain.advance()? {
            let expected = "the cell that was found there";
            return Err(Error::corrupt("bucket's chain", chain.bucket().offset(), expected, "other cells"));
        }
    }
}

/// Touches the key's chain up to the first empty cell; whether there is one.
fn has_room<P: Pages>(array: &Array<P>, hash: Hash) -> Result<bool> {
    let mut chain = Chain::at(array, hash.bucket(array.b()))?;
    loop {
        if !chain.bucket().tophash().empty().is_empty() {
            return Ok(true);
        }
        if !chain.advance()? {
            return Ok(false);
        }
    }
}

/// Where in this bucket of the chain the cell is.
pub(super) fn cell_in<P: Pages>(chain: &Chain<'_, P>, tophash: Tophash, name: impl Name) -> Option<usize> {
    chain.bucket().tophash().matching(tophash).find(|&i| name.is_at(chain.slot(i)))
}

/// Makes sure that the next `needed` overflow buckets exist and are blank.
pub(super) fn secure_overflow<A: Arrays>(
    arrays: &A,
    array: &Array<A::Pages>,
    next_overflow: u64,
    needed: u64,
) -> Result<()> {
    if needed == 0 {
        return Ok(());
    }
    while array.capacity() < next_overflow + needed {
        array.add_chunk(|bytes| arrays.reserve(bytes))?;
    }
    (next_overflow..next_overflow + needed).try_for_each(|index| expect_blank(array, BucketIndex(index)))
}
