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
//!   halves, and each time only the entries that belong to that half count.
//!
//! So an entry that is present throughout has exactly one cell on the way and appears exactly once. An
//! entry inserted meanwhile may appear or not; one that is removed and inserted again is another entry.

use std::ops::Deref;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::bucket::{CELLS, Cell, Hash, Tophash};
use crate::seam::{Pages, Records};

use super::array::{Array, BucketIndex, Chain};
use super::geometry::{Geometry, Growth};
use super::lookup::lookup;

/// A walk over all entries. Whoever has one keeps the records of the time it began readable (C7).
pub struct Walk<P> {
    array: Arc<Array<P>>,
    clears: u64,
    start: u64,
    first_cell: usize,
    /// Main buckets begun so far.
    begun: u64,
    at: Option<At<P>>,
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
    /// Cells done.
    visited: usize,
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
            overflow_visits: 0,
            old_overflow_visits: 0,
            ended: false,
        }
    }

    /// The next entry's record; `None` at the end, and after the table was cleared. An error is yielded once,
    /// and the next call goes on behind it: behind the entry, or behind the chain where that is broken.
    ///
    /// `published` loads the present geometry (Acquire).
    pub fn next<R, G>(&mut self, published: impl Fn() -> G, records: &R) -> Option<Result<R::Record>>
    where
        R: Records,
        G: Deref<Target = Geometry<P>>,
    {
        let current = published();
        self.ended |= current.clears != self.clears;
        while !self.ended {
            let mut at = match self.at.take() {
                Some(at) => at,
                None => match self.begin_bucket(&current) {
                    Ok(Some(at)) => at,
                    Ok(None) => break,
                    Err(error) => return Some(Err(error)),
                },
            };
            while at.visited < CELLS {
                let cell = (self.first_cell + at.visited) % CELLS;
                at.visited += 1;
                let entry = self.entry(&at, cell, &published, records);
                if let Some(entry) = entry.transpose() {
                    self.at = Some(at);
                    return Some(entry);
                }
            }
            match self.follow(at) {
                Ok(at) => self.at = at,
                Err(error) => return Some(Err(error)),
            }
        }
        self.ended = true;
        None
    }

    /// Goes to the next main bucket; `None` behind the last.
    fn begin_bucket(&mut self, current: &Geometry<P>) -> Result<Option<At<P>>> {
        if self.begun == self.array.buckets() {
            return Ok(None);
        }
        let bucket = (self.start + self.begun) & (self.array.buckets() - 1);
        self.begun += 1;
        // Arrays are compared by identity: B may be the same again after a growth to the same size.
        if let Some(old) = &current.old
            && Arc::ptr_eq(&current.array, &self.array)
        {
            let index = bucket & (old.array.buckets() - 1);
            if !Chain::at(&old.array, index)?.bucket().tophash().any_evacuated() {
                let only = (old.growth == Growth::Double).then_some(bucket);
                let (old, index) = (Some(Arc::clone(&old.array)), BucketIndex(index));
                return Ok(Some(At { old, only, index, visited: 0 }));
            }
        }
        Chain::at(&self.array, bucket)?;
        Ok(Some(At { old: None, only: None, index: BucketIndex(bucket), visited: 0 }))
    }

    /// The entry in one cell, if there is one that counts here. The tophash is read anew for each cell: the
    /// writer may have been here since the last.
    fn entry<R, G>(
        &self,
        at: &At<P>,
        i: usize,
        published: impl Fn() -> G,
        records: &R,
    ) -> Result<Option<R::Record>>
    where
        R: Records,
        G: Deref<Target = Geometry<P>>,
    {
        let Some(bucket) = at.array(self).bucket(at.index) else { return Ok(None) };
        let tophash = bucket.tophash().get(i);
        if tophash.is_empty() || tophash == Tophash::EVACUATED_EMPTY {
            return Ok(None);
        }
        let cell = bucket.cell(i);
        if self.cells_know_bucket() && at.skips(cell.hash_low() & (self.array.buckets() - 1)) {
            return Ok(None);
        }
        let (record, hash) = records.read(cell.position())?;
        if at.skips(hash.bucket(self.array.b())) {
            return Ok(None);
        }
        if tophash.is_filled() {
            return Ok(Some(record));
        }
        let found = lookup(published, hash, |position| records.matching(position, records.key(&record)))?;
        Ok(found.map(|(_, record)| record))
    }

    fn cells_know_bucket(&self) -> bool {
        u32::from(self.array.b()) <= Cell::HASH_BITS
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
        Ok(Some(At { index, visited: 0, ..at }))
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
