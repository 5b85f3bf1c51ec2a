//! What readers hold: the arrays that make up the table at one moment (C3).

use std::sync::Arc;

use crate::format::bucket::Hash;
use crate::seam::Arrays;

use super::array::Array;

/// How the current array relates to the old one while the table grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Growth {
    /// Twice the buckets: each old bucket is split in two, by one more bit of the hash.
    Double,
    /// As many buckets: the entries of chains that removals left sparse are packed densely.
    SameSize,
}

impl Growth {
    /// B of the array that takes over from one of 2^b buckets.
    pub(super) fn new_b(self, b: u8) -> u8 {
        match self {
            Growth::Double => b + 1,
            Growth::SameSize => b,
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
}

/// What the table needs from the store while it changes.
pub trait Host: Arrays {
    /// Makes `geometry` the one that readers load from now on, with a Release store: a reader that sees a
    /// mark of the growth that it begins sees it too. What it replaces stays valid for readers that loaded it
    /// before.
    fn publish(&self, geometry: &Arc<Geometry<Self::Pages>>);
}
