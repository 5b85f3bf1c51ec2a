//! The table of figures, and that of ratios.

use std::fmt::Write;

use crate::engines::Kind;
use crate::measure::Results;
use crate::rows::{Row, Unit};

/// A column for each engine, a row for each measurement.
pub fn figures(results: &Results) -> String {
    let engines = results.engines();
    let mut lines = vec![Vec::from([String::new()])];
    lines[0].extend(engines.iter().map(|kind| kind.name().to_owned()));
    for row in results.rows() {
        let mut line = vec![row.title().to_owned()];
        line.extend(engines.iter().map(|kind| {
            results.median(row, *kind).map_or_else(|| "-".to_owned(), |value| figure(row.unit(), value))
        }));
        lines.push(line);
    }
    aligned(&lines)
}

/// How many times as good as the best of the others `ours` is; nothing if it was not measured.
pub fn ratios(results: &Results, ours: Kind) -> String {
    let mut lines = vec![
        [
            &format!("{} against", ours.name()),
            "best on disk",
            "best told the size",
            "best not told",
            "in memory",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    let groups: [fn(Kind) -> bool; 4] = [
        Kind::is_disk_peer,
        Kind::is_told,
        |kind| kind.is_disk_peer() && !kind.is_told(),
        Kind::is_in_memory,
    ];
    for row in results.rows() {
        let Some(figure) = results.median(row, ours) else { continue };
        let mut line = vec![row.title().to_owned()];
        line.extend(groups.iter().map(|counts| match results.best(row, counts) {
            Some((kind, theirs)) => format!("{:.2} {}", times_as_good(row, figure, theirs), kind.name()),
            None => "-".to_owned(),
        }));
        lines.push(line);
    }
    match lines.len() {
        1 => String::new(),
        _ => format!("\n{}", aligned(&lines)),
    }
}

/// Above one is better, whatever the unit.
pub fn times_as_good(row: Row, ours: f64, theirs: f64) -> f64 {
    match row.unit() {
        Unit::OpsPerSecond | Unit::Percent => ours / theirs,
        Unit::Microseconds | Unit::Milliseconds | Unit::Bytes => theirs / ours,
    }
}

/// In the unit that the row's title names: thousands a second, or that of the time, or megabytes.
pub fn figure(unit: Unit, value: f64) -> String {
    let value = match unit {
        Unit::OpsPerSecond => value / 1e3,
        Unit::Bytes => value / 1e6,
        Unit::Microseconds | Unit::Milliseconds | Unit::Percent => value,
    };
    match value {
        _ if value < 1.0 => format!("{value:.2}"),
        _ if value < 10.0 => format!("{value:.1}"),
        _ => grouped(value.round() as u64),
    }
}

/// 1234567 as 1,234,567.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// The first column to the left, the others to the right.
pub fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            lines
                .iter()
                .filter_map(|line| line.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            // Writing into a string can't fail.
            let _ = match column {
                0 => write!(row, "{cell:<width$}"),
                _ => write!(row, "  {cell:>width$}"),
            };
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Measurement;

    fn results() -> Results {
        let mut results = Results::default();
        for (kind, row, value) in [
            (Kind::Tophash, Row::Get, 2_000_000.0),
            (Kind::Lmdb, Row::Get, 850_400.0),
            (Kind::Kyoto, Row::Get, 1_000_000.0),
            (Kind::Tophash, Row::FileFilled, 150e6),
            (Kind::Lmdb, Row::FileFilled, 189e6),
        ] {
            results.add(kind, Measurement { row, value });
        }
        results
    }

    #[test]
    fn figures_are_aligned_and_gaps_are_dashes() {
        let expected = "\
                         tophash  LMDB  Kyoto
get, hit                   2,000   850  1,000
file after fill, MB          150   189      -
";
        let expected: Vec<_> =
            expected.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
        let table = figures(&results());
        let found: Vec<_> = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
        assert_eq!(found, expected);
        let ends: Vec<_> = table.lines().map(str::len).collect();
        assert!(ends.iter().all(|end| *end == ends[0]), "{table}");
    }

    #[test]
    fn ratios_are_against_the_best_of_each_kind() {
        let ratios = ratios(&results(), Kind::Tophash);
        let get = ratios.lines().find(|line| line.starts_with("get, hit")).unwrap();
        assert_eq!(
            get.split_whitespace().collect::<Vec<_>>(),
            ["get,", "hit", "2.00", "Kyoto", "2.00", "Kyoto", "2.35", "LMDB", "-"]
        );
        let file = ratios.lines().find(|line| line.starts_with("file")).unwrap();
        assert!(file.contains("1.26 LMDB"), "a smaller file is better: {file}");
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 12, 123, 1234, 1_234_567].map(grouped), ["0", "12", "123", "1,234", "1,234,567"]);
        assert_eq!(figure(Unit::OpsPerSecond, 2_400.0), "2.4");
        assert_eq!(figure(Unit::Bytes, 189e6), "189");
    }
}
