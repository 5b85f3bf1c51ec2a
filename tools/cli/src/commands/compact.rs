//! `tophash compact`: the file as small as it can be.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};
use tophash::Compaction;

use crate::failure::Failure;
use crate::output::{self, Align, Progress, Sheet};
use crate::store::open_to_write;

/// Make the file as small as it can be: move what is live together and cut the rest off
#[derive(clap::Args)]
#[command(after_help = "\
What was replaced or removed is given back bit by bit while a store is written; this does all of it now. It may be \
interrupted at any point and loses nothing; what was done until then is done.")]
pub struct Compact {
    /// The store
    file: PathBuf,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Compact {
    pub fn run(self) -> Result<(), Failure> {
        let store = open_to_write(&self.file)?;
        let started = Instant::now();
        let mut bar = Progress::over_bytes(Some(0));
        let done = store.compact_with(|progress| bar.set(progress.done_bytes, progress.total_bytes))?;
        drop(bar);
        store.close()?;
        let seconds = started.elapsed().as_secs_f64();
        if self.json {
            return output::show_json(&as_json(&done, seconds));
        }
        output::show(&as_text(&done, &self.file.display().to_string(), seconds))
    }
}

fn as_json(done: &Compaction, seconds: f64) -> Value {
    json!({
        "file_bytes_before": done.file_bytes_before,
        "file_bytes": done.file_bytes,
        "allocated_bytes_before": done.allocated_bytes_before,
        "allocated_bytes": done.allocated_bytes,
        "moved_records": done.moved_records,
        "moved_bytes": done.moved_bytes,
        "seconds": seconds,
    })
}

fn as_text(done: &Compaction, file: &str, seconds: f64) -> String {
    let mut sheet = Sheet::new(Align::Right);
    sheet.heading(file);
    sheet.size("length before", done.file_bytes_before);
    sheet.size("length", done.file_bytes);
    sheet.size("on disk before", done.allocated_bytes_before);
    sheet.size("on disk", done.allocated_bytes);
    sheet.size("moved", done.moved_bytes);
    sheet.line("time", format!("{seconds:.2} s"), output::count_of(done.moved_records, "record"));
    sheet.to_string()
}
