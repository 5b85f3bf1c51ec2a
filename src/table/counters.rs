//! The numbers that the writer keeps beside the arrays, and the rules for when a table grows.

use crate::error::{Error, Result};
use crate::format::bucket::{CELLS, Hash};

use super::array::{BucketIndex, MAX_B};
use super::geometry::Growth;

/// The fields of Go's `hmap` that only the writer needs; a checkpoint keeps them in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    /// Entries in the table.
    pub count: u64,
    /// Overflow buckets of the current array: exact below B = 16, from there on a sample of about 2^15 when
    /// there are as many of them as buckets.
    pub noverflow: u32,
    /// While growing: old buckets below this one are evacuated; while shrinking, they and their pairs. 0 otherwise.
    pub nevacuate: u64,
    /// The next overflow bucket to take in the current array.
    pub next_overflow: u64,
    /// While growing: `next_overflow` of the old array when the growth began. 0 otherwise.
    pub old_next_overflow: u64,
    /// How often the table was cleared; an iteration from before ends (C5).
    pub clears: u64,
}

impl Counters {
    /// Takes the next overflow bucket of an array of 2^b buckets for the operation on `hash` (Go's
    /// `newoverflow` and `incrnoverflow`). That it exists was secured when the operation was prepared.
    pub(super) fn take_overflow(&mut self, b: u8, hash: Hash) -> BucketIndex {
        let taken = BucketIndex(self.next_overflow);
        self.next_overflow += 1;
        // Counted with probability 1 / 2^(b - 15). The coin is made of the key's hash and a counter, so that
        // a replay counts the same ones (D15).
        let sampled = b < 16 || mix(hash.0 ^ taken.0) & ((1 << (b - 15)) - 1) == 0;
        self.noverflow = self.noverflow.saturating_add(u32::from(sampled));
        taken
    }
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): the low bits of a hash in one bucket are all the
/// same, so they must not decide alone.
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// How many entries a bucket may hold on average before the table doubles: 4.00 to 8.00, Go's 6.50 unless
/// told otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoadFactor {
    hundredths: u16,
}

impl LoadFactor {
    const MIN: u16 = 400;
    const MAX: u16 = 800;

    /// The load factor nearest to this one in hundredths; `None` outside 4.00 to 8.00.
    pub fn new(load: f64) -> Option<Self> {
        let hundredths = (load * 100.0).round();
        let within = hundredths >= f64::from(Self::MIN) && hundredths <= f64::from(Self::MAX);
        within.then_some(LoadFactor { hundredths: hundredths as u16 })
    }

    /// A load factor in hundredths, as the header has it; `None` outside 400 to 800.
    pub fn from_hundredths(hundredths: u16) -> Option<Self> {
        (Self::MIN..=Self::MAX).contains(&hundredths).then_some(LoadFactor { hundredths })
    }

    /// The load factor in hundredths.
    pub fn hundredths(self) -> u16 {
        self.hundredths
    }

    /// The B of a new table that is to take this many entries before it grows (Go's `makemap`).
    pub fn b_for(self, capacity_hint: u64) -> Result<u8> {
        let limit = u64::from(self.hundredths) * ((1 << MAX_B) / 100);
        let b = (0..=MAX_B).find(|&b| !self.over(capacity_hint, b));
        b.ok_or(Error::TooLarge { what: "the capacity", len: capacity_hint, limit })
    }

    /// Whether `count` entries are too many for 2^b buckets. The first bucket is always filled (C9).
    pub fn over(self, count: u64, b: u8) -> bool {
        let most = u128::from(self.hundredths) << b;
        count > CELLS as u64 && u128::from(count) * 100 > most
    }

    /// Whether `count` entries are so many sixteenths of what 2^b buckets take before they double. Asked at every write.
    #[inline]
    pub(super) fn is_filled(self, sixteenths: u64, count: u64, b: u8) -> bool {
        count.saturating_mul(1600) >= sixteenths * (u64::from(self.hundredths) << b)
    }

    /// Whether `count` entries fill less than an eighth of what 2^b buckets take before they double: time to shrink.
    pub(super) fn under(self, count: u64, b: u8) -> bool {
        !self.is_filled(2, count, b)
    }

    /// The growth that inserting one more key into a table that is not growing asks for.
    pub(super) fn growth_due(self, counters: &Counters, b: u8) -> Option<Growth> {
        if self.over(counters.count.saturating_add(1), b) {
            return (b < MAX_B).then_some(Growth::Double);
        }
        too_many_overflow_buckets(counters.noverflow, b).then_some(Growth::SameSize)
    }
}

impl Default for LoadFactor {
    fn default() -> Self {
        LoadFactor { hundredths: 650 }
    }
}

/// About as many overflow buckets as buckets. Most of them must be nearly empty, or the table would have
/// doubled before. Beyond 2^15 `noverflow` is a sample.
fn too_many_overflow_buckets(noverflow: u32, b: u8) -> bool {
    noverflow >= 1 << b.min(15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Up to a million overflow buckets are counted; under miri as few as are sampled at all.
    const MOST_B: u8 = if cfg!(miri) { 16 } else { 20 };

    #[test]
    fn load_factor_is_exact() {
        let go = LoadFactor::default();
        assert_eq!(go.hundredths(), 650);
        assert!(!go.over(8, 0) && go.over(9, 0), "eight entries never grow");
        assert!(!go.over(13, 1) && go.over(14, 1));
        assert!(!go.over(26, 2) && go.over(27, 2));
        let odd = LoadFactor::new(4.01).unwrap();
        assert!(!odd.over(16424, 12) && odd.over(16425, 12));
        assert_eq!(LoadFactor::new(3.99), None);
        assert_eq!(LoadFactor::new(8.01), None);
        assert_eq!(LoadFactor::new(f64::NAN), None);
        assert_eq!(LoadFactor::from_hundredths(801), None);
        assert!(LoadFactor::new(8.0).unwrap().over(u64::MAX, MAX_B));
        assert!(go.under(1, 1) && !go.under(2, 1), "1.625 entries are an eighth of 13");
        assert!(go.under(831, 10) && !go.under(832, 10));
    }

    #[test]
    fn as_many_overflow_buckets_as_buckets_are_too_many() {
        assert!(!too_many_overflow_buckets(3, 2) && too_many_overflow_buckets(4, 2));
        // From B = 16 on noverflow is a sample.
        assert!(!too_many_overflow_buckets((1 << 15) - 1, 20) && too_many_overflow_buckets(1 << 15, 20));
    }

    #[test]
    fn overflow_buckets_are_counted_exactly_then_sampled() {
        let counted = |b: u8| {
            let mut counters = Counters::default();
            for i in 0..1u64 << b {
                // The keys of one bucket: only the high bits of their hashes differ.
                assert_eq!(counters.take_overflow(b, Hash(i << 40)), BucketIndex(i));
            }
            counters.noverflow
        };
        assert_eq!(counted(10), 1 << 10);
        assert_eq!(counted(15), 1 << 15);
        for b in (16..=MOST_B).step_by(2) {
            let sampled = counted(b);
            assert!((30_000..35_500).contains(&sampled), "{sampled} of 2^{b}");
        }
    }
}
