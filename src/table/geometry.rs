//! What readers hold: the arrays that make up the table at one moment (C3).

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::bucket::Hash;
use crate::seam::{Arrays, Pages};

use super::array::{Array, Chain, MAX_B};

/// How the current array relates to the old one while the table grows, or shrinks, which is a growth too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Growth {
    /// Twice the buckets: each old bucket is split in two, by one more bit of the hash.
    Double,
    /// As many buckets: the entries of chains that removals left sparse are packed densely.
    SameSize,
    /// Half the buckets: two old buckets, whose numbers differ in the highest bit, become one (C6).
    Shrink,
}

impl Growth {
    /// B of the array that takes over from one of 2^b buckets; `None` where there is no such array.
    pub(super) fn new_b(self, b: u8) -> Option<u8> {
        match self {
            Growth::Double => (b < MAX_B).then_some(b + 1),
            Growth::SameSize => Some(b),
            Growth::Shrink => b.checked_sub(1),
        }
    }

    /// B of the array that one of 2^b buckets takes over from; `None` where there is no such array.
    pub(crate) fn old_b(self, b: u8) -> Option<u8> {
        match self {
            Growth::Double => Growth::Shrink.new_b(b),
            Growth::SameSize => Some(b),
            Growth::Shrink => Growth::Double.new_b(b),
        }
    }
}

/// The arrays of the table. Immutable; the store publishes each new one behind one atomic pointer, and a
/// reader loads it once per operation.
pub struct Geometry<P> {
    /// Where new entries go.
    pub array: Arc<Array<P>>,
    /// Where entries come from while the table grows.
    pub old: Option<Old<P>>,
    /// How often the table was cleared (C5).
    pub clears: u64,
}

impl<P> Geometry<P> {
    /// The current array, and the one that a growth empties.
    #[inline]
    pub fn arrays(&self) -> impl Iterator<Item = &Array<P>> {
        let old = self.old.as_ref().map(|old| &*old.array);
        std::iter::once(&*self.array).chain(old)
    }
}

/// The array that a growth empties.
///
/// What is evacuated in one step is a *unit*: an old bucket; while the table shrinks, two of them, which go to the same new
/// one. A unit has the number of its first old bucket.
pub struct Old<P> {
    /// The old array.
    pub array: Arc<Array<P>>,
    /// What the growth does.
    pub growth: Growth,
}

impl<P> Old<P> {
    /// The old bucket of a key.
    pub(super) fn bucket_of(&self, hash: Hash) -> u64 {
        hash.bucket(self.array.b())
    }

    /// How many units there are.
    pub fn units(&self) -> u64 {
        match self.growth {
            Growth::Double | Growth::SameSize => self.array.buckets(),
            Growth::Shrink => self.array.buckets() / 2,
        }
    }

    /// The unit of a bucket, be it an old or a new one.
    pub(super) fn unit_of(&self, bucket: u64) -> u64 {
        bucket & (self.units() - 1)
    }

    /// The second old bucket of a unit that has two.
    pub(super) fn pair(&self, unit: u64) -> Option<u64> {
        (self.growth == Growth::Shrink).then(|| unit + self.units())
    }

    /// The old buckets of a unit.
    pub(super) fn buckets_in(&self, unit: u64) -> impl Iterator<Item = u64> {
        std::iter::once(unit).chain(self.pair(unit))
    }
}

impl<P: Pages> Old<P> {
    /// The first chain of a unit that waits to be evacuated; `None` when it has been. For the writer: readers come by
    /// between the marks of two buckets, and ask about one of them.
    pub(super) fn waiting(&self, unit: u64) -> Result<Option<Chain<'_, P>>> {
        let is_marked = |chain: &Chain<'_, P>| chain.bucket().tophash().any_evacuated();
        let first = Chain::at(&self.array, unit)?;
        if let Some(pair) = self.pair(unit) {
            let second = Chain::at(&self.array, pair)?;
            if is_marked(&first) != is_marked(&second) {
                let expected = "an evacuation mark in both buckets of a pair or in none";
                let offset = second.bucket().offset();
                return Err(Error::corrupt("bucket's tophash", offset, expected, "one in one of them"));
            }
        }
        Ok(Some(first).filter(|first| !is_marked(first)))
    }
}

/// What the table needs from the store while it changes.
pub trait Host: Arrays {
    /// Makes `geometry` the one that readers load from now on, with a Release store: a reader that sees a
    /// mark of the growth that it begins sees it too. What it replaces stays valid for readers that loaded it
    /// before.
    fn publish(&self, geometry: &Arc<Geometry<Self::Pages>>);

    /// Whether the disk has room for a new array of so many bytes, and for what is to come all the same. A growth for which
    /// there is none is put off (D18).
    fn has_room_to_grow(&self, _geometry: &Geometry<Self::Pages>, _array_bytes: u64) -> bool {
        true
    }

    /// Refuses overflow buckets of so many bytes to who adds to the table, where the disk has no room for them and for what is
    /// to come all the same.
    fn check_room_for_chunk(&self, _geometry: &Geometry<Self::Pages>, _chunk_bytes: u64) -> Result<()> {
        Ok(())
    }
}
