//! `tophash export`: every entry, in a file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use tophash::DynMap;

use crate::entry::OutputFormat;
use crate::failure::Failure;
use crate::output::{self, Progress};
use crate::store::{open_to_read, same_file};
use crate::types::Types;

/// Write every entry to a file, in no order
#[derive(clap::Args)]
#[command(
    after_help = "What it writes reads back exactly, into a file of the same types, with import --format tsv or --format jsonl."
)]
pub struct Export {
    /// The store
    file: PathBuf,
    /// The file to write; - for standard output
    #[arg(default_value = "-")]
    output: PathBuf,
    /// How to write an entry
    #[arg(short, long, value_enum, default_value = "tsv")]
    format: OutputFormat,
    /// Write over OUTPUT if it is there
    #[arg(long)]
    force: bool,
}

impl Export {
    pub fn run(self) -> Result<(), Failure> {
        let map = open_to_read(&self.file)?;
        if self.output == Path::new("-") {
            return write_entries(&map, self.format, &mut output::data(), |_| {});
        }
        if same_file(&self.file, &self.output) {
            return Err(Failure::Usage(format!("{} is the store itself", self.output.display())));
        }
        let name = self.output.display().to_string();
        let mut create = File::options();
        create.write(true).create(true).truncate(true).create_new(!self.force);
        let file = create.open(&self.output).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Failure::Usage(format!("{name} is there; --force writes over it"))
            }
            _ => Failure::io(&name)(error),
        })?;
        let mut progress = Progress::over_entries(map.len());
        let written = write_entries(&map, self.format, &mut BufWriter::new(file), |n| progress.advance(n));
        written.map_err(|failure| match failure {
            Failure::Output(error) => Failure::io(format!("{name} is incomplete"))(error),
            other => other,
        })
    }
}

/// Writes every entry, and tells `wrote` of each.
pub fn write_entries(
    map: &DynMap,
    format: OutputFormat,
    out: &mut impl Write,
    mut wrote: impl FnMut(u64),
) -> Result<(), Failure> {
    let types = Types::of(&map.schema());
    for entry in map {
        let (key, value) = entry?;
        format.write(out, types, &key, &value)?;
        wrote(1);
    }
    Ok(out.flush()?)
}
