//! Phase two of a removal.

use crate::format::bucket::{CELLS, Hash, Tophash};
use crate::seam::Pages;

use super::array::{Array, BucketIndex, Chain};
use super::assign::{Table, prepared, secured};
use super::cells::Name;
use super::geometry::Host;
use super::plan::{Plan, cell_in};

impl<P: Pages> Table<P> {
    /// Carries out a removal: does the grow work, then empties the cell. Only tophash words change, so a
    /// reader that has just found the entry still reads a whole cell (C4).
    pub fn remove<H: Host<Pages = P>, N: Name>(&mut self, host: &H, plan: Plan<P, N>, hash: Hash) {
        let Some(existing) = plan.spot.existing else {
            return debug_assert!(false, "a removal is prepared for a key that was found");
        };
        self.begin(host, plan, hash);
        self.empty(hash, existing);
    }

    /// Empties a cell of the current array.
    pub(super) fn empty(&mut self, hash: Hash, existing: impl Name) {
        let array = &*self.geometry.array;
        let mut chain = prepared(Chain::at(array, hash.bucket(array.b())));
        self.passed.clear();
        let i = loop {
            self.passed.push(chain.index());
            if let Some(i) = cell_in(&chain, hash.tophash(), existing) {
                break i;
            }
            if !prepared(chain.advance()) {
                return debug_assert!(false, "the plan has seen the existing cell");
            }
        };
        self.counters.count = self.counters.count.saturating_sub(1);
        let bucket = chain.bucket();
        bucket.set_tophash(bucket.tophash().with(i, Tophash::EMPTY_ONE));
        if nothing_behind(chain, i) {
            end_chain(array, &self.passed, i + 1);
        }
    }
}

/// Whether the chain is empty behind cell `i` of this bucket.
fn nothing_behind<P: Pages>(mut chain: Chain<'_, P>, i: usize) -> bool {
    if i + 1 < CELLS {
        return chain.bucket().tophash().get(i + 1) == Tophash::EMPTY_REST;
    }
    !prepared(chain.advance()) || chain.bucket().tophash().get(0) == Tophash::EMPTY_REST
}

/// Every `EMPTY_ONE` right before cell `end` of the last bucket passed becomes `EMPTY_REST`, back over the
/// buckets before it as far as they go. The last bucket is first, so that at no moment an `EMPTY_REST` has
/// an entry behind it.
fn end_chain<P: Pages>(array: &Array<P>, passed: &[BucketIndex], mut end: usize) {
    for &index in passed.iter().rev() {
        let bucket = secured(array, index);
        let mut tophash = bucket.tophash();
        while end > 0 && tophash.get(end - 1) == Tophash::EMPTY_ONE {
            end -= 1;
            tophash = tophash.with(end, Tophash::EMPTY_REST);
        }
        if tophash != bucket.tophash() {
            bucket.set_tophash(tophash);
        }
        if end > 0 {
            return;
        }
        end = CELLS;
    }
}
