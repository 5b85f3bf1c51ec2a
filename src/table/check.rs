//! The invariants of the table, checked one by one, for `verify` and for tests.

use crate::error::{Detail, Error, Result};
use crate::format::bucket::{CELLS, Hash, Tophash, TophashWord};
use crate::seam::Pages;

use super::array::{Array, Chain};
use super::cells::Cells;
use super::counters::Counters;
use super::geometry::{Geometry, Growth, Old};
use super::slot::Slot;

/// One of the two arrays of a table that grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhichArray {
    /// The array that new entries go to.
    Current,
    /// The array that is being evacuated.
    Old,
}

/// Where a fault lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The array.
    pub array: WhichArray,
    /// The bucket's number in it.
    pub bucket: u64,
    /// The cell, where it is about one.
    pub cell: Option<usize>,
}

/// One violated invariant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Where; `None` when it is about the table as a whole.
    pub place: Option<Place>,
    /// Where the damaged bytes lie in the file, when it is about some.
    pub offset: Option<u64>,
    /// What is wrong.
    pub what: &'static str,
    /// What it should be.
    pub expected: Detail,
    /// What it is.
    pub found: Detail,
}

/// Checks every invariant and adds what is violated to `faults`; how many entries could be read. An error is something other
/// than damage: the system refused.
pub fn check<P: Pages, C: Cells>(
    geometry: &Geometry<P>,
    counters: &Counters,
    cells: &C,
    faults: &mut Vec<Fault>,
) -> Result<u64> {
    let mut checker = Checker { cells, faults, filled: 0, read: 0 };
    let array = &*geometry.array;
    let mut overflow = Overflow::new(array);
    for main in 0..array.buckets() {
        let blank = match &geometry.old {
            Some(old) => !checker.is_evacuated(&old.array, old.unit_of(main))?,
            None => false,
        };
        let as_it_should = if blank { Chained::Blank } else { Chained::Live };
        checker.chain(array, WhichArray::Current, main, as_it_should, &mut overflow)?;
    }
    overflow.check(array, counters.next_overflow, WhichArray::Current, checker.faults);
    if let Some(old) = &geometry.old {
        checker.old_array(old, counters)?;
    }
    let filled = checker.filled;
    checker.expect("number of entries", counters.count, filled);
    checker.counters(geometry, counters);
    Ok(checker.read)
}

/// What a chain should be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chained {
    /// Entries and empty cells.
    Live,
    /// Nothing yet: its old bucket is not evacuated.
    Blank,
    /// Marks: to both halves of the new array, by the bit of the hash with this number where one is given.
    Evacuated { split_bit: Option<u8> },
}

struct Checker<'a, C: Cells> {
    cells: &'a C,
    faults: &'a mut Vec<Fault>,
    filled: u64,
    read: u64,
}

impl<C: Cells> Checker<'_, C> {
    fn old_array<P: Pages>(&mut self, old: &Old<P>, counters: &Counters) -> Result<()> {
        let array = &*old.array;
        let mut overflow = Overflow::new(array);
        let split_bit = (old.growth == Growth::Double).then_some(array.b());
        for main in 0..array.buckets() {
            let (unit, evacuated) = (old.unit_of(main), self.is_evacuated(array, main)?);
            let place = Place { array: WhichArray::Old, bucket: main, cell: None };
            if unit < counters.nevacuate && !evacuated {
                self.fault(Some(place), "old bucket below the evacuation mark", "evacuated", "not evacuated");
            }
            if evacuated != self.is_evacuated(array, unit)? {
                self.fault(
                    Some(place),
                    "old bucket of a pair",
                    "evacuated like the other",
                    "not like the other",
                );
            }
            let as_it_should = if evacuated { Chained::Evacuated { split_bit } } else { Chained::Live };
            self.chain(array, WhichArray::Old, main, as_it_should, &mut overflow)?;
        }
        overflow.check(array, counters.old_next_overflow, WhichArray::Old, self.faults);
        Ok(())
    }

    fn counters<P: Pages>(&mut self, geometry: &Geometry<P>, counters: &Counters) {
        let array = &geometry.array;
        let taken = counters.next_overflow.saturating_sub(array.buckets());
        let noverflow = u64::from(counters.noverflow);
        // Each overflow bucket taken is counted below B = 16, evacuations' included; from there on some are.
        if noverflow > taken || array.b() < 16 && noverflow != taken {
            self.fault(None, "noverflow", taken, noverflow);
        }
        let end = geometry.old.as_ref().map_or(1, Old::units);
        if counters.nevacuate >= end {
            self.fault(None, "evacuation mark", end - 1, counters.nevacuate);
        }
        if geometry.old.is_none() {
            self.expect("old overflow buckets without a growth", 0, counters.old_next_overflow);
        }
        self.expect("number of clears", geometry.clears, counters.clears);
    }

    /// Whether the head says so; unreadable ones count as not, their chain gives the fault.
    fn is_evacuated<P: Pages>(&mut self, array: &Array<P>, main: u64) -> Result<bool> {
        match Chain::at(array, main) {
            Ok(head) => Ok(head.bucket().tophash().any_evacuated()),
            Err(Error::Corrupt { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn chain<P: Pages>(
        &mut self,
        array: &Array<P>,
        which: WhichArray,
        main: u64,
        should_be: Chained,
        overflow: &mut Overflow,
    ) -> Result<()> {
        let mut place = Place { array: which, bucket: main, cell: None };
        let mut chain = match Chain::at(array, main) {
            Ok(chain) => chain,
            Err(error) => return self.damage(place, error),
        };
        let mut live =
            LiveChain { array_b: array.b(), main, rest: None, empty_one: None, entries: Vec::new() };
        loop {
            place.bucket = chain.index().0;
            for i in 0..CELLS {
                let (tophash, slot) = (chain.bucket().tophash().get(i), chain.slot(i));
                let place = Place { cell: Some(i), ..place };
                match should_be {
                    Chained::Live => self.live_cell(&mut live, place, tophash, slot)?,
                    Chained::Evacuated { split_bit } => self.mark(split_bit, place, tophash, slot),
                    Chained::Blank => {}
                }
            }
            if should_be == Chained::Blank && chain.bucket().tophash() != TophashWord::default() {
                let what = "bucket whose old bucket is not evacuated";
                self.fault(Some(place), what, "blank", "in use");
            }
            match chain.advance() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return self.damage(place, error),
            }
            if !overflow.link(chain.index().0) {
                self.fault(Some(place), "overflow bucket", "in one chain", "linked from two");
                break;
            }
        }
        if let Some(place) = live.empty_one {
            self.fault(Some(place), "last cell of a chain in use", "an entry", "EMPTY_ONE");
        }
        self.duplicates(live.entries);
        Ok(())
    }

    fn live_cell<P: Pages>(
        &mut self,
        chain: &mut LiveChain<C::Entry>,
        place: Place,
        tophash: Tophash,
        slot: Slot<'_, P>,
    ) -> Result<()> {
        if tophash.is_evacuated() {
            self.fault(Some(place), "cell of a chain not evacuated", "no mark", "an evacuation mark");
            return Ok(());
        }
        if tophash == Tophash::EMPTY_REST {
            chain.rest = Some(place);
            return Ok(());
        }
        if chain.rest.is_some() {
            let what = "cell behind EMPTY_REST";
            self.fault(Some(place), what, u64::from(Tophash::EMPTY_REST.0), u64::from(tophash.0));
        }
        chain.empty_one = (tophash == Tophash::EMPTY_ONE).then_some(place);
        if tophash.is_empty() {
            return Ok(());
        }
        self.filled += 1;
        let entry = match self.cells.read(slot) {
            Ok(entry) => entry,
            Err(error) => return self.damage(place, error),
        };
        self.read += 1;
        let hash = self.cells.hash(&entry);
        if tophash != hash.tophash() {
            self.fault(Some(place), "tophash", u64::from(hash.tophash().0), u64::from(tophash.0));
        }
        let low = hash.bucket(C::HASH_BITS as u8);
        if C::low_hash(slot) != low {
            self.fault(Some(place), "low bits of the hash in a cell", low, C::low_hash(slot));
        }
        if hash.bucket(chain.array_b) != chain.main {
            self.fault(Some(place), "bucket of an entry", hash.bucket(chain.array_b), chain.main);
        }
        chain.entries.push((hash, entry, place));
        Ok(())
    }

    /// What an evacuated cell points at may be gone, so the split is checked as far as the cell knows.
    fn mark<P: Pages>(&mut self, split_bit: Option<u8>, place: Place, tophash: Tophash, slot: Slot<'_, P>) {
        let mark = u64::from(tophash.0);
        if !tophash.is_evacuated() {
            let what = "cell of an evacuated chain";
            return self.fault(Some(place), what, "an evacuation mark", mark);
        }
        if tophash == Tophash::EVACUATED_EMPTY {
            return;
        }
        let expected = match split_bit {
            Some(b) if u32::from(b) >= C::HASH_BITS && C::HASH_BITS > 0 => return,
            Some(b) if self.low_hash(slot) >> b & 1 == 1 => Tophash::EVACUATED_Y,
            _ => Tophash::EVACUATED_X,
        };
        if tophash != expected {
            self.fault(Some(place), "evacuation mark", u64::from(expected.0), mark);
        }
    }

    /// The bits that a mark goes by: the cell's own, or those of the key in it.
    fn low_hash<P: Pages>(&self, slot: Slot<'_, P>) -> u64 {
        match C::HASH_BITS {
            0 => self.cells.hash_at(slot).map_or(0, |hash| hash.0),
            _ => C::low_hash(slot),
        }
    }

    fn duplicates(&mut self, mut entries: Vec<(Hash, C::Entry, Place)>) {
        entries.sort_by_key(|(hash, ..)| hash.0);
        for same_hash in entries.chunk_by(|a, b| a.0 == b.0) {
            for (i, (_, entry, _)) in same_hash.iter().enumerate() {
                let key = self.cells.key(entry);
                let again = same_hash[i + 1..].iter().find(|(_, other, _)| self.cells.key(other) == key);
                if let Some(&(_, _, place)) = again {
                    self.fault(Some(place), "key of an entry", "in one cell", "in two cells");
                }
            }
        }
    }

    fn expect(&mut self, what: &'static str, expected: u64, found: u64) {
        if expected != found {
            self.fault(None, what, expected, found);
        }
    }

    /// Damage becomes a fault; anything else ends the check.
    fn damage(&mut self, place: Place, error: Error) -> Result<()> {
        let Error::Corrupt { what, offset, expected, found } = error else { return Err(error) };
        self.faults.push(Fault { place: Some(place), offset: Some(offset), what, expected, found });
        Ok(())
    }

    fn fault(
        &mut self,
        place: Option<Place>,
        what: &'static str,
        expected: impl Into<Detail>,
        found: impl Into<Detail>,
    ) {
        let (expected, found) = (expected.into(), found.into());
        self.faults.push(Fault { place, offset: None, what, expected, found });
    }
}

/// A chain of entries on the way through it.
struct LiveChain<T> {
    array_b: u8,
    main: u64,
    rest: Option<Place>,
    /// The last cell in use, if it is an `EMPTY_ONE`.
    empty_one: Option<Place>,
    entries: Vec<(Hash, T, Place)>,
}

/// Which overflow buckets of an array are linked; one bit each.
struct Overflow {
    first: u64,
    linked: Vec<u64>,
    count: u64,
}

impl Overflow {
    fn new<P>(array: &Array<P>) -> Self {
        let buckets = array.capacity() - array.buckets();
        Overflow { first: array.buckets(), linked: vec![0; buckets.div_ceil(64) as usize], count: 0 }
    }

    /// Notes a link; false if the bucket had one. The index was checked by the walk.
    fn link(&mut self, index: u64) -> bool {
        let number = index - self.first;
        let Some(word) = self.linked.get_mut((number / 64) as usize) else { return true };
        let new = *word >> (number % 64) & 1 == 0;
        *word |= 1 << (number % 64);
        self.count += u64::from(new);
        new
    }

    /// All overflow buckets taken so far are linked, and no others: they are never unlinked.
    fn check<P>(&self, array: &Array<P>, next: u64, which: WhichArray, faults: &mut Vec<Fault>) {
        let highest = self.linked.iter().rposition(|&word| word != 0);
        let end =
            highest.map_or(0, |word| word as u64 * 64 + 64 - u64::from(self.linked[word].leading_zeros()));
        let mut expect = |what, expected: u64, found: u64| {
            let place = Some(Place { array: which, bucket: found, cell: None });
            if expected != found {
                faults.push(Fault {
                    place,
                    offset: None,
                    what,
                    expected: expected.into(),
                    found: found.into(),
                });
            }
        };
        expect("overflow bucket behind the highest linked one", array.buckets() + end, next);
        expect("number of linked overflow buckets", next.saturating_sub(array.buckets()), self.count);
    }
}
