//! `tophash info`: what the file says about itself.

use std::path::PathBuf;

use indicatif::HumanBytes;
use serde_json::{Value, json};
use tophash::report::{Extent, Info as Report};
use tophash::{Layout, Schema};

use crate::failure::Failure;
use crate::output::{self, Align, Columns, Sheet};
use crate::store::open_to_read;

/// Show the format, the types, the hash, the sessions and where things lie in the file
#[derive(clap::Args)]
pub struct Info {
    /// The store
    file: PathBuf,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Info {
    pub fn run(self) -> Result<(), Failure> {
        let report = open_to_read(&self.file)?.info()?;
        if self.json {
            return output::show_json(&as_json(&report));
        }
        output::show(&format!("{}\n{}", sheet(&report, &self.file.display().to_string()), extents(&report)))
    }
}

/// The name of the layout.
pub fn layout(schema: &Schema) -> &'static str {
    match schema.layout() {
        Layout::Record => "record",
        Layout::Inline { .. } => "inline",
    }
}

/// Where keys and values are.
pub fn describe_layout(schema: &Schema) -> String {
    match schema.layout() {
        Layout::Record => "in records of the log".to_owned(),
        Layout::Inline { key_width, elem_width } => {
            format!("inline, {key_width} and {elem_width} bytes in a cell")
        }
    }
}

fn as_json(info: &Report) -> Value {
    let (key_width, value_width) = match info.schema.layout() {
        Layout::Record => (None, None),
        Layout::Inline { key_width, elem_width } => (Some(key_width), Some(elem_width)),
    };
    json!({
        "format_version": version(info),
        "file_id": file_id(info),
        "hash": info.hash,
        "max_load_factor": max_load_factor(info),
        "sequence": info.sequence,
        "epoch": info.epoch,
        "writing": info.writing,
        "checkpointed_count": info.checkpointed_count,
        "checkpoint_seq": info.checkpoint_seq,
        "file_bytes": info.file_bytes,
        "extents": info.extents.iter().map(extent_as_json).collect::<Vec<_>>(),
        "key_type": info.schema.key(),
        "value_type": info.schema.value(),
        "layout": layout(&info.schema),
        "key_width": key_width,
        "value_width": value_width,
    })
}

fn extent_as_json(extent: &Extent) -> Value {
    json!({
        "offset": extent.offset,
        "bytes": extent.bytes,
        "what": extent.what,
        "used_bytes": extent.used_bytes,
    })
}

fn sheet(info: &Report, file: &str) -> Sheet {
    let closed = if info.writing { "no: the next open replays the log" } else { "yes" };
    let size = format!("{}, {}", HumanBytes(info.file_bytes), output::count_of(info.file_bytes, "byte"));
    let mut sheet = Sheet::new(Align::Left);
    sheet.heading(file);
    sheet.line("format version", version(info), "");
    sheet.line("file id", file_id(info), "");
    sheet.line("keys", info.schema.key(), "");
    sheet.line("values", info.schema.value(), "");
    sheet.line("layout", describe_layout(&info.schema), "");
    sheet.line("hash", info.hash, "");
    sheet.line("load factor", format!("at most {:.2} entries per bucket", max_load_factor(info)), "");
    sheet.line("file size", size, "");
    sheet.line("checkpoints", output::count(info.checkpoint_seq), "");
    sheet.line("entries", format!("{} at the last checkpoint", output::count(info.checkpointed_count)), "");
    sheet.line("header writes", output::count(info.sequence), "");
    sheet.line("sessions", format!("{} that wrote", output::count(info.epoch)), "");
    sheet.line("closed cleanly", closed, "");
    sheet
}

/// The extents by what they hold, in the order of their first: a large file has thousands of log segments.
fn extents(info: &Report) -> Columns {
    use Align::{Left, Right};
    let mut kinds: Vec<Kind> = Vec::new();
    for extent in &info.extents {
        let kind = match kinds.iter_mut().find(|kind| kind.what == extent.what) {
            Some(kind) => kind,
            None => {
                kinds.push(Kind { what: extent.what, extents: 0, bytes: 0, used_bytes: 0 });
                kinds.last_mut().expect("one was just pushed")
            }
        };
        kind.extents += 1;
        kind.bytes += extent.bytes;
        kind.used_bytes += extent.used_bytes;
    }
    let mut columns =
        Columns::new(&[("  what", Left), ("extents", Right), ("bytes", Right), ("used", Right)]);
    for kind in kinds {
        columns.row([
            format!("  {}", kind.what),
            output::count(kind.extents),
            output::count(kind.bytes),
            output::percent(kind.used_bytes, kind.bytes),
        ]);
    }
    columns
}

/// Extents that hold the same sort of thing.
struct Kind {
    what: &'static str,
    extents: u64,
    bytes: u64,
    used_bytes: u64,
}

fn version(info: &Report) -> String {
    let (major, minor) = info.format_version;
    format!("{major}.{minor}")
}

fn file_id(info: &Report) -> String {
    info.file_id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn max_load_factor(info: &Report) -> f64 {
    f64::from(info.load_factor) / 100.0
}
