//! `tophash growth`: how far a growth is, or a shrink.

use std::path::PathBuf;

use serde_json::{Value, json};
use tophash::report::{Growth as Report, GrowthKind};

use crate::failure::Failure;
use crate::output::{self, Align, Sheet};
use crate::store::open_to_read;

/// Show the bucket arrays and how far a growth of the table is
#[derive(clap::Args)]
pub struct Growth {
    /// The store
    file: PathBuf,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Growth {
    pub fn run(self) -> Result<(), Failure> {
        let report = open_to_read(&self.file)?.growth()?;
        if self.json {
            return output::show_json(&as_json(&report));
        }
        output::show(&as_text(&report, &self.file.display().to_string()))
    }
}

/// `1,024 of 4,096 old buckets evacuated (25.0 %)`.
pub fn progress(nevacuate: u64, old_buckets: u64, shrinking: bool) -> String {
    let evacuated = evacuated(nevacuate, shrinking);
    format!(
        "{} of {} evacuated ({})",
        output::count(evacuated),
        output::count_of(old_buckets, "old bucket"),
        output::percent(evacuated, old_buckets)
    )
}

fn as_json(growth: &Report) -> Value {
    let kind = match growth.kind {
        None => Value::Null,
        Some(GrowthKind::Double) => "double".into(),
        Some(GrowthKind::SameSize) => "same_size".into(),
        Some(GrowthKind::Shrink) => "shrink".into(),
    };
    json!({
        "b": growth.b,
        "buckets": growth.buckets,
        "buckets_offset": growth.buckets_offset,
        "growing": growth.kind.is_some(),
        "same_size_grow": growth.kind == Some(GrowthKind::SameSize),
        "shrinking": growth.kind == Some(GrowthKind::Shrink),
        "kind": kind,
        "old_buckets": growth.old_buckets,
        "oldbuckets_offset": growth.oldbuckets_offset,
        "nevacuate": growth.nevacuate,
    })
}

fn as_text(growth: &Report, file: &str) -> String {
    const BAR_CHARS: usize = 40;
    let mut sheet = Sheet::new(Align::Right);
    sheet.heading(file);
    sheet.line("B", growth.b.to_string(), "");
    sheet.line("buckets", output::count(growth.buckets), place(growth.buckets_offset));
    let Some(kind) = growth.kind else {
        sheet.line("growth", "none", "");
        return sheet.to_string();
    };
    let (name, does) = match kind {
        GrowthKind::Double => ("doubling", "each old bucket is split in two"),
        GrowthKind::SameSize => ("same size", "the chains are packed densely"),
        GrowthKind::Shrink => ("shrinking", "two old buckets become one"),
    };
    sheet.line("old buckets", output::count(growth.old_buckets), place(growth.oldbuckets_offset));
    sheet.line("nevacuate", output::count(growth.nevacuate), "old buckets below this one are evacuated");
    sheet.line("growth", name, does);
    let shrinking = kind == GrowthKind::Shrink;
    let bar = output::bar(evacuated(growth.nevacuate, shrinking), growth.old_buckets, BAR_CHARS);
    format!("{sheet}\n  {bar}\n  {}\n", progress(growth.nevacuate, growth.old_buckets, shrinking))
}

/// Old buckets that are evacuated at least. While the table shrinks, each takes the one with it that lies half the old
/// array further on.
fn evacuated(nevacuate: u64, shrinking: bool) -> u64 {
    if shrinking { 2 * nevacuate } else { nevacuate }
}

/// Where an array lies; one that began after the last checkpoint has no place in the file yet.
fn place(offset: u64) -> String {
    match offset {
        0 => "in memory until the next checkpoint".to_owned(),
        offset => format!("at offset {}", output::count(offset)),
    }
}
