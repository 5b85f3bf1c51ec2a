//! `tophash buckets`: what is in the buckets, cell by cell.

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Map, Value, json};
use tophash::report::{Bucket, CellView, ChainLink, WhichArray};
use tophash::{DynMap, Layout};

use crate::entry::jsonl;
use crate::failure::Failure;
use crate::output::{self, Align, Columns, dim, moved};
use crate::store::open_to_read;
use crate::text::escape_short;
use crate::types::Types;

/// Show buckets with their overflow chains: tophash, state, key, and the value or the place of its record
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
        let map = open_to_read(&self.file)?;
        let growth = map.growth()?;
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
        if self.json { show_json(&map, array, first..end) } else { show(&map, array, first..end, buckets) }
    }
}

fn absent(bucket: u64, buckets: u64, old: bool) -> String {
    match (buckets, old) {
        (0, true) => "no growth is under way: there is no old array".to_owned(),
        _ => format!("no bucket {bucket}: the array has {}", output::count_of(buckets, "bucket")),
    }
}

fn show(map: &DynMap, array: WhichArray, range: std::ops::Range<u64>, buckets: u64) -> Result<(), Failure> {
    if buckets == 0 {
        return output::show("no growth is under way: there is no old array\n");
    }
    let schema = map.schema();
    let types = Types::of(&schema);
    let mut at = range.start;
    while at < range.end {
        let end = range.end.min(at + BUCKETS_PER_TABLE);
        let mut columns = header(schema.layout());
        for index in at..end {
            if let Some(bucket) = map.bucket(array, index)? {
                add_bucket(&mut columns, &bucket, types, schema.layout());
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

fn header(layout: Layout) -> Columns {
    use Align::{Left, Right};
    let mut columns =
        vec![("bucket", Right), ("cell", Right), ("tophash", Right), ("state", Left), ("key", Left)];
    match layout {
        Layout::Record => columns.extend([("value bytes", Right), ("record at", Right)]),
        Layout::Inline { elem_width: 0, .. } => {}
        Layout::Inline { .. } => columns.push(("value", Left)),
    }
    Columns::new(&columns)
}

fn add_bucket(columns: &mut Columns, bucket: &Bucket, types: Types, layout: Layout) {
    for (depth, link) in bucket.chain.iter().enumerate() {
        let mut name = match depth {
            0 => output::count(link.index),
            _ => format!("+{}", output::count(link.index)),
        };
        for (first, last) in runs(link) {
            let name = std::mem::take(&mut name);
            columns.row(row(name, (first, last), &link.cells[first], types, layout));
        }
    }
}

/// Cells that look alike (empty ones, mostly) as ranges; a cell with a key stands alone.
fn runs(link: &ChainLink) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (i, cell) in link.cells.iter().enumerate() {
        match runs.last_mut() {
            Some((first, last)) if !holds(cell) && link.cells[*first] == *cell => *last = i,
            _ => runs.push((i, i)),
        }
    }
    runs
}

fn row(
    bucket: String,
    (first, last): (usize, usize),
    cell: &CellView,
    types: Types,
    layout: Layout,
) -> Vec<String> {
    const CHARS: usize = 32;
    let cells = if first == last { first.to_string() } else { format!("{first}-{last}") };
    let state = match cell.state() {
        state @ "filled" => state.to_owned(),
        state if holds(cell) => moved(state),
        state => dim(state),
    };
    let key = match (&cell.key, cell.record_offset) {
        (Some(key), _) => escape_short(&types.key.text(key), CHARS),
        (None, Some(_)) => output::bad("unreadable: see tophash verify"),
        (None, None) => String::new(),
    };
    let tophash = format!("0x{:02x}", cell.tophash);
    let mut row = vec![bucket, cells, tophash, state, key];
    match layout {
        Layout::Record => {
            row.extend(
                [cell.value_bytes, cell.record_offset].map(|n| n.map(output::count).unwrap_or_default()),
            );
        }
        Layout::Inline { elem_width: 0, .. } => {}
        Layout::Inline { .. } => {
            let value = cell.value.as_ref().map(|value| escape_short(&types.value.text(value), CHARS));
            row.push(value.unwrap_or_default());
        }
    }
    row
}

/// Whether there is an entry in the cell, or was before it moved.
fn holds(cell: &CellView) -> bool {
    cell.key.is_some() || cell.record_offset.is_some()
}

fn show_json(map: &DynMap, array: WhichArray, range: std::ops::Range<u64>) -> Result<(), Failure> {
    let types = Types::of(&map.schema());
    let mut out = output::data();
    let mut before = "[\n";
    for index in range {
        let Some(bucket) = map.bucket(array, index)? else { break };
        out.write_all(before.as_bytes())?;
        serde_json::to_writer(&mut out, &as_json(&bucket, types)).map_err(std::io::Error::from)?;
        before = ",\n";
    }
    out.write_all(if before == "[\n" { b"[]\n" } else { b"\n]\n" })?;
    Ok(out.flush()?)
}

fn as_json(bucket: &Bucket, types: Types) -> Value {
    let chain = bucket.chain.iter().map(|link| {
        let cells = link.cells.iter().map(|cell| cell_as_json(cell, types));
        json!({ "index": link.index, "cells": cells.collect::<Vec<_>>() })
    });
    json!({ "bucket": bucket.index, "chain": chain.collect::<Vec<_>>() })
}

fn cell_as_json(cell: &CellView, types: Types) -> Value {
    let mut object = Map::new();
    object.insert("tophash".to_owned(), cell.tophash.into());
    object.insert("state".to_owned(), cell.state().into());
    if let Some(key) = &cell.key {
        object.extend(jsonl::field("key", types.key, key));
    }
    if let Some(value) = &cell.value {
        object.extend(jsonl::field("value", types.value, value));
    }
    for (name, number) in [("value_bytes", cell.value_bytes), ("record_offset", cell.record_offset)] {
        if let Some(number) = number {
            object.insert(name.to_owned(), number.into());
        }
    }
    Value::Object(object)
}
