//! The project's targets for speed, each a ratio within one run.

use crate::data::Widths;
use crate::engines::Kind;
use crate::measure::Results;
use crate::rows::Row;
use crate::table::{aligned, times_as_good};

/// What is wanted of a figure.
enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

struct Target {
    number: u8,
    what: &'static str,
    wanted: Wanted,
    /// `None` where this run has no figure for it.
    measured: Option<f64>,
}

impl Target {
    fn line(&self) -> Vec<String> {
        let (wanted, met) = match self.wanted {
            Wanted::AtLeast(least) => (format!(">= {least}"), self.measured.map(|ratio| ratio >= least)),
            Wanted::AtMost(most) => (format!("<= {most}"), self.measured.map(|ratio| ratio <= most)),
        };
        let met = match met {
            Some(true) => "met",
            Some(false) => "NOT met",
            None => "not measured",
        };
        let measured = self.measured.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        [format!("{}. {}", self.number, self.what), wanted, measured, met.to_owned()].to_vec()
    }
}

/// What this tool doesn't measure stands below.
pub fn report(results: &Results, entries: u64) -> String {
    if !results.engines().contains(&Kind::Tophash) {
        return String::new();
    }
    format!(
        "{}\nlarger-than-memory has the figures of the rest of 9, cargo bench those of 10.\n",
        lines(&targets(results, entries))
    )
}

/// The targets of the typed map, for a million entries.
pub fn of_ids(results: &Results) -> String {
    if !results.engines().contains(&Kind::TophashMap) {
        return String::new();
    }
    let ours = |row| results.median(row, Kind::TophashMap);
    let against = |row| Some(times_as_good(row, ours(row)?, results.best(row, Kind::is_disk_peer)?.1));
    let megabytes = |row| ours(row).map(|bytes| bytes / 1e6);
    let target = |number, what, wanted, measured| Target { number, what, wanted, measured };
    use Wanted::{AtLeast, AtMost};
    lines(&[
        target(1, "get hit: best disk peer", AtLeast(3.0), against(Row::Get)),
        target(2, "fill: best disk peer", AtLeast(1.5), against(Row::Fill)),
        target(3, "file after fill, MB (for 1 M entries)", AtMost(40.0), megabytes(Row::FileFilled)),
        target(3, "the same, closed", AtMost(40.0), megabytes(Row::FileFilledClosed)),
        target(3, "file after ten overwrites, MB (for 1 M)", AtMost(40.0), megabytes(Row::FileOverwritten)),
        target(3, "that, closed", AtMost(40.0), megabytes(Row::FileOverwrittenClosed)),
    ])
}

fn lines(targets: &[Target]) -> String {
    let mut lines = vec![["targets", "wanted", "measured", ""].map(str::to_owned).to_vec()];
    lines.extend(targets.iter().map(Target::line));
    format!("\n{}", aligned(&lines))
}

fn targets(results: &Results, entries: u64) -> Vec<Target> {
    use Wanted::{AtLeast, AtMost};
    let ours = |row| results.median(row, Kind::Tophash);
    let against =
        |row, counts: fn(Kind) -> bool| Some(times_as_good(row, ours(row)?, results.best(row, counts)?.1));
    let within = |row, base| Some(ours(row)? / ours(base)?);
    let disk = Kind::is_disk_peer;
    // sled's flush is no sync: see README.
    let durable: fn(Kind) -> bool = |kind| kind.is_disk_peer() && kind != Kind::Sled;
    let told = Kind::is_told;
    let untold: fn(Kind) -> bool = |kind| kind.is_disk_peer() && !kind.is_told();
    let raw_bytes = (entries * Widths::ENTRIES.entry() as u64) as f64;
    let target = |number, what, wanted, measured| Target { number, what, wanted, measured };
    vec![
        target(1, "get hit: best disk peer", AtLeast(2.0), against(Row::Get, disk)),
        target(1, "get hit: hashbrown in memory", AtLeast(0.9), against(Row::Get, Kind::is_in_memory)),
        target(1, "get miss: best disk peer", AtLeast(3.0), against(Row::Miss, disk)),
        target(2, "fill: best peer told the size", AtLeast(1.3), against(Row::Fill, told)),
        target(2, "fill: best peer not told", AtLeast(4.0), against(Row::Fill, untold)),
        target(2, "overwrite: best disk peer", AtLeast(1.3), against(Row::Overwrite, disk)),
        target(2, "remove: best disk peer", AtLeast(1.3), against(Row::Remove, disk)),
        target(2, "fill p99.99, us (for 10 M entries)", AtMost(60.0), ours(Row::FillP9999)),
        target(2, "fill longest, us (for 10 M entries)", AtMost(2_000.0), ours(Row::FillMax)),
        target(3, "get_many: get (for 10 M entries)", AtLeast(1.7), within(Row::GetMany, Row::Get)),
        target(4, "iterate: best disk peer", AtLeast(1.2), against(Row::Iterate, disk)),
        target(5, "YCSB A: best disk peer", AtLeast(1.3), against(Row::YcsbA, disk)),
        target(5, "YCSB B: best disk peer", AtLeast(1.5), against(Row::YcsbB, disk)),
        target(5, "YCSB C: best disk peer", AtLeast(1.5), against(Row::YcsbC, disk)),
        target(6, "two readers: one", AtLeast(1.9), within(Row::TwoReaders, Row::LoneReader)),
        target(6, "reader beside a writer: alone", AtLeast(0.8), within(Row::ReaderBeside, Row::LoneReader)),
        target(6, "writer beside a reader: alone", AtLeast(0.8), within(Row::WriterBeside, Row::LoneWriter)),
        target(7, "durable, one thread: best peer but sled", AtLeast(1.0), against(Row::DurableOne, durable)),
        target(7, "durable, two threads: one", AtLeast(1.8), within(Row::DurableTwo, Row::DurableOne)),
        target(8, "open, closed before, ms (for 10 M entries)", AtMost(1.0), ours(Row::OpenClean)),
        target(8, "open after SIGKILL, ms (for 1 M entries)", AtMost(100.0), ours(Row::OpenKilled)),
        target(
            9,
            "file after fill: raw bytes",
            AtMost(1.3),
            ours(Row::FileFilled).map(|bytes| bytes / raw_bytes),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Measurement;

    #[test]
    fn those_of_ids_are_the_typed_maps() {
        let mut results = Results::default();
        for (kind, row, value) in [
            (Kind::Tophash, Row::Get, 9000.0),
            (Kind::TophashMap, Row::Get, 3100.0),
            (Kind::Tdb, Row::Get, 1000.0),
            (Kind::Hashbrown, Row::Get, 4000.0),
            (Kind::TophashMap, Row::FileOverwritten, 41e6),
        ] {
            results.add(kind, Measurement { row, value });
        }
        let report = of_ids(&results);
        let words = report.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("best disk peer >= 3 3.10 met"), "{report}");
        assert!(words.contains("(for 1 M) <= 40 41.00 NOT met"), "{report}");
        assert!(words.contains("fill: best disk peer >= 1.5 - not measured"), "{report}");
    }

    #[test]
    fn targets_are_met_missed_or_not_measured() {
        let mut results = Results::default();
        for (kind, row, value) in [
            (Kind::Tophash, Row::Get, 2000.0),
            (Kind::Lmdb, Row::Get, 900.0),
            (Kind::Hashbrown, Row::Get, 4000.0),
            (Kind::Tophash, Row::FileFilled, 1.31 * 1160.0),
        ] {
            results.add(kind, Measurement { row, value });
        }
        let report = report(&results, 10);
        let line = |start: &str| report.lines().find(|line| line.starts_with(start)).unwrap();
        let ends = |start: &str, end: &str| {
            let words: Vec<_> = line(start).split_whitespace().collect();
            assert!(words.join(" ").ends_with(end), "{report}");
        };
        ends("1. get hit: best disk", ">= 2 2.22 met");
        ends("1. get hit: hashbrown", ">= 0.9 0.50 NOT met");
        ends("1. get miss", "- not measured");
        ends("9. file", "<= 1.3 1.31 NOT met");
    }
}
