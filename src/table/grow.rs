//! Growing and shrinking: the start, the evacuation of a unit, the end; and clearing, which is a start from nothing.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::bucket::{CELLS, Hash, Tophash, TophashWord};
use crate::seam::{Arrays, Pages};

use super::array::{Array, Bucket, BucketIndex, Chain};
use super::assign::{Table, prepared, secured};
use super::counters::Counters;
use super::geometry::{Geometry, Growth, Host, Old};
use super::plan::{Evacuation, GrowWork, Plan, Start};
use super::slot::Slot;

/// A clear that has been prepared: the fresh array.
#[must_use = "a plan that is not carried out has changed nothing"]
pub struct ClearPlan<P> {
    geometry: Arc<Geometry<P>>,
}

impl<P> ClearPlan<P> {
    /// The array that takes over.
    pub(super) fn array(&self) -> &Array<P> {
        &self.geometry.array
    }
}

impl<P: Pages> Table<P> {
    /// Begins the growth that the log says began here (D15).
    pub fn replay_growth<H: Host<Pages = P>>(&mut self, host: &H, growth: Growth) -> Result<()> {
        if self.growing() || growth.new_b(self.geometry.array.b()).is_none() {
            let expected = "no growth, since one is under way or there is no array of that size";
            return Err(Error::corrupt("growth record of the log", 0, expected, "the start of a growth"));
        }
        let start = self.reserve_growth(host, growth)?;
        self.start_growth(host, start);
        Ok(())
    }

    /// Prepares a clear: takes a fresh array of the same size (C5, D20).
    pub fn prepare_clear<A: Arrays<Pages = P>>(&mut self, arrays: &A) -> Result<ClearPlan<P>> {
        let (b, shape) = (self.geometry.array.b(), self.geometry.array.shape());
        let main = arrays.reserve(Array::<P>::main_bytes(shape, b))?;
        let array = Arc::new(Array::new(shape, b, main));
        let clears = self.geometry.clears.wrapping_add(1);
        Ok(ClearPlan { geometry: Arc::new(Geometry { array, old: None, clears }) })
    }

    /// Empties the table. Readers that are under way go on in the arrays that were, and iterations end.
    pub fn clear<H: Host<Pages = P>>(&mut self, host: &H, plan: ClearPlan<P>) {
        debug_assert_eq!(
            plan.geometry.clears,
            self.geometry.clears.wrapping_add(1),
            "a clear is carried out once"
        );
        self.geometry = plan.geometry;
        self.counters = Counters {
            next_overflow: self.geometry.array.buckets(),
            clears: self.geometry.clears,
            ..Counters::default()
        };
        host.publish(&self.geometry);
    }

    /// What puts and removes have in common: the start of a growth where one is planned, and the grow work.
    #[inline]
    pub(super) fn begin<H: Host<Pages = P>, N>(&mut self, host: &H, plan: Plan<P, N>, hash: Hash) {
        #[cfg(debug_assertions)]
        assert_eq!(plan.made_for, self.counters, "nothing may change between the two phases");
        if let Some(start) = plan.start {
            self.start_growth(host, start);
        }
        if let Some(work) = plan.work {
            self.grow(host, &work, hash);
        }
    }

    /// The grow work.
    fn grow<H: Host<Pages = P>>(&mut self, host: &H, work: &GrowWork, hash: Hash) {
        work.evacuations.iter().flatten().for_each(|evacuation| self.evacuate(evacuation, hash));
        self.move_mark(host, work.nevacuate);
    }

    /// The evacuation mark, and with it the end of the growth.
    pub(super) fn move_mark<H: Host<Pages = P>>(&mut self, host: &H, nevacuate: u64) {
        self.counters.nevacuate = nevacuate;
        if self.geometry.old.as_ref().is_some_and(|old| nevacuate == old.units()) {
            self.end_growth(host);
        }
    }

    /// Go's `hashGrow`. Published before the first mark is set, so that whoever meets a mark finds the new
    /// array (C3).
    pub fn start_growth<H: Host<Pages = P>>(&mut self, host: &H, start: Start<P>) {
        self.counters.old_next_overflow = self.counters.next_overflow;
        self.counters.next_overflow = start.geometry.array.buckets();
        self.counters.nevacuate = 0;
        self.counters.noverflow = 0;
        self.geometry = start.geometry;
        host.publish(&self.geometry);
    }

    /// Published after the last mark is set; the old array goes when the last reader has left it.
    fn end_growth<H: Host<Pages = P>>(&mut self, host: &H) {
        self.counters.old_next_overflow = 0;
        self.counters.nevacuate = 0;
        let Geometry { array, clears, .. } = &*self.geometry;
        self.geometry = Arc::new(Geometry { array: Arc::clone(array), old: None, clears: *clears });
        host.publish(&self.geometry);
    }

    /// Copies the entries of an old chain to the new array, in order, then marks the chain (C4). The two chains of a pair
    /// go one behind the other, and are marked when both are there: whoever meets a mark in either finds all that was in
    /// it in the new array, and who meets none yet in the other finds that one as it was.
    pub(super) fn evacuate(&mut self, evacuation: &Evacuation, hash: Hash) {
        let Geometry { array, old: Some(old), .. } = &*self.geometry else {
            return debug_assert!(false, "grow work is planned for a growth alone");
        };
        let y_bucket = match old.growth {
            Growth::Double => evacuation.unit + old.array.buckets(),
            Growth::SameSize | Growth::Shrink => evacuation.unit,
        };
        let mut x = Destination::new(array, evacuation.unit);
        let mut y = Destination::new(array, y_bucket);
        each_bucket(old, evacuation, |nth, chain| {
            let (tophash, to_y) = (chain.bucket().tophash(), evacuation.to_y(nth));
            for i in tophash.filled() {
                let side = if to_y.contains(i) { &mut y } else { &mut x };
                side.push(&mut self.counters, hash, tophash.get(i), chain.slot(i));
            }
        });
        x.finish();
        y.finish();
        // Each head is marked first: a reader that meets a mark behind it finds the head marked too.
        each_bucket(old, evacuation, |nth, chain| {
            let bucket = chain.bucket();
            bucket.set_tophash(bucket.tophash().evacuated(evacuation.to_y(nth)));
        });
    }
}

/// All buckets of a chain, or of the two of a pair, also those behind `EMPTY_REST`: they are marked too.
fn each_bucket<P: Pages>(old: &Old<P>, evacuation: &Evacuation, mut visit: impl FnMut(usize, &Chain<'_, P>)) {
    for main in old.buckets_in(evacuation.unit) {
        let mut chain = prepared(Chain::at(&old.array, main));
        for nth in 0.. {
            visit(nth, &chain);
            if !prepared(chain.advance()) {
                break;
            }
        }
    }
}

/// Where the entries of old chains go (Go's `evacDst`): a chain of the new array, blank before. No reader
/// comes here before the old chain is marked.
struct Destination<'a, P> {
    array: &'a Array<P>,
    index: BucketIndex,
    bucket: Bucket<'a, P>,
    tophash: TophashWord,
    filled: usize,
}

impl<'a, P: Pages> Destination<'a, P> {
    fn new(array: &'a Array<P>, main: u64) -> Self {
        let bucket = prepared(Chain::at(array, main)).bucket();
        Destination { array, index: BucketIndex(main), bucket, tophash: TophashWord::default(), filled: 0 }
    }

    fn push(&mut self, counters: &mut Counters, hash: Hash, tophash: Tophash, entry: Slot<'_, P>) {
        if self.filled == CELLS {
            self.overflow(counters.take_overflow(self.array.b(), hash));
        }
        self.array.slot(self.index, self.bucket, self.filled).copy_from(entry);
        self.tophash = self.tophash.with(self.filled, tophash);
        self.filled += 1;
    }

    fn overflow(&mut self, index: BucketIndex) {
        self.finish();
        self.bucket.set_overflow(index);
        (self.index, self.bucket) = (index, secured(self.array, index));
        (self.tophash, self.filled) = (TophashWord::default(), 0);
    }

    /// Shows the entries of the bucket, all at once.
    fn finish(&self) {
        if self.filled > 0 {
            self.bucket.set_tophash(self.tophash);
        }
    }
}
