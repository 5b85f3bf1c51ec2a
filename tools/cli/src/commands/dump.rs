//! `tophash dump`: every entry, on standard output.

use std::path::PathBuf;

use crate::commands::export::write_entries;
use crate::entry::OutputFormat;
use crate::failure::Failure;
use crate::output;
use crate::store::open_to_read;

/// Print every entry, in no order
#[derive(clap::Args)]
#[command(
    after_help = "What it prints reads back exactly, into a file of the same types: tophash dump A | tophash import B - --format tsv"
)]
pub struct Dump {
    /// The store
    file: PathBuf,
    /// How to write an entry
    #[arg(short, long, value_enum, default_value = "tsv")]
    format: OutputFormat,
    /// The same as --format jsonl
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

impl Dump {
    pub fn run(self) -> Result<(), Failure> {
        let format = if self.json { OutputFormat::Jsonl } else { self.format };
        let map = open_to_read(&self.file)?;
        write_entries(&map, format, &mut output::data(), |_| {})
    }
}
