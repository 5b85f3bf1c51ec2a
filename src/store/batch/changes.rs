//! The changes of a batch, so sorted and thinned out that each is made at once.

use crate::batch::{Batch, Change};
use crate::error::Result;
use crate::file::log::segment::Segment;
use crate::file::log::writer::Purpose;
use crate::format::bucket::Hash;
use crate::format::record::Kind;
use crate::table::{KeyHasher, Spot};

/// The changes of a batch on their way into the store.
pub(super) struct Changes<'b, 'p, N> {
    pub(super) clears: bool,
    /// In the order in which they are logged and made.
    pub(super) list: Vec<Planned<'b, 'p, N>>,
    /// Places in the list, so sorted that keys of one bucket are neighbours, however many buckets there are.
    pub(super) by_bucket: Vec<(u64, usize)>,
}

pub(super) struct Planned<'b, 'p, N> {
    pub(super) change: Change<'b>,
    pub(super) hash: Hash,
    /// Where the key is; for a key that is not in the table, nowhere.
    pub(super) spot: Spot<N>,
    /// The record that the table points at no more, and its bytes; none in the inline layout.
    pub(super) before: Option<(&'p Segment, u64)>,
    /// It is superseded by a later one, or removes an absent key: it is not logged (D15).
    pub(super) idle: bool,
}

impl<'b, N> Changes<'b, '_, N> {
    pub(super) fn new(batch: &'b Batch, hasher: &KeyHasher) -> Result<Self> {
        let plan = |change: Result<Change<'b>>| {
            let change = change?;
            // Behind a clear there is nothing to remove.
            let idle = batch.clears() && change.frame.kind == Kind::Remove;
            let hash = hasher.hash(change.key);
            Ok(Planned { change, hash, spot: Spot::default(), before: None, idle })
        };
        let mut list = batch.changes().map(plan).collect::<Result<Vec<_>>>()?;
        let reversed = list.iter().map(|planned| planned.hash.0.reverse_bits());
        let mut by_bucket: Vec<_> = reversed.zip(0..).collect();
        by_bucket.sort_unstable_by(|(hash, a), (other, b)| {
            let keys = || list[*a].change.key.cmp(list[*b].change.key);
            hash.cmp(other).then_with(keys).then(a.cmp(b))
        });
        for two in by_bucket.windows(2) {
            let ((hash, a), (other, b)) = (two[0], two[1]);
            list[a].idle |= hash == other && list[a].change.key == list[b].change.key;
        }
        by_bucket.retain(|&(_, at)| !list[at].idle);
        Ok(Changes { clears: batch.clears(), list, by_bucket })
    }

    pub(super) fn active(&self) -> impl Iterator<Item = &Planned<'b, '_, N>> {
        self.list.iter().filter(|planned| !planned.idle)
    }

    pub(super) fn puts(&self) -> impl Iterator<Item = &Planned<'b, '_, N>> {
        self.active().filter(|planned| planned.is_put())
    }

    pub(super) fn purpose(&self) -> Purpose {
        if self.puts().next().is_some() { Purpose::Add } else { Purpose::Free }
    }
}

impl<N> Planned<'_, '_, N> {
    pub(super) fn is_put(&self) -> bool {
        self.change.frame.kind == Kind::Put
    }

    pub(super) fn is_new(&self) -> bool {
        self.is_put() && !self.spot.is_taken()
    }
}
