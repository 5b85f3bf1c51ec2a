//! How long single operations take.

use std::time::Instant;

use anyhow::Result;
use hdrhistogram::Histogram;

use super::report;
use crate::rows::Row;

/// Takes the time from one call to the next: one reading of the clock for each operation.
pub struct Latency {
    nanoseconds: Histogram<u64>,
    last: Instant,
}

impl Latency {
    pub fn new() -> Result<Self> {
        Ok(Latency { nanoseconds: Histogram::new(3)?, last: Instant::now() })
    }

    pub fn tick(&mut self) -> Result<()> {
        let now = Instant::now();
        let nanoseconds = now.duration_since(self.last).as_nanos() as u64;
        self.nanoseconds.record(nanoseconds.max(1))?;
        self.last = now;
        Ok(())
    }

    /// The rate of a fill, and how long its single puts took.
    pub fn report(&self, fill: f64) -> Result<()> {
        report(Row::Fill, fill)?;
        report(Row::FillP50, self.microseconds_at(0.5))?;
        report(Row::FillP99, self.microseconds_at(0.99))?;
        report(Row::FillP9999, self.microseconds_at(0.9999))?;
        report(Row::FillMax, self.longest_microseconds())
    }

    fn microseconds_at(&self, quantile: f64) -> f64 {
        self.nanoseconds.value_at_quantile(quantile) as f64 / 1e3
    }

    fn longest_microseconds(&self) -> f64 {
        self.nanoseconds.max() as f64 / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_is_no_shorter_than_a_pause() {
        let mut latency = Latency::new().unwrap();
        for _ in 0..1000 {
            latency.tick().unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
        latency.tick().unwrap();
        assert!(latency.longest_microseconds() >= 1_990.0);
        assert!(latency.microseconds_at(0.5) <= latency.longest_microseconds());
    }
}
