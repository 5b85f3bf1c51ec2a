//! YCSB's scrambled zipfian numbers: a few keys are asked for most of the time, and they lie anywhere.
//!
//! Gray et al., "Quickly Generating Billion-Record Synthetic Databases" (SIGMOD 1994), as in YCSB's
//! `ZipfianGenerator`; the rank is then spread by a hash, as in its `ScrambledZipfianGenerator`.

use crate::data::{Random, mix};

/// YCSB's constant.
pub const THETA: f64 = 0.99;

pub struct Zipfian {
    items: u64,
    alpha: f64,
    zeta: f64,
    eta: f64,
}

impl Zipfian {
    pub fn new(items: u64) -> Self {
        let zeta = zeta(items);
        let eta = (1.0 - (2.0 / items as f64).powf(1.0 - THETA)) / (1.0 - zeta_of_two() / zeta);
        Zipfian { items, alpha: 1.0 / (1.0 - THETA), zeta, eta }
    }

    /// 0 is the most frequent.
    pub fn rank(&self, random: &mut Random) -> u64 {
        let unit = random.unit();
        let scaled = unit * self.zeta;
        if scaled < 1.0 {
            0
        } else if scaled < zeta_of_two() {
            1
        } else {
            let rank = self.items as f64 * (self.eta * unit - self.eta + 1.0).powf(self.alpha);
            (rank as u64).min(self.items - 1)
        }
    }

    /// A number below `items`; the frequent ones lie anywhere.
    pub fn scrambled(&self, random: &mut Random) -> u64 {
        mix(self.rank(random) ^ 0x5bd1_e995_5bd1_e995) % self.items
    }
}

fn zeta(items: u64) -> f64 {
    (1..=items).map(|rank| (rank as f64).powf(-THETA)).sum()
}

fn zeta_of_two() -> f64 {
    1.0 + 0.5_f64.powf(THETA)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEMS: u64 = 1000;
    const DRAWS: u64 = 200_000;

    fn counts(draw: impl Fn(&Zipfian, &mut Random) -> u64) -> Vec<u64> {
        let (zipfian, mut random) = (Zipfian::new(ITEMS), Random::new(1));
        let mut counts = vec![0; ITEMS as usize];
        for _ in 0..DRAWS {
            counts[draw(&zipfian, &mut random) as usize] += 1;
        }
        counts
    }

    #[test]
    fn ranks_fall_off_as_the_law_says() {
        let counts = counts(Zipfian::rank);
        // The first two ranks are exact in Gray's method; the rest follows a continuous curve.
        for (rank, tolerance) in [(1, 0.03), (2, 0.03), (10, 0.25), (100, 0.25)] {
            let expected = DRAWS as f64 * (rank as f64).powf(-THETA) / zeta(ITEMS);
            let found = counts[rank - 1] as f64;
            assert!((found / expected - 1.0).abs() < tolerance, "rank {rank}: {found} instead of {expected}");
        }
    }

    #[test]
    fn scrambling_moves_the_frequent_ones_and_keeps_their_share() {
        let (plain, scrambled) = (counts(Zipfian::rank), counts(Zipfian::scrambled));
        let most = |counts: &[u64]| counts.iter().copied().max().unwrap();
        assert!(most(&scrambled) >= most(&plain));
        assert!(scrambled[0] < most(&scrambled) / 10);
    }
}
