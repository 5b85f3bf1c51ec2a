//! Figures, and their medians over the rounds.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::engines::Kind;
use crate::rows::{Row, Unit};

/// A line that a child prints.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    pub row: Row,
    pub value: f64,
}

/// Every figure of every round, and what failed.
#[derive(Debug, Default)]
pub struct Results {
    figures: BTreeMap<(Row, Kind), Vec<f64>>,
    failures: Vec<String>,
}

impl Results {
    /// What a stage measured. The other engines' figures are worth having although one failed.
    pub fn record(&mut self, kind: Kind, round: u32, measured: Result<Vec<Measurement>>) {
        match measured {
            Ok(measured) => measured.into_iter().for_each(|measurement| self.add(kind, measurement)),
            Err(error) => self.failures.push(format!("round {round}: {error:#}")),
        }
    }

    /// # Errors
    /// Names every stage that failed.
    pub fn all_succeeded(&self) -> Result<()> {
        let failures = &self.failures;
        ensure!(failures.is_empty(), "{} of the stages failed:\n{}", failures.len(), failures.join("\n"));
        Ok(())
    }

    pub fn add(&mut self, kind: Kind, measurement: Measurement) {
        self.figures.entry((measurement.row, kind)).or_default().push(measurement.value);
    }

    pub fn median(&self, row: Row, kind: Kind) -> Option<f64> {
        self.figures.get(&(row, kind)).map(|values| median(values))
    }

    /// The engine that does best among those that `counts`, with its median.
    pub fn best(&self, row: Row, counts: impl Fn(Kind) -> bool) -> Option<(Kind, f64)> {
        let medians = Kind::ALL
            .into_iter()
            .filter(|kind| counts(*kind))
            .filter_map(|kind| Some((kind, self.median(row, kind)?)));
        match row.unit() {
            Unit::OpsPerSecond | Unit::Percent => medians.max_by(|a, b| a.1.total_cmp(&b.1)),
            Unit::Microseconds | Unit::Milliseconds | Unit::Bytes => {
                medians.min_by(|a, b| a.1.total_cmp(&b.1))
            }
        }
    }

    /// Those that were measured, in the order of the table.
    pub fn engines(&self) -> Vec<Kind> {
        Kind::ALL
            .into_iter()
            .filter(|kind| self.figures.keys().any(|(_, measured)| measured == kind))
            .collect()
    }

    pub fn rows(&self) -> impl Iterator<Item = Row> {
        Row::ALL.iter().copied().filter(|row| self.figures.keys().any(|(measured, _)| measured == row))
    }

    pub fn to_json(&self, about: &serde_json::Value) -> serde_json::Value {
        let figures: Vec<_> = self
            .figures
            .iter()
            .map(|((row, kind), values)| {
                serde_json::json!({ "row": row, "engine": kind, "median": median(values), "rounds": values })
            })
            .collect();
        serde_json::json!({ "about": about, "figures": figures })
    }
}

/// The lower of the two in the middle, if there are two.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_the_fastest_or_the_smallest() {
        let mut results = Results::default();
        for (kind, rate, bytes) in [(Kind::Lmdb, 3.0, 9.0), (Kind::Redb, 2.0, 8.0), (Kind::Tophash, 5.0, 1.0)]
        {
            results.add(kind, Measurement { row: Row::Get, value: rate });
            results.add(kind, Measurement { row: Row::FileFilled, value: bytes });
        }
        assert_eq!(results.best(Row::Get, Kind::is_disk_peer), Some((Kind::Lmdb, 3.0)));
        assert_eq!(results.best(Row::FileFilled, Kind::is_disk_peer), Some((Kind::Redb, 8.0)));
        assert_eq!(results.best(Row::Miss, Kind::is_disk_peer), None);
    }

    #[test]
    fn a_median_is_the_middle_one() {
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0]), 4.0);
    }
}
