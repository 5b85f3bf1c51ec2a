//! `tophash stats`: sizes and shapes.

use std::path::PathBuf;

use serde_json::{Value, json};
use tophash::Schema;
use tophash::report::Stats as Report;

use crate::commands::{growth, info};
use crate::failure::Failure;
use crate::output::{self, Align, Columns, Sheet};
use crate::store::open_to_read;

/// Show sizes and shapes: the table, its chains, the log, the file
#[derive(clap::Args)]
#[command(
    after_help = "The line of load factor, %overflow, bytes/entry, hitprobe and missprobe is the one that \
                        Go's map.go tabulates for its own maps."
)]
pub struct Stats {
    /// The store
    file: PathBuf,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Stats {
    pub fn run(self) -> Result<(), Failure> {
        let map = open_to_read(&self.file)?;
        let (report, schema) = (map.stats()?, map.schema());
        if self.json {
            return output::show_json(&as_json(&report, &schema));
        }
        let file = self.file.display().to_string();
        output::show(&format!(
            "{}\n{}\n{}",
            table(&report, &schema, &file),
            go_columns(&report),
            chains_and_file(&report)
        ))
    }
}

fn as_json(stats: &Report, schema: &Schema) -> Value {
    json!({
        "count": stats.count,
        "b": stats.b,
        "buckets": stats.buckets,
        "overflow_buckets": stats.overflow_buckets,
        "noverflow": stats.noverflow,
        "load_factor": stats.load_factor,
        "max_load_factor": stats.max_load_factor,
        "overflow_percent": stats.overflow_percent,
        "bytes_per_entry": stats.bytes_per_entry,
        "hit_probe": stats.hit_probe,
        "miss_probe": stats.miss_probe,
        "growing": stats.growing,
        "same_size_grow": stats.same_size_grow,
        "shrinking": stats.shrinking,
        "old_buckets": stats.old_buckets,
        "nevacuate": stats.nevacuate,
        "chain_lengths": stats.chain_lengths,
        "file_bytes": stats.file_bytes,
        "allocated_bytes": stats.allocated_bytes,
        "log_live_bytes": stats.log_live_bytes,
        "log_dead_bytes": stats.log_dead_bytes,
        "log_segments": stats.log_segments,
        "log_segments_pinned": stats.log_segments_pinned,
        "log_segments_left_alone": stats.log_segments_left_alone,
        "moved_bytes": stats.moved_bytes,
        "max_dead_ratio": stats.max_dead_ratio,
        "checkpoint_seq": stats.checkpoint_seq,
        "log_bytes_since_checkpoint": stats.log_bytes_since_checkpoint,
        "failed_checkpoints": stats.failed_checkpoints,
        "dirty_bytes": stats.dirty_bytes,
        "index_memory_limit": stats.index_memory_limit,
        "pinned": stats.pinned,
        "recovered": stats.recovered,
        "key_type": schema.key(),
        "value_type": schema.value(),
        "layout": info::layout(schema),
    })
}

fn table(stats: &Report, schema: &Schema, file: &str) -> Sheet {
    let mut sheet = Sheet::new(Align::Right);
    sheet.heading(file);
    if *schema != Schema::BYTES {
        sheet.line("types", format!("{} to {}", schema.key(), schema.value()), info::describe_layout(schema));
    }
    sheet.line("entries", output::count(stats.count), "");
    sheet.line("buckets", output::count(stats.buckets), format!("2^{} of 8 cells each", stats.b));
    sheet.line(
        "overflow buckets",
        output::count(stats.overflow_buckets),
        format!("noverflow {}", output::count(stats.noverflow.into())),
    );
    let growth = match stats {
        Report { growing: false, .. } => "none",
        Report { same_size_grow: true, .. } => "same size",
        Report { shrinking: true, .. } => "shrinking",
        _ => "doubling",
    };
    let progress = growth::progress(stats.nevacuate, stats.old_buckets, stats.shrinking);
    sheet.line("growth", growth, if stats.growing { progress } else { String::new() });
    sheet
}

fn go_columns(stats: &Report) -> Columns {
    use Align::Right;
    let mut columns = Columns::new(&[
        ("  load factor", Right),
        ("at most", Right),
        ("%overflow", Right),
        ("bytes/entry", Right),
        ("hitprobe", Right),
        ("missprobe", Right),
    ]);
    let figures = [
        stats.load_factor,
        stats.max_load_factor,
        stats.overflow_percent,
        stats.bytes_per_entry,
        stats.hit_probe,
        stats.miss_probe,
    ];
    columns.row(figures.map(|figure| format!("{figure:.2}")));
    columns
}

fn chains_and_file(stats: &Report) -> Sheet {
    const BAR_CHARS: usize = 24;
    let mut sheet = Sheet::new(Align::Right);
    sheet.heading("chains");
    let chains = stats.chain_lengths.iter().sum();
    for (length, &found) in (1..).zip(&stats.chain_lengths) {
        let note = format!("{} {}", output::bar(found, chains, BAR_CHARS), output::percent(found, chains));
        sheet.line(&format!("of {}", output::count_of(length, "bucket")), output::count(found), note);
    }
    sheet.heading("file");
    for (name, bytes) in [
        ("length", stats.file_bytes),
        ("on disk", stats.allocated_bytes),
        ("log, live", stats.log_live_bytes),
        ("log, dead", stats.log_dead_bytes),
        ("log to replay", stats.log_bytes_since_checkpoint),
    ] {
        sheet.size(name, bytes);
    }
    sheet.line("log segments", output::count(stats.log_segments), "");
    sheet.line("checkpoints", output::count(stats.checkpoint_seq), "");
    let note = if stats.recovered { "the file was not closed; its log was replayed in memory" } else { "" };
    sheet.line("recovered", output::yes_no(stats.recovered), note);
    sheet
}
