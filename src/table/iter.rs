//! Walking all entries beside a writer (Go's `mapiterinit` and `mapiternext`, with the rules of C7).
//!
//! A walk goes through the main buckets of the array that was current when it began, from a random one on
//! and around; in each bucket from a random cell on and around, the same one everywhere. It keeps to that
//! array while the table grows away from it:
//!
//! * A cell with an evacuation mark tells that its key has moved, and may have been replaced or removed
//!   since: the key is looked up in the table as it is now.
//! * Where the array was itself still being filled, and an old bucket has not been evacuated when its turn
//!   comes, the old chain is walked in place of the new one. When the table doubles that happens for both
//!   halves, and each time only the entries that belong to that half count. When it shrinks, the two old chains
//!   of the pair are walked one after the other; whether they are is decided once, before the first.
//!
//! So an entry that is present throughout has exactly one cell on the way and appears exactly once. An
//! entry inserted meanwhile may appear or not; one that is removed and inserted again is another entry.

use std::ops::Deref;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::bucket::{CELLS, CellSet, Hash, Tophash};
use crate::seam::Pages;

use super::array::{Array, Bucket, BucketIndex, Chain};
use super::cells::Cells;
use super::geometry::{Geometry, Growth, Old};
use super::lookup::lookup;
use super::slot::Slot;

/// The records of a bucket are fetched this many buckets ahead of the walk: some ten cache misses, which is about what a
/// core has under way at a time.
const BUCKETS_AHEAD: u64 = 3;

/// A walk over all entries. Whoever has one keeps the records of the time it began readable (C7).
pub struct Walk<P> {
    array: Arc<Array<P>>,
    clears: u64,
    start: u64,
    first_cell: usize,
    /// Main buckets begun so far.
    begun: u64,
    at: Option<At<P>>,
    /// Where the table shrinks: the second old bucket of a pair, when the walk is done with the first.
    pair: Option<(Arc<Array<P>>, u64)>,
    /// Overflow buckets visited, in this array and in old ones.
    overflow_visits: u64,
    old_overflow_visits: u64,
    ended: bool,
}

/// The bucket that a walk stands at.
struct At<P> {
    /// The old array, where the walk goes through an old chain.
    old: Option<Arc<Array<P>>>,
    /// There, when the table doubles: the new bucket that an entry must belong to.
    only: Option<u64>,
    index: BucketIndex,
    /// Cells to go to, counted from the walk's first cell on: those that were occupied at the last look, and are not done. An
    /// entry that comes to one of the others is one that was inserted meanwhile.
    left: CellSet,
}

impl<P: Pages> Walk<P> {
    /// A walk over the table as it is published now; `start` is a random number and says where to begin.
    pub fn new(geometry: &Geometry<P>, start: u64) -> Self {
        let array = Arc::clone(&geometry.array);
        Walk {
            start: Hash(start).bucket(array.b()),
            first_cell: (start >> array.b()) as usize % CELLS,
            clears: geometry.clears,
            array,
            begun: 0,
            at: None,
            pair: None,
            overflow_visits: 0,
            old_overflow_visits: 0,
            ended: false,
        }
    }

    /// The next entry; `None` at the end, and after the table was cleared. An error is yielded once,
    /// and the next call goes on behind it: behind the entry, or behind the chain where that is broken.
    ///
    /// `published` loads the present geometry (Acquire).
    pub fn next<C, G>(&mut self, published: impl Fn() -> G, cells: &C) -> Option<Result<C::Entry>>
    where
        C: Cells,
        G: Deref<Target = Geometry<P>>,
    {
        let current = published();
        self.ended |= current.clears != self.clears;
        while !self.ended {
            let step = match self.stand() {
                Some(cell) => self.entry(cell, &published, cells),
                None => self.move_on(&current, cells).map(|()| None),
            };
            if let Some(step) = step.transpose() {
                return Some(step);
            }
        }
        None
    }

    /// [`Walk::next`] as it nearly always goes: to the next cell, where that is in the bucket at which the walk stands or in
    /// one that begins a chain, and has an entry that has not moved. `None` where it does not go so; then `next` knows
    /// more.
    #[inline(always)]
    pub fn peek<C: Cells>(&mut self, current: &Geometry<P>, cells: &C) -> Option<Slot<'_, P>> {
        if self.at.as_ref()?.left.is_empty() {
            self.step(current, cells)?;
        }
        let at = self.at.as_mut()?;
        if at.old.is_some() || current.clears != self.clears {
            return None;
        }
        let bucket = self.array.bucket(at.index)?;
        let tophash = bucket.tophash().rotated_to(self.first_cell);
        let mut left = tophash.occupied().and(at.left);
        let next = left.next()?;
        if !tophash.get(next).is_filled() {
            return None;
        }
        at.left = left;
        Some(self.array.slot(at.index, bucket, (self.first_cell + next) % CELLS))
    }

    /// [`Walk::move_on`] as it nearly always goes: a chain of one bucket is behind, and nothing is growing.
    #[inline(never)]
    fn step<C: Cells>(&mut self, current: &Geometry<P>, cells: &C) -> Option<()> {
        let at = self.at.as_ref().filter(|at| at.old.is_none())?;
        let bucket = self.array.bucket(at.index)?;
        let alone = bucket.tophash().ends_chain() || bucket.overflow() == 0;
        if !alone || current.old.is_some() || self.begun == self.array.buckets() {
            return None;
        }
        let main = self.main();
        let chain = Chain::peek(&self.array, main)?;
        let index = chain.index();
        prefetch(&chain, Chain::peek(&self.array, self.ahead(main)), cells);
        self.begun += 1;
        self.at = Some(At { old: None, only: None, index, left: CellSet::ALL });
        Some(())
    }

    #[inline]
    fn standing(&self) -> Option<(&At<P>, Bucket<'_, P>)> {
        let at = self.at.as_ref()?;
        Some((at, at.array(self).bucket(at.index)?))
    }

    /// Goes to the next of the cells that are left. The tophash is read anew for each: the writer may have been here since the
    /// last.
    fn stand(&mut self) -> Option<usize> {
        let (at, bucket) = self.standing()?;
        let mut left = bucket.tophash().rotated_to(self.first_cell).occupied().and(at.left);
        let next = left.next()?;
        self.at.as_mut()?.left = left;
        Some((self.first_cell + next) % CELLS)
    }

    /// Goes to the next bucket, or ends the walk.
    fn move_on<C: Cells>(&mut self, current: &Geometry<P>, cells: &C) -> Result<()> {
        if let Some(at) = self.at.take() {
            self.at = self.follow(at)?;
        }
        if self.at.is_some() {
            return Ok(());
        }
        if let Some((old, main)) = self.pair.take() {
            let index = Chain::at(&old, main)?.index();
            self.at = Some(At { old: Some(old), only: None, index, left: CellSet::ALL });
            return Ok(());
        }
        if self.begun == self.array.buckets() {
            self.ended = true;
            return Ok(());
        }
        let main = self.main();
        self.begun += 1;
        let (old, chain) = self.source(current, main)?;
        let ahead = self.source(current, self.ahead(main)).ok();
        prefetch(&chain, ahead.map(|(_, chain)| chain), cells);
        let only = old.filter(|old| old.growth == Growth::Double).map(|_| main);
        let pair = old.and_then(|old| Some((Arc::clone(&old.array), old.pair(main)?)));
        let (old, index) = (old.map(|old| Arc::clone(&old.array)), chain.index());
        (self.at, self.pair) = (Some(At { old, only, index, left: CellSet::ALL }), pair);
        Ok(())
    }

    /// The main bucket to begin next.
    fn main(&self) -> u64 {
        (self.start + self.begun) & (self.array.buckets() - 1)
    }

    /// The main bucket whose records are fetched when the walk comes to `main`.
    fn ahead(&self, main: u64) -> u64 {
        (main + BUCKETS_AHEAD) & (self.array.buckets() - 1)
    }

    /// Where the entries of a main bucket are: in the old array, while the array of this walk is still being filled and
    /// their old bucket has not been evacuated.
    fn source<'a>(
        &'a self,
        current: &'a Geometry<P>,
        main: u64,
    ) -> Result<(Option<&'a Old<P>>, Chain<'a, P>)> {
        // Arrays are compared by identity: B may be the same again after a growth to the same size.
        if let Some(old) = &current.old
            && Arc::ptr_eq(&current.array, &self.array)
        {
            let chain = Chain::at(&old.array, main & (old.array.buckets() - 1))?;
            if !chain.bucket().tophash().any_evacuated() {
                return Ok((Some(old), chain));
            }
        }
        Ok((None, Chain::at(&self.array, main)?))
    }

    /// The entry in a cell, if there is one that counts here.
    fn entry<C, G>(&self, i: usize, published: impl Fn() -> G, cells: &C) -> Result<Option<C::Entry>>
    where
        C: Cells,
        G: Deref<Target = Geometry<P>>,
    {
        let Some((at, bucket)) = self.standing() else { return Ok(None) };
        let tophash = bucket.tophash().get(i);
        if tophash.is_empty() || tophash == Tophash::EVACUATED_EMPTY {
            return Ok(None);
        }
        let slot = at.array(self).slot(at.index, bucket, i);
        let cell_knows_bucket = u32::from(self.array.b()) <= C::HASH_BITS;
        if cell_knows_bucket && at.skips(C::low_hash(slot) & (self.array.buckets() - 1)) {
            return Ok(None);
        }
        let entry = cells.read(slot)?;
        if tophash.is_filled() && (at.only.is_none() || cell_knows_bucket) {
            return Ok(Some(entry));
        }
        let hash = cells.hash(&entry);
        if at.skips(hash.bucket(self.array.b())) {
            return Ok(None);
        }
        if tophash.is_filled() {
            return Ok(Some(entry));
        }
        lookup(published, hash, |slot| cells.find(slot, hash, cells.key(&entry)))
    }

    /// Goes on to the overflow bucket; `None` at the end of the chain.
    fn follow(&mut self, at: At<P>) -> Result<Option<At<P>>> {
        let mut chain = Chain::resume(at.array(self), at.index)?;
        // Behind EMPTY_REST is nothing that was there when the walk came.
        if chain.bucket().tophash().ends_chain() || !chain.advance()? {
            return Ok(None);
        }
        let (index, offset) = (chain.index(), chain.bucket().offset());
        // No two chains share a bucket, and an old chain is walked twice at most. Where a damaged file
        // pretends otherwise, the walk would take the square of its size.
        let (visits, limit) = match &at.old {
            Some(old) => (&mut self.old_overflow_visits, 2 * old.capacity()),
            None => (&mut self.overflow_visits, self.array.capacity()),
        };
        *visits += 1;
        if *visits > limit {
            self.ended = true;
            let expected = "chains that share no bucket";
            return Err(Error::corrupt("overflow bucket", offset, expected, "more links than buckets"));
        }
        Ok(Some(At { index, left: CellSet::ALL, ..at }))
    }
}

/// Has the processor fetch what the cells of a bucket ahead point at, and of the overflow bucket behind the first one of
/// `here`. Main buckets lie side by side, and processors fetch such by themselves.
#[inline]
fn prefetch<P: Pages, C: Cells>(here: &Chain<'_, P>, ahead: Option<Chain<'_, P>>, cells: &C) {
    let fetch = |array: &Array<P>, index, bucket: Bucket<'_, P>| {
        cells.prefetch(bucket.tophash().occupied().map(|i| array.slot(index, bucket, i)));
    };
    if let Some((index, next)) = here.peek_next().filter(|(_, next)| next.is_touched()) {
        fetch(here.array(), index, next);
    }
    if let Some(ahead) = ahead {
        fetch(ahead.array(), ahead.index(), ahead.bucket());
        ahead.peek_next().into_iter().for_each(|(_, next)| next.prefetch());
    }
}

impl<P> At<P> {
    fn array<'a>(&'a self, walk: &'a Walk<P>) -> &'a Array<P> {
        self.old.as_ref().unwrap_or(&walk.array)
    }

    fn skips(&self, bucket: u64) -> bool {
        self.only.is_some_and(|only| only != bucket)
    }
}
