//! Changes that belong together: none of them may fail once the first is logged, and none does growth work.
//!
//! Growing comes before, in steps of its own that change nothing for a reader: a growth is begun and finished until the
//! table takes what the batch brings, and the old buckets of its keys are evacuated. Then every key of the batch has its
//! chain in the current array, where it is [located](Table::locate_settled) and changed. A replay is told of these steps by
//! the log, as of the growth's start (D15).

use crate::error::{Error, Result};
use crate::format::bucket::{CELLS, Hash};
use crate::seam::{Arrays, Pages};

use super::array::{Array, Chain};
use super::assign::Table;
use super::cells::{Cells, Content, KeyedCells, Located, Name};
use super::counters::Counters;
use super::geometry::{Growth, Host};
use super::grow::ClearPlan;
use super::plan::{Evacuation, Spot, expect_cell, secure_overflow};

/// Old buckets that are about to be evacuated.
#[must_use = "a plan that is not carried out has changed nothing"]
pub struct EvacuationPlan {
    evacuations: Vec<Evacuation>,
    /// Where the evacuation mark stands afterwards.
    nevacuate: u64,
}

impl<P: Pages> Table<P> {
    /// The growth that a table which is to hold `entries` entries is due for, whether or not one is under way.
    pub fn growth_due_for(&self, entries: u64) -> Option<Growth> {
        let counters = Counters { count: entries.saturating_sub(1), ..self.counters };
        self.load_factor.growth_due(&counters, self.geometry.array.b())
    }

    /// Whether a table that loses an entry should shrink first.
    pub fn shrink_due(&self) -> bool {
        let b = self.geometry.array.b();
        !self.growing()
            && b > self.least_b
            && self.load_factor.under(self.counters.count.saturating_sub(1), b)
    }

    /// Whether half the size would do for the entries that are there. For who asks for it: a table that does so by itself would
    /// soon have to grow again.
    pub fn is_roomy(&self) -> bool {
        let b = self.geometry.array.b();
        !self.growing() && b > self.least_b && !self.load_factor.over(self.counters.count, b - 1)
    }

    /// The unit of a key's old bucket, if a growth is under way and has not evacuated it.
    pub fn unevacuated(&self, hash: Hash) -> Result<Option<u64>> {
        let Some(old) = &self.geometry.old else { return Ok(None) };
        let unit = old.unit_of(hash.0);
        Ok(old.waiting(unit)?.map(|_| unit))
    }

    /// Prepares to evacuate the next `at_mark` units from the evacuation mark on, which moves on behind them, and some
    /// others. Passes over those that are evacuated already.
    pub fn prepare_evacuation<A: Arrays<Pages = P>, C: Cells>(
        &self,
        arrays: &A,
        cells: &C,
        at_mark: u64,
        others: &[u64],
    ) -> Result<EvacuationPlan> {
        let corrupt = |expected, found| Error::corrupt("evacuate record of the log", 0, expected, found);
        let Some(old) = &self.geometry.old else {
            return Err(corrupt("a growth that is under way", 0));
        };
        let (mark, end) = (self.counters.nevacuate, old.units());
        let nevacuate = mark.saturating_add(at_mark).min(end);
        let mut evacuations = Vec::new();
        for unit in (mark..nevacuate).chain(others.iter().copied().filter(|other| *other >= nevacuate)) {
            if unit >= end {
                return Err(corrupt("the number of an old bucket", unit));
            }
            evacuations.extend(self.plan_evacuation(cells, &self.as_it_is(), old, unit)?);
        }
        let needed = evacuations.iter().map(Evacuation::overflow_buckets).sum();
        secure_overflow(arrays, &self.geometry.array, self.counters.next_overflow, needed)?;
        Ok(EvacuationPlan { evacuations, nevacuate })
    }

    /// Carries out an evacuation.
    pub fn evacuate_planned<H: Host<Pages = P>>(&mut self, host: &H, plan: EvacuationPlan) {
        for evacuation in &plan.evacuations {
            // There is no key whose hash could be the coin's; the bucket's number does as well.
            self.evacuate(evacuation, Hash(evacuation.unit));
        }
        self.move_mark(host, plan.nevacuate);
    }

    /// [`Table::locate`] for a key whose old bucket is evacuated, if it ever had one: what is found stays where it is while
    /// other keys are changed.
    pub fn locate_settled<'k, C: KeyedCells>(
        &self,
        cells: &C,
        hash: Hash,
        key: &'k [u8],
    ) -> Result<Located<'k, C>> {
        if let Some(unit) = self.unevacuated(hash)? {
            let expected = "keys whose old buckets are evacuated";
            return Err(Error::corrupt("batch in the log", 0, expected, unit));
        }
        let mut found = None;
        let spot = self.find_in_chain(hash, |slot| cells.locate(slot, hash, key, &mut found))?;
        Ok((spot, found))
    }

    /// Touches what the removal of a located key looks at beyond its cell.
    pub fn prepare_remove_settled<N: Name>(&self, hash: Hash, spot: Spot<N>) -> Result<()> {
        spot.existing.map_or(Ok(()), |name| expect_cell(&self.geometry.array, hash, name))
    }

    /// How many overflow buckets `puts` new keys of one bucket take at most. Touches the whole chain: where some take the
    /// cells that were found empty, others come to those behind. If removals come in between, it is less.
    pub fn overflow_for(&self, clear: Option<&ClearPlan<P>>, hash: Hash, puts: u64) -> Result<u64> {
        let array = self.array_behind(clear);
        let mut chain = Chain::at(array, hash.bucket(array.b()))?;
        let mut room = 0;
        loop {
            room += chain.bucket().tophash().empty().count() as u64;
            if !chain.advance()? {
                return Ok(puts.saturating_sub(room).div_ceil(CELLS as u64));
            }
        }
    }

    /// Makes sure that so many overflow buckets can be taken; of the clear's array, if the batch begins with one.
    pub fn secure_settled<A: Arrays<Pages = P>>(
        &self,
        arrays: &A,
        clear: Option<&ClearPlan<P>>,
        needed: u64,
    ) -> Result<()> {
        let array = self.array_behind(clear);
        let next = if clear.is_some() { array.buckets() } else { self.counters.next_overflow };
        secure_overflow(arrays, array, next, needed)
    }

    fn array_behind<'a>(&'a self, clear: Option<&'a ClearPlan<P>>) -> &'a Array<P> {
        clear.map_or(&*self.geometry.array, ClearPlan::array)
    }

    /// Changes the key's cell, or takes the first one that is empty by now.
    pub fn put_settled<N>(&mut self, spot: Spot<N>, hash: Hash, content: impl Content) {
        match (spot.existing, spot.place) {
            (Some(_), Some(place)) => content.replace(self.slot(place)),
            _ => self.insert(hash, content),
        }
    }

    /// Empties the key's cell.
    pub fn remove_settled<N: Name>(&mut self, spot: Spot<N>, hash: Hash) {
        if let Some(existing) = spot.existing {
            self.empty(hash, existing);
        }
    }
}
