//! `tophash buckets`: what is in the buckets, cell by cell.

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Map, Value, json};
use tophash::Store;
use tophash::report::{Bucket, CellView, ChainLink, WhichArray};

use crate::entry::{escape_short, jsonl};
use crate::failure::Failure;
use crate::output::{self, Align, Columns, dim, moved};
use crate::store::open_to_read;

/// Show buckets with their overflow chains: tophash, state, key, size of the value, place of the record
#[derive(clap::Args)]
#[command(after_help = "A line beginning with + is an overflow bucket of the bucket above it. \
                        With --json, an array of buckets, one a line.")]
pub struct Buckets {
    /// The store
    file: PathBuf,
    /// Show this bucket, or begin with it if there is a --limit
    #[arg(long, value_name = "N")]
    bucket: Option<u64>,
    /// Show at most this many buckets [default: 1 with --bucket, else 8, or all with --json]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Show the array that a growth is emptying
    #[arg(long)]
    old: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// So many buckets are laid out together: columns line up, and memory stays bounded.
const BUCKETS_PER_TABLE: u64 = 64;

impl Buckets {
    pub fn run(self) -> Result<(), Failure> {
        let array = if self.old { WhichArray::Old } else { WhichArray::Current };
        let store = open_to_read(&self.file)?;
        let growth = store.growth()?;
        let buckets = if self.old { growth.old_buckets } else { growth.buckets };
        let first = self.bucket.unwrap_or(0);
        if self.bucket.is_some() && first >= buckets {
            return Err(Failure::NotFound(absent(first, buckets, self.old)));
        }
        let limit = self.limit.unwrap_or(match (self.bucket, self.json) {
            (Some(_), _) => 1,
            (None, true) => u64::MAX,
            (None, false) => 8,
        });
        let end = first.saturating_add(limit).min(buckets);
        if self.json {
            show_json(&store, array, first..end)
        } else {
            show(&store, array, first..end, buckets)
        }
    }
}

fn absent(bucket: u64, buckets: u64, old: bool) -> String {
    match (buckets, old) {
        (0, true) => "no growth is under way: there is no old array".to_owned(),
        _ => format!("no bucket {bucket}: the array has {}", output::count_of(buckets, "bucket")),
    }
}

fn show(store: &Store, array: WhichArray, range: std::ops::Range<u64>, buckets: u64) -> Result<(), Failure> {
    if buckets == 0 {
        return output::show("no growth is under way: there is no old array\n");
    }
    let mut at = range.start;
    while at < range.end {
        let end = range.end.min(at + BUCKETS_PER_TABLE);
        let mut columns = header();
        for index in at..end {
            if let Some(bucket) = store.bucket(array, index)? {
                add_bucket(&mut columns, &bucket);
            }
        }
        output::show(&columns.to_string())?;
        at = end;
    }
    let shown = range.end - range.start;
    if shown < buckets {
        let all = output::count_of(buckets, "bucket");
        output::show(&dim(&format!(
            "{} of {all}; --bucket and --limit show others\n",
            output::count(shown)
        )))?;
    }
    Ok(())
}

fn header() -> Columns {
    use Align::{Left, Right};
    Columns::new([
        ("bucket", Right),
        ("cell", Right),
        ("tophash", Right),
        ("state", Left),
        ("key", Left),
        ("value bytes", Right),
        ("record at", Right),
    ])
}

fn add_bucket(columns: &mut Columns, bucket: &Bucket) {
    for (depth, link) in bucket.chain.iter().enumerate() {
        let mut name = match depth {
            0 => output::count(link.index),
            _ => format!("+{}", output::count(link.index)),
        };
        for (first, last) in runs(link) {
            columns.row(row(std::mem::take(&mut name), first, last, &link.cells[first]));
        }
    }
}

/// Cells that look alike (empty ones, mostly) as ranges; a cell with a key stands alone.
fn runs(link: &ChainLink) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (i, cell) in link.cells.iter().enumerate() {
        match runs.last_mut() {
            Some((first, last)) if cell.record_offset.is_none() && link.cells[*first] == *cell => *last = i,
            _ => runs.push((i, i)),
        }
    }
    runs
}

fn row(bucket: String, first: usize, last: usize, cell: &CellView) -> [String; 7] {
    const KEY_CHARS: usize = 32;
    let cells = if first == last { first.to_string() } else { format!("{first}-{last}") };
    let state = match cell.state() {
        state @ "filled" => state.to_owned(),
        state if cell.record_offset.is_some() => moved(state),
        state => dim(state),
    };
    let key = match (&cell.key, cell.record_offset) {
        (Some(key), _) => escape_short(key, KEY_CHARS),
        (None, Some(_)) => output::bad("unreadable: see tophash verify"),
        (None, None) => String::new(),
    };
    let number = |n: Option<u64>| n.map(output::count).unwrap_or_default();
    let tophash = format!("0x{:02x}", cell.tophash);
    [bucket, cells, tophash, state, key, number(cell.value_bytes), number(cell.record_offset)]
}

fn show_json(store: &Store, array: WhichArray, range: std::ops::Range<u64>) -> Result<(), Failure> {
    let mut out = output::data();
    let mut before = "[\n";
    for index in range {
        let Some(bucket) = store.bucket(array, index)? else { break };
        out.write_all(before.as_bytes())?;
        serde_json::to_writer(&mut out, &as_json(&bucket)).map_err(std::io::Error::from)?;
        before = ",\n";
    }
    out.write_all(if before == "[\n" { b"[]\n" } else { b"\n]\n" })?;
    Ok(out.flush()?)
}

fn as_json(bucket: &Bucket) -> Value {
    let chain = bucket.chain.iter().map(|link| {
        json!({ "index": link.index, "cells": link.cells.iter().map(cell_as_json).collect::<Vec<_>>() })
    });
    json!({ "bucket": bucket.index, "chain": chain.collect::<Vec<_>>() })
}

fn cell_as_json(cell: &CellView) -> Value {
    let mut object = Map::new();
    object.insert("tophash".to_owned(), cell.tophash.into());
    object.insert("state".to_owned(), cell.state().into());
    if let Some(key) = &cell.key {
        object.extend([jsonl::field("key", key)]);
    }
    for (name, number) in [("value_bytes", cell.value_bytes), ("record_offset", cell.record_offset)] {
        if let Some(number) = number {
            object.insert(name.to_owned(), number.into());
        }
    }
    Value::Object(object)
}
